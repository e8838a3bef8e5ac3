"""What the record of a channel says in the end: every reading judged, and judged again when later ones told more."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from suat_filters.bank import FilterBank
from suat_filters.settings import BROKEN, CLOCK, FROZEN, RANGE, RATE, SPIKE, STUCK, ChannelSettings

UNUSABLE = RANGE | RATE | STUCK | CLOCK | FROZEN | BROKEN


def judge(t: ArrayLike, x: ArrayLike, settings: ChannelSettings) -> tuple[NDArray[np.float64], NDArray[np.uint16]]:
    """(values, flags) of a whole series that is pushed through one channel, its revisions applied.

    The value is NaN where the reading is missing or must not be used, the window's median where it is a spike.
    """
    times, readings = np.asarray(t, dtype=np.float64), np.asarray(x, dtype=np.float64)
    bank = FilterBank(1, settings)
    values, flags = np.empty(len(times)), np.empty(len(times), dtype=np.uint16)
    for i, (at, reading) in enumerate(zip(times.tolist(), readings.tolist(), strict=True)):
        values[i], flags[i] = bank.push(0, at, reading)
        for _, since, until, gain, loss in bank.revisions():
            revise(times[:i], readings[:i], values[:i], flags[:i], (since, until, gain, loss))
    return values, flags


def revise(
    times: NDArray[np.float64],
    readings: NDArray[np.float64],
    values: NDArray[np.float64],
    flags: NDArray[np.uint16],
    revision: tuple[float, float, int, int],
) -> None:
    """Apply (since, until, set, clear) to what was pushed before, in place."""
    since, until, gain, loss = revision
    which = np.flatnonzero((times >= since) & (times <= until) & ~np.isnan(readings))
    flags[which] = flags[which] & ~np.uint16(loss) | np.uint16(gain)
    unusable, spike = (flags[which] & UNUSABLE) > 0, (flags[which] & SPIKE) > 0
    values[which] = np.where(unusable, np.nan, np.where(spike, values[which], readings[which]))
