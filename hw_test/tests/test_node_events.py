"""Events of water nodes on the whole way: pins, wake, node, air, station. Thresholds: docs/events.md."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from suat.store.points import Points
from suat_node.config import DEFAULTS
from suat_sim.demo import Demo
from suat_sim.environment import Pasture
from suat_sim.node_process import NodeSpec
from suat_sim.scenario import demo_station

LEAK, EMPTY, FREEZING, TAMPER = 1, 2, 4, 8
START_S = 1778803200  # 2026-05-15T00:00:00Z, the demo's first day
HOUR_S, DAY_S = 3600, 86400
CONFIRMED_UP, UNCONFIRMED_UP = 4, 2  # MType (TS001 4.2.1)

Course = Callable[[float], float | None]


class Trough:
    """What the sensors of a trough give, each a course over the seconds since the start."""

    def __init__(self, **courses: Course) -> None:
        self.courses = courses

    def at(self, t_unix: float) -> dict[str, float | None]:
        out: dict[str, float | None] = {"node.battery": 3.9, "node.air_temperature": 12.0}
        for name, course in self.courses.items():
            out[name.replace("_", ".", 1)] = course(t_unix - START_S)
        return out


@dataclass(frozen=True)
class Told:
    """An `events` reading as the station kept it, seconds since the start."""

    at_s: float
    bits: int


@dataclass(frozen=True)
class Sent:
    """A data frame of a node as the gateway heard it."""

    at_s: float
    confirmed: bool


class Field(Demo):
    """The demo with other nodes in it: their board, sensors, settings and what surrounds them."""

    def __init__(
        self, folder: Path, scenario: Mapping[str, Any], more: Mapping[str, Any], trough: Trough | None = None
    ) -> None:
        self.more = more
        self.trough = trough
        self.sent: list[Sent] = []
        super().__init__(scenario, folder, seed=int(scenario["seed"]))
        take = self.fleet.receive

        def receive(data: bytes, address: tuple[str, int]) -> None:
            if data[3] == 0:
                for packet in json.loads(data[12:]).get("rxpk", ()):
                    kind = base64.b64decode(packet["data"])[0] >> 5
                    if kind in (CONFIRMED_UP, UNCONFIRMED_UP):
                        self.sent.append(Sent(self.fleet.now_us() / 1e6, kind == CONFIRMED_UP))
            take(data, address)

        self.fleet.receive = receive

    def __enter__(self) -> Field:
        return self

    def _pasture(self) -> Any:
        if self.trough is None:
            return super()._pasture()
        return SimpleNamespace(nodes={node["name"]: self.trough for node in self.scenario["nodes"]})

    def _node(self, node: Mapping[str, Any], seed: int, interval_s: int | None) -> NodeSpec:
        spec = super()._node(node, seed, interval_s)
        return replace(spec, config={**spec.config, **self.more})

    def lines(self, node: str) -> list[str]:
        """What InfluxDB would get of the node itself."""
        reader = self.station.reader
        registration = next(device.registration for device in reader.devices() if device.name == node)
        points = Points(reader.devices(), reader.assignments())
        lines = [line for row in reader.samples(registration) for line in points.sample(row)]
        return [line for line in lines if line.startswith("node,")]

    def told(self, node: str = "water-1") -> list[Told]:
        """Each change of the node's events, as `suat readings` shows them."""
        found: list[Told] = []
        registration = next(d.registration for d in self.station.reader.devices() if d.name == node)
        for reading in self.station.reader.readings(registration):
            if reading.channel == "events":
                assert reading.value == reading.raw and reading.flags == 0
                at = reading.time_us / 1e6 - START_S
                if not found or found[-1].bits != reading.raw:
                    found.append(Told(at, int(reading.raw)))
        return found


def one_trough(
    folder: Path, trough: Trough, hours: float, board: str, sensors: list[dict[str, Any]], **more: Any
) -> tuple[list[Told], list[Sent]]:
    """Run one water node for hours; what it told and what it sent."""
    scenario = {**demo_station(0, 1, days=30), "days": hours / 24}
    with Field(folder, scenario, {"board": board, "sensors": sensors, **more}, trough) as field:
        field.run()
        assert field.fleet.incidents == []
        return field.told(), field.sent


FLOAT: dict[str, list[dict[str, Any]]] = {
    "heltec_v3": [{"kind": "switch", "at": "water", "pin": 4, "wake": True}, {"kind": "battery"}],
    "pico_waveshare": [{"kind": "switch", "at": "water", "pin": 6, "wake": True}, {"kind": "battery"}],
}


