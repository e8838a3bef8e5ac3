"""The witness's nodes (`suat_sim.witness`), and its packet forwarder before a site in virtual time.

`site` is the real ingest, network server and journal in virtual time, with a pipeline that commits each frame 50 ms
after it was admitted.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from suat.clock import VirtualScheduler
from suat.ingest.base import Ingress
from suat.ingest.semtech_udp import SemtechUdp
from suat.network import provision
from suat.network.keys import RootKeys
from suat.network.server import NetworkServer
from suat.network.tables import NetworkTable
from suat.records import Admitted, Batch
from suat.store.downlinks import Link, note_link
from suat.store.journal import Journal
from suat_sim.witness import JOIN_EUI, Node, datagram, rxpk

START_US = 1_780_000_000_000_000  # 2026-05-28T20:26:40Z
COMMIT_S = 0.05


class Forwarder:
    """An independent packet forwarder: one concentrator that hears and sends."""

    def __init__(self, site: Site, eui: str, address: tuple[str, int]) -> None:
        self.site, self.eui, self.address = site, eui, address
        self.sent: list[dict[str, Any]] = []  # txpk of each PULL_RESP
        self.tokens: list[bytes] = []
        self.acks: list[bytes] = []
        self.verdicts: list[str] = []  # for the next PULL_RESPs; then all are sent
        self.datagram(2, b"")

    def datagram(self, kind: int, body: bytes, token: bytes | None = None) -> None:
        token = secrets.token_bytes(2) if token is None else token
        packet = datagram(kind, body, int.from_bytes(token, "big"), self.eui)
        self.site.source.datagram_received(packet, self.address)

    def push(self, *entries: Any) -> None:
        self.datagram(0, json.dumps({"rxpk": list(entries)}).encode())

    def hear(self, phy: bytes, **fields: Any) -> None:
        self.push(self.rxpk(phy, **fields))

    def rxpk(self, phy: bytes, **fields: Any) -> dict[str, Any]:
        return rxpk(phy, **{"tmst": round(self.site.scheduler.monotonic() * 1e6) & 0xFFFFFFFF} | fields)

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
        self.status_told = True  # every node has told its battery and margin today
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
            options=NetworkTable(**{name: value for name, value in self.options.items() if name != "region"}),
            write=lambda work: work(self.journal),
        )
        self.counters = self.network.counters
        network = self.network
        ingress = Ingress(
            self.scheduler, network.receive, network.downlink_result, self.counters, on_gateway=network.seen
        )
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
        self._register(device)
        return Node(dev_eui, dev_addr, nwk, app)

    def otaa(self, name: str = "soil-2") -> Node:
        """Register a node that joins."""
        dev_eui, app_key = secrets.token_hex(8), secrets.token_bytes(16)
        device = provision.new_device(name=name, kind="soil", dev_eui=dev_eui, join_eui=JOIN_EUI, app_key=app_key.hex())
        self._register(device)
        return Node(dev_eui, 0, b"", b"", app_key)

    def _register(self, device: provision.NewDevice) -> None:
        number = provision.add(self.journal, self.keys, device, START_US)
        if self.status_told:
            note_link(self.journal, Link(number, battery=255, margin_db=0, status_us=START_US))
        self.network.refresh()

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
