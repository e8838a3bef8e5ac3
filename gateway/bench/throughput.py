"""What the running station takes, on one core: UDP -> admitted -> committed -> cleaned -> summed up -> forwarded.

    python gateway/bench/throughput.py [--rates 1000,5000,10000] [--seconds 5] [--nodes 200] [--json]

The frames come as from a pasture that catches up: each node's samples were taken 5 minutes apart, so that all their
windows have ended and are computed in the minute's summary that follows the frames. The station is `suat run` as it is
installed, on a real disk with synchronous FULL, and forwards to a real influxd 1.6 (`running.py`). Each rate has a
station of its own; the first with loss is the last.

    admitted    frames that were found genuine and new           committed   samples that are in the journal
    points      what influxd answers for afterwards: all of the five points a sample, or it is a loss
    p50, p99    from a frame's reception to its commit, out of the station's own histogram (`/metrics`). The station has
                not run for a minute yet, so it still waits 200 ms for copies of other gateways: `+` is without them
    us/frame    CPU of the whole process until all is cleaned, summed up and forwarded, less what it takes at rest;
                `loop` is the thread that receives, `first` what was spent up to the last commit and cleaned value
    done s      from the last frame to the last point in influxd; windows wait for the next full minute
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from running import POINTS, PROBES, READINGS, Daemon, packets, quantile, station
from suat.network.admit import COLLECT_S

RATES = (1_000, 5_000, 10_000)
SETTLE_S = 180.0  # for what was received to come through
QUIET_S = 5.0  # nothing new for so long: nothing more will come
WARM = 2_000  # frames before the measurement: imports, caches, the first checkpoint
WARM_RATE = 1_000
EVERY_S = 300  # between two samples of a node
SUMMARY_S = 60.0  # the station sums up so often (suat.pipeline.Pace)
REST_S = 5.0

COLUMNS = {
    "frames/s": "sent_s",
    "received": "received",
    "admitted": "admitted",
    "committed": "committed",
    "points": "points",
    "windows": "windows",
    "p50 ms": "p50_ms",
    "p99 ms": "p99_ms",
    "p99 + ms": "p99_beyond_ms",
    "us/frame": "cpu_us",
    "first": "first_us",
    "loop": "loop_us",
    "cleaned/s": "cleaned_s",
    "done s": "done_s",
    "RSS MB": "rss_mb",
}


@dataclass(frozen=True)
class Figures:
    """One rate."""

    rate: int  # asked for
    sent: int
    sent_s: int  # frames/s that really left
    received: int
    admitted: int
    committed: int
    points: int | None  # None: no influxd
    windows: int
    p50_ms: float
    p99_ms: float
    max_ms: float  # upper edge of the highest bucket that holds a frame
    p99_beyond_ms: float
    cpu_us: float
    first_us: float
    loop_us: float
    cleaned_s: int
    done_s: float
    rss_mb: float

    @property
    def lossless(self) -> bool:
        points = self.points in (None, self.sent * POINTS)
        return self.sent == self.received == self.admitted == self.committed and points


def settled(daemon: Daemon, sent: int) -> float:
    """Wait until all is committed and cleaned, or nothing more is (frames were lost); when the last was [monotonic]."""
    return _until(lambda: (_top(daemon, "id", "sample"), _top(daemon, "sample", "cleaned")), (sent, sent))


def _top(daemon: Daemon, column: str, table: str) -> int:
    return int(daemon.query(f"SELECT coalesce(max({column}), 0) FROM {table}"))


def _until(look, wanted) -> float:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + SETTLE_S
    seen, changed = None, time.monotonic()
    while time.monotonic() < min(deadline, changed + QUIET_S):
        now = look()
        if now != seen:
            seen, changed = now, time.monotonic()
        if now == wanted:
            break
        time.sleep(0.1)
    return changed


def forwarded(daemon: Daemon, sent: int) -> float:
    """Wait until influxd has a point of every sample and probe, or gets no more."""
    if daemon.database is None:
        return time.monotonic()
    return _until(lambda: (daemon.queryable(), daemon.queryable("soil")), (sent, sent * PROBES))


def summed_up(daemon: Daemon) -> int:
    """Wait for the minute's summary; how many windows there are."""
    tick = daemon.started + SUMMARY_S * -(-(time.monotonic() - daemon.started) // SUMMARY_S)
    time.sleep(max(0.0, tick + 2.0 - time.monotonic()))
    seen = -1
    while seen != (now := daemon.query("SELECT count(*) FROM window")):
        seen = now
        time.sleep(2.0)
    return int(seen)


def measure(rate: int, seconds: float, nodes: int, where: Path | None, summary: bool) -> Figures:
    """One rate on a station of its own."""
    frames = int(rate * seconds)
    with station(nodes, where=where) as (daemon, keys):
        made = packets(keys, WARM + frames, every_s=EVERY_S if summary else 0)
        daemon.send(made[:WARM], WARM_RATE)
        settled(daemon, WARM)
        forwarded(daemon, WARM)
        time.sleep(1.5)  # the counters are written once a second
        before, cpu, rest = daemon.buckets(), daemon.cpu_s(), time.monotonic()
        if summary:  # the frames shall end shortly before a full minute of the station
            time.sleep(max(REST_S, daemon.started + SUMMARY_S - seconds - 3.0 - rest))
        else:
            time.sleep(REST_S)
        begun, started = daemon.cpu_s(), time.monotonic()
        rest_share = (begun[0] - cpu[0]) / (started - rest)
        reached = daemon.send(made[WARM:], rate)
        sent_at = time.monotonic()
        took = settled(daemon, len(made)) - started
        first = daemon.cpu_s()
        first_s = time.monotonic() - started
        windows = summed_up(daemon) if summary else 0
        done_s = forwarded(daemon, len(made)) - sent_at
        after, until = daemon.cpu_s(), time.monotonic() - started
        time.sleep(1.5)
        received, admitted = daemon.counted("received") - WARM, daemon.counted("accepted") - WARM
        committed = int(daemon.query("SELECT count(*) FROM sample")) - WARM
        points = None
        if daemon.database is not None:
            points = daemon.queryable() + daemon.queryable("soil") - WARM * POINTS
        buckets = [(edge, count - old) for (edge, count), (_, old) in zip(daemon.buckets(), before, strict=True)]
        each = max(committed, 1) / 1e6
        return Figures(
            rate,
            frames,
            round(reached),
            received,
            admitted,
            committed,
            points,
            windows,
            round(quantile(buckets, 0.5) * 1e3, 1),
            round(quantile(buckets, 0.99) * 1e3, 1),
            round(quantile(buckets, 1.0) * 1e3, 1),
            round((quantile(buckets, 0.99) - COLLECT_S) * 1e3, 1),
            round((after[0] - begun[0] - rest_share * until) / each, 1),
            round((first[0] - begun[0] - rest_share * first_s) / each, 1),
            round((first[1] - begun[1]) / each, 1),
            round(READINGS * committed / took),
            round(done_s, 1),
            round(daemon.memory_mb(), 1),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="What the running station takes, on one core")
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="frames/s, in turn until frames are lost")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--no-summary", action="store_true", help="samples of now: do not wait for their windows")
    parser.add_argument("--dir", type=Path, help="where the journal lies: a real disk (default: the temporary folder)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    if not options.json:
        print("".join(f"{name:>11}" for name in COLUMNS))
    for rate in map(int, options.rates.split(",")):
        figures = measure(rate, options.seconds, options.nodes, options.dir, not options.no_summary)
        found.append(figures)
        if not options.json:
            row = "".join(f"{getattr(figures, field) or 0:>11,}" for field in COLUMNS.values())
            print(row + ("" if figures.lossless else "   LOSS"), flush=True)
        if not figures.lossless:
            break
    if options.json:
        lossless = [figures.sent_s for figures in found if figures.lossless]
        print(json.dumps({"lossless_frames_s": max(lossless, default=0), "rates": [asdict(f) for f in found]}))


if __name__ == "__main__":
    main()
