"""Which paddock is the best one to graze next.

score = 100 Q (0.35 F + 0.20 R + 0.20 W + 0.15 M + 0.10 D); each part lies between 0 and 1. What isn't known earns
nothing: a paddock is never put forward on a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from suat.pasture.case import Case
from suat.pasture.grass import reach_km

FULL_GRAZING_DAYS = 14.0
FULL_WATER_DAYS = 4.0  # reserve: Agriculture Victoria
MOISTURE_CURVE = ((0.10, 0.0), (0.40, 1.0), (0.85, 1.0), (1.00, 0.0))  # (fPAW, M), linear between
WEIGHTS = {"grass": 0.35, "rest": 0.20, "water": 0.20, "soil": 0.15, "distance": 0.10}
QUALITY_FRESH, QUALITY_OLD, QUALITY_NONE = 1.0, 0.8, 0.5


class Score(NamedTuple):
    """0 to 100, the five parts it is made of, and the trust in the grass estimate."""

    score: float
    parts: dict[str, float]
    quality: float


def rank(case: Case) -> Score:
    """The score of a case that may be grazed."""
    parts = {
        "grass": min(1.0, (case.grazing_days or 0.0) / FULL_GRAZING_DAYS),
        "rest": _rest_part(case),
        "water": _water_part(case),
        "soil": 0.0 if case.fpaw is None else interpolate(MOISTURE_CURVE, case.fpaw),
        "distance": _distance_part(case),
    }
    quality = _quality(case)
    return Score(100 * quality * sum(WEIGHTS[name] * part for name, part in parts.items()), parts, quality)


def interpolate(curve: Sequence[tuple[float, float]], x: float) -> float:
    """Linear between the points of `curve` (x grows), level beyond its ends."""
    if x <= curve[0][0]:
        return curve[0][1]
    for (left, low), (right, high) in pairwise(curve):
        if x <= right:
            return low + (high - low) * (x - left) / (right - left)
    return curve[-1][1]


def _rest_part(case: Case) -> float:
    if case.rest is None:
        return 0.0
    if case.rest.complete or case.rules.rest_growth_days == 0:
        return 1.0
    return min(1.0, case.rest.growth_days / case.rules.rest_growth_days)


def _water_part(case: Case) -> float:
    if case.alternative:
        return 1.0
    return min(1.0, (case.water_days or 0.0) / FULL_WATER_DAYS)


def _distance_part(case: Case) -> float:
    if case.distance_km is None:
        return 0.0
    limit = min((reach_km(herd.species) for herd in case.herds), default=reach_km("sheep"))
    return max(0.0, 1.0 - case.distance_km / limit)


def _quality(case: Case) -> float:
    if case.forage_age_days is None:
        return QUALITY_NONE
    return QUALITY_FRESH if case.forage_age_days <= case.rules.forage_fresh_days else QUALITY_OLD
