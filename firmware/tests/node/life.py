"""The node's whole life on the small bench: what it sends, keeps and sends again."""

import time

import bench
import flash
import machine
import network
from suat_wire import lorawan, payload


def fresh(board="pico_waveshare", **options):
    flash.remove_tree(bench.FOLDER)
    net = network.Network()
    board_module = bench.hardware(board, net)
    return net, board_module, bench.settings(board, **options)


def test_readings_arrive_with_their_own_time():
    net, board, conf = fresh()
    begin = time.now_us // 1000000
    bench.life(bench.start(conf, board), 5)
    assert sorted(net.committed) == [0, 1, 2, 3, 4, 5]  # the first wake's health takes a record of its own
    times = [net.committed[i][0] - network.UTC_S - begin for i in range(1, 6)]
    assert times[0] <= 1, times
    gaps = [times[i + 1] - times[i] for i in range(2, 4)]  # the grid of UTC is found at the second wake
    assert all([899 <= gap <= 901 for gap in gaps]), times
    readings = payload.unpack(net.committed[3][1])
    assert abs(readings[("probe1", "count")] - 30000 / 65535) < 0.0001
    assert abs(readings[("node", "battery")] - 25000 / 65535 * 3.3 * 3) < 0.02


def test_windows_open_before_the_downlink_and_last_long_enough():
    net, board, conf = fresh()
    net.answers = False
    bench.life(bench.start(conf, board), 3)
    for i, (opened, _hz, sf, symbols) in enumerate(machine.chip.windows):
        due = 1000000 if i % 2 == 0 else 2000000
        assert due - 10000 <= opened <= due, (i, opened)
        symbol = (1 << sf) * 8
        assert opened + symbols * symbol >= due + 4000 + 5 * symbol, (i, symbols)


def test_acknowledged_samples_leave_the_flash():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 12)
    assert len(node.backlog.held) < 4
    assert net.asked and len(net.copies) == 13, net.copies
    # asked after four samples, not with each frame (the very first frame after a cold start asks too)
    assert len(net.asked) <= 4, net.asked


def test_nothing_is_sent_again_without_an_acknowledgement_that_shows_the_loss():
    net, board, conf = fresh()
    net.acks = False
    bench.life(bench.start(conf, board), 20)
    assert net.copies == [1, 0] + list(range(2, 21)), net.copies


def test_lost_frames_are_sent_again_and_only_those():
    net, board, conf = fresh()
    lost = [0]

    def hears(phy):
        lost[0] += 1
        return lost[0] % 5 != 3  # every fifth frame is lost

    net.hears = hears
    bench.life(bench.start(conf, board), 60)
    net.hears = lambda phy: True
    node = bench.start(conf, board)
    bench.life(node, 8)
    newest = max(net.committed)
    missing = [i for i in node_records(newest) if i not in net.committed]
    skipped = list(range(60, 64))  # the power cut skips the rest of a chunk
    assert [i for i in missing if i not in skipped] == [], missing
    assert len(net.copies) - len(net.committed) <= 2, (len(net.copies), len(net.committed))


def node_records(newest):
    return range(newest + 1)


def test_a_radio_outage_of_two_days_loses_nothing():
    net, board, conf = fresh()
    net.hears = lambda phy: False
    node = bench.start(conf, board)
    bench.life(node, 192)
    assert len(node.backlog.held) == 194  # the health of two days
    net.hears = lambda phy: True
    bench.life(node, 150)
    assert sorted(net.committed) == list(range(342 + 4)), len(net.committed)
    assert len(node.backlog.held) < 4
    begin = network.UTC_S
    times = [net.committed[i][0] for i in range(342 + 4)]
    assert times[0] >= begin and all([times[i + 1] - times[i] >= -1 for i in range(345)])  # ages are whole seconds


def test_a_power_cut_resumes_with_higher_counters():
    net, board, conf = fresh()
    bench.life(bench.start(conf, board), 3)
    before = max(net.fcnts)
    bench.life(bench.start(conf, board), 3)
    assert net.fcnts == sorted(set(net.fcnts)), net.fcnts
    assert before < min(net.fcnts[3:]) <= 32
    assert len(net.committed) == 6 + 2 and len(net.copies) == 6 + 2, net.copies  # each start tells its health


