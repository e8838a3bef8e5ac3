"""The readings on air. FPort 2 readings, 3 readings with node health, 4 acknowledgement (down).

    frame   header | [u16 newest - ack_from] | u16 (or u32) record of the newest | first sample | older sample ...
    header  vvv0 00fa     v version (1), f: the record has 32 bits, a: an acknowledgement is asked for
    first   varint age | body
    older   varint (record before - record - 1) | zigzag varint (age - age before) | body, or 00 + values: same fields
    body    group mask | field mask of each group | values, little-endian
            group mask: bit 0..3 probe1..4, 4 water, 5 node, 6 health, 7: one field mask serves all the probes

The field table is `fields.py`, the two downlinks are `control.py`; their public names are here too.
"""

import struct
from collections import namedtuple

from suat_wire.control import (
    PORT_ACK,
    PORT_CONFIG,
    RECORD_MAX,
    SETTINGS,
    ack_of,
    acknowledged,
    decode_ack,
    decode_config,
    encode_ack,
    encode_config,
)
from suat_wire.fields import GROUPS, KINDS, PayloadError, raw_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import NamedTuple

    Readings = dict[tuple[str, str], float]  # of divisor 1: int

    class Sample(NamedTuple):
        """One reading of all sensors: record number (32 bits), age in s when sent, values by (group, field)."""

        record: int
        age: int
        readings: Readings

    # What may be sent: a Sample, or a tuple like it whose last item is a body made by `pack`.
    Sendable = tuple[int, int, Mapping[tuple[str, str], float] | bytes]

    class _Layout(NamedTuple):
        """What a body's masks mean: their bytes, the values' size and format, what to make of each."""

        prefix: bytes
        size: int
        format: str
        keys: tuple[tuple[str, str], ...]
        divisors: tuple[int, ...]
        switches: tuple[int, ...]
else:
    Sample = namedtuple("Sample", ("record", "age", "readings"))
    _Layout = namedtuple("_Layout", ("prefix", "size", "format", "keys", "divisors", "switches"))

PORT_READINGS, PORT_HEALTH = 2, 3
AGE_MAX = 0x7FFFFFFF  # seconds; a difference of two ages then fits 32 bits

_VERSION = 1 << 5
_ASKS, _WIDE = 1, 2
_PROBES, _HEALTH_BIT, _SHARED = 0x0F, 0x40, 0x80
_layouts: dict[bytes, _Layout] = {}  # by masks; a fleet uses a handful of them
_mask_counts: dict[int, int] = {}


