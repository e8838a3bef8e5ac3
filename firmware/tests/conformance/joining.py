"""TS001-1.0.4 6.2 and 7, TR007: requests, accepts, nonces, and how long a node may keep asking."""

import random
import time

import machine
from side import Side
from suat_node import power
from suat_node.keep.counters import CountersLost
from suat_node.mac import join
from suat_wire import lorawan
from suat_wire.airtime import time_on_air_us

HOUR = 3600


def until(side, hours):
    """[(seconds since power-on, us of air)] of all requests while nobody answers, as `node.wake` would have it."""
    side.accept_joins = False
    began = side.counters.started
    out = []
    while True:
        now = power.clock()
        if now - began >= hours * HOUR:
            return out
        if join.due(side.session, side.counters):
            before = len(side.chip.sent)
            side.join()
            for _phy, _hz, sf, start, end in side.chip.sent[before:]:
                out.append((start / 1e6 - began_us(side) / 1e6, end - start))
                assert abs(end - start - time_on_air_us(sf, 125000, 23)) < 2
            del side.chip.sent[:]
        due = max(side.counters.next_join, side.counters.quiet_until)
        side.wait(max(1, due - power.clock()))


def began_us(side):
    return (side.counters.started - time.epoch_s) * 1000000


def air_between(requests, start_h, end_h):
    return sum([air for at, air in requests if start_h * HOUR <= at < end_h * HOUR]) / 1e6


def test_ts001_6_2_5_dev_nonce_counts_up_from_zero_with_each_request():
    side = Side(otaa=True)
    side.accept_joins = False
    for _ in range(5):
        side.join()
    assert side.nonces == [0, 1, 2, 3, 4]


def test_ts001_6_2_5_dev_nonce_is_never_used_again_after_a_power_cut_even_in_the_request():
    side = Side(otaa=True)
    side.accept_joins = False
    for _ in range(3):
        side.join()
        side.start()
    send = side.node.radio.send

    class Cut(BaseException):
        pass

    def cut(*args):
        raise Cut()

    side.node.radio.send = cut
    try:
        side.join()
    except Cut:
        pass
    side.start()
    assert side.node.radio.send is not send
    side.join()
    assert side.nonces == [0, 1, 2, 4], "the one that may have left is not sent again"


def test_ts001_6_2_5_dev_nonce_does_not_begin_anew_after_a_join():
    side = Side(otaa=True)
    side.join()
    side.join()
    assert side.nonces == [0, 1]


def test_ts001_6_2_5_no_request_after_the_last_dev_nonce():
    side = Side(otaa=True)
    side.counters.dev_nonce = 0xFFFF
    side.accept_joins = False
    side.join()
    assert side.nonces == [0xFFFF]
    try:
        side.join()
    except CountersLost:
        return
    raise AssertionError("a DevNonce was used twice")


def test_tr007_4_4_a_joined_node_without_nonces_keeps_its_session():
    side = Side(otaa=True)
    side.join()
    side.counters.dev_nonce = 0x10000
    side.session.adr_count = 0xFFFF
    assert not join.due(side.session, side.counters)


def test_ts001_6_2_5_requests_use_the_join_channels_and_go_down_to_the_slowest_data_rate():
    side = Side(otaa=True, dr=2)
    side.accept_joins = False
    for _ in range(12):
        side.join()
    assert [sent.sf for sent in side.sent] == [10, 10, 11, 11, 12, 12] * 2
    assert len(set([sent.hz for sent in side.sent])) == 3


def test_tr007_4_6_a_join_nonce_that_was_seen_is_refused_even_after_a_power_cut():
    side = Side(otaa=True)
    assert side.join()
    old = side.join_nonce
    for nonce in (old, old - 1):
        side.joining = lambda sent, nonce=nonce: [
            side.accept(sent, nonce, lorawan.parse_join_request(sent.phy).dev_nonce)
        ]
        side.start()
        assert not side.join() and side.session.joined, "and the session stays"
    side.joining = lambda sent: [side.accept(sent, old + 1, lorawan.parse_join_request(sent.phy).dev_nonce)]
    assert side.join()


def test_ts001_6_2_6_keys_address_delays_and_settings_are_taken_over():
    for region, settings, offset, dr in (("IN865", 0x21, 2, 1), ("IN865", 0x75, 7, 5), ("EU868", 0x10, 1, 0)):
        side = Side(region, otaa=True)
        side.settings = settings
        side.delay_s = 3
        assert side.join()
        session = side.session
        assert (session.rx1_offset, session.rx2_dr, session.rx1_delay) == (offset, dr, 3)
        assert session.dev_addr == side.dev_addr and (session._nwk, session._app) == side.raw_keys
        side.answer(b"\x06", window=2)
        side.uplink()
        assert side.counters.fcnt_down == 1


def test_ts001_6_2_6_rx_delay_zero_is_one_second():
    side = Side(otaa=True)
    side.delay_s = 0
    assert side.join() and side.session.rx1_delay == 1


def test_ts001_6_2_6_counters_begin_anew_with_the_session():
    side = Side(otaa=True)
    side.join()
    side.answer(b"\x06")
    side.uplink(3)
    assert side.join()
    assert side.counters.fcnt_up == side.counters.fcnt_down == 0 and side.uplink().fcnt == 0


