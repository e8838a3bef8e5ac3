"""How long the filters take, beside SciPy where it computes the same: `python cython_ext/bench/filters.py [--json]`,
or `python -m bench.filters` in cython_ext.

Each figure is the least of several runs, in turn with its peer's, so that a busy machine hits both alike. What to read
are the ratios; nanoseconds are those of the machine at hand.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.ndimage import median_filter  # type: ignore[import-untyped]
from scipy.stats import theilslopes  # type: ignore[import-untyped]
from suat_filters import ChannelSettings, FilterBank, ewma, hampel, kalman, resample, rolling_median, theil_sen

WINDOWS = (5, 11, 25, 49, 99, 301, 999)
CHANNELS = 1000
CHAIN = ChannelSettings(
    minimum=-0.1,
    maximum=0.7,
    max_rate=0.2 / 900,
    stuck_count=50,
    stuck_seconds=2 * 86400,
    window=25,
    resolution=0.001,
    spike_accept=3,
    gap_seconds=3 * 3600,
    q=1e-10,
    r=1e-6,
)


@dataclass(frozen=True)
class Figure:
    """Nanoseconds for one sample; `peer` is SciPy's where it computes the same (or less: see `note`)."""

    name: str
    ns: float
    peer_ns: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.peer_ns / self.ns if self.peer_ns else None


def least(runs: int, *calls: Callable[[], Any]) -> list[float]:
    """Seconds of the fastest run of each call, the calls in turn."""
    found = [float("inf")] * len(calls)
    for _ in range(runs):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            found[i] = min(found[i], time.perf_counter() - start)
    return found


def moisture(n: int, seed: int = 1) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Times about a quarter of an hour apart, and a drifting probe with a resolution of 0.0001 and 2 % spikes."""
    rng = np.random.default_rng(seed)
    x = 0.25 + 0.1 * np.sin(np.arange(n) / 500) + rng.normal(0, 0.002, n)
    x[rng.random(n) < 0.02] += 0.1
    return np.cumsum(rng.uniform(890, 910, n)), np.round(x, 4)


def series_figures(n: int, runs: int) -> list[Figure]:
    t, x = moisture(n)
    found = []
    for w in WINDOWS:
        ours, scipy = least(runs, partial(rolling_median, x, w, True), partial(median_filter, x, w))
        found.append(Figure(f"median {w}", ours / n * 1e9, scipy / n * 1e9))
    for w in WINDOWS:
        ours, scipy = least(runs, partial(hampel, x, w, 3.0, True), partial(two_medians, x, w))
        found.append(Figure(f"hampel {w}", ours / n * 1e9, scipy / n * 1e9, "SciPy's two passes are not Hampel"))
    for name, call in (
        ("ewma", partial(ewma, t, x, 3600.0)),
        ("kalman", partial(kalman, t, x, 1e-10, 1e-6)),
        ("resample 1h", partial(resample, t, x, 3600.0)),
        ("resample 1d", partial(resample, t, x, 86400.0)),
    ):
        found.append(Figure(name, least(runs, call)[0] / n * 1e9))
    few = 2000
    ours, scipy = least(runs, partial(theil_sen, t[:few], x[:few]), partial(theilslopes, x[:few], t[:few]))
    found.append(Figure(f"theil-sen of {few}", ours / few * 1e9, scipy / few * 1e9))
    return found


def two_medians(x: np.ndarray[Any, Any], w: int) -> np.ndarray[Any, Any]:
    """The usual recipe, whose second median is about a different centre for each reading."""
    m = median_filter(x, w)
    distance = np.abs(x - m)
    return np.asarray(np.where(distance > 3 * 1.4826 * median_filter(distance, w), m, x))


def bank_figures(rows: int, runs: int) -> list[Figure]:
    """The whole chain over `CHANNELS` channels that report in turn."""
    n = rows * CHANNELS
    channels = np.tile(np.arange(CHANNELS), rows)
    t = np.repeat(np.arange(rows) * 900.0, CHANNELS)
    x = np.round(0.25 + np.random.default_rng(2).normal(0, 0.002, n), 4)
    found = []
    for batch in (10_000, 100, 1):
        upto = n if batch > 1 else n // 10
        seconds = least(runs, partial(push_batches, channels[:upto], t[:upto], x[:upto], batch))[0]
        found.append(Figure(f"push_many {batch}", seconds / upto * 1e9))
    readings = list(zip(channels.tolist(), t.tolist(), x.tolist(), strict=True))
    found.append(Figure("push", least(runs, partial(push_each, readings))[0] / n * 1e9))
    return found


def push_batches(channels: Any, t: Any, x: Any, batch: int) -> None:
    bank = FilterBank(CHANNELS, CHAIN)
    for i in range(0, len(t), batch):
        bank.push_many(channels[i : i + batch], t[i : i + batch], x[i : i + batch])


def push_each(readings: list[tuple[int, float, float]]) -> None:
    push = FilterBank(CHANNELS, CHAIN).push
    for channel, t, x in readings:
        push(channel, t, x)


def keep_figures(runs: int) -> list[Figure]:
    """Saving and loading, for each channel."""
    n = 100_000
    bank = FilterBank(n, CHAIN)
    saved = bank.save()
    save, load = least(runs, bank.save, partial(FilterBank.load, saved))
    return [Figure("save a channel", save / n * 1e9), Figure("load a channel", load / n * 1e9)]


def print_table(figures: list[Figure]) -> None:
    print(f"{'':<20}{'ns/sample':>12}{'M/s':>9}{'SciPy ns':>12}{'ratio':>8}")
    for figure in figures:
        peer = f"{figure.peer_ns:>12.1f}{figure.ratio:>7.2f}x" if figure.peer_ns else ""
        print(f"{figure.name:<20}{figure.ns:>12.1f}{1e3 / figure.ns:>9.2f}{peer}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--samples", type=int, default=1_000_000, help="length of the series")
    parser.add_argument("--runs", type=int, default=5, help="runs of each, of which the fastest counts")
    options = parser.parse_args(arguments)
    figures = [
        *series_figures(options.samples, options.runs),
        *bank_figures(max(options.samples // CHANNELS, 10), options.runs),
        *keep_figures(options.runs),
    ]
    if options.json:
        rows = [{**asdict(figure), "ratio": figure.ratio} for figure in figures]
        print(json.dumps({"machine": platform.machine(), "samples": options.samples, "figures": rows}))
    else:
        print_table(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
