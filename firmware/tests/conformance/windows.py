"""TS001-1.0.4 3.3: when the receive windows open, how long, on what, and which of them."""

import time

from side import Side
from suat_wire.airtime import symbol_us, time_on_air_us


def opened(side):
    """{1: , 2: } of the last uplink's windows: (us after its end, Hz, SF, symbols); RX1 is the earlier one."""
    return dict([(1 + i, window) for i, window in enumerate(side.opened()[-2:])])


def test_ts001_3_3_2_rx1_mirrors_channel_and_data_rate_one_second_after_the_uplink():
    for dr in range(6):
        side = Side(dr=dr)
        sent = side.uplink()
        open_us, hz, sf, _ = opened(side)[1]
        assert abs(hz - sent.hz) <= 1 and sf == 12 - dr
        assert 985000 <= open_us <= 1000000, open_us


def test_ts001_3_3_3_rx2_opens_one_second_later_on_the_regions_channel():
    # RP002-1.0.4: IN865 866.550 MHz DR2, EU433 434.665 DR0, EU868 869.525 DR0, RU864 869.1 DR0
    for region, hz, sf in (
        ("IN865", 866550000, 10),
        ("EU433", 434665000, 12),
        ("EU868", 869525000, 12),
        ("RU864", 869100000, 12),
    ):
        side = Side(region)
        side.uplink()
        open_us, window_hz, window_sf, _ = opened(side)[2]
        assert abs(window_hz - hz) <= 1 and window_sf == sf
        assert 1985000 <= open_us <= 2000000, open_us


def test_ts001_3_3_2_rx1_follows_the_offset_of_each_region():
    # RP002-1.0.4: IN865 knows offsets to 7, 6 and 7 raise the data rate by 1 and 2
    for region, offset, dr, sf in (("IN865", 6, 3, 8), ("IN865", 7, 3, 7), ("EU868", 5, 3, 12), ("EU868", 1, 5, 8)):
        side = Side(region, dr=dr)
        side.session.rx1_offset = offset
        side.uplink()
        assert opened(side)[1][2] == sf, (region, offset)


def test_ts001_3_3_4_windows_hold_for_clock_errors_both_ways_at_each_spreading_factor():
    # of the 4 ms for jitter 0.5 are the node's own, which looks for the uplink's end in such steps
    for dr in range(6):
        for late_us in (-3500, 0, 3500):
            for window in (1, 2):
                side = Side(dr=dr)
                side.session.rx2_dr = dr
                side.answer(b"\x06", window=window, late_us=late_us)
                side.uplink()
                assert side.counters.fcnt_down == 1, (dr, late_us, window)
                for i, (open_us, _hz, _sf, _symbols) in enumerate(side.opened()[:window]):
                    assert open_us <= (1 + i) * 1000000, (dr, open_us)


def test_ts001_3_3_4_windows_grow_with_the_delay_and_with_a_clock_known_to_be_bad():
    side = Side(dr=5)
    spans = []
    for delay_s, drift in ((1, 0), (15, 0), (15, 4000), (15, 0x100000000 - 4000), (15, 100)):
        side.session.rx1_delay = delay_s
        side.counters.drift = drift  # 0.1 ppm, modulo 2^32
        side.uplink()
        open_us, _hz, sf, symbols = opened(side)[1]
        early_us = delay_s * 1000000 - open_us
        # an unknown clock: 200 ppm; a known one: what was measured and 50 ppm
        ppm = 200 if not drift else min(drift, 0x100000000 - drift) / 10 + 50
        assert early_us >= delay_s * ppm, (delay_s, drift, early_us)
        assert open_us + symbols * symbol_us(sf, 125000) >= delay_s * (1000000 + ppm) + 5 * symbol_us(sf, 125000)
        spans.append(symbols)
    assert spans[0] <= spans[4] < spans[1] < spans[2] == spans[3], spans


