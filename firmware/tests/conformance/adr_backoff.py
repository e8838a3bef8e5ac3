"""TS001-1.0.4 4.3.1.1 and table 9: how a node finds its way back when nobody answers."""

from side import Side, link_adr
from suat_node.mac import adr, join


def silent(side, uplinks):
    """[(number of the uplink, ADRACKReq, DR, power, NbTrans, mask) at each change]."""
    changes = []
    before = None
    session = side.session
    for number in range(uplinks):
        asked = adr.before_uplink(session)
        state = (asked, session.dr, session.power, session.nb_trans, session.mask)
        if state != before:
            changes.append((number,) + state)
        before = state
    return changes


def test_ts001_4_3_1_1_table_9_step_by_step():
    side = Side()
    session = side.session
    session.dr, session.power, session.nb_trans, session.mask = 1, 3, 3, 0b100
    assert silent(side, 200) == [
        (0, False, 1, 3, 3, 0b100),
        (64, True, 1, 3, 3, 0b100),
        (96, True, 1, 0, 3, 0b100),
        (128, True, 0, 0, 3, 0b100),
        (160, True, 0, 0, 1, 0b111),
    ]


def test_ts001_4_3_1_1_adr_ack_req_after_64_uplinks_is_in_the_frame():
    side = Side()
    side.session.adr_count = 63
    assert not side.uplink().frame.adr_ack_req
    assert side.uplink().frame.adr_ack_req
    side.answer()
    assert side.uplink().frame.adr_ack_req
    assert not side.uplink().frame.adr_ack_req, "any class A downlink ends it"


def test_ts001_4_3_1_1_from_dr5_to_the_default_channels():
    side = Side(dr=5)
    side.session.power = 2
    steps = silent(side, 330)
    assert [(row[0], row[2]) for row in steps if row[0] > 64] == [
        (96, 5), (128, 4), (160, 3), (192, 2), (224, 1), (256, 0),
    ], steps  # fmt: skip
    side.session.mask = 0b010
    side.session.adr_count = 287
    assert silent(side, 2)[-1][5] == 0b111


def test_ts001_4_3_1_1_channels_that_the_network_added_stay_as_they_are():
    side = Side(dr=0)
    session = side.session
    session.channels.append([866100000, 866100000, 0x50])
    session.mask = 0b1010
    silent(side, 200)
    assert session.mask == 0b1111 and session.channels[3][0] == 866100000


def test_ts001_4_3_1_1_repetitions_do_not_count():
    side = Side()
    side.session.nb_trans = 3
    side.uplink()
    assert len(side.sent) == 3 and side.session.adr_count == 1


def test_ts001_4_3_1_1_the_adr_bit_says_what_the_node_allows():
    assert Side().uplink().frame.adr
    assert not Side(adr=False).uplink().frame.adr


def test_tr007_4_3_2_a_node_without_adr_asks_by_link_check_and_keeps_its_settings():
    side = Side(adr=False)
    side.session.adr_count = 63
    assert side.uplink().fopts == b""
    assert side.uplink().fopts == b"\x02"
    assert side.uplink().fopts == b""
    frame = side.sent[-1].frame
    assert not frame.adr_ack_req and side.session.dr == 3
    side.session.adr_count = 96
    assert side.uplink().fopts == b"\x02"


def test_ts001_4_3_1_1_the_count_survives_deep_sleep():
    side = Side()
    side.session.adr_count = 77
    blob = side.counters.pack(side.session)
    other = Side()
    other.counters.unpack(blob, other.session)
    assert other.session.adr_count == 77


def test_tr007_4_4_a_node_at_the_end_of_its_back_off_tries_to_join_and_keeps_its_session():
    side = Side(otaa=True)
    assert side.join()
    side.answer(link_adr(dr=5, mask=0b101) + b"\x08\x04")
    side.uplink()
    session, counters = side.session, side.counters
    before = (session.dev_addr, session._nwk, session._app, session.dr, session.mask, session.rx1_delay)
    assert before[3:] == (5, 0b101, 4) and session.answers
    side.accept_joins = False
    session.adr_count = 319
    assert not join.due(session, counters)
    session.adr_count = 320
    assert join.due(session, counters)
    for _ in range(3):
        assert not side.join()
        assert (session.dev_addr, session._nwk, session._app, session.dr, session.mask, session.rx1_delay) == before
        assert session.joined and session.adr_count == 320 and not join.due(session, counters)
        side.wait(counters.rejoin_at - counters.started)
    side.delay_s = 4
    side.answer()
    assert side.uplink().frame.dev_addr == before[0]
    assert session.adr_count == 0 and not join.due(session, counters), "the old session still works"
    side.accept_joins = True
    session.adr_count = 320
    assert side.join() and session.adr_count == 0 and session.rx1_delay == 4
    assert counters.fcnt_up == 0 and side.uplink().fcnt == 0


def test_tr007_4_4_abp_nodes_never_join():
    side = Side()
    side.session.adr_count = 0xFFFF
    assert not join.due(side.session, side.counters)
