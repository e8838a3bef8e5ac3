"""Episodes of broken probes, as they follow from the flags of the cleaned readings.

An episode is a run of consecutive readings of a channel that are all flagged `broken`. Where such flags have changed,
the runs are found anew, in the same transaction, and joined to what lies on both sides.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from typing import Any, NamedTuple

from suat_filters import BROKEN
from suat_samples import flags_of

from suat.store.channels import BY_CODE
from suat.store.rows import Episode

_NEVER_US = 1 << 52  # in the year 2112
LOOK = 1000  # a channel that was not read in so many samples begins a new run

_ROWS = (
    "SELECT s.time_us, CAST(c.body AS BLOB) FROM sample s JOIN cleaned c ON c.sample = s.id WHERE s.registration = ?"
)
_BETWEEN = f"{_ROWS} AND s.time_us BETWEEN ? AND ? ORDER BY s.time_us, s.record"
_BEFORE = f"{_ROWS} AND s.time_us < ? ORDER BY s.time_us DESC, s.record DESC LIMIT {LOOK}"
_BEHIND = f"{_ROWS} AND s.time_us > ? ORDER BY s.time_us, s.record LIMIT {LOOK}"
_TOUCHING = (
    "SELECT since_us, until_us FROM episode WHERE registration = ? AND code = ? AND until_us >= ? AND since_us <= ?"
    " ORDER BY since_us"
)

_OF_NODE = (
    "SELECT registration, code, since_us, until_us FROM episode WHERE registration = ?"
    " AND until_us >= ? AND since_us < ? ORDER BY since_us, code"
)
_NEWEST = (
    "SELECT registration, code, max(since_us), until_us FROM episode WHERE registration = ? AND since_us <= ?"
    " GROUP BY code ORDER BY code"
)


class _Reading(NamedTuple):
    time_us: int
    broken: bool


def episodes_of(
    connection: sqlite3.Connection, registration: int, since_us: int = 0, until_us: int = 1 << 62
) -> list[Episode]:
    """The episodes of a node that were there at some time of since_us <= time < until_us, by their beginning."""
    return [*_sound(connection.execute(_OF_NODE, (registration, since_us, until_us)))]


def lasting_episodes(connection: sqlite3.Connection, registration: int, at_us: int) -> list[Episode]:
    """Those of a node that last at an instant: its channel was not read since, or not yet."""
    found = []
    for episode in [*_sound(connection.execute(_NEWEST, (registration, at_us)))]:
        later = next(_readings(connection, _BEHIND, (registration, episode.until_us), episode.code), None)
        if at_us <= episode.until_us or later is None or later.time_us > at_us:
            found.append(episode)
    return found


def _sound(rows: Iterable[Sequence[Any]]) -> Iterator[Episode]:
    """Rows as they were written; one in which bits have flipped counts as none."""
    for row in rows:
        if all(type(number) is int for number in row):
            episode = Episode(*row)
            if episode.code in BY_CODE and 0 <= episode.since_us <= episode.until_us < _NEVER_US:
                yield episode


def find_episodes(connection: sqlite3.Connection, stretch: Episode) -> None:
    """Make a channel's episodes anew where its flags have changed: between two readings, these included."""
    node, code, first, last = stretch
    before = next(_readings(connection, _BEFORE, (node, first), code), None)
    behind = next(_readings(connection, _BEHIND, (node, last), code), None)
    low, high = before.time_us if before else first, behind.time_us if behind else last
    known = connection.execute(_TOUCHING, (node, code, low, high)).fetchall()
    sound = [run[2:] for run in _sound((node, code, *run) for run in known)]
    within = _readings(connection, _BETWEEN, (node, first, last), code)
    runs = [
        (run[0].time_us, run[-1].time_us)
        for broken, group in groupby(chain([before] if before else [], within, [behind] if behind else []), _is_broken)
        if broken and (run := _ends(group))
    ]
    connection.executemany(
        "DELETE FROM episode WHERE registration = ? AND code = ? AND since_us = ?",
        [(node, code, since) for since, _ in known],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO episode (registration, code, since_us, until_us) VALUES (?, ?, ?, ?)",
        [
            (
                node,
                code,
                min([begin for begin, end in sound if begin <= since == low <= end], default=since),
                max([end for begin, end in sound if begin <= until == high <= end], default=until),
            )
            for since, until in runs
        ],
    )


def _readings(connection: sqlite3.Connection, query: str, where: tuple[int, ...], code: int) -> Iterator[_Reading]:
    for time_us, body in connection.execute(query, where):
        flags = flags_of(body, code)
        if flags is not None:
            yield _Reading(time_us, bool(flags & BROKEN))


def _is_broken(reading: _Reading) -> bool:
    return reading.broken


def _ends(run: Iterator[_Reading]) -> tuple[_Reading, _Reading]:
    """The first and the last of a run that may be long."""
    first = next(run)
    return first, deque(chain([first], run), maxlen=1)[0]
