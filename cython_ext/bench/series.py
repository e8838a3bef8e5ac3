"""The readings that the filters are measured with. The same seed gives the same readings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def moisture(n: int, seed: int = 1) -> Floats:
    """A drifting probe of resolution 0.0001 m3/m3 with 2 % spikes, nothing missing: what every peer can take."""
    rng = np.random.default_rng(seed)
    x = 0.25 + 0.1 * np.sin(np.arange(n) / 500) + rng.normal(0, 0.002, n)
    x[rng.random(n) < 0.02] += 0.1
    return np.round(x, 4)


def irregular(n: int, seed: int = 3) -> tuple[Floats, Floats]:
    """Readings about a minute apart, 2 % of them missing (NaN). Times are whole microseconds, as in every peer."""
    rng = np.random.default_rng(seed)
    x = moisture(n, seed)
    x[rng.random(n) < 0.02] = np.nan
    return np.cumsum(rng.integers(30_000_000, 90_000_000, n)) / 1e6, x


def in_turn(channels: int, rows: int) -> tuple[NDArray[Any], Floats, Floats]:
    """(channel, t, x) of channels that report one after the other, every quarter of an hour."""
    n = channels * rows
    x = np.round(0.25 + np.random.default_rng(2).normal(0, 0.002, n), 4)
    return np.tile(np.arange(channels), rows), np.repeat(np.arange(rows) * 900.0, channels), x
