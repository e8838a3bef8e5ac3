"""What the pipeline does when the disk does not: nothing that can still be kept is lost, and no node is told too early.

The real journal in virtual time. Its disk is full when its file may not grow (`PRAGMA max_page_count`); a fault that
trying again does not mend is a trigger that refuses rows.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from suat import pipeline
from suat.clock import VirtualScheduler
from suat.config import parse
from suat.ingest.semtech_udp import SemtechUdp
from suat.metrics import BACKLOG, REGISTRY, Durations
from suat.network import provision
from suat.network.keys import RootKeys
from suat.pipeline import Pace
from suat.station import Station
from suat.store.influx_http import Answer, Verdict
from suat.store.journal import Journal, JournalError, Reader
from suat_sim import witness

START_US = 1_780_272_000_000_000  # 2026-06-01T00:00:00Z
ADDRESS = ("127.0.0.1", 40000)
GATEWAY = bytes.fromhex("a84041ffff1ee2b4")
PADDING = 30_000  # bytes of a row that leaves no room for the next commits


class Node:
    """A node that never joins; its record is its frame's number."""

    def __init__(self, dev_addr: int) -> None:
        self.dev_addr = dev_addr
        self.nwk_skey, self.app_skey = secrets.token_bytes(16), secrets.token_bytes(16)

    def frame(self, fcnt: int, ack_from: int | None = None) -> bytes:
        sample = witness.soil_sample(fcnt, [{"vwc": 0.25}], 3.3, ack_from=ack_from)
        return witness.data_up(self.nwk_skey, self.app_skey, self.dev_addr, fcnt, sample)


class Site:
    """A station in virtual time, and the datagrams that leave it."""

    def __init__(self, folder: Path, **tables: Any) -> None:
        self.scheduler = VirtualScheduler(START_US)
        table = {"name": "Asy", "data_dir": str(folder), "timezone": "Asia/Almaty"}
        ingest = [{"kind": "semtech_udp", "bind": "127.0.0.1:1700"}]
        self.config = parse({"station": table, "ingest": ingest, **tables})
        self.keys = RootKeys(folder)
        self.sent: list[bytes] = []
        self.start()

    def start(self) -> None:
        """A station on these files."""
        self.station = Station(self.scheduler, self.config)
        source = self.station.open(self.config.ingest[0])
        assert isinstance(source, SemtechUdp)
        self.source = source
        source.send = lambda data, _address: self.sent.append(data)
        self.pipeline = self.station.pipeline
        self.pipeline.start()
        self.source.datagram_received(b"\x02\x00\x00\x02" + GATEWAY, ADDRESS)

    def register(self, number: int = 1) -> Node:
        node = Node(number)
        device = provision.new_device(
            name=f"n{number}",
            kind="soil",
            dev_eui=f"{number:016x}",
            dev_addr=f"{number:08x}",
            nwk_skey=node.nwk_skey.hex(),
            app_skey=node.app_skey.hex(),
        )
        provision.add(self.station.journal, self.keys, device, START_US)
        self.run(1.5)
        return node

    def hear(self, *frames: bytes) -> None:
        """Each frame in a datagram of its own."""
        for phy in frames:
            tmst = round(self.scheduler.monotonic() * 1e6)
            entry = {"tmst": tmst, "freq": 865.0625, "datr": "SF9BW125", "rssi": -90, "lsnr": 5.5, "size": len(phy)}
            entry["data"] = base64.b64encode(phy).decode()
            body = json.dumps({"rxpk": [entry]}).encode()
            self.source.datagram_received(b"\x02\x00\x00\x00" + GATEWAY + body, ADDRESS)

    def run(self, seconds: float = 1.0) -> None:
        self.scheduler.run_until(self.scheduler.monotonic() + seconds)

    def records(self) -> list[int]:
        return [row[0] for row in self.station.reader._ask("SELECT record FROM sample ORDER BY id")]

    def told(self) -> int:
        """How many downlinks left."""
        return sum(data[3] == 3 for data in self.sent)

    def fill_disk(self) -> None:
        """No page more than the file has, and those in use."""
        connection = self.station.journal._connection
        connection.execute("CREATE TABLE IF NOT EXISTS padding (body BLOB)")
        connection.execute("INSERT INTO padding VALUES (zeroblob(1))")
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            while True:
                connection.execute("INSERT INTO padding VALUES (zeroblob(400))")

    def make_room(self) -> None:
        self.station.journal._connection.execute("PRAGMA max_page_count = 1000000")

    def close(self) -> None:
        self.station.close()


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**tables: Any) -> Site:
        made.append(Site(tmp_path / f"site{len(made)}", **tables))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


