"""Thousands of mixed answers: a faulty server between the forwarder and a real InfluxDB. No good point is lost.

Waits pass in virtual time; the requests, the faults and the database are real. What InfluxDB holds at the end is
compared with the lines of the journal, field by field, by a reading of line protocol that is none of ours.
"""

from __future__ import annotations

import os
import random
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from suat.clock import VirtualScheduler
from suat.store import influx
from suat.store.influx import Forwarder
from suat.store.influx_http import V1Writer, V2Writer, Verdict, open_writer
from suat.store.points import Points
from suat.store.rows import WindowRow
from suat.store.tables import BucketsTable, InfluxTable
from suat_sim.influx import FAULTS, Between, faulty
from suat_sim.kept import START_US, Kept, device, soil_rows, water_rows
from suat_sim.servers import Influxd, influx_v2_proxy, influxd

TOKEN = "t0p-secret-token"
POLICIES = ("pasture", "pasture_15m", "pasture_1h", "pasture_1d")
TIMEOUT_S = 0.15  # in place of 10 s: only how long the test takes
ANSWERS = int(os.environ.get("SUAT_ANSWERS", "1500"))

Key = tuple[str, str, str, int]  # policy, measurement, tags, time
Stored = dict[Key, dict[str, float | str]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Influxd]:
    with influxd(tmp_path) as running:
        running.query('CREATE DATABASE "pasture"')
        for policy in POLICIES:
            running.query(f'CREATE RETENTION POLICY "{policy}" ON "pasture" DURATION INF REPLICATION 1')
        yield running


def table(api: str, url: str, folder: Path) -> InfluxTable:
    (folder / "token").write_text(TOKEN)
    if api == "v1":
        return InfluxTable(url=url, api="v1", database="pasture", gzip=False)
    buckets = BucketsTable(
        **{key: f"pasture/{name}" for key, name in zip(BucketsTable.model_fields, POLICIES, strict=True)}
    )
    return InfluxTable(url=url, org="upu", token_file=folder / "token", buckets=buckets, gzip=True)


def parsed(policy: str, line: str) -> tuple[Key, dict[str, float | str]]:
    """A line as InfluxDB's documentation reads it; of what can be escaped, this test's names have spaces alone."""
    series, fields, time = re.split(r"(?<!\\) ", line)
    measurement, _, tags = series.replace("\\ ", " ").partition(",")
    values: dict[str, float | str] = {}
    for field in fields.split(","):
        name, _, text = field.partition("=")
        values[name] = text.strip('"') if text.startswith('"') else float(text.removesuffix("i"))
    return (policy, measurement, tags, int(time)), values


def expected(kept: Kept) -> Stored:
    """Every line that the journal's rows make."""
    reader = kept.reader
    points = Points(reader.devices(), reader.assignments())
    lines = [("pasture", line) for sample in reader.samples() for line in points.sample(sample)]
    widths = {900: "pasture_15m", 3600: "pasture_1h", 86400: "pasture_1d"}
    for row in reader._ask("SELECT registration, width_s, start_us, body FROM window"):
        lines += [(widths[row[1]], line) for line in points.window(WindowRow(*row))]
    return dict(parsed(policy, line) for policy, line in lines)


def stored(server: Influxd) -> Stored:
    """Everything in the database; a point that is there twice fails."""
    found: Stored = {}
    for policy in POLICIES:
        for series in server.query(f'SELECT * FROM "pasture"."{policy}"./.*/ GROUP BY *', "pasture"):
            tags = ",".join(f"{key}={value}" for key, value in sorted(series.get("tags", {}).items()) if value)
            for row in series["values"]:
                fields = dict(zip(series["columns"], row, strict=True))
                key = policy, series["name"], tags, int(fields.pop("time"))
                assert key not in found
                found[key] = {name: value for name, value in fields.items() if value is not None}
    return found


def journal(folder: Path, count: int) -> Kept:
    kept = Kept(folder)
    kept.fill(kept.journal.add_device(device(1, probes=2, name="upper")), soil_rows(count, probes=2))
    kept.fill(kept.journal.add_device(device(2, "water", name="spring")), water_rows(count))
    kept.finish()
    return kept


