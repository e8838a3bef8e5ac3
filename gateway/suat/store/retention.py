"""Retention: the journal stays within its bounds, in short steps between other work.

By age, rows that every sink was told go after `keep_days`. Where the journal outgrows `max_mb`, or the disk has less
than `free_mb` left, the oldest told rows go earlier, but never before they have been told for a week: a database that
loses what it acknowledged can be told again (`suat resend`). Derived rows go first. Only at `max_mb`, and only when
nothing told is left to drop, do the oldest rows go untold. All that goes is counted and dated in the table `dropped`.

Age is counted in hours that the station ran (the table `mark`), so that no clock, however wrong, drops anything.
Freed pages are used again; the file itself is only made smaller where it is larger than `max_mb`.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Generator, Iterator
from typing import NamedTuple

from suat.metrics import JOURNAL_BYTES, ROWS_DROPPED
from suat.store.journal import Journal
from suat.store.tables import JournalTable

log = logging.getLogger(__name__)

MARK_S = 3600.0
MARKS_A_DAY = 24
TOLD_DAYS = 7  # promise 2: what was told can be told again for so long
THIN_DAYS = 90  # decisions older than this: those that changed, and one a day
OUTBOX_STEP = 20_000  # entries looked through in one transaction
STEP = 500  # rows of one transaction, some 10 ms
DISK_SHARE = 0.9  # of the disk: more than that the journal never takes, whatever `max_mb` says
VACUUM_PAGES = 500  # pages given back to the disk by one transaction
KINDS = ("sample", "window", "status", "alert")
DAY_US = 86_400_000_000
_TIME = {"sample": "time_us", "window": "start_us", "status": "at_us", "alert": "at_us"}
_THINNED = "statuses_thinned_up_to"


class _Rule(NamedTuple):
    """Rows that go, in this order."""

    kind: str
    which: str  # beside being old enough
    by_age: bool


# The newest sample of a node stays for ever: the high part of its record numbers is inferred from it.
_NEWEST = (
    "SELECT id FROM (SELECT (SELECT id FROM sample WHERE registration = d.id ORDER BY record DESC LIMIT 1) AS id"
    " FROM device d) WHERE id IS NOT NULL"
)
_RULES = (
    _Rule("window", "width_s = 900", True),
    _Rule("sample", "TRUE", True),
    _Rule("window", "width_s = 3600", False),
    _Rule("status", "TRUE", False),
    _Rule("alert", "cleared_us IS NOT NULL", False),
)


class Retention:
    """Lives on the thread that writes the journal. `look` once a minute, then `step` while it says there is more."""

    def __init__(self, journal: Journal, table: JournalTable) -> None:
        self._journal = journal
        self._table = table
        self._marked_s: float | None = None
        self._after = dict.fromkeys(_RULES, 0)  # what lies before these ids was gone through
        self._work: Iterator[None] = iter(())

    def look(self, now_s: float, now_us: int) -> bool:
        """Set the hour's mark, see what is too old or too much; whether `step` has something to do.

        `now_s`: monotonic. JournalError.
        """
        if self._marked_s is None:
            self._marked_s = now_s
        hourly = now_s - self._marked_s >= MARK_S
        if hourly:
            self._marked_s = now_s
        used, _, file = self._sizes()
        JOURNAL_BYTES.set(file)
        if hourly or max(used, file) > self._cap() or self._is_short():
            self._work = self._steps(now_us, hourly)
        return self.step()

    def step(self) -> bool:
        """One short transaction; whether there may be more. JournalError: the next `look` begins anew."""
        try:
            next(self._work)
        except StopIteration:
            return False
        except BaseException:
            self._work = iter(())
            raise
        return True

    def _sizes(self) -> tuple[int, int, int]:
        """(bytes in use, bytes of free pages, bytes of the file)."""
        page, pages, free = (self._journal.pragma(name) for name in ("page_size", "page_count", "freelist_count"))
        return (pages - free) * page, free * page, pages * page

    def _cap(self) -> float:
        disk = os.statvfs(self._journal.path.parent)
        return min(self._table.max_mb * 1e6, disk.f_blocks * disk.f_frsize * DISK_SHARE)

    def _is_short(self) -> bool:
        """Whether the disk has less than `free_mb` left, the file's own free pages counted in."""
        disk = os.statvfs(self._journal.path.parent)
        return disk.f_bavail * disk.f_frsize + self._sizes()[1] < self._table.free_mb * 1e6

    def _is_large(self) -> bool:
        return self._sizes()[0] > self._cap()

    def _steps(self, now_us: int, hourly: bool) -> Iterator[None]:
        now = yield from self._told_now()
        with self._journal.transaction(derived=True) as connection:
            if hourly:
                _mark(connection, now, now_us)
            keep = [row[0] for row in connection.execute(_NEWEST)]
            old, told, thin = (_told(connection, now, days) for days in (self._table.keep_days, TOLD_DAYS, THIN_DAYS))
        yield
        yield from self._thin(thin["status"], now_us)
        before = self._sizes()[1]
        for rule in _RULES:
            while rule.by_age and self._drop(rule, old[rule.kind], "age", keep, now_us):
                yield
        for rule in _RULES:
            while (self._is_large() or self._is_short()) and self._drop(rule, told[rule.kind], "size", keep, now_us):
                yield
        for rule in _RULES:
            while self._is_large() and self._drop(rule, 1 << 62, "untold", keep, now_us):
                yield
        if self._sizes()[1] > before:
            with self._journal.transaction(derived=True) as connection:
                connection.execute(_STATES)
            yield
        while self._sizes()[2] > self._cap() and self._vacuum():
            yield

    def _told_now(self) -> Generator[None, None, dict[str, int]]:
        """The highest id of each kind up to which no sink waits for a row; weeks of the outbox take many steps."""
        waiting = dict.fromkeys(KINDS, 1 << 62)
        seq = 0
        while True:
            with self._journal.transaction(derived=True) as connection:
                ended = connection.execute(
                    "SELECT max(seq), count(*) FROM (SELECT seq FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?)",
                    (seq, OUTBOX_STEP),
                ).fetchone()
                if not ended[1]:
                    return _told_up_to(connection, waiting)
                for kind, first in connection.execute(_WAITING, (seq, ended[0])):
                    if first is not None:
                        waiting[kind] = min(waiting[kind], first)
            seq = ended[0]
            if ended[1] == OUTBOX_STEP:
                yield

    def _drop(self, rule: _Rule, limit: int, why: str, keep: list[int], now_us: int) -> bool:
        """Go through the next rows of a rule up to id `limit`, the oldest first, and drop them; False at the end."""
        with self._journal.transaction(derived=True) as connection:
            ids = connection.execute(
                f"SELECT id FROM {rule.kind} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
                (self._after[rule], limit, STEP),
            ).fetchall()
            if not ids:
                return False
            stays = f" AND id NOT IN ({','.join(map(str, keep))})" if rule.kind == "sample" else ""
            gone = connection.execute(
                f"DELETE FROM {rule.kind} WHERE id > ? AND id <= ? AND {rule.which}{stays}"
                f" RETURNING id, {_TIME[rule.kind]}",
                (self._after[rule], ids[-1][0]),
            ).fetchall()
            if rule.kind == "sample":
                connection.executemany("DELETE FROM cleaned WHERE sample = ?", [row[:1] for row in gone])
            count_dropped(connection, rule.kind, why, [row[1] for row in gone], now_us)
        self._after[rule] = ids[-1][0]
        if gone and why == "untold":
            log.error(
                "journal: max_mb is reached: %d rows (%s) had to go before every sink was told", len(gone), rule.kind
            )
        return True

    def _thin(self, limit: int, now_us: int) -> Iterator[None]:
        """Of old decisions those stay that changed something, and the first of each day."""
        while True:
            with self._journal.transaction(derived=True) as connection:
                found = connection.execute("SELECT value FROM meta WHERE key = ?", (_THINNED,)).fetchone()
                first = found[0] if found else 0
                last = connection.execute(
                    "SELECT max(id) FROM (SELECT id FROM status WHERE id > ? AND id <= ? ORDER BY id LIMIT ?)",
                    (first, limit, 4 * STEP),
                ).fetchone()[0]
                if last is None:
                    return
                rows = connection.execute(_REPEATED, (first, last)).fetchall()
                connection.executemany("DELETE FROM status WHERE id = ?", [row[:1] for row in rows])
                count_dropped(connection, "status", "thinned", [row[1] for row in rows], now_us)
                connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_THINNED, last))
            yield

    def _vacuum(self) -> bool:
        with self._journal.transaction(derived=True) as connection:
            before = _pragma(connection, "page_count")
            connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
            return _pragma(connection, "page_count") < before


