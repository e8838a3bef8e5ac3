"""The quality chain: equal to its naive reference and to the batch filters, one reading at a time or many."""

from __future__ import annotations

import math
import pickle
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from suat_filters import CLOCK, GAP, RANGE, RATE, SPIKE, ChannelSettings, FilterBank, hampel, kalman
from suat_filters.reference_bank import Chain

Reading = tuple[float, float]

SETTINGS = st.builds(
    ChannelSettings,
    minimum=st.sampled_from([-math.inf, -1.0]),
    maximum=st.sampled_from([math.inf, 2.0]),
    max_rate=st.sampled_from([0.0, 0.05, 0.2]),
    rate_accept=st.sampled_from([0, 2, 3]),
    stuck_count=st.sampled_from([0, 2, 3]),
    stuck_seconds=st.sampled_from([0.0, 3.0]),
    window=st.sampled_from([0, 3, 5, 25, 127, 129]),
    n_sigmas=st.sampled_from([0.0, 1.0, 3.0]),
    resolution=st.sampled_from([0.0, 0.1]),
    spike_accept=st.sampled_from([0, 2, 3]),
    gap_seconds=st.sampled_from([0.0, 5.0]),
    q=st.sampled_from([0.0, 1e-3]),
    r=st.sampled_from([0.01, 1.0]),
    max_noise=st.sampled_from([0.0, 0.3]),
    broken_seconds=st.sampled_from([0.0, 4.0]),
    clock_accept=st.sampled_from([0, 2, 3]),
)
STEPS = st.one_of(st.integers(0, 3).map(float), st.sampled_from([0.0, 0.5, 6.0, -1.0, math.nan, math.inf]))
VALUES = st.one_of(
    st.integers(-12, 22).map(lambda n: n / 10),
    st.floats(-1, 2),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1e308, -1e308]),
)


@st.composite
def readings(draw: st.DrawFn) -> list[Reading]:
    """Readings whose times mostly grow; some go back or are no times at all."""
    now, found = 0.0, []
    for step, x in draw(st.lists(st.tuples(STEPS, VALUES), max_size=60)):
        found.append((now + step, x))
        if math.isfinite(step):
            now = max(now, now + step)
    return found


def pushed(bank: FilterBank, channel: int, stream: Sequence[Reading]) -> list[tuple[float, int]]:
    return [bank.push(channel, t, x) for t, x in stream]


def bits(answers: Sequence[tuple[float, int]]) -> tuple[list[Any], list[int]]:
    """To the sign of a zero; NaN is None."""
    values = [None if math.isnan(value) else value.hex() for value, _ in answers]
    return values, [flags for _, flags in answers]


def many(bank: FilterBank, channels: Any, stream: Sequence[Reading]) -> list[tuple[float, int]]:
    values, flags = bank.push_many(channels, [t for t, _ in stream], [x for _, x in stream])
    assert values.dtype == np.float64
    assert flags.dtype == np.uint16
    return list(zip(values.tolist(), flags.tolist(), strict=True))


@given(SETTINGS, readings())
def test_chain_is_the_naive_one(settings: ChannelSettings, stream: list[Reading]) -> None:
    naive, bank = Chain(settings), FilterBank(1, settings)
    assert bits(pushed(bank, 0, stream)) == bits([naive.push(t, x) for t, x in stream])
    assert bank.revisions() == [(0, *revision) for revision in naive.revisions]


@given(st.lists(SETTINGS, min_size=1, max_size=4), readings(), st.randoms(use_true_random=False), st.integers(1, 9))
def test_many_at_once_are_as_one_by_one(
    settings: list[ChannelSettings], stream: list[Reading], random: Any, batch: int
) -> None:
    channels = [random.randrange(len(settings)) for _ in stream]
    single, whole, cut = (FilterBank(len(settings), settings) for _ in range(3))
    expected = bits([single.push(channel, t, x) for channel, (t, x) in zip(channels, stream, strict=True)])
    assert bits(many(whole, channels, stream)) == expected
    pieces = []
    for i in range(0, len(stream), batch):
        pieces += many(cut, channels[i : i + batch], stream[i : i + batch])
    assert bits(pieces) == expected
    assert single.save() == whole.save() == cut.save()
    assert single.revisions() == whole.revisions() == cut.revisions()


@pytest.mark.parametrize("window", [3, 25, 49, 127, 129, 301])
@pytest.mark.parametrize("q", [0.0, 1e-7])
def test_chain_reduces_to_hampel_and_kalman(window: int, q: float) -> None:
    rng = np.random.default_rng(window)
    n = 2000
    t = np.cumsum(rng.exponential(900, n))
    x = np.round(0.25 + np.cumsum(rng.normal(0, 0.0004, n)), 3)
    x[rng.random(n) < 0.02] += 0.2
    x[rng.random(n) < 0.05] = np.nan
    clean, outlier = hampel(x, window)
    expected = kalman(t, clean, q, 1e-6) if q else clean
    values, flags = FilterBank(3, ChannelSettings(window=window, q=q, r=1e-6)).push_many(np.ones(n, np.int32), t, x)
    assert np.array_equal(values, expected, equal_nan=True)
    assert np.array_equal(flags, np.where(outlier, 8, 0))


def test_channels_do_not_see_each_other() -> None:
    settings = [ChannelSettings(window=3), ChannelSettings(window=129, q=1e-3), ChannelSettings(stuck_count=2)]
    bank = FilterBank(3, settings)
    rng = np.random.default_rng(9)
    streams = [[(float(i), float(v)) for i, v in enumerate(rng.integers(0, 3, 200))] for _ in settings]
    mixed: list[list[tuple[float, int]]] = [[], [], []]
    for row in zip(*streams, strict=True):
        for channel, (t, x) in enumerate(row):
            mixed[channel].append(bank.push(channel, t, x))
    for channel, one in enumerate(settings):
        assert bits(mixed[channel]) == bits(pushed(FilterBank(1, one), 0, streams[channel]))


