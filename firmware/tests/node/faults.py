"""What goes wrong in years in the field: long silences, damaged flash, clocks, changed settings, odd networks."""

import os
import random
import time

import bench
import flash
import machine
import network
from suat_node.keep.counters import Counters
from suat_node.mac import commands
from suat_node.mac.session import Session


def fresh(board="pico_waveshare", **options):
    flash.remove_tree(bench.FOLDER)
    net = network.Network()
    board_module = bench.hardware(board, net)
    return net, board_module, bench.settings(board, **options)


def flip(path, at):
    with open(path, "rb") as file:
        data = bytearray(file.read())
    data[at] ^= 4
    with open(path, "wb") as file:
        file.write(data)


def test_record_numbers_after_a_silence_of_more_than_16_bits_can_tell():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    node.counters.record = node.counters.record_top = 100000
    bench.life(node, 6)
    assert min(net.committed) == 100000 and len(node.backlog.held) < 4
    # nobody listened for 40,000 samples, and the ring has given up most of them
    node.counters.record = node.counters.record_top = 140000
    bench.life(node, 6)
    assert sorted(net.committed)[-6:] == list(range(140000, 140006)), sorted(net.committed)
    assert len(node.backlog.held) < 4


def test_samples_further_apart_than_one_request_reaches_are_all_acknowledged():
    net, board, conf = fresh()
    net.acks = False
    node = bench.start(conf, board)
    bench.life(node, 3)
    missing = sorted(net.committed)[1]
    del net.committed[missing]  # lost in the air
    node.counters.record = node.counters.record_top = 80000
    bench.life(node, 3)
    net.acks = True
    bench.life(node, 10)
    assert missing in net.committed, sorted(net.committed)
    assert sorted(net.committed)[-13:] == list(range(80000, 80013))
    assert len(node.backlog.held) < 4


def test_a_sample_that_flash_lost_does_not_stop_the_acknowledgements():
    net, board, conf = fresh()
    net.hears = lambda phy: False
    node = bench.start(conf, board)
    bench.life(node, 5)
    flip(bench.FOLDER + "/samples/00000000", 20)  # in the first sample's body
    net.hears = lambda phy: True
    bench.life(node, 80)
    assert sorted(net.committed) == list(range(1, 85 + 1))
    assert len(node.backlog.held) < 4 and node.counters.lost == 1, len(node.backlog.held)


def test_the_older_copy_of_the_counters_repeats_no_number():
    flash.remove_tree(bench.FOLDER)
    os.mkdir(bench.FOLDER)
    session = Session(bench.settings())
    counters = Counters(bench.FOLDER)
    used = ([], [], [])
    for _ in range(100):
        used[0].append(counters.next_fcnt(session))
        used[1].append(counters.next_record(session))
        used[2].append(counters.next_dev_nonce(session))
        newest = "%s/state.%d" % (bench.FOLDER, counters.generation & 1)
        with open(newest, "rb") as file:
            good = file.read()
        flip(newest, 60)
        after = Counters(bench.FOLDER)
        if counters.generation > 1:
            after.load(b"", session)
            after.save = lambda _session: None
            given = (after.next_fcnt(session), after.next_record(session), after.next_dev_nonce(session))
            assert all([number > used[i][-1] for i, number in enumerate(given)]), (given, len(used[0]))
        with open(newest, "wb") as file:
            file.write(good)


def test_the_longest_interval_that_a_downlink_may_set():
    net, board, conf = fresh()
    net.settings = {"interval_s": 604800}
    node = bench.start(conf, board)
    bench.life(node, 4)
    assert node.setting("interval_s") == 604800
    record = node.counters.record
    begin = time.now_us
    while node.counters.record < record + 4:  # two samples with their health
        bench.life(node, 1)
    assert 1 <= (time.now_us - begin) // 604800000000 <= 3


def test_another_region_or_data_rate_in_the_configuration():
    net, board, conf = fresh()
    bench.life(bench.start(conf, board), 3)
    conf = bench.settings(region="EU433", radio={"dr": 1, "adr": False})
    node = bench.start(conf, board)
    bench.life(node, 1)
    _phy, hz, sf, _start, _end = machine.chip.sent[-1]
    assert hz in (433175000, 433375000, 433575000) and sf == 11, (hz, sf)
    assert node.counters.fcnt_up > 3, "the keys are the same: counters go on"


def test_an_otaa_node_joins_again_in_another_region():
    net, board, conf = fresh(otaa=True)
    bench.life(bench.start(conf, board), 3)
    conf = bench.settings(otaa=True, region="EU433")
    net.region = network.REGIONS["EU433"]
    node = bench.start(conf, board)
    bench.life(node, 3)
    assert net.nonces == [0, 1] and node.session.joined


def test_adr_by_downlink():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    net.settings = {"adr": 0, "data_rate": 2}
    bench.life(node, 3)
    assert not net.replies[-1].adr and node.session.dr == 2
    node = bench.start(conf, board)
    bench.life(node, 1)
    assert not net.replies[-1].adr, "it lasts"
    net.settings = {"adr": 1}
    bench.life(node, 3)
    assert net.replies[-1].adr


