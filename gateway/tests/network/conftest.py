"""A node and a packet forwarder that share no code with the station: LoRaWAN 1.0.4 on pycryptodome, UDP by hand.

`site` is the real ingest, network server and journal in virtual time, with a pipeline that commits each frame 50 ms
after it was admitted.
"""

from __future__ import annotations

import base64
import json
import secrets
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from Crypto.Cipher import AES
from Crypto.Hash import CMAC
from suat.clock import VirtualScheduler
from suat.ingest.base import Ingress
from suat.ingest.semtech_udp import SemtechUdp
from suat.network import provision
from suat.network.keys import RootKeys
from suat.network.server import NetworkServer
from suat.records import Admitted, Batch
from suat.store.journal import Journal

START_US = 1_780_000_000_000_000  # 2026-05-28T20:26:40Z
COMMIT_S = 0.05
JOIN_EUI = "70b3d57ed0000001"


def cmac(key: bytes, message: bytes) -> bytes:
    return CMAC.new(key, message, AES).digest()[:4]


def ecb(key: bytes, block: bytes) -> bytes:
    return AES.new(key, AES.MODE_ECB).encrypt(block)


def crypt(key: bytes, direction: int, dev_addr: int, fcnt: int, data: bytes) -> bytes:
    out = b""
    for number in range(0, len(data), 16):
        block = b"\x01" + bytes(4) + bytes([direction]) + struct.pack("<II", dev_addr, fcnt)
        stream = ecb(key, block + bytes([0, number // 16 + 1]))
        out += bytes(a ^ b for a, b in zip(data[number : number + 16], stream, strict=False))
    return out


def mic(key: bytes, direction: int, dev_addr: int, fcnt: int, message: bytes) -> bytes:
    block = b"\x49" + bytes(4) + bytes([direction]) + struct.pack("<II", dev_addr, fcnt)
    return cmac(key, block + bytes([0, len(message)]) + message)


class Node:
    """An independent class-A node."""

    def __init__(self, dev_eui: str, dev_addr: int, nwk: bytes, app: bytes, app_key: bytes = b"") -> None:
        self.dev_eui, self.dev_addr, self.nwk, self.app, self.app_key = dev_eui, dev_addr, nwk, app, app_key
        self.dev_nonce = 0

    def uplink(
        self,
        fcnt: int,
        payload: bytes = b"",
        fport: int | None = 2,
        *,
        fopts: bytes = b"",
        confirmed: bool = False,
        flags: int = 0,
    ) -> bytes:
        message = bytes([0x80 if confirmed else 0x40]) + struct.pack("<I", self.dev_addr)
        message += bytes([flags | len(fopts)]) + struct.pack("<H", fcnt & 0xFFFF) + fopts
        if fport is not None:
            message += bytes([fport]) + crypt(self.app if fport else self.nwk, 0, self.dev_addr, fcnt, payload)
        return message + mic(self.nwk, 0, self.dev_addr, fcnt, message)

    def join_request(self, dev_nonce: int | None = None, join_eui: str = JOIN_EUI) -> bytes:
        if dev_nonce is None:
            dev_nonce, self.dev_nonce = self.dev_nonce, self.dev_nonce + 1
        message = b"\x00" + bytes.fromhex(join_eui)[::-1] + bytes.fromhex(self.dev_eui)[::-1]
        message += struct.pack("<H", dev_nonce)
        return message + cmac(self.app_key, message)

    def take_accept(self, phy: bytes, dev_nonce: int) -> dict[str, int]:
        """Decrypt and check a join accept, derive the session from it."""
        body = b"".join(ecb(self.app_key, phy[i : i + 16]) for i in range(1, len(phy), 16))
        assert phy[0] == 0x20
        assert cmac(self.app_key, phy[:1] + body[:-4]) == body[-4:]
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
        assert mic(self.nwk, 1, self.dev_addr, fcnt, phy[:-4]) == phy[-4:], "the downlink's MIC is wrong"
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
            "payload": crypt(self.app if rest[0] else self.nwk, 1, dev_addr, fcnt, rest[1:]) if rest else b"",
        }


class Forwarder:
    """An independent packet forwarder: one concentrator that hears and sends."""

    def __init__(self, site: Site, eui: str, address: tuple[str, int]) -> None:
        self.site, self.eui, self.address = site, bytes.fromhex(eui), address
        self.sent: list[dict[str, Any]] = []  # txpk of each PULL_RESP
        self.tokens: list[bytes] = []
        self.acks: list[bytes] = []
        self.verdicts: list[str] = []  # for the next PULL_RESPs; then all are sent
        self.datagram(2, b"")

    def datagram(self, kind: int, body: bytes, token: bytes | None = None) -> None:
        token = secrets.token_bytes(2) if token is None else token
        self.site.source.datagram_received(b"\x02" + token + bytes([kind]) + self.eui + body, self.address)

    def push(self, *entries: Any) -> None:
        self.datagram(0, json.dumps({"rxpk": list(entries)}).encode())

    def hear(self, phy: bytes, **fields: Any) -> None:
        self.push(self.rxpk(phy, **fields))

    def rxpk(self, phy: bytes, **fields: Any) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "tmst": round(self.site.scheduler.monotonic() * 1e6) & 0xFFFFFFFF,
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
            "data": base64.b64encode(phy).decode(),
        }
        return entry | fields

    def receive(self, data: bytes) -> None:
        assert data[0] == 2
        if data[3] == 3:
            self.sent.append(json.loads(data[4:])["txpk"])
            self.tokens.append(data[1:3])
            verdict = self.verdicts.pop(0) if self.verdicts else "NONE"
            if verdict != "SILENT":
                body = b"" if verdict == "NONE" else json.dumps({"txpk_ack": {"error": verdict}}).encode()
                self.datagram(5, body, data[1:3])
        else:
            self.acks.append(data)

    def last_phy(self) -> bytes:
        return base64.b64decode(self.sent[-1]["data"])


class Site:
    """Ingest, network server and journal; each frame is committed 50 ms after it was admitted."""

    def __init__(self, data_dir: Path, **options: Any) -> None:
        self.data_dir, self.options = data_dir, options
        self.scheduler = VirtualScheduler(START_US)
        self.forwarders: dict[tuple[str, int], Forwarder] = {}
        self.keys = RootKeys(data_dir)
        self.journal = Journal(data_dir / "journal.db")
        self.admitted: list[Admitted] = []
        self.disk_full = False
        self.commit_s = COMMIT_S
        self.start()

    def start(self) -> None:
        """A fresh daemon on the same files."""
        self.reader = self.journal.reader()
        self.counters: dict[str, int] = {}
        self.network = NetworkServer(
            self.scheduler,
            self.options.get("region", "IN865"),
            self.reader,
            self.keys,
            self._on_admitted,
            lambda downlink: self.source.send_downlink(downlink),
            **{name: value for name, value in self.options.items() if name != "region"},
        )
        self.counters = self.network.counters
        ingress = Ingress(self.scheduler, self.network.receive, self.network.downlink_result, self.counters)
        self.source = SemtechUdp(ingress, send=self._deliver)
        for forwarder in self.forwarders.values():
            forwarder.datagram(2, b"")

    def restart(self) -> None:
        self.reader.close()
        self.start()

    def close(self) -> None:
        self.reader.close()
        self.journal.close()

    def _deliver(self, data: bytes, address: tuple[str, int]) -> None:
        if address in self.forwarders:
            self.forwarders[address].receive(data)

    def _on_admitted(self, admitted: Admitted) -> None:
        self.admitted.append(admitted)
        self.scheduler.call_later(self.commit_s, self._commit, Batch((admitted,)))

    def _commit(self, batch: Batch) -> None:
        if self.disk_full:
            self.network.failed(batch)
        else:
            self.network.committed(batch, self.journal.commit(batch))

    def forwarder(self, eui: str = "a84041ffff1ee2b4", port: int = 40000) -> Forwarder:
        address = ("127.0.0.1", port)
        made = Forwarder(self, eui, address)
        self.forwarders[address] = made
        return made

    def pass_time(self, seconds: float = 1.0) -> None:
        self.scheduler.run_until(self.scheduler.monotonic() + seconds)

    def abp(self, name: str = "soil-1", dev_addr: int = 0x26011BDA, **keys: bytes) -> Node:
        """Register a node that never joins."""
        nwk, app = keys.get("nwk") or secrets.token_bytes(16), keys.get("app") or secrets.token_bytes(16)
        dev_eui = secrets.token_hex(8)
        device = provision.new_device(
            name=name,
            kind="soil",
            dev_eui=dev_eui,
            dev_addr=f"{dev_addr:08x}",
            nwk_skey=nwk.hex(),
            app_skey=app.hex(),
        )
        provision.add(self.journal, self.keys, device, START_US)
        self.network.refresh()
        return Node(dev_eui, dev_addr, nwk, app)

    def otaa(self, name: str = "soil-2") -> Node:
        """Register a node that joins."""
        dev_eui, app_key = secrets.token_hex(8), secrets.token_bytes(16)
        device = provision.new_device(name=name, kind="soil", dev_eui=dev_eui, join_eui=JOIN_EUI, app_key=app_key.hex())
        provision.add(self.journal, self.keys, device, START_US)
        self.network.refresh()
        return Node(dev_eui, 0, b"", b"", app_key)

    def records(self) -> list[tuple[int, int]]:
        """(registration, record) of all that the journal holds."""
        return sorted(self.journal._connection.execute("SELECT registration, record FROM sample").fetchall())

    def counted(self) -> dict[str, int]:
        """The counters that are not zero; each frame that came in is counted as exactly one thing."""
        assert self.counters["received"] == sum(n for name, n in self.counters.items() if name != "received")
        return {name: count for name, count in self.counters.items() if count and name != "received"}


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**options: Any) -> Site:
        made.append(Site(tmp_path / f"site{len(made)}", **options))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()
