"""Who hears whom: path loss, collisions and capture, half-duplex gateways, receive windows, seeded chance."""

from __future__ import annotations

import math
from typing import Any

import pytest
from suat_sim.air import (
    IQ_INVERTED,
    PUBLIC_SYNC,
    REQUIRED_SNR,
    Air,
    AirSettings,
    Ear,
    Frame,
    Heard,
    Look,
    Window,
    noise_dbm,
)

QUIET = AirSettings(shadow_db=0.0, fading_db=0.0)
HZ = 865_062_500
SYMBOL = 4096  # SF9 at 125 kHz [us]


def air_with(places: dict[str, float], settings: AirSettings = QUIET, seed: int = 1) -> tuple[Air, list[Heard]]:
    """A gateway at the origin and nodes at distances [km]."""
    air = Air(seed, settings)
    got: list[Heard] = []
    air.ears.append(Ear("gw", 0.0, 0.0, frozenset([HZ, HZ + 200_000]), got.append))
    for name, km in places.items():
        air.place(name, km * 1000, 0.0)
    return air, got


def frame(air: Air, sender: str, start: int, **changes: Any) -> Frame:
    """A frame of 200 ms."""
    fields: dict[str, Any] = {
        "sender": sender, "number": air.number(sender), "start_us": start, "end_us": start + 200_000, "hz": HZ, "sf": 9,
        "bw_hz": 125_000, "dbm": 14, "flags": PUBLIC_SYNC, "preamble": 8, "payload": b"hello", **changes,
    }  # fmt: skip
    return Frame(**fields)


def send(air: Air, *frames: Frame) -> None:
    """Let frames pass in the order of time."""
    for _, _, action, what in sorted(
        [(f.start_us, 1, air.uplink_begins, f) for f in frames] + [(f.end_us, 0, air.uplink_ends, f) for f in frames],
        key=lambda event: event[:2],
    ):
        action(what)


def test_level_follows_the_published_path_loss() -> None:
    air, got = air_with({"a": 1.0, "b": 2.0})
    send(air, frame(air, "a", 0))
    send(air, frame(air, "b", 1_000_000))
    # Petajajarvi et al.: 128.95 dB at 1 km, 23.2 dB a decade; noise -174 + 10 log10(125e3) + 6
    assert got[0].rssi == pytest.approx(14 - 128.95)
    assert got[1].rssi == pytest.approx(14 - 128.95 - 23.2 * math.log10(2))
    assert got[0].snr == pytest.approx(14 - 128.95 + 117.03, abs=0.01)


def test_each_spreading_factor_reaches_2_5_db_further() -> None:
    for sf in range(7, 13):
        limit = 10 ** ((14 - 128.95 - noise_dbm(125_000, 6.0) - REQUIRED_SNR[sf]) / 23.2)
        air, got = air_with({"near": limit * 0.99, "far": limit * 1.01})
        send(air, frame(air, "near", 0, sf=sf))
        send(air, frame(air, "far", 1_000_000, sf=sf))
        assert [heard.frame.sender for heard in got] == ["near"]
        assert air.lost["weak"] == 1


def test_of_two_frames_at_once_the_one_6_db_stronger_survives() -> None:
    ratio = 10 ** (6.5 / 23.2)
    air, got = air_with({"near": 0.5, "far": 0.5 * ratio})
    send(air, frame(air, "near", 0), frame(air, "far", 100_000))
    assert [heard.frame.sender for heard in got] == ["near"]
    assert air.lost["collision"] == 1


def test_two_frames_of_like_strength_are_both_lost() -> None:
    air, got = air_with({"a": 0.5, "b": 0.55})
    send(air, frame(air, "a", 0), frame(air, "b", 199_999))
    assert got == []
    assert air.lost["collision"] == 2


