"""The packet forwarder of a concentrator: Semtech's UDP protocol, version 2 (packet_forwarder/PROTOCOL.TXT).

    PUSH_DATA  02 token(2) 00 gateway(8) JSON      frames heard            -> PUSH_ACK  02 token 01
    PULL_DATA  02 token(2) 02 gateway(8)           "I can be reached here" -> PULL_ACK  02 token 04
    PULL_RESP  02 token(2) 03 JSON                 a frame to send
    TX_ACK     02 token(2) 05 gateway(8) [JSON]    what became of it

The protocol has no authentication: bind to loopback, believe only a node's MIC, treat each field as hostile. PUSH_ACK
leaves before anything is read; forwarders never send twice, so it promises nothing. `SemtechUdp` holds no socket:
`serve_udp` gives it one, the simulator gives it a function.
"""

from __future__ import annotations

import asyncio
import socket
from binascii import a2b_base64, b2a_base64
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import nan
from typing import Any, Literal

import orjson

from suat.errors import SuatError
from suat.ingest.base import Ingress, source
from suat.records import Downlink, SendResult, Uplink
from suat.tables import Bound, host_port


class SemtechUdpTable(Bound):
    kind: Literal["semtech_udp"]
    bind: str = "127.0.0.1:1700"


Address = Any  # what came with a datagram, and an answer to it needs

PUSH_DATA, PUSH_ACK, PULL_DATA, PULL_RESP, PULL_ACK, TX_ACK = range(6)
VERSION = 2
HEADER = 12  # version, token, kind and the gateway's EUI [bytes]

DATA_RATES = frozenset(f"SF{sf}BW{bw}" for sf in range(5, 13) for bw in (125, 250, 500))
FREQUENCIES_MHZ = (100.0, 3000.0)
PHY_LENGTHS = (12, 255)  # the shortest data frame; the longest a LoRa packet can be [bytes]
TIME_TRUST_US = 60_000_000  # a gateway's own time is believed when it is this near to ours
MAX_GATEWAYS = 64
MAX_FLYING = 256  # downlinks whose verdict is awaited

SOCKET_BUFFER = 4 << 20  # rides out a stall of the loop [bytes]
SO_RCVBUFFORCE = 33  # Linux, asm-generic/socket.h; Python has no name for it

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERDICTS = {
    "NONE": SendResult.SENT,
    "TOO_LATE": SendResult.TOO_LATE,
    "TOO_EARLY": SendResult.TOO_EARLY,
    "COLLISION_PACKET": SendResult.COLLISION,
    "COLLISION_BEACON": SendResult.COLLISION,
}


@dataclass(slots=True)
class Gateway:
    """A forwarder that has shown itself."""

    heard_at: float  # monotonic [s]
    pull_address: Address = None  # where its downlinks go, None until its first PULL_DATA


