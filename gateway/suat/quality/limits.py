"""Which limits judge a channel of a node: those of its kind (`settings.py`), or what [[limits]] sets in their place.

Limits are taken one by one. Of several rows that set the same limit the more specific counts: a row for the node before
one for all nodes, then a channel in full ("upper.moisture", "water.depth") before one by its name alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from suat_filters import ChannelSettings

from suat.errors import did_you_mean
from suat.quality.settings import SETTINGS
from suat.quality.tables import OF_PROBES, LimitsTable
from suat.records import DeviceRecord
from suat.store.channels import CHANNELS, PROBES, Channel

KINDS = tuple(channel for channel in CHANNELS if channel.group not in PROBES[1:])  # all soil probes are alike
_OTHER = ""  # a probe whose name no row gives


def setting_rows(rows: Iterable[LimitsTable], node: str | None, channel: Channel, place: str) -> dict[str, LimitsTable]:
    """The row that counts for each limit that is set. `place`: the probe's name, or "water" or "node"."""
    meant = [row for row in rows if row.node in (None, node) and _means(row, channel, place)]
    return {name: row for row in sorted(meant, key=_specific) for name in row.limits}


def with_rows(channel: Channel, setting: Mapping[str, LimitsTable]) -> ChannelSettings:
    """The channel's settings with what the rows set. ValueError when they make no sense together."""
    return replace(SETTINGS[channel.code], **{name: row.limits[name] for name, row in setting.items()})


def node_limits(rows: Sequence[LimitsTable], device: DeviceRecord) -> dict[int, ChannelSettings]:
    """By channel code: the settings of those channels of a node for which rows set something."""
    own = [row for row in rows if row.node in (None, device.name)]
    if not own:
        return {}
    found = (
        (channel, setting_rows(own, device.name, channel, device.probe_name(channel.group))) for channel in CHANNELS
    )
    return {channel.code: with_rows(channel, setting) for channel, setting in found if setting}


def limit_faults(rows: Sequence[LimitsTable]) -> list[str]:
    """What is wrong with rows that are sound by themselves, one line each."""
    faults = [
        f'limits {_numbers(rows, [one, other])}: both set {name} of "{one.channel}"; leave it out of one'
        for one, other in combinations(rows, 2)
        if (one.node, one.channel) == (other.node, other.channel)
        for name in one.limits
        if name in other.limits
    ]
    return faults or [*dict.fromkeys(_contradictions(rows))]


def unmet(rows: Sequence[LimitsTable], devices: Sequence[DeviceRecord]) -> list[str]:
    """Rows by which nothing is judged, for no node or probe has that name; one line each."""
    lines = []
    for row in rows:
        here = f"limits {_numbers(rows, [row])}"
        named = [device for device in devices if row.node in (None, device.name)]
        place = row.channel.rpartition(".")[0]
        probes = sorted({probe.name for device in named for probe in device.probes} | {*PROBES})
        if not named and row.node is not None:
            guess = did_you_mean(row.node, sorted({device.name for device in devices}))
            lines.append(f'{here}: there is no node "{row.node}"{guess}; see: suat device list')
        elif named and place not in ("", "water", "node", *probes):
            whose = "no node" if row.node is None else row.node
            verb = "has a" if row.node is None else "has no"
            lines.append(f'{here}: {whose} {verb} probe "{place}"{did_you_mean(place, probes)}; see: suat device list')
    return lines


def _means(row: LimitsTable, channel: Channel, place: str) -> bool:
    where, _, name = row.channel.rpartition(".")
    if name != channel.name:
        return False
    return where == place if where else channel.group in PROBES or name not in OF_PROBES


def _specific(row: LimitsTable) -> tuple[bool, bool]:
    return row.node is not None, "." in row.channel


def _contradictions(rows: Sequence[LimitsTable]) -> Iterator[str]:
    """Every set of rows that can meet in one channel of a node, whatever nodes and probes there are."""
    for node in dict.fromkeys([None, *(row.node for row in rows)]):
        own = [row for row in rows if row.node in (None, node)]
        places = dict.fromkeys([_OTHER, *(row.channel.rpartition(".")[0] for row in own)])
        for channel in KINDS:
            for place in places if channel.group in PROBES else [channel.group]:
                setting = setting_rows(own, node, channel, place)
                try:
                    with_rows(channel, setting)
                except ValueError as error:
                    named = [row for name, row in setting.items() if re.search(rf"\b{name}\b", str(error))]
                    yield f"limits {_numbers(rows, named)}: for {channel.name} {error}"


def _numbers(rows: Sequence[LimitsTable], some: Iterable[LimitsTable]) -> str:
    """Where rows stand in the file."""
    places = sorted({next(place for place, row in enumerate(rows, 1) if row is one) for one in some})
    return " and ".join(f"no. {place}" for place in places)
