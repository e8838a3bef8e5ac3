"""A kept sample as the readings that people ask for: each channel raw, as sent, and cleaned."""

from __future__ import annotations

import math
from collections.abc import Iterator

from suat_wire.payload import GROUPS, unpack

from suat.store.channels import BY_FIELD
from suat.store.packed import unpack_cleaned
from suat.store.rows import Reading, SampleRow

_UNITS = {(group, field): unit for group, fields in GROUPS for field, _, _, unit in fields}


def readings_of(sample: SampleRow) -> Iterator[Reading]:
    """The readings of one sample, in the order they have on air."""
    cleaned = {entry.code: entry for entry in unpack_cleaned(sample.cleaned)} if sample.cleaned else {}
    sent = unpack(sample.body) if sample.body else {}
    for (group, field), raw in sent.items():
        channel = BY_FIELD.get((group, field))
        if channel is None or field != next(name for name in channel.fields if (group, name) in sent):
            name, unit, value, flags = field, _UNITS[group, field], float(raw), 0
        else:
            entry = cleaned.get(channel.code)
            name, unit = channel.name, channel.unit
            value = math.nan if entry is None else entry.value
            flags = 0 if entry is None else entry.flags
        yield Reading(
            sample.registration,
            sample.record,
            sample.time_us,
            group,
            name,
            unit,
            None if math.isnan(value) else value,
            field,
            raw,
            flags,
        )