@pytest.mark.parametrize("change", [{"sf": 10}, {"hz": HZ + 200_000}, {"start_us": 200_000, "end_us": 400_000}])
def test_other_factor_channel_or_time_is_no_collision(change: dict[str, int]) -> None:
    air, got = air_with({"a": 0.5, "b": 0.5})
    send(air, frame(air, "a", 0), frame(air, "b", 100_000, **change))
    assert len(got) == 2


def test_a_gateway_is_deaf_while_it_sends() -> None:
    air, got = air_with({"a": 0.5})
    air.downlink_begins(frame(air, "gw", 50_000, flags=PUBLIC_SYNC | IQ_INVERTED, end_us=60_000))
    send(air, frame(air, "a", 0))
    assert got == []
    assert air.lost["deaf"] == 1
    send(air, frame(air, "a", 300_000))
    assert len(got) == 1


@pytest.mark.parametrize("change", [{"hz": HZ + 1}, {"flags": 0}, {"flags": PUBLIC_SYNC | IQ_INVERTED}])
def test_a_gateway_hears_its_channels_the_public_sync_word_and_standard_iq_only(change: dict[str, int]) -> None:
    air, got = air_with({"a": 0.1})
    send(air, frame(air, "a", 0, **change))
    assert got == []
    assert air.lost["channel"] == 1


def test_two_gateways_give_two_copies_and_one_frame_heard() -> None:
    air, got = air_with({"a": 0.5})
    air.ears.append(Ear("gw2", 800.0, 0.0, frozenset([HZ]), got.append))
    send(air, frame(air, "a", 0))
    assert len(got) == 2
    assert air.counters["heard"] == 1


def window(air: Air, opens: int, symbols: int = 12, **changes: Any) -> list[tuple[Any, ...]]:
    """Open a node's window; the list holds its verdict once it is known."""
    verdict: list[tuple[Any, ...]] = []
    fields: dict[str, Any] = {
        "node": "a", "open_us": opens, "close_us": opens + symbols * SYMBOL, "hz": HZ, "sf": 9, "bw_hz": 125_000,
        "flags": PUBLIC_SYNC | IQ_INVERTED, "after_us": 0, "answer": lambda *told: verdict.append(told), **changes,
    }  # fmt: skip
    air.window_opens(Window(**fields))
    return verdict


def down(air: Air, start: int, **changes: Any) -> Frame:
    """A downlink."""
    return frame(air, "gw", start, **{"flags": PUBLIC_SYNC | IQ_INVERTED, **changes})


def test_a_window_that_sees_four_symbols_of_preamble_receives() -> None:
    # The preamble of 8 symbols begins at 1 s: the receiver may open 4 symbols late, but not 5.
    for late, heard in ((-8, True), (0, True), (4, True), (5, False)):
        air, _ = air_with({"a": 0.5})
        air.downlink_begins(down(air, 1_000_000)) if late > 0 else None
        verdict = window(air, 1_000_000 + late * SYMBOL)
        air.downlink_begins(down(air, 1_000_000)) if late <= 0 else None
        assert bool(verdict) == heard, late
        if heard:
            assert verdict[0][:3] == (1_200_000, 1, b"hello")


def test_a_window_that_closes_before_the_lock_receives_nothing() -> None:
    air, _ = air_with({"a": 0.5})
    verdict = window(air, 1_000_000, symbols=8)
    air.downlink_begins(down(air, 1_000_000 + 5 * SYMBOL))
    assert verdict == []
    air.window_closes(air.windows[0])
    assert verdict[0][:2] == (1_000_000 + 8 * SYMBOL, 0)


@pytest.mark.parametrize(
    "change", [{"hz": HZ + 1}, {"sf": 10}, {"flags": PUBLIC_SYNC}, {"flags": IQ_INVERTED}, {"dbm": -20}]
)
def test_a_window_hears_its_own_kind_only(change: dict[str, int]) -> None:
    air, _ = air_with({"a": 1.0})
    verdict = window(air, 1_000_000)
    air.downlink_begins(down(air, 1_000_000, **change))
    assert verdict == []


