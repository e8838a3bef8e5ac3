"""MAC commands of LoRaWAN 1.0.4 (TS001 section 5): taken apart, built and named, both directions.

All arguments of a command are one little-endian integer cut into bit fields, so a table describes them all.
Frequencies are in Hz here and in 100 Hz units on air; DeviceTimeAns counts GPS seconds.
"""

from suat_wire.lorawan import DOWN as DOWN
from suat_wire.lorawan import UP as UP

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Iterable

    Layout = tuple[tuple[str, int, int], ...]

LINK_CHECK = 2
LINK_ADR = 3
DUTY_CYCLE = 4
RX_PARAM_SETUP = 5
DEV_STATUS = 6
NEW_CHANNEL = 7
RX_TIMING_SETUP = 8
TX_PARAM_SETUP = 9
DL_CHANNEL = 10
DEVICE_TIME = 13

# direction -> CID -> (name, bits, unit) from the lowest bit; negative bits: two's complement; "_" is reserved
_NOTHING: "Layout" = ()
_BYTE: "Layout" = (("_", 8, 1),)
# of what goes up a node knows but the sizes; commands_host.py names the bits
_UP: "dict[int, Layout]" = {
    LINK_CHECK: _NOTHING,
    LINK_ADR: _BYTE,
    DUTY_CYCLE: _NOTHING,
    RX_PARAM_SETUP: _BYTE,
    DEV_STATUS: _BYTE + _BYTE,
    NEW_CHANNEL: _BYTE,
    RX_TIMING_SETUP: _NOTHING,
    TX_PARAM_SETUP: _NOTHING,
    DL_CHANNEL: _BYTE,
    DEVICE_TIME: _NOTHING,
}
_DOWN: "dict[int, Layout]" = {
    LINK_CHECK: (("margin_db", 8, 1), ("gateways", 8, 1)),
    LINK_ADR: (
        ("tx_power", 4, 1),
        ("data_rate", 4, 1),
        ("channel_mask", 16, 1),
        ("nb_trans", 4, 1),
        ("mask_control", 3, 1),
        ("_", 1, 1),
    ),
    DUTY_CYCLE: (("max_duty_cycle", 4, 1), ("_", 4, 1)),
    RX_PARAM_SETUP: (("rx2_data_rate", 4, 1), ("rx1_offset", 3, 1), ("_", 1, 1), ("frequency_hz", 24, 100)),
    DEV_STATUS: (),
    NEW_CHANNEL: (("index", 8, 1), ("frequency_hz", 24, 100), ("min_data_rate", 4, 1), ("max_data_rate", 4, 1)),
    RX_TIMING_SETUP: (("delay_s", 4, 1), ("_", 4, 1)),
    TX_PARAM_SETUP: (("max_eirp", 4, 1), ("uplink_dwell", 1, 1), ("downlink_dwell", 1, 1), ("_", 2, 1)),
    DL_CHANNEL: (("index", 8, 1), ("frequency_hz", 24, 100)),
    DEVICE_TIME: (("gps_seconds", 32, 1), ("fraction_256", 8, 1)),
}
TABLES: "tuple[dict[int, Layout], dict[int, Layout]]" = (_UP, _DOWN)

GPS_OFFSET_S = 315964800 - 18  # GPS counts from 1980-01-06 and is 18 s ahead of UTC since 2017


class CommandError(ValueError):
    """A MAC command that is unknown, or a value that does not fit it."""


def layout_of(cid: int, direction: int) -> "Layout":
    """The fields of a command's arguments."""
    layout = TABLES[direction].get(cid)
    if layout is None:
        raise CommandError("MAC command %02x is unknown" % cid)
    return layout


def size_of(cid: int, direction: int) -> int:
    """Bytes of a command's arguments."""
    return sum([abs(bits) for _name, bits, _unit in layout_of(cid, direction)]) // 8


def parse(data: bytes, direction: int) -> list[tuple[int, bytes]]:
    """[(CID, argument bytes), ...] of FOpts or of FPort 0; stops at an unknown CID or a command cut short (TS001 5)."""
    found = []
    pos = 0
    while pos < len(data) and data[pos] in TABLES[direction]:
        end = pos + 1 + size_of(data[pos], direction)
        if end > len(data):
            break
        found.append((data[pos], data[pos + 1 : end]))
        pos = end
    return found


def fields(cid: int, direction: int, args: bytes) -> dict[str, int]:
    """{name: value} of a command's arguments as `parse` gives them."""
    if len(args) != size_of(cid, direction):
        raise CommandError("MAC command %02x has %d bytes of arguments" % (cid, size_of(cid, direction)))
    packed = int.from_bytes(args, "little")
    found = {}
    for name, bits, unit in layout_of(cid, direction):
        value = packed & (1 << abs(bits)) - 1
        packed >>= abs(bits)
        if bits < 0 and value >> -bits - 1:
            value -= 1 << -bits
        if name != "_":
            found[name] = value * unit
    return found


def join(commands: "Iterable[bytes]", limit: int) -> bytes:
    """As many whole commands, in order, as `limit` bytes take: answers are cut at a command boundary (TS001 5)."""
    out = b""
    for command in commands:
        if len(out) + len(command) > limit:
            break
        out += command
    return out


def device_time_us(args: bytes) -> int:
    """Microseconds of unix time out of DeviceTimeAns arguments."""
    got = fields(DEVICE_TIME, DOWN, args)
    return (got["gps_seconds"] + GPS_OFFSET_S) * 1000000 + got["fraction_256"] * 1000000 // 256


try:
    from suat_wire.commands_host import *  # noqa: F403
except ImportError:  # a node
    pass
