"""The forwarder and the database that is really used: what is in the journal is in InfluxDB, equal, by v1 and by v2."""

from __future__ import annotations

import asyncio
import logging
import random
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from suat.clock import LoopScheduler, VirtualScheduler
from suat.quality.settings import SETTINGS
from suat.records import Flag
from suat.store import influx
from suat.store.channels import BY_CODE, BY_NAME
from suat.store.influx import Forwarder
from suat.store.influx_http import Verdict, open_writer
from suat.store.packed import unpack_cleaned, unpack_window
from suat.store.points import tag_value, text_value
from suat.store.tables import BucketsTable, InfluxTable
from suat_sim.kept import START_US, Kept, device, soil_rows, water_rows
from suat_sim.kept import row as sample
from suat_sim.servers import Influxd, Server, influx_v2_proxy, influxd

TOKEN = "t0p-secret-token"
POLICIES = ("raw", "m15", "h1", "d1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    with influxd(tmp_path_factory.mktemp("influx")) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, server: Influxd) -> Iterator[Server]:
    with influx_v2_proxy(tmp_path_factory.mktemp("proxy"), server, token=TOKEN) as running:
        yield running


@pytest.fixture
def database(server: Influxd, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"db_{abs(hash(request.node.name))}"
    server.query(f'CREATE DATABASE "{name}"')
    for policy in POLICIES:
        server.query(f'CREATE RETENTION POLICY "{policy}" ON "{name}" DURATION INF REPLICATION 1')
    yield name
    server.query(f'DROP DATABASE "{name}"')


def table(api: str, url: str, database: str, folder: Path) -> InfluxTable:
    (folder / "token").write_text(f"{TOKEN}\n")
    if api == "v1":
        buckets = BucketsTable(raw="raw", m15="m15", h1="h1", d1="d1")
        return InfluxTable(url=url, api="v1", database=database, buckets=buckets)
    raw, m15, h1, d1 = (f"{database}/{policy}" for policy in POLICIES)
    buckets = BucketsTable(raw=raw, m15=m15, h1=h1, d1=d1)
    return InfluxTable(url=url, api="v2", org="upu", token_file=folder / "token", buckets=buckets)


def filled(folder: Path, count: int = 150) -> Kept:
    kept = Kept(folder)
    soil = kept.journal.add_device(device(1, probes=2, name="Жайлау, 1=а"))
    water = kept.journal.add_device(device(2, "water"))
    kept.fill(soil, soil_rows(count, probes=2))
    kept.fill(water, water_rows(count))
    kept.finish()
    return kept


def drain(kept: Kept, settings_: InfluxTable, seconds: float = 90) -> Forwarder:
    """Forward in virtual time until all is told."""
    scheduler = VirtualScheduler(START_US)
    forwarder = Forwarder(scheduler, settings_, kept.journal, kept.reader)
    forwarder.wake()
    scheduler.run_until(seconds)
    forwarder.stop()
    scheduler.run_until(seconds + 1)
    return forwarder


Stored = dict[tuple[str, str, str, int], tuple[Any, ...]]


def stored_samples(server: Influxd, database: str) -> Stored:
    """(node, probe, quantity, time) -> (value or None, raw, flags) as InfluxDB gives it back."""
    found: Stored = {}
    for measurement in ("soil", "water", "node"):
        for row in server.rows(f'SELECT * FROM "{database}"."raw"."{measurement}"'):
            for name in (key.removesuffix("_raw") for key in row if key.endswith("_raw")):
                value = row[name] if row[f"{name}_ok"] else None
                key = row["node"], row.get("probe", measurement), name, row["time"]
                found[key] = value, row[f"{name}_raw"], row[f"{name}_flags"]
    return found


def kept_samples(kept: Kept) -> Stored:
    """The same of the journal, through its own reading API."""
    names = {entry.registration: entry for entry in kept.reader.devices()}
    found: Stored = {}
    for reading in kept.reader.readings():
        if reading.group == "health" or reading.channel == "fault":
            continue
        node = names[reading.registration]
        probe = {f"probe{entry.position}": entry.name for entry in node.probes}.get(reading.group, reading.group)
        key = node.name, probe, reading.channel, reading.time_us
        found[key] = reading.value, reading.raw, reading.flags
    return found


def assert_windows_equal(server: Influxd, database: str, kept: Kept) -> None:
    widths = {900: ("m15", "15m"), 3600: ("h1", "1h"), 86400: ("d1", "1d")}
    names = {entry.registration: entry for entry in kept.reader.devices()}
    expected = {}
    rows = kept.reader._ask("SELECT registration, width_s, start_us, body FROM window")
    for registration, width, start, body in rows:
        for summary in unpack_window(body):
            channel = BY_CODE[summary.code]
            if channel.group != "node" and summary.n:
                probe = {f"probe{p.position}": p.name for p in names[registration].probes}.get(channel.group, "")
                expected[names[registration].name, probe, channel.name, width, start] = tuple(summary)[1:]
    found = {}
    for width, (policy, suffix) in widths.items():
        for measurement in ("soil", "water"):
            for row in server.rows(f'SELECT * FROM "{database}"."{policy}"."{measurement}_{suffix}"'):
                for name in (key.removesuffix("_count") for key in row if key.endswith("_count")):
                    if row[f"{name}_ok"]:
                        key = row["node"], row.get("probe", ""), name, width, row["time"]
                        found[key] = (
                            row[f"{name}_count"],
                            *(row[f"{name}_{which}"] for which in ("min", "max", "mean", "last", "median")),
                        )
    assert found == expected and expected


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_the_database_holds_what_the_journal_holds(
    api: str, tmp_path: Path, server: Influxd, proxy: Server, database: str
) -> None:
    with filled(tmp_path) as kept:
        into = table(api, (server if api == "v1" else proxy).url, database, tmp_path)
        first = drain(kept, into)
        assert first.problem is None and not kept.reader.dead_letters()
        expected = kept_samples(kept)
        assert stored_samples(server, database) == expected and len(expected) == 150 * (7 + 6)
        assert_windows_equal(server, database, kept)
        flags = [value[2] for value in expected.values()]
        assert {Flag.FROZEN, Flag.RANGE} <= {Flag(f) for f in flags}  # not only clean weather was compared
        kept.journal.resend(0)
        again = drain(kept, into)
        assert again.points_sent == first.points_sent
        assert stored_samples(server, database) == expected
        counts = server.rows(f'SELECT count("ok") FROM "{database}"."raw"."soil", "{database}"."raw"."node"')
        assert sum(row["count"] for row in counts) == 150 * 2 + 2 * 150  # nothing twice


def test_what_was_corrected_is_corrected_in_the_database(tmp_path: Path, server: Influxd, database: str) -> None:
    into = table("v1", server.url, database, tmp_path)
    rows = soil_rows(120, seed=8)
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        kept.fill(node, rows[:40] + rows[60:])
        kept.finish()
        drain(kept, into)
        kept.fill(node, rows[40:60])  # these come late
        kept.finish()
        drain(kept, into)
        assert stored_samples(server, database) == kept_samples(kept)
        assert_windows_equal(server, database, kept)


def test_what_the_filters_think_better_of_is_revised_in_the_database(
    tmp_path: Path, server: Influxd, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe breaks: its first wild readings are told as sound, and as broken once so many of them have come."""
    code = BY_NAME["probe1", "moisture"].code
    noisy = replace(SETTINGS[code], max_noise=0.05, broken_seconds=12 * 3600.0)
    monkeypatch.setitem(SETTINGS, code, noisy)
    into = table("v1", server.url, database, tmp_path)
    chance = random.Random(1)
    moistures = [0.2] * 100 + [chance.choice((0.05, 0.3, 0.6)) for _ in range(100)]
    rows = [sample(n, 15 * n, {("probe1", "vwc"): value}) for n, value in enumerate(moistures)]
    told: list[Stored] = []
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1))
        for start in range(0, 200, 10):
            kept.fill(node, rows[start : start + 10])
            kept.finish(rows[start].time_us)
            drain(kept, into)
            told.append(stored_samples(server, database))
            assert told[-1] == kept_samples(kept)
        kept.finish()
        drain(kept, into)
        assert_windows_equal(server, database, kept)
        (episode,) = kept.reader.episodes(node)
    points = server.rows(f'SELECT count("ok") FROM "{database}"."raw"."soil"')
    assert points[0]["count"] == 200  # the same points, with another value
    moisture = {key: value for key, value in told[-1].items() if key[2] == "moisture"}
    broken = [key for key, (_, _, flags) in moisture.items() if flags & Flag.BROKEN]
    assert broken == [key for key in moisture if key[3] >= episode.since_us]
    assert rows[100].time_us <= episode.since_us <= rows[110].time_us
    assert {moisture[key][0] for key in broken} == {None}
    before = {key: earlier[key] for earlier in told for key in broken if key in earlier and earlier[key][0] is not None}
    assert len(before) > 10  # they were believed when they came


@pytest.mark.slow
@pytest.mark.parametrize("api", ["v1", "v2"])
async def test_a_database_that_goes_and_comes(
    api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Real time, real threads: stopped, killed and restarted under load; a node's readings come in all the while."""
    monkeypatch.setattr(influx, "RETRY_S", (0.05, 0.2))
    monkeypatch.setattr(influx, "BATCH_LINES", 150)
    caplog.set_level(logging.DEBUG, influx.__name__)
    with influxd(tmp_path) as running, influx_v2_proxy(tmp_path, running, token=TOKEN) as before:
        running.query('CREATE DATABASE "pasture"')
        for policy in POLICIES:
            running.query(f'CREATE RETENTION POLICY "{policy}" ON "pasture" DURATION INF REPLICATION 1')
        into = table(api, (running if api == "v1" else before).url, "pasture", tmp_path)
        running.stop()
        scheduler = LoopScheduler(asyncio.get_running_loop())
        with Kept(tmp_path) as kept:
            node = kept.journal.add_device(device(1, probes=2))
            forwarder = Forwarder(scheduler, into, kept.journal, kept.reader)
            rows = soil_rows(900, probes=2)
            for start in range(0, 900, 30):
                await run_in_journal(scheduler, lambda start=start: kept.fill(node, rows[start : start + 30]))
                forwarder.wake()
                await asyncio.sleep(0.03)
                if start % 300 == 120:
                    await asyncio.to_thread(running.start)
                elif start % 300 == 240:
                    await asyncio.to_thread(running.kill if start > 300 else running.stop)
            await run_in_journal(scheduler, kept.finish)
            await asyncio.to_thread(running.start)
            deadline = time.monotonic() + 30
            while (forwarder.backlog() or forwarder._busy) and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            forwarder.stop()
            await asyncio.to_thread(scheduler.close)
            assert stored_samples(running, "pasture") == kept_samples(kept)
            assert_windows_equal(running, "pasture", kept)
            assert not kept.reader.dead_letters()
    assert caplog.text.count("the points wait") >= 2  # it was really away


async def run_in_journal(scheduler: LoopScheduler, work: Any) -> None:
    done = asyncio.get_running_loop().create_future()
    scheduler.offload(work, lambda result, error: done.set_exception(error) if error else done.set_result(result))
    await done


def test_a_bad_line_is_found_by_the_real_server(tmp_path: Path, server: Influxd, database: str) -> None:
    """A field that exists already with another type is refused; its neighbours are not."""
    into = table("v1", server.url, database, tmp_path)
    with filled(tmp_path, 60) as kept:
        moment = next(kept.reader.samples(2)).time_us
        writer = open_writer(into)
        assert writer.write("raw", [f'water,node=water-2,water_point=w1 depth="deep" {moment}']).verdict is Verdict.DONE
        writer.close()
        drain(kept, into)
        letters = kept.reader.dead_letters()
        assert len(letters) == 60 and all("field type conflict" in letter[4] for letter in letters)
        assert {letter[3].split(",")[0] for letter in letters} == {"water"}
        found, expected = stored_samples(server, database), kept_samples(kept)
        assert found.keys() == {key for key in expected if key[1] != "water"}


TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cn"]), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXT, TEXT)
def test_any_text_survives_the_real_parser(server: Influxd, database: str, tag: str, text: str) -> None:
    writer = open_writer(InfluxTable(url=server.url, api="v1", database=database))
    server.query("DROP MEASUREMENT t", database)
    line = f"t,a={tag_value(tag)},b=c x={text_value(text)},ok=1i 5"
    assert writer.write("raw", [line]).verdict is Verdict.DONE
    writer.close()
    (row,) = server.rows(f'SELECT * FROM "{database}"."raw".t')
    assert row["a"] == "".join(" " if ord(c) < 32 else "/" if c == "\\" else c for c in tag)
    assert row["x"] == "".join(" " if ord(c) < 32 else c for c in text)


# Servers that answer badly


class _Handler(socketserver.StreamRequestHandler):
    """Reads one request and answers what the server was told to."""

    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.rfile.read(length)
        assert isinstance(self.server, _Answering)
        time.sleep(self.server.delay_s)
        self.wfile.write(self.server.answer)


class _Answering(socketserver.ThreadingTCPServer):
    daemon_threads = True
    answer = b""
    delay_s = 0.0


@contextmanager
def answering(answer: bytes, delay_s: float = 0.0) -> Iterator[str]:
    with _Answering(("127.0.0.1", 0), _Handler) as listening:
        listening.answer, listening.delay_s = answer, delay_s
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize("api", ["v1", "v2"])
@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Verdict.DONE),
        (b'HTTP/1.1 400 Bad Request\r\nContent-Length: 21\r\n\r\n{"error":"dropped=1"}', Verdict.BAD_LINES),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", Verdict.REFUSED),
        (b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", Verdict.TOO_LARGE),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 4\r\nContent-Length: 0\r\n\r\n", Verdict.BUSY),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", Verdict.DOWN),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", Verdict.REFUSED),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\n\xce\xf8\xe8", Verdict.DOWN),  # a page in windows-1251
        (b"HTTP/1.1 307 There\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", Verdict.REFUSED),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 90\r\n\r\nno more", Verdict.BROKEN),
        (b"HTTP/1.1 20", Verdict.BROKEN),
        (b"", Verdict.BROKEN),
        (b"\x00\xff nonsense\r\n\r\n", Verdict.BROKEN),
    ],
)
def test_each_answer_over_the_wire(api: str, answer: bytes, verdict: Verdict, tmp_path: Path) -> None:
    with answering(answer) as url:
        writer = open_writer(table(api, url, "db", tmp_path))
        found = writer.write("raw", ["m v=1i 5"])
        writer.close()
    assert found.verdict is verdict
    assert found.retry_after_s == (4.0 if verdict is Verdict.BUSY else None)
    assert found.dropped == (1 if verdict is Verdict.BAD_LINES else None)


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_a_server_that_hangs_is_given_up(api: str, tmp_path: Path) -> None:
    from suat.store.influx_http import V1Writer, V2Writer

    with answering(b"", delay_s=2.0) as url:
        kind = V1Writer if api == "v1" else V2Writer
        writer = kind(table(api, url, "db", tmp_path), timeout_s=0.2)
        began = time.monotonic()
        assert writer.write("raw", ["m v=1i 5"]).verdict is Verdict.BROKEN
        assert time.monotonic() - began < 1.8
        writer.close()


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_nobody_there(api: str, tmp_path: Path) -> None:
    writer = open_writer(table(api, "http://127.0.0.1:9", "db", tmp_path))
    answer = writer.write("raw", ["m v=1i 5"])
    writer.close()
    assert answer.verdict is Verdict.DOWN and "refused" in answer.reason


