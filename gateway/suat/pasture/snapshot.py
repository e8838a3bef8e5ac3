"""Reading the journal into the plain inputs of one instant.

Only what was measured up to that instant counts, so that a past decision can be looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import median

import numpy as np

from suat.config import Config
from suat.pasture.model import DAY_US, Broken, Node, Snapshot, stays
from suat.pasture.probes import ProbeAt, Readings, Station
from suat.pasture.soil_state import soil_state
from suat.pasture.water_state import water_state
from suat.records import DeviceRecord
from suat.store.channels import BY_CODE
from suat.store.rows import Assignment


def take(config: Config, journal: Readings, at_us: int) -> Snapshot:
    """The inputs of the decisions at `at_us`."""
    stations = _stations(journal.devices(), journal.assignments(), at_us)
    active = [station for station in stations if station.active]
    stayed = stays(journal.moves(at_us), at_us)
    left = {stay.paddock: stay.until_us for stay in sorted(stayed, key=lambda stay: stay.until_us or at_us)}
    return Snapshot(
        at_us=at_us,
        soils={
            paddock.id: soil_state(
                journal, config.rules, paddock, _probes(stations, paddock.id), left.get(paddock.id), at_us
            )
            for paddock in config.paddock
        },
        waters={
            point.id: water_state(
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
        broken=tuple(_broken(journal, device, at_us)),
    )


def _broken(journal: Readings, device: DeviceRecord, at_us: int) -> Iterator[Broken]:
    for episode in journal.lasting_episodes(device.registration, at_us):
        channel = BY_CODE[episode.code]
        yield Broken(device.probe_name(channel.group), channel.name, episode.since_us)


def _air_max(journal: Readings, stations: Iterable[Station], at_us: int) -> float | None:
    """Highest air temperature of the last 24 h: the median of the nodes' own, since one may stand in the sun."""
    highest = []
    for station in stations:
        _, values, _ = journal.series(station.device.registration, "node", "air_temperature", at_us - DAY_US, at_us + 1)
        usable = values[values == values]
        if usable.size:
            highest.append(float(usable.max()))
    return median(highest) if highest else None
