"""TS001-1.0.4 chapter 4: what a frame holds, which downlinks count, counters of 32 bits."""

from binascii import unhexlify

from side import Side, bench, hexed, link_adr
from suat_node.keep.counters import NONE, CountersLost
from suat_node.mac.session import Session
from suat_wire import lorawan


def test_ts001_4_known_answer_of_a_whole_uplink():
    # agreed by four independent implementations (LoRaMac-node's parser, lora-packet, tshark, ChirpStack's lorawan)
    conf = bench.settings(
        abp={
            "dev_addr": "01020304",
            "nwk_skey": "44024241ed4ce9a68c6a8bc055233fd3",
            "app_skey": "ec925802ae430ca77fd3dd73cb2cc588",
        }
    )
    phy = Session(conf).uplink(3, 2, b"Hello steppe!", b"", False)
    assert hexed(phy) == "400403020180030002a4a93023b19be532fa8ea5eb5f9715980c"


def test_ts001_4_1_a_frame_larger_than_the_data_rate_carries_is_never_sealed():
    session = Session(bench.settings(radio={"dr": 0}))
    assert len(session.uplink(0, 2, bytes(49), b"\x08\x08", False)) == 13 + 51
    try:
        session.uplink(1, 2, bytes(50), b"\x08\x08", False)
    except lorawan.FrameError:
        return
    raise AssertionError("52 bytes at DR0")


def test_ts001_4_1_no_uplink_of_a_full_backlog_is_too_large_at_any_data_rate():
    # `Side` asserts the limit of RP002 for each uplink
    for dr in range(6):
        side = Side(dr=dr)
        side.silence(12)
        side.answer(b"\x06" * 3 + link_adr())  # answers on top of it
        side.uplink(16)


def test_ts001_4_2_1_confirmed_and_unconfirmed_uplinks_have_their_types():
    side = Side()
    assert side.uplink().phy[0] == 0x40
    side.node.urgent = True
    side.answer(ack=True)
    assert side.uplink().phy[0] == 0x80


def test_ts001_4_2_2_a_downlink_of_another_major_version_or_type_is_no_downlink():
    side = Side()
    good = side.down(b"\x06")
    for mhdr in (0x61, 0x40, 0x80, 0xC0, 0xE0):
        side.answer_raw((1, bytes((mhdr,)) + good[1:], 0))
        side.uplink()
    assert side.counters.fcnt_down == 0
    side.answer_raw((1, good, 0))
    side.uplink()
    assert side.counters.fcnt_down == 1


def test_ts001_4_3_1_2_a_confirmed_downlink_is_acknowledged_by_the_next_uplink_alone():
    side = Side()
    side.answer(mtype=lorawan.CONFIRMED_DOWN, port=9, data=b"x")
    assert not side.uplink().frame.ack
    assert side.uplink().frame.ack
    assert not side.uplink().frame.ack


def test_ts001_4_3_1_5_a_wrong_mic_address_or_counter_is_discarded_without_a_trace():
    side = Side()
    side.silence(3)
    side.uplink(3)
    count = side.session.adr_count
    good = side.down(b"\x06")
    side.answer_raw((1, good[:-1] + bytes((good[-1] ^ 1,)), 0))
    side.answer_raw((1, side.down(b"\x06", dev_addr=0x01020305), 0))
    side.answer_raw((1, good[:6] + b"\x01" + good[7:], 0))
    side.uplink(3)
    assert side.counters.fcnt_down == 0 and side.session.answers == b"" and side.session.adr_count == count + 3


def test_ts001_4_3_1_5_a_downlink_counts_once():
    side = Side()
    phy = side.down(b"\x06")
    side.answer_raw((1, phy, 0))
    side.answer_raw((1, phy, 0))
    side.uplink()
    assert side.uplink().fopts[:1] == b"\x06"
    assert side.uplink().fopts == b"", "the second was a replay"


def test_ts001_4_3_1_5_the_high_half_of_fcnt_down_is_inferred_over_any_gap():
    side = Side()
    for fcnt in (0xFFFE, 0x10003, 0x1A000, 0x29FFF):  # gaps above 16,384 too: MAX_FCNT_GAP is not in 1.0.4
        side.answer(b"\x06", fcnt=fcnt)
        side.uplink()
        assert side.counters.fcnt_down == fcnt + 1
        assert side.uplink().fopts[:1] == b"\x06", fcnt


def test_ts001_4_3_1_5_the_high_half_of_fcnt_up_is_in_mic_and_encryption():
    side = Side()
    side.counters.fcnt_up = side.counters.fcnt_top = 0x1FFFE
    side.fcnt_up = 0x1FFFE
    for fcnt in (0x1FFFE, 0x1FFFF, 0x20000, 0x20001):
        assert side.uplink().fcnt == fcnt  # `Side` and `lora-packet` check the MIC with all 32 bits


def test_ts001_4_3_1_5_counters_of_an_abp_node_survive_a_power_cut():
    side = Side()
    side.answer(b"\x06")
    side.uplink(5)
    before = side.sent[-1].fcnt
    side.start()
    assert side.uplink().fcnt > before
    assert side.counters.fcnt_down == 1


def test_ts001_4_3_1_5_the_last_frame_counter_is_the_end_of_an_abp_session():
    side = Side()
    side.counters.fcnt_up = side.counters.fcnt_top = NONE - 2
    side.fcnt_up = NONE - 2
    assert side.uplink().fcnt == NONE - 2
    assert side.uplink().fcnt == NONE - 1
    assert side.counters.fcnt_top == NONE
    try:
        side.uplink()
    except CountersLost:
        return
    raise AssertionError("a frame counter was used twice")


def test_tr007_4_1_an_otaa_node_joins_anew_before_its_frame_counters_end():
    from suat_node.mac import join

    side = Side(otaa=True)
    assert side.join() and not join.due(side.session, side.counters)
    side.counters.fcnt_up = 0xFFFFF000
    assert join.due(side.session, side.counters)


def test_ts001_4_3_1_6_mac_commands_on_fport_0_are_encrypted_and_obeyed():
    side = Side()
    side.answer(port=0, data=b"\x06" + link_adr(dr=5))
    side.uplink()
    assert side.uplink().fopts[:1] == b"\x06" and side.session.dr == 5


def test_ts001_4_3_1_6_fopts_and_fport_0_in_one_frame_are_discarded():
    side = Side()
    nwk = side.keys[0]
    # seal() refuses such a frame: made by hand from TS001 4.3 and 4.4
    body = unhexlify("60") + unhexlify("04030201") + b"\x01" + b"\x00\x00" + b"\x06" + b"\x00" + b"\x06"
    block = b"\x49" + bytes(4) + b"\x01" + unhexlify("04030201") + bytes(4) + bytes(1) + bytes((len(body),))
    phy = body + nwk.cmac(block + body)[:4]
    assert lorawan._mic(nwk, 1, 0x01020304, 0, body) == phy[-4:], "the hand-made MIC is right"
    side.answer_raw((1, phy, 0))
    side.uplink()
    assert side.counters.fcnt_down == 0 and side.uplink().fopts == b""


def test_ts001_4_3_2_a_downlink_without_a_payload_is_one():
    side = Side()
    side.answer()
    side.uplink()
    assert side.counters.fcnt_down == 1 and side.session.adr_count == 0


def test_ts001_4_3_2_a_payload_on_an_unknown_fport_harms_nothing():
    side = Side()
    for port in (1, 77, 223, 224, 255):
        side.answer(port=port, data=b"\xff\x00\x13")
        side.uplink()
    assert side.counters.fcnt_down == 5
