"""What else computes it: how each peer is called at its best, with its data already in its own form.

A peer makes a call out of the arguments; only that call is timed. `answer` brings what it gives into our form, to see
whether it is the same. Libraries that are not installed are left out (`pip install suat[bench]`).
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from measure import Call
from series import Floats

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read when polars is imported

MAD_TO_SIGMA = 1.4826
HALF_LIFE_US = 3_600_000_000
TAU = HALF_LIFE_US / 1e6 / math.log(2)  # [s], of the same exponential
PIECE = 20_000  # windows that numpy unrolls at a time, so that they stay in the cache


class Peer(NamedTuple):
    name: str
    needs: str
    prepare: Callable[..., Call]
    answer: Callable[[Any], Any] = np.asarray
    note: str = ""
    centred: bool = False

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.needs) is not None


def scipy_median(x: Floats, w: int) -> Call:
    from scipy.ndimage import median_filter  # type: ignore[import-untyped]

    return partial(median_filter, x, w)


def bottleneck_median(x: Floats, w: int) -> Call:
    import bottleneck

    return partial(bottleneck.move_median, x, w, min_count=1)


def pandas_median(x: Floats, w: int) -> Call:
    import pandas

    return pandas.Series(x).rolling(w, min_periods=1).median


def polars_median(x: Floats, w: int) -> Call:
    import polars

    return partial(polars.Series(x).rolling_median, w, min_samples=1)


def numba_median(x: Floats, w: int) -> Call:
    import loops

    return partial(loops.rolling_median, x, w)


def scipy_two_medians(x: Floats, w: int) -> Call:
    """The usual recipe. Its second median is of distances from another median for each reading."""
    from scipy.ndimage import median_filter

    def call() -> Floats:
        m = median_filter(x, w)
        distance = np.abs(x - m)
        return np.where(distance > 3 * MAD_TO_SIGMA * median_filter(distance, w), m, x)

    return call


def numpy_hampel(x: Floats, w: int) -> Call:
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate((np.full(w - 1, np.nan), x)), w)

    def piece(at: int) -> Floats:
        part, readings = windows[at : at + PIECE], x[at : at + PIECE]
        median = np.nanmedian if at == 0 else np.median
        m = median(part, axis=1)
        sigma = MAD_TO_SIGMA * median(np.abs(part - m[:, None]), axis=1)
        return np.where(np.abs(readings - m) > 3 * sigma, m, readings)

    return lambda: np.concatenate([piece(at) for at in range(0, len(x), PIECE)])


def hampel_hampel(x: Floats, w: int) -> Call:
    import hampel

    return partial(hampel.hampel, x, w, 3.0)


def numba_median_hampel(x: Floats, w: int) -> Call:
    import loops

    return partial(loops.hampel_by_median, x, w, 3.0)


def numba_hampel(x: Floats, w: int) -> Call:
    import loops

    return partial(loops.hampel, x, w, 3.0)


def pandas_ewma(t: Floats, x: Floats) -> Call:
    import pandas

    times = pandas.to_datetime(np.rint(t * 1e6).astype("datetime64[us]"))
    half_life = pandas.Timedelta(HALF_LIFE_US, "us")
    return pandas.Series(x).ewm(halflife=half_life, times=times, adjust=False).mean


def polars_ewma(t: Floats, x: Floats) -> Call:
    import polars

    frame = _polars_frame(t, x)
    mean = polars.col("x").ewm_mean_by("t", half_life=f"{HALF_LIFE_US}us")
    return partial(frame.select, mean)


def numba_ewma(t: Floats, x: Floats) -> Call:
    import loops

    return partial(loops.ewma, t, x, TAU)


def numba_kalman(t: Floats, x: Floats, q: float, r: float) -> Call:
    import loops

    return partial(loops.kalman, t, np.atleast_2d(x), q, r)


def numpy_kalman(t: Floats, x: Floats, q: float, r: float) -> Call:
    """All channels at once, one time after the other; the readings lie time by time."""
    by_time = np.ascontiguousarray(x.T)

    def call() -> Floats:
        out = np.full(by_time.shape, np.nan)
        y, last, begun = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x), bool)
        p = np.full(len(x), r)
        for now, readings, smooth in zip(t.tolist(), by_time, out, strict=True):
            valid = ~np.isnan(readings)
            spread = p + q * (now - last)
            gain = spread / (spread + r)
            new = np.where(begun, y + gain * (readings - y), readings)
            np.copyto(y, new, where=valid)
            np.copyto(p, np.where(begun, gain * r, r), where=valid)
            np.copyto(last, now, where=valid)
            np.copyto(smooth, y, where=valid)
            begun |= valid
        return out.T

    return call


def pandas_resample(more: Sequence[str], t: Floats, x: Floats, width: int) -> Call:
    import pandas

    times = pandas.to_datetime(np.rint(t * 1e6).astype("datetime64[us]"))
    buckets = pandas.Series(x, index=times).resample(f"{width}s")
    return partial(buckets.agg, ["count", "min", "max", "mean", "last", *more])


def polars_resample(more: Sequence[str], t: Floats, x: Floats, width: int) -> Call:
    import polars

    column = polars.col("x")
    wanted = [getattr(column, name)().alias(name) for name in ("count", "min", "max", "mean", *more)]
    wanted.append(column.last(ignore_nulls=True).alias("last"))
    frame = _polars_frame(t, x)
    return lambda: frame.group_by_dynamic("t", every=f"{width}s").agg(wanted)


def numpy_resample(t: Floats, x: Floats, width: int) -> Call:
    def call() -> dict[str, Any]:
        valid = ~np.isnan(x)
        readings, k = x[valid], np.floor_divide(t[valid], width)
        first = np.flatnonzero(np.diff(k, prepend=-1))
        end = np.append(first[1:], len(k))
        return {
            "count": end - first,
            "min": np.minimum.reduceat(readings, first),
            "max": np.maximum.reduceat(readings, first),
            "mean": np.add.reduceat(readings, first) / (end - first),
            "last": readings[end - 1],
        }

    return call


def numba_resample(t: Floats, x: Floats, width: int) -> Call:
    import loops

    return partial(loops.resample, t, x, float(width))


def scipy_theil_sen(t: Floats, x: Floats) -> Call:
    from scipy.stats import theilslopes

    return partial(theilslopes, x, t)


def numba_theil_sen(t: Floats, x: Floats) -> Call:
    import loops

    return partial(loops.theil_sen, t, x)


def river_chain(channels: Any, t: Floats, x: Floats, limits: Any, batch: int) -> Call:
    """Range, rate and stuck in Python, both medians by river's rolling quantile, Kalman in Python."""
    from river.stats import RollingQuantile

    low, high, max_rate, resolution, stuck_count, stuck_seconds, n_sigmas, q, r = limits.tolist()
    readings = list(zip(channels.tolist(), t.tolist(), x.tolist(), strict=True))

    class Channel:
        __slots__ = ("distances", "good", "median", "p", "same", "y")

        def __init__(self) -> None:
            self.median, self.distances = RollingQuantile(0.5, 25), RollingQuantile(0.5, 25)
            self.good: tuple[float, float] | None = None
            self.same = (0.0, 0)
            self.y, self.p = 0.0, r

        def push(self, now: float, x: float) -> tuple[float, int]:
            if not low <= x <= high:
                return math.nan, 1
            good = self.good
            if good and abs(x - good[1]) > max_rate * (now - good[0]) + resolution:
                return math.nan, 2
            self.same = (self.same[0], self.same[1] + 1) if good and x == good[1] else (now, 1)
            if self.same[1] >= stuck_count and now - self.same[0] >= stuck_seconds:
                return math.nan, 4
            self.median.update(x)
            m = self.median.get()
            distance = abs(x - m)
            self.distances.update(distance)
            flags, value = 0, x
            if distance > n_sigmas * max(MAD_TO_SIGMA * self.distances.get(), resolution):
                flags, value = 8, m
            if good:
                spread = self.p + q * (now - good[0])
                gain = spread / (spread + r)
                self.y += gain * (value - self.y)
                self.p = gain * r
            else:
                self.y = value
            self.good = now, value
            return self.y, flags

    def call() -> list[tuple[float, int]]:
        bank: dict[int, Channel] = {}
        out = []
        for channel, now, reading in readings:
            one = bank.get(channel)
            if one is None:
                one = bank[channel] = Channel()
            out.append(one.push(now, reading))
        return out

    return call


