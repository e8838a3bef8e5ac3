"""What the rules are judged on, as plain values: what the probes say, and where the herds are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from suat.store.rows import Move

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

# Why the newest reading of an input can't be used. A reading that can't be used counts as not having come.
Doubt = Literal["uncalibrated", "fault", "frost"]


@dataclass(frozen=True, slots=True)
class Layer:
    """The moisture at one depth of a paddock."""

    depth_cm: float
    theta: float | None = None  # newest usable water content [m3/m3]
    at_us: int | None = None  # its time
    doubt: Doubt | None = None  # what is wrong with a reading newer than that
    doubt_us: int | None = None  # time of that newer reading


@dataclass(frozen=True, slots=True)
class SoilDay:
    """One closed day of a paddock, in the station's time zone."""

    start_us: int
    temperature_c: float | None  # mean at about 10 cm
    fpaw: float | None  # mean over the root zone


@dataclass(frozen=True, slots=True)
class Soil:
    """What the probes of one paddock say."""

    layers: tuple[Layer, ...] = ()  # by depth
    topsoil: tuple[tuple[int, float], ...] = ()  # (time [us], fPAW of 0-30 cm), hourly, oldest first
    days: tuple[SoilDay, ...] = ()  # oldest first
    temperature_c: float | None = None


@dataclass(frozen=True, slots=True)
class Water:
    """What the probes of one water point say."""

    level: float | None = None  # newest usable depth over depth when full; may pass 1
    at_us: int | None = None
    doubt: Doubt | None = None
    empty_since_us: int | None = None  # since when it has been as good as empty, without a break
    use_l_day: float | None = None  # median of the last 7 days


class Broken(NamedTuple):
    """A channel of a node whose readings are set aside since an instant."""

    probe: str  # the name it was registered under; "water" or "node" for what is no soil probe
    channel: str
    since_us: int


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the station last heard it."""

    name: str
    kind: str
    paddock: str | None = None
    water_point: str | None = None
    last_seen_us: int | None = None
    interval_s: float | None = None  # its usual time between samples
    battery_v: float | None = None
    rssi: float | None = None
    snr: float | None = None
    broken: tuple[Broken, ...] = ()


@dataclass(frozen=True, slots=True)
class Stay:
    """A herd's time in a paddock; `until_us` None while it is there."""

    herd: str
    paddock: str
    since_us: int
    until_us: int | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the decisions of one instant rest on, beside the configuration."""

    at_us: int
    soils: Mapping[str, Soil] = field(default_factory=dict)  # by paddock
    waters: Mapping[str, Water] = field(default_factory=dict)  # by water point
    stays: tuple[Stay, ...] = ()  # oldest first
    nodes: tuple[Node, ...] = ()
    air_max_c: float | None = None  # highest of the last 24 h
    counters: Mapping[str, int] = field(default_factory=dict)

    def herd_stay(self, herd: str) -> Stay | None:
        """Where the herd is now; None when it isn't recorded."""
        return next((stay for stay in self.stays if stay.herd == herd and stay.until_us is None), None)

    def herds_in(self, paddock: str) -> list[str]:
        """The herds in a paddock now, in order of arrival."""
        return [stay.herd for stay in self.stays if stay.paddock == paddock and stay.until_us is None]


def stays(moves: Iterable[Move], at_us: int) -> tuple[Stay, ...]:
    """The stays that the moves up to `at_us` make: each ends when the same herd moves elsewhere."""
    current: dict[str, Move] = {}
    found: list[Stay] = []
    for move in sorted((move for move in moves if move.at_us <= at_us), key=lambda move: move.at_us):
        before = current.get(move.herd)
        if before is not None and before.paddock == move.paddock:
            continue
        if before is not None:
            found.append(Stay(move.herd, before.paddock, before.at_us, move.at_us))
        current[move.herd] = move
    found += [Stay(move.herd, move.paddock, move.at_us, None) for move in current.values()]
    return tuple(sorted(found, key=lambda stay: (stay.since_us, stay.herd)))
