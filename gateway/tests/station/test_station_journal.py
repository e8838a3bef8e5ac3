"""The running station and its journal: damage is survived, and what must go goes, with a word about it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from suat.clock import VirtualScheduler
from suat.config import parse
from suat.station import Station
from suat.store.condition import condition
from suat.store.database import damage_note
from suat.store.journal import Journal
from suat.store.retention import count_dropped
from suat.store.tables import JournalTable
from suat_sim.kept import START_US

FRAMES = 40


def damage_a_page_of_samples(station: Any) -> int:
    """Overwrite one, as a dying card does; how many samples lay on it."""
    connection = sqlite3.connect(station.journal_path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    page, cells = connection.execute(
        "SELECT pageno, ncell FROM dbstat WHERE name = 'sample' AND pagetype = 'leaf' LIMIT 1"
    ).fetchone()
    connection.close()
    with station.journal_path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x55" * 4096)
    return int(cells)


def test_a_station_whose_journal_is_damaged_runs_on_with_what_can_be_read(station: Any, concentrator: Any) -> None:
    nodes = station.register(10)
    station.start()
    for fcnt in range(FRAMES):
        for node in nodes:
            concentrator.push(node.frame(fcnt))
    station.wait_for(lambda: len(station.records()) == FRAMES * len(nodes))
    station.stop()
    before = set(station.records())
    lost = damage_a_page_of_samples(station)
    assert 0 < lost < 100

    began = time.monotonic()
    station.start()
    took = time.monotonic() - began
    (aside,) = station.journal_path.parent.glob("journal.damaged-*.db")
    assert f"set aside as {aside.name}" in station.log()
    station.wait_for(lambda: station.query("SELECT count(*) FROM salvage WHERE done_us IS NOT NULL") == [(1,)])
    kept = set(station.records())
    assert kept < before and len(before) - len(kept) == lost
    print(f"it ran after {took:.1f} s; {lost} of {len(before)} samples were on the damaged page")

    for node in nodes:
        concentrator.push(node.frame(FRAMES))
    station.wait_for(lambda: len(station.records()) == len(kept) + len(nodes))  # the counters stand where they stood
    assert f"set aside as {aside.name}" in station.suat("doctor")
    station.wait_for(
        lambda: station.query("SELECT count(*) FROM sample") == station.query("SELECT count(*) FROM cleaned")
    )
    station.stop()


def test_the_table_of_the_journal_reaches_it(tmp_path: Path) -> None:
    table = {"name": "Asy", "data_dir": str(tmp_path)}
    limits = {"keep_days": 90, "max_mb": 900, "free_mb": 50, "commit_s": 0.4}
    station = Station(VirtualScheduler(START_US), parse({"station": table, "journal": limits}))
    assert station.pipeline.pace.commit == 0.4
    assert station.pipeline.retention._table == JournalTable(**limits)
    station.close()


def test_hours_of_running_are_marked(tmp_path: Path) -> None:
    scheduler = VirtualScheduler(START_US)
    station = Station(scheduler, parse({"station": {"name": "Asy", "data_dir": str(tmp_path)}}), durable=False)
    station.pipeline.start()
    scheduler.run_until(5.5 * 3600)
    assert len(station.reader._ask("SELECT id FROM mark")) == 5
    station.pipeline.stop()
    scheduler.run_until(6 * 3600)
    station.close()


def test_the_doctor_tells_what_was_dropped(tmp_path: Path) -> None:
    day = 86_400_000_000
    with Journal(tmp_path / "journal.db") as journal, journal.reader() as reader:
        assert list(condition(reader, START_US)) == []
        with journal.transaction() as connection:
            count_dropped(connection, "sample", "age", [START_US - 1100 * day, START_US - 1099 * day], START_US)
            count_dropped(connection, "sample", "age", [START_US - 1098 * day], START_US + day)
            count_dropped(connection, "sample", "untold", [START_US - 40 * day], START_US)
            count_dropped(connection, "status", "thinned", [5], START_US - 60 * day)  # long ago
        good, bad = condition(reader, START_US + day)
        assert good[:2] == ("good", "3 rows (sample) of 2023-05-28 to 2023-05-30 were dropped within 30 days (age)")
        assert bad[0] == "bad" and "1 rows (sample) of 2026-04-22 to 2026-04-22" in bad[1] and "max_mb" in bad[2]
        damage_note(reader.path).touch()
        assert next(condition(reader, START_US))[0] == "bad"
