"""EWMA, Kalman, Theil-Sen and resample against the naive reference, SciPy and figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import theilslopes  # type: ignore[import-untyped]
from suat_filters import ewma, kalman, reference, resample, theil_sen

Pairs = list[tuple[float, float]]
TIMES = st.one_of(st.integers(0, 40).map(float), st.floats(-1e6, 1e6))
VALUES = st.one_of(st.integers(-4, 4).map(lambda n: n / 10), st.floats(-1e3, 1e3), st.just(math.nan))
SERIES = st.lists(st.tuples(TIMES, VALUES), max_size=60).map(lambda pairs: sorted(pairs, key=lambda pair: pair[0]))
WILD = st.lists(st.tuples(TIMES, st.one_of(VALUES, st.floats())), max_size=30).map(
    lambda pairs: sorted(pairs, key=lambda pair: pair[0])
)


def split(pairs: Pairs) -> tuple[list[float], list[float]]:
    return [t for t, _ in pairs], [x for _, x in pairs]


def ulps(ours: NDArray[np.float64], theirs: list[float]) -> float:
    """Largest distance in units of the last place of the larger."""
    expected = np.asarray(theirs)
    assert np.array_equal(np.isnan(ours), np.isnan(expected))
    valid = np.isfinite(expected)
    assert np.array_equal(ours[~valid], expected[~valid], equal_nan=True)
    a, b = ours[valid], expected[valid]
    with np.errstate(over="ignore"):  # the spacing of the largest numbers is infinite
        return float(np.max(np.abs(a - b) / np.spacing(np.maximum(np.abs(a), np.abs(b))), initial=0.0))


@given(WILD, st.floats(1e-3, 1e6))
def test_ewma_is_the_naive_one(pairs: Pairs, tau: float) -> None:
    """Within two units of the last place of the largest reading: the weights come from another exponential."""
    t, x = split(pairs)
    ours, naive = ewma(t, x, tau), np.asarray(reference.ewma(t, x, tau))
    valid = np.isfinite(naive)
    assert np.array_equal(ours[~valid], naive[~valid], equal_nan=True)
    largest = max((abs(v) for v in x if math.isfinite(v)), default=0.0)
    assert np.all(np.abs(ours[valid] - naive[valid]) <= 2 * math.ulp(largest))


@given(WILD, st.floats(0, 1e3), st.floats(1e-9, 1e6))
def test_kalman_is_the_naive_one(pairs: Pairs, q: float, r: float) -> None:
    t, x = split(pairs)
    assert ulps(kalman(t, x, q, r), reference.kalman(t, x, q, r)) <= 1


def test_ewma_weights_are_right_within_2_ulp() -> None:
    """From ages that hardly count to those beyond which nothing is left, against the C library's expm1."""
    ages = np.concatenate([[0.0, 5e-324, 1e-300], np.geomspace(1e-18, 1e3, 5000), np.arange(1, 130) * math.log(2) / 2])
    weights = [ewma([0.0, age], [0.0, 1.0], 1.0)[1] for age in ages]
    assert ulps(np.asarray(weights), [-math.expm1(-age) for age in ages]) <= 2


def test_ewma_closes_the_gap_by_1_minus_1_over_e_in_tau() -> None:
    """A step from 0 to 1 is at 1 - exp(-k) after k tau, however the time is cut up."""
    t = np.array([0.0, 0.0, 3.0, 5.0, 10.0, 11.5, 20.0])
    x = np.array([0.0] + [1.0] * 6)
    np.testing.assert_allclose(ewma(t, x, 10.0), 1 - np.exp(-t / 10.0), rtol=1e-14)


def test_kalman_without_drift_is_the_running_mean() -> None:
    """q = 0: the gain after n readings is 1/n."""
    x = np.random.default_rng(1).normal(20, 3, 500)
    t = np.sort(np.random.default_rng(2).uniform(0, 1e5, 500))
    np.testing.assert_allclose(kalman(t, x, 0.0, 4.0), np.cumsum(x) / np.arange(1, 501), rtol=1e-13)


def test_kalman_gain_settles_where_riccati_says() -> None:
    """Steady state: P / r = (s + sqrt(s^2 + 4 s)) / 2 before the reading, with s = q dt / r."""
    q, r, dt = 2e-4, 0.5, 900.0
    s = q * dt / r
    before = (s + math.sqrt(s * s + 4 * s)) / 2
    gain = before / (before + 1)
    y = kalman(np.arange(202) * dt, np.array([0.0] * 200 + [1.0, 1.0]), q, r)
    assert y[200] == pytest.approx(gain, rel=1e-12)
    assert y[201] == pytest.approx(1 - (1 - gain) ** 2, rel=1e-12)


@given(SERIES)
def test_theil_sen_is_the_naive_one(pairs: Pairs) -> None:
    t, x = split(pairs)
    assert np.array_equal(theil_sen(t, x), reference.theil_sen(t, x), equal_nan=True)


