"""TS001-1.0.4 4.3.1.3: how often, when, on which channel a frame is repeated, and what ends it."""

import time

from side import Side, link_adr
from suat_node.mac import transmit

PATIENCE_S = 10


def gaps(side):
    """Seconds between the end of each transmission and the begin of the next."""
    chip = side.chip.sent
    return [(after[3] - before[4]) / 1e6 for before, after in zip(chip, chip[1:])]  # noqa: B905


def test_ts001_4_3_1_3_nb_trans_repeats_the_same_frame_each_time_on_another_channel():
    side = Side()
    for nb in (1, 2, 3, 15):
        side.session.nb_trans = nb
        side.chip.sent.clear()
        side.uplink()
        frames = side.chip.sent
        assert len(frames) == nb and len(set([sent[0] for sent in frames])) == 1
        assert all([a[1] != b[1] for a, b in zip(frames, frames[1:])])  # noqa: B905
    assert side.counters.fcnt_up == 4, "one counter for each frame, however often it is sent"


def test_tr007_4_7_2_all_channels_have_their_turn():
    side = Side()
    hz = [side.uplink().hz for _ in range(60)]
    assert all([a != b for a, b in zip(hz, hz[1:])])  # noqa: B905
    counts = [hz.count(one) for one in set(hz)]
    assert len(counts) == 3 and min(counts) >= 10, counts


def test_ts001_4_3_1_3_any_valid_class_a_downlink_ends_it_in_either_window():
    for window in (1, 2):
        side = Side()
        side.session.nb_trans = 5
        side.silence()
        side.answer(window=window)
        side.uplink()
        assert len(side.sent) == 2
    side = Side()
    side.session.nb_trans = 3
    foreign = side.down(dev_addr=0x0A0B0C0D)
    for _ in range(3):
        side.answer_raw((1, foreign, 0))
    side.uplink()
    assert len(side.sent) == 3, "a downlink for another node ends nothing"


def test_ts001_4_3_1_3_each_repetition_waits_for_the_end_of_rx2():
    side = Side()
    side.session.nb_trans = 4
    side.uplink()
    assert all([2.0 < gap < 2.6 for gap in gaps(side)]), gaps(side)


def test_ts001_4_3_1_3_an_unacknowledged_confirmed_uplink_waits_retransmit_timeout_beyond_rx2():
    pauses = []
    for _ in range(12):
        side = Side()
        side.session.nb_trans = 3
        side.node.urgent = True
        down, _at = confirmed(side)
        assert down is None
        pauses += gaps(side)
    # RP002: RETRANSMIT_TIMEOUT is 2 s +- 1 s, at random; then up to 256 ms, and the window's own length
    assert all([3.0 <= pause <= 5.5 for pause in pauses]), pauses
    assert max(pauses) - min(pauses) > 1.0
    assert len(pauses) == 24


def confirmed(side):
    session, counters = side.session, side.counters
    phy = session.uplink(counters.next_fcnt(session), 2, b"alarm", b"", False, True)
    left = []

    def accept(frame):
        return session.open(frame, counters)

    out = transmit.transmit(side.node.radio, session, counters, phy, accept, lambda: left.append(1), True)
    assert left == [1]
    return out


def test_ts001_4_3_1_3_the_timeout_holds_before_a_new_frame_too():
    side = Side()
    confirmed(side)
    side.uplink()
    assert gaps(side)[0] >= 3.0


def test_ts001_4_3_1_2_the_ack_bit_says_whether_a_confirmed_uplink_arrived():
    side = Side()
    side.answer(ack=True)
    down, _at = confirmed(side)
    assert down.ack and len(side.sent) == 1 and side.session.wary == 0
    assert time.now_us - side.chip.sent[-1][4] < 1300000, "acknowledged in RX1: nothing to wait for"
    side.session.nb_trans = 3
    side.silence()
    side.answer(ack=False)
    down, _at = confirmed(side)
    assert not down.ack and len(side.sent) == 3, "a valid downlink ends the repetitions, acknowledged or not"
    side.session.nb_trans = 2
    assert confirmed(side)[0] is None and len(side.sent) == 5


def test_ts001_4_3_1_3_an_alarm_that_was_not_acknowledged_goes_again_as_a_new_frame():
    from suat_node import power, sample, uplink
    from suat_wire.payload import split

    side = Side()
    node = side.node
    node.urgent = True
    sample.keep(node, {("node", "battery"): 3.7}, power.clock(), 0)
    uplink.deliver(node)
    assert len(side.sent) == 3 and len(set([sent.fcnt for sent in side.sent])) == 3
    assert [sent.phy[0] for sent in side.sent] == [0x80] * 3
    records = [[sample[0] for sample in split(sent.payload, sent.fport, 0)[1]] for sent in side.sent]
    assert records == [[0]] * 3, records


def test_rp002_a_repetition_waits_for_its_band_when_that_is_short():
    side = Side("EU433", dr=5)
    side.session.nb_trans = 3
    side.session.mask = 0b1
    side.uplink()
    # 62 ms or so at SF7: 1 % is free again after 6 s
    assert len(side.sent) == 3
    for before, after in zip(side.chip.sent, side.chip.sent[1:]):  # noqa: B905
        air = before[4] - before[3]
        assert after[3] - before[4] >= 99 * air, "1 % duty cycle"


def test_rp002_the_other_copies_are_given_up_when_the_band_stays_closed_for_long():
    side = Side("EU433", dr=0)
    side.session.nb_trans = 3
    side.uplink()
    assert len(side.sent) == 1


def test_ts001_5_2_nb_trans_set_by_the_network_holds_from_the_next_frame():
    side = Side()
    side.answer(link_adr(nb=2))
    side.uplink()
    assert len(side.sent) == 1
    side.uplink()
    assert len(side.sent) == 3