def look(air: Air, node: str, opens: int, **changes: Any) -> bool:
    """A channel activity detection of four symbols."""
    found: list[bool] = []
    fields: dict[str, Any] = {
        "node": node, "open_us": opens, "close_us": opens + 4 * SYMBOL, "hz": HZ, "sf": 9, "bw_hz": 125_000,
        "flags": PUBLIC_SYNC, "answer": found.append, **changes,
    }  # fmt: skip
    air.looked(Look(**fields))
    return found[0]


def test_a_look_finds_who_sends_the_same_kind_at_that_moment() -> None:
    air, _ = air_with({"a": 0.5, "b": 0.9})
    air.uplink_begins(frame(air, "a", 1_000_000))  # to 1.2 s
    cases: dict[int, bool] = {
        1_000_000: True,
        1_100_000: True,  # payload as well as preamble
        1_000_000 - 2 * SYMBOL: True,
        1_000_000 - 3 * SYMBOL: False,  # one symbol of four is not enough
        1_200_000 - 2 * SYMBOL: True,
        1_200_000: False,
    }
    assert {opens: look(air, "b", opens) for opens in cases} == cases
    assert not look(air, "a", 1_100_000), "its own frame"
    for change in ({"hz": HZ + 200_000}, {"sf": 10}, {"flags": PUBLIC_SYNC | IQ_INVERTED}):
        assert not look(air, "b", 1_100_000, **change), change
    assert (air.counters["looks"], air.counters["busy"]) == (10, 4)


def test_a_look_hears_as_far_as_a_receiver() -> None:
    limit = 10 ** ((14 - 128.95 - noise_dbm(125_000, 6.0) - REQUIRED_SNR[9]) / 23.2)
    air, _ = air_with({"a": 0.0, "near": limit * 0.99, "far": limit * 1.01})
    air.uplink_begins(frame(air, "a", 0))
    assert look(air, "near", 100_000) and not look(air, "far", 100_000)
    air, _ = air_with({"a": 0.3, "b": 0.9}, AirSettings(fading_db=0.0))
    for sender, listener in (("a", "b"), ("b", "a")):
        one = Frame(sender, 0, 0, 1, HZ, 9, 125_000, 14, 0, 8, b"")
        pair = sorted((sender, listener))
        assert air._level(one, pair[0], Ear(pair[1], *air.places[pair[1]], frozenset(), lambda _: None)) == air._level(
            one, "a", Ear("b", 900.0, 0.0, frozenset(), lambda _: None)
        )


def test_a_look_finds_a_gateway_that_sends_only_with_inverted_iq() -> None:
    air, _ = air_with({"a": 0.5})
    air.downlink_begins(down(air, 1_000_000))
    assert not look(air, "a", 1_100_000)
    assert look(air, "a", 1_100_000, flags=PUBLIC_SYNC | IQ_INVERTED)


def test_chance_is_seeded_and_does_not_depend_on_order() -> None:
    settings = AirSettings(loss=0.3, corrupt=0.2, duplicate=0.2)

    def run(seed: int, order: list[str]) -> list[tuple[str, int, bytes, int, float]]:
        air, got = air_with({"a": 0.1, "b": 0.12, "c": 0.14}, settings, seed)
        for number in range(100):
            for place, name in enumerate(order):
                send(air, frame(air, name, number * 10_000_000 + place * 1_000_000))
        return sorted((h.frame.sender, h.frame.number, h.payload, h.copies, h.rssi) for h in got)

    first = run(5, ["a", "b", "c"])
    assert first == run(5, ["c", "a", "b"])
    assert first != run(6, ["a", "b", "c"])
    assert 160 < len(first) < 250  # 70 % of 300, within 4 sigma and some
    damaged = [payload for _, _, payload, _, _ in first if payload != b"hello"]
    assert 0.1 < len(damaged) / len(first) < 0.3
    assert all(sum((x ^ y).bit_count() for x, y in zip(p, b"hello", strict=True)) == 1 for p in damaged)
    assert any(copies == 2 for _, _, _, copies, _ in first)
