"""MAC commands, ADR back-off and channels, clause by clause of TS001-1.0.4 (the sections in the names)."""

import bench
from suat_node.keep.counters import Counters
from suat_node.mac import adr, commands, link
from suat_node.mac.session import Session
from suat_wire import commands as wire
from suat_wire import lorawan
from suat_wire.lorawan import DOWN, UP


def made(region="IN865", **radio):
    conf = bench.settings(region=region, radio=radio or {"dr": 3})
    return Session(conf), Counters(bench.FOLDER)


def obey(session, counters, data, sent_at=1000000):
    commands.obey(session, counters, wire.parse(data, DOWN), sent_at)


def link_adr(dr=15, power=15, mask=0b111, control=0, nb=1):
    return wire.build(
        wire.LINK_ADR, DOWN, tx_power=power, data_rate=dr, channel_mask=mask, nb_trans=nb, mask_control=control
    )


def test_5_2_link_adr_is_taken_over_and_answered():
    session, counters = made()
    obey(session, counters, link_adr(dr=5, power=2, mask=0b101, nb=3))
    assert (session.dr, session.power, session.mask, session.nb_trans) == (5, 2, 0b101, 3)
    assert session.answers == b"\x03\x07"


def test_5_2_a_block_is_atomic_and_answered_once_each():
    session, counters = made()
    obey(session, counters, link_adr(dr=5, mask=0b001) + link_adr(dr=9, power=1, mask=0b010))
    assert (session.dr, session.power, session.mask) == (3, 0, 0b111)
    assert session.answers == b"\x03\x05" * 2, session.answers
    session, counters = made()
    obey(session, counters, link_adr(dr=9, mask=0b001) + link_adr(dr=4, power=1, mask=0b010))
    assert (session.dr, session.power, session.mask) == (4, 1, 0b010)
    assert session.answers == b"\x03\x07" * 2


def test_5_2_keep_values_zero_nb_trans_and_bad_masks():
    session, counters = made()
    obey(session, counters, link_adr(nb=0))
    assert (session.dr, session.power, session.nb_trans) == (3, 0, 1)
    for bad in (link_adr(mask=0), link_adr(mask=0b1111), link_adr(control=5), link_adr(power=14)):
        session.answers = b""
        obey(session, counters, bad + b"")
        assert session.answers != b"\x03\x07" and session.mask == 0b111, bad
    session.answers = b""
    obey(session, counters, link_adr(mask=0, control=6))
    assert session.answers == b"\x03\x07" and session.mask == 0b111


def test_a_pinned_channel_stays():
    session, counters = made(dr=3, channel=1, adr=False)
    obey(session, counters, link_adr(mask=0b001))
    assert session.answers == b"\x03\x06" and session.mask == 0b111
    assert {link._channel(session, 3) for _ in range(20)} == {(865402500, 865402500)}
    session.answers = b""
    obey(session, counters, link_adr(dr=5, mask=0b111))
    assert session.answers == b"\x03\x05" and session.dr == 3


def test_5_4_rx_param_setup_is_sticky():
    session, counters = made()
    request = wire.build(wire.RX_PARAM_SETUP, DOWN, rx2_data_rate=0, rx1_offset=2, frequency_hz=866000000)
    obey(session, counters, request)
    assert (session.rx2_dr, session.rx1_offset, session.rx2_hz) == (0, 2, 866000000)
    assert session.answers == b"\x05\x07"
    bad = wire.build(wire.RX_PARAM_SETUP, DOWN, rx2_data_rate=9, rx1_offset=2, frequency_hz=915000000)
    session.answers = b""
    obey(session, counters, bad)
    assert session.answers == b"\x05\x04" and session.rx2_hz == 866000000


def test_5_5_dev_status():
    session, counters = made()
    session.snr = -40
    obey(session, counters, b"\x06")
    assert wire.fields(wire.DEV_STATUS, UP, session.answers[1:]) == {"battery": 255, "margin_db": -32}


def test_5_6_new_channel():
    session, counters = made()

    def request(index, hz, low=0, high=5):
        return wire.build(wire.NEW_CHANNEL, DOWN, index=index, frequency_hz=hz, min_data_rate=low, max_data_rate=high)

    obey(session, counters, request(4, 866100000))
    assert session.answers == b"\x07\x03" and session.channels[4] == [866100000, 866100000, 0x50]
    assert session.mask == 0b10111 and session.channels[3][0] == 0
    assert all([link._channel(session, 3)[0] for _ in range(50)])
    obey(session, counters, request(4, 0))
    assert session.mask == 0b00111
    refused = (
        (request(0, 866100000), 2),
        (request(16, 866100000), 2),
        (request(5, 900000000), 2),
        (request(5, 866100000, 5, 0), 1),
    )
    for bad, answer in refused:
        session.answers = b""
        obey(session, counters, bad)
        assert session.answers == bytes((7, answer)), bad


def test_5_7_rx_timing_zero_is_one_second():
    session, counters = made()
    for delay, seconds in ((0, 1), (7, 7)):
        obey(session, counters, wire.build(wire.RX_TIMING_SETUP, DOWN, delay_s=delay))
        assert session.rx1_delay == seconds
    assert session.answers == b"\x08\x08"


def test_5_8_tx_param_is_ignored_where_the_region_has_none():
    session, counters = made()
    obey(session, counters, wire.build(wire.TX_PARAM_SETUP, DOWN, max_eirp=5, uplink_dwell=1, downlink_dwell=1))
    assert session.answers == b""


