"""What the running station takes, on one core: UDP -> admitted -> committed -> cleaned; the sender is on another.

    python gateway/bench/throughput.py [--rates 1000,2000,5000,7500,10000] [--seconds 5] [--nodes 200] [--json]

The frames are made beforehand: a soil node's usual sample (4 probes with moisture, temperature and EC, and the
battery), one frame a datagram, the nodes in turn, in bursts of a millisecond. The station is `suat run` as it is
installed, on a real disk with synchronous FULL. Each rate has a station of its own; the first with loss is the last.

    admitted    frames that were found genuine and new           committed   samples that are in the journal
    p50, p99    from a frame's reception to its commit, out of the station's own histogram (`/metrics`); `+` without the
                200 ms in which the copies of a frame are collected
    us/frame    CPU of the whole process, cleaning and windows included; `loop` is the thread that receives
    cleaned/s   readings that went through the filters, until all were done
"""

from __future__ import annotations

import argparse
import json
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from suat.network.admit import COLLECT_S
from suat.records import DeviceRecord, Probe, SessionUpdate
from suat.store.journal import Journal
from suat_sim import witness

RATES = (1_000, 2_000, 5_000, 7_500, 10_000)
READY_S = 30.0
SETTLE_S = 120.0  # for what was received to be cleaned
QUIET_S = 5.0  # nothing new for so long: nothing more will come
WARM = 2_000  # frames before the measurement: imports, caches, the first checkpoint
WARM_RATE = 1_000
READINGS = 13  # a sample
CONFIG = """
[station]
name = "bench"
data_dir = "data"

[[ingest]]
kind = "semtech_udp"
bind = "127.0.0.1:{udp}"

[board]
bind = "127.0.0.1:{board}"
"""

COLUMNS = {
    "frames/s": "sent_s",
    "received": "received",
    "admitted": "admitted",
    "committed": "committed",
    "p50 ms": "p50_ms",
    "p99 ms": "p99_ms",
    "p99 + ms": "p99_beyond_ms",
    "us/frame": "cpu_us",
    "loop": "loop_us",
    "cleaned/s": "cleaned_s",
    "RSS MB": "rss_mb",
}


@dataclass(frozen=True)
class Figures:
    """One rate."""

    rate: int  # asked for
    sent: int
    sent_s: float  # frames/s that really left
    received: int
    admitted: int
    committed: int
    p50_ms: float
    p99_ms: float
    max_ms: float  # upper edge of the highest bucket that holds a frame
    p99_beyond_ms: float
    cpu_us: float
    loop_us: float
    cleaned_s: float
    rss_mb: float

    @property
    def lossless(self) -> bool:
        return self.sent == self.received == self.admitted == self.committed


