"""What the probes of a paddock say of its soil."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from suat.pasture.model import DAY_US, HOUR_US, Layer, Soil, SoilDay
from suat.pasture.probes import WIDTH_1D_S, WIDTH_1H_S, ProbeAt, Readings, Station, newest
from suat.pasture.soil_water import TEXTURES, TOPSOIL_CM, Texture, profile_fraction_available, root_depth_m
from suat.pasture.tables import PaddockTable, RulesTable

NEAR_SURFACE_CM = 10.0  # the depth whose temperature decides on growth and frost
TOPSOIL_LOOKBACK_US = 14 * DAY_US


def soil_state(
    journal: Readings,
    rules: RulesTable,
    paddock: PaddockTable,
    probes: list[ProbeAt],
    left_us: int | None,
    at_us: int,
) -> Soil:
    active = [probe for probe in probes if probe.station.active]
    warmth = [newest(journal, probe, "temperature", at_us, rules.soil_stale_h) for probe in _near_surface(active)]
    return Soil(
        layers=_layers(journal, active, at_us, rules.soil_stale_h),
        topsoil=_topsoil(journal, rules, paddock, active, at_us),
        days=() if left_us is None else _days(journal, rules, paddock, probes, left_us, at_us),
        temperature_c=max(warmth, key=lambda reading: reading.at_us or 0).value if warmth else None,
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
        there = [probe for probe in first if start + width_s * 1_000_000 <= probe.station.until_us]
        at_depth: dict[float, list[float]] = {probe.depth_cm: [] for probe in there}
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
            station.until_us - width_s * 1_000_000,  # a window that ended later knows what came later
        )
        for start, mean in zip(starts.tolist(), windows["mean"].tolist(), strict=True):
            if mean == mean:
                values.setdefault(start, {})[probe] = mean
    return sorted(values.items(), key=lambda item: item[0])


def _layers(journal: Readings, probes: list[ProbeAt], at_us: int, stale_h: float) -> tuple[Layer, ...]:
    """One layer a depth: the median of its probes that are fresh; without any, the one heard last."""
    found = []
    for depth in sorted({probe.depth_cm for probe in probes}):
        readings = [newest(journal, probe, "moisture", at_us, stale_h) for probe in probes if probe.depth_cm == depth]
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
