"""Admission: which frames are genuine, new and from one of our nodes.

Copies of a frame that several gateways heard are collected for 200 ms, then judged once; where there is one gateway
alone nothing is waited for. A frame's counter must be
above the last one (TS001 4.3.1.5): the last one again is a repetition, a lower one a replay. Each frame that comes in
is counted once, under what became of it; nothing that is sent over the air can raise an error out of here.

A frame without readings (MAC commands alone, or an FPort that is not ours) is admitted like any other, for its counter.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from suat_wire import lorawan
from suat_wire.payload import PORT_HEALTH, PORT_READINGS, PayloadError, split

from suat.clock import Scheduler, Timer
from suat.ingest.base import new_counters
from suat.logs import Rate
from suat.network.cipher import mic_ok, open_payload
from suat.network.devices import Device, Devices, Session
from suat.network.direct import sample_us
from suat.network.downlink import Downlinks, Reply, best_first
from suat.network.join import Joins
from suat.records import Admitted, Row, SessionUpdate, Uplink

log = logging.getLogger(__name__)

COLLECT_S = 0.2  # the copies of a frame arrive within this time
SHOW_S = 60.0  # within it all gateways have shown themselves: forwarders call every 5 to 30 s
ALONE_S = 86_400.0  # a gateway that showed itself is reckoned with for so long
TICK_S = 0.01  # frames that are due are judged together, at most so often
MAX_WAITING = 16_384  # frames being collected; beyond it the oldest is judged early
MAX_COPIES = 32
MAX_REPEATS = 15  # NbTrans is at most 15: more repetitions of one frame get no answer
FCNT16 = 1 << 16

Key = tuple[bytes, int, str]


class Admission:
    """The door. `receive` takes what the sources bring, `on_admitted` gets what is to be kept."""

    def __init__(
        self,
        scheduler: Scheduler,
        devices: Devices,
        joins: Joins,
        downlinks: Downlinks,
        on_admitted: Callable[[Admitted], None],
        counters: dict[str, int] | None = None,
    ) -> None:
        self.counters = new_counters() if counters is None else counters
        self._scheduler = scheduler
        self._devices = devices
        self._joins = joins
        self._downlinks = downlinks
        self._on_admitted = on_admitted
        self._waiting: dict[Key, list[Uplink]] = {}
        self._due: deque[tuple[float, Key, bool]] = deque()  # (when, which frame, whether it is judged already)
        self._gateway = ""  # that showed itself last
        self._alone_at = scheduler.monotonic() + SHOW_S  # from then on nothing is waited for
        self._timer: Timer | None = None
        self._refusals = Rate(scheduler.monotonic, burst=1)

    # -- collecting

    def receive(self, uplink: Uplink) -> None:
        """One copy of a frame, already counted as received by its source."""
        key = (uplink.phy, uplink.freq_hz, uplink.datr)
        copies = self._waiting.get(key)
        if uplink.gateway != self._gateway:
            self.seen(uplink.gateway)
        if copies is not None:
            self.counters["duplicate"] += 1
            if len(copies) < MAX_COPIES:
                copies.append(uplink)
            return
        if len(self._waiting) >= MAX_WAITING:
            self._settle(self._due.popleft())
        copies = self._waiting[key] = [uplink]
        now = self._scheduler.monotonic()
        alone = now >= self._alone_at
        due = now + COLLECT_S
        self._due.append((due, key, alone))
        if self._timer is None:
            self._timer = self._scheduler.call_at(due, self._judge_due)
        if alone:
            self._judge(copies)

    def seen(self, gateway: str) -> None:
        """A sign of life of a gateway: when it is another one than before, copies are waited for again."""
        if gateway != self._gateway:
            if self._gateway:
                self._alone_at = self._scheduler.monotonic() + ALONE_S
            self._gateway = gateway

    def flush(self) -> None:
        """Judge all that is still being collected: the station is about to stop."""
        while self._due:
            self._settle(self._due.popleft())

    def _judge_due(self) -> None:
        self._timer = None
        due = self._due
        now = self._scheduler.monotonic()
        while due and due[0][0] <= now:
            self._settle(due.popleft())
        if due:
            self._timer = self._scheduler.call_at(max(due[0][0], now + TICK_S), self._judge_due)

    def _settle(self, due: tuple[float, Key, bool]) -> None:
        """No further copy is waited for."""
        _, key, judged = due
        copies = self._waiting.pop(key)
        if not judged:
            self._judge(copies)

    # -- judging

    def _judge(self, heard: list[Uplink]) -> None:
        kind = heard[0].phy[0] >> 5
        if kind in (lorawan.UNCONFIRMED_UP, lorawan.CONFIRMED_UP):
            outcome, admitted = self._data(heard)
        elif kind == lorawan.JOIN_REQUEST:
            outcome, admitted = self._joins.judge(best_first(heard), heard[0].received_us)
        else:
            outcome, admitted = "malformed", None
        self.counters[outcome] += 1
        if admitted is not None:
            self._on_admitted(admitted)
        elif outcome != "duplicate":
            self._log_refusal(outcome, heard[0])

    def _data(self, heard: list[Uplink]) -> tuple[str, Admitted | None]:
        try:
            frame = lorawan.parse_data(heard[0].phy)
        except lorawan.FrameError:
            return "malformed", None
        sessions = self._devices.by_addr.get(frame.dev_addr)
        if sessions is None:
            return "unknown_device", None
        for session in sessions:
            fcnt = lorawan.infer_fcnt(frame.fcnt16, session.fcnt_up)
            if mic_ok(session.nwk, frame, fcnt):
                return self._accept(session, frame, fcnt, heard)
        for session in sessions:
            fcnt = lorawan.infer_fcnt(frame.fcnt16, session.fcnt_up) - FCNT16
            if fcnt >= 0 and mic_ok(session.nwk, frame, fcnt):
                if fcnt == session.fcnt_up - 1:
                    return "duplicate", self._repeated(session, frame, fcnt, heard)
                return "old_counter", None
        return "bad_mic", None

    def _accept(
        self, session: Session, frame: lorawan.DataFrame, fcnt: int, heard: list[Uplink]
    ) -> tuple[str, Admitted]:
        """A genuine, new frame: its counter counts from now on, whatever its payload holds."""
        session.fcnt_up = fcnt + 1
        session.answered_repeats = 0
        if session.pending:
            self._devices.promote(session)
            self._downlinks.note_link(session.device)
        copies = best_first(heard)
        session.device.history.add(fcnt, copies[0].snr)
        ack_from, rows, commands, readable = _open(session, frame, fcnt, heard[0].received_us)
        asks = ack_from is not None
        self._downlinks.heard(session.device, frame.fport, rows, commands, heard[0].received_us, asks)
        reply = self._downlinks.reserve(session, frame, commands, copies, heard[0].received_us, asks)
        admitted = _admitted(session.device, session.update(), fcnt, heard[0], copies[0], rows, ack_from, reply)
        return "accepted" if readable else "malformed", admitted

    def _repeated(self, session: Session, frame: lorawan.DataFrame, fcnt: int, heard: list[Uplink]) -> Admitted | None:
        """The last frame once more: the node has not heard our answer, so it gets another. Its readings are kept
        already, or are kept now if that commit failed."""
        if session.answered_repeats >= MAX_REPEATS:
            return None
        copies = best_first(heard)
        ack_from, rows, commands, _ = _open(session, frame, fcnt, heard[0].received_us)
        reply = self._downlinks.reserve(session, frame, commands, copies, heard[0].received_us, ack_from is not None)
        if reply is None:
            return None
        session.answered_repeats += 1
        return _admitted(session.device, session.update(), fcnt, heard[0], copies[0], rows, ack_from, reply)

    def _log_refusal(self, outcome: str, uplink: Uplink) -> None:
        """One line a minute for each kind of refusal, with how many there were since."""
        held = self._refusals.passes(outcome)
        if held is not None:
            log.warning(
                "%s: %s, heard by %s (%d of this kind since the last such line)",
                outcome,
                _sender(uplink.phy),
                uplink.gateway,
                held + 1,
            )


def _sender(phy: bytes) -> str:
    """Who a refused frame says it is from: what a technician looks for."""
    kind = phy[0] >> 5
    if kind in (lorawan.UNCONFIRMED_UP, lorawan.CONFIRMED_UP):
        return f"DevAddr {int.from_bytes(phy[1:5], 'little'):08x}"
    if kind == lorawan.JOIN_REQUEST and len(phy) >= 17:
        return f"join of DevEUI {phy[16:8:-1].hex()}"
    return f"frame {phy[:12].hex()}"


def _open(
    session: Session, frame: lorawan.DataFrame, fcnt: int, heard_us: int
) -> tuple[int | None, tuple[Row, ...], bytes, bool]:
    """(the record an acknowledgement is asked from, the samples, the MAC commands, whether all could be read)."""
    payload = open_payload(session.nwk, session.app, frame, fcnt)
    fport = frame.fport
    if fport == 0:
        return None, (), payload, True
    if fport not in (PORT_READINGS, PORT_HEALTH):
        return None, (), frame.fopts, True
    device = session.device
    try:
        ack_from, samples = split(payload, fport, device.newest_record)
    except PayloadError:
        return None, (), frame.fopts, False
    if samples[0][0] > device.newest_record:
        device.newest_record = samples[0][0]
    rows = tuple([Row(record, sample_us(heard_us, age, record), body) for record, age, body in samples])
    return ack_from, rows, frame.fopts, True


def _admitted(
    device: Device,
    update: SessionUpdate,
    fcnt: int,
    first: Uplink,
    best: Uplink,
    rows: tuple[Row, ...],
    ack_from: int | None,
    reply: Reply | None,
) -> Admitted:
    rssi, snr = best.rssi, best.snr
    return Admitted(
        device.registration,
        update,
        first.received_us,
        fcnt,
        rssi if rssi == rssi else None,  # NaN: the gateway told none
        snr if snr == snr else None,
        rows,
        ack_from,
        reply,
    )
