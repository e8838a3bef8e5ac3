"""THE table of what InfluxDB gets: measurements, tags, fields. Nothing else in the project writes a point.

    measurement  tags                                            fields
    soil         node, probe, depth_cm, paddock | water_point    moisture temperature ec, fault
    water        node, paddock | water_point                     depth volume temperature ec float pump_current, fault
    node         node, kind                                      battery air_temperature solar, rssi, snr, fault, health
    paddock      paddock                                         status, for_herd, score fpaw grazing_days ...
    water_point  water_point                                     status, level_pct days_left volume_l use_l_day ...
    alert        subject, kind                                   level, active (1 from its time, 0 from its end), text
    station      -                                               the link's counters
    soil_15m, soil_1h, soil_1d, water_15m ...   tags as above    q_count q_min q_max q_mean q_last q_median of each q

A measured quantity q of `soil`, `water` and `node` is four fields: `q` cleaned, `q_raw` as the probe sent it (its own
unit), `q_flags` (bits of suat.records.Flag) and `q_ok`. InfluxDB cannot unset a field: so `q_ok` says whether `q` may
be used, and while it is 0, `q` holds what was sent where that has the same unit, else nothing new. `flags` joins all
the flags of a point, and `ok` is 1 when all of its quantities are usable. Every query filters on `ok`, or on the `q_ok`
of the quantity it shows (frozen soil has no moisture but does have a temperature). A figure q that may be unknown in
`paddock` and `water_point` likewise has its `q_ok`. What a node does not measure is no field of its series.

Times are microseconds. The same row of the journal gives the same lines, so sending twice changes nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from suat_samples import Lines, WindowLines, masks
from suat_wire.payload import layout_of

from suat.records import DeviceRecord
from suat.store.channels import BY_CODE, BY_FIELD, PROBES
from suat.store.packed import STATISTICS, WINDOW
from suat.store.rows import Alert, Assignment, SampleRow, Status, WindowRow

if TYPE_CHECKING:
    from suat_samples.samples import Extra, Quantity

WINDOW_SUFFIX = {900: "15m", 3600: "1h", 86400: "1d"}

# Figures of a decision that may be unknown: name -> its key in the object of `suat status --json`.
FIGURES = {
    "paddock": ("score", "fpaw", "fpaw_top", "grazing_days", "rest_days_left", "growth_days", "water_days"),
    "water_point": ("level_pct", "days_left", "volume_l", "use_l_day", "demand_l_day"),
}
PLANS = 256  # kinds of bodies remembered

_tag_escapes = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ ", "\\": "/"} | {chr(code): "\\ " for code in range(32)})
_text_escapes = str.maketrans({'"': '\\"', "\\": "\\\\"} | {chr(code): " " for code in range(32)})


def tag_value(text: str) -> str:
    """A tag's value as line protocol writes it; it has no backslash (here `/`) and no control characters (a space)."""
    return text.translate(_tag_escapes)


def text_value(text: str) -> str:
    """A text field as line protocol writes it; line breaks become spaces."""
    return f'"{text.translate(_text_escapes)}"'


def _tags(**tags: str | None) -> str:
    """`,key=value` of all tags that are set, keys in order."""
    return "".join(f",{key}={tag_value(value)}" for key, value in sorted(tags.items()) if value)


class _Plan(NamedTuple):
    """How the samples of one kind of body become lines."""

    groups: tuple[str, ...]  # of each point: "probe1" .. "probe4", "water", or "node"
    lines: Lines


_plans: dict[bytes, _Plan] = {}  # by masks; a fleet uses a handful


def _plan_of(body: bytes) -> _Plan:
    """How a sample like this one is cut into points; every sample gives one of its node. PayloadError."""
    layout = layout_of(body)
    quantities: dict[str, dict[int, Quantity]] = {"node": {}}
    extras: dict[str, list[Extra]] = {"node": []}
    for place, (group, field) in enumerate(layout.keys):
        point = "node" if group == "health" else group
        found = quantities.setdefault(point, {})
        more = extras.setdefault(point, [])
        channel = BY_FIELD.get((group, field))
        if channel is None:
            more.append((place, field))
            continue
        rank = channel.fields.index(field)
        known = found.get(channel.code)
        if known is None or rank < channel.fields.index(layout.keys[known[0]][1]):
            found[channel.code] = place, channel.code, channel.name, rank == 0  # the first has the quantity's own unit
    parts = [
        ([found[code] for code in sorted(found)], extras[point], point == "node") for point, found in quantities.items()
    ]
    if len(_plans) >= PLANS:
        _plans.clear()
    form = len(layout.prefix), layout.format[1:], layout.divisors
    plan = _plans[layout.prefix] = _Plan(tuple(quantities), Lines(form, parts))
    return plan


