"""A board of ours on USB as the station's radio: the role "bridge" (docs/bridge.md, suat_wire.bridge).

After the port opens: `hello` until the board says what it is (`caps`), then `config` with the channel of the plan,
and pings that map its clock to ours. Only then frames are taken: what it heard while nobody read has no sure time, and
its sender, who was told nothing, sends it again. A board that restarts shows another `boot`; its clock began anew, so a
downlink for an uplink that it heard before has no meaning any more and is refused.

`SerialBridge` holds no port: `Line` gives it one, a test gives it a list.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

from pydantic import Field
from suat_wire import bridge as wire
from suat_wire.region import REGIONS

from suat.clock import Timer
from suat.ingest.base import Ingress, source
from suat.metrics import BRIDGE_COUNTS, BRIDGE_READY
from suat.records import Downlink, SendResult, Uplink
from suat.serial_line import Line, PortName, open_port
from suat.tables import Table

log = logging.getLogger(__name__)


class SerialBridgeTable(Table):
    kind: Literal["serial_bridge"]
    port: PortName
    channel: Annotated[int, Field(ge=0)] = 0  # in the region's plan, as in the nodes' configuration
    dr: Annotated[int, Field(ge=0, le=5)] = 3
    power_dbm: Annotated[int, Field(ge=1, le=22)] | None = None  # at most the region's, which is the default
    baud: int = 115_200  # a board with native USB has no use for it

    @property
    def place(self) -> str:
        """Where it is found, for people."""
        return self.port

    def region_fault(self, region: str) -> str | None:
        """What it wants that the region has not."""
        last = len(REGIONS[region].channels_hz) - 1
        return f"channel: {region} has channels 0 to {last}, not {self.channel}" if self.channel > last else None


TICK_S = 1.0
PING_S = 10.0
STAT_S = 60.0
GREET_S = 5.0  # who has not said what it is by then is no bridge
SILENT_S = 30.0  # three pings without an answer
PINGS = 8  # the best of so many maps the clocks: 40 ppm of 80 s are 3 ms
LATE_US = 10_000_000  # a frame older than this does not fit the clock we know
CLASS_A_US = 16_500_000  # no answer is later than this after its uplink
ANSWERABLE = 64  # uplinks that may still be answered
PHY_LENGTHS = (12, 255)
_MODULUS = 1 << 32

_VERDICTS = {
    wire.SENT: SendResult.SENT,
    wire.TOO_LATE: SendResult.TOO_LATE,
    wire.TOO_EARLY: SendResult.TOO_EARLY,
    wire.COLLISION: SendResult.COLLISION,
}


class Port(Protocol):
    """What carries the bytes."""

    def start(self) -> None: ...
    async def stop(self) -> None: ...
    def write(self, data: bytes) -> bool: ...
    def proved(self) -> None: ...
    def drop(self, why: str) -> None: ...


@dataclass(slots=True)
class _Board:
    """What is known of the board at the other end."""

    boot: int | None = None
    version: str = ""
    config: dict[str, int] = field(default_factory=dict)  # where it is to listen
    configured: bool = False  # and does
    ready: bool = False  # its clock is known too
    pinged_us: int | None = None  # our clock, in the ping that is not answered yet
    pings: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=PINGS))  # round trip, ours, tmst
    ping_due: float = 0.0
    stat_due: float = 0.0
    complained: str = ""


class SerialBridge:
    """The gateway's end of the line: bytes in by `data_received`, bytes out by `port.write`."""

    def __init__(self, ingress: Ingress, table: SerialBridgeTable, port: Port | None = None) -> None:
        self.name = f"serial_bridge {table.port}"
        plan = REGIONS[ingress.region]
        spreading_factor, bandwidth_hz = plan.data_rates[table.dr]
        self._datr = plan.datr(table.dr)
        self._place = {"hz": plan.channels_hz[table.channel], "sf": spreading_factor, "khz": bandwidth_hz // 1000}
        self._most_dbm = min(plan.max_eirp_dbm, table.power_dbm or plan.max_eirp_dbm)
        self._ingress = ingress
        self._scheduler = ingress.scheduler
        self._port_name = table.port
        self._port = port or Line(
            ingress.scheduler,
            table.port,
            lambda: open_port(table.port, baudrate=table.baud),
            self.opened,
            self.data_received,
            self.lost,
        )
        self._timer: Timer | None = None
        self._sequence = 0
        self._flying: dict[int, Downlink] = {}  # by the sequence of its request: at most 256
        self._answerable: deque[int] = deque(maxlen=ANSWERABLE)  # tmst of uplinks of this boot
        self._reader = wire.Reader()
        self._board = _Board()
        self._opened_at = self._heard_at = 0.0  # monotonic [s]

    async def start(self) -> None:
        BRIDGE_READY.labels(self._port_name).set(0)
        self._port.start()

    async def stop(self) -> None:
        await self._port.stop()
        self._quiet()

    # -- the port

    def opened(self) -> None:
        """The port is there: ask who is at it."""
        now = self._scheduler.monotonic()
        self._forget_all()
        self._reader = wire.Reader()
        self._opened_at = self._heard_at = now
        self._say("hello")
        self._timer = self._scheduler.call_later(TICK_S, self._tick)

    def lost(self) -> None:
        """The port is gone, and with it what it was asked to send."""
        self._quiet()

    def data_received(self, data: bytes) -> None:
        """Handle some bytes of the line; whatever they are, they are obeyed or counted, and no error comes out."""
        reader = self._reader
        garbled = reader.garbled
        for message in reader.feed(data):
            self._heard_at = self._scheduler.monotonic()
            handle = _HANDLERS.get(message.kind)
            if handle is not None:
                handle(self, message)
        for _ in range(reader.garbled - garbled):
            self._malformed()

    # -- out

    def send_downlink(self, downlink: Downlink) -> bool:
        tmst = downlink.tmst
        if not self._board.ready or not any((tmst - heard) % _MODULUS <= CLASS_A_US for heard in self._answerable):
            return False
        spreading_factor, _, bandwidth = downlink.datr.removeprefix("SF").partition("BW")
        place = {"hz": downlink.freq_hz, "sf": int(spreading_factor), "khz": int(bandwidth)}
        dbm = min(downlink.power_dbm, self._board.config["dbm"])
        sequence = self._say("send", {"tmst": tmst, **place, "dbm": dbm}, downlink.phy)
        if sequence is None:
            return False
        self._flying[sequence] = downlink
        return True

    def send_payload(self, dev_eui: str, fport: int, payload: bytes) -> bool:
        return False  # a radio keeps no sessions

    def _say(self, kind: str, fields: Mapping[str, int] | None = None, data: bytes = b"") -> int | None:
        """The sequence of a message that was handed to the port; None when it took none."""
        self._sequence = (self._sequence + 1) & 255
        sent = self._port.write(wire.encode(kind, self._sequence, fields or {}, data))
        return self._sequence if sent else None

    def _ping(self) -> None:
        self._board.pinged_us = round(self._scheduler.monotonic() * 1e6)
        self._say("ping", {"host_us": self._board.pinged_us})

    def _tick(self) -> None:
        now = self._scheduler.monotonic()
        self._timer = self._scheduler.call_later(TICK_S, self._tick)
        if self._board.boot is None:
            if now - self._opened_at > GREET_S:
                self._port.drop("no bridge answers there")
            else:
                self._say("hello")
        elif not self._board.configured:
            self._say("config", self._board.config)
        elif now - self._heard_at > SILENT_S:
            self._port.drop("the bridge is silent")
        else:
            if now >= self._board.ping_due or not self._board.pings:
                self._board.ping_due = now + PING_S
                self._say("hello")  # has it restarted?
                self._ping()
            if now >= self._board.stat_due:
                self._board.stat_due = now + STAT_S
                self._say("stat")

    # -- in

    def _caps(self, message: wire.Message) -> None:
        fields = message.fields
        if fields["boot"] == self._board.boot:
            return
        self._forget_all()
        self._board.boot = fields["boot"]
        self._port.proved()
        if not fields["low"] <= self._place["hz"] <= fields["high"]:
            self._complain("its region has not this channel; compare region in its suat.json with the station's")
        self._board.version = f"{fields['major']}.{fields['minor']}"
        self._board.config = {**self._place, "dbm": min(self._most_dbm, fields["dbm"])}
        self._say("config", self._board.config)

    def _configured_as(self, message: wire.Message) -> None:
        if self._board.boot is None or message.fields != self._board.config:
            return
        self._board.configured = True
        self._ping()
        log.info(
            "%s: firmware %s listens at %d Hz %s, sends with %d dBm at most",
            self.name,
            self._board.version,
            self._place["hz"],
            self._datr,
            self._board.config["dbm"],
        )

    def _pong(self, message: wire.Message) -> None:
        host_us, tmst = message.fields["host_us"], message.fields["tmst"]
        if not self._board.configured or host_us != self._board.pinged_us:
            return
        self._board.pinged_us = None
        now_us = round(self._scheduler.monotonic() * 1e6)
        # tmst was read between the two: the sooner the answer came back, the less it can be off
        self._ingress.on_gateway(self.name)
        self._board.pings.append((now_us - host_us, (host_us + now_us) // 2, tmst))
        if not self._board.ready:
            self._board.ready = True
            BRIDGE_READY.labels(self._port_name).set(1)

    def _received(self, message: wire.Message) -> None:
        counters = self._ingress.counters
        fields, phy = message.fields, message.data
        if not self._board.ready:
            return
        counters["received"] += 1
        here = all(fields[name] == value for name, value in self._place.items())
        if fields["whole"] != 1 or not here or not PHY_LENGTHS[0] <= len(phy) <= PHY_LENGTHS[1]:
            counters["malformed"] += 1
            return
        age_us = self._age_us(fields["tmst"])
        if age_us is None:
            counters["malformed"] += 1
            self._say("hello")
            self._board.ping_due = 0.0
            return
        self._answerable.append(fields["tmst"])
        self._ingress.on_uplink(
            Uplink(
                self.name,
                self.name,
                fields["tmst"],
                fields["hz"],
                self._datr,
                float(fields["rssi"]),
                fields["snr"] / 4,
                phy,
                self._scheduler.wall_us() - age_us,
            )
        )

    def _age_us(self, tmst: int) -> int | None:
        """How long ago it was so late on the bridge's clock [us]; None when that can't be: it has restarted."""
        _, then_us, then_tmst = min(self._board.pings)
        now_tmst = then_tmst + round(self._scheduler.monotonic() * 1e6) - then_us
        age_us = (now_tmst - tmst + LATE_US) % _MODULUS - LATE_US
        return max(0, age_us) if age_us <= LATE_US else None

    def _result(self, message: wire.Message) -> None:
        downlink = self._flying.get(message.fields["of"])
        code = message.fields["code"]
        if downlink is None or downlink.tmst != message.fields["tmst"] or code == wire.QUEUED:
            return
        del self._flying[message.fields["of"]]
        self._ingress.on_downlink_result(downlink, _VERDICTS.get(code, SendResult.REFUSED))

    def _status(self, message: wire.Message) -> None:
        for what, count in message.fields.items():
            BRIDGE_COUNTS.labels(self._port_name, what).set(count)

    def _error(self, message: wire.Message) -> None:
        code = message.fields["code"]
        words = message.data[:60].decode("ascii", "backslashreplace")
        if code == wire.REFUSED:
            self._complain(f"it refuses {words}: compare region in its suat.json with the station's")
        elif code == wire.RADIO:
            self._complain(f"its radio fails and is set up again: {words}")

    # -- state

    def _forget_all(self) -> None:
        """Of a board that was not heard yet, or has restarted, nothing is known."""
        self._board = _Board()
        self._answerable.clear()
        BRIDGE_READY.labels(self._port_name).set(0)
        flying, self._flying = self._flying, {}
        for downlink in flying.values():
            self._ingress.on_downlink_result(downlink, SendResult.REFUSED)

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._forget_all()

    def _malformed(self) -> None:
        self._ingress.counters["received"] += 1
        self._ingress.counters["malformed"] += 1

    def _complain(self, what: str) -> None:
        if what != self._board.complained:
            self._board.complained = what
            log.warning("%s: %s", self.name, what)


_HANDLERS = {
    "caps": SerialBridge._caps,
    "configured": SerialBridge._configured_as,
    "result": SerialBridge._result,
    "pong": SerialBridge._pong,
    "status": SerialBridge._status,
    "received": SerialBridge._received,
    "error": SerialBridge._error,
}


@source("serial_bridge", SerialBridgeTable)
def _open(table: SerialBridgeTable, ingress: Ingress) -> SerialBridge:
    return SerialBridge(ingress, table)
