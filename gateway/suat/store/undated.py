"""Samples that came in before the station knew the time: kept with the boot they came in, dated once it is known.

Their times count from the machine's start (clock.UNDATED_US). They stand in a table of their own, so that nobody but
the acknowledgement sees them before they have a date.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from suat.clock import UNDATED_US
from suat.metrics import ROWS_DROPPED
from suat.records import Admitted, Row

log = logging.getLogger(__name__)

CHUNK = 2_000  # samples dated by one transaction
MOST_HELD = 2_000_000  # 200 nodes at 5 minutes for a month, some 200 MB; beyond it the oldest go, counted


def split(admitted: Sequence[Admitted]) -> tuple[Sequence[Admitted], list[Admitted]]:
    """(those that have a date, those that have none)."""
    undated = [frame for frame in admitted if frame.received_us < UNDATED_US]
    if not undated:
        return admitted, undated
    return [frame for frame in admitted if frame.received_us >= UNDATED_US], undated


def hold(connection: sqlite3.Connection, boot: str, admitted: Iterable[Admitted]) -> None:
    """Keep the samples of frames without a date; those that are kept already stay as they are."""
    connection.executemany(
        "INSERT INTO undated (boot, registration, record, time_us, received_us, fcnt, rssi, snr, body)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9"
        " WHERE NOT EXISTS (SELECT 1 FROM sample WHERE registration = ?2 AND record = ?3)"
        " ON CONFLICT (registration, record) DO NOTHING",
        [
            (boot, a.registration, r.record, r.time_us, a.received_us, a.fcnt, a.rssi, a.snr, r.body)
            for a in admitted
            for r in a.rows
        ],
    )
    gone = connection.execute(
        "DELETE FROM undated WHERE id <= (SELECT max(id) FROM undated) - ?", (MOST_HELD,)
    ).rowcount
    if gone:
        ROWS_DROPPED.labels("undated", "no date").inc(gone)
        log.error("journal: %d readings had to go that never got a date; confirm the time", gone)


def held(connection: sqlite3.Connection) -> bool:
    """Whether there are samples without a date."""
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM undated)").fetchone()[0])


def take(connection: sqlite3.Connection, this_boot: str, this_offset_us: int) -> list[Admitted]:
    """The oldest samples without a date, dated and taken out: `CHUNK` at most, of one boot.

    Those of this boot are exact: UTC is their time and `this_offset_us`. An earlier boot that never learned the time is
    taken to have ended when the next one began: its samples keep their distances, and are late by the time the station
    was off in between.
    """
    oldest = connection.execute("SELECT boot FROM undated ORDER BY id LIMIT 1").fetchone()
    if oldest is None:
        return []
    boot = str(oldest[0])
    offset_us = this_offset_us - _before_us(connection, boot, this_boot)
    rows = connection.execute(
        "DELETE FROM undated WHERE id IN (SELECT id FROM undated WHERE boot = ? ORDER BY id LIMIT ?)"
        " RETURNING id, registration, received_us, fcnt, rssi, snr, record, time_us, body",
        (boot, CHUNK),
    ).fetchall()
    rows.sort()
    return list(_frames(rows, offset_us))


def _before_us(connection: sqlite3.Connection, boot: str, this_boot: str) -> int:
    """How long before this boot another began at the latest [us]: going back, each ended where the next began."""
    back_us = 0
    if boot != this_boot:
        for earlier, length_us in connection.execute(
            "SELECT boot, max(received_us) FROM undated WHERE boot <> ? GROUP BY boot ORDER BY max(id) DESC",
            (this_boot,),
        ).fetchall():
            back_us += length_us
            if earlier == boot:
                break
    return back_us


def _frames(rows: Iterable[tuple[int, ...]], offset_us: int) -> Iterator[Admitted]:
    for (registration, received_us, fcnt, rssi, snr), group in groupby(rows, itemgetter(1, 2, 3, 4, 5)):
        samples = tuple(
            Row(record, _moved(time_us, offset_us, record), body)  # type: ignore[arg-type]
            for *_, record, time_us, body in group
        )
        yield Admitted(registration, None, received_us + offset_us, fcnt, rssi, snr, samples, None)


def _moved(time_us: int, offset_us: int, record: int) -> int:
    """In the form of `network.direct.sample_us`: whole milliseconds, and the record below them.

    A sample whose device has a clock of its own has its date already.
    """
    if time_us >= UNDATED_US:
        return time_us
    return (time_us + offset_us) // 1000 * 1000 + record % 1000
