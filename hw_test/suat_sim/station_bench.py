"""A real station with any nodes, on one virtual time: for tests of the two together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from suat.clock import VirtualScheduler
from suat.config import Config, load
from suat.ingest.semtech_udp import SemtechUdp
from suat.network import provision
from suat.network.keys import RootKeys
from suat.pipeline import Pace
from suat.station import Station

from suat_sim.air import AirSettings
from suat_sim.demo import JOIN_EUI, write_config
from suat_sim.fleet import Fleet, GatewaySpec
from suat_sim.node_process import NodeSpec

# What only follows the clock (summaries, decisions) hardly ever runs: it is not what such tests are about.
PACE = Pace(housekeeping=86400.0, summary=86400.0, decision=86400.0, retention=86400.0)
PADDOCK = "paddock"


class StationBench:
    """Nodes, air, packet forwarder, station. Use it as a context; `run` lets time pass.

    `nodes`: specifications whose configuration has no keys yet: they are drawn from the name.
    """

    def __init__(
        self,
        data_dir: Path,
        nodes: Sequence[NodeSpec],
        *,
        start_us: int,
        air: AirSettings,
        seed: int = 1,
        network: Mapping[str, object] | None = None,
    ) -> None:
        """`network`: that table of the station's configuration."""
        self.start_us = start_us
        content = {
            "station": {"name": "Bench", "timezone": "UTC", "region": "IN865"},
            "paddock": [
                {
                    "id": PADDOCK,
                    "name": {"en": "Paddock"},
                    "area_ha": 100.0,
                    "kind": "summer",
                    "soil": "loam",
                    "alternative": "river",
                }
            ],
            "network": dict(network or {}),
        }
        self.config: Config = load(write_config(content, data_dir))
        self.scheduler = VirtualScheduler(start_us)
        self.station = Station(self.scheduler, self.config, pace=PACE, durable=False)
        self.registrations: dict[str, int] = {}
        specs = [replace(node, config={**node.config, "otaa": self.register(node.name)}) for node in nodes]
        gateways = (GatewaySpec(keepalive_s=3600.0),)
        self.fleet = Fleet(self.scheduler, specs, seed=seed, air=air, gateways=gateways)
        source = SemtechUdp(self.station.ingress, send=self.fleet.send)
        self.station.sources[source.name] = source
        self.fleet.attach(source.datagram_received)
        self.station.pipeline.start()

    def register(self, name: str) -> Mapping[str, str]:
        """Make the node known to the station; its keys for suat.json."""
        key = hashlib.blake2b(name.encode(), digest_size=24).digest()
        eui, app_key = key[:8].hex(), key[8:].hex()
        device = provision.new_device(
            name=name,
            kind="soil",
            dev_eui=eui,
            join_eui=JOIN_EUI,
            app_key=app_key,
            paddock=PADDOCK,
            probes=("10 cm:10",),
        )
        self.registrations[name] = provision.add(
            self.station.journal, RootKeys(self.config.station.data_dir), device, self.start_us
        )
        return {"dev_eui": eui, "join_eui": JOIN_EUI, "app_key": app_key}

    def run(self, until_s: float) -> None:
        """Let time pass until so many seconds after the start."""
        self.fleet.run(until_s)
        if self.station.pipeline.fatal is not None:
            raise self.station.pipeline.fatal

    def radio(self, on: bool) -> None:
        """Switch the gateway's radio."""
        for ear in self.fleet.air.ears:
            if not hasattr(self, "_channels"):
                self._channels = ear.channels_hz
            ear.channels_hz = self._channels if on else frozenset()

    def held(self, name: str) -> dict[int, tuple[float, dict[tuple[str, str], float]]]:
        """{record: (unix s, readings)} of a node, out of the journal; each record once."""
        out: dict[int, tuple[float, dict[tuple[str, str], float]]] = {}
        for reading in self.station.reader.readings(self.registrations[name]):
            _, readings = out.setdefault(reading.record, (reading.time_us / 1e6, {}))
            if (reading.group, reading.field) in readings:
                raise AssertionError(f"{name}: record {reading.record} has {reading.group}.{reading.field} twice")
            readings[reading.group, reading.field] = reading.raw
        return out

    def close(self) -> None:
        """End the node processes and close the journal."""
        self.fleet.close()
        self.station.close()

    def __enter__(self) -> StationBench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
