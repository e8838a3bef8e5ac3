"""Reading the journal into the plain inputs of one instant.

Only what was measured up to that instant counts, so that a past decision can be looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from suat.config import Config, PaddockTable, RulesTable, WaterPointTable
from suat.pasture.model import DAY_US, HOUR_US, Doubt, Layer, Node, Snapshot, Soil, SoilDay, Water, stays
from suat.pasture.soil_water import TEXTURES, TOPSOIL_CM, Texture, profile_fraction_available, root_depth_m
from suat.pasture.water_use import DAYS, LEVEL_NOISE, daily_use_l
from suat.records import DeviceRecord, Flag
from suat.store.rows import Assignment, LastSeen, Move

Array = NDArray[Any]

NEAR_SURFACE_CM = 10.0  # the depth whose temperature decides on growth and frost
TOPSOIL_LOOKBACK_US = 14 * DAY_US
LAST_KNOWN_LOOKBACK_US = 60 * DAY_US  # how far back the age of a silent probe is looked up
WIDTH_1H_S, WIDTH_1D_S = 3600, 86400


class Readings(Protocol):
    """What is asked of the journal (`suat.store.reader.Reader`)."""

    def devices(self, *, revoked: bool = True) -> list[DeviceRecord]: ...

    def assignments(self) -> dict[int, list[Assignment]]: ...

    def last_seen(self, registration: int, until_us: int = ...) -> LastSeen | None: ...

    def series(
        self, registration: int, group: str, channel: str, since_us: int = ..., until_us: int = ...
    ) -> tuple[Array, Array, Array]: ...

    def windows(
        self, registration: int, group: str, channel: str, width_s: int, since_us: int = ..., until_us: int = ...
    ) -> tuple[Array, Array]: ...

    def moves(self, until_us: int = ...) -> list[Move]: ...

    def counters(self) -> dict[str, int]: ...


class Station(NamedTuple):
    """A node that stood somewhere from `since_us` until `until_us`; `active`: it stands there now."""

    device: DeviceRecord
    paddock: str | None
    water_point: str | None
    since_us: int
    until_us: int
    active: bool


class ProbeAt(NamedTuple):
    """One probe of a station: the payload group that carries it, and how deep it lies."""

    station: Station
    group: str
    depth_cm: float


def take(config: Config, journal: Readings, at_us: int) -> Snapshot:
    """The inputs of the decisions at `at_us`."""
    stations = _stations(journal.devices(), journal.assignments(), at_us)
    active = [station for station in stations if station.active]
    stayed = stays(journal.moves(at_us), at_us)
    left = {stay.paddock: stay.until_us for stay in sorted(stayed, key=lambda stay: stay.until_us or at_us)}
    return Snapshot(
        at_us=at_us,
        soils={
            paddock.id: _soil(
                journal, config.rules, paddock, _probes(stations, paddock.id), left.get(paddock.id), at_us
            )
            for paddock in config.paddock
        },
        waters={
            point.id: _water(
                journal, config.rules, point, [station for station in active if station.water_point == point.id], at_us
            )
            for point in config.water_point
        },
        stays=stayed,
        nodes=tuple(_node(journal, station, at_us) for station in active),
        air_max_c=_air_max(journal, active, at_us),
        counters=journal.counters(),
    )


def _stations(devices: Iterable[DeviceRecord], assignments: dict[int, list[Assignment]], at_us: int) -> list[Station]:
    """Where the nodes stood; the first place of a node also holds for readings from before it was written down."""
    found = []
    for device in devices:
        places = assignments.get(device.registration, []) or [Assignment(0, device.paddock, device.water_point)]
        revoked = device.revoked_us if device.revoked_us is not None and device.revoked_us <= at_us else None
        for index, place in enumerate(places):
            since = 0 if index == 0 else place.since_us
            until = places[index + 1].since_us if index + 1 < len(places) else at_us + 1
            until = until if revoked is None else min(until, revoked)
            active = since <= at_us < until
            if since <= at_us:
                found.append(Station(device, place.paddock, place.water_point, since, min(until, at_us + 1), active))
    return found


def _probes(stations: Iterable[Station], paddock: str) -> list[ProbeAt]:
    return [
        ProbeAt(station, f"probe{probe.position}", float(probe.depth_cm))
        for station in stations
        if station.paddock == paddock
        for probe in station.device.probes
    ]


# Soil


def _soil(
    journal: Readings,
    rules: RulesTable,
    paddock: PaddockTable,
    probes: list[ProbeAt],
    left_us: int | None,
    at_us: int,
) -> Soil:
    active = [probe for probe in probes if probe.station.active]
    newest = [_newest(journal, probe, "temperature", at_us, rules.soil_stale_h) for probe in _near_surface(active)]
    return Soil(
        layers=_layers(journal, active, at_us, rules.soil_stale_h),
        topsoil=_topsoil(journal, rules, paddock, active, at_us),
        days=() if left_us is None else _days(journal, rules, paddock, probes, left_us, at_us),
        temperature_c=max(newest, key=lambda reading: reading.at_us or 0).value if newest else None,
    )


def _topsoil(
    journal: Readings, rules: RulesTable, paddock: PaddockTable, probes: list[ProbeAt], at_us: int
) -> tuple[tuple[int, float], ...]:
    """fPAW of 0-30 cm by the hour, as far back as it matters for too wet."""
    texture = TEXTURES[paddock.soil]
    # a day of low water ends every "too wet" from before it: mostly no more than this need be read
    last_day = _fractions(journal, probes, WIDTH_1H_S, at_us - DAY_US - 2 * HOUR_US, texture, TOPSOIL_CM)
    low = min(rules.too_wet_cattle, rules.too_wet_sheep) - rules.too_wet_clear
    if last_day and last_day[0][0] <= at_us - DAY_US and all(fraction <= low for _, fraction in last_day):
        return tuple(last_day)
    return tuple(_fractions(journal, probes, WIDTH_1H_S, at_us - TOPSOIL_LOOKBACK_US, texture, TOPSOIL_CM))


def _days(
    journal: Readings, rules: RulesTable, paddock: PaddockTable, probes: list[ProbeAt], left_us: int, at_us: int
) -> tuple[SoilDay, ...]:
    """The days since the last herd left, as far back as they can count for the rest."""
    since_us = max(left_us, at_us - (rules.rest_max_days + 1) * DAY_US)
    warm = {
        start: median(values.values())
        for start, values in _by_start(journal, _near_surface(probes), "temperature", WIDTH_1D_S, since_us)
    }
    bottom_cm = root_depth_m(paddock.kind) * 100
    moist = dict(_fractions(journal, probes, WIDTH_1D_S, since_us, TEXTURES[paddock.soil], bottom_cm))
    return tuple(SoilDay(start, warm.get(start), moist.get(start)) for start in sorted(warm.keys() | moist.keys()))


def _near_surface(probes: Iterable[ProbeAt]) -> list[ProbeAt]:
    """Of each node the probe nearest to 10 cm."""
    nearest: dict[Station, ProbeAt] = {}
    for probe in probes:
        best = nearest.setdefault(probe.station, probe)
        if abs(probe.depth_cm - NEAR_SURFACE_CM) < abs(best.depth_cm - NEAR_SURFACE_CM):
            nearest[probe.station] = probe
    return list(nearest.values())


def _fractions(
    journal: Readings, probes: Sequence[ProbeAt], width_s: int, since_us: int, texture: Texture, bottom_cm: float
) -> list[tuple[int, float]]:
    """(window start, fPAW down to `bottom_cm`) of the windows in which every depth measured at the time is known."""
    found = []
    first: dict[ProbeAt, int] = {}
    for start, values in _by_start(journal, probes, "moisture", width_s, since_us):
        for probe in values:
            first.setdefault(probe, start)
        at_depth: dict[float, list[float]] = {probe.depth_cm: [] for probe in first if start < probe.station.until_us}
        for probe, mean in values.items():
            at_depth[probe.depth_cm].append(mean)
        if all(at_depth.values()):
            layers = [(depth, median(means)) for depth, means in at_depth.items()]
            fraction = profile_fraction_available(layers, texture, bottom_cm)
            if fraction is not None:
                found.append((start, fraction))
    return found


def _by_start(
    journal: Readings, probes: Iterable[ProbeAt], channel: str, width_s: int, since_us: int
) -> list[tuple[int, dict[ProbeAt, float]]]:
    """(window start, mean of each probe that has one), oldest first."""
    values: dict[int, dict[ProbeAt, float]] = {}
    for probe in probes:
        station = probe.station
        starts, windows = journal.windows(
            station.device.registration,
            probe.group,
            channel,
            width_s,
            max(since_us, station.since_us),
            station.until_us,
        )
        for start, mean in zip(starts.tolist(), windows["mean"].tolist(), strict=True):
            if mean == mean:
                values.setdefault(start, {})[probe] = mean
    return sorted(values.items(), key=lambda item: item[0])


class Newest(NamedTuple):
    """The newest usable reading of a channel, and what is wrong with a newer one."""

    value: float | None
    at_us: int | None
    doubt: Doubt | None = None
    doubt_us: int | None = None


def _newest(journal: Readings, probe: ProbeAt, channel: str, at_us: int, stale_h: float) -> Newest:
    registration = probe.station.device.registration
    since = max(probe.station.since_us, at_us - round(stale_h * HOUR_US))
    times, values, flags = journal.series(registration, probe.group, channel, since, at_us + 1)
    newest = _newest_of(times, values, flags)
    if newest.at_us is not None:
        return newest
    before = max(probe.station.since_us, at_us - LAST_KNOWN_LOOKBACK_US)
    starts, windows = journal.windows(registration, probe.group, channel, WIDTH_1H_S, before, at_us + 1)
    known = np.flatnonzero(windows["last"] == windows["last"])
    if known.size == 0:
        return newest
    last = known[-1]
    # the window's start: never younger than the reading itself, and older than the limit in any case
    return newest._replace(value=float(windows["last"][last]), at_us=min(int(starts[last]), since - 1))


def _newest_of(times: Array, values: Array, flags: Array) -> Newest:
    """From a channel's series, oldest first."""
    usable = np.flatnonzero(values == values)
    last = int(usable[-1]) if usable.size else -1
    doubtful = len(values) - 1
    doubt = None if doubtful == last else _doubt(int(flags[doubtful]))
    return Newest(
        value=float(values[last]) if last >= 0 else None,
        at_us=int(times[last]) if last >= 0 else None,
        doubt=doubt,
        doubt_us=None if doubt is None else int(times[doubtful]),
    )


