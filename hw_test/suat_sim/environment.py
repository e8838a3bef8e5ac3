"""From a scenario (plain data, see scenario.py) to one environment a node: `Pasture(scenario).nodes[name].at(t)`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from suat_sim.chance import normal
from suat_sim.pasture import Ground, Soil, soil_course
from suat_sim.probes import Faults, NodeState, Power, Probe, Series, SoilNode, WaterNode, battery_course, cut
from suat_sim.watering import STEP_S, Event, Herd, WaterCourse, WaterPoint, demand_course, water_course
from suat_sim.weather import ALMATY, DAY_S, HOUR_S, Array, Weather, at_elevation, make_weather

LEAD_S = 2 * DAY_S  # before the start and after the end a node may still ask
SETTLE_S = 14 * DAY_S  # the tanks run this long before the period


def unix(moment: str) -> float:
    """Unix seconds of an ISO 8601 moment; without a zone it is UTC."""
    parsed = dt.datetime.fromisoformat(moment)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)).timestamp()


class Pasture:
    """The whole simulated pasture. `nodes` by name; `soils`, `waters`, `weather` by paddock or water point for a look
    at the truth behind the readings."""

    def __init__(self, scenario: Mapping[str, Any]) -> None:
        self.seed = int(scenario["seed"])
        self.start = unix(scenario["start"])
        self.end = self.start + DAY_S * float(scenario["days"])
        self.faults = Faults(**scenario.get("faults", {}))
        config = scenario["config"]
        grounds = scenario["grounds"]
        base = make_weather(self.seed, self.start - LEAD_S - SETTLE_S, self.end + LEAD_S + DAY_S, ALMATY)
        self.herds = _herds(config["herd"], scenario["moves"])
        self.weather: dict[str, Weather] = {}
        self.soils: dict[str, Soil] = {}
        for paddock in config["paddock"]:
            ident = paddock["id"]
            self.weather[ident] = _local(base, grounds[ident])
            ground = Ground(
                texture=paddock["soil"],
                seep_mm_day=float(grounds[ident].get("seep_mm_day", 0.0)),
                kcb=float(grounds[ident].get("kcb", 0.75)),
                grazed=tuple(_grazed(self.herds, ident)),
            )
            self.soils[ident] = soil_course(self.weather[ident], ground)
        self.waters: dict[str, WaterCourse] = {}
        for point in config["water_point"]:
            ident = point["id"]
            self.weather[ident] = _local(base, scenario["waters"][ident])
            self.waters[ident] = self._water(point, scenario["waters"][ident], scenario["events"])
        self.nodes: dict[str, SoilNode | WaterNode] = {
            node["name"]: self._soil_node(node) if node["kind"] == "soil" else self._water_node(node, config)
            for node in scenario["nodes"]
        }

    def _water(
        self, point: Mapping[str, Any], more: Mapping[str, Any], events: Iterable[Mapping[str, Any]]
    ) -> WaterCourse:
        spec = WaterPoint(
            id=point["id"],
            paddocks=tuple(point["paddocks"]),
            tank_l=float(point["tank_l"]),
            depth_m=float(point["depth_m"]),
            dead_l=float(point["dead_l"]),
            supply=more["supply"],
            supply_l_h=float(more["supply_l_h"]),
            start_share=float(more.get("start_share", 0.9)),
            ec_ds_m=float(more.get("ec_ds_m", 0.6)),
            events=tuple(
                Event(event["kind"], unix(event["start"]), unix(event["end"]), float(event.get("rate_l_h", 0.0)))
                for event in events
                if event["water_point"] == point["id"]
            ),
        )
        begin = self.start - SETTLE_S
        steps = int((self.end + LEAD_S - begin) // STEP_S) + 3
        weather = self.weather[spec.id]
        shift = ALMATY.longitude_deg / 15
        demand = demand_course(self.herds, spec.paddocks, weather, begin, steps, self.seed, shift)
        return water_course(spec, demand, weather, begin)

    def _series(self, values: Array, weather: Weather) -> Series:
        return cut(values, weather.start, HOUR_S, self.start - LEAD_S, self.end + LEAD_S)

    def _state(self, node: Mapping[str, Any], weather: Weather) -> NodeState:
        air, solar = self._series(weather.air, weather), self._series(weather.solar, weather)
        power = Power(**node.get("power", {}))
        volts = battery_course(power, solar.values, air.values)
        return NodeState(air, Series(air.start, HOUR_S, tuple(volts)), solar)

    def _soil_node(self, node: Mapping[str, Any]) -> SoilNode:
        soil = self.soils[node["paddock"]]
        probes = tuple(_probe(self.seed, node["name"], probe, self.faults) for probe in node["probes"])
        return SoilNode(
            name=node["name"],
            seed=self.seed,
            probes=probes,
            theta={p.position: self._series(soil.moisture(p.depth_cm), soil.weather) for p in probes},
            soil={p.position: self._series(soil.temperature(p.depth_cm), soil.weather) for p in probes},
            state=self._state(node, soil.weather),
        )

    def _water_node(self, node: Mapping[str, Any], config: Mapping[str, Any]) -> WaterNode:
        ident = node["water_point"]
        course = self.waters[ident]
        point = next(point for point in config["water_point"] if point["id"] == ident)
        begin, end = self.start - LEAD_S, self.end + LEAD_S
        series = {
            name: cut(np.asarray(values), course.start, STEP_S, begin, end)
            for name, values in (
                ("level", course.volume / course.tank_l),
                ("metered", course.metered),
                ("temperature", course.temperature),
                ("pump", course.pump),
            )
        }
        return WaterNode(
            name=node["name"],
            seed=self.seed,
            depth_m=course.depth_m,
            sensor_height_m=float(point.get("sensor_height_m", course.depth_m + 0.5)),
            ec_ds_m=course.ec_ds_m,
            state=self._state(node, self.weather[ident]),
            faults=Faults(**node["faults"]) if "faults" in node else self.faults,
            **series,
        )


def _local(base: Weather, place: Mapping[str, Any]) -> Weather:
    return at_elevation(
        base, float(place["elevation_m"]), float(place.get("rain_factor", 1.0)), float(place.get("sun_factor", 1.0))
    )


def _herds(herds: Iterable[Mapping[str, Any]], moves: Iterable[Mapping[str, Any]]) -> tuple[Herd, ...]:
    by_herd: dict[str, list[tuple[float, str]]] = {}
    for move in moves:
        by_herd.setdefault(move["herd"], []).append((unix(move["at"]), move["paddock"]))
    return tuple(
        Herd(herd["id"], herd["species"], int(herd["head"]), tuple(sorted(by_herd.get(herd["id"], ()))))
        for herd in herds
    )


def _grazed(herds: Iterable[Herd], paddock: str) -> Iterable[tuple[float, float]]:
    for herd in herds:
        ends = [at for at, _ in herd.moves[1:]] + [float("inf")]
        yield from ((at, end) for (at, place), end in zip(herd.moves, ends, strict=True) if place == paddock)


def _probe(seed: int, node: str, probe: Mapping[str, Any], faults: Faults) -> Probe:
    """A probe with its own small errors, drawn once: gain 2 %, offset 0.008 m3/m3, thermometer 0.15 K."""
    name = f"{node}/{probe['position']}/piece"
    return Probe(
        position=int(probe["position"]),
        depth_cm=float(probe["depth_cm"]),
        gain=float(probe.get("gain", 1 + 0.02 * normal(seed, name, 0))),
        offset_m3=float(probe.get("offset_m3", 0.008 * normal(seed, name, 1))),
        count_gain=float(probe.get("count_gain", 1 + 0.05 * normal(seed, name, 2))),
        count_offset=float(probe.get("count_offset", 0.02 * normal(seed, name, 3))),
        bias_c=float(probe.get("bias_c", 0.15 * normal(seed, name, 4))),
        pore_ec=float(probe.get("pore_ec", 1.2)),
        faults=Faults(**probe["faults"]) if "faults" in probe else faults,
    )
