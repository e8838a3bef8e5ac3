"""Adaptive data rate against Semtech's published rule, and through a whole exchange with a node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat.network.adr import HISTORY, LinkHistory, Setting
from suat_wire import payload
from suat_wire.payload import Sample
from suat_wire.region import REGIONS

REGION = REGIONS["IN865"]


def heard(snrs: list[float], step: int = 1) -> LinkHistory:
    history = LinkHistory()
    for number, snr in enumerate(snrs):
        history.add(number * step, snr)
    return history


# best SNR, DR, power index -> DR, power index; whole steps of 3 dB in SNR - required - 10, by hand
RULE = [
    (-20.0, 0, 0, None),  # at the very edge: nothing to gain, and the node itself lowers the rate
    (-7.1, 0, 0, None),  # 2.9 dB over
    (-7.0, 0, 0, (1, 0)),  # 3 dB over SF12: one step
    (10.0, 0, 0, (5, 1)),  # 20 dB over SF12: 6 steps, five of rate and one of power
    (5.0, 3, 0, (5, 0)),  # 7.5 dB over SF9: 2 steps
    (12.0, 5, 0, (5, 3)),  # 9.5 dB over SF7
    (40.0, 5, 0, (5, 10)),  # IN865 ends at TXPower 10
    (-5.0, 5, 4, (5, 2)),  # 7.5 dB short: 2 whole steps of power back
    (0.0, 5, 4, None),  # 2.5 dB short: a step of power would be 2 dB
    (-20.0, 5, 1, (5, 0)),  # never above full power, never a slower rate
]


@pytest.mark.parametrize(("snr", "dr", "power", "expected"), RULE)
def test_the_rule(snr: float, dr: int, power: int, expected: tuple[int, int] | None) -> None:
    history = heard([snr - 3.0] * (HISTORY - 1) + [snr])
    history.tx_power = power
    assert history.wish(REGION, dr) == (None if expected is None else Setting(*expected, 1))


def test_one_lucky_reception_is_no_ground() -> None:
    """The median is -20 dB; of the one at 10 dB no more than -17 dB counts: 2 dB short for SF9."""
    assert heard([-20.0] * (HISTORY - 1) + [10.0]).wish(REGION, 3) is None
    assert heard([-4.0] * (HISTORY - 1) + [10.0]).wish(REGION, 0) == Setting(3, 0, 1)  # -1 + 20 - 10 = 9 dB


def test_little_heard_is_no_ground() -> None:
    assert heard([20.0] * (HISTORY - 1)).wish(REGION, 0) is None
    assert heard([float("nan")] * 40).wish(REGION, 0) is None


@pytest.mark.parametrize(("step", "present", "expected"), [(1, 1, 1), (1, 3, 2), (2, 1, 3), (2, 3, 3), (1, 2, 1)])
def test_repetitions_follow_the_loss(step: int, present: int, expected: int) -> None:
    history = heard([5.0] * HISTORY, step)
    history.nb_trans = present
    wished = history.wish(REGION, 5)
    assert (present if wished is None else wished.nb_trans) == expected


def test_what_the_node_refuses_is_not_asked_again_soon() -> None:
    history = heard([20.0] * HISTORY)
    wish = history.wish(REGION, 0)
    assert wish is not None
    history.ask(wish)
    history.answered(0b110)
    asked_again = []
    for number in range(HISTORY, HISTORY + 100):
        history.add(number, 20.0)
        if history.wish(REGION, 0):
            asked_again.append(number - HISTORY + 1)
    assert asked_again[0] == 64
    assert (history.tx_power, history.nb_trans) == (0, 1)


@given(
    st.lists(st.floats(-40, 40), min_size=HISTORY, max_size=60),
    st.integers(0, 5),
    st.integers(0, 10),
    st.integers(1, 9),
)
def test_wishes_stay_within_the_plan(snrs: list[float], dr: int, power: int, step: int) -> None:
    history = heard(snrs, step)
    history.tx_power = power
    wish = history.wish(REGION, dr)
    if wish is not None:
        assert dr <= wish.dr <= 5
        assert 0 <= wish.tx_power <= REGION.last_tx_power
        assert 1 <= wish.nb_trans <= 3


def reading(record: int) -> bytes:
    return payload.encode([Sample(record, 0, {("node", "battery"): 3.3})], 51)[0]


@pytest.mark.parametrize("adr", [True, False])
def test_a_node_is_led_to_its_rate(make_site: Callable[..., Any], adr: bool) -> None:
    """LinkADRReq (TS001 5.3) by hand: 03, DR 5 and power 3, channels 0-2, NbTrans 1; then the answer is heeded."""
    site = make_site(adr=adr)
    node, forwarder = site.abp(), site.forwarder()
    for fcnt in range(20):
        forwarder.hear(node.uplink(fcnt, reading(fcnt), flags=0x80), datr="SF9BW125", lsnr=13.0)
        site.pass_time()
    assert len(forwarder.sent) == int(adr)
    if not adr:
        return
    # 13 - (-12.5) - 10 = 15.5 dB: five steps, DR3 -> DR5 and three of power
    assert node.open_down(forwarder.last_phy(), 0)["fopts"] == bytes.fromhex("0353070001")
    forwarder.hear(node.uplink(20, reading(20), fopts=b"\x03\x07", flags=0x80), datr="SF7BW125", lsnr=7.0)
    for fcnt in range(21, 60):
        forwarder.hear(node.uplink(fcnt, reading(fcnt), flags=0x80), datr="SF7BW125", lsnr=4.0)
        site.pass_time()
    assert len(forwarder.sent) == 1
    assert site.network.devices.by_registration[1].history.tx_power == 3


def test_a_node_that_does_not_offer_it_is_left_alone(make_site: Callable[..., Any]) -> None:
    site = make_site(adr=True)
    node, forwarder = site.abp(), site.forwarder()
    for fcnt in range(30):
        forwarder.hear(node.uplink(fcnt, reading(fcnt)), lsnr=13.0)
        site.pass_time()
    assert forwarder.sent == []


def test_a_node_that_a_bridge_alone_hears_stays_at_the_bridges_rate(make_site: Callable[..., Any]) -> None:
    """One radio hears one data rate (docs/bridge.md): a faster node would not be heard at all."""
    site = make_site(adr=True)
    node, bridge = site.abp(), site.forwarder()
    site.source.name = "serial_bridge /dev/ttyACM0"
    for fcnt in range(30):
        bridge.hear(node.uplink(fcnt, reading(fcnt), flags=0x80), lsnr=13.0)
        site.pass_time()
    assert bridge.sent == []
