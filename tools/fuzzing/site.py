"""A whole station in virtual time, with nodes whose keys the fuzzer knows: behind each door that takes frames."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from suat.clock import VirtualScheduler
from suat.config import parse
from suat.network import provision
from suat.network.keys import RootKeys
from suat.pipeline import Pace
from suat.station import Station
from suat_sim import witness

from fuzzing.target import BrokenError, Complaints

START_US = 1_780_272_000_000_000  # 2026-06-01T00:00:00Z
PACE = Pace(commit=1.0, housekeeping=5.0, summary=900.0, decision=3600.0)
COMMON = {"area_ha": 120, "kind": "summer", "soil": "loam", "alternative": "river"}


class Site:
    """The station, `nodes` that never join and `joiners` that do."""

    def __init__(self, folder: Path, chance: Random, *, nodes: int = 20, joiners: int = 4) -> None:
        self.scheduler = VirtualScheduler(START_US)
        self.complaints = Complaints("suat")
        self.station = Station(self.scheduler, parse(_config(folder)), pace=PACE, durable=False)
        keys = RootKeys(self.station.config.station.data_dir)
        self.nodes = [self._node(chance, number, keys) for number in range(1, nodes + 1)]
        self.joiners = [self._joiner(chance, number, keys) for number in range(1, joiners + 1)]
        self.station.pipeline.start()
        self.pass_time(1.0)

    def _node(self, chance: Random, number: int, keys: RootKeys) -> witness.Node:
        node = witness.Node(f"{number:016x}", 0x26000000 + number, chance.randbytes(16), chance.randbytes(16))
        device = provision.new_device(
            name=f"n{number}",
            kind="soil" if number % 2 else "water",
            dev_eui=node.dev_eui,
            dev_addr=f"{node.dev_addr:08x}",
            nwk_skey=node.nwk.hex(),
            app_skey=node.app.hex(),
        )
        provision.add(self.station.journal, keys, device, START_US)
        return node

    def _joiner(self, chance: Random, number: int, keys: RootKeys) -> witness.Node:
        node = witness.Node(f"{number + 0x1000:016x}", 0, b"", b"", chance.randbytes(16))
        device = provision.new_device(
            name=f"j{number}",
            kind="soil",
            dev_eui=node.dev_eui,
            join_eui=witness.JOIN_EUI,
            app_key=node.app_key.hex(),
        )
        provision.add(self.station.journal, keys, device, START_US)
        return node

    def pass_time(self, seconds: float) -> None:
        """Let what was handed in be judged and kept; BrokenError when the station would stop."""
        self.scheduler.run_until(self.scheduler.monotonic() + seconds)
        if self.station.pipeline.fatal is not None:
            fatal, self.station.pipeline.fatal = self.station.pipeline.fatal, None
            raise BrokenError(f"the station stops: {fatal!r}")
        self.complaints.check()

    def reached(self) -> dict[str, int]:
        """The link's counters, and the samples that were kept."""
        self.pass_time(10.0)
        reader = self.station.reader
        return reader.counters() | {"kept": sum(1 for _ in reader.samples())}

    def close(self) -> None:
        self.complaints.stop()
        self.station.close()


def _config(folder: Path) -> dict[str, Any]:
    return {
        "station": {"name": "Fuzz", "data_dir": str(folder / "data")},
        "paddock": [{"id": "p1", "name": {"en": "Paddock 1"}} | COMMON],
    }
