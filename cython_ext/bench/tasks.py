"""What is measured: the rows of the tables and the points of the plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ours import LIMITS
from series import in_turn, irregular, moisture

WINDOWS = (5, 11, 25, 49, 301)
CHANNELS = 1000
KEPT = 100_000  # channels whose state is saved and loaded
FEW = 2000  # readings of a slope
CHAIN_MOST = 1_000_000
Q, R = 1e-10, 1e-6

GROWING = (3, 5, 7, 9, 11, 15, 19, 25, 31, 37, 43, 49, 51, 57, 65, 75, 99, 129, 151, 199, 257, 301, 399, 513, 699, 999)
GROWING_N = 200_000
LENGTHS = tuple(round(10 ** (k / 2)) for k in range(6, 15))  # 1,000 to 10,000,000
FAST = ("suat", "suat centred", "scipy", "scipy two-pass", "bottleneck", "numba loop")


class Task(NamedTuple):
    """One row. `arguments(n)` are those of a call on n samples; `only` these contenders take part, None: all."""

    group: str
    case: str
    n: int
    arguments: Callable[[int], tuple[Any, ...]]
    only: tuple[str, ...] | None = None


def tasks(group: str, lengths: Sequence[int]) -> Iterator[Task]:
    """The rows of a group's tables."""
    if group in ONCE:
        yield from ONCE[group](max(lengths))
    else:
        for n in lengths:
            yield from SERIES[group](n)


def growth(group: str, most: int) -> Iterator[Task]:
    """Over the window at one length, and over the length at one window or case."""
    if group in ("median", "hampel"):
        yield from (task._replace(only=FAST) for task in over_windows(group, GROWING, min(GROWING_N, most)))
        cases = [next(over_windows(group, (25,), n)) for n in LENGTHS if n <= most]
    elif group in SERIES:
        cases = [next(iter(SERIES[group](n))) for n in LENGTHS if n <= most]
    else:
        cases = []
    yield from (task._replace(case=f"over n, {task.case}".rstrip(", "), only=FAST) for task in cases)


def over_windows(group: str, windows: Sequence[int], n: int) -> Iterator[Task]:
    for w in windows:
        yield Task(group, f"{w}", n, lambda n, w=w: (moisture(n), w))  # type: ignore[misc]


def _ewma(n: int) -> Iterator[Task]:
    yield Task("ewma", "one series", n, irregular)
    yield Task("ewma", "1,000 channels", n, _channels, ("suat",))


def _kalman(n: int) -> Iterator[Task]:
    yield Task("kalman", "one series", n, lambda n: (*irregular(n), Q, R), ("suat", "numba loop"))
    yield Task("kalman", "1,000 channels", n, lambda n: (*_channels(n), Q, R))


def _channels(n: int) -> tuple[Any, Any]:
    """As many readings as rows of `CHANNELS` channels, all read at the same times."""
    length = max(n // CHANNELS, 2)
    return irregular(length)[0], irregular(length * CHANNELS)[1].reshape(CHANNELS, length)


def _resample(group: str, n: int) -> Iterator[Task]:
    for name, width in (("15 min", 900), ("1 h", 3600), ("1 d", 86400)):
        yield Task(group, name, n, lambda n, width=width: (*irregular(n), width))  # type: ignore[misc]


def _copy(n: int) -> Iterator[Task]:
    yield Task("copy", "", n, lambda n: (moisture(n),))


def _theil_sen(n: int) -> Iterator[Task]:
    yield Task("theil-sen", f"{FEW:,} readings", min(FEW, n), lambda n: (irregular(n)[0], moisture(n)))


def _chain(n: int) -> Iterator[Task]:
    rows = max(min(n, CHAIN_MOST) // CHANNELS, 1)
    for name, batch in (("batches of 10,000", 10_000), ("batches of 100", 100), ("one by one", 1)):
        yield Task(
            "chain",
            name,
            rows * CHANNELS,
            lambda n, batch=batch: (*in_turn(CHANNELS, max(n // CHANNELS, 1)), LIMITS, batch),  # type: ignore[misc]
        )


def _state(group: str, n: int) -> Iterator[Task]:
    yield Task(group, "a channel", min(KEPT, n), lambda n: (n,))


SERIES: dict[str, Callable[[int], Iterator[Task]]] = {
    "copy": _copy,
    "median": lambda n: over_windows("median", WINDOWS, n),
    "hampel": lambda n: over_windows("hampel", WINDOWS, n),
    "ewma": _ewma,
    "kalman": _kalman,
    "resample": lambda n: _resample("resample", n),
    "resample, median": lambda n: _resample("resample, median", n),
}
ONCE: dict[str, Callable[[int], Iterator[Task]]] = {  # however long the series are
    "theil-sen": _theil_sen,
    "chain": _chain,
    "save": lambda n: _state("save", n),
    "load": lambda n: _state("load", n),
}
GROUPS = (*SERIES, *ONCE)