def test_samples_from_before_a_power_cut_keep_their_time():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 2)  # the time is known now
    net.hears = lambda phy: False
    bench.life(node, 3)
    shift = time.now_us
    time.epoch_s -= 500000000  # the clock begins anew somewhere else
    net.hears = lambda phy: True
    bench.life(bench.start(conf, board), 10)
    time.epoch_s += 500000000
    for record in (2, 3, 4):
        assert record in net.committed, sorted(net.committed)
        taken = net.committed[record][0] - network.UTC_S
        assert abs(taken - (shift // 1000000 - 900 * (5 - record))) <= 902, (record, taken, shift)
    assert abs(net.dated_us[4] - net.dated_us[3] - 900000000) <= 2000000


def test_otaa_joins_and_sends():
    net, board, conf = fresh(otaa=True)
    bench.life(bench.start(conf, board), 3)
    assert net.nonces == [0], net.nonces
    assert len(net.committed) >= 2
    resumed = bench.start(conf, board)
    bench.life(resumed, 2)
    assert net.nonces == [0], "it resumes its session"


def test_dev_nonce_counts_up_over_failures_and_power_cuts():
    net, board, conf = fresh(otaa=True)
    net.answers = False
    bench.life(bench.start(conf, board), 20)
    bench.life(bench.start(conf, board), 20)
    bench.life(bench.start(conf, board), 20)
    assert net.nonces == list(range(len(net.nonces))) and len(net.nonces) > 20, net.nonces
    net.answers = True
    bench.life(bench.start(conf, board), 60)
    assert net.committed, "joined in the end"


def test_join_requests_stay_within_their_duty():
    # TR007: 36 s of air in the first hour, 36 s in the next ten, 8.7 s in each further day
    net, board, conf = fresh(otaa=True)
    net.answers = False
    node = bench.start(conf, board)
    begin = time.now_us
    air = []
    while time.now_us - begin < 35 * 3600 * 1000000:
        count = len(machine.chip.sent)
        bench.life(node, 1)
        for _phy, _hz, _sf, start, end in machine.chip.sent[count:]:
            air.append(((start - begin) // 1000000, (end - start) / 1000000))
    hour = sum([seconds for at, seconds in air if at < 3600])
    ten = sum([seconds for at, seconds in air if 3600 <= at < 39600])
    day = sum([seconds for at, seconds in air if 39600 <= at < 126000])
    assert 5 < hour <= 36, hour
    assert 5 < ten <= 38, ten
    assert 1 < day <= 10.5, day


def test_a_join_nonce_that_was_seen_is_refused():
    net, board, conf = fresh(otaa=True)
    net.join_nonce = 5
    node = bench.start(conf, board)
    bench.life(node, 2)
    assert node.counters.join_nonce == 6
    node.session.joined = False
    node.counters.next_join = 0
    net.join_nonce = 5  # a replay of the same JoinNonce
    bench.life(node, 1)
    assert not node.session.joined
    net.join_nonce = 6
    node.counters.next_join = 0
    bench.life(node, 1)
    assert node.session.joined and node.counters.join_nonce == 7


def test_deep_sleep_carries_the_session_in_rtc_memory():
    net, board, conf = fresh("heltec_v3")
    bench.deep_life(conf, board, 40)
    assert sorted(net.committed) == list(range(40 + 1))
    assert net.fcnts == list(range(40)), net.fcnts  # nothing skipped: the exact counters travelled
    assert 0 < len(machine.rtc) <= 2048


def test_a_crash_after_deep_sleep_repeats_no_counter():
    net, board, conf = fresh("heltec_v3")
    bench.deep_life(conf, board, 3)
    memory = machine.rtc
    node = bench.start(conf, board)
    from suat_node import node as program

    program.wake(node)  # sent, and then the watchdog bites before the sleep
    assert machine.rtc == b"", "what was read must not be read twice"
    machine.cause = machine.WDT_RESET
    bench.deep_life(conf, board, 3)
    assert len(set(net.fcnts)) == len(net.fcnts), net.fcnts
    assert memory


def test_nothing_fails_when_the_radio_hangs():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 1)
    machine.chip.stuck = True
    bench.life(node, 3)
    assert node.counters.radio_errors == 3
    machine.chip.stuck = False
    bench.life(node, 6)
    assert sorted(net.committed) == list(range(10 + 1)), sorted(net.committed)


def test_a_frame_that_never_ends_costs_one_exchange():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    machine.chip.deaf_tx = True
    bench.life(node, 2)
    machine.chip.deaf_tx = False
    bench.life(node, 4)
    assert sorted(net.committed) == list(range(6 + 1))


def test_a_radio_that_hangs_when_it_should_sleep():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 1)
    from suat_node import node as program

    program.wake(node)
    machine.chip.stuck = True
    program.sleep(node)
    machine.chip.stuck = False
    bench.life(node, 2)
    assert sorted(net.committed) == [0, 1, 2, 3, 4] and node.counters.radio_errors == 1


def test_a_wake_with_nothing_to_send_leaves_the_radio_asleep():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 1)
    node.counters.quiet_until = 1 << 31
    bench.life(node, 2)
    assert node.counters.radio_errors == 0 and len(net.copies) == 2
    node.counters.quiet_until = 0
    bench.life(node, 1)
    assert len(net.copies) == 5


def test_settings_by_downlink():
    net, board, conf = fresh()
    net.settings = {"interval_s": 300, "ack_after": 10}
    node = bench.start(conf, board)
    bench.life(node, 6)
    assert node.setting("interval_s") == 300 and node.setting("ack_after") == 10
    begin = time.now_us
    bench.life(node, 3)
    assert (time.now_us - begin) // 1000000 in range(890, 912)
    again = bench.start(conf, board)
    assert again.setting("interval_s") == 300


def test_other_keys_begin_new_counters():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 4)
    conf.app_skey = bytes(16)
    node = bench.start(conf, board)
    assert node.counters.record == 0 and len(node.backlog.held) == 0
    assert node.counters.boots == 1


