"""TS001-1.0.4 chapter 5: each command of the network, its answer to the byte, and how answers travel.

Expected bytes are written by the layouts of the specification; the node's own tables are not used for them.
"""

import time

from side import Side, link_adr

TIME_ANS = b"\x0d"


def hz3(hz):
    return (hz // 100).to_bytes(3, "little")


def rx_param(offset=0, dr=2, hz=866550000):
    return bytes((5, offset << 4 | dr)) + hz3(hz)


def new_channel(index, hz, low=0, high=5):
    return bytes((7, index)) + hz3(hz) + bytes((high << 4 | low,))


def dl_channel(index, hz):
    return bytes((10, index)) + hz3(hz)


# how answers travel


def test_ts001_5_all_commands_of_a_frame_are_answered_in_one_frame_in_their_order():
    side = Side()
    fopts = side.command(b"\x06", b"\x08\x01", link_adr(), b"\x04\x00")
    assert fopts[:1] == b"\x06" and fopts[3:] == b"\x08" + b"\x03\x07" + b"\x04", fopts


def test_ts001_5_an_unknown_command_ends_the_list():
    assert Side().command(b"\x04\x00", b"\x0b", b"\x06") == b"\x04"
    assert Side().command(b"\x80", b"\x06") == b""


def test_ts001_5_a_command_cut_short_ends_the_list():
    assert Side().command(b"\x04\x00", b"\x05\x02\x00") == b"\x04"


def test_ts001_5_answers_travel_once():
    side = Side()
    assert side.command(b"\x06")[:1] == b"\x06"
    assert side.uplink().fopts == b""


def test_ts001_5_more_answers_than_fopts_holds_travel_on_fport_0():
    side = Side()
    side.answer(port=0, data=b"\x06" * 7 + b"\x04\x00")
    side.uplink()
    sent = side.uplink()
    # 22 bytes: the frame is decrypted by `lora-packet` too
    assert sent.fport == 0 and sent.fopts == b"" and len(sent.payload) == 22
    assert sent.payload[::1][:1] == b"\x06" and sent.payload[21:] == b"\x04"
    assert side.uplink().fport == 2, "the samples go on with the next frame"


def test_ts001_5_answers_go_before_an_alarm_which_stays_one():
    from suat_node import power, sample, uplink

    side = Side()
    side.answer(port=0, data=b"\x06" * 7)
    side.uplink()
    side.node.urgent = True
    sample.keep(side.node, {("node", "battery"): 3.7}, power.clock(), 0)
    before = len(side.sent)
    side.answer()
    side.answer(ack=True)
    uplink.deliver(side.node)
    frames = side.sent[before:]
    assert [(sent.phy[0], sent.fport) for sent in frames] == [(0x40, 0), (0x80, 2)] and not side.node.urgent


def test_ts001_5_fifteen_bytes_of_answers_stay_beside_the_payload():
    side = Side()
    side.answer(port=0, data=b"\x06" * 5)
    side.uplink()
    sent = side.uplink()
    assert sent.fport == 2 and len(sent.fopts) == 15


def test_ts001_5_answers_are_cut_at_the_end_of_the_last_that_fits_and_all_commands_are_obeyed():
    side = Side(dr=0)
    side.answer(port=0, data=b"\x06" * 20 + b"\x08\x07")
    side.delay_s = 1
    side.uplink()
    side.delay_s = 7
    sent = side.uplink()
    assert sent.fport == 0 and len(sent.payload) == 51 and sent.payload[48:49] == b"\x06"
    assert side.session.rx1_delay == 7, "obeyed, though its answer did not fit"


def test_ts001_5_table_15_answers_go_before_requests():
    side = Side()
    side.answer(b"\x06" + b"\x04\x00")
    side.uplink()
    side.session.ask_link_check()
    fopts = side.uplink().fopts
    assert fopts[:1] == b"\x06" and fopts[3:] == b"\x04\x02"


def sticky(command, answer, more=b""):
    side = Side()
    fopts = side.command(b"\x06", command)
    assert fopts[3:] == answer, fopts
    assert side.uplink().fopts == answer, "again, and alone"
    side.answer(more)
    assert side.uplink().fopts == answer
    assert side.uplink().fopts == b"", "a class A downlink shows that it arrived"


def test_ts001_5_4_rx_param_setup_ans_repeats_until_a_class_a_downlink():
    sticky(rx_param(), b"\x05\x07")


def test_ts001_5_7_rx_timing_setup_ans_repeats_until_a_class_a_downlink():
    sticky(b"\x08\x01", b"\x08")


def test_ts001_5_6_dl_channel_ans_repeats_until_a_class_a_downlink():
    sticky(dl_channel(1, 866200000), b"\x0a\x03")


def test_ts001_5_a_refused_setting_is_answered_as_long():
    sticky(rx_param(dr=9), b"\x05\x05")


def test_ts001_5_sticky_answers_survive_a_power_cut():
    side = Side()
    side.answer(b"\x08\x02")
    side.uplink()
    side.start()
    side.delay_s = 2
    assert side.uplink().fopts == b"\x08" and side.session.rx1_delay == 2


# 5.1


def test_ts001_5_1_link_check_req_and_its_answer():
    side = Side()
    assert side.session.link is None
    side.session.ask_link_check()
    side.answer(b"\x02\x14\x03")
    assert side.uplink().fopts == b"\x02"
    assert side.session.link == (20, 3)
    assert side.uplink().fopts == b""
    side.session.ask_link_check()
    assert side.session.link is None
    assert side.uplink().fopts == b"\x02"
    assert side.uplink().fopts == b"" and side.session.link is None, "asked once; no answer came"


# 5.2


def test_ts001_5_2_link_adr_is_taken_over_and_answered():
    side = Side()
    assert side.command(link_adr(dr=5, power=2, mask=0b101, nb=3)) == b"\x03\x07"
    session = side.session
    assert (session.dr, session.power, session.mask, session.nb_trans) == (5, 2, 0b101, 3)
    hz = [side.uplink().hz for _ in range(6)]
    assert all([abs(one - 865402500) > 2 for one in hz]) and side.sent[-1].sf == 7


def test_ts001_5_2_a_block_is_atomic_and_each_of_its_commands_is_answered_alike():
    side = Side()
    assert side.command(link_adr(dr=5, mask=0b001) + link_adr(dr=9, power=1, mask=0b010)) == b"\x03\x05" * 2
    session = side.session
    assert (session.dr, session.power, session.mask) == (3, 0, 0b111)
    side = Side()
    assert side.command(link_adr(dr=9, mask=0b001) + link_adr(dr=4, power=1, mask=0b010)) == b"\x03\x07" * 2
    session = side.session
    assert (session.dr, session.power, session.mask) == (4, 1, 0b010), "the last command's settings hold"


def test_ts001_5_2_blocks_are_parted_by_any_other_command():
    side = Side()
    fopts = side.command(link_adr(dr=4), b"\x04\x00", link_adr(dr=9))
    assert fopts == b"\x03\x07\x04\x03\x05" and side.session.dr == 4


def test_ts001_5_2_fifteen_keeps_data_rate_and_power():
    side = Side()
    side.command(link_adr(dr=4, power=3))
    assert side.command(link_adr(dr=15, power=15, nb=2)) == b"\x03\x07"
    assert (side.session.dr, side.session.power, side.session.nb_trans) == (4, 3, 2)


def test_ts001_5_2_nb_trans_zero_is_the_default():
    side = Side()
    side.command(link_adr(nb=4))
    assert side.command(link_adr(nb=0)) == b"\x03\x07" and side.session.nb_trans == 1


def test_ts001_5_2_each_refusal_has_its_bit_and_changes_nothing():
    for command, answer in (
        (link_adr(mask=0), b"\x03\x06"),  # all channels off
        (link_adr(mask=0b1111), b"\x03\x06"),  # a channel that was never defined
        (link_adr(control=5), b"\x03\x06"),  # no such control in these regions
        (link_adr(dr=6), b"\x03\x05"),
        (link_adr(power=11), b"\x03\x03"),  # IN865 knows 0 to 10
        (link_adr(dr=7, power=14, mask=0), b"\x03\x00"),
    ):
        side = Side()
        assert side.command(command) == answer, (command, answer)
        session = side.session
        assert (session.dr, session.power, session.mask, session.nb_trans) == (3, 0, 0b111, 1)


def test_rp002_mask_control_6_turns_all_defined_channels_on():
    side = Side()
    side.command(new_channel(5, 866100000))
    assert side.command(link_adr(mask=0b1)) == b"\x03\x07" and side.session.mask == 0b1
    assert side.command(link_adr(mask=0, control=6)) == b"\x03\x07" and side.session.mask == 0b100111


def test_ts001_5_2_a_data_rate_that_no_enabled_channel_takes_is_refused():
    side = Side()
    side.command(new_channel(3, 866100000, 0, 2))
    assert side.command(link_adr(dr=5, mask=0b1000)) == b"\x03\x05"


def test_ts001_5_2_without_adr_the_mask_is_the_networks_and_data_rate_and_power_are_not():
    side = Side(adr=False)
    assert side.command(link_adr(dr=5, power=1)) == b"\x03\x01" and side.session.dr == 3
    assert side.command(link_adr(mask=0b011, nb=2)) == b"\x03\x07"
    assert (side.session.mask, side.session.nb_trans) == (0b011, 2)


def test_ts001_5_2_power_steps_are_2_db_below_what_the_region_allows():
    # RP002: IN865 TXPower 0..10, 2 dB each; the plan is clipped to the 14 dBm of Kazakhstan
    side = Side()
    side.command(link_adr(power=1))
    side.uplink()
    amplifier = [command for command in side.chip.log if command[0] == 0x95][-1]
    power = [command for command in side.chip.log if command[0] == 0x8E][-1]
    # DS.SX1261-2 table 13-21: duty 2, hpMax 2 gives 14 dBm at code 22; code 20 is 2 dB less
    assert amplifier[1:3] == b"\x02\x02" and power[1] == 20


def test_ts001_5_2_a_site_of_one_channel_keeps_it_and_says_so():
    side = Side(adr=False, channel=1)
    assert side.command(link_adr(mask=0b001)) == b"\x03\x06" and side.session.mask == 0b111
    assert all([abs(side.uplink().hz - 865402500) < 2 for _ in range(6)])


# 5.3


def test_ts001_5_3_duty_cycle_req_is_answered_and_limits_all_channels_together():
    side = Side(dr=5)
    assert side.command(b"\x04\x07") == b"\x04" and side.session.max_duty == 7
    sent = side.uplink()
    air_us = side.chip.sent[-1][4] - side.chip.sent[-1][3]
    counters = side.counters
    from suat_node import power

    rest = counters.quiet_until - power.clock()
    assert 127 * air_us <= rest * 1000000 + 2100000 <= 128 * air_us + 5000000, (rest, air_us, sent.sf)
    assert side.command(b"\x04\x00") == b"\x04" and side.session.max_duty == 0


# 5.4


def test_ts001_5_4_rx_param_setup_moves_rx2_and_the_offset():
    side = Side()
    side.command(rx_param(2, 0, 866000000))
    side.opened()
    side.uplink()
    first, second = side.opened()
    assert first[2] == 11 and second[2] == 12 and abs(second[1] - 866000000) <= 1


def test_ts001_5_4_one_bad_part_leaves_all_as_it_was():
    for command, answer in (
        (rx_param(hz=915000000), b"\x05\x06"),
        (rx_param(dr=9), b"\x05\x05"),
        (rx_param(dr=9, hz=915000000), b"\x05\x04"),
    ):
        side = Side()
        assert side.command(command) == answer
        session = side.session
        assert (session.rx2_hz, session.rx2_dr, session.rx1_offset) == (866550000, 2, 0)
    side = Side("EU868")
    assert side.command(rx_param(6, 0, 869525000)) == b"\x05\x03", "EU868 knows offsets to 5"


# 5.5


def test_ts001_5_5_dev_status_tells_the_margin_of_the_request():
    side = Side()
    # the chip's model receives at -5 dB; 6 bits, two's complement
    assert side.command(b"\x06") == b"\x06\xff\x3b"


def test_ts001_5_5_the_battery_is_1_at_the_floor_and_254_at_most_where_its_limits_are_known():
    side = Side()
    settings = side.config.settings
    settings["battery_floor"], settings["battery_low"] = 3300, 3500
    for mv, level in ((0, 255), (3000, 1), (3300, 1), (3500, 64), (3700, 127), (4200, 254)):
        side.counters.battery_mv = mv
        from suat_node.mac import commands

        assert commands._battery(side.session, side.counters) == level, mv
    side.counters.battery_mv = 3500
    settings["battery_floor"] = 0
    assert commands._battery(side.session, side.counters) == 255


# 5.6


def test_ts001_5_6_new_channel_is_used_and_can_be_taken_back():
    side = Side()
    assert side.command(new_channel(4, 866100000)) == b"\x07\x03"
    used = set([side.uplink().hz for _ in range(12)])
    assert len(used) == 4 and any([abs(hz - 866100000) < 2 for hz in used])
    assert side.command(new_channel(4, 0)) == b"\x07\x03"
    assert len(set([side.uplink().hz for _ in range(12)])) == 3


def test_ts001_5_6_a_channel_that_cannot_be_is_refused():
    for command, answer in (
        (new_channel(0, 866100000), b"\x07\x02"),  # the default channels stay
        (new_channel(16, 866100000), b"\x07\x02"),
        (new_channel(5, 900000000), b"\x07\x02"),
        (new_channel(5, 866100000, 5, 0), b"\x07\x01"),
        (new_channel(5, 866100000, 0, 6), b"\x07\x01"),
        (new_channel(5, 900000000, 0, 6), b"\x07\x00"),
    ):
        side = Side()
        assert side.command(command) == answer, (command, answer)
        assert len(side.session.channels) == 3


def test_ts001_5_6_a_channel_takes_only_its_data_rates():
    side = Side(dr=3)
    side.command(new_channel(3, 866100000, 0, 2))
    assert len(set([side.uplink().hz for _ in range(12)])) == 3


def test_ts001_5_6_dl_channel_moves_rx1_of_that_channel_alone():
    side = Side()
    assert side.command(dl_channel(1, 866200000)) == b"\x0a\x03"
    for _ in range(6):
        side.opened()
        sent = side.uplink()
        expected = 866200000 if abs(sent.hz - 865402500) < 2 else sent.hz
        assert abs(side.opened()[0][1] - expected) < 2
    side.command(new_channel(3, 866100000), dl_channel(3, 866300000))
    assert side.session.channels[3] == [866100000, 866300000, 0x50]
    side.command(new_channel(3, 866400000))
    assert side.session.channels[3][1] == 866400000, "a new definition takes the old downlink away"


def test_ts001_5_6_dl_channel_of_a_channel_that_is_not_there():
    assert Side().command(dl_channel(9, 866200000)) == b"\x0a\x01"
    side = Side()
    assert side.command(dl_channel(1, 900000000)) == b"\x0a\x02" and side.session.channels[1][1] == 865402500


# 5.7


def test_ts001_5_7_rx_timing_sets_both_windows_and_zero_is_one_second():
    for code, seconds in ((5, 5), (15, 15), (1, 1), (0, 1)):
        side = Side()
        side.answer(bytes((8, code)))
        side.uplink()
        side.delay_s = seconds
        side.opened()
        side.answer(b"\x06", window=2)
        side.uplink()
        first, second = side.opened()
        assert seconds - 0.02 <= first[0] / 1e6 <= seconds and seconds + 0.98 <= second[0] / 1e6 <= seconds + 1
        assert side.counters.fcnt_down == 2


# 5.8


def test_ts001_5_8_tx_param_setup_is_ignored_where_the_region_has_none():
    for region in ("IN865", "EU433", "EU868", "RU864"):
        assert Side(region, dr=5).command(b"\x09\x35", b"\x04\x00") == b"\x04", region


# 5.9


def test_ts001_5_9_device_time_is_that_of_the_end_of_the_uplink():
    side = Side(dr=0)
    counters = side.counters
    counters.utc_offset = 0
    # GPS second 1451260818 is 2026-01-01 00:00:00 UTC (18 leap seconds)
    side.answer(TIME_ANS + (1451260818).to_bytes(4, "little") + b"\x00")
    sent = side.uplink()
    assert sent.fopts == b"\x0d"
    at_ms = (sent.end_us + time.epoch_s * 1000000) // 1000
    assert abs(counters.utc_offset - (1767225600 - at_ms / 1000)) <= 1.01
    assert side.uplink().fopts == b"", "known, and not asked again at once"


def test_ts001_5_9_the_fraction_counts_in_1_256_s():
    offsets = []
    for fraction in (0, 255):
        side = Side()
        side.counters.utc_offset = 0
        side.wait(1 - time.now_us % 1000000 / 1000000)  # the node's clock shows whole seconds
        side.answer(TIME_ANS + (1451260818).to_bytes(4, "little") + bytes((fraction,)))
        sent = side.uplink()
        offsets.append(side.counters.utc_offset + sent.end_us // 1000000)
    assert offsets[1] - offsets[0] == 1, offsets
