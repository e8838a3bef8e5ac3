"""How cleaned values and windows lie in a blob: a few bytes a channel, read by the thousand through NumPy."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CLEANED = np.dtype([("code", "u1"), ("flags", "<u2"), ("value", "<f8")])
WINDOW = np.dtype(
    [
        ("code", "u1"),
        ("n", "<u4"),
        ("min", "<f8"),
        ("max", "<f8"),
        ("mean", "<f8"),
        ("last", "<f8"),
        ("median", "<f8"),
    ]
)
STATISTICS = ("min", "max", "mean", "last", "median")

_cleaned_entry = struct.Struct("<BHd")
_window_entry = struct.Struct("<BIddddd")


class Cleaned(NamedTuple):
    """One channel of a sample after cleaning; `value` is NaN while it is unusable."""

    code: int
    flags: int
    value: float


class Summary(NamedTuple):
    """One channel over one window, of its usable values alone; all NaN when `n` is 0."""

    code: int
    n: int
    min: float
    max: float
    mean: float
    last: float
    median: float


def pack_cleaned(entries: Iterable[Sequence[float]]) -> bytes:
    """(code, flags, value) of each channel; every NaN is written alike, so that equal means equal bytes."""
    pack = _cleaned_entry.pack
    return b"".join([pack(code, flags, value if value == value else math.nan) for code, flags, value in entries])


def unpack_cleaned(body: bytes) -> list[Cleaned]:
    """The channels of a cleaned sample."""
    return [Cleaned._make(entry) for entry in _cleaned_entry.iter_unpack(body)]


def pack_window(summaries: Iterable[Summary]) -> bytes:
    """One entry a channel, in the order given."""
    return b"".join([_window_entry.pack(*summary) for summary in summaries])


def unpack_window(body: bytes) -> list[Summary]:
    """The channels of a window."""
    return [Summary._make(entry) for entry in _window_entry.iter_unpack(body)]


def stack(bodies: Sequence[bytes], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """All entries of many blobs as one array, and for each entry the index of the blob it came from."""
    counts = np.fromiter(map(len, bodies), np.int64, len(bodies)) // dtype.itemsize
    return np.frombuffer(b"".join(bodies), dtype), np.repeat(np.arange(len(bodies)), counts)
