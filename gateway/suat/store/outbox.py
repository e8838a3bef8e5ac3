"""The outbox: ranges of row ids that the sinks must be told, written with the rows, read in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

SPAN_RUNS = 8  # more runs of ids than this of one node are told as one range of its record numbers

_INSERT = "INSERT INTO outbox (kind, registration, first, last) VALUES (?, ?, ?, ?)"
_INSERT_FOR = "INSERT INTO outbox (kind, first, last, sink) VALUES (?, ?, ?, ?)"
_SINCE = (("sample", "time_us"), ("window", "start_us"), ("status", "at_us"), ("alert", "at_us"))


def runs(ids: Iterable[int]) -> list[tuple[int, int]]:
    """Runs of consecutive numbers, (first, last) each."""
    found: list[tuple[int, int]] = []
    for number in sorted(ids):
        if found and number <= found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def tell(connection: sqlite3.Connection, kind: str, ids: list[int], of: tuple[int, int, int] | None = None) -> None:
    """Append rows of one kind; `of`: they are all of this node, within its records (registration, first, last)."""
    spans = runs(ids)
    if of is not None and len(spans) > SPAN_RUNS:
        connection.execute(_INSERT, (kind, *of))
    else:
        connection.executemany(_INSERT, [(kind, None, first, last) for first, last in spans])


def tell_again(connection: sqlite3.Connection, since_us: int, sink: str | None = None) -> int:
    """Append all rows since `since_us`, with older ones that came among them, for one sink or all; how many ranges."""
    added = 0
    for kind, time in _SINCE:
        first, last = connection.execute(
            f"SELECT min(id), max(id) FROM {kind} WHERE {time} >= ?", (since_us,)
        ).fetchone()
        if first is not None:
            connection.execute(_INSERT_FOR, (kind, first, last, sink))
            added += 1
    return added


def last_number(connection: sqlite3.Connection) -> int:
    """The number of the newest entry, told and forgotten ones included; numbers are never used twice."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
    return int(found[0]) if found else 0


def place(connection: sqlite3.Connection, sink: str, position: int, row: int) -> None:
    """Write where a sink stands."""
    connection.execute("UPDATE sink SET position = ?, row = ? WHERE name = ?", (position, row, sink))


def forget_told(connection: sqlite3.Connection) -> None:
    """Delete what every sink was told."""
    connection.execute("DELETE FROM outbox WHERE seq <= (SELECT min(position) FROM sink)")