def many(node: Node, first: int, count: int) -> list[bytes]:
    return [node.frame(fcnt) for fcnt in range(first, first + count)]


def committed_batches(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames each transaction from now on has."""
    batches: list[int] = []
    commit = site.station.journal.commit

    def counted(batch: Any) -> Any:
        batches.append(len(batch.admitted))
        return commit(batch)

    monkeypatch.setattr(site.station.journal, "commit", counted)
    return batches


def test_a_lone_frame_that_wants_an_answer_is_committed_as_soon_as_its_copies_are_in(site: Site) -> None:
    node = site.register()
    site.run(10)
    site.hear(node.frame(0, ack_from=0))
    site.run(0.199)
    assert (site.records(), site.told()) == ([], 0)
    site.run(0.002)
    assert (site.records(), site.told()) == ([0], 1)


def test_a_frame_that_wants_none_waits_a_little_for_others(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each transaction, cleaning and request costs nearly the same for two frames as for one."""
    node = site.register()
    batches = committed_batches(site, monkeypatch)
    for fcnt in range(20):  # ten a second
        site.hear(node.frame(fcnt))
        site.run(0.1)
    site.run(0.4)
    assert site.records() == list(range(20))
    assert max(size for size in batches if size) == 2 and len([size for size in batches if size]) <= 11
    site.hear(node.frame(20))
    site.run(0.2 + Pace().gather + 0.001)
    assert site.records()[-1] == 20
    site.hear(node.frame(21))
    site.run(0.01)
    site.hear(node.frame(22, ack_from=0))
    site.run(0.2)
    assert site.records()[-2:] == [21, 22] and site.told() == 1  # who waits for an answer takes the others along


def test_what_comes_together_shares_a_transaction(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    node = site.register()
    batches = committed_batches(site, monkeypatch)
    for fcnt in range(100):  # one a millisecond
        site.hear(node.frame(fcnt))
        site.run(0.001)
    site.run(1)
    assert site.records() == list(range(100))
    transactions = [size for size in batches if size]
    assert sum(transactions) == 100
    assert len(transactions) <= 3  # as soon as they are many, then one every 80 ms


def test_a_full_disk_loses_nothing_and_tells_nobody(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    node = site.register()
    site.hear(*many(node, 0, 3))
    site.run()
    site.fill_disk()
    site.hear(*many(node, 3, 200), node.frame(203, ack_from=0))
    site.run(5)
    site.hear(*many(node, 204, 5))
    site.run(20)
    assert (site.records(), site.told(), site.pipeline.idle) == ([0, 1, 2], 0, False)
    faults = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert faults
    assert all("full" in fault and "frames wait" in fault for fault in faults)
    assert len(faults) <= 8  # ever more seldom

    site.make_room()
    site.run(60)
    assert site.records() == list(range(209))
    assert site.pipeline.idle
    assert site.told() == 0  # the node no longer listens: it asks again
    counters = site.station.reader.counters()
    assert (counters["received"], counters["accepted"]) == (209, 209)
    site.hear(node.frame(209, ack_from=0))
    site.run()
    assert site.told() == 1
    assert len(site.station.reader._ask("SELECT sample FROM cleaned")) == 210
    assert site.pipeline.fatal is None


def test_a_repetition_while_the_disk_is_full_is_one_row(site: Site) -> None:
    node = site.register()
    site.fill_disk()
    for _ in range(3):
        site.hear(*many(node, 0, 150))
        site.run(2)
    site.make_room()
    site.run(60)
    assert site.records() == list(range(150))


def test_memory_is_bounded_while_the_disk_is_full(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline, "MAX_PENDING", 500)
    node = site.register()
    site.fill_disk()
    for first in range(0, 1000, 100):
        site.hear(*many(node, first, 100))
        site.run(1)
    assert "50 frames could not be kept; their nodes will send them again" in caplog.text
    assert len(site.pipeline._pending) <= 500
    site.make_room()
    site.run(70)
    kept = site.records()
    assert 450 <= len(kept) <= 500
    assert kept == list(range(1000 - len(kept), 1000))  # the oldest gave way
    site.hear(node.frame(1000, ack_from=0))
    site.run()
    assert site.records()[-1] == 1000
    (session,) = site.station.reader.sessions()
    assert session.fcnt_up == 1001


def test_a_fault_that_does_not_mend_stops_the_station(site: Site) -> None:
    node = site.register()
    site.hear(node.frame(0))
    site.run()
    site.station.journal._connection.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON sample BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    site.hear(node.frame(1, ack_from=0))
    site.run()
    fatal = site.pipeline.fatal
    assert isinstance(fatal, JournalError)
    assert not fatal.transient
    assert "refused" in str(fatal)
    assert (site.records(), site.told()) == ([0], 0)
    assert site.station.reader.sessions()[0].fcnt_up == 1  # counter and reading: neither or both


def test_stopping_commits_what_was_received(site: Site) -> None:
    node = site.register()
    site.hear(*many(node, 0, 20))
    site.run(0.1)  # still being collected
    assert site.records() == []
    site.pipeline.stop()
    assert not site.pipeline.idle
    site.run(0.001)
    assert site.records() == list(range(20))
    assert vars(site.pipeline)["_pending"] == []
    counted = site.station.reader.counters()
    assert (counted["received"], counted["accepted"]) == (20, 20)


def test_cleaning_that_fails_is_made_up_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    node = site.register()
    site.hear(node.frame(0))
    site.run()
    derive = site.station.journal.derive

    def busy(_derived: Any) -> Any:
        raise JournalError("database is locked")

    monkeypatch.setattr(site.station.journal, "derive", busy)
    site.hear(node.frame(1))
    site.run()
    monkeypatch.setattr(site.station.journal, "derive", derive)
    site.hear(node.frame(2))
    site.run(70)
    assert site.records() == [0, 1, 2]
    assert len(site.station.reader._ask("SELECT sample FROM cleaned")) == 3
    assert site.pipeline.fatal is None


def test_an_acknowledgement_that_cannot_be_looked_up_keeps_its_frame_whole(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is committed already would be counted twice and never cleaned."""
    node = site.register()
    site.hear(node.frame(0))
    site.run()

    def refuse(*_arguments: Any) -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(Journal, "_acknowledge", refuse)
        site.hear(node.frame(1, ack_from=0))
        site.run(0.3)
    site.run(5)
    assert (site.records(), site.told()) == ([0, 1], 1)
    assert site.station.reader.counters()["received"] == site.station.reader.counters()["accepted"] == 2
    assert len(site.station.reader._ask("SELECT sample FROM cleaned")) == 2


def test_a_start_that_fails_is_made_up_for(make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is full, or a command holds it, when the station starts."""
    held = True
    add_sink, newest_records = Journal.add_sink, Reader.newest_records

    def place(journal: Journal, name: str) -> tuple[int, int]:
        if held and name == "windows":
            raise JournalError("database is locked")
        return add_sink(journal, name)

    def newest(reader: Reader) -> dict[int, int]:
        if held:
            raise JournalError("database is locked")
        return newest_records(reader)

    site = make_site()
    node = site.register()
    site.hear(node.frame(0))
    site.run()
    monkeypatch.setattr(Journal, "add_sink", place)
    monkeypatch.setattr(Reader, "newest_records", newest)
    site.pipeline.stop()
    site.run()
    for table in ("cleaned", "sink", "filter_state"):  # as if it had been killed before
        site.station.journal._connection.execute(f"DELETE FROM {table}")
    site.station.journal._connection.execute("DELETE FROM meta WHERE key = 'cleaned_up_to'")
    site.close()
    site.start()
    site.run()
    held = False
    site.run(35)
    assert len(site.station.reader._ask("SELECT sample FROM cleaned")) == 1
    assert site.station.reader._ask("SELECT name FROM sink") == [("windows",)]
    assert site.pipeline.fatal is None


def test_dating_that_fails_is_made_up_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    node = site.register()
    site.scheduler.steer(0, False)
    site.hear(node.frame(0))
    site.run()
    assert site.records() == []
    date = site.station.journal.date

    def busy(_offset_us: int) -> Any:
        raise JournalError("database is locked")

    monkeypatch.setattr(site.station.journal, "date", busy)
    site.scheduler.steer(START_US, True)
    site.pipeline.date_undated()
    site.run()
    monkeypatch.setattr(site.station.journal, "date", date)
    site.run(70)
    assert site.records() == [0]
    assert len(site.station.reader._ask("SELECT sample FROM cleaned")) == 1


def test_a_damaged_key_file_does_not_silence_the_nodes_that_are_known(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    node = site.register()
    path = site.config.station.data_dir / "keys.json"
    kept = path.read_text()
    path.write_text("{")
    site.station.journal._connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'registry_version'")
    site.run(3)
    assert "keys.json: damaged" in caplog.text
    site.hear(node.frame(0))
    site.run(3)
    assert site.records() == [0]
    path.write_text(kept)
    other = site.register(2)
    site.hear(other.frame(5))
    site.run()
    assert site.records() == [0, 5]


def test_forwarding_goes_on_at_once_after_an_outage(make_site: Callable[..., Site]) -> None:
    site = make_site(influx={"url": "http://127.0.0.1:9", "api": "v1", "database": "pasture"})
    told: list[str] = []
    answer = Answer(Verdict.DOWN, "not there")

    class Database:
        """Takes lines while it is up."""

        def write(self, _place: str, lines: Any) -> Answer:
            if answer.verdict is Verdict.DONE:
                told.extend(lines)
            return answer

        def close(self) -> None:
            """Nothing is held."""

    site.pipeline.sinks.forwarders["influx"]._writer = Database()
    node = site.register()
    for fcnt in range(10):
        site.hear(node.frame(fcnt))
        site.run(10)
    assert BACKLOG._value.get() >= 10
    answer = Answer(Verdict.DONE)
    waited = 0
    while not told:
        site.run(1)
        waited += 1
    assert waited <= 91  # the longest back-off
    site.run(1)
    records = {int(line.partition("record=")[2].partition("i")[0]) for line in told if line.startswith("soil")}
    assert records == set(range(10))
    site.run(2)
    assert BACKLOG._value.get() == 0


def test_durations_are_counted_into_their_buckets() -> None:
    edges = (0.1, 0.2, 0.5)
    made = Durations("suat_test_seconds", "For this test", edges)
    try:
        made.observe([0.05, 0.1, 0.100001, 0.4, 7.0])
        made.observe([])
        found = {(s.name, s.labels.get("le")): s.value for metric in made.collect() for s in metric.samples}
    finally:
        REGISTRY.unregister(made)
    assert [found["suat_test_seconds_bucket", edge] for edge in ("0.1", "0.2", "0.5", "+Inf")] == [2, 3, 4, 5]
    assert found["suat_test_seconds_count", None] == 5
    assert found["suat_test_seconds_sum", None] == pytest.approx(7.650001)
