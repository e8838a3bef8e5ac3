"""Wired devices over Modbus: pymodbus's own server answers, over TCP and over a cable of ptys, well and badly."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import ValidationError
from suat.clock import LoopScheduler
from suat.config import ConfigError, parse
from suat.errors import SuatError, UsageError
from suat.ingest import modbus
from suat.ingest.base import Ingress
from suat.ingest.bus import client
from suat.ingest.bus.client import BAD_ANSWER, GOOD, IMPOSSIBLE, NO_ANSWER, Bus, Register
from suat.ingest.bus.registers import number_of
from suat.ingest.bus.tables import ModbusTable
from suat.ingest.modbus import Modbus
from suat.metrics import REGISTRY
from suat.network.provision import new_device
from suat.network.wired import is_wired, wired_eui
from suat.records import Measured
from suat.supervision import STALL_S

Make = Callable[..., Any]
DEPTH = {"field": "water.depth", "address": 0, "type": "i16", "scale": 0.001}


def table(line: Any = None, *devices: dict[str, Any], **options: Any) -> ModbusTable:
    """The table of a line's devices."""
    place: dict[str, Any] = {"transport": "tcp", "host": "127.0.0.1:1"}
    if line is not None:
        place = {"transport": "rtu", "port": line.cable.near} if line.cable else {"transport": "tcp", "host": line.host}
    rows = [{"unit": 1, "interval_s": 1, "registers": [DEPTH]} | device for device in devices or ({"device": "tank"},)]
    return ModbusTable(kind="modbus", **{"timeout_s": 0.3, "devices": rows} | place | options)


def read(line: Any, *registers: dict[str, Any], unit: int = 1, retries: int = 0, **options: Any) -> list[Register]:
    """What a single question brings; on a busy machine an answer may take its time."""
    patient = {"timeout_s": 3.0} | options
    made = table(line, {"device": "tank", "unit": unit, "registers": list(registers) or [DEPTH]}, **patient)
    bus = Bus(made)
    try:
        return bus.read(made.devices[0], retries)
    finally:
        bus.close()


# -- numbers

PI = (0x4049, 0x0FDB)  # IEEE 754 single precision, high register first
SWAPS = {
    "abcd": lambda high, low: (high, low),
    "cdab": lambda high, low: (low, high),
    "badc": lambda high, low: (high >> 8 | (high & 255) << 8, low >> 8 | (low & 255) << 8),
    "dcba": lambda high, low: (low >> 8 | (low & 255) << 8, high >> 8 | (high & 255) << 8),
}


@pytest.mark.parametrize("order", SWAPS)
@pytest.mark.parametrize(
    ("kind", "words", "number"),
    [
        ("f32", PI, 3.1415927410125732),
        ("f32", (0xC2F6, 0xE979), -123.45600128173828),
        ("u32", (0x075B, 0xCD15), 123_456_789),
        ("i32", (0xFFFF, 0xFF9C), -100),
    ],
)
def test_two_registers_in_every_order(order: str, kind: str, words: tuple[int, int], number: float) -> None:
    assert number_of(SWAPS[order](*words), kind, order) == number


def test_one_register_either_way_round() -> None:
    assert number_of([0x0102], "u16", "abcd") == number_of([0x0102], "u16", "cdab") == 258
    assert number_of([0x0102], "u16", "dcba") == number_of([0x0102], "u16", "badc") == 513
    assert number_of([0xFF9C], "i16", "abcd") == -100


# -- one question


@pytest.fixture(params=["rtu", "tcp", "rtu_over_tcp"])
def line(request: pytest.FixtureRequest, make_modbus_line: Make) -> Any:
    """Three devices on a line."""
    framer = "rtu" if request.param == "rtu_over_tcp" else None
    made = make_modbus_line(1, 2, 3, rtu=request.param == "rtu", framer=framer)
    made.options = {"transport": request.param}
    return made


