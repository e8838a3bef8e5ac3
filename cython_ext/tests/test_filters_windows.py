"""Rolling median and Hampel: bit for bit as the naive reference, and as SciPy where it computes the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import median_filter  # type: ignore[import-untyped]
from suat_filters import hampel, reference, rolling_median

# Ties, missing readings, infinities, signed zeros, overflow and underflow are what sorting gets wrong.
ODD_VALUES = [math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, -5e-324, 1.7e308, -1.7e308, 1.0, 1.0 + 2**-52]
READINGS = st.lists(
    st.one_of(
        st.integers(-4, 4).map(lambda n: n / 10),
        st.floats(-1e3, 1e3),
        st.sampled_from(ODD_VALUES),
        st.floats(),
    ),
    max_size=80,
)
WINDOWS = st.one_of(st.integers(1, 40).map(lambda h: 2 * h + 1), st.sampled_from([127, 129, 301, 999]))


def same_bits(ours: ArrayLike, theirs: ArrayLike) -> bool:
    """Equal to the sign of a zero; any NaN equals any other."""
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
        return False
    return np.array_equal(a[~np.isnan(a)].view(np.int64), b[~np.isnan(b)].view(np.int64))


def quantised(seed: int, n: int) -> NDArray[np.float64]:
    """A soil probe's kind of series: slow, with steps of 0.001, spikes and missing readings."""
    rng = np.random.default_rng(seed)
    x = np.round(0.25 + np.cumsum(rng.normal(0, 0.0004, n)), 3)
    x[rng.random(n) < 0.02] += 0.2
    x[rng.random(n) < 0.05] = np.nan
    return x


@given(READINGS, WINDOWS, st.booleans())
def test_rolling_median_is_the_naive_one(x: list[float], window: int, centered: bool) -> None:
    assert same_bits(rolling_median(x, window, centered), reference.rolling_median(x, window, centered))


@given(READINGS, WINDOWS, st.booleans(), st.sampled_from([0.0, 1.0, 2.5, 3.0, 1e300]))
@example([-0.0], 3, False, 3.0)
@example([math.inf, math.inf, 1.0, 2.0], 3, True, 0.0)
@example([1.7e308, -1.7e308, 1.7e308], 3, False, 0.0)
def test_hampel_is_the_naive_one(x: list[float], window: int, centered: bool, n_sigmas: float) -> None:
    clean, outlier = hampel(x, window, n_sigmas, centered)
    expected, expected_outlier = reference.hampel(x, window, n_sigmas, centered)
    assert same_bits(clean, expected)
    assert outlier.tolist() == expected_outlier
    assert outlier.dtype == np.bool_


@given(
    st.lists(st.one_of(st.floats(-10, 10), st.sampled_from(ODD_VALUES)), min_size=1, max_size=12),
    st.integers(0, 2**32),
    st.sampled_from([3, 5, 7, 13, 15, 29, 31, 33, 61, 63]),
    st.integers(-3, 90),
    st.booleans(),
)
@settings(max_examples=60)
def test_few_values_that_come_again_and_again(
    palette: list[float], seed: int, window: int, more: int, centered: bool
) -> None:
    """Ties and signed zeros in full windows, as many as fill the lanes, or a few more or less."""
    x = np.random.default_rng(seed).choice(palette, max(window + more, 0)).tolist()
    clean, outlier = hampel(x, window, 1.0, centered)
    expected, expected_outlier = reference.hampel(x, window, 1.0, centered)
    assert same_bits(clean, expected)
    assert outlier.tolist() == expected_outlier
    assert same_bits(rolling_median(x, window, centered), reference.rolling_median(x, window, centered))


@pytest.mark.parametrize("digits", [1, 15])
def test_every_window_there_is(digits: int) -> None:
    """Against NumPy's partition, where windows are full."""
    rng = np.random.default_rng(digits)
    for window in range(3, 1000, 2):
        half = window // 2
        x = np.round(rng.normal(size=window + int(rng.integers(0, 70))), digits)
        views = np.lib.stride_tricks.sliding_window_view(x, window)
        m = np.partition(views, half)[:, half]
        mad = np.partition(np.abs(views - m[:, None]), half)[:, half]
        for centered, judged in ((False, slice(window - 1, None)), (True, slice(half, len(x) - half))):
            assert np.array_equal(rolling_median(x, window, centered)[judged], m)
            clean, outlier = hampel(x, window, 2.0, centered)
            beyond = np.abs(x[judged] - m) > 2.0 * 1.4826 * mad
            assert np.array_equal(outlier[judged], beyond)
            assert np.array_equal(clean[judged], np.where(beyond, m, x[judged]))


@pytest.mark.parametrize("n_sigmas", [0.0, 1e-300, 1e-9, 0.5, 3.0, 1e300])
@pytest.mark.parametrize("unit", [1.0, 1e-310, 1e300])
def test_limits_near_the_ends_of_the_number_range(unit: float, n_sigmas: float) -> None:
    """Products that underflow or overflow, in windows that are looked through in part first."""
    x = np.round(np.random.default_rng(7).normal(size=300), 1) * unit
    clean, outlier = hampel(x, 33, n_sigmas, True)
    expected, expected_outlier = reference.hampel(x.tolist(), 33, n_sigmas, True)
    assert same_bits(clean, expected)
    assert outlier.tolist() == expected_outlier


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("window", [3, 25, 127, 301])
def test_long_series(window: int, centered: bool) -> None:
    x = quantised(window, 2500)
    expected, expected_outlier = reference.hampel(x.tolist(), window, 3.0, centered)
    clean, outlier = hampel(x, window, 3.0, centered)
    assert same_bits(clean, expected)
    assert outlier.tolist() == expected_outlier
    assert same_bits(rolling_median(x, window, centered), reference.rolling_median(x.tolist(), window, centered))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("centered", [False, True])
