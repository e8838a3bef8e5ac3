"""The bridge role: this board as the radio of a gateway on USB (docs/bridge.md). Runs until reset.

One loop that never waits longer than a frame needs to be set up: read the line, take what the radio heard, send what is
due, write what the line takes. What a gateway that is away does not fetch is dropped, oldest first.
"""

import os
import select
import sys
import time

from micropython import const
from suat_wire import bridge as wire
from suat_wire.region import REGIONS

import suat_node
from suat_node import power
from suat_node.radio import downlinks
from suat_node.radio.continuous import CRC_ERROR, RX_DONE, TX_DONE, Continuous
from suat_node.radio.sx126x import RadioError

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from suat_wire.bridge import Message

    from suat_node.config import Board, Config

_OVERDUE_US = const(200000)  # after the end of a frame that the chip does not report
_PAUSE_US = const(1000000)  # after a failure of the radio
_HELD = const(16)  # frames for the line
_PIECE = const(64)  # bytes at once: a USB packet


class Usb:
    """The console's line, raw. Only sys.stdin and stdout themselves can be polled, only their buffers are raw."""

    def __init__(self) -> None:
        self._in = select.poll()
        self._in.register(sys.stdin, select.POLLIN)
        self._out = select.poll()
        self._out.register(sys.stdout, select.POLLOUT)

    def read(self) -> bytes:
        """What has come, at most a piece."""
        out = b""
        while len(out) < _PIECE and self._in.poll(0):
            byte = sys.stdin.buffer.read(1)
            if not byte:
                break
            out += byte
        return out

    def write(self, data: bytes) -> int:
        """How many bytes the line took."""
        return sys.stdout.buffer.write(data[:_PIECE]) if self._out.poll(0) else 0