def test_a_large_sample_is_split_between_groups():
    from suat_node import sample

    readings = {("node", "battery"): 3.6, ("water", "volume"): 4000000000, ("water", "depth"): 1.5}
    for probe in ("probe1", "probe2", "probe3", "probe4"):
        for field, value in (("vwc", 0.25), ("temperature", -1.25), ("ec", 0.5), ("count", 0.4)):
            readings[(probe, field)] = value
    parts = sample.bodies(readings)
    assert len(parts) == 2 and all([len(part) <= sample.BODY_MAX for part in parts])
    found = {}
    for part in parts:
        found.update(payload.unpack(part))
    assert len(found) == len(readings)


def test_four_probes_and_battery_travel_as_one_sample():
    from suat_node import sample

    readings = {("node", "battery"): 3.6}
    for probe in ("probe1", "probe2", "probe3", "probe4"):
        for field, value in (("vwc", 0.25), ("temperature", -1.25), ("ec", 0.5)):
            readings[(probe, field)] = value
    parts = sample.bodies(readings)
    assert len(parts) == 1
    assert len(payload.encode([payload.Sample(9, 3, parts[0])], 36, 3)[0]) <= 36


def test_a_value_that_no_field_carries_becomes_a_fault():
    from suat_node import sample

    parts = sample.bodies({("probe1", "temperature"): 999.0, ("probe1", "vwc"): 0.2, ("node", "battery"): 3.6})
    assert payload.unpack(parts[0]) == {("probe1", "vwc"): 0.2, ("probe1", "fault"): 3, ("node", "battery"): 3.6}


def test_duty_cycle_of_the_region():
    net, board, conf = fresh(region="EU868", radio={"dr": 0}, interval_s=60)
    net.region = network.REGIONS["EU868"]
    node = bench.start(conf, board)
    begin = time.now_us
    bench.life(node, 60)
    # Up to the last frame, which is paid for after it.
    *before, (_p, _h, _s, last, _e) = machine.chip.sent
    share = sum([end - start for _p, _h, _s, start, end in before]) / (last - begin)
    assert 0.005 < share <= 0.01, share


def test_fport_0_and_confirmed_downlinks():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 1)
    real = net.frames
    net.frames = lambda phy, hz, sf: real(net.down(0, b"\x06", mtype=lorawan.CONFIRMED_DOWN), hz, sf)
    net.mac = b"\x06"
    bench.life(node, 1)
    net.frames = real
    bench.life(node, 1)
    assert net.replies[-1].ack and b"\x06\xff" in net.replies[-1].fopts, net.replies[-1]
    bench.life(node, 1)
    assert not net.replies[-1].ack


def test_a_foreign_frame_in_rx1_does_not_cost_rx2():
    net, board, conf = fresh()
    net.foreign = b"\x60" + bytes(20)
    node = bench.start(conf, board)
    bench.life(node, 2)
    assert node.counters.utc_offset, "the answer in RX2 was heard"


