"""What the journal's stages cost on one core: `python gateway/bench/journal.py [--json]`.

commit     samples/s committed, FULL, one sample a frame, 250 frames a transaction (50 ms at 5,000 frames/s)
clean      readings/s calibrated, filtered, packed and committed
summarise  windows/s computed and committed
lines      lines/s made of journal rows, reading included
forward    points/s into a real influxd, from the outbox to its 204 (left out where influxd is not installed)
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from suat.clock import VirtualScheduler
from suat.records import Admitted, Batch, KeptSample, Row, SessionUpdate
from suat.store.influx import Forwarder
from suat.store.points import Points
from suat.store.tables import InfluxTable
from suat_sim.kept import START_US, Kept, device, row
from suat_sim.servers import ServerError, influxd

NODES = 200
FRAMES = 50_000
FRAMES_A_BATCH = 250
READINGS = 7  # of a soil node with two probes: moisture, temperature, EC each, and its battery


def _rows(count: int) -> list[Row]:
    chance = random.Random(1)
    found = []
    for record in range(count):
        readings: dict[tuple[str, str], float] = {("node", "battery"): 3.6}
        for probe in ("probe1", "probe2"):
            readings[probe, "vwc"] = 0.2 + 0.01 * chance.random()
            readings[probe, "temperature"] = 12 + chance.random()
            readings[probe, "ec"] = 0.3 + 0.1 * chance.random()
        found.append(row(record, record * 5, readings))
    return found


def _frame(node: int, sample: Row) -> Admitted:
    session = SessionUpdate(node, sample.record + 1, 0)
    return Admitted(node, session, START_US, sample.record, -90.0, 5.0, (sample,), None)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """(seconds on the clock, seconds of CPU)."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(folder: Path) -> dict[str, float]:
    """Every figure, on a fresh journal in `folder`."""
    figures: dict[str, float] = {}
    with Kept(folder, durable=True) as kept:
        nodes = [kept.journal.add_device(device(n, probes=2, name=f"node-{n}")) for n in range(NODES)]
        rows = _rows(FRAMES // NODES)
        frames = [
            Admitted(
                node, SessionUpdate(node, sample.record + 1, 0), START_US, sample.record, -90.0, 5.0, (sample,), None
            )
            for sample in rows
            for node in nodes
        ]
        batches = [frames[start : start + FRAMES_A_BATCH] for start in range(0, FRAMES, FRAMES_A_BATCH)]
        first, *others = batches
        kept.cleaner.clean(kept.journal.commit(Batch(tuple(first))).samples)
        kept.cleaner.finish()  # from here on every node's filters are there
        walls, cpus = {"commit": 0.0, "clean": 0.0}, {"commit": 0.0, "clean": 0.0}
        samples: tuple[KeptSample, ...] = ()
        slowest = 0.0

        def commit(batch: list[Admitted]) -> None:
            nonlocal samples
            samples = kept.journal.commit(Batch(tuple(batch), counters={"accepted": len(batch)})).samples

        for batch in others:
            for name, work in (("commit", lambda: commit(batch)), ("clean", lambda: kept.cleaner.clean(samples))):  # noqa: B023
                wall, cpu = _timed(work)
                walls[name] += wall
                cpus[name] += cpu
                slowest = max(slowest, wall) if name == "commit" else slowest
        rows_done = len(others) * FRAMES_A_BATCH
        figures["commit_rows_s"] = rows_done / walls["commit"]
        figures["commit_cpu_us_row"] = cpus["commit"] / rows_done * 1e6
        figures["commit_slowest_ms"] = slowest * 1e3
        figures["clean_readings_s"] = rows_done * READINGS / walls["clean"]
        figures["clean_cpu_us_reading"] = cpus["clean"] / (rows_done * READINGS) * 1e6
        kept.restart()
        kept.cleaner.refilter(0)
        wall, _ = _timed(kept.cleaner.finish)
        figures["refilter_readings_s"] = FRAMES * READINGS / wall

        windows = len(kept.windows._dirty)
        wall, _ = _timed(kept.finish)
        figures["summarise_windows_s"] = windows / wall

        points = Points(kept.reader.devices(), kept.reader.assignments())
        lines = 0

        def make() -> None:
            nonlocal lines
            for sample in kept.reader.samples():
                lines += len(points.sample(sample))

        wall, _ = _timed(make)
        figures["lines_s"] = lines / wall
        figures |= _forward(kept, folder)
    return figures


def _forward(kept: Kept, folder: Path) -> dict[str, float]:
    try:
        with influxd(folder) as server:
            server.query('CREATE DATABASE "pasture"')
            for policy in ("pasture", "pasture_15m", "pasture_1h", "pasture_1d"):
                server.query(f'CREATE RETENTION POLICY "{policy}" ON "pasture" DURATION INF REPLICATION 1')
            scheduler = VirtualScheduler(START_US)
            table = InfluxTable(url=server.url, api="v1", database="pasture")
            forwarder = Forwarder(scheduler, table, kept.journal, kept.reader)
            forwarder.wake()
            wall, cpu = _timed(lambda: scheduler.run_until(20.0))
            forwarder.stop()
            scheduler.run_until(21.0)
            if forwarder.problem or forwarder.backlog():
                raise ServerError(f"not everything was forwarded: {forwarder.problem}")
            return {
                "forward_points_s": forwarder.points_sent / wall,
                "forward_cpu_us_point": cpu / forwarder.points_sent * 1e6,
            }
    except ServerError as error:
        print(f"forward: left out: {error}", file=sys.stderr)
        return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--dir", type=Path, help="where the journal is written (default: the temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
        figures = measure(Path(folder))
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value:12,.1f}")


if __name__ == "__main__":
    main()
