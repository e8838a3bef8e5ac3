"""What panel and battery a station needs in December. Prints the table of docs/operator.md.

usage: python gateway/deploy/solar.py [--latitude 43] [--watts 4.0] [--clearness 0.45] [--tilt 65]

Sun above the air: FAO-56 eq. 21-25. On the tilted panel: the direct part by the ratio of the sun's ways, the scattered
part as from an even sky, 0.6 of the light off snow (Liu and Jordan 1963; Erbs et al. 1982 for the scattered share).
"""

from __future__ import annotations

import argparse
from math import acos, cos, pi, radians, sin, tan
from typing import NamedTuple

DECEMBER = 344  # the day of the year that stands for the month (Klein 1977)
SNOW = 0.6  # share of the light that lying snow throws back
CONVERTED = 0.85  # of the battery's energy that arrives at 5 V
CHARGED = 0.70  # of the panel's rated power that arrives in the battery: controller, wires, dirt, frost
SUNLESS_DAYS = 6  # that the battery bridges
USABLE = 0.5  # of a lead battery's rating: half discharged, and cold


class Site(NamedTuple):
    """Where and how the panel stands."""

    latitude: float  # degrees north
    tilt: float  # degrees from level, facing south
    clearness: float  # of the sun above the air, the share that arrives: 0.45 a usual December, 0.35 a dull one


def _angles(latitude: float, day: int) -> tuple[float, float, float]:
    """(latitude, declination, half the day's arc), radians."""
    phi, delta = radians(latitude), 0.409 * sin(2 * pi * day / 365 - 1.39)
    return phi, delta, acos(-tan(phi) * tan(delta))


def above_the_air(latitude: float, day: int) -> float:
    """Daily irradiation of a level square metre above the air [MJ]."""
    phi, delta, arc = _angles(latitude, day)
    distance = 1 + 0.033 * cos(2 * pi * day / 365)
    return 24 * 60 / pi * 0.0820 * distance * (arc * sin(phi) * sin(delta) + cos(phi) * cos(delta) * sin(arc))


def on_the_panel(site: Site, day: int = DECEMBER) -> float:
    """Daily irradiation of a square metre of the panel [kWh]: so many hours of full sun."""
    level = site.clearness * above_the_air(site.latitude, day) / 3.6
    phi, delta, arc = _angles(site.latitude, day)
    tilt = radians(site.tilt)
    seen = min(arc, acos(-tan(phi - tilt) * tan(delta)))  # while the sun stands before the panel
    direct = (cos(phi - tilt) * cos(delta) * sin(seen) + seen * sin(phi - tilt) * sin(delta)) / (
        cos(phi) * cos(delta) * sin(arc) + arc * sin(phi) * sin(delta)
    )
    k = site.clearness
    winter = arc < radians(81.4)
    scattered = (
        1.391 - 3.560 * k + 4.189 * k**2 - 2.137 * k**3 if winter else 1.311 - 3.022 * k + 3.427 * k**2 - 1.821 * k**3
    )
    return level * ((1 - scattered) * direct + scattered * (1 + cos(tilt)) / 2 + SNOW * (1 - cos(tilt)) / 2)


def needed(watts: float, site: Site) -> tuple[float, float, float]:
    """(energy a day [Wh], panel [W], 12 V battery [Ah]) for a load at 5 V."""
    daily = 24 * watts / CONVERTED
    return daily, daily / (on_the_panel(site) * CHARGED), daily * SUNLESS_DAYS / USABLE / 12


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--latitude", type=float, default=43.0)
    parser.add_argument("--watts", type=float, action="append", help="the load at 5 V; may be given again")
    parser.add_argument("--clearness", type=float, action="append")
    parser.add_argument("--tilt", type=float, default=65.0)
    options = parser.parse_args()
    print("| Load at 5 V | December | Sun on the panel | Energy a day | Panel | Battery, 12 V lead |")
    print("|---|---|---|---|---|---|")
    for watts in options.watts or (1.6, 4.0):
        for clearness in options.clearness or (0.45, 0.35):
            site = Site(options.latitude, options.tilt, clearness)
            daily, panel, battery = needed(watts, site)
            print(
                f"| {watts:.1f} W | clearness {clearness:.2f} | {on_the_panel(site):.2f} kWh/m2 |"
                f" {daily:.0f} Wh | {panel:.0f} W | {battery:.0f} Ah |"
            )


if __name__ == "__main__":
    main()