def test_ts001_6_2_6_an_accept_for_another_root_key_or_cut_short_is_refused():
    side = Side(otaa=True)

    def foreign(sent):
        hz, sf, at, phy = side.accept(sent, 9, 0)
        return [(hz, sf, at, phy[:-1] + bytes((phy[-1] ^ 1,))), (866550000, 10, 6000000, phy[:12])]

    side.joining = foreign
    assert not side.join() and not side.session.joined and side.counters.join_nonce == 0xFFFFFFFF


def test_rp002_cflist_adds_the_channels_that_the_region_allows():
    side = Side("EU868", otaa=True)
    # 867.1, 867.3, 867.5, 867.7, 867.9 MHz, type 0: the list of RP002's example for EU868
    side.cflist = bytes.fromhex("184f84e85684b85e8488668458 6e8400".replace(" ", ""))
    assert side.join()
    assert [up for up, _down, _rates in side.session.channels] == [
        868100000, 868300000, 868500000, 867100000, 867300000, 867500000, 867700000, 867900000,
    ]  # fmt: skip
    assert side.session.mask == 0xFF
    side = Side(otaa=True)
    side.cflist = bytes.fromhex("184f84" + "20248 4".replace(" ", "") + "00" * 9 + "00")
    assert side.join() and [row[0] for row in side.session.channels[3:]] == [866000000], "867.1 is not in IN865"
    side = Side(otaa=True)
    side.cflist = bytes(15) + b"\x01"
    assert side.join() and len(side.session.channels) == 3, "type 1 is for fixed channel plans"


def test_ts001_7_air_time_of_requests_stays_within_the_share_of_each_period():
    for seed, dr in ((1, 0), (2, 3), (3, 5)):
        random.seed(seed)
        side = Side(otaa=True, dr=dr)
        requests = until(side, 11 + 72)
        assert 20 < air_between(requests, 0, 1) < 36.0
        assert 20 < air_between(requests, 1, 11) < 36.0
        for day in range(3):
            assert 3 < air_between(requests, 11 + 24 * day, 35 + 24 * day) < 8.7


def test_ts001_7_pauses_differ_from_time_to_time():
    random.seed(1)
    requests = until(Side(otaa=True, dr=0), 1)
    gaps = [b[0] - a[0] for a, b in zip(requests, requests[1:])]  # noqa: B905
    assert max(gaps) > 2 * min(gaps)


def test_tr007_4_7_2_a_fleet_does_not_begin_at_once_nor_late():
    waits = []
    for seed in range(20):
        random.seed(seed)
        side = Side(otaa=True)
        side.accept_joins = False
        began = time.now_us
        side.join()
        waits.append((side.chip.sent[0][3] - began) / 1e6)
    assert max(waits) - min(waits) > 4 and max(waits) < 9, waits


def test_tr007_4_7_2_nodes_that_got_their_power_together_do_not_go_on_together():
    wakes = []
    for seed in range(8):
        random.seed(seed)
        side = Side(otaa=True)
        side.counters.utc_offset = 0
        began = power.clock()
        side.counters.next_sense = began + 900
        assert side.join()
        wakes.append(side.counters.next_sense - began)
        assert power.clock() < side.counters.next_sense <= began + 900
    assert max(wakes) - min(wakes) > 450, wakes
    side = Side(otaa=True)  # who knows the time has a place of his own already
    side.counters.next_sense = power.clock() + 900
    due = side.counters.next_sense
    assert side.join() and side.counters.next_sense == due


def test_tr007_4_1_a_battery_that_breaks_down_at_each_request_gets_no_new_share():
    random.seed(5)
    side = Side(otaa=True, dr=0)
    side.accept_joins = False
    sent = 0
    for _ in range(60):
        if join.due(side.session, side.counters):
            before = len(side.sent)
            side.join()
            sent += len(side.sent) - before
        side.start()
        side.counters.quiet_until = 0  # the brake on false starts (node.py) is another one
    assert sent * 1.483 <= 36.0, sent  # SF12, 23 bytes: 1.483 s by Semtech's calculator
    assert sent >= 20


def test_tr007_4_1_the_share_survives_deep_sleep():
    random.seed(6)
    side = Side(otaa=True, dr=0, board="heltec_v3")
    side.accept_joins = False
    side.join()
    used = side.counters.join_ms
    assert used >= 1482
    node = side.node
    try:
        power.sleep(node.board, 100, node.counters.pack(node.session))
    except machine.DeepSleep:
        machine.cause = machine.DEEPSLEEP_RESET
    side.start()
    assert side.counters.join_ms == used and side.counters.join_tries == 1


def test_ts001_7_a_join_that_the_network_ordered_stays_within_the_share_too():
    random.seed(7)
    side = Side(otaa=True, dr=0)
    side.join()
    side.wait(side.counters.started + (11 + 30 * 24) * HOUR - power.clock())
    side.session.joined = False
    side.accept_joins = False
    requests = []
    for _ in range(40):
        before = len(side.chip.sent)
        if join.due(side.session, side.counters):
            side.join()
        requests += side.chip.sent[before:]
        side.wait(1800)
    assert sum([row[4] - row[3] for row in requests]) < 8700000 and len(requests) >= 3


def test_rp002_requests_keep_the_duty_cycle_of_their_band():
    random.seed(8)
    side = Side("EU868", otaa=True, dr=0)
    requests = until(side, 1)
    assert air_between(requests, 0, 1) <= 36.0
    for before, after in zip(requests, requests[1:]):  # noqa: B905
        assert after[0] - before[0] >= 100 * before[1] / 1e6 - 1e-3, "1 % of the sub-band"
