"""The reading side of the journal: snapshots for the board, the commands and the daemon's other threads.

Each thread gets a connection of its own; WAL lets it read while the writer commits, and it can't write by mistake.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from suat.records import DeviceRecord, Probe, SessionUpdate
from suat.store.channels import channel_of
from suat.store.database import damaged, explained, open_reader, unreadable
from suat.store.episodes import episodes_of, lasting_episodes
from suat.store.packed import CLEANED, WINDOW, Array, stack, unpack_window
from suat.store.readings import readings_of
from suat.store.rows import (
    Alert,
    Assignment,
    Dropped,
    Episode,
    LastSeen,
    Move,
    OutboxEntry,
    Reading,
    SampleRow,
    Status,
    WindowRow,
)
from suat.store.sound import sound_packed, sound_sample, sound_window

T = TypeVar("T")
P = ParamSpec("P")

_SAMPLE = (
    "SELECT s.id, s.registration, s.record, s.time_us, CAST(s.body AS BLOB), CAST(c.body AS BLOB), s.rssi, s.snr"
    " FROM sample s LEFT JOIN cleaned c ON c.sample = s.id "
)
_ALWAYS = 1 << 62
CLEANED_UP_TO = "coalesce((SELECT value FROM meta WHERE key = 'cleaned_up_to'), 0)"  # all samples up to this id are


def _readable(ask: Callable[Concatenate[Reader, P], T]) -> Callable[Concatenate[Reader, P], T]:
    """JournalError for rows that SQLite gives back and that can't be what was written: a bit has flipped in them."""

    @wraps(ask)
    def read(self: Reader, /, *args: P.args, **options: P.kwargs) -> T:
        try:
            return ask(self, *args, **options)
        except (ValueError, TypeError, LookupError, struct.error) as error:
            raise unreadable(self.path, error) from error

    return read


