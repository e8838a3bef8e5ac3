"""`suat limits`: what the readings are judged by, and why."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from suat.commands.look import named
from suat.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, existing_journal, load
from suat.errors import printable

if TYPE_CHECKING:
    from suat.quality.tables import LimitsTable
    from suat.records import DeviceRecord
    from suat.store.channels import Channel


class Limit(NamedTuple):
    """A limit in force; `node` None: of all nodes for which nothing else is set."""

    node: str | None
    probe: str  # "probe": any; "water", "node": what is no soil probe
    channel: str
    limit: str
    value: float | None  # None: not judged
    unit: str
    default: float | None
    reason: str | None  # of the configuration; None: it is the default
    source: str | None  # of the default


def limits(
    config: ConfigOption = DEFAULT_CONFIG,
    node: Annotated[str | None, typer.Option(metavar="NAME", help="All limits of this node.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The limits in force, with their sources: for all nodes, then what [[limits]] sets otherwise for some."""
    from suat.preflight import idle_limits
    from suat.quality.settings import SOURCES
    from suat.store.reader import Reader

    settings = load(config)
    devices: list[DeviceRecord] = []
    if node is not None or settings.journal_path.exists():
        with Reader(existing_journal(settings)) as reader:
            devices = reader.devices(revoked=False)
    shown = [*(of_kinds(settings.limits) if node is None else ())]
    for device in named(devices, node):
        own = of_node(settings.limits, device)
        shown += [limit for limit, row in own if node is not None or (row is not None and _is_own(row))]
    for limit in shown:
        print(json.dumps(limit._asdict(), ensure_ascii=False) if as_json else _line(limit))
    if not as_json:
        whys = " ".join(limit.source for limit in shown if limit.reason is None and limit.source)
        for code, source in SOURCES.items():
            if f"[{code}]" in whys:
                print(f"[{code}] {source}")
    for line in idle_limits(settings):
        print(f"{config}: {line}", file=sys.stderr)


def of_kinds(rows: Sequence[LimitsTable]) -> list[Limit]:
    """The limits of each kind of channel of a node that no row names."""
    from suat.quality.limits import KINDS, setting_rows
    from suat.store.channels import PROBES

    found = []
    for channel in KINDS:
        place, shown = ("", "probe") if channel.group in PROBES else (channel.group, channel.group)
        setting = setting_rows(rows, None, channel, place)
        found += [limit for limit, _ in _of_channel(None, shown, channel, setting)]
    return found


def of_node(rows: Sequence[LimitsTable], device: DeviceRecord) -> list[tuple[Limit, LimitsTable | None]]:
    """The limits of a node's channels, each with the row that sets it."""
    from suat.quality.limits import setting_rows
    from suat.store.channels import CHANNELS

    groups = {f"probe{probe.position}" for probe in device.probes} | {"node"}
    groups |= {"water"} if device.kind == "water" else set()
    found: list[tuple[Limit, LimitsTable | None]] = []
    for channel in CHANNELS:
        place = device.probe_name(channel.group)
        setting = setting_rows(rows, device.name, channel, place)
        if channel.group in groups or any(row.node for row in setting.values()):
            found += _of_channel(device.name, place, channel, setting)
    return found


def _of_channel(
    node: str | None, place: str, channel: Channel, setting: dict[str, LimitsTable]
) -> Iterator[tuple[Limit, LimitsTable | None]]:
    from suat.quality.settings import SETTINGS, SOURCED
    from suat.quality.tables import SETTABLE, unit_of

    sourced = SOURCED[channel.code]
    for name in SETTABLE:
        if name in setting or name in sourced:
            default = getattr(SETTINGS[channel.code], name)
            row = setting.get(name)
            yield (
                Limit(
                    node,
                    place,
                    channel.name,
                    name,
                    _judged(default if row is None else row.limits[name]),
                    unit_of(name, channel.unit),
                    _judged(default),
                    None if row is None else row.reason,
                    sourced[name][1] if name in sourced else None,
                ),
                row,
            )


def _judged(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _is_own(row: LimitsTable) -> bool:
    """Whether it is not told with the limits of all nodes: it names a node, or a probe."""
    return row.node is not None or row.channel.rpartition(".")[0] not in ("", "water", "node")


def _line(limit: Limit) -> str:
    why = limit.source or ""
    if limit.reason is not None:
        why = f"{printable(limit.reason)} (default {_number(limit.default)})"
    return (
        f"{limit.node or 'all':16} {limit.probe:10} {limit.channel:15} {limit.limit:14} {_number(limit.value):>10}"
        f" {limit.unit:7} {why}".rstrip()
    )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.7g}"
