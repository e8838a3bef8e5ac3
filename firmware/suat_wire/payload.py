"""The readings on air. FPort 2 readings, 3 readings with node health, 4 acknowledgement (down).

    frame   header | [u16 newest - ack_from] | u16 (or u32) record of the newest | first sample | older sample ...
    header  vvv0 00fa     v version (1), f: the record has 32 bits, a: an acknowledgement is asked for
    first   varint age | body
    older   varint (record before - record - 1) | zigzag varint (age - age before) | body, or 00 + values: same fields
    body    group mask | field mask of each group | values, little-endian
            group mask: bit 0..3 probe1..4, 4 water, 5 node, 6 health, 7: one field mask serves all the probes

The field table is `fields.py`, the two downlinks are `control.py`; their public names are here too.
Reading is `payload_host.py`: a node only writes, and does not carry it.
"""

import struct
from collections import namedtuple

from suat_wire.control import RECORD_MAX as RECORD_MAX
from suat_wire.fields import GROUPS as GROUPS
from suat_wire.fields import KINDS as KINDS
from suat_wire.fields import PayloadError as PayloadError
from suat_wire.fields import raw_of

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
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
    # Group, its fields, which of them
    Masked = tuple[str, tuple[tuple[str, str, int, str], ...], int]
else:
    Sample = namedtuple("Sample", ("record", "age", "readings"))

PORT_READINGS, PORT_HEALTH = 2, 3
AGE_MAX = 0x7FFFFFFF  # seconds; a difference of two ages then fits 32 bits

VERSION = 1 << 5
ASKS, WIDE = 1, 2
PROBES, HEALTH_BIT, SHARED = 0x0F, 0x40, 0x80


def _varint(value: int) -> bytes:
    """LEB128 of 0..2^32-1: seven bits a byte, the low ones first, the top bit says that more follow."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, pos: int) -> tuple[int, int]:
    """(value, where what follows begins)."""
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
        told = "no such field, or no value, among %r" % list(readings) if readings else "a sample without readings"
        raise PayloadError(told)
    probes = ones(group_mask & PROBES)
    if probes > 1 and all([mask == masks[0] for mask in masks[:probes]]):
        group_mask |= SHARED
        masks = masks[probes - 1 :]
    return bytes((group_mask,)) + b"".join([_varint(mask) for mask in masks]), bytes(values)


def ones(mask: int) -> int:
    """Bits set."""
    count = 0
    while mask:
        count += mask & 1
        mask >>= 1
    return count


def masks_at(data: bytes, pos: int) -> "tuple[list[Masked], int]":
    """([(group, its fields, which of them), ...], where the values begin) of a body that begins at `pos`."""
    group_mask = data[pos]
    pos += 1
    found: "list[Masked]" = []
    for index, (group, fields) in enumerate(GROUPS):
        if group_mask >> index & 1 == 0:
            continue
        if not found or index > 3 or not group_mask & SHARED:
            mask, pos = read_varint(data, pos)
        if not mask or mask >> len(fields):
            raise PayloadError("field mask %x of %s has no meaning" % (mask, group))
        found.append((group, fields, mask))
    if not found or (group_mask & SHARED and not group_mask & PROBES):
        raise PayloadError("group mask %02x has no meaning" % group_mask)
    return found, pos


def pack(readings: "Mapping[tuple[str, str], float]") -> bytes:
    """The self-contained body of one sample: {(group, field): value} -> bytes."""
    masks, values = _pack(readings)
    return masks + values


def _masks(body: bytes) -> bytes:
    """The masks of a body; PayloadError if it is cut short or too long."""
    try:
        found, start = masks_at(body, 0)
    except IndexError:
        raise PayloadError("a body cut short")
    size = start
    for _group, fields, mask in found:
        for bit, field in enumerate(fields):
            if mask >> bit & 1:
                size += struct.calcsize(KINDS[field[1]][0])
    if len(body) != size:
        raise PayloadError("a body of %d bytes instead of %d" % (len(body), size))
    return body[:start]


def _parts(samples: "Sequence[Sendable]", ack_from: "int | None") -> "Iterable[tuple[bytes, bool]]":
    """Bytes of each sample in turn, and whether it carries health."""
    before = None
    for record, age, readings in samples:
        if not 0 <= record <= RECORD_MAX or not 0 <= age <= AGE_MAX:
            raise PayloadError("record %r or age %r is out of range" % (record, age))
        if isinstance(readings, bytes):
            masks = _masks(readings)
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
        yield part, masks[0] & HEALTH_BIT != 0


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
    head = VERSION | (WIDE if wide else 0) | (0 if ack_from is None else ASKS)
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


try:
    from suat_wire.payload_host import *  # noqa: F403
except ImportError:  # a node
    pass
