"""The air between nodes and gateways: who hears whom, how well, and what is lost on the way.

Path loss: log-distance with shadowing, Petajajarvi et al. 2015 (ITST, "On the coverage of LPWANs", 868 MHz, ground):
128.95 dB at 1 km, exponent 2.32, sigma 7.8 dB, drawn once a link; small fading is drawn for each frame. Noise:
-174 dBm/Hz, noise figure 6 dB. A frame survives a collision on the same frequency and spreading factor when it is 6 dB
stronger than the other (Goursaud & Gorce 2015); different spreading factors do not disturb each other. A gateway is
deaf while it sends. All chance is a function of (seed, link, number of the frame), never of the order of calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from suat_sim.chance import normal, uniform

REQUIRED_SNR = {5: -2.5, 6: -5.0, 7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
CAPTURE_DB = 6.0
DETECT_SYMBOLS = 4  # a receiver needs this much of the preamble to lock
IQ_INVERTED, CRC_ON, IMPLICIT, PUBLIC_SYNC = 1, 2, 4, 8
KEEP_US = 10_000_000  # how long a frame stays in memory: longer than any collision or open window reaches back

# Why a gateway did not get a frame; the order is that in which one cause hides the next.
CAUSES = ("channel", "weak", "deaf", "collision", "random")
COUNTED = ("sent", "heard", "delivered", "downlinks", "downlinks_heard", "corrupted", "looks", "busy")


@dataclass(frozen=True, slots=True)
class AirSettings:
    """How good the air is. Probabilities are per frame and gateway (or node, for downlinks)."""

    loss_db_km: float = 128.95
    exponent: float = 2.32
    shadow_db: float = 7.8
    fading_db: float = 1.0
    noise_figure_db: float = 6.0
    loss: float = 0.0  # for no reason that the model knows
    duplicate: float = 0.0  # the backhaul delivers the datagram twice
    corrupt: float = 0.0  # bits flip and the radio's CRC does not notice: the MIC must


@dataclass(slots=True, eq=False)
class Frame:
    """One transmission, up or down."""

    sender: str
    number: int
    start_us: int
    end_us: int
    hz: int
    sf: int
    bw_hz: int
    dbm: float
    flags: int
    preamble: int
    payload: bytes


@dataclass(slots=True, eq=False)
class Window:
    """A node's open receiver."""

    node: str
    open_us: int
    close_us: int
    hz: int
    sf: int
    bw_hz: int
    flags: int
    after_us: int
    answer: Callable[[int, int, bytes, float, float], None]
    closed: bool = False


@dataclass(slots=True, eq=False)
class Look:
    """A node's channel activity detection."""

    node: str
    open_us: int
    close_us: int
    hz: int
    sf: int
    bw_hz: int
    flags: int
    answer: Callable[[bool], None]


@dataclass(slots=True)
class Heard:
    """A frame as one gateway got it."""

    frame: Frame
    rssi: float
    snr: float
    payload: bytes
    copies: int


@dataclass(slots=True, eq=False)
class Ear:
    """A gateway's antenna: where it stands, what it listens to, what it does with a frame."""

    name: str
    x_m: float
    y_m: float
    channels_hz: frozenset[int]
    deliver: Callable[[Heard], None]
    sending: list[tuple[int, int]] = field(default_factory=list)


def _deaf(_heard: Heard) -> None:
    """A node hears nothing but what it listens to."""


def noise_dbm(bw_hz: int, figure_db: float) -> float:
    """Thermal noise in a bandwidth."""
    return -174.0 + 10.0 * math.log10(bw_hz) + figure_db