def test_more_commands_than_answers_fit():
    session = Session(bench.settings())
    counters = Counters(bench.FOLDER)
    commands.obey(session, counters, [(6, b"")] * 222, 0)
    assert session.fopts(False, 15) == b"\x06\xff\x00" * 5
    commands.obey(session, counters, [(8, b"\x01")] * 111, 0)
    assert len(counters.pack(session)) <= 1400
    copy = Session(bench.settings())
    Counters(bench.FOLDER).unpack(counters.pack(session), copy)
    assert copy.fopts(False, 15) == session.fopts(False, 15)


def test_a_join_waits_for_the_duty_cycle():
    net, board, conf = fresh(otaa=True, region="EU868", radio={"dr": 0}, interval_s=60)
    net.region = network.REGIONS["EU868"]
    node = bench.start(conf, board)
    net.settings = {"rejoin": 1}
    net.acks = False
    bench.life(node, 40)
    assert len(net.nonces) >= 2
    times = [(start, end) for _phy, _hz, _sf, start, end in machine.chip.sent]
    for i in range(1, len(times)):
        pause = times[i][0] - times[i - 1][1]
        assert pause >= 98 * (times[i - 1][1] - times[i - 1][0]), (i, pause)


def test_a_sample_lost_under_a_duty_cycle_does_not_wait_for_ever():
    # at SF12 a frame holds one sample of four probes, and the band is closed for minutes after it
    probes = [{"kind": "capacitive", "at": "probe%d" % i, "adc": 27} for i in (1, 2, 3, 4)]
    net, board, conf = fresh(region="EU868", radio={"dr": 0}, sensors=probes)
    net.region = network.REGIONS["EU868"]
    node = bench.start(conf, board)
    from suat_node import sample

    real = sample.bodies
    sample.bodies = lambda readings: real(full(readings))
    net.hears = lambda phy: random.getrandbits(2) != 0  # every fourth would meet the same sample each time
    try:
        bench.life(node, 120)
    finally:
        sample.bodies = real
    newest = node.counters.record - 1
    missing = [record for record in range(newest - 12) if record not in net.committed]
    assert missing == [], missing


def full(readings):
    """As four probes with moisture, temperature and EC give it."""
    out = dict(readings)
    for probe in ("probe1", "probe2", "probe3", "probe4"):
        for field, value in (("vwc", 0.25), ("temperature", 8.5), ("ec", 0.5)):
            out[(probe, field)] = value
        out.pop((probe, "count"), None)
    return out


def test_a_full_flash_drops_old_samples_and_goes_on():
    net = network.Network()
    net.hears = lambda phy: False
    chip = flash.Flash(14)
    chip.mount()
    board = bench.hardware("pico_waveshare", net)
    node = bench.start(bench.settings(radio={"dr": 3}), board, "/flash/suat")
    bench.life(node, 600)
    newest = node.counters.record - 1
    assert newest >= 600 and node.backlog.held[-1] == newest and node.counters.lost > 0
    net.hears = lambda phy: True
    bench.life(node, 20)
    assert max(net.committed) == node.counters.record - 1 >= newest + 19


def test_a_full_ring_keeps_the_watchdog_quiet():
    # an RP2040 takes 5 ms for a CMAC over 50 bytes, its watchdog bites after 8.3 s: 1,660 of them
    from array import array

    import utime  # the real clock
    from suat_node import power
    from suat_node.keep import delivery
    from suat_node.keep.backlog import Backlog, Entry
    from suat_wire import control
    from suat_wire.aes import BoardAes

    key = BoardAes(bytes(16))
    begin = utime.ticks_us()
    for _ in range(100):
        key.cmac(bytes(50))
    bite_us = utime.ticks_diff(utime.ticks_us(), begin) * 1660 // 100

    class Ring:
        held = array("I", range(2080))

    for cumulative in (2079, 1000, 5):
        took_us = bite_us
        for _ in range(5):  # the best one: this machine has other things to do as well
            counters = Counters(bench.FOLDER)
            counters.record = 2080
            begin = utime.ticks_us()
            delivery.acknowledge(counters, Ring, control.encode_ack(cumulative), [])
            took_us = min(took_us, utime.ticks_diff(utime.ticks_us(), begin))
        assert took_us < bite_us // 2, (took_us, bite_us)
        assert counters.oldest == cumulative + 1 and counters.named == []

    flash.remove_tree(bench.FOLDER)
    backlog = Backlog(bench.FOLDER)
    for record in range(2080):
        backlog.append(Entry(record, record, 1, 0, bytes(29)))
    fed = []
    real = power.feed
    power.feed = lambda: fed.append(1)
    try:
        assert list(Backlog(bench.FOLDER).held) == list(backlog.held)
    finally:
        power.feed = real
    assert len(fed) >= 64