def _doubt(flags: int) -> Doubt:
    if flags & Flag.UNCALIBRATED:
        return "uncalibrated"
    return "frost" if flags & Flag.FROZEN else "fault"


def _layers(journal: Readings, probes: list[ProbeAt], at_us: int, stale_h: float) -> tuple[Layer, ...]:
    """One layer a depth: the median of its probes that are fresh; without any, the one heard last."""
    found = []
    for depth in sorted({probe.depth_cm for probe in probes}):
        readings = [_newest(journal, probe, "moisture", at_us, stale_h) for probe in probes if probe.depth_cm == depth]
        fresh = [
            (reading.value, reading.at_us)
            for reading in readings
            if reading.value is not None and reading.at_us is not None and at_us - reading.at_us <= stale_h * HOUR_US
        ]
        if fresh:
            found.append(Layer(depth, median(value for value, _ in fresh), max(moment for _, moment in fresh)))
            continue
        last = max(readings, key=lambda reading: max(reading.doubt_us or 0, reading.at_us or 0))
        found.append(Layer(depth, last.value, last.at_us, last.doubt, last.doubt_us))
    return tuple(found)


# Water


def _water(journal: Readings, rules: RulesTable, point: WaterPointTable, stations: list[Station], at_us: int) -> Water:
    """The water point by its freshest node; where several are fresh, the one that shows least water."""
    candidates = [
        (_newest(journal, ProbeAt(station, "water", 0.0), "depth", at_us, rules.water_stale_h), station)
        for station in stations
    ]
    if not candidates:
        return Water()

    def is_fresh(newest: Newest) -> bool:
        return newest.at_us is not None and at_us - newest.at_us <= rules.water_stale_h * HOUR_US

    fresh = [candidate for candidate in candidates if is_fresh(candidate[0])]
    if fresh:
        newest, station = min(fresh, key=lambda candidate: candidate[0].value or 0.0)
    else:
        newest, station = max(candidates, key=lambda candidate: candidate[0].at_us or 0)
    level = None if newest.value is None else newest.value / point.depth_m
    threshold = rules.trough_empty_pct / 100
    return Water(
        level=level,
        at_us=newest.at_us,
        doubt=None if is_fresh(newest) else newest.doubt,
        empty_since_us=_empty_since(journal, station, point, threshold, at_us)
        if level is not None and level <= threshold
        else None,
        use_l_day=_use(journal, stations, station, point, at_us),
    )


