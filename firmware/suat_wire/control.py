"""Application downlinks: FPort 4 acknowledges records, FPort 5 changes a node's settings.

acknowledgement   u32 cumulative | bitmap, 0..8 bytes: bit i of it (low bits first) is record cumulative + 1 + i
settings          (u8 id | u8 length | value, little-endian) ...
"""

import struct

from suat_wire.fields import KINDS, PayloadError

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


def decode_ack(data: bytes) -> tuple[int, bytes]:
    """(cumulative, bitmap) of an acknowledgement."""
    if not 4 <= len(data) <= 12:
        raise PayloadError("an acknowledgement has 4 to 12 bytes, not %d" % len(data))
    cumulative = struct.unpack_from("<I", data, 0)[0]
    return (-1 if cumulative > RECORD_MAX else cumulative), bytes(data[4:])


def acknowledged(record: int, cumulative: int, bitmap: bytes) -> bool:
    """Whether an acknowledgement names this record."""
    bit = record - cumulative - 1
    return bit < 0 or (bit >> 3 < len(bitmap) and bitmap[bit >> 3] >> (bit & 7) & 1 == 1)


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


try:
    from suat_wire.control_host import *  # noqa: F403
except ImportError:  # a node
    pass
