"""The numbers in a device's registers, and the readings they stand for."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import isfinite

from suat_wire.fields import GROUPS, PayloadError, raw_of

# type -> (registers, form on the wire once the bytes stand as ABCD)
TYPES = {"u16": (1, ">H"), "i16": (1, ">h"), "u32": (2, ">I"), "i32": (2, ">i"), "f32": (2, ">f")}
# How makers order the bytes of a number of two registers; A is the highest. One register has the first half: AB or BA.
ORDERS = ("abcd", "dcba", "badc", "cdab")
# The fields that a wired device may give, with their form on air: it limits what can be kept.
FIELDS = {
    f"{group}.{name}": (kind, divisor)
    for group, fields in GROUPS
    if group != "health"
    for name, kind, divisor, _unit in fields
    if name not in ("fault", "events")
}


class ImpossibleValueError(ValueError):
    """A number that the quantity can't have."""


def number_of(words: Sequence[int], kind: str, order: str) -> float:
    """The number in one or two registers, as the device holds it."""
    if order in ("dcba", "cdab"):
        words = words[::-1]
    data = b"".join([word.to_bytes(2, "little" if order in ("dcba", "badc") else "big") for word in words])
    found: float = struct.unpack(TYPES[kind][1], data)[0]
    return found


def value_of(number: float, field: str, scale: float, offset: float) -> float:
    """The reading that a number stands for; ImpossibleValueError when it is none, or the field can't hold it."""
    value = number * scale + offset
    if not isfinite(value):
        raise ImpossibleValueError(f"{number} is no number")
    try:
        raw_of(value, *FIELDS[field])
    except PayloadError as error:
        raise ImpossibleValueError(str(error)) from None
    return value
