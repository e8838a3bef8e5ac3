"""Days of a large union's pasture through the real station, in virtual time: does it grow?

    python tools/soak.py [--days 7] [--nodes 2000] [--every 900] [--sink influxd|none] [--seed 1] [--json]

Each node sends a sample of its probe every 15 minutes, about twenty of them together, sealed by the witness
(`suat_sim.witness`); two forwarders hear them. Among the frames: copies by the other forwarder (1 in 5), samples that
come an hour late (1 in 500, and each node's fourth, so that what a replay leaves is there from the first day), frames
with a wrong MIC (1 in 100), of foreign nodes (1 in 50), replays (1 in 200), datagrams that are no protocol at all (1 in
200); every eighth frame asks for an acknowledgement, which goes out through a forwarder and is confirmed. Ingest,
network server, journal, filters, windows, decisions and the forwarder to a real influxd are those that ship, in one
process; only the clock is virtual, and the disk is not waited for.

Every 10 simulated minutes: resident memory, blocks held by the interpreter's allocator, and open descriptors. The slope
is that of least squares over the second half; its 95 % interval counts neighbours that resemble each other as fewer.
At the end each sample must be in the journal once, and each point of it in the database once.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import logging
import math
import random
import resource
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from suat.clock import VirtualScheduler
from suat.config import parse
from suat.ingest.semtech_udp import SemtechUdp
from suat.locales import LANGUAGES, text
from suat.pipeline import Pace
from suat.records import DeviceRecord, Probe, SessionUpdate
from suat.station import Station
from suat.store.journal import Journal
from suat_sim import witness
from suat_sim.servers import Influxd, influxd

START_US = 1_780_272_000_000_000  # 2026-06-01T00:00:00Z
GATEWAYS = ("a84041ffff1ee2b4", "a84041ffff1ee2b5")
PADDOCKS = 20
PLACED = 10  # one node in so many stands in a paddock that is judged
LOOK_S = 600.0
DATABASE = "pasture"
POLICIES = ("pasture", "pasture_15m", "pasture_1h", "pasture_1d")
PACE = Pace(commit=0.5, summary=300.0, decision=21_600.0)  # virtual seconds cost nothing, transactions and decisions do
SLOT_S, WITHIN_S = 10.0, 0.2  # nodes wake in step, so that a transaction holds more than one frame
LATE_S = 3600
SETTLE_S = 2 * LATE_S  # the last late ones come, windows close, the sink catches up


class Looks:
    """The process at many instants, in arrays: looking must not be what grows."""

    def __init__(self) -> None:
        self.hours, self.rss_kb, self.blocks, self.descriptors = array("d"), array("d"), array("d"), array("d")
        self._over = False

    def end(self) -> None:
        """What comes now, nodes that fall silent and a sink that catches up, is another state."""
        self._over = True

    def add(self, hour: float) -> None:
        """Look now, unless the time that counts is over."""
        if self._over:
            return
        gc.collect()
        self.hours.append(hour)
        self.rss_kb.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024)
        self.blocks.append(sys.getallocatedblocks())
        self.descriptors.append(sum(1 for _ in Path("/proc/self/fd").iterdir()))


class Slope(NamedTuple):
    """Growth an hour, and half of its 95 % interval."""

    value: float
    margin: float


@dataclass
class Sender:
    """A node with what it has sent."""

    node: witness.Node
    fcnt: int = 0
    vwc: float = 0.25
    last: bytes = b""
    was_late: bool = False


class Soak:
    """A station and its pasture; `run` lets the days pass."""

    def __init__(self, folder: Path, nodes: int, every_s: float, seed: int, server: Influxd | None) -> None:
        self.chance = random.Random(seed)
        self.every_s = every_s
        self.scheduler = VirtualScheduler(START_US)
        self.samples = 0  # that a node sent under a genuine frame
        self.datagrams = 0
        self.downlinks = 0
        self.looks = Looks()
        self.journal_path = folder / "data" / "journal.db"
        self.senders = _register(self.journal_path, nodes, self.chance)
        self.station = Station(self.scheduler, parse(_config(folder, server)), pace=PACE, durable=False)
        self.source = SemtechUdp(self.station.ingress, send=self._sent)
        self.station.sources[self.source.name] = self.source
        self.station.pipeline.start()
        for language in LANGUAGES:  # the first alert would read what they are written by: 5 MB, once
            text(language, "board.days", n=2)
        for port in range(len(GATEWAYS)):
            self._pull(port)
        for number, sender in enumerate(self.senders):
            slot = every_s * number / nodes // SLOT_S * SLOT_S
            self.scheduler.call_at(slot + self.chance.uniform(0, WITHIN_S), self._send, sender)
        self.scheduler.call_at(0.0, self._look)

    # -- what the forwarders do

    def _push(self, phy: bytes, port: int) -> None:
        now = round(self.scheduler.monotonic() * 1e6) & 0xFFFFFFFF
        self.datagrams += 1
        packet = witness.push_data(
            witness.rxpk(phy, tmst=now, lsnr=round(self.chance.uniform(-8, 10), 2)),
            token=self.datagrams,
            gateway=GATEWAYS[port],
        )
        self.source.datagram_received(packet, ("127.0.0.1", 40000 + port))

    def _pull(self, port: int) -> None:
        self.source.datagram_received(witness.datagram(2, gateway=GATEWAYS[port]), ("127.0.0.1", 40000 + port))
        self.scheduler.call_later(30.0, self._pull, port)

    def _sent(self, data: bytes, address: tuple[str, int]) -> None:
        """What the station says: a frame to be sent is confirmed."""
        if data[3] == 3:
            self.downlinks += 1
            verdict = witness.datagram(5, b"", int.from_bytes(data[1:3], "big"), GATEWAYS[address[1] - 40000])
            self.scheduler.call_later(0.05, self.source.datagram_received, verdict, address)

    # -- what the nodes do

    def _send(self, sender: Sender) -> None:
        self.scheduler.call_later(self.every_s, self._send, sender)
        chance = self.chance
        if chance.random() < 0.002 or (
            sender.fcnt == 3 and not sender.was_late
        ):  # out of reach now, sent an hour late under a counter of its own
            sender.was_late = True
            self.scheduler.call_later(LATE_S + 450.0, self._frame, sender, LATE_S)
            return
        self._frame(sender, 0)
        wild = chance.random()
        if wild < 0.01:
            self._push(sender.last[:-1] + bytes([sender.last[-1] ^ 1]), 0)
        elif wild < 0.03:
            self._push(witness.data_up(bytes(16), bytes(16), 0xFE000000 + chance.getrandbits(20), 1, b"foreign"), 0)
        elif wild < 0.035:
            self.scheduler.call_later(5.0, self._push, sender.last, 1)
        elif wild < 0.04:
            self.datagrams += 1
            self.source.datagram_received(chance.randbytes(chance.randrange(200)), ("127.0.0.1", 40000))

    def _frame(self, sender: Sender, age_s: int) -> None:
        chance, record = self.chance, sender.fcnt
        sender.fcnt += 1
        sender.vwc = min(0.45, max(0.05, sender.vwc + chance.gauss(0, 0.001)))
        hour = self.scheduler.monotonic() / 3600
        probe = {"vwc": sender.vwc, "temperature": 12 + 6 * math.sin(hour * math.tau / 24), "ec": 0.4}
        payload = witness.soil_sample(
            record,
            [probe],
            3.3 + chance.random() / 10,
            age_s=age_s,
            ack_from=max(0, record - 8) if record % 8 == 7 else None,
        )
        sender.last = sender.node.uplink(record, payload)
        self.samples += 1
        port = chance.getrandbits(1)
        self._push(sender.last, port)
        if chance.random() < 0.2:
            self.scheduler.call_later(0.03, self._push, sender.last, 1 - port)

    # -- looking

    def _look(self) -> None:
        self.scheduler.call_later(LOOK_S, self._look)
        self.looks.add(self.scheduler.monotonic() / 3600)

    def run(self, hours: float, progress: bool) -> None:
        """Let the time pass, then let what was received settle."""
        started, looks = time.monotonic(), self.looks
        for hour in range(1, math.ceil(hours) + 1):
            self.scheduler.run_until(min(hour, hours) * 3600)
            if self.station.pipeline.fatal is not None:
                raise self.station.pipeline.fatal
            if progress and (hour % 6 == 0 or hour >= hours):
                rss, blocks, descriptors = (each[-1] for each in (looks.rss_kb, looks.blocks, looks.descriptors))
                print(
                    f"{hour:4d} h  {self.samples:>9,} samples  {rss / 1024:6.1f} MB  {blocks:>9,.0f} blocks"
                    f"  {descriptors:.0f} descriptors  {time.monotonic() - started:6.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
        looks.end()
        self.every_s = math.inf  # nobody sends any more
        self.scheduler.run_until(hours * 3600 + SETTLE_S)
        self.station.pipeline.stop()
        self.scheduler.run_until(hours * 3600 + SETTLE_S + 60)

    def close(self) -> None:
        self.station.close()


def _register(path: Path, nodes: int, chance: random.Random) -> list[Sender]:
    senders = []
    with Journal(path, durable=False) as journal:
        for number in range(1, nodes + 1):
            nwk, app = chance.randbytes(16), chance.randbytes(16)
            eui = f"{number:016x}"
            placed = f"p{number // PLACED % PADDOCKS}" if number % PLACED == 0 else None
            probe = Probe("upper", 10, 1)
            device = DeviceRecord(0, f"n{number}", "soil", eui, None, placed, None, (probe,), START_US)
            journal.add_device(device, SessionUpdate(0, 0, 0, False, number, nwk, app))
            senders.append(Sender(witness.Node(eui, number, nwk, app)))
    return senders


def _config(folder: Path, server: Influxd | None) -> dict[str, Any]:
    common = {"area_ha": 120, "kind": "summer", "soil": "loam", "alternative": "river"}
    config: dict[str, Any] = {
        "station": {"name": "Soak", "data_dir": str(folder / "data")},
        "paddock": [{"id": f"p{n}", "name": {"en": f"Paddock {n}"}} | common for n in range(PADDOCKS)],
    }
    if server is not None:
        config["influx"] = {"url": server.url, "api": "v1", "database": DATABASE}
    return config


def slope(hours: Sequence[float], values: Sequence[float]) -> Slope:
    """Least squares; n shrinks by (1 - r) / (1 + r) with r the residuals' likeness to their neighbours."""
    fit = statistics.linear_regression(hours, values)
    rest = [value - fit.slope * hour - fit.intercept for hour, value in zip(hours, values, strict=True)]
    power = sum(error * error for error in rest)
    if power == 0 or len(rest) < 4:
        return Slope(fit.slope, 0.0)
    likeness = max(0.0, sum(a * b for a, b in itertools.pairwise(rest)) / power)
    count = max(3.0, len(rest) * (1 - likeness) / (1 + likeness))
    spread = statistics.pvariance(hours) * count
    return Slope(fit.slope, 1.96 * math.sqrt(power / len(rest) * count / (count - 2) / spread))