class Daemon:
    """`suat run` on one core, in a folder of its own."""

    def __init__(self, folder: Path, core: int) -> None:
        self.udp, self.board = _free_port(socket.SOCK_DGRAM), _free_port(socket.SOCK_STREAM)
        self.journal = folder / "data" / "journal.db"
        config = folder / "suat.toml"
        config.write_text(CONFIG.format(udp=self.udp, board=self.board))
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})  # inherited by the daemon
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

    def stop(self) -> None:
        """End it as systemd would, by force if it does not listen."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu_s(self) -> tuple[float, float]:
        """CPU time of all threads, and of the first alone, which runs the loop."""
        ticks = os.sysconf("SC_CLK_TCK")
        root = Path(f"/proc/{self.process.pid}")
        whole, loop = (
            sum(map(int, path.read_text().rpartition(")")[2].split()[11:13])) / ticks
            for path in (root / "stat", root / "task" / str(self.process.pid) / "stat")
        )
        return whole, loop

    def rss_mb(self) -> float:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024

    def buckets(self) -> list[tuple[float, float]]:
        """(upper edge [s], frames up to it) of the histogram from reception to commit."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.board}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = re.findall(r'suat_receive_to_commit_seconds_bucket{le="([^"]+)"} (\S+)', text)
        return [(float(edge), float(count)) for edge, count in found]

    def query(self, text: str) -> Any:
        connection = sqlite3.connect(self.journal, timeout=30)
        try:
            return connection.execute(text).fetchone()[0]
        finally:
            connection.close()


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def register(journal_path: Path, nodes: int) -> list[tuple[int, bytes, bytes]]:
    """(DevAddr, keys) of nodes registered in a new journal."""
    sessions = []
    probes = tuple(Probe(f"p{position}", 10 * position, position) for position in range(1, 5))
    with Journal(journal_path, durable=False) as journal:
        for number in range(1, nodes + 1):
            nwk, app = os.urandom(16), os.urandom(16)
            device = DeviceRecord(0, f"n{number}", "soil", f"{number:016x}", None, "p", None, probes, 0)
            journal.add_device(device, SessionUpdate(0, 0, 0, False, number, nwk, app))
            sessions.append((number, nwk, app))
    return sessions


def packets(sessions: list[tuple[int, bytes, bytes]], frames: int) -> list[bytes]:
    """PUSH_DATA packets, the nodes in turn; values move a little, as soil does."""
    out = []
    for number in range(frames):
        dev_addr, nwk, app = sessions[number % len(sessions)]
        fcnt = number // len(sessions)
        probes = [
            {"vwc": 0.2 + probe / 100 + fcnt % 7 / 1000, "temperature": 12.5 + fcnt % 5 / 100, "ec": 0.4}
            for probe in range(1, 5)
        ]
        phy = witness.data_up(nwk, app, dev_addr, fcnt, witness.soil_sample(fcnt, probes, 3.3))
        entry = witness.rxpk(phy, tmst=number * 100 % 2**32, lsnr=7.25, rssi=-96)
        out.append(witness.push_data(entry, token=number))
    return out


def send(sock: socket.socket, what: list[bytes], rate: int) -> float:
    """Send in bursts of a millisecond; the rate that was really reached [1/s]."""
    burst = max(rate // 1000, 1)
    started = time.perf_counter()
    for first in range(0, len(what), burst):
        wait = started + first / rate - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        for packet in what[first : first + burst]:
            sock.send(packet)
    return len(what) / (time.perf_counter() - started)


def quantile(buckets: list[tuple[float, float]], share: float) -> float:
    """The value below which `share` of the frames are [s], linear within a bucket."""
    wanted = share * buckets[-1][1]
    low, below = 0.0, 0.0
    for edge, count in buckets:
        if count >= wanted and count > below:
            return low + (edge - low) * (wanted - below) / (count - below) if edge != float("inf") else low
        low, below = edge, count
    return low


def settled(daemon: Daemon, sent: int) -> float:
    """Wait until all is committed and cleaned, or nothing more is (frames were lost); when the last was [monotonic]."""
    deadline = time.monotonic() + SETTLE_S
    seen: tuple[int, int] = (0, 0)
    changed = time.monotonic()
    while time.monotonic() < min(deadline, changed + QUIET_S):
        now = daemon.query("SELECT max(id) FROM sample") or 0, daemon.query("SELECT max(sample) FROM cleaned") or 0
        if now != seen:
            seen, changed = now, time.monotonic()
        if now == (sent, sent):
            break
        time.sleep(0.1)
    return changed


def measure(rate: int, seconds: float, nodes: int, where: Path | None) -> Figures:
    """One rate on a station of its own."""
    frames = int(rate * seconds)
    with tempfile.TemporaryDirectory(prefix="suat-bench-", dir=where) as name:
        folder = Path(name)
        made = packets(register(folder / "data" / "journal.db", nodes), WARM + frames)
        daemon = Daemon(folder, 0)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
                sock.connect(("127.0.0.1", daemon.udp))
                send(sock, made[:WARM], WARM_RATE)
                settled(daemon, WARM)
                time.sleep(1.5)  # the counters are written once a second
                before, cpu = daemon.buckets(), daemon.cpu_s()
                started = time.monotonic()
                reached = send(sock, made[WARM:], rate)
                took = settled(daemon, len(made)) - started
                after = daemon.cpu_s()
            time.sleep(1.5)
            counters = {
                name: daemon.query(f"SELECT coalesce(sum(value), 0) FROM counter WHERE name = '{name}'") - WARM
                for name in ("received", "accepted")
            }
            committed = daemon.query("SELECT count(*) FROM sample") - WARM
            buckets = [(edge, count - old) for (edge, count), (_, old) in zip(daemon.buckets(), before, strict=True)]
            return Figures(
                rate,
                frames,
                round(reached),
                counters["received"],
                counters["accepted"],
                committed,
                round(quantile(buckets, 0.5) * 1e3, 1),
                round(quantile(buckets, 0.99) * 1e3, 1),
                round(quantile(buckets, 1.0) * 1e3, 1),
                round((quantile(buckets, 0.99) - COLLECT_S) * 1e3, 1),
                round((after[0] - cpu[0]) / max(committed, 1) * 1e6, 1),
                round((after[1] - cpu[1]) / max(committed, 1) * 1e6, 1),
                round(READINGS * committed / took),
                round(daemon.rss_mb(), 1),
            )
        finally:
            daemon.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="What the running station takes, on one core")
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="frames/s, in turn until frames are lost")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--dir", type=Path, help="where the journal lies: a real disk (default: the temporary folder)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores[1:]))
    found = []
    if not options.json:
        print("".join(f"{name:>11}" for name in COLUMNS))
    for rate in map(int, options.rates.split(",")):
        figures = measure(rate, options.seconds, options.nodes, options.dir)
        found.append(figures)
        if not options.json:
            row = "".join(f"{getattr(figures, field):>11,}" for field in COLUMNS.values())
            print(row + ("" if figures.lossless else f"   {figures.sent - figures.committed:,} lost"), flush=True)
        if not figures.lossless:
            break
    if options.json:
        lossless = [figures.sent_s for figures in found if figures.lossless]
        print(json.dumps({"lossless_frames_s": max(lossless, default=0), "rates": [asdict(f) for f in found]}))


if __name__ == "__main__":
    main()
