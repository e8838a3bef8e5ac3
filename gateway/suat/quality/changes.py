"""What the filters have made of a node's samples and the journal does not hold yet.

Filters may think better of readings that they have judged: a step proves true, a probe proves broken. Such a revision
changes what waits here and rows of the journal alike, months back if need be. So all of it goes in steps, each a
transaction of limited size. What a replay begins at, a kept state, goes with the last of them: until then it begins
before all that has changed, and the revision comes again.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from suat_filters import BROKEN
from suat_samples import flagged

from suat.metrics import SAMPLES_REVISED
from suat.quality.calibrate import NodeCalibration
from suat.quality.filters import Key, Revision, cleaning_of, key_of
from suat.records import KeptSample
from suat.store.journal import Journal
from suat.store.reader import Reader
from suat.store.revisions import reaches_behind
from suat.store.rows import Derived, Episode, FilterState, Reach, SampleRow

CHUNK = 2000  # samples of one step
HELD = 20_000  # samples that may wait, some 7 MB
_LAST_S = 1e12

OnChange = Callable[[int, Sequence[int], int], None]  # (registration, times of samples, first number in the outbox)


class _Row(NamedTuple):
    """A sample that is not in the journal as it should be."""

    record: int
    time_us: int
    before: bytes | None  # as the journal has it; None: it was never cleaned
    body: bytes


class Changes:
    """What is to be written of one node, from a known state of its filters on.

    `on_change` is told of samples whose cleaned values are new or changed, after they were written.
    """

    def __init__(
        self,
        journal: Journal,
        reader: Reader,
        registration: int,
        calibration: NodeCalibration,
        on_change: OnChange,
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._registration = registration
        self._calibration = calibration
        self._on_change = on_change
        self._rows: dict[int, _Row] = {}  # by sample id
        self._states: list[FilterState] = []
        self._revisions: deque[Revision] = deque()  # still to be applied, the first of them up to `_revised`
        self._revised: Key | None = None
        self._reaches: dict[Key, Reach] = {}
        self._outlived: list[Reach] = []  # of an earlier run over the same samples: they may not hold any more
        self._writing = False
        self.since: Key | None = None  # the oldest sample that was added and is not written with all that belongs to it
        self.fresh = False  # among them is one that was never cleaned

    def expect(self, seen: Key) -> None:
        """The samples behind `seen` were in the journal before, with whatever they brought about."""
        self._outlived = self._reader.read(lambda connection: reaches_behind(connection, self._registration, *seen))

    def add(
        self,
        samples: Sequence[KeptSample | SampleRow],
        bodies: Iterable[bytes],
        states: Iterable[FilterState],
        revisions: Iterable[Revision],
    ) -> None:
        """What a run of the filters over the next samples has given."""
        if self.since is None:
            self.since = key_of(samples[0])
        for sample, body in zip(samples, bodies, strict=True):
            before = sample.cleaned if isinstance(sample, SampleRow) else None
            self.fresh |= before is None
            if body != before:
                self._rows[sample.id] = _Row(sample.record, sample.time_us, before, body)
        self._states += states
        self._revisions += revisions

    def flush(self) -> None:
        """Have all of it written."""
        self._writing = True

    @property
    def due(self) -> bool:
        """Whether `work` has something to do."""
        return self._writing or bool(self._revisions)

    def work(self, seen: Key) -> int:
        """Some `CHUNK` samples of it, for filters that have seen all up to `seen`; how many it were. JournalError."""
        done = 0
        while self.due and done < CHUNK:
            done += self._step(seen)
        return done

    def _step(self, seen: Key) -> int:
        if self._revisions:
            return self._revise(self._revisions[0])
        if len(self._rows) > CHUNK:
            return self._derive()
        passed = [reach for reach in self._outlived if reach[1:3] <= seen]
        still = {*self._reaches.values()}
        gone = [reach for reach in passed if reach not in still]
        count = self._derive(self._states, gone) if self._rows or self._states or gone else 0
        self._outlived = self._outlived[len(passed) :]
        self._states, self._reaches = [], {}
        self.since, self.fresh, self._writing = None, False, False
        return count

    def _revise(self, revision: Revision) -> int:
        """Apply a revision to the next of the samples that are meant, whether they wait here or not."""
        seen = self._revised or (_microseconds(revision.since_s) - 1, 0)  # what rounding lets in is looked at again
        end_us = min(_microseconds(revision.until_s) + 1, revision.by[0]) + 1
        rows = self._reader.samples_after(self._registration, *seen, CHUNK, end_us)
        for row in rows:
            if key_of(row) < revision.by and revision.since_s <= row.time_us / 1e6 <= revision.until_s:
                known = self._reaches.get(revision.by)
                since_us = row.time_us if known is None else min(row.time_us, known.since_us)
                self._reaches[revision.by] = Reach(self._registration, *revision.by, since_us)
                self._revise_row(row, revision)
        if len(rows) == CHUNK:
            self._revised = key_of(rows[-1])
        else:
            self._revised = None
            self._revisions.popleft()
        if len(self._rows) > HELD:
            self._derive()
        return len(rows)

    def _revise_row(self, row: SampleRow, revision: Revision) -> None:
        known = self._rows.get(row.id)
        before = row.cleaned if known is None else known.before
        body = before if known is None else known.body
        if not row.body or not body:  # damaged; or it came late, and the filters will see it in its turn
            return
        revised = cleaning_of(row.body).revise(
            row.body, body, revision.code, revision.set, revision.clear, self._calibration
        )
        if revised == before:
            self._rows.pop(row.id, None)
        elif revised != body:
            self._rows[row.id] = _Row(row.record, row.time_us, before, revised)

    def _derive(self, states: Sequence[FilterState] = (), gone: Sequence[Reach] = ()) -> int:
        """One transaction, with the next samples. How far revisions reach is known before they are in force."""
        chosen = heapq.nsmallest(CHUNK, self._rows.items(), key=lambda row: row[1].record)  # no record in two of them
        rows = [row for _, row in chosen]
        told = self._journal.derive(
            Derived(
                cleaned=[(identity, row.body) for identity, row in chosen],
                of=(self._registration, rows[0].record, rows[-1].record) if rows else None,
                states=[*states],
                reaches=[*self._reaches.values()],
                unreached=[*gone],
                broken=self._broken(rows),
            )
        )
        for identity, _ in chosen:
            del self._rows[identity]
        if rows:
            SAMPLES_REVISED.inc(sum(row.before is not None for row in rows))
            self._on_change(self._registration, sorted(row.time_us for row in rows), told.first)
        return len(rows)

    def _broken(self, rows: Iterable[_Row]) -> list[Episode]:
        """Of each channel the stretch in which readings of a broken probe came, went, or were parted by another."""
        known = None
        stretches: dict[int, tuple[int, int]] = {}
        for row in rows:
            codes = {*flagged(row.before or b"", BROKEN)} ^ {*flagged(row.body, BROKEN)}
            if row.before is None:
                if known is None:
                    known = self._reader.episodes(self._registration)
                codes |= {episode.code for episode in known if episode.since_us <= row.time_us <= episode.until_us}
            for code in codes:
                first, last = stretches.get(code, (row.time_us, row.time_us))
                stretches[code] = min(first, row.time_us), max(last, row.time_us)
        return [Episode(self._registration, code, *stretch) for code, stretch in stretches.items()]


def _microseconds(time_s: float) -> int:
    return round(max(0.0, min(time_s, _LAST_S)) * 1e6)
