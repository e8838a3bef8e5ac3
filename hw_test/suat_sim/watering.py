"""Water points and the herds that drink there, in steps of ten minutes.

A tank with upright walls is filled by a spring or by a solar pump until its float closes, and emptied by the herds
whose paddock it serves. Demand by species and air temperature: facts of Agriculture Canada and the interpolation that
docs/simulator.md states. A leak, a pump that failed and a pump that runs dry are events with a beginning and an end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from suat_sim.chance import uniform
from suat_sim.weather import DAY_S, HOUR_S, Array, Weather

STEP_S = 600

# L a head and day at 10 C and below, and at 25 C and above (Agriculture Canada; sheep [design]).
DEMAND_L = {
    "cow_with_calf": (50.0, 68.0),
    "cattle": (50.0, 68.0),  # a herd not told apart: cows with calves
    "dry_cow": (36.0, 55.0),
    "lactating_cow": (77.0, 95.0),
    "horse": (36.0, 55.0),
    "sheep": (3.5, 6.0),
    "goat": (4.0, 10.0),
    "camel": (15.0, 30.0),
}
# When a herd comes to drink: (hour of true solar time, length in hours, share of the day's water) [design].
VISITS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "sheep": ((10.0, 1.5, 0.55), (17.5, 1.5, 0.45)),
    "goat": ((10.0, 1.5, 0.55), (17.5, 1.5, 0.45)),
    "other": ((7.5, 1.0, 0.35), (13.0, 1.0, 0.30), (19.0, 1.0, 0.35)),
}


@dataclass(frozen=True)
class Herd:
    """moves: (unix seconds, paddock id or "" for away), in order of time."""

    id: str
    species: str
    head: int
    moves: tuple[tuple[float, str], ...]

    def paddock(self, t: float) -> str:
        """Where the herd is at t, "" before its first move."""
        place = bisect_right([at for at, _ in self.moves], t)
        return self.moves[place - 1][1] if place else ""


@dataclass(frozen=True)
class Event:
    """kind: leak (rate_l_h out of the tank), meter_leak (behind the outlet meter), pump_failed, dry_run."""

    kind: str
    start: float
    end: float
    rate_l_h: float = 0.0


EVENT_KINDS = ("leak", "meter_leak", "pump_failed", "dry_run")


@dataclass(frozen=True)
class WaterPoint:
    """supply: spring or solar_pump; supply_l_h: of the spring, or of the pump at 800 W m-2; start_share: of the
    tank that is full at first."""

    id: str
    paddocks: tuple[str, ...]
    tank_l: float
    depth_m: float
    dead_l: float
    supply: str
    supply_l_h: float
    start_share: float = 0.9
    ec_ds_m: float = 0.6
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class WaterCourse:
    """Series on `start` + STEP_S i. volume: L in the tank; metered: cumulative L through the outlet meter; demand,
    drunk, supplied, leaked: L in the step; pump: A; full: 1 where the float has closed; temperature: degC."""

    start: float
    depth_m: float
    tank_l: float
    ec_ds_m: float
    volume: Array
    metered: Array
    demand: Array
    drunk: Array
    supplied: Array
    leaked: Array
    pump: Array
    full: Array
    temperature: Array


def daily_demand(species: str, air_c: float) -> float:
    """L a head and day, linear between 10 and 25 C; sheep double above 35 C (McGregor 1986)."""
    if species not in DEMAND_L:
        raise ValueError(f"species {species!r} is none of {', '.join(DEMAND_L)}")
    cool, hot = DEMAND_L[species]
    litres = cool + (hot - cool) * min(1.0, max(0.0, (air_c - 10) / 15))
    return 2 * litres if species == "sheep" and air_c > 35 else litres


def demand_course(
    herds: Sequence[Herd],
    paddocks: Sequence[str],
    weather: Weather,
    start: float,
    steps: int,
    seed: int,
    shift_h: float,
) -> Array:
    """L that the herds on these paddocks want in each step. Rain over 5 mm a day takes 30 % off, chance +-10 %."""
    out = np.zeros(steps)
    served = set(paddocks)
    day_mean, day_rain = weather.air.reshape(-1, 24).mean(axis=1), weather.rain.reshape(-1, 24).sum(axis=1)
    for herd in herds:
        if served.isdisjoint(paddock for _, paddock in herd.moves):
            continue
        visits = VISITS.get(herd.species, VISITS["other"])
        for i in range(steps):
            t = start + STEP_S * i
            solar = ((t / HOUR_S) + shift_h) % 24
            rate = sum(share / length for hour, length, share in visits if hour <= solar < hour + length)
            if rate == 0.0 or herd.paddock(t) not in served:
                continue
            day = int((t - weather.start) // DAY_S)
            chance = 1 + 0.2 * (uniform(seed, herd.id, day) - 0.5)
            wet = 0.7 if day_rain[day] > 5 else 1.0
            litres = daily_demand(herd.species, float(day_mean[day])) * herd.head * chance * wet
            out[i] += litres * rate * STEP_S / HOUR_S
    return out


def water_course(point: WaterPoint, demand: Array, weather: Weather, start: float) -> WaterCourse:
    """Run the tank through the steps of `demand`, which begin at `start`."""
    for event in point.events:
        if event.kind not in EVENT_KINDS:
            raise ValueError(f"event {event.kind!r} of water point {point.id} is none of {', '.join(EVENT_KINDS)}")
    if point.supply not in ("spring", "solar_pump"):
        raise ValueError(f"supply {point.supply!r} of water point {point.id} is neither spring nor solar_pump")
    steps = demand.shape[0]
    names = ("volume", "metered", "drunk", "supplied", "leaked", "pump", "full")
    out = {name: np.zeros(steps) for name in names}
    at = (start - weather.start + STEP_S * np.arange(steps)) / HOUR_S
    sun = np.interp(at, np.arange(weather.solar.shape[0]) + 0.5, weather.solar).tolist()
    volume, metered, closed = point.start_share * point.tank_l, 0.0, False
    hours = STEP_S / HOUR_S
    for i, wanted in enumerate(demand.tolist()):
        t = start + STEP_S * i
        active = {event.kind: event.rate_l_h for event in point.events if event.start <= t < event.end}
        out["volume"][i], out["metered"][i], out["full"][i] = volume, metered, float(closed)
        flow, current = _supply(point, sun[i], closed, active)
        supplied = min(flow * hours, point.tank_l - volume)
        volume += supplied
        drunk = min(wanted, max(0.0, volume - point.dead_l))
        volume -= drunk
        lost = min((active.get("leak", 0.0) + active.get("meter_leak", 0.0)) * hours, volume)
        volume -= lost
        metered += drunk + (lost if "meter_leak" in active else 0.0)
        # A float closes at the rim and opens a hand's breadth lower.
        closed = volume >= point.tank_l - 1e-6 or (closed and volume > 0.97 * point.tank_l)
        out["drunk"][i], out["supplied"][i], out["leaked"][i], out["pump"][i] = drunk, supplied, lost, current
    return WaterCourse(
        start=start,
        depth_m=point.depth_m,
        tank_l=point.tank_l,
        ec_ds_m=point.ec_ds_m,
        demand=demand,
        temperature=_water_temperature(weather, start, steps),
        **out,
    )


def _supply(point: WaterPoint, sun: float, closed: bool, active: dict[str, float]) -> tuple[float, float]:
    """L/h that come in, and the pump's current in A (4 A at 800 W m-2; a pump in air draws 40 % of that)."""
    if closed or "pump_failed" in active:
        return 0.0, 0.0
    if point.supply == "spring":
        return point.supply_l_h, 0.0
    power = 0.0 if sun < 120 else min(1.1, sun / 800)
    if "dry_run" in active:
        return 0.0, 1.6 * power
    return point.supply_l_h * power, 4.0 * power


def _water_temperature(weather: Weather, start: float, steps: int) -> Array:
    """Water follows six tenths of the air and four tenths of a 7 C spring with a time constant of 30 h; not below 0."""
    share = 1 - np.exp(-1 / 30)
    course = np.empty(weather.air.shape[0])
    now = float(weather.air[:240].mean())
    for i, target in enumerate((0.6 * weather.air + 0.4 * 7.0).tolist()):
        now += share * (target - now)
        course[i] = now
    at = (start - weather.start + STEP_S * np.arange(steps)) / HOUR_S
    return np.maximum(0.0, np.interp(at, np.arange(course.shape[0]), course))
