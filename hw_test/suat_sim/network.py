"""A small network server for tests of the node: it shares the wire format with the station, and nothing else.

Joins, verifies, decrypts, acknowledges records and answers DeviceTimeReq. What a node must never do (use a DevNonce or
a frame counter twice, give two samples one record number, send what its data rate does not carry) raises `RuleError`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from suat_wire import commands, lorawan, payload
from suat_wire.aes import Aes
from suat_wire.region import REGIONS

from suat_sim.fleet import Address, Fleet

JOIN_EUI = "70b3d57ed0000001"


class RuleError(AssertionError):
    """A node broke a rule of the network."""


class Session:
    """One activation, as the server sees it."""

    def __init__(self, dev_addr: int, keys: tuple[bytes, bytes]) -> None:
        self.dev_addr = dev_addr
        self.raw_keys = keys  # NwkSKey, AppSKey
        self.keys = (Aes(keys[0]), Aes(keys[1]))
        self.fcnts: set[int] = set()  # of the frames heard
        self.next = 0
        self.newest = b""  # frame
        self.down = 0


class Device:
    """What the server knows of a node. Its keys are made of its name."""

    def __init__(self, name: str) -> None:
        digest = hashlib.sha256(name.encode()).digest()
        self.name = name
        self.dev_eui, self.app_key = digest[:8], digest[8:24]
        self.first_addr = int.from_bytes(digest[24:27], "big") << 8
        self.root = Aes(self.app_key)
        self.nonces: list[int] = []  # DevNonce of each join request heard
        self.sessions: list[Session] = []
        self.held: dict[int, tuple[float, bytes]] = {}  # record -> (unix s, body)
        self.newest = 0
        self.copies = 0  # samples as they came, again and again
        self.answers: list[tuple[int, bytes]] = []  # MAC commands that came up

    def otaa(self) -> dict[str, str]:
        """For suat.json."""
        return {"dev_eui": self.dev_eui.hex(), "join_eui": JOIN_EUI, "app_key": self.app_key.hex()}

    def missing(self, below: int) -> list[int]:
        """Records that never arrived."""
        return [record for record in range(below) if record not in self.held]

    def committed(self, asked: int) -> Iterable[int]:
        """Records from `asked` on."""
        return (record for record in range(asked, self.newest + 1) if record in self.held)


class Network:
    """Attached to a fleet, it answers in RX1 or, where `rx2`, in RX2. `mac(device)` gives MAC commands to add."""

    def __init__(
        self,
        fleet: Fleet,
        devices: Iterable[Device],
        *,
        region: str = "IN865",
        rx2: bool = False,
        mac: Callable[[Device], bytes] | None = None,
        same_sample_s: float = 4.0,
    ) -> None:
        """`same_sample_s`: how far the times of two copies of a sample may differ; NbTrans repeats old ages."""
        self.fleet = fleet
        self.region = REGIONS[region]
        self.by_eui = {device.dev_eui: device for device in devices}
        self.by_addr: dict[int, tuple[Device, Session]] = {}
        self.rx2 = rx2
        self.mac = mac
        self.same_sample_s = same_sample_s
        fleet.attach(self.receive)

    def receive(self, data: bytes, address: Address) -> None:
        """A datagram of a forwarder (PROTOCOL.TXT of Semtech's packet_forwarder, version 2)."""
        if data[3] == 0:
            self.fleet.send(data[:3] + b"\x01", address)
            for rxpk in json.loads(data[12:]).get("rxpk", []):
                if rxpk.get("stat", 1) == 1:
                    self.frame(base64.b64decode(rxpk["data"]), rxpk, address)
        elif data[3] == 2:
            self.fleet.send(data[:3] + b"\x04", address)

    def frame(self, phy: bytes, rxpk: dict[str, Any], address: Address) -> None:
        """A frame that a gateway heard."""
        if phy[0] >> 5 == lorawan.JOIN_REQUEST:
            self._join(phy, rxpk, address)
        else:
            self._data(phy, rxpk, address)

    def _join(self, phy: bytes, rxpk: dict[str, Any], address: Address) -> None:
        request = lorawan.parse_join_request(phy)
        device = self.by_eui[request.dev_eui]
        if not lorawan.join_request_mic_ok(device.root, phy):
            raise RuleError(f"{device.name}: a join request with a wrong MIC")
        if device.nonces and request.dev_nonce <= device.nonces[-1]:
            raise RuleError(f"{device.name}: DevNonce {request.dev_nonce} after {device.nonces[-1]}")
        device.nonces.append(request.dev_nonce)
        nonce = len(device.nonces)
        keys = lorawan.session_keys(device.root, nonce, 1, request.dev_nonce)
        session = Session(device.first_addr + (nonce & 0xFF), keys)  # the one before lives on until this one is used
        device.sessions.append(session)
        self.by_addr[session.dev_addr] = (device, session)
        accept = lorawan.join_accept(device.root, nonce, 1, session.dev_addr, self.region.rx2_dr, 1)
        self.answer(accept, rxpk, address, self.region.join_delays[0])

    def _data(self, phy: bytes, rxpk: dict[str, Any], address: Address) -> None:
        now_us = self.fleet.start_us + self.fleet.now_us()
        frame = lorawan.parse_data(phy)
        device, session = self.by_addr[frame.dev_addr]
        fcnt = lorawan.infer_fcnt(frame.fcnt16, max(0, session.next - 1))
        if not lorawan.mic_ok(session.keys[0], frame, fcnt):
            raise RuleError(
                f"{device.name}: a frame with a wrong MIC, or counter {frame.fcnt16} after {session.next - 1}"
            )
        again = fcnt in session.fcnts
        if again and phy != session.newest:
            raise RuleError(f"{device.name}: counter {fcnt} with two frames")
        session.newest = phy
        session.fcnts.add(fcnt)
        session.next = fcnt + 1
        dr = self.region.dr_from_datr(rxpk["datr"])
        if len(phy) > self.region.max_payload[dr] + 13:
            raise RuleError(f"{device.name}: {len(phy)} bytes at DR{dr}")
        data = lorawan.open_payload(*session.keys, frame, fcnt)
        asked = self._samples(device, data, frame.fport, now_us / 1e6, again) if frame.fport else None
        sent_up = commands.parse(data if frame.fport == 0 else frame.fopts, lorawan.UP)
        if not again:
            device.answers += [(cid, args) for cid, args in sent_up if cid != commands.DEVICE_TIME]
        fopts = b""
        if any(cid == commands.DEVICE_TIME for cid, _ in sent_up):
            fopts += commands.device_time_ans(now_us)
        if self.mac is not None:
            fopts += self.mac(device)
        confirmed = frame.mtype == lorawan.CONFIRMED_UP
        if asked is None and not fopts and not confirmed and not frame.adr_ack_req:
            return
        ack = b"" if asked is None else payload.encode_ack(*payload.ack_of(asked, device.committed(asked)))
        down = lorawan.seal(
            *session.keys,
            lorawan.UNCONFIRMED_DOWN,
            session.dev_addr,
            session.down,
            None if asked is None else payload.PORT_ACK,
            ack,
            fopts,
            ack=confirmed,
        )
        session.down += 1
        self.answer(down, rxpk, address, self.region.rx1_delay_s)

    def _samples(self, device: Device, data: bytes, fport: int, now: float, again: bool) -> int | None:
        """Keep the samples of a frame unless it came before; the record it asks from."""
        asked, samples = payload.split(data, fport, device.newest)
        if again:
            return asked
        for record, age, body in samples:
            device.copies += 1
            taken, kept = device.held.setdefault(record, (now - age, body))
            if kept != body or abs(taken - (now - age)) > self.same_sample_s:
                raise RuleError(
                    f"{device.name}: record {record} came as two samples: {taken} {kept!r}, {now - age} {body!r}"
                )
            device.newest = max(device.newest, record)
        return asked

    def answer(self, phy: bytes, rxpk: dict[str, Any], address: Address, delay_s: int) -> None:
        """Send a frame `delay_s` after the uplink, or a second later in RX2."""
        if self.rx2:
            hz, datr, delay_s = self.region.rx2_hz, self.region.datr(self.region.rx2_dr), delay_s + 1
        else:
            hz, datr = round(rxpk["freq"] * 1e6), rxpk["datr"]
        txpk = {
            "tmst": (rxpk["tmst"] + delay_s * 1_000_000) % 2**32,
            "freq": hz / 1e6,
            "rfch": 0,
            "powe": 14,
            "modu": "LORA",
            "datr": datr,
            "codr": "4/5",
            "ipol": True,
            "ncrc": True,
            "size": len(phy),
            "data": base64.b64encode(phy).decode(),
        }
        self.fleet.send(b"\x02\x12\x34\x03" + json.dumps({"txpk": txpk}).encode(), address)
