"""MAC commands built and named: the part of `commands.py` that no node carries. Only that file imports this one."""

from suat_wire.commands import (
    DEV_STATUS,
    DEVICE_TIME,
    DL_CHANNEL,
    DOWN,
    GPS_OFFSET_S,
    LINK_ADR,
    NEW_CHANNEL,
    RX_PARAM_SETUP,
    TABLES,
    UP,
    CommandError,
    layout_of,
)

TABLES[UP].update(
    {
        LINK_ADR: (("channel_mask_ack", 1, 1), ("data_rate_ack", 1, 1), ("power_ack", 1, 1), ("_", 5, 1)),
        RX_PARAM_SETUP: (("channel_ack", 1, 1), ("rx2_data_rate_ack", 1, 1), ("rx1_offset_ack", 1, 1), ("_", 5, 1)),
        DEV_STATUS: (("battery", 8, 1), ("margin_db", -6, 1), ("_", 2, 1)),
        NEW_CHANNEL: (("frequency_ack", 1, 1), ("data_rate_ack", 1, 1), ("_", 6, 1)),
        DL_CHANNEL: (("frequency_ack", 1, 1), ("uplink_exists_ack", 1, 1), ("_", 6, 1)),
    }
)


def build(cid: int, direction: int, **values: int) -> bytes:
    """One command with its CID, e.g. `build(RX_TIMING_SETUP, DOWN, delay_s=1)`; every field must be given and fit."""
    packed = shift = used = 0
    for name, bits, unit in layout_of(cid, direction):
        if name != "_":
            if name not in values:
                raise CommandError("MAC command %02x needs %s" % (cid, name))
            value, rest = divmod(values[name], unit)
            low, high = (0, (1 << bits) - 1) if bits > 0 else (-1 << -bits - 1, (1 << -bits - 1) - 1)
            if rest or not low <= value <= high:
                raise CommandError("%s %d does not fit MAC command %02x" % (name, values[name], cid))
            packed |= (value & (1 << abs(bits)) - 1) << shift
            used += 1
        shift += abs(bits)
    if used != len(values):
        raise CommandError("MAC command %02x has no such field: %r" % (cid, sorted(values)))
    return bytes((cid,)) + packed.to_bytes(shift // 8, "little")


def device_time_ans(utc_us: int) -> bytes:
    """DeviceTimeAns for the end of the uplink, given in microseconds of unix time."""
    seconds, us = divmod(utc_us, 1000000)
    gps = seconds - GPS_OFFSET_S
    return build(DEVICE_TIME, DOWN, gps_seconds=gps, fraction_256=us * 256 // 1000000)
