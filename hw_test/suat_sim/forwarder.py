"""A packet forwarder of a concentrator on virtual time: Semtech UDP version 2, and a small real one for the daemon.

The rules of the queue are those of the reference's jitqueue.c: a downlink must come 32.5 ms before its instant or is
TOO_LATE, at most 384 s before or is TOO_EARLY, and must not overlap one that waits already (COLLISION_PACKET).
"""

from __future__ import annotations

import base64
import json
import socket
import struct
from collections.abc import Callable
from typing import Any

from suat.clock import Scheduler
from suat_wire.airtime import time_on_air_us

from suat_sim.air import CRC_ON, IQ_INVERTED, PUBLIC_SYNC, Ear, Frame, Heard

PUSH_DATA, PUSH_ACK, PULL_DATA, PULL_RESP, PULL_ACK, TX_ACK = range(6)
LATEST_US = 32_500  # TX_START_DELAY + TX_MARGIN_DELAY + TX_JIT_DELAY: 1500 + 1000 + 30000
EARLIEST_US = 384_000_000  # TX_MAX_ADVANCE_DELAY: three beacon periods
MARGIN_US = 1_000
WRAP = 1 << 32


def header(kind: int, token: int, eui: str = "") -> bytes:
    """The first bytes of a datagram: version 2, token, kind and, going up, the gateway's EUI."""
    return struct.pack(">BHB", 2, token & 0xFFFF, kind) + bytes.fromhex(eui)


def rxpk(heard: Heard, channel: int) -> dict[str, Any]:
    """A received frame as the protocol's JSON object."""
    frame = heard.frame
    return {
        "tmst": frame.end_us % WRAP,
        "chan": channel,
        "rfch": 0,
        "freq": frame.hz / 1e6,
        "stat": 1,
        "modu": "LORA",
        "datr": f"SF{frame.sf}BW{frame.bw_hz // 1000}",
        "codr": "4/5",
        "rssi": round(heard.rssi),
        "lsnr": round(heard.snr, 1),
        "size": len(heard.payload),
        "data": base64.b64encode(heard.payload).decode(),
    }


class Forwarder:
    """One gateway. `to_server(datagram)` leaves it, `datagram(data)` reaches it, `transmit(frame)` puts it on the air.

    The backhaul takes `delay_s` each way. `drop()` returning True loses a datagram that leaves.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        eui: str,
        *,
        to_server: Callable[[bytes], None],
        transmit: Callable[[Frame], None],
        start_us: int,
        frequencies_hz: tuple[int, int] = (863_000_000, 870_000_000),
        max_dbm: int = 27,
        delay_s: float = 0.02,
        keepalive_s: float = 10.0,
        drop: Callable[[], bool] | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.eui = eui
        self.to_server = to_server
        self.transmit = transmit
        self.start_us = start_us
        self.frequencies_hz = frequencies_hz
        self.max_dbm = max_dbm
        self.delay_s = delay_s
        self.keepalive_s = keepalive_s
        self.drop = drop
        self.token = 0
        self.number = 0
        self.channels: dict[int, int] = {}
        self.waiting: list[tuple[int, int]] = []
        self.counters = {"rxnb": 0, "pushed": 0, "push_ack": 0, "pull_resp": 0, "tx_taken": 0, "tx_refused": 0}
        self.verdicts: dict[str, int] = {}

    def start(self) -> None:
        """Begin to call the server."""
        self._keepalive()

    def now_us(self) -> int:
        """The concentrator's counter, not yet wrapped."""
        return self.scheduler.wall_us() - self.start_us

    def _send(self, kind: int, body: bytes = b"", token: int | None = None) -> None:
        if self.drop is not None and self.drop():
            return
        if token is None:
            self.token = token = (self.token + 1) & 0xFFFF
        self.scheduler.call_later(self.delay_s, self.to_server, header(kind, token, self.eui) + body)

    def _keepalive(self) -> None:
        self._send(PULL_DATA)
        self.scheduler.call_later(self.keepalive_s, self._keepalive)

    def heard(self, heard: Heard) -> None:
        """The antenna got a frame."""
        self.counters["rxnb"] += 1
        channel = self.channels.setdefault(heard.frame.hz, len(self.channels))
        body = json.dumps({"rxpk": [rxpk(heard, channel)]}, separators=(",", ":")).encode()
        for _ in range(heard.copies):
            self.counters["pushed"] += 1
            self._send(PUSH_DATA, body)

    def datagram(self, data: bytes) -> None:
        """A datagram from the server leaves it now; it arrives after the backhaul's delay."""
        self.scheduler.call_later(self.delay_s, self._arrived, data)

    def _arrived(self, data: bytes) -> None:
        if len(data) < 4 or data[0] != 2:
            return
        if data[3] == PUSH_ACK:
            self.counters["push_ack"] += 1
        elif data[3] == PULL_RESP:
            self.counters["pull_resp"] += 1
            error = self._queue(data[4:])
            self.verdicts[error] = self.verdicts.get(error, 0) + 1
            self.counters["tx_taken" if error == "NONE" else "tx_refused"] += 1
            body = b"" if error == "NONE" else json.dumps({"txpk_ack": {"error": error}}).encode()
            self._send(TX_ACK, body, struct.unpack(">H", data[1:3])[0])

    def _queue(self, body: bytes) -> str:
        """Take a downlink into the queue, or the name of the error."""
        packet = json.loads(body)["txpk"]
        payload = base64.b64decode(packet["data"] + "===")
        sf, bw = (int(part) for part in packet["datr"][2:].split("BW"))
        hz = round(packet["freq"] * 1e6)
        crc = not packet.get("ncrc", False)
        preamble = int(packet.get("prea", 8))
        airtime = time_on_air_us(sf, bw * 1000, len(payload), crc, int(packet["codr"][-1]) - 4, preamble)
        now = self.now_us()
        start = now + LATEST_US + MARGIN_US if packet.get("imme") else now + (int(packet["tmst"]) - now) % WRAP
        ahead = start - now
        if ahead >= WRAP >> 1 or ahead <= LATEST_US:
            return "TOO_LATE"
        if ahead > EARLIEST_US:
            return "TOO_EARLY"
        self.waiting = [span for span in self.waiting if span[1] > now]
        if any(start < end + MARGIN_US and start + airtime + MARGIN_US > begin for begin, end in self.waiting):
            return "COLLISION_PACKET"
        if not self.frequencies_hz[0] <= hz <= self.frequencies_hz[1]:
            return "TX_FREQ"
        dbm = int(packet.get("powe", 14))
        if dbm > self.max_dbm:
            return "TX_POWER"
        self.waiting.append((start, start + airtime))
        flags = PUBLIC_SYNC | (IQ_INVERTED if packet.get("ipol") else 0) | (CRC_ON if crc else 0)
        self.number += 1
        self.transmit(
            Frame(self.eui, self.number, start, start + airtime, hz, sf, bw * 1000, dbm, flags, preamble, payload)
        )
        return "NONE"


