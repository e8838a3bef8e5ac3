"""Summarise: 15 minutes, 1 hour and 1 day of each channel, out of its cleaned values.

A window is *dirty* when a cleaned value in it is new or changed. It is computed again, whole, once it has ended (and a
little later, for stragglers); late readings make an old one dirty again. Dirty windows need no table of their own: they
follow from the outbox, of which the sink `windows` remembers how far all that was dirty has been computed.

15 minutes and 1 hour are UTC's. A day is the station's: from one local midnight to the next, 23 to 25 hours where the
clock is changed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from suat_samples import summarise

from suat.store.journal import Journal
from suat.store.packed import Summary, pack_window
from suat.store.reader import Reader
from suat.store.rows import Derived, WindowRow

QUARTER_S, HOUR_S, DAY_S = 900, 3600, 86400
WIDTHS_S = (QUARTER_S, HOUR_S, DAY_S)
GRACE_S = 120  # [D] what was sent again, after one lost frame, is mostly there by then
SINK = "windows"
RUN_LIMIT = 4000  # windows of one transaction
AHEAD_US = 2 * 86_400_000_000  # what begins later than that from now has a time that a wrong clock gave
_SPAN = 64  # windows of a node not further apart than this many are read in one go
_QUARTER_US = QUARTER_S * 1_000_000
_NAN = math.nan

Bounds = tuple[int, int]


def day_bounds(time_us: int, zone: ZoneInfo) -> Bounds:
    """First instant of the local day of `time_us` and of the next one [us]."""
    local = datetime.fromtimestamp(time_us // 1_000_000, zone)
    midnight = datetime(local.year, local.month, local.day)
    return _instant(midnight, zone), _instant(midnight + timedelta(days=1), zone)


def _instant(local: datetime, zone: ZoneInfo) -> int:
    """Of a midnight that comes twice the first; of one that is skipped the instant of the change (`fold=0`)."""
    return int(local.replace(tzinfo=zone).timestamp()) * 1_000_000


class Bucketer:
    """Which windows a time lies in; remembers the day it was asked for last."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._day: Bounds = (0, 0)

    def bounds(self, width_s: int, time_us: int) -> Bounds:
        """Start and end of the window of that width."""
        if width_s != DAY_S:
            width_us = width_s * 1_000_000
            start = time_us - time_us % width_us
            return start, start + width_us
        if not self._day[0] <= time_us < self._day[1]:
            self._day = day_bounds(time_us, self._zone)
        return self._day