def test_channels_are_series_by_themselves(centered: bool, threads: int) -> None:
    x = np.stack([quantised(seed, 700) for seed in range(5)])
    x[3] = np.nan
    clean, outlier = hampel(x, 25, 3.0, centered, threads=threads)
    median = rolling_median(x, 25, centered, threads=threads)
    assert clean.shape == outlier.shape == median.shape == x.shape
    for i, row in enumerate(x):
        alone, alone_outlier = hampel(row, 25, 3.0, centered)
        assert same_bits(clean[i], alone)
        assert np.array_equal(outlier[i], alone_outlier)
        assert same_bits(median[i], rolling_median(row, 25, centered))


@pytest.mark.parametrize("window", [5, 999])
def test_threads_change_nothing(window: int) -> None:
    for x in (quantised(9, 300_000), np.random.default_rng(9).normal(size=300_000)):
        alone, shared = hampel(x, window), hampel(x, window, threads=4)
        assert same_bits(alone[0], shared[0])
        assert np.array_equal(alone[1], shared[1])
        assert same_bits(rolling_median(x, window, True), rolling_median(x, window, True, threads=4))


@pytest.mark.parametrize("window", [3, 5, 11, 25, 49, 101, 301])
def test_interior_is_what_scipy_gives(window: int) -> None:
    x = np.random.default_rng(window).normal(size=1000)
    half = window // 2
    theirs = median_filter(x, window)
    assert same_bits(rolling_median(x, window, True)[half:-half], theirs[half:-half])
    assert same_bits(rolling_median(x, window)[window - 1 :], theirs[half:-half])


def test_hampel_on_paper() -> None:
    """Window 5 about the spike: median 2, deviations 1 0 98 0 1, MAD 1, limit 3 * 1.4826."""
    clean, outlier = hampel([1.0, 2.0, 100.0, 2.0, 3.0], 5, 3.0, centered=True)
    assert clean.tolist() == [1.0, 2.0, 2.0, 2.0, 3.0]
    assert outlier.tolist() == [False, False, True, False, False]


def test_limit_is_strict() -> None:
    """Every deviation is 1 MAD or none: at a limit of just 1 MAD nothing goes, a hair below it all but the median."""
    limit = 1 / 1.4826
    assert limit * 1.4826 * 1.0 == 1.0
    assert not hampel([0.0, 1.0, 2.0], 3, limit, centered=True)[1].any()
    assert not hampel([2.0, 1.0, 0.0], 3, limit)[1].any()
    assert hampel([2.0, 1.0, 0.0], 3, float(np.nextafter(limit, 0)))[1].tolist() == [False, True, True]


def test_mad_zero_makes_any_difference_an_outlier() -> None:
    clean, outlier = hampel([5.0, 5.0, 5.0, 5.0, np.nextafter(5.0, 6.0)], 5, 1e9)
    assert outlier.tolist() == [False, False, False, False, True]
    assert clean.tolist() == [5.0] * 5


def test_a_missing_reading_is_as_if_it_had_not_come() -> None:
    x = quantised(3, 400)
    valid = ~np.isnan(x)
    for centered in (False, True):
        clean, outlier = hampel(x, 25, 3.0, centered)
        dense, dense_outlier = hampel(x[valid], 25, 3.0, centered)
        assert np.isnan(clean[~valid]).all()
        assert not outlier[~valid].any()
        assert same_bits(clean[valid], dense)
        assert np.array_equal(outlier[valid], dense_outlier)


def test_other_types_and_layouts() -> None:
    x = np.arange(20, dtype=np.int16)
    assert same_bits(rolling_median(x[::2], 3), reference.rolling_median([float(v) for v in x[::2]], 3))
    frozen = np.arange(5.0)
    frozen.flags.writeable = False
    assert rolling_median(frozen, 3).tolist() == [0.0, 0.5, 1.0, 2.0, 3.0]
    assert rolling_median([], 3).shape == (0,)
    assert hampel([], 3)[1].shape == (0,)
    assert hampel(np.empty((2, 0)), 3)[0].shape == (2, 0)
    assert rolling_median(np.arange(12.0).reshape(4, 3).T, 3).tolist() == [
        rolling_median(np.arange(12.0)[i::3], 3).tolist() for i in range(3)
    ]


@pytest.mark.parametrize("window", [-3, 0, 1, 2, 4, 1000, 1001])
def test_window_must_be_odd_and_3_to_999(window: int) -> None:
    for call in (rolling_median, hampel):
        with pytest.raises(ValueError, match="window must be odd and 3 to 999"):
            call([1.0, 2.0], window)


@pytest.mark.parametrize("bad", [[[[1.0]]], 1.0, ["a"], [1j]])
def test_series_must_be_rows_of_numbers(bad: ArrayLike) -> None:
    with pytest.raises(ValueError, match="x must h"):
        rolling_median(bad, 3)


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_threads_must_be_a_sensible_number(threads: int) -> None:
    for call in (rolling_median, hampel):
        with pytest.raises(ValueError, match="threads must be 1 to 256"):
            call([1.0, 2.0], 3, threads=threads)


@pytest.mark.parametrize("n_sigmas", [-1.0, math.nan, math.inf])
def test_n_sigmas_must_be_finite_and_not_negative(n_sigmas: float) -> None:
    with pytest.raises(ValueError, match="n_sigmas"):
        hampel([1.0], 3, n_sigmas)
