"""What forwarding costs on one core: from the outbox to the database's 204, with and without gzip.

    python gateway/bench/forward.py [--samples 30000] [--json]

The same journal is told to a real influxd by one new sink after the other: by v1, by v2 through nginx, as plain text
and as gzip of several levels. The station's side has a core for itself; influxd and nginx have the other.

    points/s    points that the database confirmed, a second of the clock
    us/point    CPU of the station's process a point: reading the journal, making lines, packing, sending
    server us   CPU of influxd (unpacking included) a point
    bytes/point what goes over the link
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from suat.clock import VirtualScheduler
from suat.store import influx_http
from suat.store.influx import Forwarder
from suat.store.tables import BucketsTable, InfluxTable
from suat_sim.kept import START_US, Kept, device, soil_rows
from suat_sim.servers import influx_v2_proxy, influxd

NODES = 20
TOKEN = "bench-token"
POLICIES = ("pasture", "pasture_15m", "pasture_1h", "pasture_1d")
WAYS = (("v1", 0), ("v1", 1), ("v1", 6), ("v1", 9), ("v2", 0), ("v2", 1))  # (api, gzip's level, 0: plain)


class Figures(NamedTuple):
    """One way."""

    api: str
    level: int
    points: int
    points_s: float
    us_point: float
    server_us_point: float
    bytes_point: float


def _cpu_s(pid: int) -> float:
    """CPU time of a process."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def measure(folder: Path, samples: int) -> Iterator[Figures]:
    """Each way in turn, into a database of its own."""
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        if len(cores) > 1:
            os.sched_setaffinity(0, set(cores[1:]))  # inherited by the servers
        server = stack.enter_context(influxd(folder))
        proxy = stack.enter_context(influx_v2_proxy(folder, server, token=TOKEN))
        os.sched_setaffinity(0, {cores[0]})
        (folder / "token").write_text(TOKEN)
        kept = stack.enter_context(Kept(folder))
        for number in range(NODES):
            node = kept.journal.add_device(device(number, probes=2))
            kept.fill(node, soil_rows(samples // NODES, probes=2, every_min=5.0, seed=number))
        kept.finish()
        sent = 0
        plain = influx_http._body

        def counted(*arguments: object) -> tuple[bytes, dict[str, str]]:
            nonlocal sent
            body, header = plain(*arguments)  # type: ignore[arg-type]
            sent += len(body)
            return body, header

        influx_http._body = counted
        for number, (api, level) in enumerate(WAYS):
            database = f"way{number}"
            server.query(f'CREATE DATABASE "{database}"')
            for policy in POLICIES:
                server.query(f'CREATE RETENTION POLICY "{policy}" ON "{database}" DURATION INF REPLICATION 1')
            into = InfluxTable(url=server.url, api="v1", database=database, gzip=level > 0)
            if api == "v2":
                names = {
                    key: f"{database}/{name}" for key, name in zip(BucketsTable.model_fields, POLICIES, strict=True)
                }
                token = folder / "token"
                into = InfluxTable(
                    url=proxy.url, org="upu", token_file=token, buckets=BucketsTable(**names), gzip=level > 0
                )
            influx_http.GZIP_LEVEL = level or 1
            assert server.pid is not None
            sent = 0
            scheduler = VirtualScheduler(START_US)
            forwarder = Forwarder(scheduler, into, kept.journal, kept.reader, name=database)
            before = time.perf_counter(), time.process_time(), _cpu_s(server.pid)
            forwarder.wake()
            scheduler.run_until(25.0)
            wall, cpu, behind = (
                after - earlier
                for after, earlier in zip(
                    (time.perf_counter(), time.process_time(), _cpu_s(server.pid)), before, strict=True
                )
            )
            forwarder.stop()
            scheduler.run_until(26.0)
            if forwarder.problem or forwarder.backlog():
                raise SystemExit(f"not everything was forwarded: {forwarder.problem}")
            count = forwarder.points_sent
            yield Figures(
                api,
                level,
                count,
                round(count / wall),
                round(cpu / count * 1e6, 2),
                round(behind / count * 1e6, 2),
                round(sent / count, 1),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="What forwarding costs on one core")
    parser.add_argument("--samples", type=int, default=30_000)
    parser.add_argument("--dir", type=Path, help="where journal and database lie (default: the temporary folder)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="suat-bench-", dir=options.dir) as folder:
        found = []
        for figures in measure(Path(folder), options.samples):
            found.append(figures._asdict())
            if not options.json:
                packing = f"gzip {figures.level}" if figures.level else "plain"
                print(
                    f"{figures.api} {packing:7} {figures.points_s:>9,.0f} points/s {figures.us_point:6.2f} us/point"
                    f" {figures.server_us_point:6.2f} us of the server {figures.bytes_point:7.1f} bytes/point",
                    flush=True,
                )
    if options.json:
        print(json.dumps({"ways": found}))


if __name__ == "__main__":
    main()
