"""Clean: every kept sample goes once through its node's filters, in the order of its time.

Each node has a `suat_filters.FilterBank` of its own, one channel a cleaned quantity. A sample that is older than what
the bank has seen (sent again after a loss, found after a power cut) puts the node into *replay*: its filters go back to
a kept state from before that sample and see all from there again, so that the result is, bit for bit, that of readings
which came in order. Starting, late samples, a changed calibration and `suat refilter` are all that one replay.

A sample whose date can't be (its age reaches back before the journal's floor) is kept, flagged `clock` and seen by no
filter. Soil at or below 0 degC masks that probe's moisture: capacitance probes do not see ice as water.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from suat.quality.calibrate import NO_CALIBRATION, NodeCalibration
from suat.quality.changes import CHUNK, HELD, Changes, OnChange
from suat.quality.filters import BEGINNING, Key, NodeFilters, key_of
from suat.records import KeptSample
from suat.store.journal import Journal
from suat.store.reader import Reader
from suat.store.revisions import undisturbed_state
from suat.store.rows import Derived, FilterState, SampleRow

_NODE_COST = 20  # what looking after a node costs beside its samples, in samples
DAY_US = 86_400_000_000


@dataclass(slots=True)
class _Back:
    """A node's filters on their way from a kept state to the newest sample."""

    filters: NodeFilters
    changes: Changes
    passed: int = 0  # samples since the changes were last written
    ended: bool = False  # there was none behind them


@dataclass(slots=True)
class _Replay:
    """A node whose filters have gone back; `back` None until its state was looked up."""

    since: Key  # the oldest sample that they must see again
    back: _Back | None = None


