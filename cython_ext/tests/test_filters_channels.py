"""Many channels at once: each as if it were alone, however many threads there are, to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from suat_filters import ewma, kalman, reference, resample, theil_sen

Floats = NDArray[np.float64]
SIZES = st.tuples(st.integers(1, 20), st.integers(1, 70))
SMOOTH: dict[str, Callable[..., Floats]] = {
    "ewma": lambda t, x, **more: ewma(t, x, 1000.0, **more),
    "kalman": lambda t, x, **more: kalman(t, x, 1e-4, 0.1, **more),
}


def many(channels: int, n: int, seed: int = 1) -> tuple[Floats, Floats]:
    """Times and readings (channels, n): some missing, some alike, a few infinite."""
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.choice([0.0, 1.0, 900.0, 1e5], (channels, n)), axis=1)
    x = np.round(rng.normal(size=(channels, n)), 1)
    x[rng.random((channels, n)) < 0.1] = math.nan
    x[rng.random((channels, n)) < 0.002] = math.inf
    x[rng.random(channels) < 0.1] = math.nan
    return t, x


@pytest.mark.parametrize("name", SMOOTH)
@given(SIZES, st.integers(0, 1000), st.sampled_from([1, 2, 5]))
def test_a_channel_is_smoothed_as_if_alone(name: str, size: tuple[int, int], seed: int, threads: int) -> None:
    smooth = SMOOTH[name]
    t, x = many(*size, seed)
    own = smooth(t, x, threads=threads)
    shared = smooth(t[0], x, threads=threads)
    assert own.shape == shared.shape == x.shape
    for channel in range(len(x)):
        assert own[channel].tobytes() == smooth(t[channel], x[channel]).tobytes()
        assert shared[channel].tobytes() == smooth(t[0], x[channel]).tobytes()


@given(SIZES, st.integers(0, 1000))
def test_kalman_of_many_channels_is_the_naive_one(size: tuple[int, int], seed: int) -> None:
    t, x = many(*size, seed)
    naive = [reference.kalman(*row, 1e-4, 0.1) for row in zip(t.tolist(), x.tolist(), strict=True)]
    assert np.array_equal(kalman(t, x, 1e-4, 0.1), naive, equal_nan=True)


@given(SIZES, st.integers(0, 1000), st.sampled_from([1, 3]))
def test_the_line_of_a_channel_is_that_of_it_alone(size: tuple[int, int], seed: int, threads: int) -> None:
    t, x = many(*size, seed)
    for times in (t, t[0]):
        slope, intercept = theil_sen(times, x, threads=threads)
        rows = times if times.ndim > 1 else [times] * len(x)
        alone = [theil_sen(*row) for row in zip(rows, x, strict=True)]
        assert np.array_equal(np.stack([slope, intercept], axis=1), alone, equal_nan=True)


@given(SIZES, st.integers(0, 1000), st.sampled_from([1, 3]))
def test_the_buckets_of_a_channel_are_those_of_it_alone(size: tuple[int, int], seed: int, threads: int) -> None:
    t, x = many(*size, seed)
    for times in (t, t[0]):
        found: dict[str, Any] = dict(resample(times, x, 3600.0, threads=threads))
        channel = found.pop("channel")
        assert np.all(np.diff(channel) >= 0)
        for i in range(len(x)):
            alone = resample(times[i] if times.ndim > 1 else times, x[i], 3600.0)
            for name, values in alone.items():
                assert found[name][channel == i].tobytes() == np.asarray(values).tobytes(), name
        without = dict(resample(times, x, 3600.0, threads=threads, median=False))
        assert without.pop("channel").tobytes() == channel.tobytes()  # type: ignore[attr-defined]
        del found["median"]
        assert {name: np.asarray(values).tobytes() for name, values in without.items()} == {
            name: values.tobytes() for name, values in found.items()
        }


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_gives_nothing(shape: tuple[int, int]) -> None:
    x = np.empty(shape)
    t = np.arange(float(shape[1]))
    assert ewma(t, x, 1.0).shape == kalman(t, x, 1.0, 1.0).shape == shape
    for part in theil_sen(t, x):
        assert np.array_equal(part, np.full(shape[0], math.nan), equal_nan=True)
    assert {name: np.size(values) for name, values in resample(t, x, 1.0).items()} == dict.fromkeys(
        ("channel", "start", "count", "min", "max", "mean", "last", "median"), 0
    )


def test_columns_of_a_larger_array_are_taken_as_they_are() -> None:
    t, x = many(5, 40)
    wide = np.asfortranarray(np.repeat(x, 2, axis=1))
    assert ewma(t, wide[:, ::2], 1000.0).tobytes() == ewma(t, x, 1000.0).tobytes()


def test_calls_at_once_do_not_meet() -> None:
    t, x = many(40, 500)
    calls: list[Callable[[], bytes]] = [
        lambda: ewma(t, x, 1000.0, threads=3).tobytes(),
        lambda: kalman(t, x, 1e-4, 0.1, threads=2).tobytes(),
        lambda: resample(t, x, 3600.0, threads=3)["median"].tobytes(),
        lambda: np.stack(theil_sen(t[:, :60], x[:, :60], threads=2)).tobytes(),
    ]
    expected = [call() for call in calls]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: calls[i % 4](), range(64)))
    assert found == [expected[i % 4] for i in range(64)]


def test_shapes_that_do_not_fit() -> None:
    x = np.zeros((3, 4))
    for t, message in (
        (np.arange(3.0), "t has 3 values and x 4"),
        (np.zeros((2, 4)), r"t has the shape \(2, 4\) and x \(3, 4\)"),
        (np.zeros((1, 3, 4)), "t must have one dimension or two"),
    ):
        with pytest.raises(ValueError, match=message):
            ewma(t, x, 1.0)
    with pytest.raises(ValueError, match=r"t has the shape \(3, 4\) and x \(4,\)"):
        kalman(x, x[0], 1.0, 1.0)
    with pytest.raises(ValueError, match=r"x must have one dimension or two \(channels, n\), not 0"):
        theil_sen(x[0], 1.0)


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_threads_are_1_to_256(threads: int) -> None:
    with pytest.raises(ValueError, match="threads must be 1 to 256"):
        ewma([0.0], [1.0], 1.0, threads=threads)


def test_a_channel_whose_times_are_out_of_order_is_named() -> None:
    t, x = np.tile(np.arange(100.0), (3, 1)), np.zeros((3, 100))
    t[2, 70] = 3.0
    with pytest.raises(ValueError, match=r"t\[2, 70\] is 3\.0 after 69\.0"):
        kalman(t, x, 1.0, 1.0)


def test_a_fault_in_one_thread_is_told_once() -> None:
    t = np.zeros((50, 1))
    t[33] = 2.0**54
    with pytest.raises(ValueError, match="width is too small"):
        resample(t, np.ones((50, 1)), 1.0, threads=4)
