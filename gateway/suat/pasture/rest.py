"""How long the grass has had to grow back.

Rest counts growth days only: soil at 10 cm at 5 C or more and fPAW at 0.40 or more (AquaCrop alfalfa; the combination
is this project's). That is what a station gives that a calendar can't.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from suat.pasture.model import DAY_US, SoilDay
from suat.pasture.tables import RulesTable


@dataclass(frozen=True, slots=True)
class Rest:
    """A paddock's rest since the last herd left it."""

    days: float  # calendar days
    growth_days: int
    known_days: int  # days of which temperature and moisture are known; the others count as no growth
    days_left: int  # calendar days still needed if the grass grows every day; 0 when rested

    @property
    def complete(self) -> bool:
        return self.days_left == 0


def is_growth_day(day: SoilDay, rules: RulesTable) -> bool:
    """Whether grass grew; a day of which a figure is missing counts as no."""
    if day.temperature_c is None or day.fpaw is None:
        return False
    return day.temperature_c >= rules.growth_temperature_c and day.fpaw >= rules.growth_fpaw


def rest_since(left_us: int, at_us: int, days: tuple[SoilDay, ...], rules: RulesTable) -> Rest:
    """The rest of a paddock that the last herd left at `left_us`; only whole days after that count."""
    counted = [day for day in days if left_us <= day.start_us and day.start_us + DAY_US <= at_us]
    growth = sum(is_growth_day(day, rules) for day in counted)
    known = sum(day.temperature_c is not None and day.fpaw is not None for day in counted)
    calendar = (at_us - left_us) / DAY_US
    lacking = max(rules.rest_min_days - calendar, float(rules.rest_growth_days - growth), 0.0)
    left = math.ceil(min(lacking, max(0.0, rules.rest_max_days - calendar)))
    return Rest(calendar, growth, known, left)
