"""What a node hears, when, and with which counter; judged by an independent node and packet forwarder."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from suat.store import downlinks as kept
from suat_wire import payload
from suat_wire.payload import Sample


def reading(record: int, ask: int | None = None) -> bytes:
    return payload.encode([Sample(record, 0, {("node", "battery"): 3.3})], 51, ask)[0]


def outcomes(site: Any) -> dict[str, int]:
    """What became of the replies; what never happened is left out."""
    return {name: count for name, count in site.network.downlinks.counters.items() if count}


def hear(site: Any, forwarder: Any, phy: bytes, **fields: Any) -> None:
    forwarder.hear(phy, **fields)
    site.pass_time()


def test_an_ask_is_answered_with_what_the_journal_holds(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    for fcnt, record in enumerate((10, 11, 13, 14, 20)):
        hear(site, forwarder, node.uplink(fcnt, reading(record)))
    assert forwarder.sent == []  # nobody asked
    hear(site, forwarder, node.uplink(5, reading(21, ask=10)))
    heard = node.open_down(forwarder.last_phy(), 0)
    assert (heard["fport"], heard["ack"], heard["confirmed"], heard["fopts"]) == (4, False, False, b"")
    cumulative, bitmap = payload.decode_ack(heard["payload"])
    named = [record for record in range(30) if payload.acknowledged(record, cumulative, bitmap)]
    assert named == [*range(12), 13, 14, 20, 21]


@pytest.mark.parametrize(
    ("region", "freq", "datr", "rx1", "rx2"),
    [
        ("IN865", 865.985, "SF12BW125", (865.985, "SF12BW125"), (866.55, "SF10BW125")),
        ("EU433", 433.375, "SF7BW125", (433.375, "SF7BW125"), (434.665, "SF12BW125")),
        ("EU868", 868.3, "SF8BW125", (868.3, "SF8BW125"), (869.525, "SF12BW125")),
        ("RU864", 868.9, "SF10BW125", (868.9, "SF10BW125"), (869.1, "SF12BW125")),
    ],
)
@pytest.mark.parametrize("tmst", [5, 2**32 - 1, 2**32 - 1_000_000, 2**32 - 1_500_000])
def test_windows(
    make_site: Callable[..., Any], region: str, freq: float, datr: str, rx1: Any, rx2: Any, tmst: int
) -> None:
    """RP002-1.0.4: RX1 a second after the uplink on its channel, RX2 a second later on the region's; mod 2**32 us."""
    site = make_site(region=region)
    node, forwarder = site.abp(), site.forwarder()
    forwarder.verdicts = ["TOO_LATE"]
    hear(site, forwarder, node.uplink(0, reading(1, ask=1)), freq=freq, datr=datr, tmst=tmst)
    found = [(sent["tmst"], sent["freq"], sent["datr"]) for sent in forwarder.sent]
    assert found == [((tmst + 1_000_000) % 2**32, *rx1), ((tmst + 2_000_000) % 2**32, *rx2)]
    assert forwarder.sent[0]["data"] == forwarder.sent[1]["data"]  # one counter, one frame
    assert {"imme": False, "modu": "LORA", "codr": "4/5", "ipol": True, "ncrc": True}.items() <= forwarder.sent[
        0
    ].items()
    assert forwarder.sent[0]["powe"] == {"IN865": 14, "EU433": 10, "EU868": 16, "RU864": 16}[region]
    assert outcomes(site) == {"sent": 1, "rx2": 1, "too_late": 1}


