"""What is answered to a node, and when.

A class-A node listens twice after its uplink: RX1 after the delay, on the uplink's channel, and RX2 a second later on
the region's own. `reserve` is called while a frame is admitted: it burns the FCntDown, which then reaches the disk in
that frame's transaction. `dispatch` is called after the commit: only then does anything leave. A counter that was
burnt for a frame that never left is skipped, never used again.

One frame carries the acknowledgement of records (FPort 4) or else the oldest queued payload, and the MAC answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from suat_wire import lorawan
from suat_wire.payload import PORT_ACK, encode_ack
from suat_wire.region import Region

from suat.clock import Scheduler, Timer
from suat.errors import SuatError
from suat.network import mac
from suat.network.devices import Device, Session
from suat.records import Acknowledgement, Downlink, SendResult, Uplink

TMST_MODULUS = 1 << 32
VERDICT_S = 10.0  # a gateway that has said nothing after this time never will
QUEUE_LIMIT = 16  # payloads waiting for one node
MAX_QUEUED = 36  # bytes that fit at any data rate, beside 15 bytes of MAC commands
FCNT_LIMIT = 1 << 32


@dataclass(frozen=True, slots=True)
class Queued:
    """An application payload that waits for the node's next uplink."""

    fport: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """The note of an admitted frame: what to send once it is committed."""

    device: Device
    copies: tuple[Uplink, ...]  # of the uplink, the best first
    delay_s: int  # from the uplink's end to RX1
    until: float  # monotonic [s]: the node no longer listens
    session: Session | None = None  # None: a join accept, in `phy`
    phy: bytes = b""
    fcnt_down: int = 0  # burnt for this reply
    ack: bool = False  # the uplink was confirmed
    commands: bytes = b""  # MAC answers and requests
    must: bool = False  # the node waits for any downlink, even an empty one


@dataclass(slots=True)
class _Flight:
    """A reply on its way: the windows that are left, and what to take from the queue once it was sent."""

    windows: list[Downlink]
    device: Device
    queued: Queued | None
    timer: Timer


