"""Clean: every kept sample goes once through its node's filters, in the order of its time.

Each node has a `suat_filters.FilterBank` of its own, one channel a cleaned quantity. A sample that is older than what
the bank has seen (sent again after a loss, found after a power cut) puts the node into *replay*: its filters go back to
a kept state from before that sample and see all from there again, so that the result is, bit for bit, that of readings
which came in order. Starting, late samples, a changed calibration and `suat refilter` are all that one replay.

A sample whose date can't be (its age reaches back before the journal's floor) is kept, flagged `clock` and seen by no
filter. Soil at or below 0 degC masks that probe's moisture: capacitance probes do not see ice as water.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter

from suat_filters import FilterBank
from suat_samples import Cleaning, masks
from suat_wire.payload import layout_of

from suat.quality.calibrate import NO_CALIBRATION, NodeCalibration, plan
from suat.quality.settings import SETTINGS
from suat.records import KeptSample
from suat.store.channels import BY_NAME, PROBES
from suat.store.journal import Journal
from suat.store.reader import Reader
from suat.store.rows import Derived, FilterState, SampleRow

CHUNK = 2000  # samples of a replay in one piece
_NODE_COST = 20  # what looking after a node costs beside its samples, in samples
DAY_US = 86_400_000_000
_BEGINNING = (-1, -1)
PLANS = 256  # kinds of bodies remembered

Key = tuple[int, int]  # (time_us, record): the order in which a node's samples are seen
OnChange = Callable[[int, Sequence[int], int], None]  # (registration, times of samples, first number in the outbox)

_TEMPERATURE_OF = {BY_NAME[probe, "moisture"].code: BY_NAME[probe, "temperature"].code for probe in PROBES}
_state_head = struct.Struct("<8sB")


class NodeFilters:
    """The filters of one node: channels appear when they are first read."""

    def __init__(self) -> None:
        self.slots: dict[int, int] = {}  # channel code -> channel of the bank
        self.bank = FilterBank(0, [])
        self.seen: Key = _BEGINNING

    def save(self, calibration: NodeCalibration) -> bytes:
        """The state, with what it was computed by."""
        head = _state_head.pack(calibration.fingerprint(), len(self.slots))
        return head + bytes(self.slots) + self.bank.save()

    @classmethod
    def load(cls, state: FilterState, calibration: NodeCalibration) -> NodeFilters | None:
        """The filters as they were saved; None when calibration, limits or form have changed since."""
        try:
            fingerprint, count = _state_head.unpack_from(state.body)
            codes = state.body[_state_head.size : _state_head.size + count]
            bank = FilterBank.load(state.body[_state_head.size + count :])
        except (struct.error, ValueError):
            return None
        if fingerprint != calibration.fingerprint() or bank.settings != tuple(SETTINGS.get(code) for code in codes):
            return None
        filters = cls()
        filters.slots = {code: slot for slot, code in enumerate(codes)}
        filters.bank = bank
        filters.seen = state.time_us, state.record
        return filters

    def grow(self, code: int) -> int:
        """The bank's channel of a code that is read for the first time."""
        slot = self.slots[code] = self.bank.grow(SETTINGS[code])
        return slot

    def run(
        self, samples: Sequence[KeptSample | SampleRow], calibration: NodeCalibration, dated_us: int = 0
    ) -> list[bytes]:
        """Clean samples that come in order: one body each (`store/packed.py`).

        The date of those before `dated_us` is no date: they are flagged `clock` and leave the filters as they are.
        """
        bodies = []
        for sample in samples:
            if not sample.body:  # damaged on the disk
                bodies.append(b"")
                continue
            cleaning = _cleanings.get(masks(sample.body)) or _cleaning_of(sample.body)
            time = sample.time_us / 1e6 if sample.time_us >= dated_us else math.nan
            bodies.append(cleaning.clean(sample.body, time, self.bank, self.slots, self.grow, calibration))
        self.seen = max(self.seen, (samples[-1].time_us, samples[-1].record))
        return bodies


_cleanings: dict[bytes, Cleaning] = {}  # by masks; a fleet uses a handful


def _cleaning_of(body: bytes) -> Cleaning:
    """How samples with the fields of this one are cleaned. PayloadError."""
    layout = layout_of(body)
    steps = plan(layout.keys)
    codes = [step.code for step in steps]
    if len(_cleanings) >= PLANS:
        _cleanings.clear()
    found = _cleanings[layout.prefix] = Cleaning(
        (len(layout.prefix), layout.format[1:], layout.divisors),
        [
            (
                layout.keys.index(step.key),
                step.code,
                step.convert,
                step.key[0],
                codes.index(_TEMPERATURE_OF[step.code]) if _TEMPERATURE_OF.get(step.code) in codes else -1,
            )
            for step in steps
        ],
    )
    return found