# -> how many PULL_RESP there were, and what was counted
VERDICTS = {
    "NONE": (1, {"sent": 1}),
    "TOO_LATE": (2, {"sent": 1, "rx2": 1, "too_late": 1}),
    "TOO_EARLY": (2, {"sent": 1, "rx2": 1, "too_early": 1}),
    "COLLISION_PACKET": (2, {"sent": 1, "rx2": 1, "collision": 1}),
    "COLLISION_BEACON": (2, {"sent": 1, "rx2": 1, "collision": 1}),
    "TX_FREQ": (2, {"sent": 1, "rx2": 1, "refused": 1}),
    "what is that": (2, {"sent": 1, "rx2": 1, "refused": 1}),
    "SILENT": (1, {"lost": 1, "silent": 1}),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_verdicts_of_the_gateway(site: Any, verdict: str) -> None:
    node, forwarder = site.abp(), site.forwarder()
    forwarder.verdicts = [verdict]
    hear(site, forwarder, node.uplink(0, reading(1, ask=1)))
    site.pass_time(11)
    sent, counters = VERDICTS[verdict]
    assert len(forwarder.sent) == sent
    assert outcomes(site) == counters
    assert site.network.downlinks._flights == {}


def test_both_windows_missed(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    forwarder.verdicts = ["TOO_LATE", "TOO_LATE"]
    hear(site, forwarder, node.uplink(0, reading(1, ask=1)))
    assert len(forwarder.sent) == 2
    assert outcomes(site) == {"lost": 1, "rx2": 1, "too_late": 2}


def test_no_counter_is_used_twice_even_after_a_kill(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    hear(site, forwarder, node.uplink(0, reading(1, ask=1)))
    hear(site, forwarder, node.uplink(1, reading(2, ask=1)))
    forwarder.hear(node.uplink(2, reading(3, ask=1)))
    site.pass_time(0.22)  # admitted, not committed: the kill comes before anything left
    site.scheduler = type(site.scheduler)(site.scheduler.wall_us())
    site.restart()
    hear(site, forwarder, node.uplink(2, reading(3, ask=1)))
    assert len(forwarder.sent) == 3
    for fcnt in range(3):
        node.open_down(base64.b64decode(forwarder.sent[fcnt]["data"]), fcnt)


def test_a_counter_is_on_disk_before_its_frame_leaves(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked up in the journal's file at the instant at which the datagram is handed over; settings and MAC too."""
    node, forwarder = site.abp(), site.forwarder()
    kept.add_orders(site.journal, 1, [bytes([16, 2, 5, 0])], site.scheduler.wall_us())
    site.network.refresh()
    stored: list[int] = []
    deliver = site._deliver

    def look(data: bytes, address: Any) -> None:
        if data[3] == 3:
            stored.append(site.reader.sessions()[0].fcnt_down)
        deliver(data, address)

    monkeypatch.setattr(site.source, "send", look)
    for fcnt in range(6):
        hear(site, forwarder, node.uplink(fcnt, reading(fcnt + 1, ask=1 if fcnt % 2 else None), fopts=b"\x02"))
    assert stored == [1, 2, 3, 4, 5, 6]
    used = [int.from_bytes(base64.b64decode(sent["data"])[6:8], "little") for sent in forwarder.sent]
    assert used == [0, 1, 2, 3, 4, 5]


def test_confirmed_uplinks_are_acknowledged_each_time_they_come(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    phy = node.uplink(0, reading(1), confirmed=True)
    for fcnt_down in range(3):
        hear(site, forwarder, phy, freq=865.4025)
        heard = node.open_down(forwarder.last_phy(), fcnt_down)
        assert (heard["ack"], heard["fport"]) == (True, None)
    assert site.counted() == {"accepted": 1, "duplicate": 2}
    assert site.records() == [(1, 1)]
    for _ in range(30):  # somebody plays it again and again
        hear(site, forwarder, phy)
    assert len(forwarder.sent) == 16


def test_a_repeated_frame_that_asks_nothing_gets_no_answer(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    for _ in range(2):
        hear(site, forwarder, node.uplink(0, reading(1)))
    assert forwarder.sent == []


def test_link_check_and_time_are_answered(site: Any) -> None:
    """TS001 5.1 and 5.9: margin above the floor (SF9: -12.5 dB), gateways; GPS seconds at the uplink's end."""
    node, forwarder, other = site.abp(), site.forwarder(), site.forwarder("00000000000000aa", 2)
    phy = node.uplink(0, reading(1), fopts=b"\x02\x0d")
    forwarder.push(forwarder.rxpk(phy, lsnr=7.5, time="2026-05-28T20:26:40.500000Z"))
    other.hear(phy, lsnr=-11)
    site.pass_time()
    heard = node.open_down(forwarder.last_phy(), 0)
    # 1780000000 s of Unix time - 315964800 + 18 leap seconds = 1464035218; half a second is 128/256
    assert heard["fopts"] == bytes([0x02, 20, 2]) + b"\x0d" + (1_464_035_218).to_bytes(4, "little") + bytes([128])
    assert heard["fport"] is None


def test_mac_commands_on_port_0(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    hear(site, forwarder, node.uplink(0, b"\x02\x80\x0d", 0), lsnr=-30)  # an unknown command ends the parsing
    assert node.open_down(forwarder.last_phy(), 0)["fopts"] == b"\x02\x00\x01"


def test_answers_are_cut_at_a_command(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    hear(site, forwarder, node.uplink(0, b"\x02\x0d" * 40, 0))
    assert len(node.open_down(forwarder.last_phy(), 0)["fopts"]) == 9


def test_adr_ack_req_gets_any_downlink(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    hear(site, forwarder, node.uplink(0, reading(1), flags=0x80))
    assert forwarder.sent == []
    hear(site, forwarder, node.uplink(1, reading(2), flags=0xC0))
    assert node.open_down(forwarder.last_phy(), 0)["fport"] is None


def test_the_second_best_gateway_takes_what_the_best_cannot_send(site: Any) -> None:
    """Both windows of the best gateway are refused: the next one's RX1, then its RX2; no third one."""
    node, best, second, third = site.abp(), site.forwarder(), site.forwarder("aa" * 8, 2), site.forwarder("bb" * 8, 3)
    best.verdicts, second.verdicts = ["COLLISION_PACKET", "TOO_LATE"], ["TOO_LATE"]
    phy = node.uplink(0, reading(1, ask=1))
    for forwarder, snr, tmst in ((third, -9, 30), (second, 1, 20), (best, 9, 10)):
        forwarder.hear(phy, lsnr=snr, tmst=tmst)
    site.pass_time()
    assert [sent["tmst"] for sent in best.sent] == [1_000_010, 2_000_010]
    assert [sent["tmst"] for sent in second.sent] == [1_000_020, 2_000_020]
    assert third.sent == []
    assert len({sent["data"] for sent in best.sent + second.sent}) == 1
    assert outcomes(site) == {"sent": 1, "rx2": 2, "second_gateway": 2, "collision": 1, "too_late": 2}


def test_a_window_that_is_over_is_not_tried(site: Any) -> None:
    """The best gateway says after 1.5 s that it did not send: RX1 of the other one is over, RX2 is not."""
    node, best, second = site.abp(), site.forwarder(), site.forwarder("aa" * 8, 2)
    best.verdicts = ["SILENT", "SILENT"]
    phy = node.uplink(0, reading(1, ask=1))
    best.hear(phy, lsnr=9)
    second.hear(phy, lsnr=1, tmst=20)
    site.pass_time(1.5)
    for _ in range(2):
        best.datagram(5, b'{"txpk_ack": {"error": "TOO_LATE"}}', best.tokens[-1])
    assert [sent["tmst"] for sent in second.sent] == [2_000_020]


def test_what_waits_too_long_is_stale(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    site.commit_s = 60.0
    forwarder.hear(node.uplink(0, reading(1, ask=1)))
    site.pass_time(120)
    assert outcomes(site) == {"lost": 1, "stale": 1}


def test_battery_and_margin_are_asked_once_a_day_with_a_downlink_that_goes_anyway(site: Any) -> None:
    """DevStatusReq 06; DevStatusAns 06 battery margin: 128 of 254, -7 dB in six bits."""
    site.status_told = False
    node, forwarder = site.abp(), site.forwarder()
    hear(site, forwarder, node.uplink(0, reading(1)))
    assert forwarder.sent == []
    hear(site, forwarder, node.uplink(1, reading(2, ask=1)))
    assert node.open_down(forwarder.last_phy(), 0)["fopts"] == b"\x06"
    hear(site, forwarder, node.uplink(2, reading(3, ask=1)))  # it was lost: not again at once
    assert node.open_down(forwarder.last_phy(), 1)["fopts"] == b""
    site.pass_time(3600)
    hear(site, forwarder, node.uplink(3, reading(4, ask=1)))
    assert node.open_down(forwarder.last_phy(), 2)["fopts"] == b"\x06"
    hear(site, forwarder, node.uplink(4, reading(5, ask=1), fopts=bytes([6, 128, 57])))
    link = site.reader.read(kept.links)[1]
    assert (link.battery, link.margin_db) == (128, -7)
    site.restart()
    site.pass_time(80_000)
    hear(site, forwarder, node.uplink(5, reading(6, ask=1)))
    assert node.open_down(forwarder.last_phy(), 4)["fopts"] == b""
    site.pass_time(10_000)
    hear(site, forwarder, node.uplink(6, reading(7, ask=1)))
    assert node.open_down(forwarder.last_phy(), 5)["fopts"] == b"\x06"


def test_time_is_told_only_by_a_station_that_knows_it(site: Any) -> None:
    """Until its clock is trusted its times count from its start (suat.clock)."""
    node, forwarder = site.abp(), site.forwarder()
    site.scheduler._start_us = 60_000_000
    hear(site, forwarder, node.uplink(0, reading(1), fopts=b"\x02\x0d"))
    assert node.open_down(forwarder.last_phy(), 0)["fopts"] == bytes([2, 18, 1, 6])  # a LinkCheckAns and a DevStatusReq


@pytest.mark.parametrize("answered", [True, False])
def test_channels_that_were_added_later(make_site: Callable[..., Any], answered: bool) -> None:
    """NewChannelReq 07 index, frequency in 100 Hz, data rates 5..0; an ABP node gets no CFList."""
    site = make_site(extra_channels_mhz=[866.185, 866.385, 866.585], adr=True)
    node, forwarder = site.abp(), site.forwarder()
    hear(site, forwarder, node.uplink(0, reading(1)))
    asked = node.open_down(forwarder.last_phy(), 0)["fopts"]
    assert (
        asked
        == bytes([7, 3])
        + (8_661_850).to_bytes(3, "little")
        + b"\x50"
        + bytes([7, 4])
        + (8_663_850).to_bytes(3, "little")
        + b"\x50"
    )
    if not answered:
        for fcnt in range(1, 200):
            hear(site, forwarder, node.uplink(fcnt, reading(fcnt + 1)))
        assert 3 <= len(forwarder.sent) <= 6  # soon, then seldom
        return
    hear(site, forwarder, node.uplink(1, reading(2), fopts=b"\x07\x03\x07\x03"))
    third = node.open_down(forwarder.last_phy(), 1)["fopts"]
    assert third == bytes([7, 5]) + (8_665_850).to_bytes(3, "little") + b"\x50"
    hear(site, forwarder, node.uplink(2, reading(3), fopts=b"\x07\x03"))
    assert len(forwarder.sent) == 2
    assert site.reader.read(kept.links)[1].channels_hz == (866_185_000, 866_385_000, 866_585_000)
    for fcnt in range(3, 30):
        hear(site, forwarder, node.uplink(fcnt, reading(fcnt + 1), flags=0x80), lsnr=13)
        if len(forwarder.sent) > 2:
            break
    mask = node.open_down(forwarder.last_phy(), 2)["fopts"][2:4]
    assert mask == b"\x3f\x00"  # three default channels and these


def test_a_channel_that_is_configured_no_more_is_taken_back(make_site: Callable[..., Any]) -> None:
    site = make_site(extra_channels_mhz=[866.185])
    node, forwarder = site.abp(), site.forwarder()
    hear(site, forwarder, node.uplink(0, reading(1)))
    hear(site, forwarder, node.uplink(1, reading(2), fopts=b"\x07\x03"))
    site.options = {}
    site.restart()
    hear(site, forwarder, node.uplink(2, reading(3)))
    assert node.open_down(forwarder.last_phy(), 1)["fopts"] == b"\x07\x03\0\0\0\x50"
    hear(site, forwarder, node.uplink(3, reading(4), fopts=b"\x07\x03"))
    assert site.reader.read(kept.links)[1].channels_hz == ()


def test_another_gateway_when_the_best_cannot_be_reached(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    far = site.forwarder("00000000000000aa", 2)
    phy = node.uplink(0, reading(1, ask=1))
    far.hear(phy, lsnr=9)
    forwarder.hear(phy, lsnr=-5, tmst=77)
    site.source.gateways["00000000000000aa"].pull_address = None
    site.pass_time()
    assert far.sent == []
    assert forwarder.sent[0]["tmst"] == 1_000_077
    site.source.gateways.clear()
    hear(site, forwarder, node.uplink(1, reading(2, ask=1)))
    assert site.network.downlinks.counters["lost"] == 1


def test_an_uplink_at_a_rate_outside_the_plan_is_answered_in_rx2(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    hear(site, forwarder, node.uplink(0, reading(1, ask=1)), datr="SF7BW250", tmst=0)
    assert [(sent["tmst"], sent["datr"]) for sent in forwarder.sent] == [(2_000_000, "SF10BW125")]


def test_a_reply_is_never_late_for_a_quick_station(site: Any) -> None:
    """The way from the uplink's end to the PULL_RESP: dedup and commit, well under RX1's second."""
    node, forwarder = site.abp(), site.forwarder()
    forwarder.hear(node.uplink(0, reading(1, ask=1)))
    site.pass_time(0.3)
    assert len(forwarder.sent) == 1


@pytest.mark.parametrize("joins", [False, True])
def test_a_reply_whose_commit_came_too_late_is_not_sent(site: Any, joins: bool) -> None:
    """Its tmst would be due again after 2**32 us, when the node sleeps."""
    node, forwarder = (site.otaa() if joins else site.abp()), site.forwarder()
    site.commit_s = 60.0
    forwarder.hear(node.join_request() if joins else node.uplink(0, reading(1, ask=1)))
    site.pass_time(120)
    assert forwarder.sent == []
    assert site.network.downlinks.counters["lost"] == 1
    assert len(site.reader.sessions()) == 1


def test_an_ask_without_an_answer_sends_nothing(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    forwarder.hear(node.uplink(0, reading(1, ask=1)))
    site.network.flush()
    site.network.downlinks.dispatch(site.admitted[0].reply, None)
    assert (forwarder.sent, site.network.downlinks.counters["lost"]) == ([], 0)


def test_adr_says_nothing_outside_the_plan(make_site: Callable[..., Any]) -> None:
    site = make_site(adr=True)
    node, forwarder = site.abp(), site.forwarder()
    for fcnt in range(25):
        hear(site, forwarder, node.uplink(fcnt, reading(fcnt), flags=0x80), datr="SF7BW250", lsnr=13)
    assert forwarder.sent == []


def test_no_key_is_shown(site: Any) -> None:
    personal, joining, forwarder = site.abp(), site.otaa("other"), site.forwarder()
    forwarder.hear(personal.uplink(0, reading(1, ask=1)))
    forwarder.hear(joining.join_request())
    site.pass_time()
    devices = list(site.network.devices.by_registration.values())
    sessions = [session for found in site.network.devices.by_addr.values() for session in found]
    shown = repr((site.admitted, devices, sessions, site.keys, [frame.session for frame in site.admitted]))
    joining.take_accept(forwarder.last_phy(), 0)
    for key in (personal.nwk, personal.app, joining.app_key, joining.nwk, joining.app):
        assert repr(key)[2:-1] not in shown
        assert key.hex() not in shown