def ear(forwarder: Forwarder, x_m: float, y_m: float, channels_hz: frozenset[int]) -> Ear:
    """The antenna of a forwarder."""
    return Ear(forwarder.eui, x_m, y_m, channels_hz, forwarder.heard)


class UdpForwarder:
    """A packet forwarder on a real socket, for tests of the running daemon. Blocking, with a time limit."""

    def __init__(self, server: tuple[str, int], eui: str = "0000000000000001", timeout_s: float = 2.0) -> None:
        self.eui = eui
        self.token = 0
        self.socket = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(timeout_s)
        self.socket.connect(server)

    def close(self) -> None:
        """Give the socket back."""
        self.socket.close()

    def __enter__(self) -> UdpForwarder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, kind: int, body: dict[str, Any] | None = None, token: int | None = None) -> int:
        """Send a datagram; its token."""
        if token is None:
            self.token = token = (self.token + 1) & 0xFFFF
        self.socket.send(header(kind, token, self.eui) + (json.dumps(body).encode() if body else b""))
        return token

    def receive(self) -> tuple[int, int, bytes]:
        """(kind, token, body) of the next datagram; TimeoutError when none comes."""
        data = self.socket.recv(65536)
        return data[3], struct.unpack(">H", data[1:3])[0], data[4:]

    def push(
        self,
        payload: bytes,
        *,
        tmst: int = 0,
        freq_mhz: float = 865.0625,
        datr: str = "SF9BW125",
        rssi: float = -90.0,
        snr: float = 7.0,
    ) -> None:
        """Deliver a frame and wait for the PUSH_ACK; TimeoutError without one."""
        packet = {
            "tmst": tmst, "chan": 0, "rfch": 0, "freq": freq_mhz, "stat": 1, "modu": "LORA", "datr": datr,
            "codr": "4/5", "rssi": rssi, "lsnr": snr, "size": len(payload), "data": base64.b64encode(payload).decode(),
        }  # fmt: skip
        token = self.send(PUSH_DATA, {"rxpk": [packet]})
        while True:
            kind, answer, _ = self.receive()
            if kind == PUSH_ACK and answer == token:
                return

    def pull(self) -> None:
        """Show where downlinks go; TimeoutError without a PULL_ACK."""
        token = self.send(PULL_DATA)
        while True:
            kind, answer, _ = self.receive()
            if kind == PULL_ACK and answer == token:
                return
