"""The running station and its journal: damage is survived, and what must go goes, with a word about it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from suat.clock import VirtualScheduler
from suat.config import parse
from suat.station import Station
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
