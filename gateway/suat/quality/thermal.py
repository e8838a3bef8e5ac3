"""How much a buried probe's reading changes with its own temperature, from the days it has lived through.

Within a day the soil's water changes slowly and the temperature goes up and down: what of the reading goes with it is
the probe (and a little the soil). After each day's mean and trend are taken from both, the slope between them is that
day's; the median over the days is not moved by those on which it rained. Cobos & Campbell (Decagon: Correcting
temperature sensitivity of ECH2O soil moisture sensors) fit the same by multiple regression. Roots that drink by day
look alike: take days before the grass grows, or a bare place.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suat.errors import UsageError
from suat.store.calibration import PER_KELVIN

Array = NDArray[Any]

DAY_S = 86400.0
READINGS = 8  # a day, every 3 h: fewer do not show its course
SWING_K = 2.0  # [D] between a day's coldest and warmest reading; less drowns in the noise
DAYS = 5  # [D]


class Sensitivity(NamedTuple):
    """Relative change of a reading per kelvin, with its standard error over the days."""

    per_kelvin: float
    error: float
    days: int


def sensitivity(times_s: Array, readings: Array, temperatures_c: Array, reference_c: float) -> Sensitivity:
    """From readings put right but for temperature, by rising time. UsageError: too few days, or none a probe has."""
    slopes = []
    for day in np.unique(times_s // DAY_S):
        mine = (times_s // DAY_S == day) & np.isfinite(readings) & np.isfinite(temperatures_c)
        temperature = temperatures_c[mine]
        if mine.sum() < READINGS or np.ptp(temperature) < SWING_K or temperature.min() <= 0.0:  # ice is no water
            continue
        design = np.column_stack([np.ones(mine.sum()), times_s[mine] - times_s[mine][0], temperature - reference_c])
        (level, _, slope), *_ = np.linalg.lstsq(design / (1.0, DAY_S, 1.0), readings[mine])
        if level > 0:
            slopes.append(slope / level)
    if len(slopes) < DAYS:
        raise UsageError(
            f"{len(slopes)} days with {READINGS} readings, a swing of {SWING_K:g} K and no frost: {DAYS} are needed;"
            " choose a longer stretch, or a node that samples more often"
        )
    middle = float(np.median(slopes))
    scatter = 1.4826 * float(np.median(np.abs(np.array(slopes) - middle)))
    found = Sensitivity(middle, 1.2533 * scatter / math.sqrt(len(slopes)), len(slopes))
    if abs(found.per_kelvin) > PER_KELVIN:
        raise UsageError(
            f"{found.per_kelvin:+.4f} per kelvin is no probe's: something else goes with the temperature (roots, frost,"
            " a loose plug)"
        )
    return found