@given(WILD)
def test_theil_sen_of_infinities_is_the_naive_one(pairs: Pairs) -> None:
    t, x = split(pairs)
    assert np.array_equal(theil_sen(t, x), reference.theil_sen(t, x), equal_nan=True)


@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")  # SciPy's own, of a flat series
@pytest.mark.parametrize(
    "kind", ["noise", "line", "jitter", "steps", "flat", "two levels", "walk", "wild", "huge", "pairs", "far away"]
)
def test_theil_sen_on_many_pairs(kind: str) -> None:
    """More pairs than are taken at once: the bracket, slopes that are met very often, and times close together."""
    rng = np.random.default_rng(5)
    n = 700
    t = np.sort(rng.choice(np.arange(600.0), n))
    x = {
        "line": 3.0 - 0.25 * t,
        "jitter": 3.0 - 0.3 * t,
        "steps": np.round(rng.normal(size=n), 0),
        "flat": np.full(n, 7.0),
        "two levels": (np.arange(n) % 2).astype(float),
        "walk": np.round(np.cumsum(rng.normal(0, 0.002, n)), 4),
        "wild": rng.standard_cauchy(n),
        "huge": rng.normal(0, 1e307, n),
    }.get(kind, rng.normal(size=n))
    if kind == "pairs":
        t = np.sort(np.concatenate([t[::2], t[::2] + 1e-9]))
    if kind == "far away":
        t += 1.7e9
    slope, intercept = theil_sen(t, x)
    assert (slope, intercept) == reference.theil_sen(t.tolist(), x.tolist())
    theirs = theilslopes(x, t)
    assert (slope, intercept) == (theirs.slope, theirs.intercept)


def test_middle_values_whose_sum_is_no_number_have_an_infinite_mean() -> None:
    """As `reference.median` says it: also of so many that they are not sorted, and where all are equal."""
    for n in (2, 500, 600):
        t, x = np.arange(float(n)), np.full(n, 1e308)
        assert resample(t, x, float(n))["median"].tolist() == [math.inf]
        assert theil_sen(t, x) == (0.0, math.inf)


@pytest.mark.parametrize("seed", range(20))
def test_theil_sen_of_denormals_is_the_naive_one(seed: int) -> None:
    """Where what rounding takes from a height is no longer a share of it."""
    rng = np.random.default_rng(seed)
    t, x = np.arange(200.0) * rng.choice([0.5, 1.0, 7.0]), rng.integers(-1000, 1000, 200) * 5e-324
    assert theil_sen(t, x) == reference.theil_sen(t.tolist(), x.tolist())


def test_theil_sen_below_two_different_times() -> None:
    for t, x in (([], []), ([1.0], [2.0]), ([1.0, 1.0], [2.0, 3.0]), ([1.0, 2.0], [2.0, math.nan])):
        assert all(math.isnan(value) for value in theil_sen(t, x))


@given(SERIES, st.sampled_from([0.1, 0.2, 1.0, 3.0, 7.5, 900.0]), st.sampled_from([0.0, 0.05, -2.0, 1e5]))
def test_resample_is_the_naive_one(pairs: Pairs, width: float, origin: float) -> None:
    t, x = split(pairs)
    ours, naive = resample(t, x, width, origin), reference.resample(t, x, width, origin)
    assert list(ours) == ["start", "count", "min", "max", "mean", "last", "median"]
    for name in ("start", "count", "min", "max", "last", "median"):
        assert np.array_equal(ours[name], naive[name]), name
    largest = max((abs(v) for v in x if not math.isnan(v)), default=0.0)
    np.testing.assert_allclose(ours["mean"], naive["mean"], rtol=2**-51, atol=len(x) * largest * 2**-104)


@given(WILD, st.sampled_from([1.0, 1e7]))
def test_resample_of_infinities(pairs: Pairs, width: float) -> None:
    t, x = split(pairs)
    ours, naive = resample(t, x, width), reference.resample(t, x, width)
    for name in ("start", "count", "min", "max", "last", "median"):
        assert np.array_equal(ours[name], naive[name], equal_nan=True), name


def test_resample_of_a_quarter_hour() -> None:
    t = [0.0, 300.0, 600.0, 899.0, 900.0, 2700.0, 2800.0]
    x = [1.0, 4.0, math.nan, 2.0, 8.0, 3.0, 5.0]
    found = {name: values.tolist() for name, values in resample(t, x, 900.0).items()}  # type: ignore[attr-defined]
    assert found == {
        "start": [0.0, 900.0, 2700.0],
        "count": [3, 1, 2],
        "min": [1.0, 8.0, 3.0],
        "max": [4.0, 8.0, 5.0],
        "mean": [7 / 3, 8.0, 4.0],
        "last": [2.0, 8.0, 5.0],
        "median": [2.0, 8.0, 4.0],
    }