def test_secrets_are_read_late_and_never_said(
    tmp_path: Path, server: Influxd, proxy: Server, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    into = table("v2", proxy.url, database, tmp_path)
    secret = tmp_path / "token"
    secret.unlink()
    writer = open_writer(into)
    answer = writer.write(into.buckets.raw, ["m v=1i 5"])
    assert answer.verdict is Verdict.REFUSED and str(secret) in answer.reason and "token" in answer.reason
    secret.write_text("wrong-but-secret")
    refused = writer.write(into.buckets.raw, ["m v=1i 5"])
    assert refused.verdict is Verdict.REFUSED and refused.reason.startswith("401")
    secret.write_text(TOKEN)  # repaired while the station runs
    assert writer.write(into.buckets.raw, ["m v=1i 5"]).verdict is Verdict.DONE
    writer.close()
    for said in (answer.reason, refused.reason, caplog.text, repr(writer), repr(into)):
        assert TOKEN not in said and "wrong-but-secret" not in said


def test_user_and_password_of_v1(tmp_path: Path) -> None:
    with influxd(tmp_path, auth=("admin", "pa:ss word")) as guarded:
        guarded.query('CREATE DATABASE "pasture"')
        (tmp_path / "password").write_text("pa:ss word\n")
        into = InfluxTable(
            url=guarded.url, api="v1", database="pasture", username="admin", password_file=tmp_path / "password"
        )
        writer = open_writer(into)
        assert writer.write("autogen", ["m v=1i 5"]).verdict is Verdict.DONE
        missing = writer.write("nowhere", ["m v=1i 5"])
        assert missing.verdict is Verdict.REFUSED or "retention policy" in missing.reason
        writer.close()
        (tmp_path / "password").write_text("other")
        writer = open_writer(into)
        assert writer.write("autogen", ["m v=1i 5"]).verdict is Verdict.REFUSED
        writer.close()
        assert guarded.rows("SELECT * FROM m", "pasture") == [{"time": 5, "v": 1}]


def test_the_cleaned_form_is_what_the_points_read(tmp_path: Path) -> None:
    """A guard for the comparison above: the journal's reading API and the points do not share their decoding."""
    with filled(tmp_path, 5) as kept:
        row = next(kept.reader.samples(1))
        assert row.cleaned and {entry.code for entry in unpack_cleaned(row.cleaned)} == {0, 1, 2, 16, 17, 18, 80}