def test_registers_of_both_kinds_become_readings(line: Any) -> None:
    line.put(2, 0, 1234)
    line.put(2, 10, *PI, function=4)
    line.put(2, 65_534, 0x0001, 0xE240)
    found = read(
        line,
        DEPTH,
        {"field": "water.temperature", "address": 10, "type": "f32", "function": 4, "scale": 10, "offset": -20},
        {"field": "water.volume", "address": 65_534, "type": "u32"},
        unit=2,
        **line.options,
    )
    assert [register.value for register in found] == [pytest.approx(1.234), pytest.approx(11.415927), 123_456]
    assert [register.words for register in found] == [(1234,), PI, (1, 0xE240)]
    assert {register.fault for register in found} == {GOOD}


def test_an_exception_is_told_of_its_register_alone(line: Any) -> None:
    line.refuses[3] = 2
    (refused,) = read(line, unit=3, **line.options)
    assert (refused.fault, refused.text) == (BAD_ANSWER, "refused: illegal register (2)")
    line.put(1, 0, 7)
    assert read(line, unit=1, **line.options)[0].value == pytest.approx(0.007)


def test_a_silent_device_costs_one_time_limit(line: Any) -> None:
    began = time.monotonic()
    line.bend = lambda _data: b""
    found = read(line, DEPTH, {"field": "water.volume", "address": 1}, unit=1, timeout_s=0.3, **line.options)
    assert [register.fault for register in found] == [NO_ANSWER, NO_ANSWER]
    assert 0.25 < time.monotonic() - began < 0.3 * 2 + 2.0
    assert "no answer within 0.3 s" in found[0].text
    assert len(line.asked) == 1


def test_a_lost_answer_is_asked_for_again(line: Any) -> None:
    answers = iter([b"", b""])
    line.put(1, 0, 5)
    line.bend = lambda data: next(answers, data)
    assert read(line, unit=1, retries=1, timeout_s=0.3, **line.options)[0].fault == NO_ANSWER
    answers = iter([b""])
    assert read(line, unit=1, retries=1, timeout_s=1.0, **line.options)[0].value == pytest.approx(0.005)


def rtu(body: bytes) -> bytes:
    """A frame with its CRC (Modbus over serial line 2.5.1.2), by a loop of our own."""
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return body + struct.pack("<H", crc)


def framed(transport: str, unit: int, pdu: bytes, number: int = 1) -> bytes:
    """An answer as it travels; over TCP it bears the number of its question."""
    if transport == "tcp":
        return struct.pack(">HHHB", number, 0, len(pdu) + 1, unit) + pdu
    return rtu(bytes([unit]) + pdu)


NONSENSE = {
    "another unit": lambda t: framed(t, 2, b"\x03\x02\x04\xd2"),
    "another function": lambda t: framed(t, 1, b"\x04\x02\x04\xd2"),
    "too few registers": lambda t: framed(t, 1, b"\x03\x00"),
    "too many registers": lambda t: framed(t, 1, b"\x03\x04\x04\xd2\x00\x00"),
    "half a register": lambda t: framed(t, 1, b"\x03\x01\x04"),
    "a count that lies": lambda t: framed(t, 1, b"\x03\x08\x04\xd2"),
    "nothing but a function": lambda t: framed(t, 1, b"\x03"),
    "a write's answer": lambda t: framed(t, 1, b"\x06\x00\x00\x04\xd2"),
    "an exception without a code": lambda t: framed(t, 1, b"\x83"),
    "an exception of another function": lambda t: framed(t, 1, b"\x84\x02"),
    "a flipped bit": lambda t: framed(t, 1, b"\x03\x02\x04\xd2")[:-1] + b"\x00",
    "noise": lambda _t: bytes(range(1, 60)),
    "zeros": lambda _t: bytes(200),
    "a flood": lambda _t: b"\x01\x03\x02" * 2000,
}


