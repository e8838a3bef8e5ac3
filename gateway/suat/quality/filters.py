"""The filters of one node: a `suat_filters.FilterBank` with a channel for each cleaned quantity."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from suat_filters import ChannelSettings, FilterBank
from suat_samples import Cleaning, masks
from suat_wire.payload import layout_of

from suat.quality.calibrate import NO_CALIBRATION, NodeCalibration, plan
from suat.quality.settings import SETTINGS
from suat.records import KeptSample
from suat.store.channels import BY_NAME, PROBES
from suat.store.rows import FilterState, SampleRow

BEGINNING = (-1, -1)
PLANS = 256  # kinds of bodies remembered

Key = tuple[int, int]  # (time_us, record): the order in which a node's samples are seen

_TEMPERATURE_OF = {BY_NAME[probe, "moisture"].code: BY_NAME[probe, "temperature"].code for probe in PROBES}
_state_head = struct.Struct("<8sB")


class Revision(NamedTuple):
    """The filters think better of a channel's older readings: these lose the flags `clear`, then get `set`."""

    by: Key  # the sample that brought it about; what is not before it is not meant
    code: int
    since_s: float
    until_s: float
    set: int
    clear: int


class NodeFilters:
    """The filters of one node: channels appear when they are first read.

    `limits`, by channel code, are those that its configuration sets.
    """

    def __init__(self, limits: Mapping[int, ChannelSettings] = NO_CALIBRATION.limits) -> None:
        self._limits = limits
        self.slots: dict[int, int] = {}  # channel code -> channel of the bank
        self.bank = FilterBank(0, [])
        self.seen: Key = BEGINNING
        self.news = False  # there are revisions, or readings of broken probes
        self.revisions: list[Revision] = []  # not yet taken

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
        limits = {**SETTINGS, **calibration.limits}
        if fingerprint != calibration.fingerprint() or bank.settings != tuple(limits.get(code) for code in codes):
            return None
        filters = cls(calibration.limits)
        filters.slots = {code: slot for slot, code in enumerate(codes)}
        filters.bank = bank
        filters.seen = state.time_us, state.record
        return filters

    def grow(self, code: int) -> int:
        """The bank's channel of a code that is read for the first time."""
        slot = self.slots[code] = self.bank.grow(self._limits.get(code) or SETTINGS[code])
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
            cleaning = cleaning_of(sample.body)
            time = sample.time_us / 1e6 if sample.time_us >= dated_us else math.nan
            bodies.append(cleaning.clean(sample.body, time, self.bank, self.slots, self.grow, calibration))
            if cleaning.news:
                self.news = True
                codes = [*self.slots]
                for channel, since_s, until_s, set_, clear in self.bank.revisions():
                    self.revisions.append(Revision(key_of(sample), codes[channel], since_s, until_s, set_, clear))
        self.seen = max(self.seen, key_of(samples[-1]))
        return bodies

    def take_revisions(self) -> list[Revision]:
        """What the runs since the last call thought better of, in its order."""
        taken, self.revisions, self.news = self.revisions, [], False
        return taken


def key_of(sample: KeptSample | SampleRow) -> Key:
    """Where a sample stands in the order in which the filters see its node's."""
    return sample.time_us, sample.record


_cleanings: dict[bytes, Cleaning] = {}  # by masks; a fleet uses a handful


def cleaning_of(body: bytes) -> Cleaning:
    """How samples with the fields of this one are cleaned. PayloadError."""
    return _cleanings.get(masks(body)) or _new_cleaning(body)


def _new_cleaning(body: bytes) -> Cleaning:
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