# A decision that says what the one before it said on the same day; the first of each stretch stays.
_REPEATED = (
    "SELECT id, at_us FROM (SELECT id, at_us, status, lag(status) OVER before AS said,"
    " lag(at_us) OVER before AS said_us FROM status WHERE id > ? AND id <= ?"
    " WINDOW before AS (PARTITION BY kind, subject ORDER BY at_us))"
    f" WHERE status = said AND at_us / {DAY_US} = said_us / {DAY_US}"
)
# What waits among the entries behind one and up to another. The windows are made from samples alone: what else the
# outbox holds does not wait for them. An entry may name a node's records instead of row ids.
_WAITING = (
    "WITH entry AS (SELECT * FROM outbox WHERE seq > ?1 AND seq <= ?2 AND (kind = 'sample' OR seq >"
    " coalesce((SELECT min(position) FROM sink WHERE name <> 'windows'), 1 << 62)))"
    " SELECT kind, min(first) FROM entry WHERE registration IS NULL GROUP BY kind UNION ALL"
    " SELECT 'sample', (SELECT min(id) FROM sample WHERE registration = o.registration"
    " AND record BETWEEN o.first AND o.last) FROM (SELECT registration, min(first) AS first, max(last) AS last"
    " FROM entry WHERE registration IS NOT NULL GROUP BY registration) o"
)
# States of the filters from before the oldest sample of their node; the newest of them is where a refiltering begins.
_STATES = (
    "DELETE FROM filter_state AS old WHERE EXISTS (SELECT 1 FROM filter_state AS later WHERE"
    " later.registration = old.registration AND later.time_us > old.time_us AND later.time_us <"
    " (SELECT time_us FROM sample WHERE registration = old.registration ORDER BY time_us LIMIT 1))"
)


