"""What the station takes while it does its daily work: memory, CPU, and how soon a reading can be queried.

    python gateway/bench/steady.py [--nodes 2000] [--seconds 30] [--json]

One station with 2,000 nodes on one core, a real influxd on the others (`running.py`):

    idle        resident memory and CPU of the first minute, in which nothing is heard
    10, 1000/s  so many frames a second, samples of now: CPU of one core, resident memory, and from the sending of a
                frame to the first query that finds it in influxd (one gateway alone: copies are not waited for)
    down        influxd is stopped and 1,000 frames/s go on: what memory grows by. 30 days are in docs/promises.md, 1.
    again       influxd is back: until every point is there

The query counts the points; asked every 4 ms, its own time included, so the figures are upper limits: the i-th frame
can be queried when the count has reached i.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from running import PROBES, Daemon, Key, packets, station

AIMS = {"idle_mb": 120, "cpu_10_percent": 2, "p99_10_ms": 250, "p99_1000_ms": 250, "load_mb": 120, "down_mb": 30}
ALONE_S = 62.0  # from then on the station knows that no other gateway is there (suat.network.admit.SHOW_S)
ASK_S = 0.004
WARM = 2_000
SETTLE_S = 60.0


class Watch(threading.Thread):
    """Asks influxd again and again how many frames there are."""

    def __init__(self, daemon: Daemon, wanted: int) -> None:
        super().__init__(daemon=True)
        self._daemon, self._wanted = daemon, wanted
        self.seen: list[tuple[float, int]] = [(time.perf_counter(), daemon.queryable())]

    def run(self) -> None:
        deadline = time.perf_counter() + SETTLE_S + 120
        while self.seen[-1][1] < self._wanted and time.perf_counter() < deadline:
            found = self._daemon.queryable()
            self.seen.append((time.perf_counter(), found))
            time.sleep(ASK_S)

    def waits(self, sent: list[float]) -> list[float]:
        """Rising; from each frame's sending to the query that found it [s]."""
        waits, before = [], self.seen[0][1]
        for (_, low), (at, high) in pairwise(self.seen):
            waits += [at - sent[place - before] for place in range(low, min(high, before + len(sent)))]
        return sorted(waits)


def paced(daemon: Daemon, what: list[bytes], rate: int) -> list[float]:
    """Send one by one, evenly; when each left."""
    sent, started = [], time.perf_counter()
    for number, packet in enumerate(what):
        wait = started + number / rate - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        sent.append(time.perf_counter())
        daemon.socket.send(packet)
    return sent


def at_rate(daemon: Daemon, keys: list[Key], first: int, rate: int, seconds: float) -> dict[str, float]:
    """CPU, memory and the time to a query at one rate."""
    frames = int(rate * seconds)
    made = packets(keys, frames, first)
    watch = Watch(daemon, first + frames)
    watch.start()
    cpu, started = daemon.cpu_s()[0], time.monotonic()
    sent = paced(daemon, made, rate)
    used = (daemon.cpu_s()[0] - cpu) / (time.monotonic() - started)
    watch.join()
    waits = watch.waits(sent)
    if len(waits) != frames:
        raise SystemExit(f"{frames - len(waits)} of {frames} frames never came into influxd at {rate} frames/s")
    return {
        f"p50_{rate}_ms": round(waits[len(waits) // 2] * 1e3, 1),
        f"p99_{rate}_ms": round(waits[int(len(waits) * 0.99)] * 1e3, 1),
        f"max_{rate}_ms": round(waits[-1] * 1e3, 1),
        f"cpu_{rate}_percent": round(used * 100, 2),
        f"load_{rate}_mb": round(daemon.memory_mb(), 1),
    }


def measure(nodes: int, seconds: float, where: Path | None) -> dict[str, Any]:
    """All figures."""
    with station(nodes, where=where) as (daemon, keys):
        if daemon.database is None:
            return {"skipped": "influxd is not installed; run: apt-get install influxdb"}
        time.sleep(2.0)
        cpu, started = daemon.cpu_s()[0], time.monotonic()
        time.sleep(max(0.0, daemon.started + ALONE_S - time.monotonic()))
        figures: dict[str, Any] = {
            "nodes": nodes,
            "idle_mb": round(daemon.memory_mb(), 1),
            "cpu_idle_percent": round((daemon.cpu_s()[0] - cpu) / (time.monotonic() - started) * 100, 2),
        }
        at_rate(daemon, keys, 0, 500, WARM / 500)  # imports, caches, every node's filters
        done = WARM
        for rate, length in ((10, seconds), (1000, seconds / 2)):
            figures |= at_rate(daemon, keys, done, rate, length)
            done += int(rate * length)
        figures["load_mb"] = round(daemon.memory_mb("VmHWM"), 1)

        daemon.database.stop()
        before, kept = daemon.memory_mb(), int(1000 * seconds / 2)
        daemon.send(packets(keys, kept, done), 1000)
        time.sleep(5.0)
        figures |= {"down_frames": kept, "down_mb": round(daemon.memory_mb() - before, 1)}
        daemon.database.start()
        started, done = time.monotonic(), done + kept
        while (found := daemon.queryable(), daemon.queryable("soil")) != (done, done * PROBES):
            if time.monotonic() > started + SETTLE_S + 60:
                raise SystemExit(f"{done - found} of {done} frames never came into influxd after it was down")
            time.sleep(0.2)
        return figures | {"again_s": round(time.monotonic() - started, 1), "lost": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory, CPU and delay of the running station")
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--dir", type=Path, help="where the journal lies: a real disk (default: the temporary folder)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.nodes, options.seconds, options.dir)
    if options.json:
        print(json.dumps({**figures, "aims": AIMS}))
        return
    for name, value in figures.items():
        print(f"{name:20} {value!s:>12}" + (f"   aim: < {AIMS[name]}" if name in AIMS else ""))


if __name__ == "__main__":
    main()
