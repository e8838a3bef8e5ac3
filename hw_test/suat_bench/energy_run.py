"""Two days of a real node on the simulated bench with a real station; what it spent its time on in the second."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from suat_sim.demo import Demo
from suat_sim.node_process import NodeSpec
from suat_sim.scenario import demo_station

DAY_S = 86400.0
SETTLED_S = 3600.0  # the second day begins when the node has joined, knows the time and has been acknowledged

# What every sensor could meet: all of them answer, nothing is out of the ordinary.
_ANSWERS: dict[str, float | None] = {
    "node.battery": 3.6,
    "node.air_temperature": 5.0,
    "node.solar": 5.0,
    "node.tamper": 0.0,
    "water.depth": 1.5,
    "water.distance": 1.0,
    "water.temperature": 8.0,
    "water.volume": 1000.0,
    "water.float": 1.0,
    "water.ec": 0.6,
    "water.pump_current": 0.0,
}
for _probe in ("probe1", "probe2", "probe3", "probe4"):
    _ANSWERS.update(
        {f"{_probe}.vwc": 0.25, f"{_probe}.permittivity": 12.0, f"{_probe}.temperature": 8.0, f"{_probe}.ec": 0.4}
    )
    _ANSWERS[f"{_probe}.count"] = 0.5


class Counted(NamedTuple):
    """Seconds a day by activity, and how often; see suat_sim/meter.py. `tx` by dBm, `on` by pin."""

    wakes: float
    frames: float
    awake: float
    light: float
    rx: float
    radio: float
    tx: dict[float, float]
    on: dict[int, float]


class _OneNode(Demo):
    """The demo's station with one node: its own configuration, everything else in order."""

    def __init__(self, config: Mapping[str, Any], folder: Path, days: float) -> None:
        self.node_config = config
        soil = config["kind"] == "soil"
        scenario = {**demo_station(int(soil), int(not soil), days=30), "days": days}
        table = scenario["config"]
        scenario["config"] = {**table, "station": {**table["station"], "region": config.get("region", "IN865")}}
        super().__init__(scenario, folder, seed=1)

    def _pasture(self) -> Any:
        world = SimpleNamespace(at=lambda t: _ANSWERS, ask=lambda t, line: b"")
        return SimpleNamespace(nodes={node["name"]: world for node in self.scenario["nodes"]})

    def _node(self, node: Mapping[str, Any], seed: int, interval_s: int | None) -> NodeSpec:
        spec = super()._node(node, seed, interval_s)
        keys = {"otaa": spec.config["otaa"]}  # the station of the bench knows these, not the node's own
        own = {name: value for name, value in self.node_config.items() if name not in ("otaa", "abp")}
        return replace(spec, config={**own, **keys}, x_m=300.0, y_m=0.0, metered=True)


def count(config: Mapping[str, Any], days: int = 2) -> Counted:
    """Let the node live and count its last day; FleetError or RomError when it does not get that far."""
    with tempfile.TemporaryDirectory() as folder, _OneNode(config, Path(folder), days) as bench:
        bench.pass_days()
        log = bench.fleet.nodes[0].log(0)
    lines = [json.loads(line[6:]) for line in log.splitlines() if line.startswith("meter {")]
    first = next(line for line in lines if line["at"] >= ((days - 1) * DAY_S - SETTLED_S) * 1e6)
    last = lines[-1]
    per_day: float = DAY_S / ((last["at"] - first["at"]) / 1e6)

    def rate(before: float, after: float, scale: float = 1e6) -> float:
        return (after - before) / scale * per_day

    def table(name: str) -> dict[float, float]:
        return {float(key): rate(first[name].get(key, 0), value) for key, value in last[name].items()}

    seconds = {name: rate(first[name], last[name]) for name in ("awake", "light", "rx", "radio")}
    return Counted(
        wakes=rate(first["wakes"], last["wakes"], 1),
        frames=rate(first["frames"], last["frames"], 1),
        **seconds,
        tx=table("tx"),
        on={int(pin): value for pin, value in table("on").items()},
    )
