"""Clocks that fail: those that jump and come back, those that stand still, and those the day's wave gives away."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from suat_filters import CLOCK, GAP, ChannelSettings, FilterBank, judge
from suat_filters.reference_bank import SWING, Chain, arch

HOUR = 3600.0
DAY = 24 * HOUR
STEP = 2 * HOUR
YEAR_2049 = 34 * 365 * DAY
SOIL = ChannelSettings(minimum=-40, maximum=60, gap_seconds=6 * HOUR, day_swing=3.0)


def soil(days: float, since: float = 0.0, late_h: float = 0.0, swing: float = 12.0) -> NDArray[np.float64]:
    """(time, temperature) rows every two hours: warmest at 16 h, by a clock that is `late_h` hours late."""
    t = since + np.arange(0.0, days * DAY, STEP)
    return np.column_stack([t, 15 + swing / 2 * np.cos(2 * math.pi * (t + late_h * HOUR - 16 * HOUR) / DAY)])


def flags_of(rows: NDArray[np.float64], settings: ChannelSettings = SOIL) -> NDArray[np.uint16]:
    return judge(rows[:, 0], rows[:, 1], settings)[1]


def test_the_arch_is_nearly_the_sine_and_its_vector_has_the_length_that_is_said() -> None:
    u = np.arange(0, 1, 1e-4)
    curve = np.array([arch(one) for one in u])
    assert np.abs(curve - np.sin(2 * math.pi * u)).max() < 0.06
    x = np.cos(2 * math.pi * u) / 2  # swings by 1
    assert np.hypot(np.diff(x) @ curve[1:], np.diff(x) @ np.roll(curve, -2500)[1:]) == pytest.approx(SWING, rel=1e-3)


@pytest.mark.parametrize("late", [-11, -6, -4, 4, 6, 11])
def test_a_clock_that_is_hours_wrong_after_a_gap_is_seen_in_the_wave(late: float) -> None:
    """All of it, but the day in which the logger was started again; and what is dated rightly stays untouched."""
    wrong_from, right_from = 33 * DAY, 63 * DAY + 12 * HOUR
    rows = np.concatenate([soil(30), soil(30, wrong_from, late), soil(20, right_from)])
    clock = (flags_of(rows) & CLOCK) > 0
    wrong = (rows[:, 0] >= wrong_from) & (rows[:, 0] < right_from)
    assert not clock[~wrong].any()
    assert clock[wrong].all()


@pytest.mark.parametrize("late", [-2.5, -1, 1, 2.5])
def test_what_seasons_and_summer_time_move_is_no_wrong_clock(late: float) -> None:
    assert not (flags_of(np.concatenate([soil(30), soil(30, 33 * DAY, late)])) & CLOCK).any()


def test_a_clock_that_is_put_right_without_a_gap_is_believed_from_that_day_on() -> None:
    rows = np.concatenate([soil(20), soil(20, 20 * DAY, 5.0), soil(20, 40 * DAY)])
    clock = rows[(flags_of(rows) & CLOCK) > 0, 0]
    assert (clock.min() // DAY, clock.max() // DAY) == (20, 39)


def test_the_value_of_a_reading_with_a_wrong_date_is_none_and_comes_back_when_the_clock_proves_right() -> None:
    rows = np.concatenate([soil(20), soil(20, 20 * DAY, 5.0), soil(20, 40 * DAY)])
    values, flags = judge(rows[:, 0], rows[:, 1], SOIL)
    assert np.array_equal(np.isnan(values), (flags & CLOCK) > 0)
    assert np.array_equal(values[flags == 0], rows[flags == 0, 1])


def test_one_odd_day_and_days_without_a_wave_say_nothing() -> None:
    """A cold front at noon; snow, under which nothing swings; a week of cloud."""
    front = soil(1, 20 * DAY, 9.0)
    snow = soil(60, 30 * DAY, 8.0, swing=0.6)
    rows = np.concatenate([soil(20), front, soil(9, 21 * DAY), snow, soil(20, 90 * DAY)])
    assert not (flags_of(rows) & CLOCK).any()


def test_a_wave_that_stays_elsewhere_for_a_season_is_the_probes_own() -> None:
    """A probe that was put deeper reads late for ever; a clock is mended at the next visit."""
    rows = np.concatenate([soil(20), soil(200, 20 * DAY, -5.0)])
    clock = rows[(flags_of(rows) & CLOCK) > 0, 0]
    assert clock.min() == 20 * DAY
    assert 105 * DAY < clock.max() < 120 * DAY


def test_without_a_swing_to_look_for_no_wave_is_judged() -> None:
    rows = np.concatenate([soil(20), soil(20, 20 * DAY, 6.0)])
    assert not flags_of(rows, ChannelSettings(gap_seconds=6 * HOUR)).any()


def test_a_clock_that_jumped_to_2049_and_came_back_leaves_a_living_channel() -> None:
    """What it dated in 2049 is flagged afterwards; the two readings before it is believed again are lost."""
    x = np.arange(20) / 100
    t = np.concatenate([np.arange(10) * STEP, YEAR_2049 + np.arange(4) * STEP, (14 + np.arange(6)) * STEP])
    values, flags = judge(t, x, ChannelSettings(gap_seconds=6 * HOUR))
    assert flags.tolist() == [0] * 10 + [GAP | CLOCK] + [CLOCK] * 5 + [0] * 4
    assert np.isnan(values[10:16]).all()
    assert values[16:].tolist() == x[16:].tolist()


def test_a_clock_that_fell_back_to_2000_leaves_a_living_channel_and_the_past_in_peace() -> None:
    t = np.concatenate([YEAR_2049 + np.arange(10) * STEP, np.arange(6) * STEP, YEAR_2049 + (16 + np.arange(4)) * STEP])
    _, flags = judge(t, np.arange(20) / 100, ChannelSettings(gap_seconds=6 * HOUR))
    assert flags.tolist() == [0] * 10 + [CLOCK] * 2 + [0] * 4 + [GAP] + [0] * 3


def test_a_late_reading_or_two_are_no_clock_that_was_set_back() -> None:
    t = np.array([0, 1, 2, 3, 1.5, 2.5, 4, 3.5, 5]) * HOUR
    assert judge(t, np.zeros(9), ChannelSettings())[1].tolist() == [0, 0, 0, 0, CLOCK, CLOCK, 0, CLOCK, 0]


def test_a_clock_that_is_never_to_be_believed_stays_refused() -> None:
    t = np.concatenate([[100.0], np.arange(50.0)])
    assert judge(t, np.zeros(51), ChannelSettings(clock_accept=0))[1].tolist() == [0] + [CLOCK] * 50


def test_a_clock_that_stands_still_is_dead_until_it_goes_on() -> None:
    """Four readings may share a second; a fifth means that no time passes."""
    t = np.array([0, 10, 10, 10, 10, 10, 10, 20, 20])
    assert judge(t, np.zeros(9), ChannelSettings())[1].tolist() == [0, 0, 0, 0, 0, CLOCK, CLOCK, 0, 0]


@st.composite
def weeks(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Spells of days whose wave, step, swing and silence before them are drawn."""
    spells = st.tuples(
        st.integers(1, 9),
        st.sampled_from([0.0, 5.0, -5.0, 12.0]),
        st.sampled_from([0.0, 2.9, 8.0]),
        st.sampled_from([0.0, 7 * HOUR, 200 * DAY]),
        st.sampled_from([HOUR, 2 * HOUR, 5.5 * HOUR]),
    )
    rows, since = [], draw(st.sampled_from([0.0, -4e6, 1.4e9]))
    for days, late, swing, silence, step in draw(st.lists(spells, min_size=2, max_size=8)):
        t = np.arange(0.0, days * DAY, step) + since + silence
        x = 10 + np.round(swing / 2 * np.cos(2 * math.pi * (t + late * HOUR) / DAY), 1)
        rows += list(zip(t.tolist(), x.tolist(), strict=True))
        since = float(t[-1])
    return rows


@given(weeks(), st.integers(1, 4), st.sampled_from([0.0, 6 * HOUR]), st.integers(0, 300))
def test_the_wave_is_judged_as_by_the_naive_chain(
    stream: list[tuple[float, float]], days: int, gap: float, saved_at: int
) -> None:
    """Also when the bank is saved and loaded amid it."""
    settings = ChannelSettings(day_swing=3.0, clock_days=days, gap_seconds=gap, max_rate=1.0, window=3, spike_accept=3)
    naive, bank = Chain(settings), FilterBank(1, settings)
    told = []
    for i, (t, x) in enumerate(stream):
        if i == saved_at:
            told += bank.revisions()
            bank = FilterBank.load(bank.save())
        ours, theirs = bank.push(0, t, x), naive.push(t, x)
        assert (ours[0].hex(), ours[1]) == (theirs[0].hex(), theirs[1])
    assert [revision[1:] for revision in told + bank.revisions()] == naive.revisions