def forward(kept: Kept, into: InfluxTable, between: Between, answers: int) -> Forwarder:
    """In virtual time until the server has given so many answers, and then until all is told."""
    kind = V1Writer if into.api == "v1" else V2Writer
    scheduler = VirtualScheduler(START_US)
    chance = random.Random(3).random
    writer = kind(into, TIMEOUT_S)
    forwarder = Forwarder(scheduler, into, kept.journal, kept.reader, writer=writer, chance=chance)
    forwarder.wake()
    while sum(between.counts.values()) < answers:
        scheduler.run_until(scheduler.monotonic() + 600.0)
        if not forwarder.backlog():
            kept.journal.resend(0)
    while forwarder.backlog() or forwarder._load is not None:
        scheduler.run_until(scheduler.monotonic() + 600.0)
    forwarder.stop()
    scheduler.run_until(scheduler.monotonic() + 1.0)
    return forwarder


@pytest.mark.slow
@pytest.mark.parametrize("api", ["v1", "v2"])
def test_mixed_answers_lose_no_good_point(
    api: str, tmp_path: Path, server: Influxd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """v1 to influxd, v2 through nginx with gzip. All of it: SUAT_ANSWERS=10000 pytest -m slow -s -k mixed_answers

    The tank's lines are bad ones by InfluxDB's own judgement: its `depth` is a text there already.
    """
    monkeypatch.setattr(influx, "BATCH_LINES", 40)
    with ExitStack() as stack:
        kept = stack.enter_context(journal(tmp_path, 120))
        writer = open_writer(table("v1", server.url, tmp_path))
        seed = f'water,node=spring,water_point=w1 depth="deep" {START_US + 7}'
        assert writer.write("pasture", [seed]).verdict is Verdict.DONE
        writer.close()
        behind: Any = server
        if api == "v2":
            behind = stack.enter_context(influx_v2_proxy(tmp_path, server, token=TOKEN))
        between = stack.enter_context(faulty(behind.url, seed=5))
        forwarder = forward(kept, table(api, between.url, tmp_path), between, ANSWERS)
        wanted = expected(kept)
        bad = {key for key in wanted if key[:2] == ("pasture", "water")}
        found = stored(server)
        assert found.pop(parsed("pasture", seed)[0]) == {"depth": "deep"}
        assert found == {key: fields for key, fields in wanted.items() if key not in bad}
        letters = [(row[1], parsed("pasture", row[3])[0]) for row in kept.reader.dead_letters()]
        assert {key for _, key in letters} == bad and {sink for sink, _ in letters} == {"influx"}
        assert len(letters) == forwarder.letters_set_aside
        assert between.counts.keys() == FAULTS.keys()  # each of them came, and no redirect was followed
        given = sum(between.counts.values())
        print(f"{api}: {given} answers, {given - between.counts['relayed']} of them faults: {len(found)} points, equal")


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_a_host_with_many_addresses_that_are_silent_takes_no_longer(
    api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a district's server behind a link that is cut: ten seconds for each of its addresses would be a stall."""
    with socket.socket() as full, ExitStack() as others:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # its queue is full: a connection to it hangs
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        one = (socket.AF_INET, socket.SOCK_STREAM, 0, "", full.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [one] * 8)
        writer = (V1Writer if api == "v1" else V2Writer)(table(api, "http://influx.example", tmp_path), 0.5)
        began = time.monotonic()
        answer = writer.write("pasture", ["m v=1i 5"])
        assert answer.verdict is Verdict.DOWN and time.monotonic() - began < 2.5
        assert answer.reason == "NewConnectionError: influx.example: timed out"
        writer.close()


@pytest.mark.parametrize("api", ["v1", "v2"])
@pytest.mark.parametrize("name", [name for name in FAULTS if name != "relayed"])
def test_each_fault_by_itself_costs_no_point(
    api: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given to the first requests of a load, it sets nothing aside and is over in time."""
    written: list[bytes] = []

    def relay(self: Any, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        written.append(body)
        return b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"

    monkeypatch.setattr("suat_sim.influx._Handler._relay", relay)
    with faulty("http://127.0.0.1:9") as between:
        monkeypatch.setattr(between, "draw", lambda: name)
        into = table(api, between.url, tmp_path)
        writer = (V1Writer if api == "v1" else V2Writer)(into, TIMEOUT_S)
        answer = writer.write("pasture", ["m v=1i 5"])
        writer.close()
        assert answer.verdict not in (Verdict.DONE, Verdict.BAD_LINES, Verdict.DOUBTFUL)
        assert "followed a redirect" not in between.counts
        assert re.match(r"\d{3}|no InfluxDB|no whole answer|\w+Error", answer.reason) and TOKEN not in answer.reason
        assert len(answer.reason) < 500 and answer.reason.isprintable()