def river_median(channels: Any, t: Floats, x: Floats, limits: Any, batch: int) -> Call:
    """The rolling median alone, of one channel: river's least."""
    from river.stats import RollingQuantile

    readings = x.tolist()

    def call() -> list[float]:
        median = RollingQuantile(0.5, 25)
        out = []
        for reading in readings:
            median.update(reading)
            out.append(median.get())
        return out

    return call


def numba_chain(channels: Any, t: Floats, x: Floats, limits: Any, batch: int) -> Call:
    import loops

    n = int(channels.max()) + 1
    limits = tuple(limits.tolist())
    readings = list(zip(channels.tolist(), t.tolist(), x.tolist(), strict=True)) if batch == 1 else []

    def call() -> list[tuple[Any, Any]]:
        bank = np.zeros((n, 9)), np.zeros((n, 25)), np.zeros((n, 25))
        if batch == 1:
            return [loops.push(*bank, channel, now, reading, limits) for channel, now, reading in readings]
        return [
            loops.push_many(*bank, channels[at : at + batch], t[at : at + batch], x[at : at + batch], limits)
            for at in range(0, len(t), batch)
        ]

    return call


def pushed(found: Any) -> Floats:
    """The values alone, of (value, flags) of each reading or batch."""
    return np.concatenate([np.atleast_1d(values) for values, _ in found])


