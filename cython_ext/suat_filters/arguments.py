"""The arguments that the filters over whole series share, each brought to one form or refused with a ValueError."""

from __future__ import annotations

import math
import operator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from suat_filters.settings import MAX_WINDOW, MIN_WINDOW

Floats = NDArray[np.float64]

MAX_THREADS = 256


def series(values: ArrayLike, name: str) -> Floats:
    """One series (n,) or that of many channels (channels, n), C-contiguous."""
    found = np.asarray(values)
    if found.ndim not in (1, 2):
        raise ValueError(f"{name} must have one dimension or two (channels, n), not {found.ndim}")
    if found.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold numbers, not {found.dtype}")
    return np.ascontiguousarray(found, dtype=np.float64)


def timed(t: ArrayLike, x: ArrayLike) -> tuple[Floats, Floats]:
    """Times (n,) or (channels, n) and readings (n,) or (channels, n); one row of times may serve all channels."""
    times, readings = series(t, "t"), series(x, "x")
    if times.shape[-1] != readings.shape[-1]:
        raise ValueError(f"t has {times.shape[-1]} values and x {readings.shape[-1]}")
    if times.ndim > 1 and times.shape != readings.shape:
        raise ValueError(f"t has the shape {times.shape} and x {readings.shape}")
    return times, readings


def window_size(window: int) -> int:
    size = operator.index(window)
    if size % 2 == 0 or not MIN_WINDOW <= size <= MAX_WINDOW:
        raise ValueError(f"window must be odd and {MIN_WINDOW} to {MAX_WINDOW}, not {size}")
    return size


def thread_count(threads: int) -> int:
    count = operator.index(threads)
    if not 1 <= count <= MAX_THREADS:
        raise ValueError(f"threads must be 1 to {MAX_THREADS}, not {count}")
    return count


def positive(value: float, name: str) -> float:
    number = float(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be finite and above 0, not {number!r}")
    return number


def not_negative(value: float, name: str) -> float:
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be finite and not negative, not {number!r}")
    return number