class Downlinks:
    """The downlink queues of all nodes. `send` hands a downlink to its source; False when there is no way."""

    def __init__(
        self,
        scheduler: Scheduler,
        region: Region,
        send: Callable[[Downlink], bool],
        *,
        adr: bool = False,
        extra_channels: int = 0,
    ) -> None:
        self.counters = {"sent": 0, "rx2": 0, "lost": 0}
        self._scheduler = scheduler
        self._region = region
        self._send = send
        self._adr = adr
        self._channel_mask = (1 << (len(region.channels_hz) + extra_channels)) - 1
        self._queues: dict[int, deque[Queued]] = {}
        self._flights: dict[Downlink, _Flight] = {}

    def enqueue(self, registration: int, fport: int, payload: bytes) -> None:
        """Send a payload to a node after one of its next uplinks; SuatError when it can't be carried."""
        if not 1 <= fport <= 223 or not 0 < len(payload) <= MAX_QUEUED:
            raise SuatError(f"a downlink has FPort 1..223 and 1..{MAX_QUEUED} bytes, not {fport} and {len(payload)}")
        queue = self._queues.setdefault(registration, deque())
        if len(queue) >= QUEUE_LIMIT:
            raise SuatError(f"node {registration}: {QUEUE_LIMIT} downlinks are waiting already; it must be heard first")
        queue.append(Queued(fport, payload))

    def waiting(self, registration: int) -> int:
        """How many payloads wait for a node."""
        return len(self._queues.get(registration, ()))

    def forget(self, registration: int) -> None:
        """Drop what waits for a node that was revoked."""
        self._queues.pop(registration, None)

    # -- while the frame is admitted

    def reserve(
        self,
        session: Session,
        frame: lorawan.DataFrame,
        commands: bytes,
        copies: tuple[Uplink, ...],
        heard_us: int,
        asks: bool,
    ) -> Reply | None:
        """The note for what this uplink waits for, its FCntDown burnt; None when it waits for nothing."""
        device = session.device
        answers = b""
        if commands:
            answers = mac.answers(commands, copies, heard_us, device.history)
        if self._adr and frame.adr:
            answers += self._rate_request(device, copies[0], len(answers))
        ack = frame.mtype == lorawan.CONFIRMED_UP
        must = ack or frame.adr_ack_req
        if not (must or asks or answers or device.registration in self._queues) or session.fcnt_down >= FCNT_LIMIT:
            return None
        fcnt_down = session.fcnt_down
        session.fcnt_down += 1
        delay_s = self._region.rx1_delay_s
        return Reply(device, copies, delay_s, self._until(delay_s), session, b"", fcnt_down, ack, answers, must)

    def join_reply(self, device: Device, copies: tuple[Uplink, ...], accept: bytes) -> Reply:
        """The note for a join accept."""
        delay_s = self._region.join_delays[0]
        return Reply(device, copies, delay_s, self._until(delay_s), phy=accept)

    def _until(self, delay_s: int) -> float:
        return self._scheduler.monotonic() + delay_s + 1

    def _rate_request(self, device: Device, best: Uplink, used: int) -> bytes:
        try:
            dr = self._region.dr_from_datr(best.datr)
        except ValueError:
            return b""
        wish = device.history.wish(self._region, dr)
        request = b"" if wish is None else mac.link_adr_req(wish, self._channel_mask)
        if wish is None or used + len(request) > mac.FOPTS_LIMIT:
            return b""
        device.history.ask(wish)
        return request

    # -- after the commit

    def dispatch(self, reply: Reply, acknowledgement: Acknowledgement | None = None) -> None:
        """Send what an admitted frame waits for. To be called once, after its transaction is on disk."""
        phy, queued = self._frame(reply, acknowledgement)
        if not phy:
            return
        if (
            self._scheduler.monotonic() > reply.until
        ):  # the commit came late; at the gateway tmst would mean a later turn
            self.counters["lost"] += 1
            return
        for copy in reply.copies:
            windows = self._windows(copy, reply.delay_s, phy)
            if self._launch(windows, reply.device, queued):
                return
        self.counters["lost"] += 1

    def _frame(self, reply: Reply, acknowledgement: Acknowledgement | None) -> tuple[bytes, Queued | None]:
        """(PHY bytes, the queued payload in it); no bytes when there is nothing left to say."""
        session = reply.session
        if session is None:
            return reply.phy, None
        queue = self._queues.get(reply.device.registration, ())
        queued: Queued | None = None
        fport: int | None = None
        payload = b""
        if acknowledgement is not None:
            fport, payload = PORT_ACK, encode_ack(acknowledgement.cumulative, acknowledgement.bitmap)
        elif queue:
            queued = queue[0]
            fport, payload = queued.fport, queued.payload
        elif not (reply.must or reply.commands):
            return b"", None
        phy = lorawan.seal(
            session.nwk,
            session.app,
            lorawan.UNCONFIRMED_DOWN,
            session.dev_addr,
            reply.fcnt_down,
            fport,
            payload,
            reply.commands,
            adr=self._adr,
            ack=reply.ack,
            pending=len(queue) > (queued is not None),
        )
        return phy, queued

    def _windows(self, copy: Uplink, delay_s: int, phy: bytes) -> list[Downlink]:
        """RX1 and RX2 after this copy of the uplink; RX2 alone when its data rate is not of the region."""
        region = self._region
        windows = []
        try:
            rx1_dr = region.rx1_dr(region.dr_from_datr(copy.datr), 0)
        except ValueError:
            pass
        else:
            windows.append((delay_s, copy.freq_hz, rx1_dr))
        windows.append((delay_s + 1, region.rx2_hz, region.rx2_dr))
        return [
            Downlink(
                copy.gateway,
                copy.source,
                (copy.tmst + delay * 1_000_000) % TMST_MODULUS,
                freq_hz,
                region.datr(dr),
                region.max_eirp_dbm,
                phy,
            )
            for delay, freq_hz, dr in windows
        ]

    def _launch(self, windows: list[Downlink], device: Device, queued: Queued | None) -> bool:
        """Hand the first window to the gateway and await its verdict, which may come before `send` returns."""
        downlink, *later = windows
        timer = self._scheduler.call_later(VERDICT_S, self._no_verdict, downlink)
        self._flights[downlink] = _Flight(later, device, queued, timer)
        if self._send(downlink):
            return True
        del self._flights[downlink]
        timer.cancel()
        return False

    def on_result(self, downlink: Downlink, result: SendResult) -> None:
        """A gateway's verdict: what it could not send in RX1 goes out in RX2."""
        flight = self._flights.pop(downlink, None)
        if flight is None:
            return
        flight.timer.cancel()
        if result == SendResult.SENT:
            self.counters["sent"] += 1
            self._done(flight)
        elif flight.windows and self._launch(flight.windows, flight.device, flight.queued):
            self.counters["rx2"] += 1
        else:
            self.counters["lost"] += 1

    def _no_verdict(self, downlink: Downlink) -> None:
        """The gateway fell silent: the payload stays queued, the node asks again for the rest."""
        if self._flights.pop(downlink, None) is not None:
            self.counters["lost"] += 1

    def _done(self, flight: _Flight) -> None:
        queue = self._queues.get(flight.device.registration)
        if flight.queued is not None and queue and queue[0] is flight.queued:
            queue.popleft()
            if not queue:
                del self._queues[flight.device.registration]


def best_first(copies: Sequence[Uplink]) -> tuple[Uplink, ...]:
    """The copies of a frame, the clearest first; one without SNR comes last."""
    if len(copies) == 1:
        return (copies[0],)
    return tuple(sorted(copies, key=lambda copy: copy.snr if copy.snr == copy.snr else -1000.0, reverse=True))
