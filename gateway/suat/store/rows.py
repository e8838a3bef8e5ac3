"""What the journal gives and takes beside the link's own records."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Reading(NamedTuple):
    """One channel of one sample: as sent, and as it stands after cleaning."""

    registration: int
    record: int
    time_us: int
    group: str  # "probe1" .. "probe4", "water", "node", "health"
    channel: str  # the cleaned quantity ("moisture"), or the field on air where nothing is cleaned ("fault")
    unit: str
    value: float | None  # None while unusable, or not yet cleaned
    field: str  # the field on air ("vwc", "permittivity", "count" ...)
    raw: float
    flags: int


class SampleRow(NamedTuple):
    """A kept sample with its cleaned body, None while it was not cleaned yet."""

    id: int
    registration: int
    record: int
    time_us: int
    body: bytes
    cleaned: bytes | None
    rssi: float | None
    snr: float | None


class WindowRow(NamedTuple):
    """The summaries of one node over one window (`store/packed.py`)."""

    registration: int
    width_s: int
    start_us: int
    body: bytes


class LastSeen(NamedTuple):
    """The newest sample of a node: when it was taken, when and how well it was heard."""

    time_us: int
    received_us: int
    record: int
    rssi: float | None
    snr: float | None


class Assignment(NamedTuple):
    """Where a node stands from `since_us` on."""

    since_us: int
    paddock: str | None
    water_point: str | None


class Move(NamedTuple):
    """A herd was led to a paddock."""

    herd: str
    paddock: str
    at_us: int


class Status(NamedTuple):
    """A decision as it was published: `body` is the subject's object in `suat status --json`."""

    at_us: int
    kind: str  # "paddock", "water_point" or "station"
    subject: str
    status: str
    body: dict[str, Any]


class Alert(NamedTuple):
    """Something that people must be told; `cleared_us` None while it lasts."""

    at_us: int
    subject: str
    kind: str
    level: str
    body: dict[str, Any]
    cleared_us: int | None = None


class ProbeCurve(NamedTuple):
    """moisture = sum(coefficients[i] * x**i) [m3/m3], x: the probe's reading put right (`quality/curves.py`)."""

    coefficients: tuple[float, ...]
    field: str = "count"  # what the probe gives: "count", "permittivity" or "vwc"
    air: float = 0.0  # its counts in air and in water
    water: float = 1.0
    per_kelvin: float = 0.0  # relative change of x with the temperature
    reference_c: float = 20.0
    low: float = -math.inf  # x of the driest and of the wettest point
    high: float = math.inf


class Curve(NamedTuple):
    """A calibration of a probe, with what it rests on; none is ever deleted."""

    registration: int
    group: str
    curve: ProbeCurve
    residual: float | None  # standard deviation of the points about it [m3/m3]
    made_us: int
    soil: str = ""
    made_by: str = ""
    bulk_density: float | None = None  # dry [g/cm3]
    points: tuple[dict[str, Any], ...] = ()  # as they were then: label, reading, temperature_c, moisture, at_us
    dropped_us: int | None = None


class OutboxEntry(NamedTuple):
    """Rows that a sink must be told: ids first..last, or with a registration that node's record numbers.

    `sink`: for that one alone, None for all.
    """

    seq: int
    kind: str
    registration: int | None
    first: int
    last: int
    sink: str | None = None


class FilterState(NamedTuple):
    """The filters of one node after its samples up to (time_us, record)."""

    registration: int
    time_us: int
    record: int
    body: bytes


class Reach(NamedTuple):
    """A sample that made the filters think better of older ones, and the time of the oldest of these."""

    registration: int
    time_us: int
    record: int
    since_us: int


class Episode(NamedTuple):
    """A broken probe: from the first to the last of consecutive readings of a channel flagged `broken`."""

    registration: int
    code: int
    since_us: int
    until_us: int


class Told(NamedTuple):
    """The outbox's numbers that one transaction appended: first..last; nothing when last < first."""

    first: int
    last: int


class Dropped(NamedTuple):
    """Rows that went, on one UTC day, for one reason: 'age', 'size', 'untold', 'thinned' or 'damaged'."""

    kind: str
    why: str
    day_us: int
    first_us: int  # times of the oldest and the newest of them
    last_us: int
    rows: int


@dataclass(frozen=True, slots=True)
class Derived:
    """What one transaction writes of derived rows; the sinks are told in the same transaction.

    `of`: all of `cleaned` belongs to this node, within its records (registration, first, last); where the row ids lie
    scattered, the outbox names these instead (a refiltering).
    """

    cleaned: list[tuple[int, bytes]] = field(default_factory=list)  # (sample id, body), rising ids unless `of`
    of: tuple[int, int, int] | None = None
    windows: list[WindowRow] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    states: list[FilterState] = field(default_factory=list)
    reaches: list[Reach] = field(default_factory=list)
    unreached: list[Reach] = field(default_factory=list)  # what became of another order of the samples
    broken: list[Episode] = field(default_factory=list)  # where `broken` has changed: episodes are found anew
    positions: dict[str, tuple[int, int]] = field(default_factory=dict)  # sink -> (position, row)