def _mark(connection: sqlite3.Connection, told: dict[str, int], now_us: int) -> None:
    """Note up to which ids every sink was told by now."""
    connection.execute(
        "INSERT INTO mark (at_us, sample, window, status, alert) VALUES (?, ?, ?, ?, ?)",
        (now_us, *[told[kind] for kind in KINDS]),
    )
    newest = connection.execute("SELECT max(id) FROM mark").fetchone()[0]
    connection.execute("DELETE FROM mark WHERE id < ? AND id % ? <> 0", (newest - TOLD_DAYS * MARKS_A_DAY, MARKS_A_DAY))


def _told_up_to(connection: sqlite3.Connection, waiting: dict[str, int]) -> dict[str, int]:
    """The ids below those that wait, and below the oldest sample that may not be cleaned yet."""
    cleaned = connection.execute("SELECT coalesce((SELECT value FROM meta WHERE key = 'cleaned_up_to'), 0)").fetchone()
    newest = {kind: connection.execute(f"SELECT coalesce(max(id), 0) FROM {kind}").fetchone()[0] for kind in KINDS}
    told = {kind: min(newest[kind], waiting[kind] - 1) for kind in KINDS}
    return told | {"sample": min(told["sample"], cleaned[0])}


def _told(connection: sqlite3.Connection, now: dict[str, int], days: int) -> dict[str, int]:
    """What had been told to every sink so many days of running ago, and is still."""
    row = connection.execute(
        f"SELECT {', '.join(KINDS)} FROM mark WHERE id <= (SELECT max(id) FROM mark) - ? ORDER BY id DESC LIMIT 1",
        (days * MARKS_A_DAY,),
    ).fetchone()
    then = dict(zip(KINDS, row or [0] * len(KINDS), strict=True))
    return {kind: min(then[kind], now[kind]) for kind in KINDS}


def count_dropped(connection: sqlite3.Connection, kind: str, why: str, times_us: list[int], now_us: int) -> None:
    """Write down what goes, in the transaction in which it goes."""
    if not times_us:
        return
    connection.execute(
        "INSERT INTO dropped (kind, why, day_us, first_us, last_us, count) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, why, day_us) DO UPDATE SET first_us = min(first_us, excluded.first_us),"
        " last_us = max(last_us, excluded.last_us), count = count + excluded.count",
        (kind, why, now_us // DAY_US * DAY_US, min(times_us), max(times_us), len(times_us)),
    )
    ROWS_DROPPED.labels(kind, why).inc(len(times_us))


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
