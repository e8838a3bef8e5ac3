"""What is answered to a node, and when.

A class-A node listens twice after its uplink: RX1 after the delay, on the uplink's channel, and RX2 a second later on
the region's own. `reserve` is called while a frame is admitted: it burns the FCntDown, which then reaches the disk in
that frame's transaction. `dispatch` is called after the commit: only then does anything leave. A counter that was
burnt for a frame that never left is skipped, never used again.

One frame carries the acknowledgement of records (FPort 4) or else settings that were ordered (FPort 5), and the MAC
answers and requests. The gateway that heard best sends it, in RX1 or, if it can't, in RX2, or else the next one does;
none of them beyond its band's duty cycle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from suat_wire import lorawan
from suat_wire.airtime import time_on_air_us
from suat_wire.control import PORT_CONFIG
from suat_wire.payload import PORT_ACK, PORT_HEALTH, encode_ack, unpack
from suat_wire.region import Region

from suat.clock import Scheduler, Timer
from suat.metrics import DOWNLINKS
from suat.network import mac
from suat.network.airtime import PERIOD_S, Airtime
from suat.network.devices import Device, Session
from suat.network.orders import Orders, Waiting
from suat.network.tables import DEFAULTS, NetworkTable
from suat.records import Acknowledgement, Downlink, Row, SendResult, Uplink
from suat.store import downlinks as kept
from suat.store.journal import Journal

TMST_MODULUS = 1 << 32
VERDICT_S = 10.0  # a gateway that has said nothing after this time never will
GATEWAYS = 2  # tried with one reply: by the third its windows are over
STATUS_EVERY_S = 86_400.0  # DevStatusReq, with a downlink that goes out anyway
STATUS_AGAIN_S = 3_600.0  # after one that was not answered
FCNT_LIMIT = 1 << 32
ONE_RATE = "serial_bridge "  # sources that hear one data rate: who is heard by them alone must stay there

# What became of replies: each is `sent` or `lost`; the others say by what way, or why not.
OUTCOMES = (
    "sent",
    "lost",
    "rx2",  # handed over for RX2 after RX1 was missed
    "second_gateway",  # handed to the second-best gateway
    "too_late",
    "too_early",
    "collision",
    "refused",
    "silent",  # the gateway never said
    "no_airtime",  # the duty cycle forbade this window
    "stale",  # the commit came after the node's windows
)
_REASONS = {
    SendResult.TOO_LATE: "too_late",
    SendResult.TOO_EARLY: "too_early",
    SendResult.COLLISION: "collision",
    SendResult.REFUSED: "refused",
}

Write = Callable[[Callable[[Journal], None]], None]


def keep_nothing(_work: Callable[[Journal], None]) -> None:
    """For a server whose links and orders need not outlive it."""


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
    order: Waiting | None = None  # settings that go out in the place of an acknowledgement


@dataclass(frozen=True, slots=True)
class _Window:
    """One chance to send a reply."""

    downlink: Downlink
    until: float  # monotonic [s]: it is over
    air_us: int
    by: tuple[str, ...]  # of OUTCOMES: what handing it over counts as


@dataclass(slots=True)
class _Flight:
    """A reply on its way: the window it was handed over for, those that are left, and the settings in it."""

    window: _Window
    later: deque[_Window]
    order: Waiting | None
    timer: Timer


class Downlinks:
    """The downlinks of all nodes. `send` hands one to its source, False when there is no way; `write(work)` runs
    `work(journal)` in the journal's turn."""

    def __init__(
        self,
        scheduler: Scheduler,
        region: Region,
        send: Callable[[Downlink], bool],
        options: NetworkTable = DEFAULTS,
        *,
        write: Write = keep_nothing,
    ) -> None:
        self.counters = dict.fromkeys(OUTCOMES, 0)
        self._scheduler = scheduler
        self._region = region
        self._send = send
        self._options = options
        self._extra_channels_hz = options.extra_channels_hz
        self._write = write
        self.airtime = Airtime(scheduler, region, self._note_airtime)
        self.orders = Orders(scheduler.wall_us, self._note_order)
        self._flights: dict[Downlink, _Flight] = {}

    def _count(self, outcome: str) -> None:
        self.counters[outcome] += 1
        DOWNLINKS.labels(outcome).inc()

    # -- what is kept

    def _note_airtime(self, spent: kept.Spent) -> None:
        old_us = self._scheduler.wall_us() - round(PERIOD_S * 1e6)
        self._write(lambda journal: kept.note_airtime(journal, spent, old_us))

    def _note_order(self, order: kept.Order) -> None:
        self._write(lambda journal: kept.note_order(journal, order))

    def note_link(self, device: Device) -> None:
        """What the node's radio is set to has changed."""
        link = device.link
        self._write(lambda journal: kept.note_link(journal, link))

    # -- while the frame is admitted

    def heard(
        self, device: Device, fport: int | None, rows: Sequence[Row], commands: bytes, heard_us: int, asks: bool
    ) -> None:
        """Take in what a new frame tells of the node's settings."""
        changed = bool(commands) and mac.heed(device, commands, heard_us)
        if fport == PORT_HEALTH:
            config = _config_of(rows)
            if config is not None and config != device.link.config:
                device.link = device.link._replace(config=config)
                changed = True
        if changed:
            self.note_link(device)
        self.orders.heard(device.registration, rows, asks)

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
        said = mac.answers(commands, copies, heard_us) if commands else b""
        if device.link.channels_hz != self._extra_channels_hz:
            said += self._channel_requests(device, mac.FOPTS_LIMIT - len(said))
        if self._options.adr and frame.adr:
            said += self._rate_request(device, copies, mac.FOPTS_LIMIT - len(said))
        order = self.orders.due(device.registration, asks)
        ack = frame.mtype == lorawan.CONFIRMED_UP
        must = ack or frame.adr_ack_req
        if not (must or asks or said or order is not None) or session.fcnt_down >= FCNT_LIMIT:
            return None
        said += self._status_request(device, heard_us, mac.FOPTS_LIMIT - len(said))
        fcnt_down = session.fcnt_down
        session.fcnt_down += 1
        delay_s = self._region.rx1_delay_s
        return Reply(device, copies, delay_s, self._until(delay_s), session, b"", fcnt_down, ack, said, must, order)

    def join_reply(self, device: Device, copies: tuple[Uplink, ...], accept: bytes) -> Reply:
        """The note for a join accept."""
        delay_s = self._region.join_delays[0]
        return Reply(device, copies, delay_s, self._until(delay_s), phy=accept)

    def _until(self, delay_s: int) -> float:
        return self._scheduler.monotonic() + delay_s + 1

    def _rate_request(self, device: Device, copies: tuple[Uplink, ...], room: int) -> bytes:
        try:
            dr = self._region.dr_from_datr(copies[0].datr)
        except ValueError:
            return b""
        wish = device.history.wish(self._region, dr, self._options.repetitions)
        request = b"" if wish is None else mac.link_adr_req(wish, mac.channel_mask(self._region, device))
        if wish is None or len(request) > room or all(copy.source.startswith(ONE_RATE) for copy in copies):
            return b""
        device.history.ask(wish)
        return request

    def _channel_requests(self, device: Device, room: int) -> bytes:
        patience = device.channel_patience
        if patience.left:
            patience.left -= 1
            return b""
        requests = mac.new_channel_reqs(self._region, device, self._extra_channels_hz, room)
        if requests:
            patience.asked()
        return requests

    def _status_request(self, device: Device, heard_us: int, room: int) -> bytes:
        now = self._scheduler.monotonic()
        request = mac.dev_status_req()
        told_us = device.link.status_us
        fresh = told_us is not None and 0 <= heard_us - told_us < STATUS_EVERY_S * 1e6
        if fresh or now - device.status_asked < STATUS_AGAIN_S or len(request) > room:
            return b""
        device.status_asked = now
        return request

    # -- after the commit

    def dispatch(self, reply: Reply, acknowledgement: Acknowledgement | None = None) -> None:
        """Send what an admitted frame waits for. To be called once, after its transaction is on disk."""
        phy = self._frame(reply, acknowledgement)
        if not phy:
            return
        if self._scheduler.monotonic() > reply.until:  # at the gateway tmst would mean a later turn of its counter
            self._count("stale")
            self._count("lost")
        elif not self._launch(deque(self._windows(reply, phy)), reply.order):
            self._count("lost")

    def _frame(self, reply: Reply, acknowledgement: Acknowledgement | None) -> bytes:
        """PHY bytes; none when there is nothing left to say."""
        session = reply.session
        if session is None:
            return reply.phy
        fport: int | None = None
        payload = b""
        if reply.order is not None:
            fport, payload = PORT_CONFIG, reply.order.order.payload
        elif acknowledgement is not None:
            fport, payload = PORT_ACK, encode_ack(acknowledgement.cumulative, acknowledgement.bitmap)
        elif not (reply.must or reply.commands):
            return b""
        return lorawan.seal(
            session.nwk,
            session.app,
            lorawan.UNCONFIRMED_DOWN,
            session.dev_addr,
            reply.fcnt_down,
            fport,
            payload,
            reply.commands,
            adr=self._options.adr,
            ack=reply.ack,
            pending=self.orders.waiting(reply.device.registration) > (reply.order is not None),
        )

    def _windows(self, reply: Reply, phy: bytes) -> Iterable[_Window]:
        """RX1 and RX2 of the best gateway, then of the next; RX2 alone after a data rate that is not of the region."""
        region = self._region
        for rank, copy in enumerate(_one_each(reply.copies)[:GATEWAYS]):
            chances = [(reply.delay_s + 1, region.rx2_hz, region.rx2_dr, reply.until)]
            try:
                rx1_dr = region.rx1_dr(region.dr_from_datr(copy.datr), 0)
            except ValueError:
                pass
            else:
                chances.insert(0, (reply.delay_s, copy.freq_hz, rx1_dr, reply.until - 1))
            for number, (delay_s, freq_hz, dr, until) in enumerate(chances):
                sf, bw_hz = region.data_rates[dr]
                downlink = Downlink(
                    copy.gateway,
                    copy.source,
                    (copy.tmst + delay_s * 1_000_000) % TMST_MODULUS,
                    freq_hz,
                    region.datr(dr),
                    region.max_eirp_dbm,
                    phy,
                )
                by = (("rx2",) if number else ()) + (("second_gateway",) if rank else ())
                yield _Window(downlink, until, time_on_air_us(sf, bw_hz, len(phy), crc=False), by)

    def _launch(self, windows: deque[_Window], order: Waiting | None) -> bool:
        """Hand the next window to its gateway and await its verdict, which may come before `send` returns."""
        while windows:
            window = windows.popleft()
            downlink = window.downlink
            if self._scheduler.monotonic() > window.until:
                continue
            if not self.airtime.take(downlink.gateway, downlink.freq_hz, window.air_us):
                self._count("no_airtime")
                continue
            timer = self._scheduler.call_later(VERDICT_S, self._no_verdict, downlink)
            self._flights[downlink] = _Flight(window, windows, order, timer)
            if self._send(downlink):
                for way in window.by:
                    self._count(way)
                return True
            del self._flights[downlink]
            timer.cancel()
            self.airtime.give_back(downlink.gateway, downlink.freq_hz, window.air_us)
        return False

    def on_result(self, downlink: Downlink, result: SendResult) -> None:
        """A gateway's verdict: what it could not send goes out in the next window, or by the next gateway."""
        flight = self._flights.pop(downlink, None)
        if flight is None:
            return
        flight.timer.cancel()
        if result == SendResult.SENT:
            self._count("sent")
            if flight.order is not None:
                self.orders.sent(flight.order)
            return
        self._count(_REASONS.get(result, "refused"))
        self.airtime.give_back(downlink.gateway, downlink.freq_hz, flight.window.air_us)
        if not self._launch(flight.later, flight.order):
            self._count("lost")

    def _no_verdict(self, downlink: Downlink) -> None:
        """The gateway fell silent: settings stay queued, the node asks again for the rest."""
        if self._flights.pop(downlink, None) is not None:
            self._count("silent")
            self._count("lost")


def _config_of(rows: Sequence[Row]) -> int | None:
    """`health.config` of the newest sample that has it."""
    for row in sorted(rows, key=lambda row: -row.time_us):
        config = unpack(row.body).get(("health", "config"))
        if config is not None:
            return int(config)
    return None


def _one_each(copies: Sequence[Uplink]) -> list[Uplink]:
    """The best copy of each gateway, in their order."""
    if len(copies) == 1:
        return list(copies)
    found: dict[str, Uplink] = {}
    for copy in copies:
        found.setdefault(copy.gateway, copy)
    return list(found.values())


def best_first(copies: Sequence[Uplink]) -> tuple[Uplink, ...]:
    """The copies of a frame, the clearest first; one without SNR comes last."""
    if len(copies) == 1:
        return (copies[0],)
    return tuple(sorted(copies, key=lambda copy: copy.snr if copy.snr == copy.snr else -1000.0, reverse=True))