def _polars_frame(t: Floats, x: Floats) -> Any:
    import polars

    times = polars.Series(np.rint(t * 1e6).astype(np.int64)).cast(polars.Datetime("us"))
    return polars.DataFrame({"t": times, "x": polars.Series(x, nan_to_null=True)})


def _column(frame: Any) -> Floats:
    return np.asarray(frame["x"].to_numpy())


def _columns(names: Sequence[str]) -> Callable[[Any], dict[str, Floats]]:
    return lambda found: {name: np.asarray(found[name]) for name in names}


def _rows(found: Any) -> dict[str, Floats]:
    return dict(zip(("start", "count", "min", "max", "mean", "last"), found, strict=True))


SUMMARY = ("count", "min", "max", "mean", "last")
MEDIAN = ("median",)
PEERS: dict[str, tuple[Peer, ...]] = {
    "median": (
        Peer("scipy", "scipy", scipy_median, centred=True),
        Peer("bottleneck", "bottleneck", bottleneck_median),
        Peer("pandas", "pandas", pandas_median),
        Peer("polars", "polars", polars_median),
        Peer("numba loop", "numba", numba_median),
    ),
    "hampel": (
        Peer("numpy", "numpy", numpy_hampel),
        Peer("numba np.median", "numba", numba_median_hampel),
        Peer("hampel", "hampel", hampel_hampel, lambda found: found.filtered_data, "float32", True),
        Peer("scipy two-pass", "scipy", scipy_two_medians, note="another median in each distance", centred=True),
        Peer("numba loop", "numba", numba_hampel),
    ),
    "ewma": (
        Peer("pandas", "pandas", pandas_ewma),
        Peer("polars", "polars", polars_ewma, _column),
        Peer("numba loop", "numba", numba_ewma),
    ),
    "kalman": (
        Peer("numpy", "numpy", numpy_kalman, note="all channels at once"),
        Peer("numba loop", "numba", numba_kalman),
    ),
    "resample": (
        Peer("pandas", "pandas", partial(pandas_resample, ()), _columns(SUMMARY)),
        Peer("polars", "polars", partial(polars_resample, ()), _columns(SUMMARY)),
        Peer("numpy", "numpy", numpy_resample, _columns(SUMMARY)),
        Peer("numba loop", "numba", numba_resample, _rows),
    ),
    "resample, median": (
        Peer("pandas", "pandas", partial(pandas_resample, MEDIAN), _columns(SUMMARY + MEDIAN)),
        Peer("polars", "polars", partial(polars_resample, MEDIAN), _columns(SUMMARY + MEDIAN)),
    ),
    "theil-sen": (
        Peer("scipy", "scipy", scipy_theil_sen, lambda found: found.slope),
        Peer("numba loop", "numba", numba_theil_sen),
    ),
    "chain": (
        Peer("river", "river", river_chain, pushed, "one by one, two medians that are not Hampel"),
        Peer("river median", "river", river_median, note="a rolling median and nothing else"),
        Peer("numba loop", "numba", numba_chain, pushed, "believes no step"),
    ),
}