def _hourly(
    journal: Readings, station: Station, channel: str, statistic: str, since_us: int, until_us: int
) -> list[tuple[int, float]]:
    starts, windows = journal.windows(
        station.device.registration, "water", channel, WIDTH_1H_S, max(since_us, station.since_us), until_us
    )
    pairs = zip(starts.tolist(), windows[statistic].tolist(), strict=True)
    return [(start, value) for start, value in pairs if value == value]


def _empty_since(
    journal: Readings, station: Station, point: WaterPointTable, threshold: float, at_us: int
) -> int | None:
    """When the run of readings at or under the threshold, up to the newest, began; a week back at most."""
    limit_m = threshold * point.depth_m
    since_us = at_us - DAY_US
    times, values, _ = journal.series(station.device.registration, "water", "depth", since_us, at_us + 1)
    recent = [(t, v) for t, v in zip(times.tolist(), values.tolist(), strict=True) if v == v]
    began = _run_start(recent, lambda value: value <= limit_m)
    if recent and began != recent[0][0]:
        return began
    older = _hourly(journal, station, "depth", "max", at_us - DAYS * DAY_US, since_us)
    earlier = _run_start(older, lambda value: value <= limit_m)
    return began if earlier is None else earlier


def _run_start(series: Sequence[tuple[int, float]], holds: Callable[[float], bool]) -> int | None:
    """Time of the first of the last readings that all hold; None when the newest does not."""
    began = None
    for moment, value in reversed(series):
        if not holds(value):
            break
        began = moment
    return began


