"""The running station for the benches: `suat run` on one core with a real influxd behind it, and frames to send.

The frames are made beforehand by `suat_sim.witness`: a soil node's usual sample (4 probes with moisture, temperature
and EC, and the battery), one frame a datagram, the nodes in turn, in bursts of a millisecond. Sender, influxd and bench
run on the other cores.
"""

from __future__ import annotations

import os
import re
import select
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from suat.records import DeviceRecord, Probe, SessionUpdate
from suat.store.journal import Journal
from suat_sim import witness
from suat_sim.servers import Influxd, ServerError, influxd

READY_S = 30.0
PROBES = 4
READINGS = 3 * PROBES + 1  # a sample
POINTS = PROBES + 1  # a sample: one a probe, one of the node
POLICIES = ("pasture", "pasture_15m", "pasture_1h", "pasture_1d")
CONFIG = """
[station]
name = "bench"
data_dir = "data"

[time]
sources = ["system"]  # whatever clock the machine has

[[ingest]]
kind = "semtech_udp"
bind = "127.0.0.1:{udp}"

[board]
bind = "127.0.0.1:{board}"
"""
INFLUX = """
[influx]
url = "{url}"
api = "v1"
database = "pasture"
"""

Key = tuple[int, bytes, bytes]  # DevAddr, NwkSKey, AppSKey


class Daemon:
    """`suat run` on one core, in a folder of its own."""

    def __init__(self, folder: Path, core: int, database: Influxd | None) -> None:
        self.udp, self.board = _free_port(socket.SOCK_DGRAM), _free_port(socket.SOCK_STREAM)
        self.journal = folder / "data" / "journal.db"
        self.database = database
        config = folder / "suat.toml"
        text = CONFIG.format(udp=self.udp, board=self.board)
        config.write_text(text + (INFLUX.format(url=database.url) if database else ""))
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})  # inherited by the daemon
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "suat.cli", "run", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                cwd=folder,
            )
        finally:
            os.sched_setaffinity(0, before)
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], READY_S)[0] or not self.process.stdout.readline():
            self.process.kill()
            raise SystemExit("the station did not come up")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self.socket.connect(("127.0.0.1", self.udp))

    def stop(self) -> None:
        """End it as systemd would, by force if it does not listen."""
        self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def send(self, what: list[bytes], rate: int) -> float:
        """Send in bursts of a millisecond; the rate that was really reached [1/s]."""
        burst = max(rate // 1000, 1)
        started = time.perf_counter()
        for first in range(0, len(what), burst):
            wait = started + first / rate - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            for packet in what[first : first + burst]:
                self.socket.send(packet)
        return len(what) / (time.perf_counter() - started)

    def cpu_s(self) -> tuple[float, float]:
        """CPU time of all threads, and of the first alone, which runs the loop."""
        ticks = os.sysconf("SC_CLK_TCK")
        root = Path(f"/proc/{self.process.pid}")
        whole, loop = (
            sum(map(int, path.read_text().rpartition(")")[2].split()[11:13])) / ticks
            for path in (root / "stat", root / "task" / str(self.process.pid) / "stat")
        )
        return whole, loop

    def memory_mb(self, what: str = "VmRSS") -> float:
        """Resident memory; `VmHWM` is the most there ever was."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"{what}:\s+(\d+)", text)[0]) / 1024

    def buckets(self) -> list[tuple[float, float]]:
        """(upper edge [s], frames up to it) of the histogram from reception to commit."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.board}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = re.findall(r'suat_receive_to_commit_seconds_bucket{le="([^"]+)"} (\S+)', text)
        return [(float(edge), float(count)) for edge, count in found]

    def query(self, text: str) -> Any:
        """One value out of the journal."""
        connection = sqlite3.connect(self.journal, timeout=30)
        try:
            return connection.execute(text).fetchone()[0]
        finally:
            connection.close()

    def counted(self, name: str) -> int:
        """A counter of the link, as it was written last."""
        return int(self.query(f"SELECT coalesce(sum(value), 0) FROM counter WHERE name = '{name}'"))

    def queryable(self, measurement: str = "node") -> int:
        """Points of a measurement that influxd answers for: one of `node` a sample, one of `soil` a probe of it."""
        assert self.database is not None
        (found,) = self.database.rows(f'SELECT count("record") FROM "pasture"."pasture"."{measurement}"') or [{}]
        return int(found.get("count", 0))


@contextmanager
def station(nodes: int, *, forward: bool = True, where: Path | None = None) -> Iterator[tuple[Daemon, list[Key]]]:
    """A station with nodes on the first core, its database on the others; without one if influxd is not installed."""
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, set(cores))
        os.sched_setaffinity(0, set(cores[1:] or cores))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="suat-bench-", dir=where)))
        database = None
        if forward:
            try:
                database = stack.enter_context(influxd(folder))
            except ServerError as error:
                print(f"without InfluxDB: {error}", file=sys.stderr)
            else:
                database.query('CREATE DATABASE "pasture"')
                for policy in POLICIES:
                    database.query(f'CREATE RETENTION POLICY "{policy}" ON "pasture" DURATION INF REPLICATION 1')
        keys = register(folder / "data" / "journal.db", nodes)
        daemon = Daemon(folder, cores[0], database)
        stack.callback(daemon.stop)
        yield daemon, keys


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def register(journal_path: Path, nodes: int) -> list[Key]:
    """Nodes registered in a new journal."""
    keys = []
    probes = tuple(Probe(f"p{position}", 10 * position, position) for position in range(1, PROBES + 1))
    with Journal(journal_path, durable=False) as journal:
        for number in range(1, nodes + 1):
            nwk, app = os.urandom(16), os.urandom(16)
            device = DeviceRecord(0, f"n{number}", "soil", f"{number:016x}", None, "p", None, probes, 0)
            journal.add_device(device, SessionUpdate(0, 0, 0, False, number, nwk, app))
            keys.append((number, nwk, app))
    return keys


def packets(keys: list[Key], frames: int, first: int = 0, every_s: int = 0) -> list[bytes]:
    """PUSH_DATA packets, the nodes in turn from the frame `first` on; values move a little, as soil does.

    `every_s`: the samples of a node were taken so far apart, the last one just now (a pasture that catches up).
    """
    out = []
    last = (first + frames - 1) // len(keys)
    for number in range(first, first + frames):
        dev_addr, nwk, app = keys[number % len(keys)]
        fcnt = number // len(keys)
        probes = [
            {"vwc": 0.2 + probe / 100 + fcnt % 7 / 1000, "temperature": 12.5 + fcnt % 5 / 100, "ec": 0.4}
            for probe in range(1, PROBES + 1)
        ]
        sample = witness.soil_sample(fcnt, probes, 3.3, age_s=(last - fcnt) * every_s)
        phy = witness.data_up(nwk, app, dev_addr, fcnt, sample)
        entry = witness.rxpk(phy, tmst=number * 100 % 2**32, lsnr=7.25, rssi=-96)
        out.append(witness.push_data(entry, token=number & 0xFFFF))
    return out


def quantile(buckets: list[tuple[float, float]], share: float) -> float:
    """The value below which `share` of the frames are [s], linear within a bucket."""
    wanted = share * buckets[-1][1]
    low, below = 0.0, 0.0
    for edge, count in buckets:
        if count >= wanted and count > below:
            return low + (edge - low) * (wanted - below) / (count - below) if edge != float("inf") else low
        low, below = edge, count
    return low
