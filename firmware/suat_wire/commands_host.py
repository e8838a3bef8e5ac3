"""The network's own commands: the part of `commands.py` that no node carries. Only that file imports this one."""

from suat_wire.commands import DEVICE_TIME, DOWN, GPS_OFFSET_S, build


def device_time_ans(utc_us: int) -> bytes:
    """DeviceTimeAns for the end of the uplink, given in microseconds of unix time."""
    seconds, us = divmod(utc_us, 1000000)
    gps = seconds - GPS_OFFSET_S
    return build(DEVICE_TIME, DOWN, gps_seconds=gps, fraction_256=us * 256 // 1000000)
