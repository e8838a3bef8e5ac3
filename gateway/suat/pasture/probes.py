"""What the decisions ask of the journal, and the newest word of a probe."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from suat.pasture.model import DAY_US, HOUR_US, Doubt
from suat.records import DeviceRecord, Flag
from suat.store.rows import Assignment, Episode, LastSeen, Move

Array = NDArray[Any]

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

    def lasting_episodes(self, registration: int, at_us: int) -> list[Episode]: ...

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


class Newest(NamedTuple):
    """The newest usable reading of a channel, and what is wrong with a newer one."""

    value: float | None
    at_us: int | None
    doubt: Doubt | None = None
    doubt_us: int | None = None


def newest(journal: Readings, probe: ProbeAt, channel: str, at_us: int, stale_h: float) -> Newest:
    registration = probe.station.device.registration
    since = max(probe.station.since_us, at_us - round(stale_h * HOUR_US))
    times, values, flags = journal.series(registration, probe.group, channel, since, at_us + 1)
    found = _newest_of(times, values, flags)
    if found.at_us is not None:
        return found
    before = max(probe.station.since_us, at_us - LAST_KNOWN_LOOKBACK_US)
    starts, windows = journal.windows(registration, probe.group, channel, WIDTH_1H_S, before, at_us + 1)
    known = np.flatnonzero(windows["last"] == windows["last"])
    if known.size == 0:
        return found
    last = known[-1]
    # the window's start: never younger than the reading itself, and older than the limit in any case
    return found._replace(value=float(windows["last"][last]), at_us=min(int(starts[last]), since - 1))


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
