"""The cleaned channels: what a reading on air becomes once it is calibrated.

A channel is (group, name), the group as in `suat_wire.payload`. Codes are kept in the journal: never renumber them, new
channels go at a group's end.
"""

from __future__ import annotations

from typing import NamedTuple

PROBES = ("probe1", "probe2", "probe3", "probe4")

# (name, unit, fields on air that give it: the first that a sample carries counts)
_PROBE = (
    ("moisture", "m3/m3", ("vwc", "permittivity", "count")),
    ("temperature", "degC", ("temperature",)),
    ("ec", "dS/m", ("ec",)),
)
_WATER = (
    ("depth", "m", ("depth", "distance")),
    ("volume", "L", ("volume",)),
    ("temperature", "degC", ("temperature",)),
    ("ec", "dS/m", ("ec",)),
    ("float", "", ("float",)),
    ("pump_current", "A", ("pump_current",)),
)
_NODE = (
    ("battery", "V", ("battery",)),
    ("air_temperature", "degC", ("air_temperature",)),
    ("solar", "V", ("solar",)),
)
_GROUPS = (*((probe, _PROBE) for probe in PROBES), ("water", _WATER), ("node", _NODE))


class Channel(NamedTuple):
    """One cleaned quantity of a node."""

    code: int
    group: str
    name: str
    unit: str
    fields: tuple[str, ...]


CHANNELS: tuple[Channel, ...] = tuple(
    Channel(index * 16 + slot, group, *entry)
    for index, (group, entries) in enumerate(_GROUPS)
    for slot, entry in enumerate(entries)
)
BY_CODE: dict[int, Channel] = {channel.code: channel for channel in CHANNELS}
BY_NAME: dict[tuple[str, str], Channel] = {(channel.group, channel.name): channel for channel in CHANNELS}
BY_FIELD: dict[tuple[str, str], Channel] = {
    (channel.group, field): channel for channel in CHANNELS for field in channel.fields
}


def channel_of(group: str, name: str) -> Channel:
    """The channel of that name, or of that field on air; KeyError when there is none."""
    return BY_NAME.get((group, name)) or BY_FIELD[group, name]
