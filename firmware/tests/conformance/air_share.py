"""RP002 and the regions' rules: duty cycle by sub-band, and listening before talking."""

from side import Side
from suat_node import power
from suat_node.mac import link

EU868_EXTRA = (867100000, 867300000)


def with_channels(side, *channels):
    for hz in channels:
        side.session.channels.append([hz, hz, 0x50])
        side.session.mask |= 1 << len(side.session.channels) - 1


def test_rp002_a_busy_band_does_not_silence_a_channel_of_another_band():
    side = Side("EU868", dr=0)
    with_channels(side, 867100000, 864500000)  # 865-868 MHz at 1 %, 863-865 MHz at 0.1 %
    bands = []
    for _ in range(3):
        assert power.clock() >= side.counters.quiet_until
        bands.append(side.region.band(side.uplink().hz_of([row[0] for row in side.session.channels])))
    assert len(set(bands)) == 3, "each band once"
    assert power.clock() < side.counters.quiet_until
    air_s = (side.chip.sent[-1][4] - side.chip.sent[-1][3]) / 1e6
    assert side.counters.quiet_until - power.clock() <= 100 * air_s + 2, "the first to be free, not the 0.1 % one"


def test_rp002_each_band_rests_by_its_own_share():
    # ETSI EN 300 220 as RP002 names it for EU868; RU864 and EU433 1 %; IN865 has no limit
    for region, hz, share in (
        ("EU868", 864500000, 0.001),
        ("EU868", 867100000, 0.01),
        ("EU868", 868300000, 0.01),
        ("EU868", 868900000, 0.001),
        ("EU868", 869525000, 0.1),
        ("EU868", 869850000, 0.01),
        ("RU864", 868900000, 0.01),
        ("EU433", 433375000, 0.01),
    ):
        side = Side(region, dr=0)
        with_channels(side, hz)
        side.session.mask = 1 << len(side.session.channels) - 1
        side.uplink()
        air_us = side.chip.sent[-1][4] - side.chip.sent[-1][3]
        ends = side.chip.sent[-1][4] / 1e6
        import time

        rest = side.counters.quiet_until - time.epoch_s - ends
        assert air_us * (1 / share - 1) / 1e6 <= rest <= air_us * (1 / share - 1) / 1e6 + 3, (region, hz, rest)
    side = Side("IN865", dr=0)
    side.uplink(3)
    assert power.clock() >= side.counters.quiet_until


def test_rp002_the_node_keeps_still_until_the_first_band_is_free():
    from suat_node import sample, uplink

    side = Side("EU433", dr=0)
    side.uplink()
    sample.keep(side.node, {("node", "battery"): 3.7}, power.clock(), 0)
    before = len(side.sent)
    uplink.deliver(side.node)
    assert len(side.sent) == before
    side.wait(side.counters.quiet_until - power.clock())
    uplink.deliver(side.node)
    assert len(side.sent) == before + 1


def test_rp002_rests_survive_deep_sleep_and_a_power_cut_ends_them():
    side = Side("EU868", dr=0)
    side.uplink()
    quiet = list(side.session.quiet)
    assert any(quiet)
    other = Side("EU868", dr=0)
    other.counters.unpack(side.counters.pack(side.session), other.session)
    assert other.session.quiet == quiet
    side.counters.save(side.session)  # the clock of another start means nothing to these
    other.counters.load(b"", other.session)
    assert not any(other.session.quiet)


def test_ts001_5_3_the_aggregated_limit_closes_every_band():
    side = Side("EU868", dr=5)
    with_channels(side, 867100000)
    side.session.max_duty = 12
    side.uplink()
    assert link.free_at(side.session, 5) == side.session.quiet[-1] > power.clock() + 60


# listening before talking: no region of these asks for it; DS.SX1261-2 13.1.6, 13.4.7, AN1200.48


def noisy(side, looks):
    """The first `looks` looks find another sender."""
    left = [looks]

    def answer(hz, sf):
        left[0] -= 1
        return left[0] >= 0

    side.chip.noisy = answer


def test_an1200_48_activity_detection_uses_the_recommended_parameters():
    # AN1200.48, 125 kHz: SF -> symbols, peak; minimum 10
    table = {7: (2, 22), 8: (2, 22), 9: (4, 23), 10: (4, 24), 11: (4, 25), 12: (4, 28)}
    for sf, (symbols, peak) in table.items():
        side = Side(dr=12 - sf, lbt=True)
        sent = side.uplink()
        assert side.chip.looks == [(sent.hz, sf, symbols)]
        assert side.chip.cad[1:] == bytes((peak, 10, 0, 0, 0, 0))
        order = [command[0] for command in side.chip.log if command[0] in (0xC5, 0x83)]
        assert order == [0xC5, 0x83], "a look, then the frame"


def test_lbt_a_busy_channel_is_left_for_another_after_a_random_pause():
    side = Side(lbt=True)
    noisy(side, 2)
    sent = side.uplink()
    looks = side.chip.looks
    assert len(looks) == 3 and looks[0][0] != looks[1][0] != looks[2][0] == sent.hz
    assert side.session.busy == 2


def test_lbt_after_five_busy_looks_the_frame_goes_out_all_the_same():
    side = Side(lbt=True)
    noisy(side, 99)
    side.uplink()
    assert len(side.chip.looks) == 5 and len(side.sent) == 1 and side.session.busy == 5


def test_lbt_is_off_until_an_answer_was_missed():
    side = Side()
    side.uplink(3)
    assert side.chip.looks == []
    side.counters.unheard = 2
    side.uplink()
    assert len(side.chip.looks) == 1
    side.counters.unheard = 0
    side.session.wary = 2
    side.uplink(4)
    assert len(side.chip.looks) == 3 and side.session.wary == 0


def test_lbt_a_request_to_join_that_was_not_answered_is_repeated_with_a_look():
    side = Side(otaa=True)
    side.accept_joins = False
    side.join()
    assert side.chip.looks == []
    side.join()
    assert len(side.chip.looks) == 1


def test_lbt_a_look_takes_less_than_a_quarter_of_the_frame():
    # in time; the receiver draws a tenth of the current besides (DS.SX1261-2, tables 3-5 and 3-6)
    for dr in range(6):
        side = Side(dr=dr, lbt=True)
        import time

        before = time.now_us
        look = side.node.radio.hears
        side.node.radio.wake(865062500)
        before = time.now_us
        assert not look(865062500, 12 - dr, 125000)
        spent = time.now_us - before
        side.uplink()
        air_us = side.chip.sent[-1][4] - side.chip.sent[-1][3]
        assert spent < air_us / 4, (dr, spent, air_us)