class Reader:
    """Everything that can be asked of a journal; JournalError when it can't be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mine = threading.local()
        self._all: dict[threading.Thread, sqlite3.Connection] = {}
        self._lock = threading.Lock()
        self._connection()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = open_reader(self.path)
            with self._lock:
                ended = [thread for thread in self._all if not thread.is_alive()]  # a web server's come and go
                for thread in ended:
                    self._all.pop(thread).close()
                self._all[threading.current_thread()] = connection
        return connection

    def close(self) -> None:
        """Close the connections of all threads; no thread may be reading."""
        with self._lock:
            for connection in self._all.values():
                connection.close()
            self._all.clear()
        self._mine = threading.local()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        """What is read inside belongs to one instant of the journal."""
        connection = self._connection()
        with explained(self.path):
            connection.execute("BEGIN")
            try:
                yield self
            finally:
                connection.execute("COMMIT")

    def _ask(self, query: str, arguments: Sequence[object] = ()) -> list[Any]:
        with explained(self.path):
            return self._connection().execute(query, arguments).fetchall()

    @_readable
    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` reads of tables that a file of their own describes."""
        with explained(self.path):
            return work(self._connection())

    def _walk(self, query: str, arguments: Sequence[object] = ()) -> Iterator[Any]:
        with explained(self.path):
            yield from self._connection().execute(query, arguments)

    # The registry and the link

    @_readable
    def registry_version(self) -> int:
        """Grows with every change to devices, places and curves; cheap enough to ask once a second."""
        return int(self._ask("SELECT value FROM meta WHERE key = 'registry_version'")[0][0])

    @_readable
    def devices(self, *, revoked: bool = True) -> list[DeviceRecord]:
        """The nodes in the order of their registration, those out of use too unless `revoked` is False."""
        rows = self._ask(
            "SELECT d.id, d.name, d.kind, d.dev_eui, d.join_eui, a.paddock, a.water_point, d.probes, d.added_us,"
            " d.revoked_us, max(coalesce((SELECT max(record) FROM sample WHERE registration = d.id), 0),"
            " coalesce((SELECT max(record) FROM undated WHERE registration = d.id), 0))"
            " FROM device d LEFT JOIN assignment a ON a.registration = d.id AND a.since_us ="
            " (SELECT max(since_us) FROM assignment WHERE registration = d.id) ORDER BY d.id"
        )
        return [
            DeviceRecord(
                registration=row[0],
                name=row[1],
                kind=row[2],
                dev_eui=row[3],
                join_eui=row[4],
                paddock=row[5],
                water_point=row[6],
                probes=tuple(Probe(**probe) for probe in json.loads(row[7])),
                added_us=row[8],
                revoked_us=row[9],
                newest_record=row[10],
            )
            for row in rows
            if revoked or row[9] is None
        ]

    def assignments(self) -> dict[int, list[Assignment]]:
        """Where each node stood since when, oldest first."""
        found: dict[int, list[Assignment]] = {}
        for registration, *place in self._ask(
            "SELECT registration, since_us, paddock, water_point FROM assignment ORDER BY registration, since_us"
        ):
            found.setdefault(registration, []).append(Assignment(*place))
        return found

    @_readable
    def sessions(self) -> list[SessionUpdate]:
        """Keys and counters of every node in use, the pending session after the one that is valid."""
        rows = self._ask(
            "SELECT s.registration, s.fcnt_up, s.fcnt_down, s.pending = 1, s.dev_addr, s.nwk_skey, s.app_skey,"
            " d.dev_nonce, d.join_nonce FROM session s JOIN device d ON d.id = s.registration"
            " ORDER BY s.registration, s.pending"
        )
        return [
            SessionUpdate(
                registration=row[0],
                fcnt_up=row[1],
                fcnt_down=row[2],
                pending=bool(row[3]),
                dev_addr=row[4],
                nwk_skey=row[5],
                app_skey=row[6],
                dev_nonce=row[7],
                join_nonce=row[8],
            )
            for row in rows
        ]

    def nonces(self) -> dict[int, tuple[int, int]]:
        """(lowest DevNonce still allowed, last JoinNonce given) of each node."""
        return {row[0]: (row[1], row[2]) for row in self._ask("SELECT id, dev_nonce, join_nonce FROM device")}

    def newest_records(self) -> dict[int, int]:
        """The highest record number kept of each node that sent any."""
        rows = self._ask("SELECT d.id, (SELECT max(record) FROM sample WHERE registration = d.id) FROM device d")
        return {registration: record for registration, record in rows if record is not None}

    def counters(self) -> dict[str, int]:
        """The link's counters since the journal began."""
        return dict(self._ask("SELECT name, value FROM counter"))

    # Readings

    def samples(
        self, registration: int | None = None, since_us: int = 0, until_us: int = _ALWAYS
    ) -> Iterator[SampleRow]:
        """Kept samples of one node or all with since_us <= time < until_us, by (time, record)."""
        chosen = self.newest_records() if registration is None else (registration,)
        query = (
            f"{_SAMPLE}WHERE s.registration = ? AND s.time_us >= ? AND s.time_us < ?"
            " ORDER BY s.time_us, s.record"
        )  # node by node along the index: sorted as a whole, the first row would wait for the last
        walks = [map(self._sample, self._walk(query, (node, since_us, until_us))) for node in chosen]
        return heapq.merge(*walks, key=_order)

    def sample_times(self, registration: int, since_us: int) -> Iterator[int]:
        """When the samples of a node since `since_us` were taken, oldest first."""
        query = "SELECT time_us FROM sample WHERE registration = ? AND time_us >= ? ORDER BY time_us"
        return (row[0] for row in self._walk(query, (registration, since_us)))

    def samples_after(
        self, registration: int, time_us: int, record: int, limit: int, until_us: int | None = None
    ) -> list[SampleRow]:
        """The next samples of a node behind (time, record) and before `until_us`, in that order."""
        rows = self._ask(
            f"{_SAMPLE}WHERE s.registration = ?1 AND s.time_us >= ?2 AND (s.time_us, s.record) > (?2, ?3)"
            " AND (?5 IS NULL OR s.time_us < ?5) ORDER BY s.time_us, s.record LIMIT ?4",
            (registration, time_us, record, limit, until_us),
        )
        return [self._sample(row) for row in rows]

    def _sample(self, row: Sequence[Any]) -> SampleRow:
        if not type(row[0]) is type(row[1]) is type(row[2]) is type(row[3]) is int:
            raise damaged(self.path, f"sample {row[0]} has no number or no time")
        return sound_sample(row)

    def uncleaned(self) -> dict[int, int]:
        """Oldest time of a sample that has no cleaned values yet, by registration."""
        return dict(
            self._ask(
                "SELECT s.registration, min(s.time_us) FROM sample s NOT INDEXED LEFT JOIN cleaned c"
                f" ON c.sample = s.id WHERE s.id > {CLEANED_UP_TO} AND c.sample IS NULL GROUP BY s.registration"
            )
        )

    def readings(
        self, registration: int | None = None, since_us: int = 0, until_us: int = _ALWAYS
    ) -> Iterator[Reading]:
        """Every channel of every sample, raw and cleaned, by time: what `suat readings` prints."""
        for sample in self.samples(registration, since_us, until_us):
            yield from self._readings_of(sample)

    @_readable
    def _readings_of(self, sample: SampleRow) -> list[Reading]:
        return list(readings_of(sample))

    @_readable
    def latest(self, registration: int) -> list[Reading]:
        """The readings of a node's newest sample."""
        rows = self._ask(f"{_SAMPLE}WHERE s.registration = ? ORDER BY s.time_us DESC LIMIT 1", (registration,))
        return [reading for row in rows for reading in readings_of(self._sample(row))]

    def last_seen(self, registration: int, until_us: int = _ALWAYS) -> LastSeen | None:
        """The newest sample of a node taken before `until_us`, None before its first."""
        rows = self._ask(
            "SELECT time_us, received_us, record, rssi, snr FROM sample"
            " WHERE registration = ? AND time_us < ? ORDER BY time_us DESC LIMIT 1",
            (registration, until_us),
        )
        return LastSeen(*rows[0]) if rows else None

    def has_sample(self, registration: int, since_us: int, until_us: int) -> bool:
        """Whether a sample of that node was taken between two instants, both included."""
        rows = self._ask(
            "SELECT 1 FROM sample WHERE registration = ? AND time_us BETWEEN ? AND ? LIMIT 1",
            (registration, since_us, until_us),
        )
        return bool(rows)

    @_readable
    def series(
        self, registration: int, group: str, channel: str, since_us: int = 0, until_us: int = _ALWAYS
    ) -> tuple[Array, Array, Array]:
        """(time [us, int64], cleaned value [NaN while unusable], flags) of one channel, by time."""
        code = channel_of(group, channel).code
        times, entries, origin = self.cleaned_entries(registration, since_us, until_us)
        mine = entries["code"] == code
        chosen = entries[mine]
        return times[origin[mine]], chosen["value"].copy(), chosen["flags"].copy()

    @_readable
    def cleaned_entries(self, registration: int, since_us: int, until_us: int) -> tuple[Array, Array, Array]:
        """(sample times [us], entries of all channels (`packed.CLEANED`), each entry's sample) of a node, by time."""
        rows = self.cleaned_bodies(registration, since_us, until_us)
        times = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        entries, origin = stack([row[1] for row in rows], CLEANED)
        return times, entries, origin

    def cleaned_bodies(self, registration: int, since_us: int, until_us: int) -> list[tuple[int, bytes]]:
        """(time [us], cleaned body) of a node's samples, by time."""
        rows = self._ask(
            "SELECT s.time_us, CAST(c.body AS BLOB) FROM sample s JOIN cleaned c ON c.sample = s.id"
            " WHERE s.registration = ? AND s.time_us >= ? AND s.time_us < ? ORDER BY s.time_us, s.record",
            (registration, since_us, until_us),
        )
        return [(time_us, sound_packed(body, CLEANED, registration, time_us)) for time_us, body in rows]

    def lasting_episodes(self, registration: int, at_us: int) -> list[Episode]:
        """Broken probes of a node at an instant, by channel."""
        return self.read(lambda connection: lasting_episodes(connection, registration, at_us))

    def episodes(self, registration: int, since_us: int = 0, until_us: int = _ALWAYS) -> list[Episode]:
        """Those that were there at some time of since_us <= time < until_us, by their beginning."""
        return self.read(lambda connection: episodes_of(connection, registration, since_us, until_us))

    # Windows

    @_readable
    def windows(
        self, registration: int, group: str, channel: str, width_s: int, since_us: int = 0, until_us: int = _ALWAYS
    ) -> tuple[Array, Array]:
        """(start [us, int64], fields n, min, max, mean, last, median) of windows with since_us <= start < until_us."""
        code = channel_of(group, channel).code
        rows = self._ask(
            "SELECT start_us, CAST(body AS BLOB) FROM window WHERE registration = ? AND width_s = ? AND start_us >= ?"
            " AND start_us < ? ORDER BY start_us",
            (registration, width_s, since_us, until_us),
        )
        starts = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        entries, origin = stack([sound_packed(body, WINDOW, registration, start) for start, body in rows], WINDOW)
        mine = entries["code"] == code
        return starts[origin[mine]], entries[mine].copy()

    @_readable
    def window_codes(self, registration: int, width_s: int, since_us: int) -> list[tuple[int, list[int]]]:
        """(start, codes of its channels) of a node's windows of one width since `since_us`."""
        rows = self._ask(
            "SELECT start_us, CAST(body AS BLOB) FROM window WHERE registration = ? AND width_s = ? AND start_us >= ?",
            (registration, width_s, since_us),
        )
        sound = [(start, sound_packed(body, WINDOW, registration, start)) for start, body in rows]
        return [(start, [entry.code for entry in unpack_window(body)]) for start, body in sound]

    # People and decisions

    def moves(self, until_us: int = _ALWAYS) -> list[Move]:
        """Where the herds were led up to and at `until_us`, oldest first."""
        rows = self._ask("SELECT herd, paddock, at_us FROM move WHERE at_us <= ? ORDER BY at_us, id", (until_us,))
        return [Move(*row) for row in rows]

    @_readable
    def statuses(self, kind: str, subject: str, since_us: int = 0, until_us: int = _ALWAYS) -> list[Status]:
        """Published decisions of one subject, oldest first."""
        rows = self._ask(
            "SELECT at_us, kind, subject, status, body FROM status"
            " WHERE kind = ? AND subject = ? AND at_us >= ? AND at_us < ? ORDER BY at_us",
            (kind, subject, since_us, until_us),
        )
        return [_status(row) for row in rows]

    @_readable
    def last_statuses(self, kind: str) -> dict[str, Status]:
        """The newest decision of each subject of a kind."""
        rows = self._ask(
            "SELECT max(at_us), kind, subject, status, body FROM status WHERE kind = ? GROUP BY subject", (kind,)
        )
        return {row[2]: _status(row) for row in rows}

    @_readable
    def alerts(self, since_us: int = 0, *, open_only: bool = False) -> list[Alert]:
        """Alerts raised since `since_us`, oldest first."""
        rows = self._ask(
            "SELECT at_us, subject, kind, level, body, cleared_us FROM alert"
            f" WHERE at_us >= ? {'AND cleared_us IS NULL' if open_only else ''} ORDER BY at_us, id",
            (since_us,),
        )
        return [_alert(row) for row in rows]

    # What the stages behind the journal need

    def filter_state_times(self, registration: int) -> list[int]:
        """When the kept states of a node's filters are of, oldest first."""
        return [
            row[0]
            for row in self._ask(
                "SELECT time_us FROM filter_state WHERE registration = ? ORDER BY time_us", (registration,)
            )
        ]

    def sink_position(self, name: str) -> tuple[int, int] | None:
        """(position, row) of a sink, None when it is unknown."""
        rows = self._ask("SELECT position, row FROM sink WHERE name = ?", (name,))
        return (rows[0][0], rows[0][1]) if rows else None

    def outbox(self, after: int, limit: int, kind: str | None = None) -> list[OutboxEntry]:
        """The next entries after number `after`."""
        rows = self._ask(
            "SELECT seq, kind, registration, first, last, sink FROM outbox WHERE seq > ? AND (? IS NULL OR kind = ?)"
            " ORDER BY seq LIMIT ?",
            (after, kind, kind, limit),
        )
        return [OutboxEntry(*row) for row in rows]

    @_readable
    def outbox_backlog(self, after: int) -> int:
        """How many entries a sink at number `after` has not been told."""
        newest = self._ask("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'")  # numbered without gaps
        return max(0, newest[0][0] - after) if newest else 0

    def samples_of(self, entry: OutboxEntry, place: int, limit: int) -> list[tuple[int, SampleRow]]:
        """(place behind it, sample) of an outbox entry from `place` on: row ids, or record numbers of its node."""
        if entry.registration is None:
            return [(row[0] + 1, self._sample(row)) for row in self._entry(_SAMPLE, "s.id", entry, place, limit)]
        query = f"{_SAMPLE}WHERE s.registration = ? AND s.record BETWEEN ? AND ? ORDER BY s.record LIMIT ?"
        rows = self._ask(query, (entry.registration, max(entry.first, place), entry.last, limit))
        return [(sample.record + 1, sample) for sample in map(self._sample, rows)]

    def windows_of(self, entry: OutboxEntry, place: int, limit: int) -> list[tuple[int, WindowRow]]:
        """(place behind it, window) of an outbox entry from `place` on."""
        query = "SELECT id, registration, width_s, start_us, CAST(body AS BLOB) FROM window "
        return [(row[0] + 1, sound_window(row[1:])) for row in self._entry(query, "id", entry, place, limit)]

    @_readable
    def statuses_of(self, entry: OutboxEntry, place: int, limit: int) -> list[tuple[int, Status]]:
        """The same of decisions."""
        query = "SELECT id, at_us, kind, subject, status, body FROM status "
        rows = self._entry(query, "id", entry, place, limit)
        return [(row[0] + 1, _status(row[1:])) for row in rows]

    @_readable
    def alerts_of(self, entry: OutboxEntry, place: int, limit: int) -> list[tuple[int, Alert]]:
        """The same of alerts."""
        query = "SELECT id, at_us, subject, kind, level, body, cleared_us FROM alert "
        rows = self._entry(query, "id", entry, place, limit)
        return [(row[0] + 1, _alert(row[1:])) for row in rows]

    def _entry(self, query: str, key: str, entry: OutboxEntry, place: int, limit: int) -> list[Any]:
        where = f"WHERE {key} BETWEEN ? AND ? ORDER BY {key} LIMIT ?"
        return self._ask(query + where, (max(entry.first, place), entry.last, limit))

    def dropped(self, since_us: int = 0) -> list[Dropped]:
        """What the journal has given up since `since_us`, by day."""
        query = (
            "SELECT kind, why, day_us, first_us, last_us, count FROM dropped WHERE day_us >= ? ORDER BY day_us, kind"
        )
        return [Dropped(*row) for row in self._ask(query, (since_us,))]

    def salvages(self) -> list[tuple[int, str, str, int, int, int | None]]:
        """(when, file, reason, pages brought over, pages in all, when it was done) of damaged journals set aside."""
        return self._ask("SELECT at_us, file, reason, page, pages, done_us FROM salvage ORDER BY id")

    def dead_letters(self, sink: str | None = None) -> list[tuple[int, str, int, str, str]]:
        """(id, sink, time, line, reason) of what was set aside."""
        return self._ask(
            "SELECT id, sink, at_us, line, reason FROM dead_letter WHERE ? IS NULL OR sink = ? ORDER BY id",
            (sink, sink),
        )


def _order(row: SampleRow) -> tuple[int, int, int]:
    return row.time_us, row.record, row.registration


def _status(row: Sequence[Any]) -> Status:
    return Status(row[0], row[1], row[2], row[3], json.loads(row[4]))


def _alert(row: Sequence[Any]) -> Alert:
    return Alert(row[0], row[1], row[2], row[3], json.loads(row[4]), row[5])