class SemtechUdp:
    """The protocol without a socket: bytes in by `datagram_received`, bytes out by `send`."""

    def __init__(
        self,
        ingress: Ingress,
        *,
        bind: str | None = None,
        send: Callable[[bytes, Address], None] | None = None,
        name: str = "semtech_udp",
    ) -> None:
        self.name = name
        self.bind = bind
        self.send: Callable[[bytes, Address], None] = send or _nowhere
        self.gateways: OrderedDict[str, Gateway] = OrderedDict()
        self._scheduler = ingress.scheduler
        self._on_uplink = ingress.on_uplink
        self._on_downlink_result = ingress.on_downlink_result
        self._on_gateway = ingress.on_gateway
        self._on_gateway_time = ingress.on_gateway_time
        self._next_clock = 0.0
        self._counters = ingress.counters
        self._endpoint: UdpEndpoint | None = None
        self._token = 0
        self._flying: OrderedDict[bytes, Downlink] = OrderedDict()

    async def start(self) -> None:
        if self.bind is not None:
            self._endpoint = await serve_udp(self, self.bind)

    async def stop(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None

    # -- in

    def datagram_received(self, data: bytes, address: Address) -> None:
        """Handle one datagram; whatever it holds, it is answered or counted, and no error comes out."""
        if len(data) < 4 or data[0] != VERSION:
            self._malformed()
            return
        kind = data[3]
        if len(data) < HEADER:
            self._malformed()
        elif kind == PUSH_DATA:
            self.send(b"\x02%b\x01" % data[1:3], address)
            self._frames_heard(data)
        elif kind == PULL_DATA:
            self.send(b"\x02%b\x04" % data[1:3], address)
            self._gateway(data[4:12].hex()).pull_address = address
        elif kind == TX_ACK:
            self._verdict(data)
        else:
            self._malformed()

    def _frames_heard(self, data: bytes) -> None:
        now_us = self._scheduler.wall_us()
        try:
            content = orjson.loads(data[HEADER:])
        except ValueError:
            self._malformed()
            return
        if type(content) is not dict:
            self._malformed()
            return
        frames = content.get("rxpk")
        if frames is None:
            return  # the gateway's own statistics alone
        if type(frames) is not list:
            self._malformed()
            return
        gateway = data[4:12].hex()
        counters = self._counters
        for entry in frames:
            counters["received"] += 1
            try:
                uplink = _uplink(entry, gateway, self.name, now_us)
            except (KeyError, TypeError, ValueError, OverflowError):
                counters["malformed"] += 1
            else:
                self._on_uplink(uplink)
        if frames and type(frames[-1]) is dict and "time" in frames[-1]:
            self._clock(gateway, frames[-1]["time"])

    def _clock(self, gateway: str, time: Any) -> None:
        """A gateway's time may be a GPS's: what keeps the station's time hears it, once a second."""
        now = self._scheduler.monotonic()
        if now >= self._next_clock and (told_us := _told_us(time)) is not None:
            self._next_clock = now + 1.0
            self._on_gateway_time(gateway, told_us)

    def _malformed(self) -> None:
        self._counters["received"] += 1
        self._counters["malformed"] += 1

    def _gateway(self, eui: str) -> Gateway:
        """The gateway of this EUI, made known if need be; the one silent longest gives way when there are too many."""
        self._on_gateway(eui)
        gateway = self.gateways.get(eui)
        if gateway is None:
            if len(self.gateways) >= MAX_GATEWAYS:
                self.gateways.popitem(last=False)
            gateway = self.gateways[eui] = Gateway(0.0)
        self.gateways.move_to_end(eui)
        gateway.heard_at = self._scheduler.monotonic()
        return gateway

    # -- out

    def send_downlink(self, downlink: Downlink) -> bool:
        gateway = self.gateways.get(downlink.gateway)
        if gateway is None or gateway.pull_address is None:
            return False
        self._token = (self._token + 1) & 0xFFFF
        token = self._token.to_bytes(2, "big")
        self._flying[token] = downlink
        if len(self._flying) > MAX_FLYING:
            self._flying.popitem(last=False)
        self.send(b"\x02%b\x03%b" % (token, _txpk(downlink)), gateway.pull_address)
        return True

    def send_payload(self, dev_eui: str, fport: int, payload: bytes) -> bool:
        return False  # a concentrator keeps no sessions

    def _verdict(self, data: bytes) -> None:
        downlink = self._flying.get(data[1:3])
        if downlink is None or downlink.gateway != data[4:12].hex():
            return  # of an earlier run, or not from whom it was given to
        del self._flying[data[1:3]]
        self._on_downlink_result(downlink, _parse_verdict(data[HEADER:]))


def _nowhere(_data: bytes, _address: Address) -> None:
    """Until an endpoint is there."""


def _uplink(entry: Any, gateway: str, name: str, now_us: int) -> Uplink:
    """One entry of `rxpk`; KeyError, TypeError, ValueError or OverflowError when it is not a frame we can use."""
    tmst = entry["tmst"]
    freq = entry["freq"]
    datr = entry["datr"]
    text = entry["data"]
    if type(tmst) is not int or not 0 <= tmst <= 0xFFFFFFFF:
        raise ValueError("tmst")
    if type(freq) is not float and type(freq) is not int:
        raise TypeError("freq")
    if not FREQUENCIES_MHZ[0] <= freq <= FREQUENCIES_MHZ[1]:
        raise ValueError("freq")
    if datr not in DATA_RATES:
        raise ValueError("datr")
    if entry.get("stat", 1) != 1:
        raise ValueError("CRC")
    phy = a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    if not PHY_LENGTHS[0] <= len(phy) <= PHY_LENGTHS[1] or entry.get("size", len(phy)) != len(phy):
        raise ValueError("size")
    time = entry.get("time")
    return Uplink(
        gateway,
        name,
        tmst,
        round(freq * 1_000_000),
        datr,
        _level(entry.get("rssi")),
        _level(entry.get("lsnr")),
        phy,
        now_us if time is None else _received_us(time, now_us),
    )


def _level(value: Any) -> float:
    """A signal's level [dBm or dB]; NaN where the gateway told none."""
    if value is None:
        return nan
    if type(value) is not float and type(value) is not int:
        raise TypeError("level")
    if not -400.0 < value < 400.0:
        raise ValueError("level")
    return float(value)


def _received_us(time: Any, now_us: int) -> int:
    """The gateway's own UTC time of the frame [us] when it is plausible, else ours."""
    told_us = _told_us(time)
    return now_us if told_us is None or abs(told_us - now_us) > TIME_TRUST_US else told_us


def _told_us(time: Any) -> int | None:
    """An ISO 8601 time with its zone as UTC [us], None when it is none."""
    try:
        since = datetime.fromisoformat(time) - _EPOCH
    except (TypeError, ValueError, OverflowError):
        return None
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _txpk(downlink: Downlink) -> bytes:
    """The JSON of PULL_RESP: LoRaWAN downlinks have inverted IQ and no CRC."""
    return orjson.dumps(
        {
            "txpk": {
                "imme": False,
                "tmst": downlink.tmst,
                "freq": downlink.freq_hz / 1_000_000,
                "rfch": 0,
                "powe": downlink.power_dbm,
                "modu": "LORA",
                "datr": downlink.datr,
                "codr": "4/5",
                "ipol": True,
                "ncrc": True,
                "size": len(downlink.phy),
                "data": b2a_base64(downlink.phy, newline=False).decode(),
            }
        }
    )


def _parse_verdict(body: bytes) -> SendResult:
    """The gateway's answer to a PULL_RESP; an empty body means that it was sent (a "warn" comes of a frame sent)."""
    if not body.strip(b"\0 \r\n\t"):
        return SendResult.SENT
    try:
        error = orjson.loads(body)["txpk_ack"].get("error", "NONE")
        return _VERDICTS.get(error, SendResult.REFUSED)
    except (ValueError, KeyError, TypeError, AttributeError):
        return SendResult.REFUSED


class UdpEndpoint:
    """A socket on the loop, read in bursts: a third of the cost of an asyncio transport a datagram."""

    def __init__(self, protocol: SemtechUdp, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._protocol = protocol
        self._sock = sock
        from suat_samples import datagrams  # it brings numpy, which `suat --help` does not wait for

        self._datagrams = datagrams
        self._fd = sock.fileno()
        self._loop = loop
        self.address: Address = sock.getsockname()
        protocol.send = self.send
        loop.add_reader(sock, self._readable)

    def send(self, data: bytes, address: Address) -> None:
        """Send, or lose it as any network may: an answer that can't leave now is of no use later."""
        self._datagrams.send(self._fd, data, address)

    def _readable(self) -> None:
        handle = self._protocol.datagram_received
        for data, address in self._datagrams.receive(self._fd):
            handle(data, address)

    def close(self) -> None:
        """Stop reading and free the port."""
        self._loop.remove_reader(self._sock)
        self._protocol.send = _nowhere
        self._sock.close()


def _widen(sock: socket.socket) -> None:
    """A large receive buffer: beyond net.core.rmem_max where the process may, up to it elsewhere."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)


async def serve_udp(protocol: SemtechUdp, bind: str) -> UdpEndpoint:
    """Bind "HOST:PORT" and let the protocol hear it; SuatError when the address can't be had."""
    loop = asyncio.get_running_loop()
    host, port = host_port(bind)
    sock: socket.socket | None = None
    try:
        family, _, _, _, address = (await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM))[0]
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        _widen(sock)
        sock.bind(address)
    except OSError as error:
        if sock is not None:
            sock.close()
        reason = error.strerror or str(error)
        raise SuatError(
            f"ingest {protocol.name}: can't listen on {bind}: {reason}; free the port or change bind"
        ) from error
    return UdpEndpoint(protocol, sock, loop)


@source("semtech_udp", SemtechUdpTable)
def _open(table: SemtechUdpTable, ingress: Ingress) -> SemtechUdp:
    return SemtechUdp(ingress, bind=table.bind, name=f"semtech_udp {table.bind}")
