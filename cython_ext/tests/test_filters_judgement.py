"""What the chain makes of the things that happen to a soil probe and to a water tank."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from suat_filters import GAP, RATE, SPIKE, STUCK, ChannelSettings, FilterBank, judge

QUARTER = 900.0


def judged(settings: ChannelSettings, x: Sequence[float], step: float = QUARTER) -> tuple[list[float], list[int]]:
    """Values and flags of readings every `step` seconds."""
    bank = FilterBank(1, settings)
    answers = [bank.push(0, i * step, value) for i, value in enumerate(x)]
    return [value for value, _ in answers], [flags for _, flags in answers]


def unusable(values: Sequence[float]) -> list[int]:
    return [i for i, value in enumerate(values) if math.isnan(value)]


def test_a_filled_tank_is_believed_at_the_third_reading() -> None:
    """Depth 0.4 m, filled between two readings to 1.8 m and then slowly drunk."""
    x = [0.41, 0.40, 0.40, 1.80, 1.79, 1.78, 1.77, 1.76]
    values, flags = judged(ChannelSettings(max_rate=0.1 / QUARTER, window=5), x)
    assert flags == [0, 0, 0, RATE, RATE, 0, 0, 0]
    assert values[5:] == [1.78, 1.77, 1.76]


def test_a_tank_being_filled_is_believed_while_it_rises() -> None:
    """Each step is faster than the limit, all go the same way: after the third there is no more doubt."""
    x = [0.2, 0.2, 0.5, 0.8, 1.1, 1.4, 1.7, 1.7, 1.7]
    values, flags = judged(ChannelSettings(max_rate=0.1 / QUARTER, window=5), x)
    assert flags == [0, 0, RATE, RATE, 0, 0, 0, 0, 0]
    assert values[4:] == x[4:]


def test_an_echo_is_no_step() -> None:
    """Ghost echoes of an ultrasonic probe jump about, one at a time or several together: none is believed."""
    x = [1.5, 1.5, 0.3, 1.5, 1.49, 0.3, 0.9, 0.4, 1.48, 1.48]
    values, flags = judged(ChannelSettings(max_rate=0.05 / QUARTER), x)
    assert unusable(values) == [2, 5, 6, 7]
    assert [flags[i] for i in (2, 5, 6, 7)] == [RATE] * 4


def test_the_fall_after_a_wrong_first_reading_is_believed() -> None:
    """A channel whose very first reading was wrong must not refuse all that follow."""
    values, _ = judged(ChannelSettings(max_rate=0.01 / QUARTER), [0.9] + [0.2] * 6)
    assert unusable(values) == [1, 2]


def test_rate_without_acceptance_never_believes() -> None:
    _, flags = judged(ChannelSettings(max_rate=0.1 / QUARTER, rate_accept=0), [0.0] + [50.0] * 9)
    assert flags == [0] + [RATE] * 9


def test_rate_allows_one_resolution_and_equal_times() -> None:
    bank = FilterBank(1, ChannelSettings(max_rate=1e-6, resolution=0.001))
    assert bank.push(0, 0.0, 0.25)[1] == 0
    assert bank.push(0, 0.0, 0.2509)[1] == 0
    assert bank.push(0, 0.0, 0.26)[1] == RATE


# Moisture in m3/m3 every quarter of an hour: dry, the front arrives within half an hour, then it drains slowly.
FRONT = [0.121, 0.120, 0.121, 0.120, 0.120] * 6 + [0.18, 0.25, 0.29] + [round(0.30 - 0.0005 * i, 4) for i in range(40)]


def test_a_wetting_front_is_a_step_where_spikes_in_a_row_are_believed() -> None:
    settings = ChannelSettings(window=25, resolution=0.001, spike_accept=3)
    values, flags = judged(settings, FRONT)
    assert flags.count(SPIKE) == 2
    assert values[32:] == FRONT[32:]


@pytest.mark.parametrize("window", [3, 5, 7, 13, 25])
def test_in_the_record_no_reading_of_a_front_is_a_spike(window: int) -> None:
    """Whether the window's median goes over to the new level first, or three spikes in a row are believed."""
    settings = ChannelSettings(window=window, resolution=0.001, spike_accept=3)
    values, flags = judge(np.arange(len(FRONT)) * QUARTER, FRONT, settings)
    assert not flags.any()
    assert values.tolist() == FRONT


