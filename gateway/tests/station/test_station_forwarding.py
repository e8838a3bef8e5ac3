"""The running station under load, and InfluxDB stopped, killed, without disk, restarted; a second one that hangs.

What counts is at the end: InfluxDB holds the admitted readings, point by point, none missing and none twice.
"""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from suat_sim.servers import Influxd, ServerError, influx_v2_proxy, influxd, small_disk

DATABASE, TOKEN = "pasture", "t0p-secret-token"
POLICIES = ("pasture", "pasture_15m", "pasture_1h", "pasture_1d")
NODES = 50
RATE = 400  # frames/s

V1 = """
{table}
url = "{url}"
api = "v1"
database = "pasture"
"""
V2 = """
{table}
url = "{url}"
api = "v2"
org = "upu"
token_file = "influx.token"
gzip = true
buckets = {{ {buckets} }}
"""
BUCKETS = ", ".join(
    f'{key} = "{DATABASE}/{name}"' for key, name in zip(("raw", "m15", "h1", "d1"), POLICIES, strict=True)
)
OWN, DISTRICT = "[influx]", '[[sink]]\nname = "district"'


def create(server: Influxd) -> None:
    server.query(f'CREATE DATABASE "{DATABASE}"')
    for policy in POLICIES:
        server.query(f'CREATE RETENTION POLICY "{policy}" ON "{DATABASE}" DURATION INF REPLICATION 1')


def write_token(station: Any) -> None:
    token = station.folder / "influx.token"
    token.touch(0o600)
    token.write_text(TOKEN)


class Load:
    """Frames of all nodes in turn, at a steady rate, from a thread of its own."""

    def __init__(self, station: Any, concentrator: Any, nodes: list[Any], first: int, count: int) -> None:
        self.end = (first + count) * len(nodes)
        self._station = station
        self._concentrator = concentrator
        numbers = [(node, fcnt) for fcnt in range(first, first + count) for node in nodes]
        self._bodies = [concentrator.body(node.frame(fcnt, 0.1 + fcnt / 1e4)) for node, fcnt in numbers]
        self._lost = len(numbers)
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        passages = self._concentrator.stream(self._bodies, RATE)
        self._lost = sum(passage.acked is None for passage in passages)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        assert self._lost == 0
        self._station.wait_for(lambda: self._station.query("SELECT count(*) FROM cleaned") == [(self.end,)], 60.0)

    @property
    def under_way(self) -> bool:
        return self._thread.is_alive()


Points = dict[tuple[str, int], tuple[float, ...]]


def stored(server: Influxd, measurement: str, fields: str) -> Points:
    """(node, record) -> fields of every point; each may be there once."""
    rows = server.rows(f'SELECT node, record, {fields} FROM "{DATABASE}"."pasture"."{measurement}"', DATABASE)
    found = {(row["node"], row["record"]): tuple(row[name] for name in fields.split(", ")) for row in rows}
    assert len(found) == len(rows)
    return found


def count(server: Influxd) -> int:
    """Points of soil; a point that is just being written may not yet have all of its fields."""
    rows = server.rows(f'SELECT count(record) FROM "{DATABASE}"."pasture"."soil"', DATABASE)
    return int(rows[0]["count"]) if rows else 0


def assert_equal(station: Any, server: Influxd) -> int:
    """The readings that were sent, as they were sent; how many points."""
    kept = station.records()
    soil = {(node, record): (0.1 + record / 1e4, 12.5) for node, record in kept}
    found = stored(server, "soil", "moisture_raw, temperature_raw")
    assert found.keys() == soil.keys()
    assert all(found[key] == pytest.approx(soil[key], abs=1e-9) for key in soil)
    assert stored(server, "node", "battery_raw") == {key: pytest.approx((3.3,), abs=1e-9) for key in soil}
    assert station.query("SELECT count(*) FROM dead_letter") == [(0,)]
    return 2 * len(soil)


def told(station: Any, sink: str = "influx") -> Callable[[], bool]:
    return lambda: station.metrics()[f'suat_sink_entries{{sink="{sink}"}}'] == 0


def trouble(station: Any, sink: str = "influx") -> bool:
    return bool(station.metrics()[f'suat_sink_trouble{{sink="{sink}"}}'])