class Bridge:
    """The loop's state. Times are microseconds since the start, as `now` gives them."""

    def __init__(self, config: "Config", radio: Continuous, port: "Any") -> None:
        region = REGIONS[config.region]
        self.radio = radio
        self.port = port
        self.reader = wire.Reader()
        self.sequence = 0
        self.held: "list[bytes]" = []  # for the line
        self.queue = downlinks.Queue(region)
        self.sending: "Message | None" = None
        self.listening = False
        self.until = 0  # the radio is busy sending, or rests after a failure
        self.ticks = time.ticks_us()
        self.us = 0
        self.boot = int.from_bytes(os.urandom(4), "little")
        self.most = min(region.tx_power_dbm(0), radio.board.MAX_DBM)
        hz = region.channels_hz[max(0, config.channel) % len(region.channels_hz)]
        sf, bw_hz = region.data_rates[config.dr]
        self.place: "Mapping[str, int]" = {"hz": hz, "sf": sf, "khz": bw_hz // 1000, "dbm": self.most}
        names = ("received", "broken", "sent", "refused", "dropped", "radio_errors")
        self.counts = {name: 0 for name in names}

    def now(self) -> int:
        """Microseconds since the start; to be asked at least every 9 minutes."""
        ticks = time.ticks_us()
        self.us += time.ticks_diff(ticks, self.ticks)
        self.ticks = ticks
        return self.us

    def turn(self) -> None:
        """Once round the loop."""
        power.feed()
        try:
            self.serve(self.now())
        except RadioError as error:
            self.fail(error)
        for message in self.reader.feed(self.port.read()):
            self.obey(message)
        if self.held:
            self.held[0] = self.held[0][self.port.write(self.held[0]) :]
            if not self.held[0]:
                self.held.pop(0)
        else:
            time.sleep_ms(1)

    def serve(self, now: int) -> None:
        """What the radio has to do now."""
        flags = self.radio.flags()
        if self.sending is not None:
            if flags & TX_DONE:
                self.done(wire.SENT)
            elif now > self.until:
                raise RadioError("the frame did not leave")
            else:
                return
        elif self.listening and flags & RX_DONE:
            self.heard(not flags & CRC_ERROR)
        if now < self.until:
            return
        if self.queue.due(now):
            self.launch(*self.queue.take())
        elif not self.listening:
            self.radio.receive(self.place["hz"], self.place["sf"], self.place["khz"] * 1000)
            self.listening = True

    def heard(self, whole: bool) -> None:
        """A frame; a broken one is told too, for the gateway's counts."""
        phy, rssi, snr = self.radio.packet()
        self.counts["received" if whole else "broken"] += 1
        at = self.now() + time.ticks_diff(self.radio.at, self.ticks) & 0xFFFFFFFF
        fields = {"tmst": at, "rssi": rssi, "snr": snr, "whole": int(whole)}
        fields.update(self.place)
        fields.pop("dbm")
        self.tell("received", fields, phy)

    def launch(self, begin: int, end: int, request: "Message") -> None:
        """Send at `begin`."""
        fields = request.fields
        self.listening = False
        self.sending = request
        self.until = end + _OVERDUE_US
        at = time.ticks_add(self.ticks, begin - self.us)
        bw_hz = fields["khz"] * 1000
        if not self.radio.send_at(at, request.data, fields["hz"], fields["sf"], bw_hz, fields["dbm"]):
            self.done(wire.TOO_LATE)

    def done(self, code: int) -> None:
        """What was to be sent is over."""
        if self.sending is not None:
            self.result(self.sending, code)
            self.sending = None
        self.until = 0

    def fail(self, error: RadioError) -> None:
        """The chip is set up from its reset after a pause."""
        self.counts["radio_errors"] += 1
        self.radio.ready = self.listening = False
        self.done(wire.FAILED)
        self.until = self.now() + _PAUSE_US
        self.tell("error", {"of": 0, "code": wire.RADIO}, str(error).encode())

    def tell(self, kind: str, fields: "Mapping[str, int]", data: bytes = b"") -> None:
        """A message for the gateway."""
        if len(self.held) >= _HELD:
            self.held.pop(1)  # the first may be half on its way
            self.counts["dropped"] += 1
        self.held.append(wire.encode(kind, self.sequence, fields, data))
        self.sequence += 1

    def result(self, request: "Message", code: int) -> None:
        """What became of a request to send."""
        if code != wire.QUEUED:
            self.counts["sent" if code == wire.SENT else "refused"] += 1
        self.tell("result", {"of": request.sequence, "code": code, "tmst": request.fields["tmst"]})

    def obey(self, message: "Message") -> None:
        """Answer a message of the gateway."""
        kind, fields, now = message.kind, message.fields, self.now()
        if kind == "hello":
            answer = {"boot": self.boot, "dbm": self.most}
            answer["major"], answer["minor"] = suat_node.VERSION
            answer["low"], answer["high"], answer["queue"] = self.queue.limits()
            self.tell("caps", answer)
            if suat_node.boot and self.listening:  # a gateway and a radio: an update on trial has shown what it must
                from suat_node.keep import slots

                slots.confirm()
        elif kind == "ping":
            self.tell("pong", {"host_us": fields["host_us"], "tmst": now & 0xFFFFFFFF})
        elif kind == "send":
            busy = self.until - _OVERDUE_US if self.sending else 0
            self.result(message, self.queue.judge(message, now, busy, self.place["dbm"]))
        elif kind == "stat":
            self.counts["uptime"] = now // 1000000
            self.counts["garbled"] = self.reader.garbled
            self.tell("status", self.counts)
        elif kind == "config" and self.queue.allowed(fields) and fields["dbm"] <= self.most:
            self.place = fields
            self.listening = False
            self.tell("configured", fields)
        else:
            code = wire.REFUSED if kind == "config" else wire.UNKNOWN
            self.tell("error", {"of": message.sequence, "code": code}, kind.encode())


def run(config: "Config", board: "Board", port: "Any" = None) -> None:
    """Serve the gateway for ever."""
    bridge = Bridge(config, Continuous(board), port or Usb())
    while True:
        bridge.turn()