_window_plans: dict[bytes, tuple[tuple[str, ...], WindowLines]] = {}  # by the codes of its channels


def _window_plan_of(codes: bytes) -> tuple[tuple[str, ...], WindowLines]:
    """(group of each point, how it is written) of a window of these channels."""
    parts: dict[str, list[tuple[int, str]]] = {}
    for entry, code in enumerate(codes):
        channel = BY_CODE[code]
        if channel.group != "node":
            parts.setdefault(channel.group, []).append((entry, channel.name))
    if len(_window_plans) >= PLANS:
        _window_plans.clear()
    found = _window_plans[codes] = tuple(parts), WindowLines(len(codes), list(parts.values()), STATISTICS)
    return found


class Points:
    """Rows of the journal as lines, for the nodes and places of one state of the registry."""

    def __init__(self, devices: Iterable[DeviceRecord], places: Mapping[int, Sequence[Assignment]]) -> None:
        self._devices = {device.registration: device for device in devices}
        self._places = {registration: list(found) for registration, found in places.items()}
        self._since = {registration: [place.since_us for place in found] for registration, found in places.items()}
        self._heads: dict[tuple[int, tuple[str, ...], str], list[tuple[str, ...]]] = {}

    def sample(self, row: SampleRow) -> list[str]:
        """The points of one cleaned sample."""
        if not row.body:  # damaged on the disk
            return []
        plan = _plans.get(masks(row.body)) or _plan_of(row.body)
        heads = self._heads_of(row.registration, plan.groups, row.time_us)
        cleaned = row.cleaned or b""
        return plan.lines.write(heads, row.body, cleaned, row.record, row.time_us, row.rssi, row.snr)

    def window(self, row: WindowRow) -> list[str]:
        """The points of one window: soil probes and water alone."""
        codes = row.body[:: WINDOW.itemsize]
        groups, lines = _window_plans.get(codes) or _window_plan_of(codes)
        heads = self._heads_of(row.registration, groups, row.start_us, WINDOW_SUFFIX[row.width_s])
        return lines.write(heads, row.body, row.start_us)

    def _heads_of(self, registration: int, groups: tuple[str, ...], time_us: int, suffix: str = "") -> tuple[str, ...]:
        """Measurement and tags of each group, with the place the node had at that time."""
        heads = self._heads.get((registration, groups, suffix))
        if heads is None:
            device = self._devices[registration]
            places = self._places.get(registration) or [Assignment(0, None, None)]
            heads = self._heads[registration, groups, suffix] = [
                tuple(_head(device, group, suffix, place) for group in groups) for place in places
            ]
        if len(heads) == 1:
            return heads[0]
        return heads[max(0, bisect_right(self._since[registration], time_us) - 1)]


def _head(device: DeviceRecord, group: str, suffix: str, place: Assignment) -> str:
    if group == "node":
        return f"node{_tags(node=device.name, kind=device.kind)} "
    measurement = ("soil" if group in PROBES else group) + (f"_{suffix}" if suffix else "")
    probe = next((probe for probe in device.probes if f"probe{probe.position}" == group), None)
    tags = _tags(
        node=device.name,
        probe=(probe.name if probe else group) if group in PROBES else None,
        depth_cm=str(probe.depth_cm) if probe else None,
        paddock=place.paddock,
        water_point=place.water_point,
    )
    return f"{measurement}{tags} "


def _figure(name: str, value: Any) -> str:
    """A number that may be unknown."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return f"{name}={float(value)!r},{name}_ok=1i," if known else f"{name}_ok=0i,"


def status_lines(row: Status) -> list[str]:
    """The point of a decision."""
    if row.kind == "station":
        link = row.body.get("link", {})
        counters = "".join(f"{name}={int(link[name])}i," for name in sorted(link))
        return [f"station {counters}ok=1i {row.at_us}"]
    figures = "".join(_figure(name, row.body.get(name)) for name in FIGURES[row.kind])
    herd = f"for_herd={text_value(row.body.get('for_herd') or '')}," if row.kind == "paddock" else ""
    ok = 0 if row.status == "no_data" else 1
    tags = _tags(**{row.kind: row.subject})
    return [f"{row.kind}{tags} status={text_value(row.status)},{herd}{figures}ok={ok}i {row.at_us}"]


def alert_lines(row: Alert) -> list[str]:
    """An alert's beginning and, once it is over, its end."""
    head = f"alert{_tags(subject=row.subject, kind=row.kind)} "
    body = f"level={text_value(row.level)},text={text_value(str(row.body.get('text', '')))},ok=1i"
    lines = [f"{head}active=1i,{body} {row.at_us}"]
    if row.cleared_us is not None and row.cleared_us != row.at_us:
        lines.append(f"{head}active=0i,{body} {row.cleared_us}")
    return lines
