"""What animals drink, and how long the water lasts."""

from __future__ import annotations

from typing import NamedTuple

COOL_C, WARM_C, HOT_C = 10.0, 25.0, 35.0


class Drink(NamedTuple):
    """Water a head and day [L]: at `COOL_C` and below, at `WARM_C` and above, and the factor above `HOT_C`."""

    cool: float
    warm: float
    hot_factor: float = 1.0


# Agriculture Canada; sheep's doubling in heat: McGregor 1986 (the hottest day's intake is twice the mean)
DRINKS = {
    "cow_with_calf": Drink(50.0, 68.0),
    "dry_cow": Drink(36.0, 55.0),
    "lactating_cow": Drink(77.0, 95.0),
    "horse": Drink(36.0, 55.0),
    "sheep": Drink(3.5, 6.0, hot_factor=2.0),
    "goat": Drink(4.0, 10.0),
    "camel": Drink(15.0, 30.0),
    "cattle": Drink(50.0, 68.0),  # a herd not told apart is taken as cows with calves, the usual pasture herd
}


def water_per_head_l(species: str, air_max_c: float | None) -> float:
    """Water a head drinks a day [L] when the day's highest temperature is `air_max_c`.

    Linear between cool and warm. Temperature unknown: the warm figure, so that water is rather over-counted as needed.
    """
    drink = DRINKS[species]
    if air_max_c is None:
        return drink.warm
    share = min(1.0, max(0.0, (air_max_c - COOL_C) / (WARM_C - COOL_C)))
    litres = drink.cool + share * (drink.warm - drink.cool)
    return litres * drink.hot_factor if air_max_c > HOT_C else litres


def water_days(volume_l: float, dead_l: float, use_l_day: float | None, demand_l_day: float) -> float | None:
    """Days the water lasts: (V - V_dead) / max(7-day median use, demand); None when nobody drinks."""
    taken = max(use_l_day or 0.0, demand_l_day)
    if taken <= 0.0:
        return None
    return max(0.0, volume_l - dead_l) / taken