def _use(
    journal: Readings, stations: Iterable[Station], station: Station, point: WaterPointTable, at_us: int
) -> float | None:
    """7-day median of the daily use [L]: by a flow meter where one is fitted, else by the tank's level."""
    since_us = at_us - (DAYS + 1) * DAY_US
    noise_l = LEVEL_NOISE * point.tank_l
    for metered in stations:
        totals = _hourly(journal, metered, "volume", "last", since_us, at_us + 1)
        use = daily_use_l(totals, at_us, True, noise_l)
        if use is not None:
            return use
    levels = _hourly(journal, station, "depth", "median", since_us, at_us + 1)
    volumes = [(start, min(1.0, max(0.0, depth / point.depth_m)) * point.tank_l) for start, depth in levels]
    return daily_use_l(volumes, at_us, False, noise_l)


# Nodes and weather


def _node(journal: Readings, station: Station, at_us: int) -> Node:
    device = station.device
    seen = journal.last_seen(device.registration, at_us + 1)
    if seen is None:
        return Node(device.name, device.kind, station.paddock, station.water_point)
    since_us = seen.time_us - DAY_US
    times, volts, _ = journal.series(device.registration, "node", "battery", since_us, seen.time_us + 1)
    usable = volts[volts == volts]
    gaps = np.diff(np.unique(times))
    return Node(
        name=device.name,
        kind=device.kind,
        paddock=station.paddock,
        water_point=station.water_point,
        last_seen_us=seen.received_us if seen.received_us <= at_us else seen.time_us,
        interval_s=float(np.median(gaps)) / 1e6 if gaps.size >= 3 else None,
        battery_v=float(usable[-1]) if usable.size else None,
        rssi=seen.rssi,
        snr=seen.snr,
    )


def _air_max(journal: Readings, stations: Iterable[Station], at_us: int) -> float | None:
    """Highest air temperature of the last 24 h: the median of the nodes' own, since one may stand in the sun."""
    highest = []
    for station in stations:
        _, values, _ = journal.series(station.device.registration, "node", "air_temperature", at_us - DAY_US, at_us + 1)
        usable = values[values == values]
        if usable.size:
            highest.append(float(usable.max()))
    return median(highest) if highest else None
