"""The USB radio's door: a board that follows docs/bridge.md for a while, then says anything, in pieces of any size."""

from __future__ import annotations

from pathlib import Path
from random import Random

from suat.ingest.serial_bridge import SerialBridge, SerialBridgeTable
from suat_sim import witness
from suat_wire import bridge as wire

from fuzzing import mutate
from fuzzing.site import Site
from fuzzing.target import size_of


class _Port:
    """What the bridge writes to: the other end reads it."""

    def __init__(self) -> None:
        self.reader = wire.Reader()
        self.asked: list[wire.Message] = []
        self.dropped = 0

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def write(self, data: bytes) -> bool:
        self.asked = [*self.asked[-15:], *self.reader.feed(data)]
        return True

    def proved(self) -> None: ...

    def drop(self, why: str) -> None:
        self.dropped += 1


class Target:
    refusals: tuple[type[Exception], ...] = ()
    chunk = 500

    def __init__(self, folder: Path, chance: Random) -> None:
        self.site = Site(folder, chance)
        self.port = _Port()
        table = SerialBridgeTable(kind="serial_bridge", port="/dev/ttyACM0")
        self.source = SerialBridge(self.site.station.ingress, table, self.port)
        self.site.station.sources[self.source.name] = self.source
        self.source.opened()
        self.boot = 1
        self.fcnt = 0
        self.fed = 0
        self.held = 0

    def make(self, chance: Random) -> bytes:
        what = chance.random()
        if what < 0.1:
            return chance.randbytes(chance.choice((1, 5, 64, 700)))
        if what < 0.4:
            return self._answers(chance)
        said = wire.encode(*self._message(chance))
        if what < 0.7:
            return said[: chance.randrange(len(said))] if chance.random() < 0.2 else said
        if what < 0.85:  # the frame's own content is hostile, its CRC right
            return self._sealed(chance, said)
        return mutate.raw(chance, said, 2000)

    def _answers(self, chance: Random) -> bytes:
        """What an honest board would say to what it was asked."""
        out = b""
        for message in self.port.asked[-4:]:
            if message.kind == "hello":
                limits = {"low": 865_000_000, "high": 867_000_000, "dbm": 14, "queue": 4}
                out += wire.encode("caps", 1, {"major": 1, "minor": 0, "boot": self.boot, **limits})
            elif message.kind == "config":
                out += wire.encode("configured", 2, message.fields)
            elif message.kind == "ping":
                out += wire.encode("pong", 3, {"host_us": message.fields["host_us"], "tmst": self._tmst()})
            elif message.kind == "send":
                code, tmst = chance.randrange(10), message.fields["tmst"]
                out += wire.encode("result", 4, {"of": message.sequence, "code": code, "tmst": tmst})
        self.port.asked = []
        return out or b"\xc0"

    def _tmst(self) -> int:
        return round(self.site.scheduler.monotonic() * 1e6) & 0xFFFFFFFF

    def _message(self, chance: Random) -> tuple[str, int, dict[str, int], bytes]:
        """A message whose fields are of the right width, and sometimes right."""
        kind = "received" if chance.random() < 0.7 else chance.choice(list(wire.MESSAGES))
        fields = {}
        for name, code in (field.split(":") for field in wire.MESSAGES[kind][1].split()):
            bits = 8 * {"B": 1, "b": 1, "H": 2, "h": 2, "I": 4, "Q": 8}[code]
            low = -(1 << bits - 1) if code > "Z" else 0
            fields[name] = low + (chance.choice(mutate.EDGES) & (1 << bits) - 1)
        data = chance.randbytes(chance.choice((0, 1, 11, 12, 60, 255)))
        if kind == "received" and chance.random() < 0.8:
            node = chance.choice(self.site.nodes)
            self.fcnt += 1
            sample = witness.soil_sample(self.fcnt, [{"vwc": 0.2}], 3.3, ack_from=max(0, self.fcnt - 3))
            payload = sample if chance.random() < 0.6 else mutate.raw(chance, sample, 50)
            data = node.uplink(self.fcnt, payload, fopts=chance.randbytes(chance.choice((0, 3))))
            place = {"hz": 865_062_500, "sf": 9, "khz": 125, "whole": 1, "rssi": -90, "snr": 20}
            fields |= place | {"tmst": (self._tmst() - chance.choice((0, 0, 1000, 2**31))) & 0xFFFFFFFF}
        if kind == "caps" and chance.random() < 0.9:
            fields["boot"] = self.boot
        return kind, chance.randrange(256), fields, data

    def _sealed(self, chance: Random, said: bytes) -> bytes:
        from binascii import crc32

        body = said[1:-1].replace(b"\xdb\xde", b"\x03").replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
        body = mutate.raw(chance, body[:-4], 500)
        body += crc32(body).to_bytes(4, "little")
        return b"\xc0" + body.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"

    def feed(self, case: bytes) -> None:
        self.source.data_received(case)
        self.held = max(self.held, len(self.source._reader._held))
        self.fed += 1
        if self.fed % 25 == 0:
            self.site.pass_time(0.7)
        if self.fed % 3000 == 0:
            self.source.lost()
            self.source.opened()
            self.boot += 1

    def look(self) -> int:
        self.site.pass_time(1.0)
        return max(self.held, size_of(self.source._flying) // max(1, len(self.source._flying)))

    def reached(self) -> dict[str, int]:
        return self.site.reached()

    def close(self) -> None:
        self.site.close()
