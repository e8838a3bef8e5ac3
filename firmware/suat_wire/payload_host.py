"""Payloads read: the half of `payload.py` that no node carries. Only that file imports this one."""

import struct
from collections import namedtuple

from suat_wire.control import PORT_ACK as PORT_ACK
from suat_wire.control import PORT_CONFIG as PORT_CONFIG
from suat_wire.control import RECORD_MAX
from suat_wire.control import SETTINGS as SETTINGS
from suat_wire.control import ack_of as ack_of
from suat_wire.control import acknowledged as acknowledged
from suat_wire.control import decode_ack as decode_ack
from suat_wire.control import decode_config as decode_config
from suat_wire.control import encode_ack as encode_ack
from suat_wire.control import encode_config as encode_config
from suat_wire.fields import KINDS, PayloadError
from suat_wire.payload import (
    AGE_MAX,
    ASKS,
    HEALTH_BIT,
    PORT_HEALTH,
    PORT_READINGS,
    PROBES,
    SHARED,
    VERSION,
    WIDE,
    Sample,
    masks_at,
    ones,
    read_varint,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from suat_wire.payload import Readings

    class _Layout(NamedTuple):
        """What a body's masks mean: their bytes, the values' size and format, what to make of each."""

        prefix: bytes
        size: int
        format: str
        keys: tuple[tuple[str, str], ...]
        divisors: tuple[int, ...]
        switches: tuple[int, ...]
else:
    _Layout = namedtuple("_Layout", ("prefix", "size", "format", "keys", "divisors", "switches"))

_layouts: dict[bytes, _Layout] = {}  # by masks; a fleet uses a handful of them
_mask_counts: dict[int, int] = {}


def _mask_count(group_mask: int) -> int:
    """How many field masks follow this group mask."""
    count = _mask_counts.get(group_mask)
    if count is None:
        probes = ones(group_mask & PROBES)
        count = ones(group_mask & 0x70) + (min(probes, 1) if group_mask & SHARED else probes)
        _mask_counts[group_mask] = count
    return count


def _layout_at(data: bytes, pos: int) -> _Layout:
    """Read the masks of a body that starts at `pos`; those seen before are looked up."""
    count = _mask_count(data[pos])
    layout = _layouts.get(data[pos : pos + 1 + count])
    if layout is not None:
        return layout
    found, end = masks_at(data, pos)
    letters = "<"
    keys = []
    divisors = []
    switches = []
    for group, fields, mask in found:
        for bit, (name, kind, divisor, _unit) in enumerate(fields):
            if mask >> bit & 1:
                if kind == "bool":
                    switches.append(struct.calcsize(letters))
                letters += KINDS[kind][0]
                keys.append((group, name))
                divisors.append(divisor)
    prefix = data[pos:end]
    layout = _Layout(prefix, struct.calcsize(letters), letters, tuple(keys), tuple(divisors), tuple(switches))
    if len(prefix) == 1 + count:
        if len(_layouts) >= 256:
            _layouts.clear()
        _layouts[prefix] = layout
    return layout


def layout_of(body: bytes) -> _Layout:
    """What a body's masks mean; PayloadError if it is cut short or too long."""
    try:
        layout = _layout_at(body, 0)
    except IndexError:
        raise PayloadError("a body cut short")
    if len(body) != len(layout.prefix) + layout.size:
        raise PayloadError("a body of %d bytes instead of %d" % (len(body), len(layout.prefix) + layout.size))
    return layout


def unpack(body: bytes) -> "Readings":
    """The readings of a body; PayloadError unless it is one."""
    layout = layout_of(body)
    start = len(layout.prefix)
    for switch in layout.switches:
        if body[start + switch] > 1:
            raise PayloadError("a switch that is neither 0 nor 1")
    raw = struct.unpack_from(layout.format, body, start)
    return {
        key: value if divisor == 1 else value / divisor
        for key, value, divisor in zip(layout.keys, raw, layout.divisors)  # noqa: B905 - unknown to MicroPython
    }


def split(data: bytes, fport: int, near: int = 0) -> "tuple[int | None, list[tuple[int, int, bytes]]]":
    """(ack_from or None, [(record, age in s, body), ...]) without decoding values; `unpack(body)` then never fails.

    `near` is the newest record known of this node: it gives the high half of the 16 bits on air.
    """
    try:
        return _split(data, fport, near)
    except IndexError:
        raise PayloadError("a payload cut short")


def _split(data: bytes, fport: int, near: int) -> "tuple[int | None, list[tuple[int, int, bytes]]]":
    head = data[0]
    if head & ~(ASKS | WIDE) != VERSION or fport not in (PORT_READINGS, PORT_HEALTH):
        raise PayloadError("header %02x on FPort %d is unknown" % (head, fport))
    size = len(data)
    pos = 1
    lowest = 0  # of all records, seen from the newest
    asked = None
    if head & ASKS:
        asked = data[1] | data[2] << 8
        lowest = -asked
        pos = 3
    record = data[pos] | data[pos + 1] << 8
    pos += 2
    if head & WIDE:
        record |= data[pos] << 16 | data[pos + 1] << 24
        pos += 2
    found = []
    groups = 0
    step = 0
    layout = None
    age, pos = read_varint(data, pos)
    while True:
        if not 0 <= age <= AGE_MAX:
            raise PayloadError("age %d s" % age)
        if layout is not None and data[pos] == 0:
            pos += 1
        else:
            layout = _layout_at(data, pos)
            pos += len(layout.prefix)
            groups |= layout.prefix[0]
        end = pos + layout.size
        if end > size:
            raise PayloadError("a payload cut short")
        for switch in layout.switches:
            if data[pos + switch] > 1:
                raise PayloadError("a switch that is neither 0 nor 1")
        found.append((step, age, layout.prefix + data[pos:end]))
        if end == size:
            break
        gap, pos = read_varint(data, end)
        step -= gap + 1
        change, pos = read_varint(data, pos)
        age += -(change >> 1) - 1 if change & 1 else change >> 1
    lowest = min(lowest, step)
    if not head & WIDE:
        record = near + ((record - near + 0x8000) & 0xFFFF) - 0x8000
        if record + lowest < 0:
            record += (0xFFFF - record - lowest) & ~0xFFFF
    if not 0 <= record + lowest <= record <= RECORD_MAX:
        raise PayloadError("records %d..%d" % (record + lowest, record))
    if (groups & HEALTH_BIT != 0) != (fport == PORT_HEALTH):
        raise PayloadError("health belongs on FPort 3, and nothing else does")
    return None if asked is None else record - asked, [(record + step, age, body) for step, age, body in found]


def decode(data: bytes, fport: int, near: int = 0) -> "list[Sample]":
    """The samples of a payload, newest first; `near` as for `split`."""
    return [Sample(record, age, unpack(body)) for record, age, body in split(data, fport, near)[1]]
