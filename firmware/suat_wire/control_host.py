"""Downlinks written: the half of `control.py` that no node carries. Only that file imports this one."""

import struct

from suat_wire.control import RECORD_MAX, SETTINGS
from suat_wire.fields import KINDS, PayloadError, raw_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def encode_ack(cumulative: int, bitmap: bytes = b"") -> bytes:
    """Every record up to `cumulative` is committed or was never held (-1: none), and so are those of the bitmap.

    Zero bytes at the bitmap's end are left out.
    """
    if not -1 <= cumulative <= RECORD_MAX or len(bitmap) > 8:
        raise PayloadError("an acknowledgement has 32 bits and a bitmap of at most 8 bytes")
    size = len(bitmap)
    while size and not bitmap[size - 1]:
        size -= 1
    return struct.pack("<I", cumulative & 0xFFFFFFFF) + bytes(bitmap[:size])


def ack_of(ack_from: int, committed: "Iterable[int]") -> tuple[int, bytes]:
    """(cumulative, bitmap) for a node that asked from `ack_from`, out of its committed records in any order."""
    held = {record for record in committed if record >= ack_from}
    cumulative = ack_from - 1
    while cumulative + 1 in held:
        cumulative += 1
    bitmap = bytearray(8)
    for record in held:
        bit = record - cumulative - 1
        if 0 <= bit < 64:
            bitmap[bit >> 3] |= 1 << (bit & 7)
    return cumulative, bytes(bitmap)


def encode_config(settings: "dict[str, int]") -> bytes:
    """FPort 5 payload of {name: integer}; PayloadError for an unknown name or a value out of range."""
    out = b""
    for number, name, kind, low, high, _unit in SETTINGS:
        value = settings.get(name)
        if value is None:
            continue
        raw = raw_of(value, kind, 1)
        if raw != value or not low <= raw <= high:
            raise PayloadError("%s: %r is not a whole number within %d..%d" % (name, value, low, high))
        packed = struct.pack("<" + KINDS[kind][0], raw)
        out += bytes((number, len(packed))) + packed
    known = [setting[1] for setting in SETTINGS]
    for name in settings:
        if name not in known or settings[name] is None:
            raise PayloadError("no such setting, or no value: %r" % name)
    if not out:
        raise PayloadError("no settings")
    return out
