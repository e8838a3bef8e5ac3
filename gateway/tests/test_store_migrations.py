"""The journal's schema brought up to date: each script whole or not at all, whichever of its statements fails."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path

import pytest
from suat.records import Admitted, Batch, SessionUpdate
from suat.store import database
from suat.store.database import JournalError, open_writer
from suat.store.journal import Journal
from suat_sim.kept import START_US, device, soil_rows

SCRIPTS = database._migrations()
BROKEN = "CREATE TABLE broken (a, a);"


def dump(path: Path) -> list[str]:
    """Everything in the file as SQL, with its version."""
    connection = sqlite3.connect(path)
    try:
        return [*connection.iterdump(), str(connection.execute("PRAGMA user_version").fetchone())]
    finally:
        connection.close()


def at_version(path: Path, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal as a program of that version left it, with a row in each table of the first script that has one."""
    with monkeypatch.context() as patch:
        patch.setattr(database, "_migrations", lambda: SCRIPTS[:version])
        connection = open_writer(path, durable=False)
    if version:
        connection.executescript(
            """
            INSERT INTO device (name, kind, dev_eui, probes, added_us)
                VALUES ('a', 'soil', '0123456789abcdef', '[]', 1);
            INSERT INTO assignment VALUES (1, 0, 'p', NULL);
            INSERT INTO session VALUES (1, 0, 7, zeroblob(16), zeroblob(16), 5, 6);
            INSERT INTO sample (registration, record, time_us, received_us, fcnt, rssi, snr, body)
                VALUES (1, 1, 2, 3, 4, -80.5, 5.0, x'00'), (1, 2, 3, 4, 5, NULL, NULL, x'01');
            INSERT INTO cleaned VALUES (1, x'02');
            INSERT INTO window (registration, width_s, start_us, body) VALUES (1, 900, 0, x'03');
            INSERT INTO status (at_us, kind, subject, status, body) VALUES (1, 'paddock', 'p', 'rest', '{}');
            INSERT INTO alert (at_us, subject, kind, level, body) VALUES (1, 's', 'low', 'warning', '{}');
            INSERT INTO move (herd, paddock, at_us) VALUES ('h', 'p', 1);
            INSERT INTO counter VALUES ('accepted', 5);
            INSERT INTO outbox (kind, first, last) VALUES ('sample', 1, 2);
            INSERT INTO sink VALUES ('influx', 1, 0);
            INSERT INTO dead_letter (sink, at_us, line, reason) VALUES ('influx', 1, 'l', 'r');
            """
        )
    connection.close()


@pytest.mark.parametrize("version", range(len(SCRIPTS)))
def test_a_script_that_fails_at_any_statement_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    path = tmp_path / "journal.db"
    at_version(path, version, monkeypatch)
    before = dump(path)
    script = database.statements(SCRIPTS[version])
    for failing in range(len(script) + 1):  # before the first statement .. behind the last
        broken = "\n".join([*script[:failing], BROKEN, *script[failing:]])
        with monkeypatch.context() as patch:
            patch.setattr(database, "_migrations", lambda broken=broken: [*SCRIPTS[:version], broken])
            with pytest.raises(JournalError, match="duplicate column"):
                open_writer(path)
        assert dump(path) == before, f"statement {failing}"
    open_writer(path).close()  # and then it succeeds
    after = dump(path)
    assert after[-1] == f"({len(SCRIPTS)},)"
    kept = {line for line in before if line.startswith("INSERT") and "sqlite_sequence" not in line}
    tables = {line.split('"')[1] for line in kept}
    for table in tables:
        assert sum(f'INSERT INTO "{table}"' in line for line in kept) <= sum(
            f'INSERT INTO "{table}"' in line for line in after
        )


@pytest.mark.parametrize("version", range(len(SCRIPTS)))
def test_a_full_disk_during_a_script_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    path = tmp_path / "journal.db"
    at_version(path, version, monkeypatch)
    before = dump(path)
    connection = sqlite3.connect(path, isolation_level=None)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    room, failed = 0, 0
    while True:
        connection.execute(f"PRAGMA max_page_count = {pages + room}")  # SQLite's own "disk is full"
        try:
            database.migrate(connection, path)
            break
        except sqlite3.OperationalError as error:
            assert "full" in str(error) and not connection.in_transaction
            if connection.execute("PRAGMA user_version").fetchone() == (version,):
                assert dump(path) == before
        failed += 1
        room += 1
    connection.close()
    print(f"it failed with {failed} too small disks")
    assert failed or version + 1 == len(SCRIPTS)  # the last script may have no table of its own
    assert dump(path)[-1] == f"({len(SCRIPTS)},)"


def test_a_table_and_a_trigger_are_one_statement_each() -> None:
    script = """
        -- a comment; with a semicolon
        CREATE TABLE a (b TEXT DEFAULT 'x;y'); -- and one behind
        CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET b = 1; DELETE FROM a; END;
        INSERT INTO a VALUES ('--');
    """
    found = database.statements(script)
    assert len(found) == 3
    connection = sqlite3.connect(":memory:")
    for statement in found:
        connection.execute(statement)
    connection.close()


def test_two_processes_at_once_do_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.db"
    at_version(path, 1, monkeypatch)
    first, second = (sqlite3.connect(path, isolation_level=None) for _ in range(2))
    database.migrate(first, path)
    database.migrate(second, path)
    first.close()
    second.close()
    assert dump(path)[-1] == f"({len(SCRIPTS)},)"


@pytest.mark.slow
def test_a_large_journal_is_brought_up_to_date_soon_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It happens before anything is received; what takes long must be said."""
    path = tmp_path / "journal.db"
    with Journal(path, durable=False) as journal:
        journal._connection.execute("PRAGMA wal_autocheckpoint = 100000")
        node = journal.add_device(device(1), SessionUpdate(0, 0, 0, False, 1, bytes(16), bytes(16)))
        rows = soil_rows(5000, every_min=1)
        for part in range(60):
            moved = tuple(
                type(row)(row.record + 5000 * part, row.time_us + part * 5000 * 60_000_000, row.body) for row in rows
            )
            journal.commit(Batch((Admitted(node, None, START_US, part, -80.0, 5.0, moved, None),)))
    old = tmp_path / "old.db"
    at_version(old, 1, monkeypatch)
    connection = sqlite3.connect(old, isolation_level=None)
    connection.execute("ATTACH ? AS big", (str(path),))
    connection.execute(
        "INSERT INTO main.sample SELECT * FROM big.sample WHERE registration = 1 AND id > 2 AND record > 2"
    )
    connection.close()
    with caplog.at_level(logging.WARNING):
        began = time.process_time()
        open_writer(old).close()
        took = time.process_time() - began
    megabytes = old.stat().st_size / 1e6
    print(f"{megabytes:.0f} MB, 300,000 samples: {took:.2f} s")
    assert megabytes > 20 and took < 20.0
    assert "the station starts when that is done" in caplog.text
