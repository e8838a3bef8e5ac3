"""What the probes of a water point say of its water."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from suat.pasture.model import DAY_US, HOUR_US, Water
from suat.pasture.probes import WIDTH_1H_S, Newest, ProbeAt, Readings, Station, newest
from suat.pasture.tables import RulesTable, WaterPointTable
from suat.pasture.water_use import DAYS, LEVEL_NOISE, daily_use_l


def water_state(
    journal: Readings, rules: RulesTable, point: WaterPointTable, stations: list[Station], at_us: int
) -> Water:
    """The water point by its freshest node; where several are fresh, the one that shows least water."""
    candidates = [
        (newest(journal, ProbeAt(station, "water", 0.0), "depth", at_us, rules.water_stale_h), station)
        for station in stations
    ]
    if not candidates:
        return Water()

    def is_fresh(word: Newest) -> bool:
        return word.at_us is not None and at_us - word.at_us <= rules.water_stale_h * HOUR_US

    fresh = [candidate for candidate in candidates if is_fresh(candidate[0])]
    if fresh:
        word, station = min(fresh, key=lambda candidate: candidate[0].value or 0.0)
    else:
        word, station = max(candidates, key=lambda candidate: candidate[0].at_us or 0)
    level = None if word.value is None else word.value / point.depth_m
    threshold = rules.trough_empty_pct / 100
    return Water(
        level=level,
        at_us=word.at_us,
        doubt=None if is_fresh(word) else word.doubt,
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
    until_us = at_us + 1 - HOUR_US  # a window that ended later knows what came later
    noise_l = LEVEL_NOISE * point.tank_l
    for metered in stations:
        totals = _hourly(journal, metered, "volume", "last", since_us, until_us)
        use = daily_use_l(totals, at_us, True, noise_l)
        if use is not None:
            return use
    levels = _hourly(journal, station, "depth", "median", since_us, until_us)
    volumes = [(start, min(1.0, max(0.0, depth / point.depth_m)) * point.tank_l) for start, depth in levels]
    return daily_use_l(volumes, at_us, False, noise_l)