@pytest.mark.parametrize("missing", [0.0, 0.02, 0.6])
def test_resample_of_buckets_of_every_size(missing: float) -> None:
    """From one reading to what is summed up in one piece, small buckets beside large ones."""
    rng = np.random.default_rng(9)
    sizes = np.concatenate(
        [np.arange(1, 70), rng.permutation(np.repeat([1, 2, 15, 40, 130], 8)), [511, 512, 513, 6000]]
    )
    t = np.repeat(np.arange(len(sizes)) * 10.0, sizes) + np.concatenate([np.arange(size) / 1000 for size in sizes])
    x = np.where(rng.random(len(t)) < missing, math.nan, np.round(rng.normal(size=len(t)), 2))
    ours, naive = resample(t, x, 10.0), reference.resample(t.tolist(), x.tolist(), 10.0)
    for name in ("start", "count", "min", "max", "last", "median"):
        assert np.array_equal(ours[name], naive[name]), name
    np.testing.assert_allclose(ours["mean"], naive["mean"], rtol=2**-51, atol=6000 * 5 * 2**-104)


@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("missing", [0.0, 0.02, 0.6])
def test_resample_without_median_is_the_same_in_all_else(missing: float, wild: bool) -> None:
    """Buckets of every size, also those whose median is found in another way, side by side with small ones."""
    rng = np.random.default_rng(11)
    sizes = rng.permutation(np.concatenate([np.arange(1, 70), [511, 512, 513, 600, 601, 602, 603, 6000, 1, 1, 2]]))
    t = np.repeat(np.arange(len(sizes)) * 10.0, sizes) + np.concatenate([np.arange(size) / 1000 for size in sizes])
    odd = rng.choice([0.0, -0.0, 5e-324, 1.7e308, -1.7e308, 1.0 + 2**-52, math.inf], len(t))
    x = np.where(rng.random(len(t)) < missing, math.nan, odd if wild else rng.normal(size=len(t)))
    whole, part = resample(t, x, 10.0, 0.05), resample(t, x, 10.0, 0.05, median=False)
    assert list(part) == ["start", "count", "min", "max", "mean", "last"]
    assert {name: np.asarray(column).tobytes() for name, column in part.items()} == {
        name: np.asarray(column).tobytes() for name, column in whole.items() if name != "median"
    }


def test_resample_finds_the_edges_after_gaps_and_bursts() -> None:
    rng = np.random.default_rng(10)
    t = np.cumsum(rng.choice([0.0, 0.01, 1.0, 500.0], 5000, p=[0.1, 0.5, 0.39, 0.01]))
    found = resample(t, t, 60.0)
    where = np.floor(t / 60.0)
    starts, counts = np.unique(where, return_counts=True)
    assert np.array_equal(found["start"], starts * 60.0)
    assert np.array_equal(found["count"], counts)


def test_a_constant_has_itself_for_mean() -> None:
    assert resample(np.arange(10_000.0), np.full(10_000, 0.1), 1e6)["mean"].tolist() == [0.1]


def test_a_bucket_of_missing_readings_is_left_out() -> None:
    assert resample([0.0, 1.0, 2.0], [math.nan, math.nan, 1.0], 2.0)["start"].tolist() == [2.0]
    assert resample([], [], 2.0)["start"].tolist() == []
    assert resample([0.0, 1.0, 2.0], [math.nan, math.nan, 1.0], 2.0, median=False)["start"].tolist() == [2.0]
    assert {name: np.size(column) for name, column in resample([], [], 2.0, median=False).items()} == dict.fromkeys(
        ("start", "count", "min", "max", "mean", "last"), 0
    )


def test_a_width_lost_in_rounding_is_refused() -> None:
    for t, width, origin in ((1e300, 1.0, 0.0), (1e300, 1.0, 1e300), (1.0, 5e-324, 0.0), (2.0**54, 1.0, 0.0)):
        with pytest.raises(ValueError, match="width is too small"):
            resample([t], [1.0], width, origin)


@pytest.mark.parametrize("t", [[1.0, 0.5], [math.nan, 1.0], [0.0, math.inf], [0.0, math.nan]])
def test_times_must_be_finite_and_in_order(t: list[float]) -> None:
    x = [1.0, 2.0]
    for call in (
        lambda: ewma(t, x, 1.0),
        lambda: kalman(t, x, 1.0, 1.0),
        lambda: theil_sen(t, x),
        lambda: resample(t, x, 1.0),
    ):
        with pytest.raises(ValueError, match="t must be finite and not decrease"):
            call()


def test_arguments_that_make_no_sense() -> None:
    t, x = [0.0, 1.0], [1.0, 2.0]
    for tau in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="tau"):
            ewma(t, x, tau)
        with pytest.raises(ValueError, match="r must"):
            kalman(t, x, 1.0, tau)
        with pytest.raises(ValueError, match="width"):
            resample(t, x, tau)
    with pytest.raises(ValueError, match="q must"):
        kalman(t, x, -1.0, 1.0)
    with pytest.raises(ValueError, match="origin"):
        resample(t, x, 1.0, math.nan)
    with pytest.raises(ValueError, match="t has 2 values and x 1"):
        theil_sen(t, [1.0])
