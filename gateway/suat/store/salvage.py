"""Salvage: a damaged journal is set aside, a new one begun with all that can be read, and the station runs on.

`mend` comes before the station opens its journal. It looks the file over, a large one in part. Where it finds damage
it writes a new journal beside it: the registry, sessions and counters at once, the newest samples as far as a second
reaches; the damaged file is renamed with the date, and `Salvage` brings the other rows over in short steps while the
station runs. Derived rows that are missing are computed again from the samples, and the sinks are told everything again
(the same reading is always the same point).

FCntDown and JoinNonce must never be used twice: they are set forward by more than a damaged page can have held back.
A WAL that is damaged in its middle, which SQLite takes for its end, gives what stands behind the damage.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from suat_wire.payload import unpack

from suat.metrics import JOURNAL_DAMAGED
from suat.store.database import (
    JournalError,
    beside,
    damage_note,
    explain,
    explained,
    open_writer,
    schema_script,
    schema_text,
    sync_folder,
)
from suat.store.journal import Journal
from suat.store.outbox import tell_again
from suat.store.packed import CLEANED, WINDOW
from suat.store.pages import Image, Row, Shape, assign, cells, records, shapes
from suat.store.retention import count_dropped
from suat.store.sessions import is_sound

log = logging.getLogger(__name__)

INDEX_BYTES = 25_000_000  # of a larger file the indices are not compared with their tables: that takes longest
LOOK_BYTES = 100_000_000  # a larger file is looked over in part: the rest is found damaged when it is used
NEWEST_S = 0.5  # how long the newest samples are brought over before the start
STEP_PAGES = 20  # of one transaction, some 15 ms
DOWN_MARGIN = 1024  # FCntDown: a node takes a jump of up to 65,535
JOIN_MARGIN = 64
_EARLIEST_US, _LATEST_US = 946_684_800_000_000, 4_102_444_800_000_000  # 2000, 2100
_FIRST = (
    *("device", "assignment", "session", "counter", "calibration_point"),
    *("curve", "move", "alert", "episode", "dropped"),
)
_REPLACED = ("calibration_point", "curve", "move")  # by number: their pages hold rows of before the damage too
_TAKEN_BACK = ("device", "assignment", "session", "calibration_point", "curve", "move")
_LATER = ("sample", "cleaned", "window", "status", "dead_letter")  # in this order
_NEVER = ("meta", "filter_state", "revision", "outbox", "sink", "mark", "salvage")  # made anew
_NUMBERED = ("sample", "cleaned", "device")  # others get new row numbers
_OF_THE_MACHINE = (  # not of what the file holds
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_PROTOCOL,
)
_COUNTERS = ("registration", "pending", "dev_addr", "fcnt_up", "fcnt_down", "guard")
_TOP = "salvaged_up_to"  # the highest sample of the damaged journal: later ones are others'


class Damage(NamedTuple):
    """A journal that was set aside."""

    file: Path
    reason: str


def mend(path: Path, now_us: int) -> Damage | None:
    """Look the journal over; begin a new one if it is damaged. JournalError when it is locked, or the disk fails."""
    _finish_exchange(path)
    if not path.exists():
        return None
    try:
        image = Image(path, _wal(path))
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}; check data_dir and its owner") from error
    with contextlib.closing(image):
        cut = _rows_behind_the_cut(image) if image.cut_commits else {}
        reason = _damage(path, image)
        if reason is None:
            if cut:
                _take_back(path, cut, image.cut_commits)
            return None
        aside = _begin_anew(path, image, reason, now_us)
    JOURNAL_DAMAGED.set(1)
    log.error(
        "%s is damaged (%s): set aside as %s, a new one begun; what can be read follows", path, reason, aside.name
    )
    return Damage(aside, reason)


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


# Looking it over


def _damage(path: Path, image: Image) -> str | None:
    """What is wrong with the file, None while nothing was found. JournalError: it can't be looked at now."""
    note = damage_note(path)
    if note.exists():
        return note.read_text(errors="replace").strip() or "found while it was used"
    if path.stat().st_size == 0:
        return "it is empty, its WAL is not" if image.versions else None
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10.0, isolation_level=None)
    with contextlib.closing(connection):
        try:
            return _look_over(connection)
        except UnicodeDecodeError as error:
            return str(error)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0)
            if code & 0xFF in _OF_THE_MACHINE and code != sqlite3.SQLITE_IOERR_READ:
                raise explain(path, error) from error
            return str(error)