def test_a_step_that_stays_is_told_as_a_revision_of_what_was_flagged() -> None:
    """Once, with the channel, the times of the first and last flagged reading, and the flag they lose."""
    bank = FilterBank(3, ChannelSettings(window=9, spike_accept=3, max_rate=0.1, rate_accept=3))
    assert [bank.push(2, float(t), x)[1] for t, x in enumerate((0, 0, 0, 0, 0.1, 0.1, 0.1))] == [0, 0, 0, 0, 8, 8, 0]
    assert [bank.push(1, float(t), x)[1] for t, x in enumerate((0, 5, 5, 5))] == [0, 2, 2, 0]
    assert bank.revisions() == [(2, 4.0, 5.0, 0, SPIKE), (1, 1.0, 2.0, 0, RATE)]
    assert bank.revisions() == []


def test_reset_forgets_one_channel() -> None:
    bank = FilterBank(2, ChannelSettings(window=5, q=1e-3, gap_seconds=10, stuck_count=3))
    fresh = bank.save()
    pushed(bank, 1, [(100.0, 1.0), (200.0, 5.0)])
    bank.reset(1)
    assert bank.save() == fresh
    assert bank.push(1, 50.0, 2.0) == (2.0, 0)


@given(SETTINGS, st.lists(SETTINGS, max_size=5), readings(), st.integers(0, 60))
def test_growing_keeps_what_was_there(
    first: ChannelSettings, more: list[ChannelSettings], stream: list[Reading], at: int
) -> None:
    bank, alone = FilterBank(1, first), FilterBank(1, first)
    before = pushed(bank, 0, stream[:at])
    assert bank.grow(more) == 1
    assert bank.n_channels == 1 + len(more)
    assert bank.settings == (first, *more)
    assert bits(before + pushed(bank, 0, stream[at:])) == bits(pushed(alone, 0, stream))
    for channel, settings in enumerate(more, 1):
        assert bits(pushed(bank, channel, stream)) == bits(pushed(FilterBank(1, settings), 0, stream))


def test_a_channel_takes_no_more_than_640_bytes() -> None:
    n = 1000
    assert FilterBank(n, ChannelSettings(window=25)).nbytes <= 640 * n


def test_what_does_not_exist_is_refused_and_changes_nothing() -> None:
    bank = FilterBank(2, ChannelSettings(window=3))
    before = bank.save()
    for channel in (-1, 2, 2**40):
        for call in (lambda c=channel: bank.push(c, 0.0, 1.0), lambda c=channel: bank.reset(c)):
            with pytest.raises(IndexError, match="channel must be 0 to 1"):
                call()
        with pytest.raises(IndexError, match="channels must be 0 to 1"):
            bank.push_many([0, channel], [0.0, 0.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="2 channels, 1 times and 2 readings"):
        bank.push_many([0, 1], [0.0], [1.0, 1.0])
    with pytest.raises(TypeError, match="whole numbers"):
        bank.push_many([0.0, 1.0], [0.0, 0.0], [1.0, 1.0])
    with pytest.raises(TypeError, match="integer"):
        bank.reset(0.5)  # type: ignore[arg-type]
    assert bank.save() == before
    assert bank.push_many([], [], [])[0].shape == (0,)


def test_as_many_settings_as_channels() -> None:
    one = ChannelSettings()
    assert FilterBank(0, one).n_channels == 0
    for n, settings in ((2, [one]), (-1, one), (0, [one])):
        with pytest.raises(ValueError, match="channels"):
            FilterBank(n, settings)
    with pytest.raises(TypeError, match="must be ChannelSettings, not dict"):
        FilterBank(1, [{}])  # type: ignore[list-item]


def test_infinity_and_a_bad_time_are_flagged_not_raised() -> None:
    bank = FilterBank(1, ChannelSettings(window=3, gap_seconds=5))
    assert bank.push(0, 10.0, 1.0) == (1.0, 0)
    for x in (math.inf, -math.inf):
        value, flags = bank.push(0, 10.0, x)
        assert math.isnan(value)
        assert flags == RANGE
    for t in (9.0, math.nan, math.inf, -math.inf):
        value, flags = bank.push(0, t, 1.0)
        assert math.isnan(value)
        assert flags == CLOCK
    assert bank.push(0, 16.0, 1.0) == (1.0, GAP)


def test_threads_take_turns() -> None:
    """Each thread has its own channels of one bank; the answers are as if it had been alone."""
    n, rounds = 8, 40
    bank = FilterBank(n, ChannelSettings(window=25, q=1e-3))
    rng = np.random.default_rng(4)
    x = rng.normal(size=(n, rounds * 50))
    t = np.arange(rounds * 50.0)
    found: list[NDArray[np.float64]] = [np.empty(0)] * n

    def work(channel: int) -> None:
        pieces = []
        for i in range(rounds):
            part = slice(50 * i, 50 * i + 50)
            pieces.append(bank.push_many(np.full(50, channel), t[part], x[channel][part])[0])
        found[channel] = np.concatenate(pieces)

    threads = [threading.Thread(target=work, args=(channel,)) for channel in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for channel in range(n):
        assert np.array_equal(found[channel], kalman(t, hampel(x[channel], 25)[0], 1e-3, 1.0))


def test_a_bank_can_be_pickled() -> None:
    bank = FilterBank(2, ChannelSettings(window=3))
    bank.push(1, 0.0, 1.0)
    assert pickle.loads(pickle.dumps(bank)).save() == bank.save()
