"""The Modbus driver against pymodbus as the slave, over real pseudo-terminals.

    rs485.py on MicroPython -- pty -- line -- pty -- pymodbus

The line in the middle is a thread that passes bytes on, and spoils the slave's answers on demand. The driver is the
file that is flashed, on the real interpreter in real time; only `machine.UART` is replaced, by one that opens the pty.
"""

import asyncio
import contextlib
import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from suat_node import config

datastore = pytest.importorskip("pymodbus.datastore")
server_module = pytest.importorskip("pymodbus.server")

HERE = Path(__file__).parent
MISSING, CORRUPT = 1, 2
REGISTERS = {0: 253, 1: 65536 - 52, 2: 140, 7: 1234}  # 25.3 %, -5.2 C, 140 uS/cm, permittivity 12.34
TRIES = 2

Spoil = Callable[[bytes], list[tuple[float, bytes]]]  # an answer -> [(wait in s, bytes)]


def sound(answer: bytes) -> list[tuple[float, bytes]]:
    return [(0.0, answer)]


class Line:
    """Two ptys and what happens between them."""

    def __init__(self) -> None:
        self.node, node_tty = pty.openpty()
        self.slave, slave_tty = pty.openpty()
        self.ends = (node_tty, slave_tty)
        for end in self.ends:
            tty.setraw(end)
        self.node_tty, self.slave_tty = os.ttyname(node_tty), os.ttyname(slave_tty)
        self.spoil: Spoil = sound
        self.requests: list[bytes] = []
        self.running = True
        self.thread = threading.Thread(target=self._pass_on)
        self.thread.start()

    def _pass_on(self) -> None:
        while self.running:
            ready, _, _ = select.select([self.node, self.slave], [], [], 0.05)
            if self.node in ready:
                data = os.read(self.node, 256)
                self.requests.append(data)
                os.write(self.slave, data)
            if self.slave in ready:
                time.sleep(0.005)  # pymodbus writes an answer at once, the terminal may cut it
                for wait, data in self.spoil(os.read(self.slave, 256)):
                    time.sleep(wait)
                    os.write(self.node, data)

    def close(self) -> None:
        self.running = False
        self.thread.join()
        for end in (self.node, self.slave, *self.ends):
            os.close(end)


@pytest.fixture(scope="module")
def bus() -> Iterator[Line]:
    """A line with two probes on it: addresses 1 and 7, the second with other registers."""
    line = Line()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    def device(registers: dict[int, int]) -> Any:
        block = datastore.ModbusSparseDataBlock(registers)
        return datastore.ModbusDeviceContext(hr=block, ir=block)

    async def serve() -> None:
        filled = {address: REGISTERS.get(address, 0) for address in range(8)}
        context = datastore.ModbusServerContext(devices={1: device(filled), 7: device({16: 900, 17: 215})})
        server = server_module.ModbusSerialServer(context, port=line.slave_tty, baudrate=9600)
        task = asyncio.ensure_future(server.serve_forever())
        await asyncio.sleep(0.2)
        ready.set()
        while line.running:
            await asyncio.sleep(0.05)
        await server.shutdown()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield line
    line.running = False
    thread.join(10)
    loop.close()
    line.close()


def ask(bus: Line, spoil: Spoil = sound, **options: Any) -> tuple[Any, int, list[int]]:
    """(fields or fault code, ms, driver enable) of one reading."""
    bus.spoil = spoil
    bus.requests.clear()
    sensor = {"kind": "rs485", "at": "probe1", "uart": 0, "tx": 0, "rx": 1, **options}
    raw = {"board": "pico_waveshare", "kind": "soil", "sensors": [sensor]}
    raw["abp"] = {"dev_addr": "01020304", "nwk_skey": "01" * 16, "app_skey": "02" * 16}
    checked = config.check(raw).sensors[0]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("micropython")), str(HERE / "pty_fakes" / "read_probe.py")],
        input=json.dumps(checked),
        env={"MICROPYPATH": f"{HERE / 'pty_fakes'}:{HERE.parent}:.frozen", "SUAT_TTY": bus.node_tty},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    time.sleep(0.2)  # the line has passed on what was still under way
    found, ms, enable = json.loads(done.stdout)
    return found, ms, enable