@pytest.mark.parametrize("window", [3, 5, 7, 13])
def test_in_the_record_a_glitch_stays_a_spike(window: int) -> None:
    """One reading, or where the window can tell two: what comes after lies with what was before."""
    for length in (1, 2) if window > 3 else (1,):
        x = [0.20, 0.201] * 8 + [0.6] * length + [0.201, 0.20] * 8
        flags = judge(np.arange(len(x)) * QUARTER, x, ChannelSettings(window=window, resolution=0.001, spike_accept=3))[
            1
        ]
        assert np.flatnonzero(flags == SPIKE).tolist() == list(range(16, 16 + length))


def test_plain_hampel_takes_the_front_for_spikes() -> None:
    """Without it the chain is the filter of the books, which holds on to the old level for half a window."""
    _, flags = judged(ChannelSettings(window=25, resolution=0.001), FRONT)
    assert flags.count(SPIKE) >= 12


def test_a_single_spike_becomes_the_median() -> None:
    x = [0.20, 0.21, 0.20, 0.21, 0.20, 0.75, 0.20, 0.21]
    values, flags = judged(ChannelSettings(window=5, resolution=0.001, spike_accept=3), x)
    assert flags == [0, 0, 0, 0, 0, SPIKE, 0, 0]
    assert values[5] == 0.21


def test_the_last_digit_is_no_spike() -> None:
    """MAD is 0; two steps of the probe are within three sigmas of one step each, four are not."""
    flat = [0.25] * 20
    assert judged(ChannelSettings(window=11), [*flat, 0.252])[1][-1] == SPIKE
    assert judged(ChannelSettings(window=11, resolution=0.001), [*flat, 0.252])[1][-1] == 0
    assert judged(ChannelSettings(window=11, resolution=0.001), [*flat, 0.254])[1][-1] == SPIKE


@pytest.mark.parametrize(
    ("count", "seconds", "first"),
    [(0, 0.0, None), (5, 0.0, 4), (0, 3 * QUARTER, 3), (5, 6 * QUARTER, 6), (8, 3 * QUARTER, 7)],
)
def test_stuck_needs_both_count_and_span(count: int, seconds: float, first: int | None) -> None:
    """Ten identical readings; whichever of the two is 0 is not asked for, and both 0 judge nothing."""
    values, flags = judged(ChannelSettings(stuck_count=count, stuck_seconds=seconds), [0.3] * 10)
    expected = [] if first is None else list(range(first, 10))
    assert unusable(values) == expected
    assert [i for i, flag in enumerate(flags) if flag == STUCK] == expected


def test_dry_soil_that_moves_by_one_step_a_day_is_not_stuck() -> None:
    """Recession of 0.001 a day at quarter-hours is 96 identical readings a step; two days without one are stuck."""
    x = [round(0.150 - 0.001 * (i // 96), 3) for i in range(96 * 10)]
    assert not any(judged(ChannelSettings(stuck_count=20, stuck_seconds=2 * 86400), x)[1])
    _, flags = judged(ChannelSettings(stuck_count=20, stuck_seconds=2 * 86400), x + [0.14] * 300)
    assert flags[-1] == STUCK


def test_a_probe_that_comes_loose_again_is_believed_at_once() -> None:
    values, _ = judged(ChannelSettings(stuck_count=4, window=5, resolution=0.001), [0.3] * 8 + [0.301, 0.302])
    assert unusable(values) == [3, 4, 5, 6, 7]


def test_after_a_gap_the_old_level_counts_no_more() -> None:
    """Six hours without readings, rain in between: the first reading says `gap`, none is a spike."""
    settings = ChannelSettings(window=25, resolution=0.001, gap_seconds=3600, stuck_count=5)
    bank = FilterBank(1, settings)
    for i in range(40):
        bank.push(0, i * QUARTER, 0.120 + 0.001 * (i % 2))
    answers = [bank.push(0, 40 * QUARTER + 6 * 3600 + i * QUARTER, 0.310 + 0.001 * (i % 2)) for i in range(20)]
    assert [flags for _, flags in answers] == [GAP] + [0] * 19
    assert answers[0][0] == 0.31


def test_a_refused_reading_is_no_silence() -> None:
    """Out of range for hours is a broken probe, not a lost link."""
    bank = FilterBank(1, ChannelSettings(maximum=1.0, gap_seconds=2 * QUARTER))
    flags = [bank.push(0, i * QUARTER, 0.3 if i in (0, 20) else 9.0)[1] for i in range(21)]
    assert not any(flag & GAP for flag in flags)


def test_the_smoother_begins_anew_at_a_step_that_is_believed() -> None:
    settings = ChannelSettings(max_rate=0.1 / QUARTER, q=1e-9, r=1e-4)
    values, _ = judged(settings, [0.4] * 10 + [1.8] * 4)
    assert values[12] == 1.8
