"""The running station and a real InfluxDB that is not there, comes, and loses what it had: all of it, and once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from suat_sim.servers import Influxd, influx_v2_proxy, influxd

DATABASE, TOKEN = "pasture", "t0p-secret-token"
POLICIES = ("pasture", "pasture_15m", "pasture_1h", "pasture_1d")
NODES = 50
GROWTH_MB = 30  # facts/reliability.md, promise 1

V1 = """
[influx]
url = "{url}"
api = "v1"
database = "pasture"
"""
V2 = """
[influx]
url = "{url}"
api = "v2"
org = "upu"
token_file = "influx.token"
[influx.buckets]
raw = "pasture/pasture"
m15 = "pasture/pasture_15m"
h1 = "pasture/pasture_1h"
d1 = "pasture/pasture_1d"
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Influxd]:
    """An InfluxDB with the database, stopped."""
    with influxd(tmp_path) as server:
        server.query(f'CREATE DATABASE "{DATABASE}"')
        for policy in POLICIES:
            server.query(f'CREATE RETENTION POLICY "{policy}" ON "{DATABASE}" DURATION INF REPLICATION 1')
        server.stop()
        yield server


def send(station: Any, concentrator: Any, nodes: list[Any], first: int, count: int, rate: int = 2000) -> None:
    """Frames first..first+count of each node; each with a moisture of its own."""
    numbers = [(node, fcnt) for fcnt in range(first, first + count) for node in nodes]
    passages = concentrator.stream([concentrator.body(n.frame(fcnt, 0.1 + fcnt / 1e4)) for n, fcnt in numbers], rate)
    assert all(passage.acked for passage in passages)
    station.wait_for(lambda: station.query("SELECT count(*) FROM cleaned")[0][0] == (first + count) * len(nodes), 60.0)


def points(server: Influxd, measurement: str, field: str) -> dict[tuple[str, int], float]:
    """(node, record) -> value of every point; each may be there once."""
    rows = server.rows(f'SELECT node, record, {field} FROM "{DATABASE}"."pasture"."{measurement}"', DATABASE)
    found = {(row["node"], row["record"]): row[field] for row in rows}
    assert len(found) == len(rows)
    return found


def arrived(server: Influxd, count: int) -> bool:
    rows = [server.rows(f'SELECT count(record) FROM "pasture"."{name}"', DATABASE) for name in ("soil", "node")]
    return all(row and row[0]["count"] == count for row in rows)


def check(station: Any, server: Influxd) -> None:
    """InfluxDB holds exactly what the journal holds."""
    kept = {(node, record): 0.1 + record / 1e4 for node, record in station.records()}
    assert points(server, "soil", "moisture_raw") == pytest.approx(kept, abs=1e-9)
    assert points(server, "node", "battery_raw").keys() == kept.keys()
    assert station.query("SELECT count(*) FROM dead_letter") == [(0,)]


def test_what_was_kept_while_influxdb_was_down_arrives_once(
    make_station: Any, make_concentrator: Any, database: Influxd
) -> None:
    station = make_station(V1.format(url=database.url))
    nodes = station.register(NODES)
    station.start()
    concentrator = make_concentrator(station)
    send(station, concentrator, nodes, 0, 40)
    assert "the points wait in the journal" in station.log()
    database.start()
    station.wait_for(lambda: arrived(database, 40 * NODES), 60.0)
    send(station, concentrator, nodes, 40, 20)
    station.wait_for(lambda: arrived(database, 60 * NODES))
    check(station, database)
    station.stop()
    assert "it takes points again" in station.log()


@pytest.mark.slow
def test_memory_is_bounded_while_influxdb_is_down_and_a_loss_is_made_good(
    make_station: Any, make_concentrator: Any, database: Influxd, tmp_path: Path
) -> None:
    database.start()
    with influx_v2_proxy(tmp_path, database, token=TOKEN) as proxy:
        database.stop()
        station = make_station(V2.format(url=proxy.url))
        token = station.folder / "influx.token"
        token.touch(0o600)
        token.write_text(TOKEN)
        nodes = station.register(NODES)
        began = datetime.now(UTC)
        station.start()
        concentrator = make_concentrator(station)
        send(station, concentrator, nodes, 0, 100)
        before = station.memory_mb()
        for first in range(100, 1300, 200):
            send(station, concentrator, nodes, first, 200)
        after = station.memory_mb()
        print(f"60,000 samples kept while InfluxDB was down: resident {before:.0f} -> {after:.0f} MB")
        assert after - before < GROWTH_MB
        station.kill()
        station.start()
        assert station.metrics()["suat_outbox_entries"] > 0
        database.start()
        station.wait_for(lambda: arrived(database, 1300 * NODES), 120.0)
        check(station, database)
        station.wait_for(lambda: station.metrics()["suat_outbox_entries"] == 0)
        print(f"all of it sent: resident {station.memory_mb():.0f} MB")
        assert station.memory_mb() - before < GROWTH_MB

        stored = points(database, "soil", "moisture")
        assert station.suat("resend", "--since", began.isoformat()).endswith("by the running station\n")
        station.wait_for(lambda: station.metrics()["suat_outbox_entries"] > 0, 60.0)
        station.wait_for(lambda: station.metrics()["suat_outbox_entries"] == 0, 120.0)
        assert points(database, "soil", "moisture") == stored  # once more changes nothing
        check(station, database)

        database.query("DROP MEASUREMENT soil", DATABASE)
        station.suat("resend", "--since", began.isoformat())
        station.wait_for(lambda: arrived(database, 1300 * NODES), 120.0)
        assert points(database, "soil", "moisture") == stored
        station.stop()
