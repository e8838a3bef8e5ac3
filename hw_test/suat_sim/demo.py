"""The whole way in virtual time: nodes, air, packet forwarder, station; what `suat demo` shows.

A scenario (plain data: `scenario.py`, `replay_station.py`) becomes a fleet of real node programs and a real station on
one scheduler. Only the radio waves, the sensors, the clock and the power are simulated.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import tomli_w
from suat.clock import VirtualScheduler
from suat.config import Config, load
from suat.ingest.semtech_udp import SemtechUdp, SemtechUdpTable
from suat.network import provision
from suat.network.keys import RootKeys
from suat.pasture.status import station_status
from suat.pipeline import Pace
from suat.records import Probe
from suat.station import Station
from suat.store.rows import Move

from suat_sim.air import AirSettings
from suat_sim.environment import Pasture
from suat_sim.fleet import Fleet, GatewaySpec
from suat_sim.logger_replay import ReplayError
from suat_sim.node_process import NodeSpec
from suat_sim.replay_station import replay_station
from suat_sim.scenario import demo_station

__all__ = ["Demo", "ReplayError", "scenario_for"]

Plain = dict[str, Any]

# What follows a clock runs less often than in a real station: nobody looks while virtual days pass.
PACE = Pace(housekeeping=3600.0, summary=3 * 3600.0, decision=6 * 3600.0, retention=3600.0)
REPLAY_PACE = Pace(housekeeping=86400.0, summary=86400.0, decision=86400.0, retention=86400.0)
# Open steppe and a mast: between free space (91 dB at 1 km) and the forest and town that the model's default is of.
AIR = AirSettings(loss_db_km=110.0, exponent=2.6, shadow_db=4.0, loss=0.01)
GATEWAY = GatewaySpec(keepalive_s=600.0)  # a forwarder calls every 10 s: most of all events, and they say nothing
SETTLE_S = 120.0  # after the last day: what is on its way arrives, windows close
JOIN_EUI = "0000000000000001"

# Nodes with a panel, which sleep lightly; a logger's node sleeps for hours, deeply, and begins anew at each wake.
BOARDS = {"soil": "pico_waveshare", "water": "pico_waveshare", "logger": "lilygo_t3s3"}
_RS485 = {"kind": "rs485", "uart": 1, "tx": 8, "rx": 9, "de": 7, "power": 22}
SENSORS: dict[str, list[Plain]] = {
    "soil": [
        {**_RS485, "at": "probe1", "address": 1},
        {**_RS485, "at": "probe2", "address": 2},
        {"kind": "ds18b20", "at": "node", "pin": 6, "power": 22},
        {"kind": "battery", "at": "node"},
    ],
    "water": [
        {"kind": "pressure", "at": "water", "adc": 27, "full_m": 5.0, "power": 22},
        {"kind": "ds18b20", "at": "water", "pin": 6, "power": 22},
        {"kind": "flow", "at": "water", "source": "pcf8583", "i2c": 0, "sda": 4, "scl": 5, "pulses_per_l": 0.1},
        {"kind": "battery", "at": "node"},
    ],
    "pump": [
        {"kind": "current", "at": "water", "adc": 28, "mode": "dc", "amps_per_v": 25.0, "power": 22},  # ACS758-050B
        {"kind": "switch", "at": "water", "pin": 8},
    ],
    "logger": [{"kind": "logger", "at": "node", "uart": 1, "tx": 43, "rx": 44, "power": 15}],
}


class Demo:
    """A scenario with its station and its nodes. Use it as a context; `run` lets the time pass."""

    def __init__(
        self, scenario: Mapping[str, Any], data_dir: Path, *, seed: int, interval_s: int | None = None
    ) -> None:
        self.scenario = scenario
        self.config_path = write_config(scenario["config"], data_dir)
        self.config: Config = load(self.config_path)
        start = datetime.fromisoformat(scenario["start"])
        self.start_us = round(start.timestamp()) * 1_000_000
        self.days = float(scenario["days"])
        self.pace = REPLAY_PACE if scenario.get("loggers") else PACE
        self.scheduler = VirtualScheduler(self.start_us)
        self.station = Station(self.scheduler, self.config, pace=self.pace, durable=False)
        self.fleet = Fleet(
            self.scheduler,
            [self._node(node, seed, interval_s) for node in scenario["nodes"]],
            region=self.config.station.region,
            seed=seed,
            air=AIR,
            gateways=(GATEWAY,),
        )
        for move in scenario["moves"]:
            at_us = round(datetime.fromisoformat(move["at"]).timestamp() * 1e6)
            self.station.journal.add_move(Move(move["herd"], move["paddock"], at_us))
        source = SemtechUdp(self.station.ingress, send=self.fleet.send)
        self.station.sources[source.name] = source
        self.fleet.attach(source.datagram_received)

    def _node(self, node: Mapping[str, Any], seed: int, interval_s: int | None) -> NodeSpec:
        """Register a node and give it its configuration: the same keys on both sides, drawn from the seed."""
        key = hashlib.blake2b(f"{seed}/{node['name']}".encode(), digest_size=24).digest()
        dev_eui, app_key = key[:8].hex(), key[8:].hex()
        device = provision.new_device(
            name=node["name"],
            kind=node["kind"],
            dev_eui=dev_eui,
            join_eui=JOIN_EUI,
            app_key=app_key,
            paddock=node.get("paddock"),
            water_point=node.get("water_point"),
        )
        # A logger's positions need not follow each other, as those of `suat device add` do.
        device = replace(device, probes=tuple(Probe(**probe) for probe in node["probes"]))
        provision.add(self.station.journal, RootKeys(self.config.station.data_dir), device, self.start_us)
        loggers = self.scenario.get("loggers")
        kind = "logger" if loggers else node["kind"]
        environment = loggers[node["name"]] if loggers else self._pasture().nodes[node["name"]]
        config = {
            "board": BOARDS[kind],
            "kind": node["kind"],
            "region": self.config.station.region,
            "interval_s": interval_s or (6 * 3600 if loggers else 900),
            "otaa": {"dev_eui": dev_eui, "join_eui": JOIN_EUI, "app_key": app_key},
            "sensors": SENSORS[kind] + (SENSORS["pump"] if self._pumps(node) else []),
        }
        return NodeSpec(node["name"], config, environment, x_m=1000.0 * node["x_km"], y_m=1000.0 * node["y_km"])

    def _pumps(self, node: Mapping[str, Any]) -> bool:
        """Whether a water node stands by a pump and a tank's float, not by a spring."""
        place = self.scenario.get("waters", {}).get(node.get("water_point"), {})
        return bool(place.get("supply") == "solar_pump")

    def _pasture(self) -> Pasture:
        if not hasattr(self, "_truth"):
            self._truth = Pasture(self.scenario)
        return self._truth

    def run(self, progress: Callable[[float], None] | None = None) -> Plain:
        """Let all days pass and stop the station; the summary. `progress(seconds so far)` is called now and then."""
        self.pass_days(progress)
        self.station.pipeline.stop()
        self.scheduler.run_until(self.scheduler.monotonic() + 1.0)
        while self.station.pipeline.cleaner.pending:
            self.station.pipeline.cleaner.work()
        now_us = self.scheduler.wall_us()
        while self.station.pipeline.windows.run(now_us):
            pass
        self.station.pipeline.decider.decide(now_us)
        self.raise_fault()
        return self.summary()

    def pass_days(self, progress: Callable[[float], None] | None = None) -> None:
        """Let all days pass; the station goes on."""
        self.station.pipeline.start()
        self.fleet.run(self.days * 86400.0, progress)
        self.fleet.run(self.days * 86400.0 + SETTLE_S)
        self.raise_fault()

    def raise_fault(self) -> None:
        """What made the station stop, if anything did."""
        if self.station.pipeline.fatal is not None:
            raise self.station.pipeline.fatal

    def summary(self) -> Plain:
        """What became of the frames and the readings, and what the station decided."""
        counters = self.fleet.counters()
        reader = self.station.reader
        readings: Counter[str] = Counter()
        for reading in reader.readings():
            readings["kept"] += 1
            readings["flagged"] += reading.flags != 0
        status = station_status(self.config, reader, self.scheduler.wall_us())
        return {
            **self._loggers(),
            "days": self.days,
            "nodes": len(self.fleet.nodes),
            "frames": {"sent": counters["sent"], "lost_in_air": counters["lost"], **status["link"]},
            "readings": {**readings, "written": self.written()},
            "statuses": dict(sorted(Counter(entry["status"] for entry in status["paddocks"]).items())),
            "paddocks": {entry["id"]: entry["status"] for entry in status["paddocks"]},
            "water_points": {
                entry["id"]: {
                    "level_pct": entry["level_pct"],
                    "days_left": entry["days_left"],
                    "alerts": [alert["kind"] for alert in entry["alerts"]],
                }
                for entry in status["water_points"]
            },
            "at": status["time"],
        }

    def _loggers(self) -> Plain:
        """What the replayed files held, and what was left out of them for its dead clock (readings by its year)."""
        loggers = self.scenario.get("loggers")
        if not loggers:
            return {}
        left_out: Counter[str] = Counter()
        for logger in loggers.values():
            left_out.update({str(year): count for year, count in logger.left_out.items()})
        return {
            "replayed": {
                "rows": sum(len(logger.rows) for logger in loggers.values()),
                "readings": sum(len(row.readings) for logger in loggers.values() for row in logger.rows),
                "left_out": dict(sorted(left_out.items())),
            }
        }

    def written(self) -> int:
        """Points that InfluxDB has taken."""
        return sum(forwarder.points_sent for forwarder in self.station.pipeline.sinks.forwarders.values())

    def close(self) -> None:
        """End the node processes and close the journal."""
        self.fleet.close()
        self.station.close()

    def __enter__(self) -> Demo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_config(content: Plain, data_dir: Path) -> Path:
    """The scenario's configuration as a file that every command can be given."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "suat.toml"
    whole = {
        **content,
        "station": {**content["station"], "data_dir": "."},
        "ingest": [SemtechUdpTable(kind="semtech_udp").model_dump()],
    }
    path.write_text(tomli_w.dumps(whole), encoding="utf-8")
    tomllib.loads(path.read_text(encoding="utf-8"))
    return path


def scenario_for(n_soil: int, n_water: int, days: int, seed: int, replay: Path | None) -> Plain:
    """The demo's pasture, or the loggers of a folder."""
    return demo_station(n_soil, n_water, seed, days=days) if replay is None else replay_station(replay)
