"""Forward: a sink that tells an InfluxDB what the journal holds, in the order in which it came to hold it.

The journal is the queue: a sink is a position in the outbox, so InfluxDB may be down for weeks and memory does not
notice. Lines are made from the rows when they are sent. A position is only moved on behind rows that InfluxDB has
confirmed or that were set aside as dead letters; it is written a little later, and what is then sent twice after a
power cut is the same points again. Each sink has a thread of its own: a server that hangs holds up nothing else.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from suat.clock import Scheduler, Timer
from suat.store.influx_http import Answer, Verdict, Writer, open_writer, places
from suat.store.journal import Journal, JournalError
from suat.store.points import Points, alert_lines, status_lines
from suat.store.reader import Reader
from suat.store.rows import OutboxEntry
from suat.store.tables import OWN, InfluxTable

log = logging.getLogger(__name__)

BATCH_LINES = 5000  # facts: 5,000-point batches reach the server's best rate
LINGER_S = 0.05  # from one request to the next: what is committed within it shares one
POLL_S = 30.0  # a command may have filled the outbox (`suat resend`)
PERSIST_S = 5.0  # how often the position is written while there is nothing to set aside
PERSIST_LINES = 50_000
RETRY_S = (1.0, 60.0)  # first and longest wait after a failure
LEAST_LINES = 50  # of a request over a link that is too slow for more
JITTER = 0.1  # of Retry-After, added: the stations of a district shall not come back all at once

_SETTLED = (Verdict.DONE, Verdict.BAD_LINES, Verdict.DOUBTFUL, Verdict.TOO_LARGE)
_LINES_A_ROW = 6  # at most: four probes, water, the node
Place = tuple[int, int]  # (position, row) of a sink


@dataclass(slots=True)
class _Load:
    """Lines taken from the outbox, and what became of them; what was told once is not told again after a failure."""

    lines: dict[int, list[str]] = field(default_factory=dict)  # by window width, 0: no window
    end: Place = (0, 0)  # where the sink stands when all is told
    more: bool = False
    parts: list[tuple[int, list[str]]] = field(default_factory=list)  # still to be told, the next one last
    letters: list[tuple[int, str, str]] = field(default_factory=list)  # (width, line, reason)
    taken: int = 0
    known_bad: int = 0  # of the letters: those that the server named bad lines

    @property
    def size(self) -> int:
        return sum(map(len, self.lines.values()))

    def cut(self, step: int) -> None:
        """From now on in parts of at most `step` lines."""
        for width, lines in reversed(self.parts):
            self.lines.setdefault(width, []).extend(lines)
        self.parts = [
            (width, lines[start : start + step])
            for width, lines in self.lines.items()
            for start in range(0, len(lines), step)
        ][::-1]
        self.lines = {}


class Forwarder:
    """One sink. Started by its construction and by every `wake`; stopped by `stop`."""

    def __init__(
        self,
        scheduler: Scheduler,
        table: InfluxTable,
        journal: Journal,
        reader: Reader,
        *,
        name: str = OWN,
        writer: Writer | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._scheduler = scheduler
        self._journal = journal
        self._reader = reader
        self._writer = writer or open_writer(table)
        self._places = places(table.buckets)
        self._chance = chance
        self._place: Place = journal.add_sink(name)
        self._written: Place = self._place
        self._written_at = scheduler.monotonic()
        self._unwritten = 0
        self._load: _Load | None = None
        self._points: tuple[int, Points] | None = None
        self._control: dict[int, str] = {}  # by width the line that was taken last
        self._batch_lines = BATCH_LINES
        self._letters: list[tuple[str, str]] = []  # set aside, not yet written to the journal
        self._busy = False
        self._persisting = False
        self._woken = False
        self._stopped = False
        self._timer: Timer | None = None
        self._due = 0.0
        self._begun_at = -LINGER_S  # when the last request was begun
        self._wait_s = RETRY_S[0]
        self._backing_off = False
        self.points_sent = 0
        self.letters_set_aside = 0
        self.problem: str | None = None  # why nothing is taken at present, None when all is well

    def wake(self) -> None:
        """There may be something to tell. During a back-off nothing happens."""
        if self._busy:
            self._woken = True
        elif not self._stopped and not self._backing_off:
            self._schedule(self._linger_s())

    def _linger_s(self) -> float:
        """At once after a pause, so that a lone reading is there early; else what comes meanwhile shares a request."""
        return max(0.0, self._begun_at + LINGER_S - self._scheduler.monotonic())

    def revive(self) -> None:
        """After an error of this program: what was being told is told again."""
        self._busy = False
        if not self._stopped:
            self._schedule(RETRY_S[0])

    def stop(self) -> None:
        """Nothing more is begun; the position is written. What was not told is told after the next start."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._busy:
            self._writer.hang_up()
        else:
            self._persist()
            self._writer.close()

    def backlog(self) -> int:
        """How many outbox entries wait; JournalError."""
        return self._reader.outbox_backlog(self._place[0])

    def _schedule(self, delay_s: float, *, backing_off: bool = False) -> None:
        due = self._scheduler.monotonic() + delay_s
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._backing_off = backing_off
        self._due = due
        self._timer = self._scheduler.call_later(delay_s, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._busy = True
        self._begun_at = self._scheduler.monotonic()
        self._woken = self._backing_off = False
        self._scheduler.offload(self._turn, self._done, f"sink-{self.name}")

    # On the sink's own thread

    def _turn(self) -> Answer | None:
        """Take a load out of the outbox if there is none left, and tell one part of it; the answer that stopped it."""
        if self._load is None:
            self._load = self._take(self._place)
            self._load.cut(self._batch_lines)
        load = self._load
        if load.parts:
            width, lines = load.parts[-1]
            answer = self._writer.write(self._places[width], lines)
            if answer.verdict is Verdict.TOO_LARGE and len(lines) == 1:  # no fault of a line of some hundred bytes
                answer = Answer(Verdict.REFUSED, f"a single line is too large for it: {answer.reason}")
            if answer.verdict is Verdict.BROKEN:
                self._batch_lines = max(LEAST_LINES, min(self._batch_lines, len(lines)) // 2)
                load.cut(self._batch_lines)
            if answer.verdict not in _SETTLED:
                return answer
            load.parts.pop()
            self._settle(load, width, lines, answer)
        if not load.parts and load.letters and not load.taken and not load.known_bad:
            return self._in_doubt(load)
        return None

    def _in_doubt(self, load: _Load) -> Answer | None:
        """No line was taken, and the server did not say that the lines are bad: None if it takes others.

        Asked with a line that it took before, which is the same point again. As long as it never took any, the load is
        taken anew later, with what was kept meanwhile.
        """
        width, _, reason = load.letters[0]
        control = self._control.get(width)
        if control is not None:
            answer = self._writer.write(self._places[width], [control])
            if answer.verdict is Verdict.DONE:
                return None
            reason = answer.reason
        self._load = None
        return Answer(Verdict.REFUSED, reason)

    def _settle(self, load: _Load, width: int, lines: list[str], answer: Answer) -> None:
        """What an answer says of the lines: taken, set aside, or to be told in halves."""
        if answer.verdict is Verdict.DONE:
            load.taken += len(lines)
            self._control[width] = lines[-1]
        elif len(lines) == 1 or answer.dropped == len(lines):  # the server judged each of them
            load.letters += [(width, line, answer.reason) for line in lines]
            load.known_bad += len(lines) * (answer.verdict is Verdict.BAD_LINES)
        else:
            middle = len(lines) // 2
            load.parts += [(width, lines[middle:]), (width, lines[:middle])]
            if answer.verdict is Verdict.TOO_LARGE:
                self._batch_lines = max(1, min(self._batch_lines, middle))

    def _take(self, place: Place) -> _Load:
        points = self._current_points()
        position, row = place
        load = _Load(end=place)
        while load.size < self._batch_lines:
            entries = self._reader.outbox(position, 200)
            if not entries:
                return load
            for entry in entries:
                while entry.sink in (None, self.name):
                    limit = max(1, (self._batch_lines - load.size) // _LINES_A_ROW)
                    found = list(self._rows(points, entry, row, limit))
                    for _, width, lines in found:
                        load.lines.setdefault(width, []).extend(lines)
                    if not found:
                        break
                    row = found[-1][0]
                    load.end = (position, row)
                    if load.size >= self._batch_lines:
                        load.more = True
                        return load
                position, row = entry.seq, 0
                load.end = (position, 0)
        load.more = True
        return load

    def _rows(self, points: Points, entry: OutboxEntry, row: int, limit: int) -> Iterator[tuple[int, int, list[str]]]:
        """(place behind it, window width or 0, lines) of an entry's next rows."""
        if entry.kind == "sample":
            for place, sample in self._reader.samples_of(entry, row, limit):  # an uncleaned one is told when it is
                yield place, 0, [] if sample.cleaned is None else points.sample(sample)
        elif entry.kind == "window":
            for place, window in self._reader.windows_of(entry, row, limit):
                yield place, window.width_s, points.window(window)
        elif entry.kind == "status":
            for place, status in self._reader.statuses_of(entry, row, limit):
                yield place, 0, status_lines(status)
        else:
            for place, alert in self._reader.alerts_of(entry, row, limit):
                yield place, 0, alert_lines(alert)

    def _current_points(self) -> Points:
        version = self._reader.registry_version()
        if self._points is None or self._points[0] != version:
            with self._reader.snapshot():
                self._points = version, Points(self._reader.devices(), self._reader.assignments())
        return self._points[1]

    # On the scheduler's thread

    def _done(self, answer: Answer | None, error: BaseException | None) -> None:
        self._busy = False
        if error is not None:
            log.error("%s: %s", self.name, error, exc_info=None if isinstance(error, JournalError) else error)
            answer = Answer(Verdict.DOWN, str(error))
        load, self._load = self._load, None
        if answer is not None:
            self._load = load
            if load is not None:
                load.more = True  # of what is kept until it is told, `wake` says nothing
        elif load is not None and load.parts:
            self._load = load
        elif load is not None:
            self._finish(load)
        if self._stopped:
            self._writer.close()
        elif answer is not None:
            self._trouble(answer)
        else:
            self._wait_s = RETRY_S[0]
            more = load is not None and (load.more or load.parts)
            self._schedule(0.0 if more else self._linger_s() if self._woken else POLL_S)

    def _finish(self, load: _Load) -> None:
        """A load was told."""
        self._batch_lines = min(BATCH_LINES, self._batch_lines + 1 + self._batch_lines // 20)  # after a 413
        self._place = load.end
        self.points_sent += load.taken
        self._unwritten += load.taken
        if load.taken and self.problem is not None:
            log.warning("%s: it takes points again", self.name)
            self.problem = None
        if load.letters:
            self.letters_set_aside += len(load.letters)
            self._letters += [(line, reason) for _, line, reason in load.letters]
            count, reason = len(load.letters), load.letters[0][2]
            log.error("%s: %d points were refused and set aside (dead letters): %s", self.name, count, reason)
        late = self._scheduler.monotonic() - self._written_at >= PERSIST_S
        if not self._stopped and (self._letters or self._unwritten >= PERSIST_LINES or late):
            self._persist()

    def _trouble(self, answer: Answer) -> None:
        level = logging.WARNING if self.problem is None else logging.DEBUG  # said once, until it works again
        log.log(level, "%s: %s; the points wait in the journal", self.name, answer.reason)
        self.problem = answer.reason
        if answer.verdict is Verdict.BUSY and answer.retry_after_s is not None:
            wait_s = answer.retry_after_s * (1 + JITTER * self._chance())
        else:
            wait_s = self._wait_s * (0.5 + self._chance())
            self._wait_s = min(self._wait_s * 2, RETRY_S[1])
        self._schedule(wait_s, backing_off=True)

    def _persist(self) -> None:
        """Write position and dead letters; what fails is written with the next."""
        place, letters = self._place, tuple(self._letters)
        if self._persisting or (place == self._written and not letters):
            return
        at_us = self._scheduler.wall_us()

        def write() -> None:
            if letters:
                self._journal.dead_letter(self.name, at_us, letters)
            self._journal.advance(self.name, *place)

        def done(_result: None, error: BaseException | None) -> None:
            self._persisting = False
            if error is None:
                self._written = place
                del self._letters[: len(letters)]
            else:
                log.error("%s: %s", self.name, error)

        self._persisting = True
        self._written_at = self._scheduler.monotonic()
        self._unwritten = 0
        self._scheduler.offload(write, done)
