"""InfluxDB down for a month: 200 nodes every five minutes, in virtual time, through the station's own pipeline.

A day in CI. The month of promise 1 (1.73 million samples, some ten minutes):

    SUAT_DAYS=30 python -m pytest -m slow -s gateway/tests/test_store_influx_month.py
"""

from __future__ import annotations

import gc
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from suat.clock import VirtualScheduler
from suat.config import parse
from suat.pipeline import Pace
from suat.records import Admitted, DeviceRecord, Probe, Row, SessionUpdate
from suat.station import Station
from suat_sim.servers import Influxd, influxd
from suat_wire.payload import pack

DAYS = float(os.environ.get("SUAT_DAYS", "1"))
NODES, EVERY_S, TOGETHER = 200, 300, 10  # ten nodes share a transaction
WARM_H = 4  # then memory is looked at: filters, windows and caches are there
GROWTH_MB = 30
START_US = 1_780_272_000_000_000  # 2026-06-01T00:00:00Z
PACE = Pace(commit=0.5, housekeeping=60.0, summary=300.0, decision=3600.0)
POLICIES = ("pasture", "pasture_15m", "pasture_1h", "pasture_1d")


def moisture(node: int, record: int) -> float:
    return round(0.1 + (7 * record + node) % 2000 / 1e4, 4)


class Pasture:
    """The station and what its network server admits."""

    def __init__(self, folder: Path, url: str) -> None:
        self.scheduler = VirtualScheduler(START_US)
        config = {
            "station": {"name": "Asy", "data_dir": str(folder / "data")},
            "influx": {"url": url, "api": "v1", "database": "pasture"},
        }
        self.station = Station(self.scheduler, parse(config), pace=PACE, durable=False)
        probes = (Probe("upper", 10, 1),)
        self.nodes = [
            self.station.journal.add_device(
                DeviceRecord(0, f"n{number}", "soil", f"{number:016x}", None, None, None, probes, START_US),
                SessionUpdate(0, 0, 0, False, number, bytes(16), bytes(16)),
            )
            for number in range(NODES)
        ]
        self.station.pipeline.start()
        self.sent = 0
        for first in range(0, NODES, TOGETHER):
            self.scheduler.call_at(EVERY_S * first / NODES, self._admit, self.nodes[first : first + TOGETHER], 0)

    def _admit(self, nodes: list[int], record: int) -> None:
        now_us = self.scheduler.wall_us()
        for node in nodes:
            values = {
                ("probe1", "vwc"): moisture(node, record),
                ("probe1", "temperature"): 12.5,
                ("node", "battery"): 3.3,
            }
            counters = SessionUpdate(node, record + 1, 0)
            row = Row(record, now_us, pack(values))
            self.station.pipeline.keep(Admitted(node, counters, now_us, record, -90.0, 5.5, (row,), None))
            self.sent += 1
        self.scheduler.call_later(EVERY_S, self._admit, nodes, record + 1)

    def run(self, hours: float) -> None:
        self.scheduler.run_until(hours * 3600 - 1)
        assert self.station.pipeline.fatal is None

    def close(self) -> None:
        self.station.pipeline.stop()
        self.scheduler.run_until(self.scheduler.monotonic() + 60)
        self.station.close()


@contextmanager
def pasture(folder: Path, url: str) -> Iterator[Pasture]:
    made = Pasture(folder, url)
    try:
        yield made
    finally:
        made.close()


def memory_mb() -> float:
    gc.collect()
    return int(re.findall(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


def check(server: Influxd, made: Pasture) -> int:
    """Every sample is two points, once, as it was sent; how many points."""
    count = 0
    for node in made.nodes:
        name = made.station.reader.devices()[node - 1].name
        asked = f'SELECT record, moisture_raw, temperature_raw FROM "pasture"."soil" WHERE node = \'{name}\''
        rows = server.rows(asked, "pasture")
        assert [row["record"] for row in rows] == list(range(len(rows)))
        assert all(row["temperature_raw"] == 12.5 for row in rows)
        assert [row["moisture_raw"] for row in rows] == [moisture(node, row["record"]) for row in rows]
        battery = server.rows(f'SELECT record, battery_raw FROM "pasture"."node" WHERE node = \'{name}\'', "pasture")
        assert [row["record"] for row in battery] == list(range(len(rows)))
        assert all(row["battery_raw"] == 3.3 for row in battery)
        count += len(rows) + len(battery)
    return count


@pytest.mark.slow
def test_nothing_is_lost_and_memory_does_not_grow(tmp_path: Path) -> None:
    with influxd(tmp_path) as server:
        server.query('CREATE DATABASE "pasture"')
        for policy in POLICIES:
            server.query(f'CREATE RETENTION POLICY "{policy}" ON "pasture" DURATION INF REPLICATION 1')
        server.stop()
        with pasture(tmp_path, server.url) as made:
            began = time.monotonic()
            made.run(WARM_H)
            before = most = memory_mb()
            for hour in (*range(WARM_H + 6, int(24 * DAYS), 6), 24 * DAYS):
                made.run(hour)
                most = max(most, memory_mb())
            outage_s = time.monotonic() - began
            samples = made.sent
            forwarder = made.station.pipeline.sinks.forwarders["influx"]
            waiting = forwarder.backlog()
            assert forwarder.problem is not None and forwarder.points_sent == 0 and waiting > 0
            server.start()
            began = time.monotonic()
            made.station.pipeline.keep = lambda admitted: None  # type: ignore[method-assign]
            while forwarder.backlog():
                made.run((made.scheduler.monotonic() + 61) / 3600)
                most = max(most, memory_mb())
            told_s = time.monotonic() - began
            size_mb = made.station.config.journal_path.stat().st_size / 1e6
            assert made.station.reader._ask("SELECT count(*) FROM sample") == [(samples,)]
            points = check(server, made)
            assert points == 2 * samples
            assert not made.station.reader.dead_letters()
        print(
            f"{DAYS:g} days: {samples:,} samples kept in {outage_s:.0f} s, {waiting:,} entries of the outbox waited,"
            f" told in {told_s:.0f} s: {points:,} points, 0 lost, 0 twice; journal {size_mb:.0f} MB;"
            f" memory {before:.1f} -> {most:.1f} MB"
        )
        assert most - before < GROWTH_MB