@pytest.mark.slow
@pytest.mark.parametrize("api", ["v1", "v2"])
def test_stopped_killed_filled_and_restarted_under_load(
    api: str, tmp_path: Path, make_station: Any, make_concentrator: Any
) -> None:
    """v1 directly, v2 through nginx. The disk is a real one that is full (tmpfs)."""
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk(tmp_path / "influxd", 64))
        except ServerError as error:
            pytest.skip(str(error))
        server = stack.enter_context(influxd(tmp_path, disk=disk))
        create(server)
        proxy = stack.enter_context(influx_v2_proxy(tmp_path, server, token=TOKEN))
        more = (
            V1.format(table=OWN, url=server.url)
            if api == "v1"
            else V2.format(buckets=BUCKETS, table=OWN, url=proxy.url)
        )
        station = make_station(more)
        write_token(station)
        nodes = station.register(NODES)
        station.start()
        began = time.monotonic()
        with Load(station, make_concentrator(station), nodes, 0, 280) as load:
            for end in (server.stop, server.kill, lambda: disk.fill(but_kb=8)):
                time.sleep(1)
                end()
                station.wait_for(lambda: trouble(station))
                if server.pid is not None:
                    disk.free()
                    server.kill()  # influxd 1.6 takes nothing more after a full disk until it is restarted
                server.start()
                station.wait_for(lambda: not trouble(station))
            assert load.under_way
        sent_s = time.monotonic() - began
        station.wait_for(told(station), 120.0)
        points = assert_equal(station, server)
        took_s = time.monotonic() - began
        log = station.log()
        assert log.count("the points wait in the journal") >= 3 and "no space left on device" in log
        print(f"{api}: {load.end} readings in {sent_s:.0f} s, {points} points stored, equal, after {took_s:.0f} s")
        station.stop()


@pytest.fixture
def hanging() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.slow
def test_a_district_that_hangs_holds_up_nobody_and_gets_everything_later(
    tmp_path: Path, make_station: Any, make_concentrator: Any, hanging: str
) -> None:
    with influxd(tmp_path / "own") as own, influxd(tmp_path / "district") as district:
        create(own)
        create(district)
        with influx_v2_proxy(tmp_path, district, token=TOKEN) as proxy:
            both = V1.format(table=OWN, url=own.url), V2.format(buckets=BUCKETS, table=DISTRICT, url=hanging)
            station = make_station("".join(both))
            write_token(station)
            nodes = station.register(NODES)
            config = station.config.read_text()
            began = datetime.now(UTC)
            station.start()
            concentrator = make_concentrator(station)
            with Load(station, concentrator, nodes, 0, 40):
                pass
            ended = time.monotonic()
            station.wait_for(told(station))
            assert time.monotonic() - ended < 3  # it did not wait for the ten seconds of the other
            assert_equal(station, own)
            metrics = station.metrics()
            assert metrics['suat_sink_entries{sink="district"}'] > 0
            station.stop()  # which does not wait for the request that hangs either

            station.config.write_text(config.replace(hanging, proxy.url))
            station.start()
            with Load(station, concentrator, nodes, 40, 20):
                pass
            for sink, server in (("influx", own), ("district", district)):
                station.wait_for(told(station, sink), 60.0)
                assert_equal(station, server)

            for server in (own, district):
                server.query("DROP MEASUREMENT soil", DATABASE)
            said = station.suat("resend", "--since", began.isoformat(), "--sink", "district")
            assert said.endswith("to district again by the running station\n")
            station.wait_for(lambda: count(district) == 60 * NODES, 60.0)
            station.wait_for(told(station, "district"), 60.0)
            station.wait_for(told(station))
            assert_equal(station, district)
            assert count(own) == 0
            station.stop()

            station.config.write_text(config.replace(both[1], ""))
            station.start()
            left = [("influx",), ("windows",)]
            station.wait_for(lambda: station.query("SELECT name FROM sink ORDER BY name") == left)
            station.stop()


@pytest.mark.slow
def test_what_influxdb_acknowledged_and_lost_is_sent_again(
    tmp_path: Path, make_station: Any, make_concentrator: Any
) -> None:
    """Its disk comes back as it was an hour ago, as after a restored image or a card that lied."""
    with influxd(tmp_path) as server:
        create(server)
        station = make_station(V1.format(table=OWN, url=server.url))
        nodes = station.register(NODES)
        began = datetime.now(UTC)
        station.start()
        concentrator = make_concentrator(station)
        with Load(station, concentrator, nodes, 0, 20):
            pass
        station.wait_for(told(station))
        server.stop()
        shutil.copytree(server.folder, tmp_path / "image")
        server.start()
        with Load(station, concentrator, nodes, 20, 20):
            pass
        station.wait_for(told(station))
        assert_equal(station, server)
        server.kill()
        for part in ("data", "wal", "meta"):
            shutil.rmtree(server.folder / part)
            shutil.copytree(tmp_path / "image" / part, server.folder / part)
        server.start()
        assert count(server) == 20 * NODES
        station.suat("resend", "--since", began.isoformat())
        station.wait_for(lambda: count(server) == 40 * NODES, 60.0)
        station.wait_for(told(station))
        assert_equal(station, server)
        station.stop()
