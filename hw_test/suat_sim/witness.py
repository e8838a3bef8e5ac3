"""A node and a packet forwarder that share no code with the station: what tests and benches feed it with.

Straight from the specifications, on pycryptodome's AES alone: LoRaWAN 1.0.4 (TS001 4 and 6.2), CMAC (RFC 4493), the
payload of docs/payload.md, Semtech's PROTOCOL.TXT. Nothing here imports `suat` or `suat_wire`: a slip in either can't
hide in both.
"""

from __future__ import annotations

import json
import struct
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from Crypto.Cipher import AES

JOIN_EUI = "70b3d57ed0000001"
GATEWAY = "a84041ffff1ee2b4"
UP, DOWN = 0, 1
KEYS = 8192  # remembered with what follows from them

# Of docs/payload.md: bit in the field mask, form on air, divisor.
_PROBE = {"vwc": (1 << 2, "<h", 10_000), "temperature": (1 << 3, "<h", 100), "ec": (1 << 4, "<H", 1000)}
_NODE_GROUP, _BATTERY, _BATTERY_DIVISOR = 1 << 5, 1, 40
_VERSION, _ASKS, _WIDE = 1 << 5, 1, 2

# -- ciphers


@lru_cache(KEYS)
def _ecb(key: bytes) -> Any:
    return AES.new(key, AES.MODE_ECB)


def ecb(key: bytes, blocks: bytes) -> bytes:
    """AES-128 of whole blocks, one by one."""
    found: bytes = _ecb(key).encrypt(blocks)
    return found


@lru_cache(KEYS)
def _subkeys(key: bytes) -> tuple[int, int]:
    """K1 and K2 (RFC 4493, 2.3)."""
    doubled = []
    value = int.from_bytes(ecb(key, bytes(16)), "big")
    for _ in range(2):
        value = (value << 1 ^ (0x87 if value >> 127 else 0)) & (1 << 128) - 1
        doubled.append(value)
    return doubled[0], doubled[1]


def cmac(key: bytes, message: bytes) -> bytes:
    """All 16 bytes of AES-CMAC (RFC 4493, 2.4); LoRaWAN takes the first four."""
    whole = bool(message) and len(message) % 16 == 0
    if not whole:
        message += b"\x80" + bytes(-(len(message) + 1) % 16)
    last = int.from_bytes(message[-16:], "big") ^ _subkeys(key)[0 if whole else 1]
    chain: bytes = AES.new(key, AES.MODE_CBC, iv=bytes(16)).encrypt(message[:-16] + last.to_bytes(16, "big"))
    return chain[-16:]


def crypt(key: bytes, direction: int, dev_addr: int, fcnt: int, data: bytes) -> bytes:
    """FRMPayload to ciphertext and back (TS001 4.3.3.1)."""
    count = (len(data) + 15) // 16
    block = b"\x01" + bytes(4) + bytes([direction]) + struct.pack("<II", dev_addr, fcnt) + b"\x00"
    stream = ecb(key, b"".join(block + bytes([number]) for number in range(1, count + 1)))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def mic(key: bytes, direction: int, dev_addr: int, fcnt: int, message: bytes) -> bytes:
    """The MIC of a data frame (TS001 4.4)."""
    block = b"\x49" + bytes(4) + bytes([direction]) + struct.pack("<II", dev_addr, fcnt)
    return cmac(key, block + bytes([0, len(message)]) + message)[:4]


# -- frames


def data_up(
    nwk: bytes,
    app: bytes,
    dev_addr: int,
    fcnt: int,
    payload: bytes = b"",
    fport: int | None = 2,
    *,
    fopts: bytes = b"",
    confirmed: bool = False,
    flags: int = 0,
) -> bytes:
    """The PHY bytes of an uplink; `flags` are the upper bits of FCtrl."""
    message = bytes([0x80 if confirmed else 0x40]) + struct.pack("<I", dev_addr)
    message += bytes([flags | len(fopts)]) + struct.pack("<H", fcnt & 0xFFFF) + fopts
    if fport is not None:
        message += bytes([fport]) + crypt(app if fport else nwk, UP, dev_addr, fcnt, payload)
    return message + mic(nwk, UP, dev_addr, fcnt, message)


