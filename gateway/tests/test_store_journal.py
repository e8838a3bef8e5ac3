"""The journal: one transaction a batch, a row once, answers from the table, and a file that nobody else reads."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from suat.records import Admitted, Batch, Row, SessionUpdate
from suat.store import database
from suat.store.calibration import add_curve, curves
from suat.store.journal import Journal, JournalError, Reader
from suat.store.packed import Cleaned, Summary, pack_cleaned, pack_window, unpack_cleaned, unpack_window
from suat.store.rows import Alert, Curve, Derived, FilterState, Move, ProbeCurve, Status, WindowRow
from suat_sim.kept import START_US, device
from suat_wire.control import ack_of
from suat_wire.payload import pack

BODY = pack({("probe1", "vwc"): 0.25, ("node", "battery"): 3.6, ("probe1", "fault"): 3})
KEYS: dict[str, Any] = {"nwk_skey": bytes(range(16)), "app_skey": bytes(range(16, 32))}


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "data" / "journal.db") as made:
        yield made


def frame(node: int, records: list[int], *, fcnt: int = 1, down: int = 0, ack_from: int | None = None) -> Admitted:
    rows = tuple(Row(record, START_US + record * 1_000_000, BODY) for record in records)
    return Admitted(node, SessionUpdate(node, fcnt + 1, down), START_US, fcnt, -80.0, 5.0, rows, ack_from)


def add(journal: Journal, number: int = 1, *, session: bool = True) -> int:
    update = SessionUpdate(0, 0, 0, dev_addr=0x01020304, **KEYS) if session else None
    return journal.add_device(device(number), update)


# Commit


def test_a_batch_is_there_whole(journal: Journal) -> None:
    node = add(journal)
    committed = journal.commit(
        Batch((frame(node, [3, 2, 7], fcnt=9, down=4),), counters={"received": 5, "accepted": 1})
    )
    journal.commit(Batch(counters={"received": 2}))
    with journal.reader() as reader:
        assert [sample.record for sample in committed.samples] == [3, 2, 7]
        assert [(row.record, row.time_us, row.body) for row in reader.samples(node)] == [
            (record, START_US + record * 1_000_000, BODY) for record in (2, 3, 7)
        ]
        session = reader.sessions()[0]
        assert (session.fcnt_up, session.fcnt_down) == (10, 4)
        assert reader.counters() == {"received": 7, "accepted": 1}
        assert reader.devices()[0].newest_record == 7 and reader.newest_records() == {node: 7}
        seen = reader.last_seen(node)
        assert seen is not None and (seen.record, seen.received_us, seen.rssi, seen.snr) == (7, START_US, -80.0, 5.0)


def test_a_record_is_kept_once_and_its_first_time_stays(journal: Journal) -> None:
    node, other = add(journal), add(journal, 2)
    first = journal.commit(Batch((frame(node, [1, 2]),)))
    late = replace(frame(node, []), rows=(Row(2, 5, BODY), Row(3, 6, BODY), Row(3, 7, BODY)))
    second = journal.commit(Batch((late, frame(other, [2]))))
    assert [(kept.registration, kept.record) for kept in second.samples] == [(node, 3), (other, 2)]
    assert {kept.id for kept in first.samples}.isdisjoint(kept.id for kept in second.samples)
    with journal.reader() as reader:
        assert [(row.record, row.time_us) for row in reader.samples(node)] == [
            (3, 6),
            (1, START_US + 1_000_000),
            (2, START_US + 2_000_000),
        ]


def test_a_commit_that_fails_leaves_nothing_behind_and_can_be_repeated(journal: Journal) -> None:
    node = add(journal)
    batch = Batch((frame(node, list(range(2000))),), counters={"accepted": 1})
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages + 2}")  # SQLite's own "disk is full"
    with pytest.raises(JournalError, match=r"full.*free some space") as failed:
        journal.commit(batch)
    assert failed.value.transient
    with journal.reader() as reader:
        assert not list(reader.samples()) and not reader.counters() and reader.sessions()[0].fcnt_up == 0
    journal._connection.execute("PRAGMA max_page_count = 1000000")
    assert len(journal.commit(batch).samples) == 2000


def test_a_locked_file_is_waited_for(journal: Journal) -> None:
    node = add(journal)
    other = sqlite3.connect(journal.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.4, other.execute, ("COMMIT",))
    release.start()
    began = time.monotonic()
    assert len(journal.commit(Batch((frame(node, [1]),))).samples) == 1
    assert time.monotonic() - began > 0.3
    release.join()
    other.close()


def test_a_file_that_stays_locked_is_an_error_and_stays_where_it_is(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal._connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(journal.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="another process holds it") as failed:
        journal.commit(Batch((), counters={"received": 1}))
    assert failed.value.transient
    other.execute("COMMIT")
    other.close()
    assert sorted(path.name for path in journal.path.parent.iterdir()) == [
        "journal.db",
        "journal.db-shm",
        "journal.db-wal",
    ]
    journal.commit(Batch((), counters={"received": 1}))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 150), max_size=80), st.integers(0, 120))
def test_acknowledgements_agree_with_the_link(
    tmp_path_factory: pytest.TempPathFactory, held: list[int], ask: int
) -> None:
    with Journal(tmp_path_factory.mktemp("ack") / "journal.db", durable=False) as journal:
        node, other = add(journal), add(journal, 2)
        journal.commit(Batch((frame(node, held), frame(other, list(range(150))))))
        answer = journal.commit(Batch((frame(other, []), frame(node, [], ack_from=ask)))).acknowledgements
    cumulative, bitmap = ack_of(ask, held)
    assert list(answer) == [1]
    assert (answer[1].registration, answer[1].cumulative) == (node, cumulative)
    assert answer[1].bitmap == bitmap.rstrip(b"\0")


def test_an_acknowledgement_counts_what_the_same_batch_brought(journal: Journal) -> None:
    node = add(journal)
    answer = journal.commit(Batch((frame(node, [10, 12], ack_from=10), frame(node, [11])))).acknowledgements
    assert (answer[0].cumulative, answer[0].bitmap) == (12, b"")


# The link's state


def test_counters_never_go_back(journal: Journal) -> None:
    node = add(journal)
    journal.commit(Batch((frame(node, [], fcnt=9, down=3), frame(node, [], fcnt=4, down=1))))
    journal.commit(Batch((), (SessionUpdate(node, 2, 7),)))
    with journal.reader() as reader:
        assert [(s.fcnt_up, s.fcnt_down) for s in reader.sessions()] == [(10, 7)]


def test_a_join_keeps_the_old_session_until_the_new_one_is_used(journal: Journal) -> None:
    node = add(journal)
    joined = SessionUpdate(node, 0, 0, True, 0x0A, b"n" * 16, b"a" * 16, dev_nonce=5, join_nonce=1)
    journal.commit(Batch((frame(node, [1], fcnt=40),), (joined,)))
    with journal.reader() as reader:
        assert [(s.pending, s.dev_addr, s.fcnt_up) for s in reader.sessions()] == [
            (False, 0x01020304, 41),
            (True, 0x0A, 0),
        ]
        assert reader.nonces() == {node: (5, 1)}
        used = SessionUpdate(node, 1, 0, False, 0x0A, b"n" * 16, b"a" * 16)
        journal.commit(Batch((replace(frame(node, [2]), session=used),)))
        assert [(s.pending, s.dev_addr, s.fcnt_up, s.nwk_skey) for s in reader.sessions()] == [
            (False, 0x0A, 1, b"n" * 16)
        ]


def test_a_pending_session_is_taken_up_by_its_address_alone(journal: Journal) -> None:
    node = add(journal, session=False)
    journal.commit(Batch((), (SessionUpdate(node, 0, 0, True, 0x0A, b"n" * 16, b"a" * 16, 5, 1),)))
    journal.commit(Batch((replace(frame(node, [2]), session=SessionUpdate(node, 3, 0, False, 0x0A)),)))
    with journal.reader() as reader:
        assert [(s.pending, s.dev_addr, s.fcnt_up, s.app_skey) for s in reader.sessions()] == [
            (False, 0x0A, 3, b"a" * 16)
        ]


def test_nonces_never_go_back(journal: Journal) -> None:
    node = add(journal, session=False)
    for dev_nonce, join_nonce in ((9, 4), (3, 2)):
        journal.commit(Batch((), (SessionUpdate(node, 0, 0, True, 1, b"n" * 16, b"a" * 16, dev_nonce, join_nonce),)))
    with journal.reader() as reader:
        assert reader.nonces() == {node: (9, 4)}


def test_the_registry_of_another_process_is_noticed(journal: Journal) -> None:
    with journal.reader() as reader, Journal(journal.path) as command:
        before = reader.registry_version()
        node = add(command)
        assert reader.registry_version() > before
        before = reader.registry_version()
        journal.commit(Batch((frame(node, [1]),)))
        assert reader.registry_version() == before  # readings are no change
        command.revoke_device(node, 99)
        assert reader.registry_version() > before
        assert not reader.sessions() and reader.devices()[0].revoked_us == 99 and not reader.devices(revoked=False)
        assert list(reader.samples(node))


@pytest.mark.parametrize("change", [{"name": "other"}, {"dev_eui": "AB" * 8}])
def test_two_nodes_in_use_never_share_a_name_or_eui(journal: Journal, change: dict[str, Any]) -> None:
    first = journal.add_device(device(1))
    with pytest.raises(JournalError, match='belongs to the node "soil-1"') as failed:
        journal.add_device(replace(device(1), **change))
    assert not failed.value.transient
    journal.revoke_device(first, 5)
    assert journal.add_device(replace(device(1), **change)) != first


def test_a_node_is_given_back_as_it_was_registered(journal: Journal) -> None:
    given_in = replace(device(1, probes=3), join_eui="00" * 8)
    node = journal.add_device(given_in)
    journal.assign(node, START_US, None, "w9")
    with journal.reader() as reader:
        assert reader.devices() == [replace(given_in, registration=node, paddock=None, water_point="w9")]
        assert reader.assignments()[node] == [(0, "p1", None), (START_US, None, "w9")]


# Derived rows and what the sinks are told


def test_derived_rows_are_told_once_and_only_when_they_change(journal: Journal) -> None:
    node = add(journal)
    journal.commit(Batch((frame(node, list(range(10))),)))
    body = pack_cleaned([(0, 0, 0.25)])
    window = WindowRow(node, 900, START_US, pack_window([Summary(0, 1, 1.0, 1.0, 1.0, 1.0, 1.0)]))
    status = Status(7, "paddock", "p1", "graze", {"score": 80})
    told = journal.derive(Derived([(n, body) for n in (1, 2, 3, 7, 8)], windows=[window], statuses=[status]))
    again = journal.derive(Derived(windows=[window], statuses=[status]))
    assert told == (1, 4) and again == (5, 4)
    with journal.reader() as reader:
        assert [(e.kind, e.first, e.last) for e in reader.outbox(0, 10)] == [
            ("sample", 1, 3),
            ("sample", 7, 8),
            ("window", 1, 1),
            ("status", 1, 1),
        ]
        journal.derive(Derived(windows=[window._replace(body=pack_window([]))]))
        assert [(e.kind, e.first) for e in reader.outbox(4, 10)] == [("window", 1)]  # the row keeps its id


def test_a_refiltered_node_is_told_as_one_range_of_its_own(journal: Journal) -> None:
    node, other = add(journal), add(journal, 2)
    for record in range(40):
        journal.commit(Batch((frame(node, [record]), frame(other, [record]))))
    ids = list(range(1, 81, 2))
    journal.derive(Derived([(n, pack_cleaned([(0, 0, 0.25)])) for n in ids], of=(node, 0, 39)))
    with journal.reader() as reader:
        (entry,) = reader.outbox(0, 10)
        assert (entry.registration, entry.first, entry.last) == (node, 0, 39)
        assert [row.id for _, row in reader.samples_of(entry, 0, 1000)] == ids
        assert [(place, row.record) for place, row in reader.samples_of(entry, 11, 3)] == [(12, 11), (13, 12), (14, 13)]


def test_what_every_sink_was_told_is_forgotten(journal: Journal) -> None:
    journal.add_sink("a")
    journal.add_sink("b")
    for at in range(5):
        journal.derive(Derived(statuses=[Status(at, "paddock", "p", "graze", {})]))
    journal.advance("a", 4)
    with journal.reader() as reader:
        assert len(reader.outbox(0, 10)) == 5
        journal.advance("b", 2)
        assert [entry.seq for entry in reader.outbox(0, 10)] == [3, 4, 5]
        assert reader.outbox_backlog(4) == 1
        assert reader.sink_position("a") == (4, 0) and reader.sink_position("c") is None
        assert journal.add_sink("c") == (5, 0)
        (again,) = reader.outbox(5, 10)  # a new sink is told all that is kept
        assert (again.kind, again.first, again.last, again.sink) == ("status", 1, 5, "c")
        journal.keep_sinks({"a", "c"})
        assert [entry.seq for entry in reader.outbox(0, 10)] == [5, 6]  # now only `a` holds them


def test_people_and_decisions(journal: Journal) -> None:
    journal.add_move(Move("otar", "p1", 10))
    journal.add_move(Move("otar", "p2", 20))
    journal.add_move(Move("otar", "p3", 20))
    node = add(journal)
    add_curve(journal, Curve(node, "probe1", ProbeCurve((0.1, 0.5)), 0.02, 7))
    add_curve(journal, Curve(node, "probe1", ProbeCurve((0.0, 0.6, 0.1)), None, 8))
    raised = Alert(5, "spring", "low", "warning", {"text": "су"})
    journal.derive(Derived(alerts=[raised, raised._replace(kind="leak")]))
    journal.derive(Derived(alerts=[raised._replace(cleared_us=9)]))
    for at in (1, 2):
        journal.derive(Derived(statuses=[Status(at, "paddock", "p1", "rest", {"n": at})]))
    with journal.reader() as reader:
        assert reader.moves() == [("otar", "p1", 10), ("otar", "p3", 20)]
        assert reader.moves(19) == [("otar", "p1", 10)]
        assert reader.read(curves) == {(node, "probe1"): Curve(node, "probe1", ProbeCurve((0.0, 0.6, 0.1)), None, 8)}
        assert [alert.kind for alert in reader.alerts()] == ["low", "leak"]
        assert reader.alerts(open_only=True) == [raised._replace(kind="leak")]
        assert reader.last_statuses("paddock") == {"p1": Status(2, "paddock", "p1", "rest", {"n": 2})}
        assert [status.at_us for status in reader.statuses("paddock", "p1", 0, 2)] == [1]


def test_readings_show_raw_and_cleaned_side_by_side(journal: Journal) -> None:
    node = add(journal)
    journal.commit(Batch((frame(node, [1]),)))
    with journal.reader() as reader:
        plain = [(r.group, r.channel, r.unit, r.value, r.raw, r.flags) for r in reader.readings(node)]
        assert plain == [
            ("probe1", "moisture", "m3/m3", None, 0.25, 0),
            ("probe1", "fault", "code", 3.0, 3, 0),
            ("node", "battery", "V", None, 3.6, 0),
        ]
        journal.derive(Derived([(1, pack_cleaned([(0, 8, 0.2), (80, 1, float("nan"))]))]))
        cleaned = [(r.channel, r.value, r.flags) for r in reader.latest(node)]
        assert cleaned == [("moisture", 0.2, 8), ("fault", 3.0, 0), ("battery", None, 1)]


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 65535), st.floats()), max_size=20))
def test_cleaned_values_survive_their_form(entries: list[tuple[int, int, float]]) -> None:
    found = unpack_cleaned(pack_cleaned(entries))
    assert [(e.code, e.flags, repr(e.value)) for e in found] == [
        (code, flags, repr(value).lstrip("-") if value != value else repr(value)) for code, flags, value in entries
    ]
    summaries = [Summary(entry.code, entry.flags, *[entry.value] * 5) for entry in found if entry.value == entry.value]
    assert unpack_window(pack_window(summaries)) == summaries
    assert all(isinstance(entry, Cleaned) for entry in found)


# The file


def test_nobody_else_reads_the_file_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Journal(tmp_path / "data" / "journal.db") as journal:
            add(journal)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in journal.path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_commit_is_on_the_disk_when_it_returns(journal: Journal) -> None:
    assert journal._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_readers_cannot_write_and_are_not_held_up(journal: Journal) -> None:
    node = add(journal)
    with journal.reader() as reader:
        with pytest.raises(JournalError):
            reader._ask("DELETE FROM device")
        with reader.snapshot():
            assert not list(reader.samples(node))
            journal.commit(Batch((frame(node, [1]),)))
            assert not list(reader.samples(node))  # one instant
        assert len(list(reader.samples(node))) == 1
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(len(list(reader.samples(node)))))
        thread.start()
        thread.join()
        assert found == [1]


def test_dead_letters_are_bounded_and_the_newest_stay(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suat.store.journal.LETTERS", 3)
    for number in range(5):
        journal.dead_letter("influx", number, [(f"line {number}", "bad")])
    with journal.reader() as reader:
        assert [letter[3] for letter in reader.dead_letters()] == ["line 2", "line 3", "line 4"]


def test_connections_of_threads_that_ended_are_closed(journal: Journal) -> None:
    with journal.reader() as reader:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            reading = threading.Thread(target=reader.registry_version)
            reading.start()
            reading.join()
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 4


def test_all_nodes_are_walked_by_time_without_sorting_them_first(journal: Journal) -> None:
    nodes = add(journal), add(journal, 2)
    journal.commit(Batch((frame(nodes[1], [5, 1, 3]), frame(nodes[0], [4, 3, 2]))))
    with journal.reader() as reader:
        found = [(row.time_us - START_US, row.record, row.registration) for row in reader.samples()]
        assert found == sorted(found) and len(found) == 6
        assert [row.record for row in reader.samples(None, START_US + 4_000_000)] == [4, 5]


def test_uncleaned_samples_are_found_wherever_they_lie(journal: Journal) -> None:
    node, other = add(journal), add(journal, 2)
    kept = journal.commit(Batch((frame(node, [1, 2, 3, 4]), frame(other, [1])))).samples

    def clean(*places: int) -> None:
        states = [FilterState(node, START_US + places[0], 1, b"")]  # as at the turn of a day
        journal.derive(Derived(cleaned=[(kept[place].id, b"") for place in places], states=states))

    with journal.reader() as reader:
        clean(0, 2)
        assert reader.uncleaned() == {node: START_US + 2_000_000, other: START_US + 1_000_000}
        clean(1, 3)
        assert reader.uncleaned() == {other: START_US + 1_000_000}
        clean(4)
        assert reader.uncleaned() == {}
        journal.commit(Batch((frame(other, [7]),)))
        assert reader.uncleaned() == {other: START_US + 7_000_000}


def test_a_missing_or_strange_file_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no journal yet"):
        database.open_reader(tmp_path / "journal.db")
    (tmp_path / "journal.db").write_bytes(b"not a database, by far" * 100)
    with pytest.raises(JournalError, match="not a database") as failed:
        Journal(tmp_path / "journal.db")
    assert not failed.value.transient
    assert (tmp_path / "journal.db").read_bytes().startswith(b"not a database")


def test_a_journal_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        journal._connection.execute("PRAGMA user_version = 999")
    for attempt in (Journal, database.open_reader):
        with pytest.raises(JournalError, match=r"newer version.*update this program"):
            attempt(tmp_path / "journal.db")


@pytest.mark.parametrize(
    ("statement", "ask"),
    [
        ("UPDATE device SET probes = '[{\"name'", lambda reader: reader.devices()),
        ("DELETE FROM meta", lambda reader: reader.registry_version()),
    ],
)
def test_a_row_whose_bits_have_flipped_is_an_error_that_says_where(
    journal: Journal, statement: str, ask: Callable[[Reader], object]
) -> None:
    """SQLite has no checksum over its rows: it gives back what the card gave it."""
    journal.commit(Batch((frame(add(journal), [1]),)))
    other = sqlite3.connect(journal.path, isolation_level=None)
    other.execute(statement)
    other.close()
    with journal.reader() as reader, pytest.raises(JournalError, match=r"journal\.db: a row can't be read") as caught:
        ask(reader)
    assert not caught.value.transient
