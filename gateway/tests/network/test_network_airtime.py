"""The duty cycle of downlinks: in any hour, by gateway and band, whatever nodes ask for, across restarts.

The air time is reckoned here by Semtech's formula (AN1200.13), not by the station's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from suat_wire import payload
from suat_wire.payload import Sample

SHARES = {868.1: 0.01, 869.525: 0.10}  # EU868: RX1's band, RX2's band (ERC/REC 70-03)
STEP_S = 8.0


def air_s(size: int, sf: int) -> float:
    """Explicit header, no CRC (a downlink), 4/5, preamble 8, low data rate optimisation from SF11 on."""
    low = sf >= 11
    symbol = 2**sf / 125_000
    blocks = math.ceil(max((8 * size - 4 * sf + 28) / (4 * (sf - 2 * low)), 0))
    return float((8 + 4.25 + 8 + blocks * 5) * symbol)


def asking(node: Any, number: int) -> bytes:
    data, _ = payload.encode([Sample(number, 0, {("node", "battery"): 3.3})], 51, number)
    return bytes(node.uplink(number, data))


def sent(forwarder: Any) -> list[tuple[float, float, float]]:
    """(when, MHz, air time [s]) of all frames that were given to a forwarder and sent, in their order."""
    out = []
    turns, before = 0, 0
    for entry in forwarder.sent:
        turns += entry["tmst"] < before  # the gateway's counter begins anew after 2**32 us
        before = entry["tmst"]
        at = (entry["tmst"] + (turns << 32)) / 1e6
        out.append((at, entry["freq"], air_s(entry["size"], int(entry["datr"][2:-5]))))
    return out


def busiest_hour(frames: list[tuple[float, float, float]], mhz: float) -> float:
    """The largest air time of any hour in a band [s]."""
    mine = [(at, air) for at, freq, air in frames if freq == mhz]
    return max((sum(air for at, air in mine if start <= at < start + 3599) for start, _ in mine), default=0.0)


@pytest.mark.parametrize("restarts", [False, True])
def test_no_hour_is_fuller_than_the_region_allows(make_site: Callable[..., Any], restarts: bool) -> None:
    site = make_site(region="EU868")
    node, forwarder = site.abp(), site.forwarder()
    turns = round(1.2 * 3600 / STEP_S)
    for number in range(turns):
        forwarder.hear(asking(node, number), freq=868.1, datr="SF12BW125")
        site.pass_time(STEP_S)
        if restarts and number % 50 == 49:
            site.restart()
    frames = sent(forwarder)
    for mhz, share in SHARES.items():
        used = busiest_hour(frames, mhz)
        print(f"{mhz} MHz: {used:.1f} s in the busiest hour, {share * 3600:.0f} s are allowed")
        assert 0.9 * share * 3600 < used <= share * 3600
    if not restarts:
        counters = site.network.downlinks.counters
        assert counters["sent"] == len(frames) < turns
        assert counters["lost"] == turns - len(frames)
        assert counters["no_airtime"] > 0
    assert len(site.records()) == turns  # what can't be answered is kept all the same


def test_each_gateway_has_an_account_of_its_own(make_site: Callable[..., Any]) -> None:
    site = make_site(region="EU868")
    node, best, other = site.abp(), site.forwarder(), site.forwarder("aa" * 8, 2)
    number = 0
    while not other.sent and number < 500:
        phy = asking(node, number)
        best.hear(phy, freq=868.1, datr="SF12BW125", lsnr=9)
        other.hear(phy, freq=868.1, datr="SF12BW125", lsnr=1)
        site.pass_time(STEP_S)
        number += 1
    assert busiest_hour(sent(best), 868.1) > 34
    assert busiest_hour(sent(best), 869.525) > 350
    assert site.network.downlinks.counters["second_gateway"] == 1
    assert other.sent[0]["freq"] == 868.1  # its own RX1


def test_what_a_gateway_did_not_send_is_given_back(make_site: Callable[..., Any]) -> None:
    site = make_site(region="EU868")
    node, forwarder = site.abp(), site.forwarder()
    for number in range(100):
        forwarder.verdicts = ["TOO_LATE", "TOO_LATE"]
        forwarder.hear(asking(node, number), freq=868.1, datr="SF12BW125")
        site.pass_time(STEP_S)
    assert site.network.downlinks.counters["no_airtime"] == 0
    forwarder.hear(asking(node, 100), freq=868.1, datr="SF12BW125")
    site.pass_time()
    assert site.network.downlinks.counters["sent"] == 1


def test_a_region_without_a_duty_cycle_keeps_no_account(site: Any) -> None:
    node, forwarder = site.abp(), site.forwarder()
    for number in range(100):
        forwarder.hear(asking(node, number), datr="SF12BW125")
        site.pass_time(3)
    assert len(forwarder.sent) == 100
    assert site.journal._connection.execute("SELECT count(*) FROM airtime").fetchone() == (0,)


def test_the_account_forgets_what_no_hour_holds_any_more(make_site: Callable[..., Any]) -> None:
    site = make_site(region="EU868")
    node, forwarder = site.abp(), site.forwarder()
    for number in range(30):
        forwarder.hear(asking(node, number), freq=868.1, datr="SF7BW125")
        site.pass_time(600)
    assert site.journal._connection.execute("SELECT count(*) FROM airtime").fetchone()[0] <= 7
    assert sum(map(len, site.network.downlinks.airtime._spent.values())) <= 7


def test_a_frequency_outside_the_plan_is_answered_in_rx2_alone(make_site: Callable[..., Any]) -> None:
    site = make_site(region="EU868")
    node, forwarder = site.abp(), site.forwarder()
    forwarder.hear(asking(node, 0), freq=869.0 + 0.3, datr="SF7BW125")
    site.pass_time()
    assert [entry["freq"] for entry in forwarder.sent] == [869.525]