class Windows:
    """Keeps the windows up to date. Lives on the thread that writes the journal."""

    def __init__(self, journal: Journal, reader: Reader, zone: ZoneInfo, grace_s: float = GRACE_S) -> None:
        self._journal = journal
        self._reader = reader
        self._bucketer = Bucketer(zone)
        self._grace_us = int(grace_s * 1e6)
        self._dirty: dict[tuple[int, int, int], int] = {}  # (registration, width, start) -> first number in the outbox
        self._closing: list[tuple[int, int, int, int]] = []  # heap of (due, registration, width, start)
        self._told: int | None = None  # None: not started, so the sink's place is somebody else's to keep

    def start(self) -> None:
        """Find what was dirty when the station stopped."""
        position, _ = self._journal.add_sink(SINK)
        self._told = position
        while entries := self._reader.outbox(self._told, 1000):
            for entry in entries:
                self._told = entry.seq
                place = 0
                mine = entry.kind == "sample" and entry.sink in (None, SINK)
                while mine and (samples := self._reader.samples_of(entry, place, 5000)):
                    place = samples[-1][0]
                    for _, sample in samples:
                        self._touch(sample.registration, sample.time_us, entry.seq)

    def touch(self, registration: int, times_us: Sequence[int], seq: int) -> None:
        """Cleaned values of a node are new or changed; the outbox says so from number `seq` on."""
        for time_us in times_us:
            self._touch(registration, time_us, seq)
        if self._told is not None:
            self._told = max(self._told, seq)

    def _touch(self, registration: int, time_us: int, seq: int) -> None:
        if (registration, QUARTER_S, time_us - time_us % _QUARTER_US) in self._dirty:
            return  # so are the longer ones around it: none of them is computed before it
        for width_s in WIDTHS_S:
            start, end = self._bucketer.bounds(width_s, time_us)
            key = (registration, width_s, start)
            if key not in self._dirty:
                self._dirty[key] = seq
                heapq.heappush(self._closing, (end + self._grace_us, *key))

    def next_due_us(self) -> int | None:
        """When `run` has something to do, None while nothing is dirty."""
        return next((due for due, *_ in self._closing), None)  # may be asked from another thread

    def run(self, now_us: int) -> int:
        """Compute dirty windows that have ended, at most `RUN_LIMIT`; how many. JournalError: nothing is forgotten.

        Windows far ahead are computed at once: the outbox would have to be kept until their end.
        """
        due: list[tuple[int, int, int, int]] = []
        while self._closing and self._closing[0][0] <= now_us and len(due) < RUN_LIMIT:
            due.append(heapq.heappop(self._closing))
        if ahead := [entry for entry in self._closing if entry[3] > now_us + AHEAD_US]:
            due += ahead
            self._closing = [entry for entry in self._closing if entry[3] <= now_us + AHEAD_US]
            heapq.heapify(self._closing)
        if not due:
            return 0
        kept = dict(self._dirty)
        try:
            by_node: dict[tuple[int, int], list[int]] = {}
            for _, registration, width_s, start in due:
                del self._dirty[registration, width_s, start]
                by_node.setdefault((registration, width_s), []).append(start)
            rows = [
                row
                for (registration, width_s), starts in sorted(by_node.items())
                for row in self._compute(registration, width_s, sorted(starts))
            ]
            positions = {}
            if self._told is not None:
                positions[SINK] = (min(self._dirty.values()) - 1 if self._dirty else self._told, 0)
            self._journal.derive(Derived(windows=rows, positions=positions))
        except BaseException:
            self._dirty = kept
            for entry in due:
                heapq.heappush(self._closing, entry)
            raise
        return len(due)

    def rezone(self, registration: int, since_us: int) -> None:
        """Days that are none in the station's zone (it was changed in the configuration) have no values any more."""
        strays = [
            WindowRow(registration, DAY_S, start, pack_window(Summary(code, 0, *[_NAN] * 5) for code in codes))
            for start, codes in self._reader.window_codes(registration, DAY_S, since_us)
            if self._bucketer.bounds(DAY_S, start)[0] != start
        ]
        if strays:
            self._journal.derive(Derived(windows=strays))

    def _compute(self, registration: int, width_s: int, starts: list[int]) -> Iterator[WindowRow]:
        for span in _spans(starts, _SPAN * width_s * 1_000_000):
            end = self._bucketer.bounds(width_s, span[-1])[1]
            summaries = self._summaries(registration, width_s, span[0], end)
            for start in span:
                yield WindowRow(registration, width_s, start, summaries.get(start, b""))

    def _summaries(self, registration: int, width_s: int, since_us: int, until_us: int) -> dict[int, bytes]:
        """The windows of a stretch that hold a sample, by start: each channel that was read in it."""
        edges = [since_us]
        while edges[-1] < until_us:
            edges.append(self._bucketer.bounds(width_s, edges[-1])[1])
        return summarise(self._reader.cleaned_bodies(registration, since_us, until_us), edges)


def _spans(starts: list[int], gap_us: int) -> Iterator[list[int]]:
    """Neighbours together, so that one reading of the journal serves them all."""
    span: list[int] = []
    for start in starts:
        if span and start - span[-1] > gap_us:
            yield span
            span = []
        span.append(start)
    if span:
        yield span