@dataclass(slots=True)
class _Replay:
    """A node whose filters have gone back; `filters` None until its state was looked up."""

    since: Key  # the oldest sample that they must see again
    filters: NodeFilters | None = None


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
            before = self._calibration.get(registration, NO_CALIBRATION)
            if calibration.get(registration, NO_CALIBRATION).fingerprint() != before.fingerprint():
                self._go_back(registration, _BEGINNING)
        self._calibration = dict(calibration)

    def refilter(self, since_us: int, registration: int | None = None) -> None:
        """Have one node, or all, seen again from `since_us` on."""
        for known in self._reader.newest_records():
            if registration in (None, known):
                self._go_back(known, (since_us, -1))

    def clean(self, samples: Iterable[KeptSample]) -> None:
        """Clean what was just committed. Late samples, and nodes in replay, are left to `work`."""
        derived = Derived()
        changed: list[tuple[int, list[int]]] = []

        def keep(registration: int, samples: Sequence[KeptSample], bodies: Sequence[bytes]) -> None:
            derived.cleaned.extend(zip([sample.id for sample in samples], bodies, strict=True))
            changed.append((registration, [sample.time_us for sample in samples]))

        node = attrgetter("registration")
        for registration, group in groupby(sorted(samples, key=node), key=node):
            ordered = sorted(group, key=_key)
            filters = self._live.get(registration)
            if filters is not None and ordered[0].time_us < self._dated_us:  # of no date: nothing has to be seen again
                misdated = [sample for sample in ordered if sample.time_us < self._dated_us]
                ordered = ordered[len(misdated) :]
                keep(registration, misdated, filters.run(misdated, self._of(registration), self._dated_us))
                if not ordered:
                    continue
            if filters is None or _key(ordered[0]) <= filters.seen:
                self._go_back(registration, _key(ordered[0]))
                continue
            bodies = self._advance(registration, filters, ordered, derived)
            keep(registration, ordered, bodies)
        if derived.cleaned:
            derived.cleaned.sort()
            try:
                told = self._journal.derive(derived)
            except BaseException:  # the filters have seen what was not written
                for registration, times in changed:
                    self._go_back(registration, (min(times), -1))
                raise
            for registration, times in changed:
                self._on_change(registration, times, told.first)

    def work(self) -> bool:
        """A piece of the replays, some `CHUNK` samples; whether more is to be done. JournalError: try again."""
        budget = CHUNK
        while self._replays and budget > 0:
            registration, replay = next(iter(self._replays.items()))
            if replay.filters is None:
                replay.filters = self._restore(registration, replay.since)
            samples = self._reader.samples_after(registration, *replay.filters.seen, budget)
            if samples:
                self._replay(registration, replay.filters, samples)
            if len(samples) < budget:
                self._live[registration] = replay.filters
                del self._replays[registration]
            budget -= len(samples) + _NODE_COST
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
            if filters.seen != _BEGINNING
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
        elif replay.filters is None:
            replay.since = min(replay.since, since)
        elif since <= replay.filters.seen:
            self._replays[registration] = _Replay(since)

    def _restore(self, registration: int, since: Key) -> NodeFilters:
        """The newest kept filters that had not seen `since`; states from after it are forgotten."""
        newest = self._reader.filter_state(registration)
        if newest is None:
            return NodeFilters()
        if newest.time_us >= since[0]:
            self._journal.drop_states(registration, since[0])
            newest = self._reader.filter_state(registration)
        filters = NodeFilters.load(newest, self._of(registration)) if newest else None
        if newest and filters is None:  # computed by another calibration or other limits: all of them were
            self._journal.drop_states(registration, -1)
        return filters or NodeFilters()

    def _advance(
        self,
        registration: int,
        filters: NodeFilters,
        samples: Sequence[KeptSample | SampleRow],
        derived: Derived,
    ) -> list[bytes]:
        """Clean samples in order; at each turn of a UTC day the state before it is kept."""
        bodies: list[bytes] = []
        for day, group in groupby(samples, key=lambda sample: sample.time_us // DAY_US):
            if filters.seen != _BEGINNING and filters.seen[0] // DAY_US != day:
                body = filters.save(self._of(registration))
                derived.states.append(FilterState(registration, *filters.seen, body))
            bodies += filters.run(list(group), self._of(registration), self._dated_us)
        return bodies

    def _replay(self, registration: int, filters: NodeFilters, samples: list[SampleRow]) -> None:
        records = [row.record for row in samples]
        derived = Derived(of=(registration, min(records), max(records)))
        seen, slots, saved = filters.seen, len(filters.slots), filters.bank.save()
        try:
            bodies = self._advance(registration, filters, samples, derived)
            pairs = [(row, body) for row, body in zip(samples, bodies, strict=True) if row.cleaned != body]
            derived.cleaned.extend((row.id, body) for row, body in pairs)
            told = self._journal.derive(derived) if pairs or derived.states else None
        except BaseException:  # as if nothing had been pushed: the same samples come again
            filters.seen, filters.bank = seen, FilterBank.load(saved)
            filters.slots = dict(islice(filters.slots.items(), slots))
            raise
        if pairs and told is not None:
            self._on_change(registration, [row.time_us for row, _ in pairs], told.first)


def _key(sample: KeptSample | SampleRow) -> Key:
    return sample.time_us, sample.record
