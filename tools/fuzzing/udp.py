"""The packet forwarder's door: datagrams that lie, and genuine frames (their MIC is right) with hostile content."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

from suat.ingest.semtech_udp import SemtechUdp
from suat_sim import witness

from fuzzing import mutate
from fuzzing.site import Site
from fuzzing.target import size_of

ADDRESS = ("127.0.0.1", 40000)
FPORTS = (None, 0, 1, 2, 2, 2, 2, 2, 3, 3, 4, 5, 10, 223, 224, 255)
# LoRaWAN 1.0.4, 5: a request or answer of each kind that a node may send, the lengths right
COMMANDS = tuple(map(bytes.fromhex, ["02", "0307", "04", "0507", "06ff20", "0703", "08", "09", "0a03", "0d"]))


class Target:
    refusals: tuple[type[Exception], ...] = ()
    chunk = 500

    def __init__(self, folder: Path, chance: Random) -> None:
        self.site = Site(folder, chance)
        self.answers: list[bytes] = []
        self.source = SemtechUdp(self.site.station.ingress, send=self._heard)
        self.site.station.sources[self.source.name] = self.source
        self.counters = dict.fromkeys((node.dev_addr for node in self.site.nodes), 0)
        self.fed = 0

    def _heard(self, data: bytes, _address: object) -> None:
        self.answers = [*self.answers[-7:], data]

    def make(self, chance: Random) -> bytes:
        what = chance.random()
        gateway = f"{chance.choice((1, 2, chance.getrandbits(64))):016x}"
        if what < 0.3:
            return mutate.raw(chance, self._valid(chance))
        if what < 0.6:
            document = {"rxpk": [witness.rxpk(self._genuine(chance))], "stat": {"rxnb": 2, "time": "2026-06-01"}}
            return witness.datagram(0, mutate.as_json(chance, mutate.tree(chance, document)), 7, gateway)
        if what < 0.65:
            verdict = {"txpk_ack": {"error": chance.choice(("NONE", "TOO_LATE", "TX_FREQ"))}}
            token = struct.unpack(">H", chance.choice(self.answers)[1:3])[0] if self.answers else 0
            return witness.datagram(5, mutate.as_json(chance, mutate.tree(chance, verdict)), token, gateway)
        phy = self._join(chance) if what < 0.7 else self._genuine(chance)
        tmst = round(self.site.scheduler.monotonic() * 1e6) & 0xFFFFFFFF
        return witness.push_data(witness.rxpk(phy, tmst=tmst), gateway=gateway)

    def _valid(self, chance: Random) -> bytes:
        if chance.random() < 0.2:
            return witness.datagram(chance.choice((2, 5)))
        return witness.push_data(witness.rxpk(self._genuine(chance)))

    def _genuine(self, chance: Random) -> bytes:
        """A frame whose MIC is right, whatever it says."""
        node = chance.choice(self.site.nodes)
        fcnt = self.counters[node.dev_addr] + chance.choice((1, 1, 1, 1, 2, 1000, 0, -1))
        fcnt = max(0, fcnt) & 0xFFFFFFFF
        self.counters[node.dev_addr] = fcnt
        sample = witness.soil_sample(fcnt, [{"vwc": 0.2, "temperature": 5.0}] * chance.randrange(5), 3.3, ack_from=fcnt)
        payload = chance.choice((sample, mutate.raw(chance, sample, 200), chance.randbytes(chance.randrange(60))))
        fopts = b"".join(chance.choice(COMMANDS) for _ in range(chance.randrange(4)))
        if chance.random() < 0.3:
            fopts = mutate.raw(chance, fopts, 15)
        fport = chance.choice(FPORTS)
        if fport == 0 and chance.random() < 0.5:
            payload, fopts = fopts * 3, b""
        phy = node.uplink(
            fcnt,
            payload if fport is not None else b"",
            fport,
            fopts=fopts[:15],
            confirmed=chance.random() < 0.3,
            flags=chance.randrange(16) << 4,
        )
        if chance.random() < 0.2:  # what no node would build, yet sealed
            message = phy[:8] + mutate.raw(chance, phy[8:-4], 240)
            message = bytes([chance.choice((0x40, 0x41, 0x80, 0xE0))]) + message[1:]
            phy = message + witness.mic(node.nwk, witness.UP, node.dev_addr, fcnt, message[:255])
        return phy

    def _join(self, chance: Random) -> bytes:
        node = chance.choice(self.site.joiners)
        phy = node.join_request(chance.choice((None, None, 0, 0xFFFF)) if node.dev_nonce < 60_000 else 0)
        if chance.random() < 0.3:
            message = mutate.raw(chance, phy[:-4], 40) or b"\0"
            phy = message + witness.cmac(node.app_key, message)[:4]
        return phy

    def feed(self, case: bytes) -> None:
        self.source.datagram_received(case, ADDRESS)
        self.fed += 1
        if self.fed % 20 == 0:
            self.site.pass_time(0.5)

    def look(self) -> int:
        self.site.pass_time(2.0)
        return max((size_of((eui, gateway)) for eui, gateway in self.source.gateways.items()), default=0)

    def reached(self) -> dict[str, int]:
        return self.site.reached()

    def close(self) -> None:
        self.site.close()