@pytest.mark.parametrize("board", sorted(FLOAT))
def test_a_float_that_falls_is_told_within_ten_seconds(
    board: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """It falls four times at odd moments, for forty minutes each. The simulator looks at the pin every 5.1 s."""
    falls = [HOUR_S + 417.0, 2 * HOUR_S + 1033.0, 3 * HOUR_S + 1222.0, 4 * HOUR_S + 707.0]
    trough = Trough(water_float=lambda t: 0.0 if any(fell <= t < fell + 2400 for fell in falls) else 1.0)
    told, sent = one_trough(tmp_path, trough, 6, board, FLOAT[board])
    assert [event.bits for event in told] == [EMPTY, 0] * 4
    took = []
    for fell, event, over in zip(falls, told[0::2], told[1::2], strict=True):
        assert fell <= event.at_s <= fell + 10
        assert fell + 2400 <= over.at_s <= fell + 2400 + 2 * 900 + 10, "good news comes with the samples that are due"
        first = next(frame for frame in sent if frame.at_s >= fell)
        assert first.confirmed
        took.append(first.at_s - fell)
    record_property("seconds_to_the_uplink", [round(seconds, 1) for seconds in took])
    assert max(took) <= 10, took
    assert sum(frame.confirmed for frame in sent) <= 6, "each is confirmed once, and again only for want of an answer"


@pytest.mark.parametrize("board", sorted(FLOAT))
def test_a_float_that_flutters_does_not_drain_the_battery(board: str, tmp_path: Path) -> None:
    """It comes and goes every 20 s for six hours: events_per_h samples more an hour, no others."""
    trough = Trough(water_float=lambda t: float(int(t // 20) % 2) if t < 6 * HOUR_S else 1.0)
    told, sent = one_trough(tmp_path, trough, 12, board, FLOAT[board], settings={"events_per_h": 4})
    by_hour = [sum(hour <= frame.at_s / HOUR_S < hour + 1 for frame in sent) for hour in range(12)]
    assert all(4 <= count <= 4 + 4 + 2 for count in by_hour[1:6]), by_hour  # due, more, and repeated for want of answer
    assert all(count <= 4 + 2 for count in by_hour[7:]), by_hour
    assert told[-1].bits == 0 and told[-1].at_s < 6 * HOUR_S + 3 * 900


def test_an_opened_box_is_told_at_once(tmp_path: Path) -> None:
    sensors: list[dict[str, Any]] = [{"kind": "switch", "at": "node", "pin": 5, "wake": True}, {"kind": "battery"}]
    trough = Trough(node_tamper=lambda t: 1.0 if 4000 <= t < 4600 else 0.0)
    told, sent = one_trough(tmp_path, trough, 3, "heltec_v3", sensors)
    assert [event.bits for event in told] == [TAMPER, 0]
    assert any(4000 <= frame.at_s <= 4010 and frame.confirmed for frame in sent)


@pytest.mark.parametrize(("board", "pins"), [("heltec_v3", (4, 5)), ("pico_waveshare", (6, 7))])
def test_pulses_of_a_meter_beside_a_float_ask_for_no_sample(board: str, pins: tuple[int, int], tmp_path: Path) -> None:
    """300 L/h, 10 L a pulse; the float is down from 4,000 to 6,000 s. On the ESP32-S3 each pulse is a wake, too."""
    sensors = [
        {"kind": "switch", "at": "water", "pin": pins[0], "wake": True},
        {"kind": "flow", "pin": pins[1], "pulses_per_l": 0.1, "debounce_ms": 50},
        {"kind": "battery"},
    ]
    trough = Trough(water_float=lambda t: float(not 4000 <= t < 6000), water_volume=lambda t: 300 / HOUR_S * t)
    scenario = {**demo_station(0, 1, days=30), "days": 4 / 24}
    with Field(tmp_path, scenario, {"board": board, "sensors": sensors}, trough) as field:
        field.run()
        volumes = [(r.time_us / 1e6 - START_S, r.raw) for r in field.station.reader.readings() if r.channel == "volume"]
        assert [event.bits for event in field.told()] == [EMPTY, 0]
    assert len(volumes) in (18, 19), "four an hour, the first, and one for each move of the float"
    assert all(abs(raw - 300 / HOUR_S * at) <= 20 for at, raw in volumes), volumes


METER: dict[str, Any] = {"kind": "flow", "source": "pcf8583", "i2c": 0, "sda": 4, "scl": 5, "pulses_per_l": 0.1}


def test_water_that_runs_all_day_is_a_leak_until_it_stops(tmp_path: Path) -> None:
    """300 L/h from 03:00 to 15:00 through a meter of 10 L a pulse."""
    trough = Trough(water_volume=lambda t: 300.0 / HOUR_S * max(0.0, min(t, 15 * HOUR_S) - 3 * HOUR_S))
    told, _ = one_trough(tmp_path, trough, 24, "pico_waveshare", [METER, {"kind": "battery"}])
    assert [event.bits for event in told] == [LEAK, 0]
    assert 9 * HOUR_S <= told[0].at_s <= 9 * HOUR_S + 2 * 900 + 10  # leak_flow: 6 h
    assert 15 * HOUR_S <= told[1].at_s <= 15 * HOUR_S + 3 * 900


def test_a_level_that_sinks_at_night_is_a_leak_until_a_night_without(tmp_path: Path) -> None:
    """12 mm/h for a day and a half, then mended: found in the first night (18-22 h UTC), over in the third."""
    trough = Trough(water_depth=lambda t: 1.5 - 0.012 * min(t, 36 * HOUR_S) / HOUR_S)
    sensors: list[dict[str, Any]] = [{"kind": "pressure", "adc": 27, "full_m": 5.0, "power": 22}, {"kind": "battery"}]
    told, _ = one_trough(tmp_path, trough, 72, "pico_waveshare", sensors)
    assert [event.bits for event in told] == [LEAK, 0]
    assert 20 * HOUR_S <= told[0].at_s <= 22 * HOUR_S
    assert (24 + 20) * HOUR_S <= told[1].at_s <= (24 + 22) * HOUR_S


def test_freezing_begins_below_1_degree_and_ends_at_2(tmp_path: Path) -> None:
    """A degree an hour down from 4 to 0 and up again: below 1 from 3 h to 5 h, at 2 from 6 h on."""
    trough = Trough(water_temperature=lambda t: abs(4.0 - t / HOUR_S))
    sensors: list[dict[str, Any]] = [{"kind": "ds18b20", "at": "water", "pin": 6}, {"kind": "battery"}]
    told, _ = one_trough(tmp_path, trough, 9, "heltec_v3", sensors)
    assert [event.bits for event in told] == [FREEZING, 0]
    assert 3 * HOUR_S <= told[0].at_s <= 3 * HOUR_S + 900 + 10
    assert 6 * HOUR_S <= told[1].at_s <= 6 * HOUR_S + 2 * 900 + 10


@pytest.mark.slow
def test_thirty_days_of_drinking_herds_make_no_false_alarm_and_the_leak_is_found(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The demo's three water points with its herds, springs, pump, probe noise, spikes and drop-outs.

    One tank leaks 360 L/h, 100 more than its spring gives, from 1.6 days before the end.
    """
    scenario = demo_station(6, 3)
    scenario["nodes"] = [node for node in scenario["nodes"] if node["kind"] == "water"]
    with Field(tmp_path, scenario, {}) as field:
        field.run()
        told = {node["water_point"]: field.told(node["name"]) for node in scenario["nodes"]}
        written = [line for line in field.lines("water-3") if "events=" in line]
    began = (scenario["days"] - 1.6) * DAY_S
    found = told.pop("slope-tank")
    assert all(events == [] for events in told.values()), told
    assert [event.bits for event in found] == [LEAK]
    record_property("hours_to_detection", round((found[0].at_s - began) / HOUR_S, 1))
    assert began < found[0].at_s <= began + 0.5 * DAY_S
    assert written and all("events=1i" in line for line in written)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., bool]]:
    """The node's own judgement, on CPython: thousands of days are too many for a whole node."""
    before = set(sys.modules)
    monkeypatch.setitem(sys.modules, "micropython", SimpleNamespace(const=lambda value: value))
    monkeypatch.setitem(sys.modules, "machine", SimpleNamespace())
    try:
        yield importlib.import_module("suat_node.events").judge
    finally:
        for name in set(sys.modules) - before:
            if name.startswith("suat_node."):
                del sys.modules[name]


def judged(judge: Callable[..., bool], scenario: Mapping[str, Any], level: str) -> dict[str, list[Told]]:
    """The changes of each water point's events over the scenario, with the level that this sensor gives."""
    pasture = Pasture(scenario)
    out = {}
    for number, entry in enumerate(node for node in scenario["nodes"] if node["kind"] == "water"):
        names = "event_hour event_count flow_since flow_last flow_at night_mm night_at events battery_state"
        counters = SimpleNamespace(**dict.fromkeys(names.split(), 0), utc_offset=START_S)
        node = SimpleNamespace(counters=counters, setting=DEFAULTS.__getitem__)
        told = out[entry["water_point"]] = [Told(0.0, 0)]
        for now in range(100 * number, int(scenario["days"]) * DAY_S, 900):
            values = pasture.nodes[entry["name"]].at(START_S + now)
            readings = {("water", field): values[f"water.{field}"] for field in (level, "temperature", "volume")}
            judge(node, {key: value for key, value in readings.items() if value is not None}, now)
            if counters.events & 0xFF != told[-1].bits:
                told.append(Told(now, counters.events & 0xFF))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("level", ["depth", "distance"])
def test_rates_over_many_seasons(
    level: str, judge: Callable[..., bool], record_property: Callable[[str, object], None]
) -> None:
    """Five other draws of weather, herds' days and probe faults: 450 days of water points a sensor."""
    hours = []
    for seed in range(11, 16):
        quiet = {**demo_station(6, 3, seed), "events": []}
        assert all(len(told) == 1 for told in judged(judge, quiet, level).values()), seed
        scenario = demo_station(6, 3, seed)
        found = judged(judge, scenario, level)["slope-tank"]
        assert [event.bits for event in found] == [0, LEAK], seed
        hours.append(round((found[1].at_s - (scenario["days"] - 1.6) * DAY_S) / HOUR_S, 1))
    record_property("hours_to_detection", hours)
    assert min(hours) > 0 and max(hours) <= 14, hours
