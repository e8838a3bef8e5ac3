"""The link's state in the journal: counters, keys and nonces, written with what they admitted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from suat.records import SessionUpdate

_COUNTERS = (
    "UPDATE session SET fcnt_up = max(fcnt_up, ?), fcnt_down = max(fcnt_down, ?) WHERE registration = ? AND pending = ?"
)


def is_sound(*numbers: Any) -> bool:
    """Whether registration, pending, dev_addr, fcnt_up, fcnt_down and guard of a session are those that were written.

    Each bit of the others shows in the guard. On a damaged page anything may stand in a row's place.
    """
    if not all(isinstance(number, int) for number in numbers):
        return False
    *kept, guard = numbers
    return bool(guard == sum(factor * number for factor, number in zip((3, 5, 7, 11, 13), kept, strict=True)))


def write_sessions(connection: sqlite3.Connection, updates: Iterable[SessionUpdate]) -> None:
    """Updates in their order; of the plain counters of many frames only the highest are written."""
    counters: dict[tuple[int, bool], tuple[int, int]] = {}
    for update in updates:
        key = update.registration, update.pending
        if update.dev_addr is None and update.dev_nonce is None and update.join_nonce is None:
            up, down = counters.get(key, (0, 0))
            counters[key] = max(up, update.fcnt_up), max(down, update.fcnt_down)
        else:
            for pending in (False, True):  # what came before must not be taken for the new session's
                _count(connection, (update.registration, pending), counters.pop((update.registration, pending), None))
            write_session(connection, update)
    connection.executemany(_COUNTERS, [(*pair, *key) for key, pair in counters.items()])


def _count(connection: sqlite3.Connection, key: tuple[int, bool], counters: tuple[int, int] | None) -> None:
    if counters is not None:
        connection.execute(_COUNTERS, (*counters, *key))


def write_session(connection: sqlite3.Connection, update: SessionUpdate) -> None:
    """With keys: a new session. With an address alone: the node took up its pending session. Else its counters."""
    registration = update.registration
    if update.dev_addr is not None and update.nwk_skey:
        connection.execute(
            "INSERT INTO session (registration, pending, dev_addr, nwk_skey, app_skey, fcnt_up, fcnt_down)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (registration, pending) DO UPDATE SET"
            " dev_addr = excluded.dev_addr, nwk_skey = excluded.nwk_skey, app_skey = excluded.app_skey,"
            " fcnt_up = excluded.fcnt_up, fcnt_down = excluded.fcnt_down",
            (
                registration,
                update.pending,
                update.dev_addr,
                update.nwk_skey,
                update.app_skey,
                update.fcnt_up,
                update.fcnt_down,
            ),
        )
        if not update.pending:  # taken up just now; a later join's session stays
            connection.execute(
                "DELETE FROM session WHERE registration = ? AND pending = 1 AND dev_addr = ?",
                (registration, update.dev_addr),
            )
    else:
        if update.dev_addr is not None:
            _take_up(connection, registration, update.dev_addr)
        _count(connection, (registration, update.pending), (update.fcnt_up, update.fcnt_down))
    if update.dev_nonce is not None or update.join_nonce is not None:
        connection.execute(
            "UPDATE device SET dev_nonce = max(dev_nonce, ?), join_nonce = max(join_nonce, ?) WHERE id = ?",
            (update.dev_nonce or 0, update.join_nonce or 0, registration),
        )


def _take_up(connection: sqlite3.Connection, registration: int, dev_addr: int) -> None:
    """The node used the session of its last join: the one before it ends."""
    pending = connection.execute(
        "SELECT 1 FROM session WHERE registration = ? AND pending = 1 AND dev_addr = ?", (registration, dev_addr)
    ).fetchone()
    if pending:
        connection.execute("DELETE FROM session WHERE registration = ? AND pending = 0", (registration,))
        connection.execute("UPDATE session SET pending = 0 WHERE registration = ?", (registration,))
