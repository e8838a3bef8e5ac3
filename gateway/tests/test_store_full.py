"""A full disk at each write: what is asked happens whole or not at all, says why, and succeeds once there is room.

The disk is a real small one (tmpfs); ballast leaves it so many free pages at each step.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from suat.records import Admitted, Batch, SessionUpdate
from suat.store.calibration import add_curve
from suat.store.database import JournalError
from suat.store.journal import Journal
from suat.store.packed import Summary, pack_cleaned, pack_window
from suat.store.retention import MARK_S, Retention
from suat.store.rows import Alert, Curve, Derived, FilterState, Move, ProbeCurve, Status, WindowRow
from suat.store.salvage import mend
from suat.store.tables import JournalTable
from suat_sim.kept import START_US, device, soil_rows

PAGE = 4096
Step = Callable[[Journal], object]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting a small disk needs root: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, free_pages: int) -> Path:
    """Ballast that leaves so many pages."""
    ballast = disk / "ballast"
    room = os.statvfs(disk)
    size = max(0, room.f_bavail * room.f_frsize - free_pages * PAGE)
    with ballast.open("wb") as file:
        file.write(bytes(size))
    return ballast


ROWS = soil_rows(400)


def frame(node: int, first: int, count: int) -> Admitted:
    update = SessionUpdate(node, first + 1, first)
    return Admitted(node, update, START_US, first, -80.5, 5.0, tuple(ROWS[first : first + count]), None)


def derived(journal: Journal) -> None:
    summary = Summary(0, 1, 1.0, 1.0, 1.0, 1.0, 1.0)
    journal.derive(
        Derived(
            cleaned=[(number, pack_cleaned([(0, 0, 0.25)] * 8)) for number in range(1, 60)],
            windows=[WindowRow(1, 900, start, pack_window([summary] * 7)) for start in range(20)],
            statuses=[Status(5, "paddock", "p", "rest", {"text": "x" * 2000})],
            alerts=[Alert(5, "s", "low", "warning", {"text": "y" * 2000})],
            states=[FilterState(1, START_US, 1, bytes(9000))],
        )
    )


# Every way in which the journal is written, each enough for several pages.
STEPS: dict[str, Step] = {
    "register": lambda journal: journal.add_device(
        device(1), SessionUpdate(0, 0, 0, False, 1, bytes(range(16)), bytes(range(16)))
    ),
    "a small batch": lambda journal: journal.commit(Batch((frame(1, 0, 1),), counters={"accepted": 1})),
    "a large batch": lambda journal: journal.commit(Batch((frame(1, 1, 150),), counters={"accepted": 1})),
    "a join": lambda journal: journal.commit(Batch((), (SessionUpdate(1, 0, 0, True, 2, b"n" * 16, b"a" * 16, 5, 1),))),
    "derived rows": derived,
    "a place": lambda journal: journal.assign(1, 5, None, "w"),
    "a curve": lambda journal: add_curve(journal, Curve(1, "probe1", ProbeCurve((0.1, 0.5)), None, 5)),
    "a move": lambda journal: journal.add_move(Move("otar", "p", 5)),
    "a sink": lambda journal: journal.add_sink("influx"),
    "a position": lambda journal: journal.advance("influx", 3, 1),
    "dead letters": lambda journal: journal.dead_letter("influx", 5, [("l" * 900, "r")] * 20),
    "letters dropped": lambda journal: journal.drop_letters(range(1, 10)),
    "a resend": lambda journal: journal.resend(0),
    "states forgotten": lambda journal: journal.drop_states(1, 0),
    "revoked": lambda journal: journal.revoke_device(1, 9),
}


def dump(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def test_a_full_disk_at_each_write(disk: Path, tmp_path: Path) -> None:
    with Journal(tmp_path / "calm.db") as journal:
        for step in STEPS.values():
            step(journal)
    calm = dump(tmp_path / "calm.db")
    failures = dict.fromkeys(STEPS, 0)
    for free_pages in itertools.count():
        failed = 0
        path = disk / "journal.db"
        with Journal(path) as journal:
            for name, step in STEPS.items():
                journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # room for nothing
                before = dump(path)
                ballast = fill(disk, free_pages)
                try:
                    step(journal)
                except JournalError as error:
                    assert error.transient and ("disk is full" in str(error) or "disk failed" in str(error)), str(error)
                    failed += 1
                    failures[name] += 1
                    ballast.unlink()
                    assert dump(path) == before
                    step(journal)
                else:
                    ballast.unlink()
            assert journal._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert dump(path) == calm, f"{free_pages} free pages"
        for file in disk.iterdir():
            file.unlink()
        if not failed:
            break
    print(f"{sum(failures.values())} writes failed for want of 0 .. {free_pages - 1} free pages: {failures}")
    assert all(failures.values()), failures


def test_a_start_on_a_full_disk_fails_with_one_line_and_touches_nothing(disk: Path) -> None:
    path = disk / "journal.db"
    with Journal(path) as journal:
        for step in STEPS.values():
            step(journal)
    before = path.read_bytes()
    ballast = fill(disk, 0)
    for begin in (lambda: mend(path, START_US), lambda: Journal(path).add_move(Move("otar", "q", 7))):
        with pytest.raises(JournalError, match="the disk is full: free some space") as failed:
            begin()
        assert failed.value.transient
    ballast.unlink()
    assert path.read_bytes() == before and not [file for file in disk.iterdir() if "damaged" in file.name]
    with Journal(path) as journal:
        journal.add_move(Move("otar", "q", 7))


def test_the_size_is_a_fixed_cap(tmp_path: Path) -> None:
    """Old rows give their pages to new ones for ever, counted."""
    with Journal(tmp_path / "journal.db", durable=False) as journal:
        node = journal.add_device(device(1))
        journal.add_sink("influx")
        journal.add_sink("windows")
        retention = Retention(journal, JournalTable(max_mb=1, free_mb=0))
        rows = soil_rows(200)
        record = 0
        for hour in range(400):
            moved = tuple(
                type(row)(record + n, START_US + (record + n) * 1_000_000, row.body) for n, row in enumerate(rows)
            )
            record += len(moved)
            journal.commit(Batch((Admitted(node, None, START_US, hour, -80.0, 5.0, moved, None),)))
            more = retention.look(hour * MARK_S, START_US)
            while more:
                more = retention.step()
        used, _, file = retention._sizes()
        oldest, newest = journal._connection.execute("SELECT min(record), max(record) FROM sample").fetchone()
        gone = journal._connection.execute("SELECT sum(count) FROM dropped WHERE kind = 'sample'").fetchone()[0]
    assert used <= 1.1e6 and file <= 1.2e6
    assert newest == record - 1 and oldest > 60_000 and gone == oldest
