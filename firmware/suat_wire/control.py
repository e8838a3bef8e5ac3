"""Application downlinks: FPort 4 acknowledges records, FPort 5 changes a node's settings.

acknowledgement   u32 cumulative | bitmap, 0..8 bytes: bit i of it (low bits first) is record cumulative + 1 + i
settings          (u8 id | u8 length | value, little-endian) ...
"""

import struct

from suat_wire.fields import KINDS, PayloadError, raw_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PORT_ACK, PORT_CONFIG = 4, 5
RECORD_MAX = 0xFFFFFFFE  # 0xFFFFFFFF is "no record" in an acknowledgement

# (id, name, kind, lowest, highest, unit)
SETTINGS = (
    (1, "interval_s", "u32", 30, 604800, "s"),
    (2, "ack_after", "u8", 1, 64, "samples"),
    (3, "health_h", "u8", 1, 168, "h"),
    (4, "adr", "bool", 0, 1, ""),
    (5, "data_rate", "u8", 0, 5, "DR"),
    (6, "resend_from", "u32", 0, RECORD_MAX, "record"),
    (7, "rejoin", "bool", 0, 1, ""),
    (8, "restart", "bool", 0, 1, ""),
    (9, "sensors_off", "u16", 0, 0xFFFF, "bits"),
    (10, "battery_low", "u16", 0, 20000, "mV"),
    (11, "battery_floor", "u16", 0, 20000, "mV"),
    (12, "events_per_h", "u8", 0, 60, ""),
    (13, "trough_empty", "u16", 0, 10000, "mm"),
    (14, "freezing", "i16", -4000, 4000, "0.01 degC"),
    (15, "leak_flow", "u8", 0, 48, "h"),
    (16, "leak_fall", "u16", 0, 1000, "mm/h"),
    (17, "night_from", "u8", 0, 23, "h"),
)


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


def decode_ack(data: bytes) -> tuple[int, bytes]:
    """(cumulative, bitmap) of an acknowledgement."""
    if not 4 <= len(data) <= 12:
        raise PayloadError("an acknowledgement has 4 to 12 bytes, not %d" % len(data))
    cumulative = struct.unpack_from("<I", data, 0)[0]
    return (-1 if cumulative > RECORD_MAX else cumulative), bytes(data[4:])


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


def acknowledged(record: int, cumulative: int, bitmap: bytes) -> bool:
    """Whether an acknowledgement names this record."""
    bit = record - cumulative - 1
    return bit < 0 or (bit >> 3 < len(bitmap) and bitmap[bit >> 3] >> (bit & 7) & 1 == 1)


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


def _setting(number: int) -> tuple[int, str, str, int, int, str]:
    for setting in SETTINGS:
        if setting[0] == number:
            return setting
    raise PayloadError("setting %d is unknown" % number)


def decode_config(data: bytes) -> dict[str, int]:
    """{name: integer} of an FPort 5 payload; all of it is refused if any of it is unknown, repeated or out of range."""
    found: dict[str, int] = {}
    pos = 0
    while pos < len(data):
        setting = _setting(data[pos])
        name, kind, low, high = setting[1:5]
        letter = "<" + KINDS[kind][0]
        size = struct.calcsize(letter)
        if len(data) < pos + 2 + size or data[pos + 1] != size or name in found:
            raise PayloadError("%s: cut short, of wrong length or given twice" % name)
        value = struct.unpack_from(letter, data, pos + 2)[0]
        if not low <= value <= high:
            raise PayloadError("%s: %d is not within %d..%d" % (name, value, low, high))
        found[name] = value
        pos += 2 + size
    if not found:
        raise PayloadError("no settings")
    return found
