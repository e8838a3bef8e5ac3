"""Episodes of a broken probe: when they begin, what they take in, when they end, and what is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from suat_filters import BROKEN, RANGE, ChannelSettings, FilterBank, judge

HOUR = 3600.0
DAY = 24 * HOUR
MOISTURE = ChannelSettings(
    minimum=-0.05,
    maximum=0.7,
    window=5,
    n_sigmas=5.0,
    resolution=0.01,
    spike_accept=3,
    gap_seconds=6 * HOUR,
    max_noise=0.01,
    broken_seconds=DAY,
)
DEPTH = ChannelSettings(
    minimum=-0.1, maximum=10.0, max_rate=0.005, gap_seconds=6 * HOUR, max_noise=0.3, broken_seconds=DAY
)


def times(n: int, step: float) -> NDArray[np.float64]:
    return np.arange(n) * step


def recession(n: int, step: float) -> NDArray[np.float64]:
    """Soil that drains from 0.30 towards 0.12 m3/m3 over a fortnight, in the probe's steps of 0.001."""
    return np.round(0.12 + 0.18 * np.exp(-times(n, step) / (5 * DAY)), 3)


def broken(x: NDArray[np.float64], step: float, settings: ChannelSettings = MOISTURE) -> list[tuple[int, int]]:
    """First and last reading of each episode."""
    flags = judge(times(len(x), step), x, settings)[1]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (flags & BROKEN) > 0, [0]]).astype(int)))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


@pytest.mark.parametrize("step", [900.0, HOUR, 2 * HOUR])
@pytest.mark.parametrize(
    "fault",
    [
        lambda rng, n: rng.normal(0.1, 0.03, n),  # a bad contact
        lambda rng, n: np.resize([-0.05, 0.65, 0.65], n),  # rail to rail, within the range
        lambda rng, n: np.full(n, 2.0),  # open circuit
        lambda rng, n: np.where(rng.random(n) < 0.6, -0.4, 0.2),  # a bad contact, mostly out of range
        lambda rng, n: np.full(n, math.inf),
    ],
    ids=["noise", "rails", "range", "mostly", "infinity"],
)
def test_an_episode_begins_with_the_first_bad_reading_and_ends_with_the_last(step: float, fault) -> None:  # type: ignore[no-untyped-def]
    """Six days among twenty; noise may by chance look sound at its edges, for a few readings."""
    n, first, end = (int(days * DAY / step) for days in (20, 7, 13))
    x = recession(n, step)
    x[first:end] = fault(np.random.default_rng(5), end - first)
    ((began, ended),) = broken(x, step)
    assert abs(began - first) <= 4
    assert abs(ended - (end - 1)) <= 4


def test_during_an_episode_readings_are_flagged_as_they_come_and_those_before_it_later() -> None:
    """Out of range from the 20th of the two-hourly readings on: believed broken at the sixth, after half a day."""
    bank = FilterBank(1, MOISTURE)
    x = recession(40, 2 * HOUR)
    x[20:] = 1.5
    flags = [bank.push(0, i * 2 * HOUR, reading)[1] for i, reading in enumerate(x.tolist())]
    assert flags == [0] * 20 + [RANGE] * 5 + [RANGE | BROKEN] * 15
    assert bank.revisions() == [(0, 20 * 2 * HOUR, 24 * 2 * HOUR, BROKEN, 0)]


def test_what_was_read_soundly_before_the_end_was_sure_is_given_back() -> None:
    x = recession(200, 2 * HOUR)
    x[50:80] = 1.5
    values, flags = judge(times(200, 2 * HOUR), x, MOISTURE)
    assert np.flatnonzero(flags & BROKEN).tolist() == list(range(50, 80))
    assert np.array_equal(values[80:], x[80:])


def test_a_few_bad_readings_are_no_episode() -> None:
    """A glitch a day, and an hour of nonsense, are flagged one by one."""
    x = recession(14 * 96, 900.0)
    x[::96] = 0.6
    x[500:504] = 1.0
    assert broken(x, 900.0) == []


@pytest.mark.parametrize(("step", "every"), [(900.0, 1), (HOUR, 1), (2 * HOUR, 1), (3 * HOUR, 2)])
def test_rain_is_no_fault(step: float, every: int) -> None:
    """A storm a day, or each second day: 0.15 m3/m3 within a reading, then drainage."""
    t = times(int(14 * DAY / step), step)
    since_rain = np.where(t > 3 * DAY, t % (every * DAY), every * DAY)
    x = np.round(0.12 + 0.15 * np.exp(-since_rain / (0.4 * DAY)), 3)
    assert broken(x, step) == []


@pytest.mark.parametrize("step", [900.0, HOUR])
def test_a_tank_that_is_filled_and_drunk_is_no_fault(step: float) -> None:
    """2 m in half an hour each morning, a herd that draws all day."""
    t = times(int(14 * DAY / step), step)
    of_day = t % DAY
    x = np.round(np.where(of_day < HOUR / 2, 0.2 + 2.0 * of_day / (HOUR / 2), 2.2 - 2.0 * of_day / DAY), 2)
    assert broken(x, step, DEPTH) == []


@pytest.mark.parametrize("step", [900.0, HOUR, 2 * HOUR, 3 * HOUR])
def test_bare_soil_under_the_sun_is_no_fault(step: float) -> None:
    """A swing of 36 K in the day, the most that was kept at 5 cm."""
    settings = ChannelSettings(minimum=-40, maximum=60, gap_seconds=6 * HOUR, max_noise=8.0, broken_seconds=DAY)
    t = times(int(10 * DAY / step), step)
    x = np.round(25 + 18 * np.cos(2 * math.pi * t / DAY), 1)
    assert broken(x, step, settings) == []


def test_a_quantised_probe_at_rest_is_no_fault_whatever_its_last_digit_does() -> None:
    x = 0.2 + 0.001 * np.random.default_rng(1).integers(-3, 4, 2000)
    flags = judge(times(2000, 900.0), x, MOISTURE)[1]
    assert not flags.any()


def test_a_first_reading_out_of_range_is_no_episode() -> None:
    x = recession(100, 2 * HOUR)
    x[:3] = -0.2
    assert broken(x, 2 * HOUR) == []


def test_without_the_settings_nothing_is_judged() -> None:
    x = np.random.default_rng(2).normal(0.3, 0.1, 400)
    assert broken(x, 2 * HOUR, ChannelSettings(minimum=0, maximum=0.5)) == []
