"""How long the grass lasts, and how far animals walk to it."""

from __future__ import annotations

import math

# Greatest distance from water [km]: Fensham & Fairfax 2008 give 3 for sheep and 6 for cattle. Animals not in their
# study: goats as sheep; horses and camels, which walk further, no further than cattle.
REACH_KM = {"sheep": 3.0, "goat": 3.0}
LARGE_STOCK_REACH_KM = 6.0

UTILISATION = (
    0.35  # share of the grass that may be taken: steppe and semi-desert (Holechek); mountain meadow bears 0.50
)
DRY_UTILISATION = 0.25  # in drought


def reach_km(species: str) -> float:
    """How far from water the species grazes [km]."""
    return REACH_KM.get(species, LARGE_STOCK_REACH_KM)


def reachable_area_ha(area_ha: float, distance_km: float, limit_km: float) -> float:
    """Area within `limit_km` of the water [ha]: a round paddock of that area, its centre `distance_km` away.

    The common area of two circles.
    """
    radius = math.sqrt(area_ha / 100.0 / math.pi)
    if distance_km + radius <= limit_km:
        return area_ha
    if distance_km >= limit_km + radius:
        return 0.0
    if distance_km + limit_km <= radius:
        return math.pi * limit_km**2 * 100.0
    to_paddock = (distance_km**2 + radius**2 - limit_km**2) / (2 * distance_km * radius)
    to_limit = (distance_km**2 + limit_km**2 - radius**2) / (2 * distance_km * limit_km)
    kite = math.sqrt(
        (-distance_km + radius + limit_km)
        * (distance_km + radius - limit_km)
        * (distance_km - radius + limit_km)
        * (distance_km + radius + limit_km)
    )
    lens_km2 = radius**2 * math.acos(to_paddock) + limit_km**2 * math.acos(to_limit) - kite / 2
    return min(area_ha, 100.0 * lens_km2)


def intake_kg_day(head: int, live_weight_kg: float, intake_fraction: float) -> float:
    """Dry matter a herd eats a day [kg]; 2.6 % of live weight by default."""
    return head * live_weight_kg * intake_fraction


def left_kg(area_ha: float, forage_kg_ha: float, utilisation: float, eaten_kg: float = 0.0) -> float:
    """Dry matter that may still be taken [kg]: reachable area x forage x U, less what was eaten since the estimate."""
    return max(0.0, area_ha * forage_kg_ha * utilisation - eaten_kg)


def grazing_days(grass_left_kg: float, intake_kg: float) -> float | None:
    """Days that the grass lasts; None without animals."""
    return grass_left_kg / intake_kg if intake_kg > 0.0 else None
