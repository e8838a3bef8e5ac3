"""Where a refiltering may begin, now that a sample can make the filters think better of older ones.

A kept state of the filters goes with rows that stand as the samples up to it left them. A later sample that has
changed some of these rows *reaches* behind the state: who begins there again may find that the sample no longer does
so, because of one that came late between the two. So such a state is no beginning, until the journal has given up the
rows before it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from suat.store.rows import FilterState, Reach

_UNDISTURBED = (
    "SELECT registration, time_us, record, body FROM filter_state AS s WHERE registration = ? AND time_us < ?"
    " AND NOT EXISTS (SELECT 1 FROM revision AS r WHERE r.registration = s.registration"
    " AND (r.time_us, r.record) > (s.time_us, s.record) AND r.since_us <= s.time_us AND EXISTS (SELECT 1 FROM sample"
    " WHERE registration = r.registration AND time_us BETWEEN r.since_us AND s.time_us))"
    " ORDER BY time_us DESC LIMIT 1"
)
_BEHIND = (
    "SELECT registration, time_us, record, since_us FROM revision WHERE registration = ?"
    " AND (time_us, record) > (?, ?) ORDER BY time_us, record"
)
_KEEP = (
    "INSERT INTO revision (registration, time_us, record, since_us) SELECT ?1, ?2, ?3, ?4 WHERE EXISTS"
    " (SELECT 1 FROM filter_state WHERE registration = ?1 AND time_us >= ?4 AND (time_us, record) < (?2, ?3))"
    " ON CONFLICT (registration, time_us, record) DO UPDATE SET since_us = min(since_us, excluded.since_us)"
)
_DROP = "DELETE FROM revision WHERE registration = ? AND time_us = ? AND record = ?"
_FORGET = (
    "DELETE FROM revision AS r WHERE registration = ? AND NOT EXISTS (SELECT 1 FROM filter_state AS s WHERE"
    " s.registration = r.registration AND s.time_us >= r.since_us AND (s.time_us, s.record) < (r.time_us, r.record))"
)


def undisturbed_state(connection: sqlite3.Connection, registration: int, before_us: int) -> FilterState | None:
    """The newest kept state from before `before_us` behind which no sample reaches."""
    row = connection.execute(_UNDISTURBED, (registration, before_us)).fetchone()
    return FilterState(*row) if row else None


def reaches_behind(connection: sqlite3.Connection, registration: int, time_us: int, record: int) -> list[Reach]:
    """What is known of the samples behind (time, record), in their order."""
    return [Reach(*row) for row in connection.execute(_BEHIND, (registration, time_us, record))]


def keep_reaches(connection: sqlite3.Connection, reached: Iterable[Reach], no_more: Iterable[Reach]) -> None:
    """Write what is new, as far as there is a state that it reaches behind, after dropping what holds no more."""
    connection.executemany(_DROP, [reach[:3] for reach in no_more])
    connection.executemany(_KEEP, reached)


def forget_reaches(connection: sqlite3.Connection, registrations: Iterable[int]) -> None:
    """Drop what reaches behind none of the states that are left."""
    connection.executemany(_FORGET, [(registration,) for registration in registrations])