@pytest.mark.parametrize("name", NONSENSE)
def test_a_device_that_answers_nonsense_is_a_bad_answer(line: Any, name: str) -> None:
    line.put(1, 0, 1234)
    line.bend = lambda _data: NONSENSE[name](line.options["transport"])
    if name == "a flipped bit" and line.options["transport"] == "tcp":
        pytest.skip("TCP keeps its own sums")
    made = table(line, timeout_s=0.2, **line.options)
    bus = Bus(made)
    (found,) = bus.read(made.devices[0], 0)
    assert (found.fault, found.value) == (BAD_ANSWER, None), found
    assert "\n" not in found.text
    line.bend = bytes
    (found,) = bus.read(made.devices[0], 1)
    assert found.value == pytest.approx(1.234), f"what was left over is not the next answer: {found}"
    bus.close()


@pytest.mark.parametrize("transport", ["tcp", "rtu_over_tcp"])
def test_a_flood_is_cut_off_before_it_is_held(transport: str) -> None:
    """Without an end, as fast as the line takes it, and never an answer: no more than 1 kB is looked at."""
    held: list[int] = []

    class Watched(Bus):
        def _note(self, sending: bool, data: bytes) -> bytes:
            held.append(len(data))
            return super()._note(sending, data)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pour() -> None:
            peer, _ = listener.accept()
            with peer:
                while True:
                    try:
                        peer.sendall(b"\x00\x01" * 4096)
                    except OSError:
                        return

        thread = threading.Thread(target=pour)
        thread.start()
        made = table(None, host=f"127.0.0.1:{listener.getsockname()[1]}", transport=transport)
        bus = Watched(made)
        began = time.monotonic()
        assert bus.read(made.devices[0], 0)[0].fault == BAD_ANSWER
        assert time.monotonic() - began < 2.0
        bus.close()
        thread.join(10)
    assert max(held) <= 1024


