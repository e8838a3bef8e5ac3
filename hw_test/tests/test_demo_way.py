"""The whole way in virtual time: what was measured is what is kept, whatever happens in between."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suat.ingest.semtech_udp import SemtechUdp
from suat.station import Station
from suat.store.reader import Reader
from suat.supervision import Guarded
from suat_sim.demo import Demo, scenario_for
from suat_sim.logger_replay import LoggerFile
from suat_sim.servers import Influxd, influxd
from suat_wire.payload import GROUPS

ROOT = Path(__file__).parents[2]
USSES = Path(os.environ.get("SUAT_USSES", ROOT.parent / "shared" / "data" / "usses"))
needs_usses = pytest.mark.skipif(not USSES.is_dir(), reason=f"the logger files are not at {USSES}; set SUAT_USSES")
RESOLUTION = {(group, field): 1 / divisor for group, fields in GROUPS for field, _, divisor, _ in fields}
SAMPLE_TIME_S = 2.0  # how far a sample's time may be off
DAY_S = 86_400.0


def few_loggers(folder: Path, *names: str) -> Path:
    """A folder with some of the logger files alone."""
    folder.mkdir()
    for name in (*(f"{name}.csv.gz" for name in names), "soil_texture.csv", "weather.csv"):
        shutil.copy(USSES / name, folder)
    return folder


def missing_and_foreign(reader: Reader, loggers: dict[str, LoggerFile]) -> tuple[list[Any], list[Any]]:
    """(readings of the loggers that are not in the journal, readings in the journal that no logger took).

    A reading is the same when its time is the logger's, to two seconds, and its value to half of what the field tells.
    """
    missing: list[Any] = []
    foreign: list[Any] = []
    for device in reader.devices():
        expected: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for _, time, channel, value in loggers[device.name].expected():
            expected[channel][time].append(value)
        times = {channel: sorted(by_time) for channel, by_time in expected.items()}
        for reading in reader.readings(device.registration):
            channel = f"{reading.group}.{reading.field}"
            if channel not in expected:
                continue
            time = nearest(times[channel], reading.time_us / 1e6)
            half = 0.5001 * RESOLUTION[reading.group, reading.field]
            values = expected[channel][time]
            same = next((value for value in values if abs(value - reading.raw) <= half), None)
            if same is None or abs(time - reading.time_us / 1e6) > SAMPLE_TIME_S:
                foreign.append((device.name, channel, reading))
            else:
                values.remove(same)
        missing += [
            (device.name, channel, time, value)
            for channel, by_time in expected.items()
            for time, values in by_time.items()
            for value in values
        ]
    return missing, foreign


def nearest(times: list[int], time: float) -> int:
    """The one of the sorted times that is nearest."""
    place = bisect_left(times, time)
    return min(times[max(0, place - 1) : place + 1], key=lambda other: abs(other - time))


def influx_config(url: str) -> dict[str, Any]:
    """An `[influx]` table for a private influxd with one database and its retention policies."""
    policies = {name: name for name in ("raw", "m15", "h1", "d1")}
    return {"url": url, "api": "v1", "database": "pasture", "buckets": policies}


def create_database(server: Influxd) -> None:
    server.query("CREATE DATABASE pasture")
    for policy in ("raw", "m15", "h1", "d1"):
        server.query(f'CREATE RETENTION POLICY "{policy}" ON "pasture" DURATION INF REPLICATION 1')


def points_of(server: Influxd, measurement: str) -> list[dict[str, Any]]:
    return server.rows(f'SELECT * FROM "pasture"."raw"."{measurement}"', "pasture")


def drain(demo: Demo) -> None:
    """Let time pass until InfluxDB was told everything."""
    forwarder = demo.station.pipeline.sinks.forwarders["influx"]
    for _ in range(500):
        demo.scheduler.run_until(demo.scheduler.monotonic() + 60.0)
        if forwarder.backlog() == 0:
            return
    raise AssertionError(f"{forwarder.backlog()} entries still wait: {forwarder.problem}")


# -- the same seed gives the same run


@pytest.mark.slow
def test_the_same_seed_gives_the_same_summary() -> None:
    command = [sys.executable, "-m", "suat.cli", "demo", "--json", "--no-serve", "--seed", "7", "--days", "3"]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout for _ in range(2)
    )
    assert first == second
    summary = json.loads(first)
    frames = summary["frames"]
    assert frames["sent"] > 9 * 3 * 90
    assert frames["sent"] == frames["lost_in_air"] + frames["received"]
    assert frames["received"] == sum(
        frames[name] for name in ("accepted", "duplicate", "bad_mic", "unknown_device", "old_counter", "malformed")
    )
    assert summary["readings"]["kept"] > 0
    assert len(summary["paddocks"]) == 6
    assert len(summary["water_points"]) == 3


# -- real logger data


@needs_usses
@pytest.mark.slow
def test_every_logger_reading_arrives_once_with_its_own_time_and_influxdb_has_the_same(tmp_path: Path) -> None:
    scenario = scenario_for(0, 0, 1, 7, USSES)
    with influxd(tmp_path) as server:
        create_database(server)
        scenario["config"]["influx"] = influx_config(server.url)
        with Demo(scenario, tmp_path / "station", seed=7) as demo:
            demo.pass_days()
            drain(demo)
            missing, foreign = missing_and_foreign(demo.station.reader, scenario["loggers"])
            assert_equal(server, demo.station.reader)
            summary = demo.summary()
    print(f"{len(missing)} missing; {json.dumps(summary)}")
    assert foreign == []
    # What was taken in the last hours may still be on its way: it is on the node's flash, not lost.
    last_day = demo.start_us / 1e6 + (demo.days - 1) * DAY_S
    assert [row for row in missing if row[2] < last_day] == []
    # Counted by csv and Counter in the files: hw_test/tests/test_env_replay.py.
    assert summary["replayed"]["left_out"] == {"2000": 9066, "2049": 270}


@needs_usses
@pytest.mark.slow
def test_influxdb_holds_what_the_journal_holds_even_if_it_was_down_all_the_time(tmp_path: Path) -> None:
    scenario = scenario_for(0, 0, 1, 7, few_loggers(tmp_path / "loggers", "EL5740"))
    with influxd(tmp_path) as server:
        create_database(server)
        server.stop()
        scenario["config"]["influx"] = influx_config(server.url)
        with Demo(scenario, tmp_path / "station", seed=7) as demo:
            demo.pass_days()
            assert demo.written() == 0
            server.start()
            drain(demo)
            assert_equal(server, demo.station.reader)
            # Told twice, nothing changes: the same row gives the same point.
            before = points_of(server, "soil")
            demo.station.journal.resend(0)
            drain(demo)
            assert points_of(server, "soil") == before


def assert_equal(server: Influxd, reader: Reader) -> None:
    """Each soil reading of the journal is one point with the same value, flags and time, and there is no other."""
    names = {device.registration: device for device in reader.devices()}
    kept: dict[tuple[str, str, int], dict[str, Any]] = defaultdict(dict)
    for reading in reader.readings():
        device = names[reading.registration]
        probe = next((probe for probe in device.probes if reading.group == f"probe{probe.position}"), None)
        if probe is None or reading.channel == "fault":
            continue
        point = kept[device.name, probe.name, reading.time_us]
        point[f"{reading.channel}_raw"] = reading.raw
        point[f"{reading.channel}_flags"] = reading.flags
        point[f"{reading.channel}_ok"] = int(reading.value is not None)
        if reading.value is not None:
            point[reading.channel] = reading.value
    assert kept
    told = {(row["node"], row["probe"], row["time"]): row for row in points_of(server, "soil")}
    assert told.keys() == kept.keys()
    for key, point in kept.items():
        assert {name: told[key][name] for name in point} == point


# -- the gateway dies, again and again


class Mortal(Guarded):
    """A scheduler for one life of the station: after `kill` nothing that it asked for happens any more."""

    alive = True

    def kill(self) -> None:
        self.alive = False

    def _run(self, call: Callable[..., None], *args: Any) -> None:
        if self.alive:
            super()._run(call, *args)


def let_out(error: BaseException) -> None:
    raise error


def new_life(demo: Demo) -> Mortal:
    """The station from its disk, as after kill -9 and a restart."""
    life = Mortal(demo.scheduler, fault=let_out)
    demo.station = Station(life, demo.config, pace=demo.pace, durable=False)
    source = SemtechUdp(demo.station.ingress, send=demo.fleet.send)
    demo.station.sources[source.name] = source
    demo.fleet.attach(source.datagram_received)
    demo.station.pipeline.start()
    return life


@pytest.mark.slow
def test_a_gateway_killed_again_and_again_loses_no_sample_of_real_nodes(tmp_path: Path) -> None:
    scenario = scenario_for(3, 1, 2, 7, None)
    draw = random.Random(7)
    with Demo(scenario, tmp_path, seed=7) as demo:
        life = new_life(demo)
        kills = sorted(draw.uniform(0.0, 1.6 * DAY_S) for _ in range(40))
        for kill in kills:
            demo.fleet.run(kill)
            life.kill()
            demo.station.close()
            demo.fleet.attach(lambda data, address: None)
            demo.fleet.run(kill + draw.choice((0.0, 5.0, 600.0)))
            life = new_life(demo)
        demo.fleet.run(2 * DAY_S)
        for device in demo.station.reader.devices():
            records = [sample.record for sample in demo.station.reader.samples(device.registration)]
            assert len(records) == len(set(records))
            # The newest few may still wait for the next acknowledgement; before them nothing may be missing.
            settled = range(min(records), max(records) - 8)
            assert set(settled) <= set(records), sorted(set(settled) - set(records))
            assert len(settled) > 150