def test_a_replayed_downlink_is_ignored():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 2)
    count = node.counters.fcnt_down
    old = lorawan.seal(net.keys[0], net.keys[1], 3, net.dev_addr, 0, 4, payload.encode_ack(0xFFFF))
    assert count > 0 and node.session.open(old, node.counters) is None
    bad = bytearray(net.down(4, payload.encode_ack(5)))
    for i in range(len(bad) * 8):
        bad[i // 8] ^= 1 << i % 8
        assert node.session.open(bytes(bad), node.counters) is None, i
        bad[i // 8] ^= 1 << i % 8
    assert node.session.open(bytes(bad), node.counters) is not None


def volts(value):
    """What the divider of the small bench's board gives its ADC."""
    machine.analog[26] = [round(value / 3 / 3.3 * 65535)]


def test_a_low_battery_quarters_the_pace_and_the_floor_silences():
    net, board, conf = fresh(settings={"battery_low": 3600, "battery_floor": 3400})
    node = bench.start(conf, board)
    bench.life(node, 8)
    course = ((3.5, 4, 3600, 4), (3.3, 6, 3600, 0), (3.55, 4, 3600, 4), (3.9, 6, 900, 6))
    for value, wakes, interval, frames in course:
        volts(value)
        bench.life(node, 1)  # the first one sees the battery
        begin, record, sent = time.now_us, node.counters.record, len(net.fcnts)
        bench.life(node, wakes)
        assert abs((time.now_us - begin) / 1000000 - wakes * interval) <= 20, (value, time.now_us - begin)
        assert node.counters.record >= record + wakes, "samples are taken and kept at the floor too"
        assert len(net.fcnts) - sent >= frames and (frames or len(net.fcnts) == sent), (value, len(net.fcnts) - sent)
    bench.life(node, 6)
    assert sorted(net.committed) == list(range(node.counters.record))


def test_a_battery_that_can_no_longer_be_read_does_not_silence_for_ever():
    net, board, conf = fresh(settings={"battery_low": 3600, "battery_floor": 3400})
    node = bench.start(conf, board)
    volts(3.3)
    bench.life(node, 4)
    assert not net.committed
    conf.sensors.pop()
    bench.life(node, 4)
    assert node.counters.battery_state == 1 and len(net.committed) >= 8


def test_sensors_off_are_not_read():
    net, board, conf = fresh(settings={"sensors_off": 1})
    bench.life(bench.start(conf, board), 3)
    fields = payload.unpack(net.committed[max(net.committed)][1])
    assert list(fields) == [("node", "battery")], fields


def test_a_node_whose_sensors_are_all_off_still_hears_the_network():
    net, board, conf = fresh(settings={"sensors_off": 3})
    node = bench.start(conf, board)
    bench.life(node, 6)
    assert payload.unpack(net.committed[max(net.committed)][1]) == {("node", "events"): 0}
    net.settings = {"sensors_off": 0}
    bench.life(node, 6)
    assert ("probe1", "count") in payload.unpack(net.committed[max(net.committed)][1])


def urgent(node):
    """What events.py does at a sample that cannot wait."""
    from suat_node import sensors

    real = sensors.read_all

    def read_all(*arguments):
        node.urgent = True
        return real(*arguments)

    sensors.read_all = read_all
    try:
        bench.life(node, 1)
    finally:
        sensors.read_all = real


def test_an_event_is_a_confirmed_uplink_and_sent_anew_until_confirmed():
    for deaf, frames in ((0, 1), (1, 2), (2, 3), (9, 3)):
        net, board, conf = fresh()
        node = bench.start(conf, board)
        bench.life(node, 2)
        left = [deaf]

        def hears(phy, left=left):
            left[0] -= 1
            return left[0] < 0

        net.hears = hears
        machine.chip.sent.clear()
        begin = time.now_us
        urgent(node)
        kinds = [sent[0][0] >> 5 for sent in machine.chip.sent]
        assert kinds == [lorawan.CONFIRMED_UP] * frames, kinds
        assert len(set([sent[0][6] for sent in machine.chip.sent])) == frames, "new frames, new counters"
        ends = [(start, end) for _phy, _hz, _sf, start, end in machine.chip.sent]
        pauses = [ends[i + 1][0] - ends[i][1] for i in range(frames - 1)]
        assert all([pause >= 3000000 for pause in pauses]), "RX2 and RETRANSMIT_TIMEOUT"  # TS001-1.0.4 4.3.1.3
        assert ends[0][0] - begin < 3000000 and not node.urgent
        net.hears = lambda phy: True
        bench.life(node, 6)
        assert machine.chip.sent[-1][0][0] >> 5 == lorawan.UNCONFIRMED_UP
        assert sorted(net.committed) == list(range(node.counters.record))


def test_after_an_hour_without_luck_the_radio_is_tried_with_the_next_sample():
    net, board, conf = fresh()
    node = bench.start(conf, board)
    bench.life(node, 2)
    machine.chip.stuck = True
    begin = time.now_us
    bench.life(node, 8)
    assert abs(time.now_us - begin - 7200000000) < 30000000, "no wake but for samples"