def test_a_device_that_answers_nothing_but_noise_does_not_hold_the_line(
    make_modbus_line: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all registers, tries and seconds that may be configured it would take minutes, a station that hangs."""
    monkeypatch.setattr(client, "TURN_S", 0.5, raising=False)
    line = make_modbus_line(1, rtu=True)
    line.bend = lambda _data: bytes(range(1, 60))
    rows = [{"field": name, "address": address} for address, name in enumerate(("water.depth", "water.temperature"))]
    began = time.monotonic()
    found = read(line, *rows, unit=1, retries=5, timeout_s=0.3)
    took_s = time.monotonic() - began
    assert took_s < 0.5 + 2 * 0.3 + 2.0, took_s
    assert [register.fault for register in found] == [BAD_ANSWER, NO_ANSWER]
    assert client.TURN_S + 2 * 3.0 < STALL_S


@pytest.mark.parametrize(
    ("words", "register"),
    [
        ((0x7FC0, 0), {"type": "f32"}),  # NaN
        ((0x7F80, 0), {"type": "f32"}),  # infinity
        ((0xFF80, 0), {"type": "f32"}),
        ((0x7F7F, 0xFFFF), {"type": "f32", "scale": 1e300}),  # more than a double holds
        ((0x4224, 0), {"type": "f32"}),  # 41 m; the field ends at 32.767
        ((0xFFFF,), {"type": "u16"}),  # what many devices send for "no value"
    ],
)
def test_a_number_that_cannot_be_is_an_impossible_value(
    make_modbus_line: Make, words: tuple[int, ...], register: dict[str, Any]
) -> None:
    line = make_modbus_line(1)
    line.put(1, 0, *words)
    (found,) = read(line, {"field": "water.depth", "address": 0} | register)
    assert (found.fault, found.value, found.words) == (IMPOSSIBLE, None, words)


def test_a_place_that_is_not_there_is_no_answer(tmp_path: Any) -> None:
    (found,) = read(None)
    assert found.fault == NO_ANSWER and "127.0.0.1:1 can't be opened; check address" in found.text
    (found,) = read(None, transport="rtu", host=None, port=str(tmp_path / "ttyUSB9"))
    assert found.fault == NO_ANSWER and "ttyUSB9 can't be opened" in found.text
    (found,) = read(None, transport="rtu", host=None, port="usb:1a86:7523:nowhere")
    assert found.fault == NO_ANSWER and "not plugged in" in found.text


def test_a_cable_that_is_pulled_out_and_back(make_modbus_line: Make) -> None:
    line = make_modbus_line(1, rtu=True)
    line.put(1, 0, 5)
    made = table(line)
    bus = Bus(made)
    assert bus.read(made.devices[0], 0)[0].fault == GOOD
    line.cable.cut()
    assert bus.read(made.devices[0], 0)[0].fault == NO_ANSWER
    assert bus.read(made.devices[0], 1)[0].fault == NO_ANSWER
    bus.close()


def test_waiting_does_not_hang_on_the_wall_clock(make_modbus_line: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 9: the library's own client would wait until the wall clock has caught up."""
    line = make_modbus_line(1, rtu=True)
    clock = itertools.count(2_000_000_000, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    began = time.monotonic()
    assert read(line, unit=9, timeout_s=0.3)[0].fault == NO_ANSWER
    assert time.monotonic() - began < 2.0


# -- the source


class Desk:
    """A source on a real loop; what it measured, in order."""

    def __init__(self) -> None:
        self.scheduler = LoopScheduler(asyncio.get_running_loop())
        self.measured: list[Measured] = []
        self.ingress = Ingress(self.scheduler, lambda _uplink: None, on_measured=self.measured.append)
        self.source: Modbus | None = None

    async def run(self, made: ModbusTable, readings: int = 1) -> list[Measured]:
        """Start, and wait for so many readings."""
        self.source = Modbus(self.ingress, made)
        await self.source.start()
        return await self.until(lambda: len(self.measured) >= readings)

    async def until(self, call: Callable[[], Any]) -> list[Measured]:
        deadline = time.monotonic() + 20  # a busy machine is not a failure
        while not call():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        return self.measured

    def of(self, name: str) -> list[Measured]:
        return [sample for sample in self.measured if sample.dev_eui == wired_eui(name)]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    if made.source is not None:
        await made.source.stop()
    await asyncio.to_thread(made.scheduler.close)


async def test_readings_bear_the_instant_of_their_answer(desk: Desk, make_modbus_line: Make) -> None:
    line = make_modbus_line(1)
    line.put(1, 0, 1500)
    before_us = time.time_ns() // 1000
    measured = await desk.run(table(line), 3)
    for sample in measured:
        assert sample.readings == {("water", "depth"): pytest.approx(1.5)}
        assert (sample.source, sample.dev_eui) == (f"modbus {line.host}", wired_eui("tank"))
        assert before_us <= sample.taken_us <= time.time_ns() // 1000
    apart_s = [(later.taken_us - earlier.taken_us) / 1e6 for earlier, later in itertools.pairwise(measured)]
    assert 0.9 < min(apart_s) < 1.5
    assert desk.ingress.counters["received"] == len(measured)


async def test_a_fault_is_a_reading_and_the_rest_is_kept(desk: Desk, make_modbus_line: Make) -> None:
    line = make_modbus_line(1)
    line.put(1, 0, 1500)
    line.put(1, 1, 0x7FC0, 0)
    rows = [DEPTH, {"field": "water.temperature", "address": 1, "type": "f32"}]
    (sample, *_) = await desk.run(table(line, {"device": "tank", "registers": rows}))
    assert sample.readings == {("water", "depth"): pytest.approx(1.5), ("water", "fault"): 3}
    labels = {"device": "tank"}
    assert REGISTRY.get_sample_value("suat_modbus_fault", labels) == 3
    assert REGISTRY.get_sample_value("suat_modbus_reads_total", labels | {"outcome": "impossible value"}) >= 1


async def test_a_change_is_told_once(
    desk: Desk, make_modbus_line: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modbus, "SELDOM_S", 1.0)
    line = make_modbus_line(1)
    line.refuses[1] = 6
    await desk.run(table(line), 3)
    line.refuses.clear()
    asked = len(desk.measured)
    await desk.until(lambda: len(desk.measured) >= asked + 2)
    assert [record.message for record in caplog.records] == [
        f"modbus {line.host}: tank (unit 1): water.depth: refused: busy (6)",
        f"modbus {line.host}: tank answers again",
    ]


@pytest.mark.slow
async def test_a_dead_device_does_not_hold_up_the_others(desk: Desk, make_modbus_line: Make) -> None:
    """Four on an RS-485 line, one dead, one that answers noise; the other two keep their second."""
    line = make_modbus_line(1, 2, 4, rtu=True)
    noise = framed("rtu", 4, b"\x03\x02\x00\x00")
    line.bend = lambda data: data if data[0] != 4 else noise[:4] + b"\xff" + noise[5:]
    names = {1: "a", 2: "b", 3: "dead", 4: "noise"}
    await desk.run(table(line, *({"device": name, "unit": unit} for unit, name in names.items())))
    await asyncio.sleep(8.0)
    for name in ("a", "b"):
        times = [sample.taken_us / 1e6 for sample in desk.of(name)]
        assert len(times) >= 7
        apart_s = sorted(later - earlier for earlier, later in itertools.pairwise(times))
        assert apart_s[-2] < 1.0 + 2 * 0.3 * 2 + 1.0
    for name, code in (("dead", NO_ANSWER), ("noise", BAD_ANSWER)):
        assert 2 <= len(desk.of(name)) <= 4, "at 0, 1, 3 and 7 s"
        assert {sample.readings["water", "fault"] for sample in desk.of(name)} == {code}


async def test_a_device_that_comes_back_is_asked_as_before(
    desk: Desk, make_modbus_line: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modbus, "SELDOM_S", 1.0)
    line = make_modbus_line(1)
    line.put(1, 0, 100)
    line.bend = lambda _data: b""
    await desk.run(table(line), 2)
    line.bend = bytes
    await desk.until(lambda: ("water", "depth") in desk.measured[-1].readings)
    back = desk.measured[-1]
    assert back.readings == {("water", "depth"): pytest.approx(0.1)}
    asked = len(desk.measured)
    await desk.until(lambda: len(desk.measured) >= asked + 2)
    assert desk.measured[-1].taken_us - back.taken_us < 6e6, "in its own second again"


async def test_what_the_journal_gave_up_is_handed_in_again(
    desk: Desk, make_modbus_line: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modbus, "AGAIN_S", 0.2)
    line = make_modbus_line(1)
    (sample, *_) = await desk.run(table(line, {"device": "tank", "interval_s": 100}))
    sample.settled(False)
    await desk.until(lambda: len(desk.measured) == 2)
    assert [again.taken_us for again in desk.measured] == [sample.taken_us] * 2
    desk.measured[-1].settled(True)
    await asyncio.sleep(0.4)
    assert len(desk.measured) == 2
    assert desk.ingress.counters["received"] == 2


async def test_a_source_that_was_stopped_and_started_again_asks_on(desk: Desk, make_modbus_line: Make) -> None:
    """So a part is brought back after an error."""
    line = make_modbus_line(1)
    line.put(1, 0, 1500)
    await desk.run(table(line))
    assert desk.source is not None
    await desk.source.stop()
    before = len(desk.measured)
    await desk.source.start()
    await desk.until(lambda: len(desk.measured) >= before + 3)
    assert desk.measured[-1].readings == {("water", "depth"): pytest.approx(1.5)}
    apart_s = [
        (later.taken_us - earlier.taken_us) / 1e6 for earlier, later in itertools.pairwise(desk.measured[before:])
    ]
    assert min(apart_s) > 0.8, "each device in one turn alone"


async def test_a_stop_waits_for_no_dead_line(make_modbus_line: Make) -> None:
    line = make_modbus_line(1)
    desk = Desk()
    rows = [{"device": f"d{unit}", "unit": unit} for unit in range(2, 30)]
    desk.source = Modbus(desk.ingress, table(line, *rows, timeout_s=1.0, retries=5))
    await desk.source.start()
    await asyncio.sleep(0.5)
    began = time.monotonic()
    assert desk.source is not None
    await desk.source.stop()
    await asyncio.to_thread(desk.scheduler.close)
    assert time.monotonic() - began < 4.0
    assert [thread.name for thread in threading.enumerate() if "modbus" in thread.name] == []


# -- tables and names

GOOD_FILE: dict[str, Any] = {"station": {"name": "Asy", "data_dir": "/tmp/suat"}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transport": "rtu"}, ['transport = "rtu" needs port']),
        ({"port": "/dev/ttyUSB0"}, ['transport = "tcp" needs host, and no port']),
        ({"transport": "udp"}, ["transport", '"udp" is not one of rtu, tcp, rtu_over_tcp']),
        ({"host": "127.0.0.1:x"}, ["host", "is not HOST:PORT"]),
        ({"timeout_s": 60}, ["timeout_s", "60"]),
        ({"devices": []}, ["devices"]),
        ({"devices": [{"device": "a", "unit": 0, "registers": [DEPTH]}]}, ["unit", "0"]),
        ({"devices": [{"device": "a", "unit": 1, "registers": []}]}, ["registers"]),
        ({"devices": [{"device": "a", "unit": 1, "registers": [DEPTH, DEPTH]}]}, ['"water.depth" is given twice']),
        ({"devices": [{"device": "a", "unit": 1, "registers": [DEPTH]}] * 2}, ['"a" is given twice']),
        ({"field": "water.dept"}, ["field", 'did you mean "water.depth"?', "docs/payload.md"]),
        ({"field": "health.boots"}, ["health.boots"]),
        ({"field": "water.fault"}, ["water.fault"]),
        ({"type": "f64"}, ["type", '"f64" is not one of u16, i16, u32, i32, f32']),
        ({"order": "big"}, ["order", '"big" is not one of abcd, dcba, badc, cdab']),
        ({"function": 1}, ["function"]),
        ({"address": 65_536}, ["address", "65536"]),
        ({"address": 65_535, "type": "u32"}, ["takes two registers"]),
        ({"scale": 0}, ["scale = 0"]),
        ({"scale": math.nan}, ["scale"]),
        ({"adress": 5}, ["adress", "unknown key", 'did you mean "address"?']),
    ],
    ids=str,
)
def test_each_slip_in_a_map_has_its_line(change: dict[str, Any], words: list[str]) -> None:
    entry: dict[str, Any] = {
        "kind": "modbus",
        "transport": "tcp",
        "host": "127.0.0.1",
        "devices": [{"device": "a", "unit": 1, "registers": [dict(DEPTH)]}],
    }
    parse(GOOD_FILE | {"ingest": [entry]})
    if set(change) & {"field", "type", "order", "function", "address", "scale", "adress"}:
        entry["devices"][0]["registers"][0].update(change)
    else:
        entry.update(change)
    with pytest.raises(ConfigError) as error:
        parse(GOOD_FILE | {"ingest": [entry]})
    (line,) = error.value.faults
    assert all(word in line for word in [*words, 'ingest "modbus"']), line


def test_a_host_alone_means_the_usual_port() -> None:
    for host, whole in (("10.0.0.5", "10.0.0.5:502"), ("meter.local:1502", "meter.local:1502"), ("[::1]", "[::1]:502")):
        assert table(None, host=host).host == whole


def test_a_wired_device_has_an_address_of_its_own() -> None:
    device = new_device(name="tank-level", kind="water", water_point="spring-1", wired=True)
    assert device.dev_eui == wired_eui("tank-level") != wired_eui("tank-leve1")
    assert len(device.dev_eui) == 16 and bytes.fromhex(device.dev_eui)[0] & 3 == 2  # local, one device: IEEE 802
    assert is_wired(device.dev_eui) and not is_wired("70b3d57ed005a1b2")
    assert device.secrets() == []
    for more in ({"dev_eui": "70b3d57ed005a1b2"}, {"relayed": True}, {"join_eui": "0" * 16, "app_key": "1" * 32}):
        with pytest.raises(UsageError, match="--wired: a device without a radio"):
            new_device(name="tank-level", kind="water", wired=True, **more)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--dev-eui: missing"):
        new_device(name="tank-level", kind="water", relayed=True)


# -- hostile devices

CASES = 20_000


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["tcp", "rtu_over_tcp"])
def test_no_answer_is_too_hostile(transport: str, monkeypatch: pytest.MonkeyPatch, record_property: Any) -> None:
    """Each case is a connection whose other end has spoken and hung up; RTU frames go through the same code as on a
    line. The long run: CASES = 2_000_000."""
    chance = random.Random(11)
    made = table(None, {"device": "tank", "registers": [DEPTH | {"type": "u32"}]}, transport=transport)
    answer = b""
    other_ends: list[socket.socket] = []

    def connection(*_arguments: Any, **_options: Any) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.send(answer)
        theirs.shutdown(socket.SHUT_WR)
        while other_ends:
            other_ends.pop().close()
        other_ends.append(theirs)
        return ours

    monkeypatch.setattr(socket, "create_connection", connection)
    good = framed(transport, 1, b"\x03\x04\x00\x00\x04\xd2")
    seeds = [make(transport) for make in NONSENSE.values()] + [good] * 6
    bus = Bus(made)
    outcomes = dict.fromkeys(range(4), 0)
    began = time.monotonic()
    for _ in range(CASES):
        data = bytearray(chance.choice(seeds)[:600])
        for _ in range(chance.choice((0, 1, 1, 2, 8))):
            what, place = chance.randrange(5), chance.randrange(len(data) + 1)
            if what == 0 and data:
                data[place % len(data)] ^= 1 << chance.randrange(8)
            elif what == 1 and data:
                data[place % len(data)] = chance.choice((0, 1, 2, 3, 4, 0x2B, 0x7F, 0x80, 0x83, 0xFF))
            elif what == 2:
                del data[place:]
            elif what == 3:
                data[place:place] = chance.randbytes(chance.choice((1, 2, 40)))
            elif transport != "tcp":
                data = bytearray(rtu(bytes(data)))
        answer = bytes(data)
        (found,) = bus.read(made.devices[0], 0)
        bus.close()
        outcomes[found.fault] += 1
        if found.fault == GOOD:
            assert found.value is not None and abs(found.value) < 32.8
    record_property("cases", CASES)
    record_property("seconds", round(time.monotonic() - began, 1))
    record_property("outcomes", str(outcomes))
    print(transport, outcomes, round(time.monotonic() - began, 1))
    assert min(outcomes[code] for code in (GOOD, NO_ANSWER, BAD_ANSWER)) > 100
    answer = good
    assert bus.read(made.devices[0], 0)[0].value == pytest.approx(1.234)
    bus.close()
    other_ends[0].close()


def test_wild_maps_are_refused_or_read(make_modbus_line: Make) -> None:
    """Whatever a map says within its types, reading by it ends in a reading or a fault."""
    line = make_modbus_line(1)
    chance = random.Random(3)
    words = {(1, function, register): chance.randrange(65_536) for function in (3, 4) for register in range(64)}
    line.words = words
    refused = 0
    for _ in range(200):
        wild = {
            "field": chance.choice(["water.volume", "probe1.vwc", "node.solar", "water.float", "nonsense"]),
            "address": chance.choice([0, 5, 63, 65_535, -1]),
            "type": chance.choice(["u16", "i16", "u32", "i32", "f32", "f16"]),
            "order": chance.choice(["abcd", "dcba", "badc", "cdab"]),
            "function": chance.choice([3, 4]),
            "scale": chance.choice([1.0, 1e-9, -1e300, 0.0]),
        }
        try:
            (found,) = read(line, wild)
        except ValidationError:
            refused += 1
        else:
            assert found.fault in (GOOD, IMPOSSIBLE) and (found.value is None) == (found.fault == IMPOSSIBLE)
    assert 20 < refused < 190
    with pytest.raises(SuatError):
        parse(GOOD_FILE | {"ingest": [{"kind": "modbus"}]})