WELL = {"vwc": 0.253, "temperature": -5.2, "ec": 0.14}


@pytest.mark.parametrize("function", [3, 4])
def test_a_probe_is_read_by_its_register_map(bus: Line, function: int) -> None:
    found, _, enable = ask(bus, function=function, de=4)
    assert found == pytest.approx(WELL)
    assert enable == [1, 0], "the bus was left to the probe"
    # one request: Modbus Application Protocol V1.1b3, 6.3, reading registers 0 to 2
    assert [request[:6] for request in bus.requests] == [bytes((1, function, 0, 0, 0, 3))]


def test_other_registers_and_another_probe_on_the_same_line(bus: Line) -> None:
    found, _, _ = ask(bus, registers=[["permittivity", 7, 0.01], ["temperature", 1, 0.1]])
    assert found == pytest.approx({"permittivity": 12.34, "temperature": -5.2})
    found, _, _ = ask(bus, at="water", address=7, registers=[["ec", 16, 0.001], ["temperature", 17, 0.1]])
    assert found == pytest.approx({"ec": 0.9, "temperature": 21.5})


def test_an_exception_is_an_answer(bus: Line) -> None:
    answers: list[bytes] = []
    found, _, _ = ask(bus, lambda data: answers.append(data) or sound(data), registers=[["vwc", 300, 0.001]])
    assert found == CORRUPT
    assert answers[0][:3] == bytes((1, 0x83, 2)), "pymodbus says ILLEGAL DATA ADDRESS"


def test_nobody_there(bus: Line) -> None:
    found, ms, _ = ask(bus, lambda _: [], timeout_ms=300)
    assert found == MISSING and len(bus.requests) == TRIES
    assert 600 <= ms < 1200


def flipped(data: bytes) -> list[tuple[float, bytes]]:
    return [(0.0, data[:4] + bytes((data[4] ^ 1,)) + data[5:])]


SPOILT: dict[str, Spoil] = {
    "wrong CRC": flipped,
    "half a frame": lambda data: [(0.0, data[: len(data) // 2])],
    "a byte is missing": lambda data: [(0.0, data[:3] + data[4:])],
    "another slave answers": lambda data: [(0.0, bytes((data[0] + 1,)) + data[1:])],
    "garbage": lambda data: [(0.0, b"\x55\xaa" * 40)],
    "a pause in the middle": lambda data: [(0.0, data[:4]), (0.15, data[4:])],
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_answer_is_a_fault_and_is_asked_for_twice(bus: Line, name: str) -> None:
    found, ms, _ = ask(bus, SPOILT[name])
    assert found == CORRUPT
    assert len(bus.requests) == TRIES and ms < 1500


HARMLESS: dict[str, Spoil] = {
    "noise before the answer": lambda data: [(0.0, b"\x00\xff\x00" + data)],
    "noise after it": lambda data: [(0.0, data + b"\xff\x00")],
    "the request comes back first": lambda data: [(0.0, b"\x01\x03\x00\x00\x00\x03\x05\xcb" + data)],
    "noise that looks like its beginning": lambda data: [(0.0, data[:3] + data)],
    "slow, but in time": lambda data: [(0.2, data)],
    "in two pieces": lambda data: [(0.0, data[:5]), (0.005, data[5:])],
}


@pytest.mark.parametrize("name", HARMLESS)
def test_noise_around_the_answer_costs_nothing(bus: Line, name: str) -> None:
    found, _, _ = ask(bus, HARMLESS[name])
    assert found == pytest.approx(WELL)
    assert len(bus.requests) == 1
