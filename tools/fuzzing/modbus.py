"""The wired devices' door: a slave on a real socket that answers nonsense, as Modbus TCP and as RTU over TCP."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

from suat.ingest.bus.client import OUTCOMES, Bus
from suat.ingest.bus.tables import DeviceTable, ModbusTable, RegisterTable

from fuzzing import mutate
from fuzzing.target import BrokenError

REGISTERS = (
    ("water.depth", "u16", "abcd"),
    ("water.volume", "u32", "cdab"),
    ("water.temperature", "i16", "badc"),
    ("water.ec", "f32", "dcba"),
    ("node.battery", "f32", "abcd"),
)
ANSWER_S = 2.0


class Case(NamedTuple):
    """How the slave answers: what it makes of each request follows from `seed`."""

    transport: str
    seed: int


class Slave:
    """Answers a request with what `case` makes of the right answer, then may hang up."""

    def __init__(self) -> None:
        self.case = Case("tcp", 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, name="slave", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(ANSWER_S)
                try:
                    while request := peer.recv(300):
                        peer.sendall(answer(self.case, request))
                        if self.case.seed % 32:
                            break
                except OSError:
                    continue

    def close(self) -> None:
        self._listener.close()


def answer(case: Case, request: bytes) -> bytes:
    """What this slave says to a request."""
    chance = Random(case.seed ^ len(request) ^ request[-1])
    body = request[7:] if case.transport == "tcp" else request[1:-2]
    count = int.from_bytes(body[3:5], "big") if len(body) >= 5 else 1
    data = chance.choice(
        (chance.randbytes(2 * count), b"\xff" * 2 * count, struct.pack(">f", float("nan"))[: 2 * count])
    )
    pdu = body[:1] + bytes([len(data)]) + data
    what = chance.random()
    if what < 0.15:
        pdu = bytes([body[0] | 0x80, chance.randrange(256)])
    elif what < 0.5:
        pdu = mutate.raw(chance, pdu, 300)
    elif what < 0.6:
        pdu = bytes([chance.randrange(256)]) + pdu[1:]
    if case.transport == "tcp":
        length = len(pdu) + 1 if chance.random() < 0.8 else chance.choice(mutate.EDGES) & 0xFFFF
        said = request[:4] + struct.pack(">HB", length, request[6]) + pdu
    else:
        said = request[:1] + pdu
        said += _crc(said)
    if chance.random() < 0.25:
        said = mutate.raw(chance, said, 5000)
    return chance.randbytes(chance.choice((1, 7, 400, 3000))) if chance.random() < 0.05 else said


def _crc(data: bytes) -> bytes:
    """CRC-16 of Modbus over serial line 2.5.1.2."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


class _Watched(Bus):
    """The line, and the most bytes that it looked at in one piece."""

    held = 0

    def _note(self, sending: bool, data: bytes) -> bytes:
        if not sending:
            self.held = max(self.held, len(data))
        return super()._note(sending, data)


class Target:
    refusals: tuple[type[Exception], ...] = ()
    chunk = 50

    def __init__(self, folder: Path, chance: Random) -> None:
        self.slave = Slave()
        self.outcomes: Counter[str] = Counter()
        registers = [
            RegisterTable.model_validate({"field": field, "address": number, "type": kind, "order": order})
            for number, (field, kind, order) in enumerate(REGISTERS)
        ]
        self.device = DeviceTable(device="meter", unit=17, registers=registers)
        self.lines = {
            transport: _Watched(
                ModbusTable(
                    kind="modbus",
                    transport=transport,
                    host=f"127.0.0.1:{self.slave.port}",
                    timeout_s=0.05,
                    devices=[self.device],
                )
            )
            for transport in ("tcp", "rtu_over_tcp")
        }

    def make(self, chance: Random) -> Case:
        return Case(chance.choice(list(self.lines)), chance.getrandbits(32))

    def feed(self, case: Case) -> None:
        self.slave.case = case
        found = self.lines[case.transport].read(self.device, 0)
        if [register.entry for register in found] != self.device.registers:
            raise BrokenError(f"{len(found)} registers of {len(self.device.registers)}")
        for register in found:
            self.outcomes[OUTCOMES[register.fault]] += 1
            if (register.value is None) == (register.fault == 0):
                raise BrokenError(f"neither a reading nor a fault: {register}")

    def look(self) -> int:
        return max(line.held for line in self.lines.values())

    def reached(self) -> dict[str, int]:
        return dict(self.outcomes)

    def close(self) -> None:
        for line in self.lines.values():
            line.close()
        self.slave.close()