def _look_over(connection: sqlite3.Connection) -> str | None:
    connection.execute("PRAGMA query_only = ON")
    connection.text_factory = lambda text: text.decode(errors="replace")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = dict(connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
    known, expected = schema_text(version)
    whole = all(tables.get(name) == sql for name, sql in expected.items())  # there may be more: somebody's own index
    whole = whole and bool(expected) == bool(tables)  # tables of version 0: its bit has flipped
    if whole != known:
        return "its tables are not those of its version"
    if tables.get("session", "").find("guard") >= 0:
        for row in connection.execute(f"SELECT {', '.join(_COUNTERS)} FROM session"):
            if not is_sound(*row):
                return f"the counters of the session of node {row[0]} are not those that were written"
    small = [table for table in _FIRST if table in tables]
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    for argument in ["1"] if pages * size <= LOOK_BYTES else [f"'{table}'" for table in small]:
        check = "integrity_check" if pages * size <= INDEX_BYTES else "quick_check"
        ((found, *_), *_) = connection.execute(f"PRAGMA {check}({argument})").fetchall()
        if found != "ok":
            return str(found).splitlines()[-1]
    return None


# Beginning anew


def _begin_anew(path: Path, image: Image, reason: str, now_us: int) -> Path:
    """A new journal beside the damaged one, then in its place; where the damaged one lies now."""
    stamp = datetime.fromtimestamp(now_us / 1e6, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.stem}.damaged-{stamp}-{number}{path.suffix}")
    new = _new(path)
    for old in (new, _wal(new), new.with_name(new.name + "-shm")):
        old.unlink(missing_ok=True)
    with explained(new), contextlib.closing(open_writer(new)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        known = {name: shape for name, shape in shapes(connection).items() if name != "meta"}
        found = assign(image, known)
        connection.execute("BEGIN IMMEDIATE")
        for page, shape in found.items():
            if shape.name not in _LATER and shape.name not in _NEVER:
                _bring(connection, image, page, shape, now_us)
        _set_forward(connection)
        pages = _later(image, found)
        done = _newest(connection, image, pages, found, now_us)
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, coalesce((SELECT max(id) FROM sample), 0))", (_TOP,))
        connection.execute(
            "INSERT INTO salvage (at_us, file, reason, page, pages) VALUES (?, ?, ?, ?, ?)",
            (now_us, aside.name, reason, done, len(pages)),
        )
        text = f"the journal was damaged and set aside as {aside.name}: {reason}"
        connection.execute(
            "INSERT OR IGNORE INTO alert (at_us, subject, kind, level, body)"
            " VALUES (?, 'station', 'journal', 'critical', ?)",
            (now_us, json.dumps({"kind": "journal", "level": "critical", "text": text})),
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _exchange(path, aside)
    return aside


def _new(path: Path) -> Path:
    return path.with_suffix(".new")


def _exchange(path: Path, aside: Path) -> None:
    """Put the new journal in the place of the old one: `_finish_exchange` ends it if the power fails meanwhile."""
    for old, there in ((path, aside), (_wal(path), _wal(aside))):
        if old.exists():
            old.rename(there)
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    damage_note(path).unlink(missing_ok=True)
    _new(path).rename(path)
    sync_folder(path.parent)


def _finish_exchange(path: Path) -> None:
    """After a power cut: a new journal that is whole takes its place, one that is not is forgotten."""
    new = _new(path)
    if not new.exists():
        return
    if path.exists():  # the damaged one was not yet renamed: all of it begins anew
        new.unlink()
        return
    with explained(new), contextlib.closing(sqlite3.connect(new)) as connection:
        (name,) = connection.execute("SELECT file FROM salvage ORDER BY id DESC LIMIT 1").fetchone()
    _exchange(path, beside(path, name))


def _set_forward(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM session WHERE registration NOT IN (SELECT id FROM device WHERE revoked_us IS NULL)")
    connection.execute("UPDATE session SET fcnt_down = min(fcnt_down + ?, 4294967295)", (DOWN_MARGIN,))
    connection.execute("UPDATE device SET join_nonce = join_nonce + ? WHERE join_eui IS NOT NULL", (JOIN_MARGIN,))


def _later(image: Image, found: dict[int, Shape]) -> list[int]:
    """The pages still to be brought over: samples first, the newest of them first."""

    def order(number: int) -> tuple[int, int]:
        first = next(iter(records(image, image.page(number), number)), (0, []))[0]
        return _LATER.index(found[number].name), -first

    return sorted((number for number, shape in found.items() if shape.name in _LATER), key=order)


def _newest(
    connection: sqlite3.Connection, image: Image, pages: Sequence[int], found: dict[int, Shape], now_us: int
) -> int:
    """Bring the newest samples over; how many pages that were."""
    deadline = time.monotonic() + NEWEST_S
    for done, number in enumerate(pages):
        if found[number].name != "sample" or (done and time.monotonic() > deadline):
            return done
        _bring(connection, image, number, found[number], now_us)
    return len(pages)


# Rows


def _bring(connection: sqlite3.Connection, image: Image, number: int, shape: Shape, now_us: int) -> int:
    """The readable rows of a page into the new journal; how many were new there."""
    page = image.page(number)
    rows = []
    for rowid, values in records(image, page, number):
        row = shape.fit(values, rowid)
        if row is not None and _is_plausible(shape, row):
            rows.append(row)
    unreadable = len(cells(page, number)) - len(rows)
    if shape.name == "sample" and unreadable > 0:
        times = [row[3] for row in rows] or [now_us]
        count_dropped(connection, "sample", "damaged", [min(times), *[max(times)] * (unreadable - 1)], now_us)
    return _insert(connection, shape, rows)


def _insert(connection: sqlite3.Connection, shape: Shape, rows: Iterable[Row], *, replace: bool = False) -> int:
    first = 0 if replace or shape.name in _NUMBERED or shape.rowid != 0 else 1
    given = [place for place, column in enumerate(shape.columns) if place >= first and not column.made]
    names = ", ".join(shape.columns[place].name for place in given)
    marks = ", ".join("?" * len(given))
    where = (
        f" WHERE ?1 <= (SELECT value FROM meta WHERE key = '{_TOP}') AND EXISTS (SELECT 1 FROM sample WHERE id = ?1)"
        if shape.name == "cleaned"
        else ""
    )
    before = connection.total_changes
    connection.executemany(
        f"INSERT OR {'REPLACE' if replace else 'IGNORE'} INTO {shape.name} ({names}) SELECT {marks}{where}",
        [[row[place] for place in given] for row in rows],
    )
    return connection.total_changes - before


def _is_plausible(shape: Shape, row: Row) -> bool:
    """Whether the blobs of a row can be read, and its time is one."""
    if shape.name == "session":
        values = dict(zip([column.name for column in shape.columns], row, strict=True))
        return values["guard"] is None or is_sound(*[values[name] for name in _COUNTERS])  # None: of before the guard
    if shape.name == "sample":
        values = dict(zip([column.name for column in shape.columns], row, strict=True))
        try:
            return bool(unpack(values["body"])) and _EARLIEST_US < values["time_us"] < _LATEST_US
        except (ValueError, KeyError, IndexError, TypeError):
            return False
    if shape.name in _ENTRY:
        return len(row[-1]) % _ENTRY[shape.name] == 0
    return True


_ENTRY = {"cleaned": CLEANED.itemsize, "window": WINDOW.itemsize}


class Salvage:
    """What is left to bring over, in short steps. Lives on the thread that writes the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._work: Iterator[int] | None = None

    def step(self, now_us: int) -> bool:
        """One short transaction; whether there is more. False also where nothing is to be salvaged. JournalError."""
        if self._work is None:
            with explained(self._journal.path):
                self._work = self._steps(now_us)
        try:
            next(self._work)
        except StopIteration:
            return False
        except BaseException:
            self._work = None  # the next attempt takes up what is written
            raise
        return True

    def _steps(self, now_us: int) -> Iterator[int]:
        with self._journal.transaction(derived=True) as connection:
            todo = connection.execute(
                "SELECT id, file, CAST(page AS INTEGER) FROM salvage WHERE done_us IS NULL ORDER BY id"
            ).fetchall()
            known = {name: shape for name, shape in shapes(connection).items() if name != "meta"} if todo else {}
        for number, file, page in todo:
            path = beside(self._journal.path, file)
            if path.is_file():
                with contextlib.closing(Image(path, _wal(path))) as image:
                    found = assign(image, known)
                    pages = _later(image, found)
                    for start in range(page, len(pages), STEP_PAGES):
                        chosen = pages[start : start + STEP_PAGES]
                        with self._journal.transaction(derived=True) as connection:
                            rows = sum(_bring(connection, image, each, found[each], now_us) for each in chosen)
                            connection.execute(
                                "UPDATE salvage SET page = ?, rows = rows + ? WHERE id = ?",
                                (start + len(chosen), rows, number),
                            )
                        yield rows
            with self._journal.transaction() as connection:
                tell_again(connection, 0)
                connection.execute("UPDATE meta SET value = 0 WHERE key = 'cleaned_up_to'")
                connection.execute("UPDATE salvage SET done_us = ? WHERE id = ?", (now_us, number))
                samples = connection.execute("SELECT count(*) FROM sample").fetchone()[0]
            log.warning("journal: all that could be read of %s was brought over; %d samples are kept", file, samples)


# A WAL that is damaged before its end


def _rows_behind_the_cut(image: Image) -> dict[str, tuple[Shape, list[Row]]]:
    """What stands in transactions of the WAL that SQLite will not see: registry, sessions, counters and samples."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for statement in schema_script():
            connection.execute(statement)
        known = {name: shape for name, shape in shapes(connection).items() if name != "meta"}
    found = assign(image, known)
    rows: dict[str, tuple[Shape, list[Row]]] = {}
    wanted = {"sample", *_TAKEN_BACK}
    for number in sorted(set(image.cut)):
        shape = found.get(number)
        if shape is None or shape.name not in wanted:
            continue
        for rowid, values in records(image, image.page(number), number):
            row = shape.fit(values, rowid)
            if row is not None and _is_plausible(shape, row):
                rows.setdefault(shape.name, (shape, []))[1].append(row)
    return rows


def _take_back(path: Path, rows: dict[str, tuple[Shape, list[Row]]], commits: int) -> None:
    """Add to the journal what stood behind the damage; counters and nonces only go forward."""
    with explained(path), contextlib.closing(open_writer(path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("BEGIN IMMEDIATE")
        new = 0
        for name in (*_TAKEN_BACK, "sample"):
            shape, found = rows.get(name, (None, []))
            if shape is None:
                continue
            columns = [column.name for column in shape.columns]
            entries = [dict(zip(columns, row, strict=True)) for row in found]
            if name == "sample":
                connection.executemany(_ADD_SAMPLE, entries)
                new = connection.execute("SELECT total_changes()").fetchone()[0]
                continue
            if name == "session":
                connection.executemany(_RAISE_SESSION, entries)
            if name == "device":
                connection.executemany(_RAISE_DEVICE, entries)
            _insert(connection, shape, found, replace=name in _REPLACED)
        connection.execute(
            "DELETE FROM session WHERE registration NOT IN (SELECT id FROM device WHERE revoked_us IS NULL)"
        )
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'registry_version'")
        connection.execute("COMMIT")
    log.warning("%s-wal: %d transactions stood behind a damaged one; %d rows were taken back", path, commits, new)


_ADD_SAMPLE = (
    "INSERT OR IGNORE INTO sample (registration, record, time_us, received_us, fcnt, rssi, snr, body)"
    " VALUES (:registration, :record, :time_us, :received_us, :fcnt, :rssi, :snr, :body)"
)
_RAISE_SESSION = (
    "UPDATE session SET fcnt_up = max(fcnt_up, :fcnt_up), fcnt_down = max(fcnt_down, :fcnt_down)"
    " WHERE registration = :registration AND dev_addr = :dev_addr"
)
_RAISE_DEVICE = (
    "UPDATE device SET dev_nonce = max(dev_nonce, :dev_nonce), join_nonce = max(join_nonce, :join_nonce),"
    " revoked_us = coalesce(revoked_us, :revoked_us) WHERE id = :id"
)