def test_5_9_dl_channel():
    session, counters = made()
    obey(session, counters, wire.build(wire.DL_CHANNEL, DOWN, index=1, frequency_hz=866200000))
    assert session.channels[1] == [865402500, 866200000, 0x50] and session.answers == b"\x0a\x03"
    session.answers = b""
    obey(session, counters, wire.build(wire.DL_CHANNEL, DOWN, index=9, frequency_hz=866200000))
    assert session.answers == b"\x0a\x01"


def test_5_3_duty_cycle():
    session, counters = made()
    obey(session, counters, wire.build(wire.DUTY_CYCLE, DOWN, max_duty_cycle=7))
    assert session.max_duty == 7 and session.answers == b"\x04"
    from suat_node import power

    now = power.clock()
    link._rest(session, counters, 865062500, 1000000)
    assert 127 <= counters.quiet_until - now <= 129


def test_device_time_sets_utc():
    session, counters = made()
    # GPS second 1451260818 is 2026-01-01 00:00:00 UTC (18 leap seconds)
    obey(session, counters, wire.build(wire.DEVICE_TIME, DOWN, gps_seconds=1451260818, fraction_256=0), 5000000)
    assert counters.utc_offset + 5000 == 1767225600
    obey(session, counters, wire.build(wire.DEVICE_TIME, DOWN, gps_seconds=1451260818, fraction_256=200), 5000000)
    assert counters.utc_offset + 5000 == 1767225601


def test_5_answers_are_cut_at_a_command_boundary():
    session, _counters = made()
    session.answers = b"\x05\x07\x08\x0a\x03" + b"\x03\x07" * 3 + b"\x06\xff\x05" + b"\x04"
    assert session.fopts(True, 16) == session.answers + b"\x0d"
    assert session.fopts(True, 15) == session.answers
    assert session.fopts(False, 4) == b"\x05\x07\x08"


def test_sticky_answers_repeat_until_a_downlink():
    session, counters = made()
    obey(session, counters, wire.build(wire.RX_TIMING_SETUP, DOWN, delay_s=1) + b"\x06")
    first = session.uplink(0, 2, b"x", session.fopts(False, 15), False)
    second = session.uplink(1, 2, b"x", session.fopts(False, 15), False)
    assert lorawan.parse_data(first).fopts == b"\x08\x06\xff\x00"
    assert lorawan.parse_data(second).fopts == b"\x08"
    nwk, app = session.keys()
    assert session.open(lorawan.seal(nwk, app, 3, session.dev_addr, 0, None, b""), counters) is not None
    assert session.fopts(False, 15) == b""


def test_4_3_1_1_adr_back_off_to_recovery():
    session, _counters = made(dr=2)
    session.dr, session.power, session.mask, session.nb_trans = 2, 3, 0b100, 3
    asked = []
    steps = {}
    for i in range(260):
        before = (session.dr, session.power, session.mask, session.nb_trans)
        asked.append(adr.before_uplink(session))
        after = (session.dr, session.power, session.mask, session.nb_trans)
        if after != before:
            steps[i] = after
    assert asked.index(True) == 64 and all(asked[64:])
    assert steps == {96: (2, 0, 0b100, 3), 128: (1, 0, 0b100, 3), 160: (0, 0, 0b100, 3), 192: (0, 0, 0b111, 1)}, steps


def test_a_downlink_resets_the_adr_count():
    session, counters = made()
    for _ in range(70):
        adr.before_uplink(session)
    nwk, app = session.keys()
    assert session.open(lorawan.seal(nwk, app, 3, session.dev_addr, 0, None, b""), counters) is not None
    assert session.adr_count == 0


def test_4_3_1_5_fcnt_down_has_32_bits():
    session, counters = made()
    nwk, app = session.keys()
    counters.fcnt_down = 0x1FFFE
    down = lorawan.seal(nwk, app, 3, session.dev_addr, 0x20001, None, b"")
    assert session.open(down, counters) is not None and counters.fcnt_down == 0x20002
    assert session.open(down, counters) is None


def test_oversize_frames_are_never_sealed():
    session, _counters = made(dr=0)
    try:
        session.uplink(0, 2, bytes(50), b"\x08\x08", False)
    except lorawan.FrameError:
        return
    raise AssertionError("no error")


def test_join_accept_settings_and_cflist():
    session, _counters = made()
    session.power = 3
    cflist = bytes.fromhex("184f84e85684b85e84") + bytes(7)
    session.accept(lorawan.JoinAccept(1, 0x13, 0x01020304, 0x21, 0, cflist), (bytes(16), bytes(16)))
    assert (session.rx1_offset, session.rx2_dr, session.rx1_delay, session.power) == (2, 1, 1, 0)
    # 867.1, 867.3, 867.5 MHz lie outside IN865: not taken
    assert len(session.channels) == 3
    inside = (8660000).to_bytes(3, "little") + bytes(13)
    session.accept(lorawan.JoinAccept(1, 0x13, 0x01020304, 0, 5, inside), (bytes(16), bytes(16)))
    assert session.channels[3][0] == 866000000 and session.mask == 0b1111 and session.rx1_delay == 5


def test_nb_trans_repeats_the_same_frame_until_a_downlink():
    import flash
    import machine
    import network

    flash.remove_tree(bench.FOLDER)
    net = network.Network()
    net.hears = lambda phy: False
    board = bench.hardware("pico_waveshare", net)
    node = bench.start(bench.settings(radio={"dr": 3, "frames": 1}), board)
    node.session.nb_trans = 3
    bench.life(node, 1)
    frames = [sent[0] for sent in machine.chip.sent]
    assert len(frames) == 3 and len(set(frames)) == 1
    net.hears = lambda phy: True
    net.mac = b"\x06"
    machine.chip.sent.clear()
    bench.life(node, 1)
    assert len(machine.chip.sent) == 1
