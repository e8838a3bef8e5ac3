"""Keep: one SQLite file holds the link's state, the raw readings and all that is derived from them.

A batch is one transaction: counters, samples and registry changes are on disk together or not at all. `Journal` writes
and belongs to one thread at a time (the scheduler's offload thread, or a command); all others read through `Reader`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from suat.hardware import boot_id
from suat.records import Acknowledgement, Admitted, Batch, Committed, DeviceRecord, KeptSample, SessionUpdate
from suat.store import undated
from suat.store.database import JournalError, explained, open_writer
from suat.store.episodes import find_episodes
from suat.store.outbox import forget_told, last_number, place, tell, tell_again
from suat.store.reader import CLEANED_UP_TO, Reader
from suat.store.revisions import forget_reaches, keep_reaches
from suat.store.rows import Derived, Move, Told
from suat.store.sessions import write_session, write_sessions

__all__ = ["Journal", "JournalError", "Reader"]

ACK_BITS = 64  # suat_wire.control: a bitmap of 8 bytes, bit i is record cumulative + 1 + i
STATES_DAYS = 14  # how long every day's state of the filters is kept
LETTERS = 100_000  # dead letters that are kept, some 30 MB
ACK_SCAN = 20_000  # records looked at for one acknowledgement


class Journal:
    """The writing side. Every method is one transaction, done or undone as a whole; JournalError when undone."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self.boot = boot_id()
        self.floor_us = 0  # no sample is dated before it
        self._durable = durable
        self._connection = open_writer(path, durable)
        with explained(path):
            self._holds_undated = undated.held(self._connection)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def reader(self) -> Reader:
        """A reading side of the same file, for other threads."""
        return Reader(self.path)

    @contextmanager
    def transaction(self, *, derived: bool = False) -> Iterator[sqlite3.Connection]:
        """On the disk when it returns; what is `derived` with the next that is: after a power cut it is made again."""
        connection = self._connection
        with explained(self.path):
            connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable and not derived else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def pragma(self, name: str) -> int:
        """A figure of the file: page_size, page_count, freelist_count."""
        with explained(self.path):
            return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def commit(self, batch: Batch) -> Committed:
        """Write what was admitted; then say which samples were new, and what is held of the records asked about.

        What was received before the clock was trusted waits for its date (`date`) and is not among the new ones.
        """
        dated, waiting = undated.split(batch.admitted)
        with self.transaction() as connection:
            frames = [admitted.session for admitted in batch.admitted if admitted.session is not None]
            write_sessions(connection, [*frames, *batch.sessions])
            samples = self._keep(connection, dated)
            if waiting:
                self._holds_undated = True
                undated.hold(connection, self.boot, waiting)
            connection.executemany(
                "INSERT INTO counter (name, value) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                list(batch.counters.items()),
            )
            answers = {  # within: a look that fails undoes the whole, and nothing is counted or cleaned by halves
                index: self._acknowledge(admitted.registration, admitted.ack_from)
                for index, admitted in enumerate(batch.admitted)
                if admitted.ack_from is not None
            }
        return Committed(samples, answers, len(waiting))

    def _keep(self, connection: sqlite3.Connection, admitted: Iterable[Admitted]) -> tuple[KeptSample, ...]:
        """Write samples; those that were new."""
        first = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM sample").fetchone()[0]
        rows = list(_sample_rows(admitted, first, self.floor_us))
        connection.executemany(
            "INSERT INTO sample (id, registration, record, time_us, received_us, fcnt, rssi, snr, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (registration, record) DO NOTHING",
            rows,
        )
        new = connection.execute("SELECT id FROM sample WHERE id >= ? ORDER BY id", (first,)).fetchall()
        samples = []
        for (identity,) in new:
            _, registration, record, time_us, _, _, _, _, body = rows[identity - first]
            samples.append(KeptSample(identity, registration, record, time_us, body))
        return tuple(samples)

    def date(self, offset_us: int) -> tuple[tuple[KeptSample, ...], bool]:
        """Date samples that came before the clock was trusted: (those that are new, whether more wait).

        This boot's times are UTC with `offset_us` added.
        """
        if not self._holds_undated:
            return (), False
        with self.transaction() as connection:
            samples = self._keep(connection, undated.take(connection, self.boot, offset_us))
            more = undated.held(connection)
        self._holds_undated = more
        return samples, more

    def _acknowledge(self, registration: int, ack_from: int) -> Acknowledgement:
        """What the table holds from `ack_from` on: never what memory believes."""
        cumulative = ack_from - 1
        bitmap = 0
        held = self._connection.execute(
            _HELD_UNDATED_TOO if self._holds_undated else _HELD,
            (registration, ack_from, ACK_SCAN),
        )
        for (record,) in held:
            if record == cumulative + 1 and not bitmap:
                cumulative = record
            elif record - cumulative <= ACK_BITS:
                bitmap |= 1 << (record - cumulative - 1)
            else:
                break
        held.close()
        return Acknowledgement(registration, cumulative, bitmap.to_bytes((bitmap.bit_length() + 7) // 8, "little"))

    def derive(self, derived: Derived) -> Told:
        """Write derived rows and tell the sinks of those that changed."""
        with self.transaction(derived=True) as connection:
            before = last_number(connection)
            connection.executemany(
                "INSERT INTO cleaned (sample, body) VALUES (?, ?)"
                " ON CONFLICT (sample) DO UPDATE SET body = excluded.body",
                derived.cleaned,
            )
            for stretch in derived.broken:
                find_episodes(connection, stretch)
            tell(connection, "sample", [sample for sample, _ in derived.cleaned], derived.of)
            tell(connection, "window", _upsert(connection, _WINDOW, derived.windows))
            statuses = [(*row[:4], _json(row.body)) for row in derived.statuses]
            tell(connection, "status", _upsert(connection, _STATUS, statuses))
            alerts = [(*row[:4], _json(row.body), row.cleared_us) for row in derived.alerts]
            tell(connection, "alert", _upsert(connection, _ALERT, alerts))
            connection.executemany(
                "INSERT INTO filter_state (registration, time_us, record, body) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (registration, time_us) DO UPDATE SET record = excluded.record, body = excluded.body",
                derived.states,
            )
            if derived.reaches or derived.unreached:
                keep_reaches(connection, derived.reaches, derived.unreached)
            connection.executemany(
                _THIN, [(state.registration, state.time_us - STATES_DAYS * 86_400_000_000) for state in derived.states]
            )
            if derived.states:  # once a day and node
                forget_reaches(connection, {state.registration for state in derived.states})
                connection.execute(_CLEANED_UP_TO)
            for sink, (position, row) in derived.positions.items():
                place(connection, sink, position, row)
            if derived.positions:
                forget_told(connection)
            return Told(before + 1, last_number(connection))

    def drop_states(self, registration: int, since_us: int) -> None:
        """Forget the filters' states of a node from `since_us` on: readings came in before them."""
        with self.transaction() as connection:
            connection.execute(
                "DELETE FROM filter_state WHERE registration = ? AND time_us >= ?", (registration, since_us)
            )

    def add_device(self, device: DeviceRecord, session: SessionUpdate | None = None) -> int:
        """Register a node (with its session when it never joins) and give its registration number.

        JournalError when a node that is in use has the name or the EUI already.
        """
        probes = [{"name": p.name, "depth_cm": p.depth_cm, "position": p.position} for p in device.probes]
        with self.transaction() as connection:
            for column, value in (("name", device.name), ("dev_eui", device.dev_eui.lower())):
                taken = connection.execute(
                    f"SELECT name FROM device WHERE {column} = ? AND revoked_us IS NULL", (value,)
                ).fetchone()
                if taken:
                    raise JournalError(
                        f'{column.replace("_", "-")} "{value}" belongs to the node "{taken[0]}";'
                        " revoke that one first, or give another",
                        transient=False,
                    )
            registration = int(
                connection.execute(
                    "INSERT INTO device (name, kind, dev_eui, join_eui, probes, added_us)"
                    " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
                    (
                        device.name,
                        device.kind,
                        device.dev_eui.lower(),
                        device.join_eui.lower() if device.join_eui else None,
                        _json(probes),
                        device.added_us,
                    ),
                ).fetchone()[0]
            )
            connection.execute(
                "INSERT INTO assignment (registration, since_us, paddock, water_point) VALUES (?, 0, ?, ?)",
                (registration, device.paddock, device.water_point),
            )
            if session is not None:
                write_session(connection, replace(session, registration=registration))
            _touch_registry(connection)
        return registration

    def revoke_device(self, registration: int, at_us: int) -> None:
        """Take a node out of use: its sessions are gone at once, its readings stay."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE device SET revoked_us = ? WHERE id = ? AND revoked_us IS NULL", (at_us, registration)
            )
            connection.execute("DELETE FROM session WHERE registration = ?", (registration,))
            _touch_registry(connection)

    def assign(self, registration: int, since_us: int, paddock: str | None, water_point: str | None) -> None:
        """A node was put somewhere else; its readings from `since_us` on belong there."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO assignment (registration, since_us, paddock, water_point) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (registration, since_us) DO UPDATE"
                " SET paddock = excluded.paddock, water_point = excluded.water_point",
                (registration, since_us, paddock, water_point),
            )
            _touch_registry(connection)

    def add_move(self, move: Move) -> None:
        """Keep where a herd was led; the same herd at the same instant is corrected."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO move (herd, paddock, at_us) VALUES (?, ?, ?)"
                " ON CONFLICT (herd, at_us) DO UPDATE SET paddock = excluded.paddock",
                move,
            )

    def add_sink(self, name: str) -> tuple[int, int]:
        """Where a sink stands: (position, row). A new one is told everything that is kept."""
        with self.transaction() as connection:
            found = connection.execute("SELECT position, row FROM sink WHERE name = ?", (name,)).fetchone()
            if found:
                return int(found[0]), int(found[1])
            position = last_number(connection)
            connection.execute("INSERT INTO sink (name, position, row) VALUES (?, ?, 0)", (name, position))
            tell_again(connection, 0, name)
        return position, 0

    def advance(self, sink: str, position: int, row: int = 0) -> None:
        """Persist where a sink stands, and forget what every sink was told."""
        with self.transaction() as connection:
            place(connection, sink, position, row)
            forget_told(connection)

    def keep_sinks(self, names: Collection[str]) -> None:
        """Nothing is kept for other sinks than these. Should one come back, it is told everything."""
        with self.transaction() as connection:
            marks = ", ".join("?" * len(names))
            connection.execute(f"DELETE FROM sink WHERE name NOT IN ({marks})", tuple(names))
            forget_told(connection)

    def resend(self, since_us: int, sink: str | None = None) -> int:
        """Tell a sink, or all, again of every row since `since_us`; how many ranges were added."""
        with self.transaction() as connection:
            return tell_again(connection, since_us, sink)

    def dead_letter(self, sink: str, at_us: int, letters: Sequence[tuple[str, str]]) -> None:
        """Set aside (line, reason) that a sink will never take; of too many the newest are kept."""
        with self.transaction() as connection:
            connection.executemany(
                "INSERT INTO dead_letter (sink, at_us, line, reason) VALUES (?, ?, ?, ?)",
                [(sink, at_us, line, reason) for line, reason in letters],
            )
            connection.execute("DELETE FROM dead_letter WHERE id <= (SELECT max(id) FROM dead_letter) - ?", (LETTERS,))

    def drop_letters(self, numbers: Sequence[int]) -> None:
        """Forget dead letters: they were taken after all, or nobody wants them."""
        with self.transaction() as connection:
            connection.executemany("DELETE FROM dead_letter WHERE id = ?", [(number,) for number in numbers])


_HELD = "SELECT record FROM sample WHERE registration = ?1 AND record >= ?2 ORDER BY record LIMIT ?3"
_HELD_UNDATED_TOO = (
    "SELECT record FROM sample WHERE registration = ?1 AND record >= ?2"
    " UNION SELECT record FROM undated WHERE registration = ?1 AND record >= ?2 ORDER BY record LIMIT ?3"
)
# Up to the sample before the oldest uncleaned one, so that a start need not look through all of them.
_CLEANED_UP_TO = (
    "INSERT OR REPLACE INTO meta SELECT 'cleaned_up_to', coalesce((SELECT s.id - 1 FROM sample s"
    f" LEFT JOIN cleaned c ON c.sample = s.id WHERE s.id > {CLEANED_UP_TO} AND c.sample IS NULL ORDER BY s.id LIMIT 1),"
    " (SELECT max(id) FROM sample), 0)"
)
# Of the filters' old states the first of each month stays.
_THIN = (
    "DELETE FROM filter_state AS old WHERE registration = ? AND time_us < ? AND EXISTS"
    " (SELECT 1 FROM filter_state AS kept WHERE kept.registration = old.registration AND kept.time_us < old.time_us"
    " AND strftime('%Y-%m', kept.time_us / 1000000, 'unixepoch')"
    " = strftime('%Y-%m', old.time_us / 1000000, 'unixepoch'))"
)
_WINDOW = (
    "INSERT INTO window (registration, width_s, start_us, body) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (registration, width_s, start_us) DO UPDATE SET body = excluded.body WHERE body <> excluded.body"
    " RETURNING id"
)
_STATUS = (
    "INSERT INTO status (at_us, kind, subject, status, body) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (kind, subject, at_us) DO UPDATE SET status = excluded.status, body = excluded.body"
    " WHERE body <> excluded.body OR status <> excluded.status RETURNING id"
)
_ALERT = (
    "INSERT INTO alert (at_us, subject, kind, level, body, cleared_us) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (subject, kind, at_us) DO UPDATE"
    " SET level = excluded.level, body = excluded.body, cleared_us = excluded.cleared_us RETURNING id"
)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _sample_rows(
    admitted: Iterable[Admitted], first: int, floor_us: int
) -> Iterator[tuple[int, int, int, int, int, int, float | None, float | None, bytes]]:
    """Rows of the table `sample`, numbered from `first`; those that were known leave a gap in the numbers."""
    identity = first
    for frame in admitted:
        for row in frame.rows:
            yield (
                identity,
                frame.registration,
                row.record,
                row.time_us if row.time_us >= floor_us else floor_us + row.record % 1_000_000,
                frame.received_us,
                frame.fcnt,
                frame.rssi,
                frame.snr,
                row.body,
            )
            identity += 1


def _touch_registry(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'registry_version'")


def _upsert(connection: sqlite3.Connection, statement: str, rows: Iterable[Sequence[object]]) -> list[int]:
    """Ids of the rows that are new or changed."""
    ids = []
    for row in rows:
        found = connection.execute(statement, row).fetchone()
        if found is not None:
            ids.append(found[0])
    return ids