class Node:
    """A class-A node."""

    def __init__(self, dev_eui: str, dev_addr: int, nwk: bytes, app: bytes, app_key: bytes = b"") -> None:
        self.dev_eui, self.dev_addr, self.nwk, self.app, self.app_key = dev_eui, dev_addr, nwk, app, app_key
        self.dev_nonce = 0

    def uplink(self, fcnt: int, payload: bytes = b"", fport: int | None = 2, **options: Any) -> bytes:
        """The PHY bytes of a data frame; `options` as of `data_up`."""
        return data_up(self.nwk, self.app, self.dev_addr, fcnt, payload, fport, **options)

    def join_request(self, dev_nonce: int | None = None, join_eui: str = JOIN_EUI) -> bytes:
        """With the next DevNonce unless one is given."""
        if dev_nonce is None:
            dev_nonce, self.dev_nonce = self.dev_nonce, self.dev_nonce + 1
        message = b"\x00" + bytes.fromhex(join_eui)[::-1] + bytes.fromhex(self.dev_eui)[::-1]
        message += struct.pack("<H", dev_nonce)
        return message + cmac(self.app_key, message)[:4]

    def take_accept(self, phy: bytes, dev_nonce: int) -> dict[str, int]:
        """Decrypt and check a join accept, derive the session from it (TS001 6.2.3)."""
        assert phy[0] == 0x20
        body = ecb(self.app_key, phy[1:])
        assert cmac(self.app_key, phy[:1] + body[:-4])[:4] == body[-4:]
        tail = body[:6] + struct.pack("<H", dev_nonce) + bytes(7)
        self.nwk, self.app = ecb(self.app_key, b"\x01" + tail), ecb(self.app_key, b"\x02" + tail)
        self.dev_addr = struct.unpack("<I", body[6:10])[0]
        return {
            "join_nonce": int.from_bytes(body[:3], "little"),
            "dl_settings": body[10],
            "rx_delay": body[11],
            "cflist": len(body) - 16,
        }

    def open_down(self, phy: bytes, fcnt: int) -> dict[str, Any]:
        """Check the MIC of a downlink and take it apart."""
        assert mic(self.nwk, DOWN, self.dev_addr, fcnt, phy[:-4]) == phy[-4:], "the downlink's MIC is wrong"
        mhdr, dev_addr, fctrl, fcnt16 = struct.unpack_from("<BIBH", phy)
        assert dev_addr == self.dev_addr
        assert fcnt16 == fcnt & 0xFFFF
        rest = phy[8 + (fctrl & 15) : -4]
        return {
            "confirmed": mhdr == 0xA0,
            "ack": bool(fctrl & 0x20),
            "pending": bool(fctrl & 0x10),
            "fopts": phy[8 : 8 + (fctrl & 15)],
            "fport": rest[0] if rest else None,
            "payload": crypt(self.app if rest[0] else self.nwk, DOWN, dev_addr, fcnt, rest[1:]) if rest else b"",
        }


# -- readings


def soil_sample(
    record: int,
    probes: Sequence[Mapping[str, float]],
    battery_v: float | None = None,
    *,
    age_s: int = 0,
    ack_from: int | None = None,
) -> bytes:
    """One sample on FPort 2 (docs/payload.md), the probes from `probe1` on: vwc, temperature, ec of each."""
    header, head = _VERSION, struct.pack("<H", record & 0xFFFF)
    if ack_from is not None:
        header |= _ASKS
        if record - ack_from > 32_767:
            raise ValueError("such a gap needs a wide record")
        head = struct.pack("<H", record - ack_from) + head
    groups, masks, values = 0, b"", b""
    for position, readings in enumerate(probes):
        groups |= 1 << position
        masks += bytes([sum(_PROBE[name][0] for name in readings)])
        for name in sorted(readings, key=lambda name: _PROBE[name][0]):
            _, form, divisor = _PROBE[name]
            values += struct.pack(form, round(readings[name] * divisor))
    if len(probes) > 1 and len(set(masks)) == 1:
        groups |= 1 << 7
        masks = masks[:1]
    if battery_v is not None:
        groups |= _NODE_GROUP
        masks += bytes([_BATTERY])
        values += bytes([round(battery_v * _BATTERY_DIVISOR)])
    return bytes([header]) + head + varint(age_s) + bytes([groups]) + masks + values


def varint(value: int) -> bytes:
    """Seven bits a byte, the low ones first."""
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


# -- the packet forwarder


def rxpk(phy: bytes, **fields: Any) -> dict[str, Any]:
    """A frame as a concentrator tells of it; `fields` replace or add."""
    entry: dict[str, Any] = {
        "tmst": 1_000_000,
        "chan": 0,
        "rfch": 0,
        "freq": 865.0625,
        "stat": 1,
        "modu": "LORA",
        "datr": "SF9BW125",
        "codr": "4/5",
        "rssi": -90,
        "lsnr": 5.5,
        "size": len(phy),
        "data": b2a_base64(phy, newline=False).decode(),
    }
    return entry | fields


def datagram(kind: int, body: bytes = b"", token: int = 0, gateway: str = GATEWAY) -> bytes:
    """A datagram of a forwarder to the server (0 PUSH_DATA, 2 PULL_DATA, 5 TX_ACK)."""
    return b"\x02" + struct.pack(">HB", token & 0xFFFF, kind) + bytes.fromhex(gateway) + body


def push_data(*entries: Any, token: int = 0, gateway: str = GATEWAY) -> bytes:
    """A PUSH_DATA with these entries of `rxpk`."""
    return datagram(0, json.dumps({"rxpk": entries}, separators=(",", ":")).encode(), token, gateway)
