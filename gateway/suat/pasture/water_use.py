"""What is taken from a water point a day, from the flow meter or from the level of its tank."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from suat.pasture.model import DAY_US, HOUR_US

DAYS = 7
MIN_DAYS = 3  # fewer known days give no median
MIN_COVER_US = 18 * HOUR_US  # a day counts when its readings span that much
LEVEL_NOISE = 0.01  # share of the full depth by which a level must have moved to count: the probes' noise


def daily_use_l(series: Sequence[tuple[int, float]], at_us: int, metered: bool, noise_l: float) -> float | None:
    """Median of the last 7 days' use [L]; None while fewer than `MIN_DAYS` of them are known.

    `series`: (time [us], litres), oldest first; the meter's running total when `metered`, else the volume in the tank.
    A day is 24 h counted back from `at_us`.
    """
    uses = []
    for back in range(DAYS):
        start, end = at_us - (back + 1) * DAY_US, at_us - back * DAY_US
        day = [(moment, litres) for moment, litres in series if start <= moment <= end]
        if not day or day[-1][0] - day[0][0] < MIN_COVER_US:
            continue
        litres = [value for _, value in day]
        taken = metered_use(litres) if metered else falls(litres, noise_l)
        uses.append(taken * DAY_US / (day[-1][0] - day[0][0]))
    return median(uses) if len(uses) >= MIN_DAYS else None


def metered_use(totals: Sequence[float]) -> float:
    """Litres through a meter; a total that falls is a meter begun anew, and only its new count is known."""
    return sum(after - before if after >= before else after for before, after in pairwise(totals))


def falls(volumes: Sequence[float], noise_l: float) -> float:
    """Sum of the falls of a tank's volume, refills left out; a move within `noise_l` of the last turn is no move."""
    taken, mark = 0.0, volumes[0]
    for volume in volumes:
        if volume <= mark - noise_l:
            taken += mark - volume
            mark = volume
        elif volume >= mark + noise_l:
            mark = volume
    return taken