class Air:
    """Frames in, verdicts out. The caller brings the events in the order of time."""

    def __init__(self, seed: int, settings: AirSettings | None = None) -> None:
        self.seed = seed
        self.settings = settings or AirSettings()
        self.places: dict[str, tuple[float, float]] = {}
        self.ears: list[Ear] = []
        self.uplinks: list[Frame] = []
        self.downlinks: list[Frame] = []
        self.windows: list[Window] = []
        self.counters = dict.fromkeys(COUNTED, 0)
        self.lost = dict.fromkeys(CAUSES, 0)
        self._gains: dict[tuple[str, str], float] = {}
        self._noise: dict[int, float] = {}
        self._numbers: dict[str, int] = {}

    # -- propagation ----------------------------------------------------------------------------------------------

    def place(self, name: str, x_m: float, y_m: float) -> None:
        """Where a node stands."""
        self.places[name] = (x_m, y_m)

    def gain_db(self, node: str, ear: Ear) -> float:
        """Path gain of a link (negative), shadowing included."""
        key = (node, ear.name)
        gain = self._gains.get(key)
        if gain is None:
            x, y = self.places[node]
            km = max(0.01, math.hypot(x - ear.x_m, y - ear.y_m) / 1000)
            s = self.settings
            shadow = s.shadow_db * normal(self.seed, f"shadow/{node}/{ear.name}", 0)
            gain = -(s.loss_db_km + 10 * s.exponent * math.log10(km)) + shadow
            self._gains[key] = gain
        return gain

    def _level(self, frame: Frame, node: str, ear: Ear) -> tuple[float, float]:
        """(rssi, snr) of a frame on the link of a node and a gateway."""
        fading = self.settings.fading_db
        rssi = frame.dbm + self.gain_db(node, ear)
        if fading:
            rssi += fading * normal(self.seed, f"fading/{node}/{ear.name}", frame.number * 2 + (frame.flags & 1))
        noise = self._noise.get(frame.bw_hz)
        if noise is None:
            noise = self._noise[frame.bw_hz] = noise_dbm(frame.bw_hz, self.settings.noise_figure_db)
        return rssi, rssi - noise

    def _chance(self, what: str, node: str, ear: Ear, frame: Frame) -> float:
        return uniform(self.seed, f"{what}/{node}/{ear.name}", frame.number * 2 + (frame.flags & 1))

    def number(self, sender: str) -> int:
        """The next number of a sender's frames."""
        number = self._numbers.get(sender, 0)
        self._numbers[sender] = number + 1
        return number

    # -- channel activity -----------------------------------------------------------------------------------------

    def looked(self, look: Look) -> None:
        """A node's look at the channel is over: was anyone heard?"""
        busy = any(self._noticed(look, frame) for frame in self.uplinks + self.downlinks)
        self.counters["looks"] += 1
        self.counters["busy"] += busy
        look.answer(busy)

    def _noticed(self, look: Look, frame: Frame) -> bool:
        """Chirps of the same kind over half of the look at least, strong enough; preamble or payload, as AN1200.48."""
        together = min(look.close_us, frame.end_us) - max(look.open_us, frame.start_us)
        if (
            frame.sender == look.node
            or frame.hz != look.hz
            or frame.sf != look.sf
            or frame.bw_hz != look.bw_hz
            or (frame.flags ^ look.flags) & IQ_INVERTED
            or 2 * together < look.close_us - look.open_us
        ):
            return False
        return self._level(frame, *self._link(look.node, frame.sender))[1] >= REQUIRED_SNR[frame.sf]

    def _link(self, listener: str, sender: str) -> tuple[str, Ear]:
        """What stands for the path between a node and whoever sends."""
        if sender not in self.places:
            return listener, self.ear_of(sender)
        one, other = sorted((listener, sender))  # a link between nodes is the same both ways
        return one, Ear(other, *self.places[other], frozenset(), _deaf)

    # -- uplinks --------------------------------------------------------------------------------------------------

    def uplink_begins(self, frame: Frame) -> None:
        """A node starts to send: an uplink, or as a bridge a downlink."""
        if frame.flags & IQ_INVERTED:
            self._downlink(frame)
            return
        self.counters["sent"] += 1
        if len(self.uplinks) > 64:
            old = frame.start_us - KEEP_US
            self.uplinks = [other for other in self.uplinks if other.end_us > old]
        self.uplinks.append(frame)
        for window in list(self.windows):
            self._try_lock(window, frame)

    def uplink_ends(self, frame: Frame) -> None:
        """The frame is over: each gateway got it or not."""
        worst = -1
        got = False
        for ear in self.ears:
            cause, heard = self._hear(frame, ear)
            if heard is not None:
                got = True
                ear.deliver(heard)
            else:
                worst = max(worst, CAUSES.index(cause))
        if got:
            self.counters["heard"] += 1
        elif worst >= 0:
            self.lost[CAUSES[worst]] += 1

    def _hear(self, frame: Frame, ear: Ear) -> tuple[str, Heard | None]:
        if frame.hz not in ear.channels_hz or frame.flags & IQ_INVERTED or not frame.flags & PUBLIC_SYNC:
            return "channel", None
        rssi, snr = self._level(frame, frame.sender, ear)
        if snr < REQUIRED_SNR[frame.sf]:
            return "weak", None
        if any(start < frame.end_us and end > frame.start_us for start, end in ear.sending):
            return "deaf", None
        for other in self.uplinks:
            if (
                other is not frame
                and other.start_us < frame.end_us
                and other.end_us > frame.start_us
                and other.sf == frame.sf
                and other.hz == frame.hz
                and rssi < self._level(other, other.sender, ear)[0] + CAPTURE_DB
            ):
                return "collision", None
        s = self.settings
        if s.loss and self._chance("loss", frame.sender, ear, frame) < s.loss:
            return "random", None
        payload, copies = frame.payload, 1
        if s.corrupt and (share := self._chance("corrupt", frame.sender, ear, frame)) < s.corrupt and payload:
            bit = int(share / s.corrupt * 8 * len(payload))
            damaged = bytearray(payload)
            damaged[bit >> 3] ^= 1 << (bit & 7)
            payload = bytes(damaged)
            self.counters["corrupted"] += 1
        if s.duplicate and self._chance("duplicate", frame.sender, ear, frame) < s.duplicate:
            copies = 2
        self.counters["delivered"] += copies
        return "", Heard(frame, rssi, snr, payload, copies)

    # -- downlinks ------------------------------------------------------------------------------------------------

    def ear_of(self, name: str) -> Ear:
        """The gateway of that name."""
        return next(ear for ear in self.ears if ear.name == name)

    def downlink_begins(self, frame: Frame) -> None:
        """A gateway starts to send: it is deaf until the end."""
        ear = self.ear_of(frame.sender)
        old = frame.start_us - KEEP_US
        ear.sending = [span for span in ear.sending if span[1] > old]
        ear.sending.append((frame.start_us, frame.end_us))
        self._downlink(frame)

    def _downlink(self, frame: Frame) -> None:
        """Open receivers may lock."""
        self.counters["downlinks"] += 1
        old = frame.start_us - KEEP_US
        self.downlinks = [other for other in self.downlinks if other.end_us > old]
        self.downlinks.append(frame)
        for window in list(self.windows):
            self._try_lock(window, frame)

    def window_opens(self, window: Window) -> None:
        """A node's receiver opens; it may lock on what is on the air already."""
        self.windows.append(window)
        for frame in list(self.downlinks if window.flags & IQ_INVERTED else self.uplinks):
            if not window.closed:
                self._try_lock(window, frame)

    def window_closes(self, window: Window) -> None:
        """Nothing was locked on until now: the receiver gives up."""
        if not window.closed:
            self._finish(window, window.close_us, 0, b"", 0.0, 0.0)

    def _try_lock(self, window: Window, frame: Frame) -> None:
        if (
            window.closed
            or frame.sender == window.node
            or frame.hz != window.hz
            or frame.sf != window.sf
            or frame.bw_hz != window.bw_hz
            or (frame.flags ^ window.flags) & (IQ_INVERTED | PUBLIC_SYNC)
            or frame.end_us <= window.after_us
        ):
            return
        symbol_us = (1_000_000 << frame.sf) // frame.bw_hz
        lock = max(window.open_us, frame.start_us) + DETECT_SYMBOLS * symbol_us
        if lock > window.close_us or lock > frame.start_us + frame.preamble * symbol_us:
            return
        node, ear = self._link(window.node, frame.sender)
        rssi, snr = self._level(frame, node, ear)
        if snr < REQUIRED_SNR[frame.sf]:
            return
        up = not frame.flags & IQ_INVERTED
        for other in self.uplinks if up else self.downlinks:
            if (
                other is not frame
                and other.hz == frame.hz
                and other.sf == frame.sf
                and other.start_us < frame.end_us
                and other.end_us > frame.start_us
                and rssi < self._level(other, *self._link(window.node, other.sender))[0] + CAPTURE_DB
            ):
                return
        if self.settings.loss and self._chance("loss", window.node, ear, frame) < self.settings.loss:
            return
        self.counters["heard" if up else "downlinks_heard"] += 1
        self._finish(window, frame.end_us, 1, frame.payload, rssi, snr)

    def _finish(self, window: Window, end_us: int, kind: int, payload: bytes, rssi: float, snr: float) -> None:
        window.closed = True
        self.windows.remove(window)
        window.answer(end_us, kind, payload, rssi, snr)