def test_ts001_3_3_4_a_window_of_more_symbols_than_the_chip_counts_is_timed():
    # DS.SX1261-2 13.4.9: the symbol timeout counts exactly to 62; SetRx then takes its time in steps of 15.625 us
    side = Side()
    radio = side.node.radio
    side.uplink()
    radio.wake(865062500)
    radio.prepare(865062500, 7, 125000, 100)
    assert side.chip.log[-3][0] == 0xA0 and side.chip.log[-3][1] == 0
    radio._await = lambda start, limit: 0x200
    side.chip.log.clear()
    radio.listen(7, 125000, 100)
    start = [command for command in side.chip.log if command[0] == 0x82][0]
    steps = start[1] << 16 | start[2] << 8 | start[3]
    # the timer runs on through the sync word and the header (13.1.5): 12.25 symbols more
    assert 100 * 1024 + 12544 <= steps * 15.625 <= 100 * 1024 + 15 * 1024, steps


def test_ts001_3_3_1_rx2_is_not_opened_after_a_frame_for_this_node_in_rx1():
    side = Side()
    side.answer(b"\x06")
    side.uplink()
    assert len(side.opened()) == 1


def test_ts001_3_3_1_rx2_is_opened_after_a_frame_in_rx1_that_is_not_for_this_node():
    side = Side()
    for foreign in (side.down(dev_addr=0x0A0B0C0D), b"\x60" + bytes(20), b"\xe0\x01\x02"):
        good = side.down(b"\x06")
        side.answer_raw((1, foreign, 0), (2, good, 0))
        before = side.counters.fcnt_down
        side.uplink()
        assert len(side.opened()) == 2 and side.counters.fcnt_down > before


def test_ts001_3_3_1_a_frame_that_begins_in_rx1_is_received_to_its_end_past_the_start_of_rx2():
    side = Side(dr=0)
    side.session.rx2_dr = 0
    long = side.down(port=9, data=bytes(40))  # 2.3 s at SF12
    assert time_on_air_us(12, 125000, len(long), False) > 2000000
    side.answer_raw((1, long, 0))
    side.uplink()
    assert side.counters.fcnt_down == 1
    # and if it was for another node, there is no RX2 any more: no window opens later than its delay
    other = side.down(port=9, data=bytes(40), dev_addr=0x0A0B0C0D)
    side.opened()
    side.answer_raw((1, other, 0), (2, side.down(b"\x06"), 0))
    side.uplink()
    assert [window for window in side.opened() if window[0] > 2000000] == []


def test_ts001_6_2_6_the_windows_of_a_join_open_five_and_six_seconds_after_the_request():
    side = Side(otaa=True)
    side.accept_joins = False
    assert not side.join()
    first, second = side.opened()
    assert 4985000 <= first[0] <= 5000000 and 5985000 <= second[0] <= 6000000
    assert abs(second[1] - 866550000) <= 1 and second[2] == 10
    for window in (1, 2):
        for late_us in (-3500, 3500):
            side = Side(otaa=True)
            accept = side.accept

            def moved(sent, join_nonce, dev_nonce, accept=accept, window=window, late_us=late_us):
                hz, sf, at, phy = accept(sent, join_nonce, dev_nonce, window)
                return hz, sf, at + late_us, phy

            side.accept = moved
            assert side.join(), (window, late_us)


def test_ts001_3_3_downlinks_are_heard_with_inverted_iq_and_sent_without_crc():
    side = Side()
    side.uplink()
    packets = [command for command in side.chip.log if command[0] == 0x8C]  # SetPacketParams 13.4.6
    assert packets[-3][5:] == b"\x01\x00" and packets[-1][5:] == b"\x00\x01" == packets[-2][5:]


def test_ts001_3_3_no_window_delays_the_watchdog():
    side = Side(dr=0)
    side.session.rx1_delay = 15
    assert time.watchdog_us
    side.uplink()  # the fake watchdog raises when it is not fed for 8.3 s
    assert len(side.opened()) == 2
