"""Health: what it says, how often, that it always fits."""

import time

import bench
import flash
import machine
import network
from suat_node import crash, health, sample
from suat_wire import payload

DAY_S = 86400


def fresh(board="pico_waveshare", **options):
    flash.remove_tree(bench.FOLDER)
    crash.FILE = bench.FOLDER + "/crash.txt"
    net = network.Network()
    module = bench.hardware(board, net)
    return net, module, bench.settings(board, **options)


def told(net, field):
    """(when, value) of each health sample that the network has, the oldest first."""
    found = []
    for record in sorted(net.committed):
        taken, body = net.committed[record]
        value = payload.unpack(body).get(("health", field))
        if value is not None:
            found.append((taken, value))
    return found


def both(node):
    out = {}
    for part in health.readings(node, time.time()):
        out.update(part)
    return out


def test_two_bodies_fit_whatever_the_numbers_are():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    counters = node.counters
    counters.boots = counters.radio_errors = counters.lost = 0xFFFFFFFF
    counters.air_ms = 0xFFFFFFFF
    counters.started = 0
    node.session.rssi, node.session.snr = -32000, -32
    for drift in (0x7FFF, 0xFFFF8000, 1, 0xFFFFFFFF):
        counters.drift = drift
        parts = health.readings(node, time.time())
        assert len(parts) == 2
        for part in parts:
            assert len(sample.bodies(part)) == 1
            assert len(payload.pack(part)) <= 29, len(payload.pack(part))
            assert payload.unpack(payload.pack(part)) == part
    # both of them, in one frame of the slowest data rate each, with the longest FOpts
    for part in parts:
        assert len(payload.encode([payload.Sample(70000, 5, part)], 51 - 15, 70000, True)[0]) <= 36


def test_what_it_says():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    first = both(node)
    assert ("health", "downlink_rssi") not in first, "nothing was heard yet"
    bench.life(node, 5)
    node.counters.drift = 0xFFFFFF9C  # -100: 10.0 ppm slow
    node.counters.air_ms = 12345
    found = both(node)
    assert found[("health", "downlink_rssi")] == -90 and found[("health", "downlink_snr")] == -5  # node_fakes/chip.py
    assert found[("health", "drift")] == -10.0
    assert found[("health", "airtime")] == 12 and node.counters.air_ms == 345
    assert both(node)[("health", "airtime")] == 0
    assert found[("health", "uptime_h")] == 1  # the fifth sample is 3600 s old
    assert found[("health", "boots")] == 1 and found[("health", "config")] == 0
    assert found[("health", "reset_cause")] == 1
    assert 0 < found[("health", "heap_free")] < 4096


def test_air_time_is_what_was_on_the_air():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    both(node)
    bench.life(node, 30)
    air = sum([end - start for _phy, _hz, _sf, start, end in machine.chip.sent]) / 1e6
    counted = told(net, "airtime")[0][1] + both(node)[("health", "airtime")]
    assert abs(air - counted) <= 2, (air, counted)


def test_reset_causes():
    for board, cause, want in (
        ("pico_waveshare", machine.WDT_RESET, 3),
        ("pico_waveshare", machine.PWRON_RESET, 1),
        ("heltec_v3", machine.SOFT_RESET, 5),
        ("heltec_v3", machine.DEEPSLEEP_RESET, 5),  # woken, but what should have come along is gone: it started anew
        ("heltec_v3", 99, 0),
    ):
        net, module, conf = fresh(board)
        machine.cause = cause
        assert both(bench.start(conf, module))[("health", "reset_cause")] == want, (board, cause)
    net, module, conf = fresh("heltec_v3")
    bench.deep_life(conf, module, 1)
    assert both(bench.start(conf, module))[("health", "reset_cause")] == 4


def test_once_a_day_and_after_each_cold_start():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 3 * 96 + 2)
    times = [at for at, _ in told(net, "boots")]
    assert len(times) == 4, times
    assert all([DAY_S - 1000 < times[i + 1] - times[i] < DAY_S + 1000 for i in range(3)]), times
    machine.cause = machine.WDT_RESET
    bench.life(bench.start(conf, board), 6)
    assert [value for _, value in told(net, "boots")] == [1, 1, 1, 1, 2]
    assert told(net, "reset_cause")[-1][1] == 3
    assert len(told(net, "config")) == 5, "the other half comes along"


def test_health_h_sets_the_pace():
    net, board, conf = fresh(settings={"health_h": 6})
    bench.life(bench.start(conf, board), 96)
    assert len(told(net, "boots")) == 4


def test_accepted_settings_are_told_within_the_hour():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 4)
    before = len(told(net, "config"))
    net.settings = {"interval_s": 1800}
    begin = time.now_us
    while len(told(net, "config")) == before:
        bench.life(node, 1)
    assert (time.now_us - begin) / 1e6 < 5400
    assert told(net, "config")[-1][1] == node.settings.digest() != 0


def test_a_crash_is_told():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    assert both(node)[("health", "crash")] == 0
    crash.note(ValueError("x"))
    assert both(node)[("health", "crash")] == crash.last() != 0


def test_a_soil_node_reports_a_rollback_once_and_then_that_it_is_over():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 6)
    node.counters.events |= 64
    bench.life(node, 8)
    bodies = [payload.unpack(net.committed[record][1]) for record in sorted(net.committed)]
    events = [body[("node", "events")] for body in bodies if ("node", "events") in body]
    assert events == [64, 0], events