class Cleaner:
    """Cleans what the journal keeps. Lives on the thread that writes the journal.

    `on_change` is told of samples whose cleaned values are new or changed, after they were written.
    """

    def __init__(
        self,
        journal: Journal,
        reader: Reader,
        calibration: Mapping[int, NodeCalibration],
        on_change: OnChange = lambda registration, times, seq: None,
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._calibration = dict(calibration)
        self._on_change = on_change
        self._live: dict[int, NodeFilters] = {}
        self._replays: dict[int, _Replay] = {}

    @property
    def pending(self) -> bool:
        """Whether `work` has something to do."""
        return bool(self._replays)

    def start(self) -> None:
        """Take every node up where it was left; what was kept but not cleaned is found by its replay."""
        for registration in self._reader.newest_records():
            self._replays.setdefault(registration, _Replay((1 << 62, 0)))
        for registration, since_us in self._reader.uncleaned().items():
            self._go_back(registration, (since_us, -1))

    def recalibrate(self, calibration: Mapping[int, NodeCalibration]) -> None:
        """Take over a new calibration; nodes whose own has changed are replayed from their beginning."""
        for registration in {*self._live, *self._replays}:
            before, after = self._of(registration), calibration.get(registration, NO_CALIBRATION)
            if (after.fingerprint(), after.limits) != (before.fingerprint(), before.limits):
                self._go_back(registration, BEGINNING)
        self._calibration = dict(calibration)

    def refilter(self, since_us: int, registration: int | None = None) -> None:
        """Have one node, or all, seen again from `since_us` on."""
        for known in self._reader.newest_records():
            if registration in (None, known):
                self._go_back(known, (since_us, -1))

    def clean(self, samples: Iterable[KeptSample]) -> None:
        """Clean what was just committed. Late samples, and nodes in replay, are left to `work`."""
        derived = Derived()
        plain: list[tuple[int, list[int]]] = []
        revised: list[tuple[int, _Back]] = []
        pushed: list[tuple[int, Key]] = []  # what the filters have seen and the journal does not hold

        def keep(registration: int, samples: Sequence[KeptSample], bodies: Sequence[bytes]) -> None:
            derived.cleaned.extend(zip([sample.id for sample in samples], bodies, strict=True))
            plain.append((registration, [sample.time_us for sample in samples]))

        node = attrgetter("registration")
        try:
            for registration, group in groupby(sorted(samples, key=node), key=node):
                ordered = sorted(group, key=key_of)
                filters = self._live.get(registration)
                if filters is not None and ordered[0].time_us < self._dated_us:  # of no date: none has to be seen again
                    misdated = [sample for sample in ordered if sample.time_us < self._dated_us]
                    ordered = ordered[len(misdated) :]
                    pushed.append((registration, key_of(misdated[0])))
                    keep(registration, misdated, filters.run(misdated, self._of(registration), self._dated_us))
                    if not ordered:
                        continue
                if filters is None or key_of(ordered[0]) <= filters.seen:
                    self._go_back(registration, key_of(ordered[0]))
                    continue
                pushed.append((registration, key_of(ordered[0])))
                bodies, states = self._advance(registration, filters, ordered)
                if filters.news:
                    back = _Back(filters, self._changes(registration))
                    back.changes.add(ordered, bodies, states, filters.take_revisions())
                    back.changes.flush()
                    revised.append((registration, back))
                else:
                    derived.states.extend(states)
                    keep(registration, ordered, bodies)
            if derived.cleaned:
                derived.cleaned.sort()
                told = self._journal.derive(derived)
                for registration, times in plain:
                    self._on_change(registration, times, told.first)
            for registration, back in revised:
                self._settle(registration, back)
        except BaseException:
            for registration, since in pushed:
                self._go_back(registration, since)
            raise

    def work(self) -> bool:
        """A piece of the replays, some `CHUNK` samples; whether more is to be done. JournalError: try again."""
        budget = CHUNK
        begun = False  # in this piece: what was read before it may not have been the last
        while self._replays and budget > 0:
            registration, replay = next(iter(self._replays.items()))
            if replay.back is None:
                replay.back = self._restore(registration, replay.since)
                budget -= self._step(registration, replay.back, budget) + _NODE_COST
            else:
                replay.back.ended &= begun
                budget -= self._step(registration, replay.back, budget)
            begun = True
            if replay.back.ended and not replay.back.changes.due:
                self._live[registration] = replay.back.filters
                del self._replays[registration]
        return self.pending

    def finish(self) -> None:
        """All replays to their end."""
        while self.work():
            pass

    def save(self) -> None:
        """Keep the state of every node, so that the next start has little to replay."""
        states = [
            FilterState(registration, *filters.seen, filters.save(self._of(registration)))
            for registration, filters in self._live.items()
            if filters.seen != BEGINNING
        ]
        self._journal.derive(Derived(states=states))

    @property
    def _dated_us(self) -> int:
        """What is before it has no date: the journal puts such samples into the first second of its floor."""
        return self._journal.floor_us + 1_000_000 if self._journal.floor_us else 0

    def _of(self, registration: int) -> NodeCalibration:
        return self._calibration.get(registration, NO_CALIBRATION)

    def _go_back(self, registration: int, since: Key) -> None:
        replay = self._replays.get(registration)
        self._live.pop(registration, None)
        if replay is None:
            self._replays[registration] = _Replay(since)
        elif replay.back is None:
            replay.since = min(replay.since, since)
        elif since <= replay.back.filters.seen:
            self._replays[registration] = _Replay(since)

    def _changes(self, registration: int) -> Changes:
        return Changes(self._journal, self._reader, registration, self._of(registration), self._on_change)

    def _restore(self, registration: int, since: Key) -> _Back:
        """The newest kept filters that may see all from before `since` on again; states from after it are forgotten."""
        times = self._reader.filter_state_times(registration)
        if times and times[-1] >= since[0]:
            self._journal.drop_states(registration, since[0])
        kept = self._reader.read(lambda connection: undisturbed_state(connection, registration, since[0]))
        filters = NodeFilters.load(kept, self._of(registration)) if kept else None
        if kept and filters is None:  # computed by another calibration or other limits: all of them were
            self._journal.drop_states(registration, -1)
        back = _Back(filters or NodeFilters(self._of(registration).limits), self._changes(registration))
        back.changes.expect(back.filters.seen)
        return back

    def _advance(
        self, registration: int, filters: NodeFilters, samples: Sequence[KeptSample | SampleRow]
    ) -> tuple[list[bytes], list[FilterState]]:
        """Clean samples in order; at each turn of a UTC day the state before it is kept."""
        bodies: list[bytes] = []
        states: list[FilterState] = []
        for day, group in groupby(samples, key=lambda sample: sample.time_us // DAY_US):
            if filters.seen != BEGINNING and filters.seen[0] // DAY_US != day:
                states.append(FilterState(registration, *filters.seen, filters.save(self._of(registration))))
            bodies += filters.run(list(group), self._of(registration), self._dated_us)
        return bodies, states

    def _settle(self, registration: int, back: _Back) -> None:
        """Write what live filters have changed; if it is much, the rest is left to `work`."""
        back.changes.work(back.filters.seen)
        if back.changes.due:
            del self._live[registration]
            self._replays[registration] = _Replay(back.changes.since or back.filters.seen, back)

    def _step(self, registration: int, back: _Back, budget: int) -> int:
        """The next of a replay: see the next samples, then revise and write; how many samples it took.

        What differs from the journal is not written at once: a later sample may yet make it the same.
        """
        changes = back.changes
        samples: list[SampleRow] = []
        try:
            if changes.due:
                return changes.work(back.filters.seen)
            samples = self._reader.samples_after(registration, *back.filters.seen, budget)
            back.ended = len(samples) < budget
            if samples:
                bodies, states = self._advance(registration, back.filters, samples)
                changes.add(samples, bodies, states, back.filters.take_revisions())
                back.passed += len(samples)
            if back.ended or changes.fresh or back.passed >= HELD:
                changes.flush()
                back.passed = 0
            changes.work(back.filters.seen)
        except BaseException:  # as if nothing had been pushed since the last time that all was written
            if changes.since or samples:
                self._replays[registration] = _Replay(changes.since or key_of(samples[0]))
            raise
        return len(samples)