def stored(server: Influxd) -> int:
    """Points of raw soil readings in the database."""
    rows = server.rows(f'SELECT count("ok") FROM "{POLICIES[0]}"."soil"', DATABASE)
    return int(rows[0]["count"]) if rows else 0


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run it; the figures."""
    with contextlib.ExitStack() as cleanup:
        server = None
        if options.sink == "influxd":
            server = cleanup.enter_context(influxd(folder))
            server.query(f'CREATE DATABASE "{DATABASE}"')
            for policy in POLICIES:
                server.query(f'CREATE RETENTION POLICY "{policy}" ON "{DATABASE}" DURATION INF REPLICATION 1')
        soak = Soak(folder, options.nodes, options.every, options.seed, server)
        wall, cpu = time.monotonic(), time.process_time()
        soak.run(options.days * 24, not options.quiet)
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        kept = soak.station.reader._ask("SELECT count(*) FROM sample")[0][0]
        counters = soak.station.reader.counters()
        points = None if server is None else stored(server)
        soak.close()
    looks = soak.looks
    half = len(looks.hours) // 2
    rss = slope(looks.hours[half:], looks.rss_kb[half:])
    blocks = slope(looks.hours[half:], looks.blocks[half:])
    return {
        "days": options.days,
        "nodes": options.nodes,
        "datagrams": soak.datagrams,
        "sent": soak.samples,
        "kept": kept,
        "points": points,
        "downlinks": soak.downlinks,
        "counters": counters,
        "rss_mb": round(looks.rss_kb[-1] / 1024, 1),
        "rss_half_mb": round(looks.rss_kb[half] / 1024, 1),
        "kb_h": [round(figure, 2) for figure in rss],
        "blocks_h": [round(figure, 2) for figure in blocks],
        "descriptors": sorted(map(int, set(looks.descriptors[half:]))),
        "journal_mb": round(soak.journal_path.stat().st_size / 2**20),
        "wall_s": round(wall),
        "cpu_s": round(cpu),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Does the station grow? Days of a pasture in virtual time")
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--every", type=float, default=900.0, help="seconds between two samples of a node")
    parser.add_argument("--sink", choices=("influxd", "none"), default="influxd")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", type=Path, help="where journal and database lie (default: the temporary folder)")
    parser.add_argument("--quiet", action="store_true", help="no line of progress every 6 hours")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.getLogger("suat").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="suat-soak-", dir=options.dir) as name:
        found = measure(Path(name), options)
    if options.json:
        print(json.dumps(found))
    else:
        kb, blocks = found["kb_h"], found["blocks_h"]
        print(f"{found['days']:g} days, {found['nodes']:,} nodes: {found['datagrams']:,} datagrams")
        print(f"samples sent {found['sent']:,}, kept {found['kept']:,}, in the database {found['points']}")
        print(f"memory {found['rss_half_mb']} -> {found['rss_mb']} MB over the second half: {kb[0]} +- {kb[1]} kB/h")
        print(f"blocks {blocks[0]} +- {blocks[1]} an hour; descriptors {found['descriptors']}; {found['wall_s']} s")
    lost = found["kept"] != found["sent"] or found["points"] not in (None, found["sent"])
    return int(lost)


if __name__ == "__main__":
    sys.exit(main())