def _varint(value: int) -> bytes:
    """LEB128 of 0..2^32-1: seven bits a byte, the low ones first, the top bit says that more follow."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, pos: int) -> tuple[int, int]:
    value = data[pos]
    if value < 128:
        return value, pos + 1
    value &= 127
    for shift in (7, 14, 21, 28):
        pos += 1
        byte = data[pos]
        value |= (byte & 127) << shift
        if byte < 128:
            break
    if byte > 127 or value > 0xFFFFFFFF:
        raise PayloadError("a number of more than 32 bits")
    return value, pos + 1


def _pack(readings: "Mapping[tuple[str, str], float]") -> tuple[bytes, bytes]:
    """(masks, values) of one sample."""
    group_mask = 0
    masks = []
    values = bytearray()
    found = 0
    for index, (group, fields) in enumerate(GROUPS):
        mask = 0
        for bit, (name, kind, divisor, _unit) in enumerate(fields):
            value = readings.get((group, name))
            if value is not None:
                try:
                    values.extend(struct.pack("<" + KINDS[kind][0], raw_of(value, kind, divisor)))
                except PayloadError as error:
                    raise PayloadError("%s.%s: %s" % (group, name, error))
                mask |= 1 << bit
                found += 1
        if mask:
            group_mask |= 1 << index
            masks.append(mask)
    if found != len(readings) or not found:
        known = [(group, field[0]) for group, fields in GROUPS for field in fields]
        unknown = [key for key in readings if readings[key] is None or key not in known]
        raise PayloadError("no such field, or no value: %r" % unknown if readings else "a sample without readings")
    probes = _ones(group_mask & _PROBES)
    if probes > 1 and all([mask == masks[0] for mask in masks[:probes]]):
        group_mask |= _SHARED
        masks = masks[probes - 1 :]
    return bytes((group_mask,)) + b"".join([_varint(mask) for mask in masks]), bytes(values)


def _ones(mask: int) -> int:
    count = 0
    while mask:
        count += mask & 1
        mask >>= 1
    return count


def _mask_count(group_mask: int) -> int:
    """How many field masks follow this group mask."""
    count = _mask_counts.get(group_mask)
    if count is None:
        probes = _ones(group_mask & _PROBES)
        count = _ones(group_mask & 0x70) + (min(probes, 1) if group_mask & _SHARED else probes)
        if not count or (group_mask & _SHARED and not probes):
            raise PayloadError("group mask %02x has no meaning" % group_mask)
        _mask_counts[group_mask] = count
    return count


def _layout_at(data: bytes, pos: int) -> _Layout:
    """Read the masks of a body that starts at `pos`; those seen before are looked up."""
    group_mask = data[pos]
    count = _mask_count(group_mask)
    layout = _layouts.get(data[pos : pos + 1 + count])
    if layout is not None:
        return layout
    end = pos + 1
    masks = []
    for _ in range(count):
        mask, end = _read_varint(data, end)
        masks.append(mask)
    letters = "<"
    keys = []
    divisors = []
    switches = []
    nth = 0
    for index, (group, fields) in enumerate(GROUPS):
        if group_mask >> index & 1 == 0:
            continue
        mask = masks[nth]
        if not group_mask & _SHARED or group_mask & _PROBES < 2 << index:
            nth += 1  # a shared mask serves until the last probe
        if not mask or mask >> len(fields):
            raise PayloadError("field mask %x of %s has no meaning" % (mask, group))
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


def pack(readings: "Mapping[tuple[str, str], float]") -> bytes:
    """The self-contained body of one sample: {(group, field): value} -> bytes."""
    masks, values = _pack(readings)
    return masks + values


def _whole(body: bytes) -> _Layout:
    """The layout of a body; PayloadError if it is cut short or too long."""
    try:
        layout = _layout_at(body, 0)
    except IndexError:
        raise PayloadError("a body cut short")
    if len(body) != len(layout.prefix) + layout.size:
        raise PayloadError("a body of %d bytes instead of %d" % (len(body), len(layout.prefix) + layout.size))
    return layout


def unpack(body: bytes) -> "Readings":
    """The readings of a body; PayloadError unless it is one."""
    layout = _whole(body)
    start = len(layout.prefix)
    for switch in layout.switches:
        if body[start + switch] > 1:
            raise PayloadError("a switch that is neither 0 nor 1")
    raw = struct.unpack_from(layout.format, body, start)
    return {
        key: value if divisor == 1 else value / divisor
        for key, value, divisor in zip(layout.keys, raw, layout.divisors)  # noqa: B905 - unknown to MicroPython
    }


def _parts(samples: "Sequence[Sendable]", ack_from: "int | None") -> "Iterable[tuple[bytes, bool]]":
    """Bytes of each sample in turn, and whether it carries health."""
    before = None
    for record, age, readings in samples:
        if not 0 <= record <= RECORD_MAX or not 0 <= age <= AGE_MAX:
            raise PayloadError("record %r or age %r is out of range" % (record, age))
        if isinstance(readings, bytes):
            masks = _whole(readings).prefix
            values = readings[len(masks) :]
        else:
            masks, values = _pack(readings)
        if before is None:
            if ack_from is not None and not 0 <= record - ack_from <= 0xFFFF:
                raise PayloadError("cannot ask from record %r at record %d" % (ack_from, record))
            part = _varint(age) + masks + values
        else:
            if record >= before[0]:
                raise PayloadError("records must fall: %d after %d" % (record, before[0]))
            step = age - before[1]
            part = _varint(before[0] - record - 1) + _varint(2 * step if step >= 0 else -2 * step - 1)
            part += (b"\x00" if masks == before[2] else masks) + values
        before = (record, age, masks)
        yield part, masks[0] & _HEALTH_BIT != 0


def encode(
    samples: "Sequence[Sendable]", limit: int, ack_from: "int | None" = None, wide: bool = False
) -> tuple[bytes, int]:
    """(payload, FPort) of samples, newest first. PayloadError unless all of them fit into `limit` bytes.

    `ack_from` asks for an acknowledgement of the records from there on: the oldest that the node still keeps.
    `wide`: all 32 bits of the record travel, as they do with health: for a receiver that may be 2^15 records behind.
    """
    if not samples:
        raise PayloadError("no samples")
    parts = list(_parts(samples, ack_from))
    newest = samples[0][0]
    health = any([part[1] for part in parts])
    wide = wide or health
    head = _VERSION | (_WIDE if wide else 0) | (0 if ack_from is None else _ASKS)
    data = bytes((head,))
    if ack_from is not None:
        data += struct.pack("<H", newest - ack_from)
    data += struct.pack("<I", newest) if wide else struct.pack("<H", newest & 0xFFFF)
    data += b"".join([part[0] for part in parts])
    if len(data) > limit:
        raise PayloadError("needs %d bytes, limit %d" % (len(data), limit))
    return data, PORT_HEALTH if health else PORT_READINGS


def fit(samples: "Sequence[Sendable]", limit: int, ack_from: "int | None" = None, wide: bool = False) -> int:
    """How many of the samples, from the front, `encode` gets into `limit` bytes."""
    size = (3 if ack_from is None else 5) + (2 if wide else 0)
    count = 0
    for part, health in _parts(samples, ack_from):
        size += len(part)
        if health and not wide:
            wide = True
            size += 2
        if size > limit:
            break
        count += 1
    return count


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
    if head & ~(_ASKS | _WIDE) != _VERSION or fport not in (PORT_READINGS, PORT_HEALTH):
        raise PayloadError("header %02x on FPort %d is unknown" % (head, fport))
    size = len(data)
    pos = 1
    lowest = 0  # of all records, seen from the newest
    asked = None
    if head & _ASKS:
        asked = data[1] | data[2] << 8
        lowest = -asked
        pos = 3
    record = data[pos] | data[pos + 1] << 8
    pos += 2
    if head & _WIDE:
        record |= data[pos] << 16 | data[pos + 1] << 24
        pos += 2
    found = []
    groups = 0
    step = 0
    layout = None
    age, pos = _read_varint(data, pos)
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
        gap, pos = _read_varint(data, end)
        step -= gap + 1
        change, pos = _read_varint(data, pos)
        age += -(change >> 1) - 1 if change & 1 else change >> 1
    lowest = min(lowest, step)
    if not head & _WIDE:
        record = near + ((record - near + 0x8000) & 0xFFFF) - 0x8000
        if record + lowest < 0:
            record += (0xFFFF - record - lowest) & ~0xFFFF
    if not 0 <= record + lowest <= record <= RECORD_MAX:
        raise PayloadError("records %d..%d" % (record + lowest, record))
    if (groups & _HEALTH_BIT != 0) != (fport == PORT_HEALTH):
        raise PayloadError("health belongs on FPort 3, and nothing else does")
    return None if asked is None else record - asked, [(record + step, age, body) for step, age, body in found]


def decode(data: bytes, fport: int, near: int = 0) -> "list[Sample]":
    """The samples of a payload, newest first; `near` as for `split`."""
    return [Sample(record, age, unpack(body)) for record, age, body in split(data, fport, near)[1]]


__all__ = [
    "AGE_MAX",
    "GROUPS",
    "KINDS",
    "PORT_ACK",
    "PORT_CONFIG",
    "PORT_HEALTH",
    "PORT_READINGS",
    "RECORD_MAX",
    "SETTINGS",
    "PayloadError",
    "Sample",
    "ack_of",
    "acknowledged",
    "decode",
    "decode_ack",
    "decode_config",
    "encode",
    "encode_ack",
    "encode_config",
    "fit",
    "pack",
    "split",
    "unpack",
]
