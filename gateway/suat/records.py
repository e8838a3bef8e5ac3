"""What travels through the pipeline, from the radio to the store. Nothing of it is changed once it is made.

What is made of every frame is not frozen all the same: that would cost five times as much, 10 us a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any


class Flag(IntFlag):
    """Why a reading is doubtful; the bits are those of `suat_filters`."""

    RANGE = 1
    RATE = 2
    STUCK = 4
    SPIKE = 8
    GAP = 16
    CLOCK = 32
    FROZEN = 64
    UNCALIBRATED = 128
    BROKEN = 256


def flag_names(flags: int) -> list[str]:
    """Names of the flags that are set, in bit order."""
    return [flag.name.lower() for flag in Flag if flags & flag and flag.name]


@dataclass(frozen=True, slots=True)
class Probe:
    """A soil probe of a node, as it was put into the ground."""

    name: str
    depth_cm: int
    position: int  # 1..4: the group `probeN` of the payload


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A node as it is registered. A node whose flash was erased is registered anew and gets another number."""

    registration: int  # 0 while it is not in the journal yet
    name: str
    kind: str  # "soil" or "water"
    dev_eui: str  # 16 hex digits, lower case
    join_eui: str | None  # None: activated by personalisation (ABP), never joins
    paddock: str | None
    water_point: str | None
    probes: tuple[Probe, ...]
    added_us: int
    revoked_us: int | None = None
    newest_record: int = 0  # highest record number in the journal

    def probe_name(self, group: str) -> str:
        """The name a probe was registered under; the group's own name for what is no soil probe."""
        return next((probe.name for probe in self.probes if f"probe{probe.position}" == group), group)


@dataclass(slots=True)
class Uplink:
    """One copy of a frame as a gateway heard it."""

    gateway: str  # EUI, 16 hex digits, or the ingest's name
    source: str  # the ingest that brought it, and through which a downlink goes back
    tmst: int  # the gateway's own counter at the end of the frame [us, mod 2**32]
    freq_hz: int
    datr: str  # "SF9BW125"
    rssi: float  # [dBm]
    snr: float  # [dB]
    phy: bytes
    received_us: int  # UTC [us] at the end of the frame, as well as it is known


def _nobody_waits(_kept: bool) -> None:
    """For a sender that is told nothing."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """A payload of one of our nodes, opened by another network server (ChirpStack)."""

    source: str
    dev_eui: str  # 16 hex digits, lower case
    received_us: int
    fport: int
    payload: bytes
    fcnt: int
    rssi: float | None = None  # [dBm]
    snr: float | None = None  # [dB]
    settled: Callable[[bool], None] = _nobody_waits  # once: True when it is on disk or refused, False when it isn't


@dataclass(frozen=True, slots=True)
class Measured:
    """Readings of a device that does not speak our payload: a wired transmitter, or a vendor's node."""

    source: str
    dev_eui: str  # 16 hex digits, lower case: what it is registered by
    received_us: int
    taken_us: int
    readings: Mapping[tuple[str, str], float]  # by (group, field) of suat_wire.fields
    fcnt: int = 0
    rssi: float | None = None
    snr: float | None = None
    settled: Callable[[bool], None] = _nobody_waits  # as above


@dataclass(frozen=True, slots=True)
class Downlink:
    """A frame to be sent by one gateway at one instant of its own counter."""

    gateway: str
    source: str
    tmst: int
    freq_hz: int
    datr: str
    power_dbm: int
    phy: bytes


class SendResult(IntEnum):
    """What the gateway said of a downlink."""

    SENT = 0
    TOO_LATE = 1
    TOO_EARLY = 2
    COLLISION = 3
    REFUSED = 4  # frequency, power, or an answer that was not understood


@dataclass(slots=True)
class Row:
    """One sample of a node as it is kept: its raw readings, packed by `suat_wire.payload`."""

    record: int
    time_us: int
    body: bytes


@dataclass(slots=True)
class SessionUpdate:
    """Counters (and, after a join, keys) that must be on disk together with what they admitted."""

    registration: int
    fcnt_up: int  # next expected
    fcnt_down: int  # next to use
    pending: bool = False  # the join's session, not yet used by the node
    dev_addr: int | None = None  # with the keys: a new session
    nwk_skey: bytes = field(default=b"", repr=False)
    app_skey: bytes = field(default=b"", repr=False)
    dev_nonce: int | None = None  # next one allowed
    join_nonce: int | None = None  # last one used


@dataclass(slots=True)
class Admitted:
    """A genuine frame: what is to be kept, and what its sender waits for."""

    registration: int
    session: SessionUpdate | None  # None where another server keeps the session, or there is none
    received_us: int
    fcnt: int
    rssi: float | None
    snr: float | None
    rows: tuple[Row, ...]
    ack_from: int | None  # the node's oldest unacknowledged record, when it asks
    reply: Any = None  # the network server's own note of the downlink it may send after the commit


@dataclass(slots=True)
class KeptSample:
    """A sample that the journal has just committed for the first time."""

    id: int
    registration: int
    record: int
    time_us: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What the journal holds of the records a node asked about."""

    registration: int
    cumulative: int
    bitmap: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction of the journal writes: the link's state and the readings it admitted, together."""

    admitted: tuple[Admitted, ...] = ()
    sessions: tuple[SessionUpdate, ...] = ()  # changes without readings: joins, burnt counters
    counters: dict[str, int] = field(default_factory=dict)  # increments of the link's counters, by name


@dataclass(frozen=True, slots=True)
class Committed:
    """What the journal answers after the commit."""

    samples: tuple[KeptSample, ...]  # those that were new, in order
    acknowledgements: dict[int, Acknowledgement]  # index into `admitted` -> answer, for those that asked
    undated: int = 0  # frames that were received before the clock was trusted: they wait for their date
