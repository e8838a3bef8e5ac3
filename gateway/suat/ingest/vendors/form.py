"""How a vendor's payload is written down, and the one reader of all that is written down so.

Two forms are enough: numbers at fixed places (`Frame`), and channels that each say what they are (`Channels`). A raw
number outside its range, or one that is the vendor's sign of a fault, is no reading: the group's `fault` tells why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from suat_wire.fields import PayloadError

NO_ANSWER, IMPOSSIBLE = 1, 3  # codes of `fault`, docs/payload.md


@dataclass(frozen=True, slots=True)
class Value:
    """A number of a payload, and the reading it stands for: raw / divisor."""

    group: str  # of suat_wire.fields
    name: str
    divisor: float
    range: tuple[int, int]  # raw numbers that can be a reading
    at: int = 0  # first byte
    size: int = 2  # bytes
    signed: bool = False  # two's complement
    mask: int = -1  # bits of the raw number that belong to it
    faults: Mapping[int, int] = field(default_factory=dict)  # the unsigned raw number -> code of `fault`
    only: tuple[int, int, int] | None = None  # (byte, mask, value): it is there if that byte says so


@dataclass(frozen=True, slots=True)
class Frame:
    """Numbers at fixed places."""

    fport: int
    sizes: frozenset[int]  # lengths that the vendor sends [bytes]
    values: tuple[Value, ...]
    order: Literal["big", "little"] = "big"


@dataclass(frozen=True, slots=True)
class Channel:
    """What follows a channel's two bytes (number, type)."""

    size: int  # bytes
    values: tuple[Value, ...] = ()
    dated: bool = False  # begins with its own time, u32 [UTC s]: sent again from the node's memory


@dataclass(frozen=True, slots=True)
class Channels:
    """Any number of channels, one after the other."""

    fport: int
    channels: Mapping[tuple[int, int], Channel]
    closing: frozenset[int]  # channel numbers that carry no readings and whose length is unknown: the rest is skipped
    order: Literal["big", "little"] = "little"


Form = Frame | Channels


class Decoded(NamedTuple):
    """One sample of a vendor's node."""

    taken_s: int | None  # its own time [UTC s]; None: taken when it was sent
    readings: dict[tuple[str, str], float]  # by (group, field) of suat_wire.fields


def decode(form: Form, fport: int, payload: bytes) -> list[Decoded]:
    """The samples in a payload; none in one that carries no readings. PayloadError when it isn't of that form."""
    if fport != form.fport:
        return []  # the node's own state, or an answer to a setting
    samples = _frame(form, payload) if isinstance(form, Frame) else _channels(form, payload)
    return [sample for sample in samples if sample.readings]


def _frame(form: Frame, payload: bytes) -> list[Decoded]:
    if len(payload) not in form.sizes:
        raise PayloadError(f"{len(payload)} bytes")
    readings: dict[tuple[str, str], float] = {}
    _read(form.values, form.order, payload, readings)
    return [Decoded(None, readings)]


def _channels(form: Channels, payload: bytes) -> list[Decoded]:
    now = Decoded(None, {})
    samples = [now]
    at = 0
    while at < len(payload):
        key = (payload[at], payload[at + 1] if at + 1 < len(payload) else -1)
        channel = form.channels.get(key)
        if channel is None:
            if key[0] in form.closing or any(sample.readings for sample in samples):
                break  # what a later firmware adds costs no reading that came before it
            raise PayloadError(f"channel {payload[at : at + 2].hex()} is unknown")
        data = payload[at + 2 : at + 2 + channel.size]
        if len(data) < channel.size:
            raise PayloadError(f"channel {payload[at : at + 2].hex()} is cut short")
        sample = Decoded(int.from_bytes(data[:4], form.order), {}) if channel.dated else now
        _read(channel.values, form.order, data, sample.readings)
        if channel.dated:
            samples.append(sample)
        at += 2 + channel.size
    return samples


def _read(
    values: tuple[Value, ...],
    order: Literal["big", "little"],
    data: bytes,
    readings: dict[tuple[str, str], float],
) -> None:
    """Take the numbers of `data` into `readings`; those beyond its end were never sent."""
    for value in values:
        if value.at + value.size > len(data):
            continue
        if value.only is not None and data[value.only[0]] & value.only[1] != value.only[2]:
            continue
        raw = int.from_bytes(data[value.at : value.at + value.size], order)
        fault = value.faults.get(raw)
        raw &= value.mask
        if value.signed and raw >> (8 * value.size - 1):
            raw -= 1 << 8 * value.size
        if fault is None and not value.range[0] <= raw <= value.range[1]:
            fault = IMPOSSIBLE
        if fault is None:
            readings[value.group, value.name] = raw / value.divisor
        elif (value.group, "fault") not in readings:
            readings[value.group, "fault"] = fault
