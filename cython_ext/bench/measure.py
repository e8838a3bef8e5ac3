"""How a call's cost is measured beside its peers'.

CPU time of the process, so that other programs on the machine matter little and no library gains by using more cores.
The contenders run in turn, round by round: what slows the machine down meanwhile hits all of them alike, and the
ratios of the rounds show how sure a ratio is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Call = Callable[[], Any]


LEAST_S = 1e-3  # shorter than that, reading the clock would be a part of it


def rounds_of(calls: Sequence[Call], rounds: int, budget_s: float) -> list[list[float]]:
    """Seconds of CPU of each call in each round; who has used up `budget_s` drops out, after two rounds at least."""
    found: list[list[float]] = [[] for _ in calls]
    times = [math.ceil(LEAST_S / max(cost_s(call), LEAST_S / 1000)) if rounds > 1 else 1 for call in calls]
    for turn in range(rounds):
        for call, costs, n in zip(calls, found, times, strict=True):
            if turn < 2 or sum(costs) * n < budget_s:
                costs.append(cost_s(call, n))
    return found


def cost_s(call: Call, times: int = 1) -> float:
    """Seconds of CPU of one call, out of so many."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def ratio_of(theirs: Sequence[float], ours: Sequence[float]) -> tuple[float, float]:
    """How many times dearer they are, by the least of each, and its spread: how far off, as a part of it, the
    quartiles of the rounds' own ratios lie."""
    ratio = min(theirs) / min(ours)
    quartiles = np.quantile([a / b for a, b in zip(theirs, ours, strict=False)], (0.25, 0.75))
    return ratio, float(np.max(np.abs(quartiles / ratio - 1)))


def same(ours: Any, theirs: Any) -> bool:
    """Whether the answers agree to 1e-6 in the middle half of the series: at the ends peers have rules of their own,
    as they have for what stands in the place of a missing reading."""
    if isinstance(ours, dict):
        return all(same(ours[name], column) for name, column in theirs.items())
    ours, theirs = np.ravel(ours), np.ravel(theirs)
    if len(ours) != len(theirs):
        return False
    middle = slice(len(ours) // 4, len(ours) - len(ours) // 4)
    there = ~np.isnan(ours[middle])
    return np.allclose(theirs[middle][there], ours[middle][there], rtol=1e-6, atol=0)
