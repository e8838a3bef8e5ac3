"""Asks one device after the other on a line, by pymodbus; blocking, for a thread of its own.

Whatever comes back, it is a reading or a fault in our words. pymodbus frames and checks; waiting is ours, because its
synchronous client waits by the wall clock and without a limit to what it holds.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from suat.errors import SuatError
from suat.ingest.bus.registers import ImpossibleValueError, number_of, value_of
from suat.ingest.bus.tables import DeviceTable, ModbusTable, RegisterTable
from suat.serial_line import locate
from suat.tables import host_port

if TYPE_CHECKING:
    from pymodbus.client.base import ModbusBaseSyncClient

GOOD, NO_ANSWER, BAD_ANSWER, IMPOSSIBLE = range(4)  # codes of `fault`, docs/payload.md
OUTCOMES = ("good", "no answer", "bad answer", "impossible value")
LARGEST = 260  # bytes of the longest answer there is (Modbus over serial line 2.02: 256; TCP: 260)
PIECE = 256  # bytes read at once
TURN_S = 20.0  # a device that takes longer is not asked for the rest: the others on its line wait

_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal register",
    3: "illegal value",
    4: "device failure",
    5: "still at work",
    6: "busy",
    10: "the line's gateway has no path to it",
    11: "the line's gateway hears nothing of it",
}
_SILENT = (10, 11)
_FINAL = (1, 2, 3)


class ModbusError(SuatError):
    """Why a register could not be read."""

    def __init__(self, code: int, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.final = final  # asking again would bring the same


class Register(NamedTuple):
    """What became of one register: its words, the number in them and the reading, as far as they came."""

    entry: RegisterTable
    words: tuple[int, ...] = ()
    number: float | None = None
    value: float | None = None
    fault: int = GOOD
    text: str = ""


class Bus:
    """One line. All calls but `give_up` are on one thread."""

    def __init__(self, table: ModbusTable) -> None:
        self._table = table
        self._client: ModbusBaseSyncClient | None = None
        self._heard = False  # whether anything came since the last request
        self._ends = False

    def give_up(self) -> None:
        """Ask nothing any more: what is being read ends with its next answer."""
        self._ends = True

    def close(self) -> None:
        """Let the port or the connection go."""
        if self._client is not None:
            self._client.close()  # type: ignore[no-untyped-call]
            self._client = None

    def read(self, device: DeviceTable, retries: int) -> list[Register]:
        """Each register of a device in turn. A device that is silent is not asked for the rest."""
        found: list[Register] = []
        silent: ModbusError | None = None
        ends = time.monotonic() + TURN_S
        for entry in device.registers:
            try:
                if silent is not None:
                    raise silent
                if time.monotonic() > ends:
                    raise ModbusError(NO_ANSWER, f"not asked: the others took longer than {TURN_S:g} s")
                words = self._words(device.unit, entry, retries, ends)
            except ModbusError as fault:
                if fault.code == NO_ANSWER:
                    silent = fault
                found.append(Register(entry, fault=fault.code, text=str(fault)))
                continue
            number = number_of(words, entry.type, entry.order)
            try:
                value = value_of(number, entry.field, entry.scale, entry.offset)
            except ImpossibleValueError as error:
                found.append(Register(entry, words, number, None, IMPOSSIBLE, str(error)))
            else:
                found.append(Register(entry, words, number, value))
        return found

    def _words(self, unit: int, entry: RegisterTable, retries: int, ends: float) -> tuple[int, ...]:
        for left in range(retries, -1, -1):
            try:
                return self._ask(unit, entry)
            except ModbusError as fault:
                if not left or self._ends or fault.final or time.monotonic() > ends:
                    raise
        raise AssertionError("unreachable")

    def _ask(self, unit: int, entry: RegisterTable) -> tuple[int, ...]:
        """One question, one answer; ModbusError."""
        if self._ends:
            raise ModbusError(NO_ANSWER, "the station stops")
        client = self._connected()
        ask: Callable[..., Any] = client.read_holding_registers if entry.function == 3 else client.read_input_registers
        self._heard = False
        try:
            answer = ask(entry.address, count=entry.words, device_id=unit)
        except OSError as error:
            self.close()
            if self._heard:
                raise ModbusError(BAD_ANSWER, "the answer broke off") from None
            raise ModbusError(NO_ANSWER, f"{self._table.place}: {error.strerror or error}") from None
        except Exception as error:  # on bytes that make no sense the library also raises what struct and indexing raise
            if self._table.host is not None or self._heard:
                self.close()  # what else comes is not for the next question
            if isinstance(error, ModbusError):
                raise
            if self._heard:
                raise ModbusError(BAD_ANSWER, f"an answer that makes no sense ({type(error).__name__})") from None
            raise ModbusError(NO_ANSWER, f"no answer within {self._table.timeout_s:g} s") from None
        if answer.isError():
            code = getattr(answer, "exception_code", 0)
            fault = NO_ANSWER if code in _SILENT else BAD_ANSWER
            raise ModbusError(fault, f"refused: {_EXCEPTIONS.get(code, 'exception')} ({code})", final=code in _FINAL)
        if answer.function_code != entry.function or len(answer.registers) != entry.words:
            raise ModbusError(BAD_ANSWER, f"{len(answer.registers)} registers of function {answer.function_code}")
        return tuple(answer.registers)

    def _connected(self) -> ModbusBaseSyncClient:
        if self._client is None:
            self._client = _client(self._table, self._note)
        if not self._client.connect():
            self.close()
            todo = "see suat doctor" if self._table.transport == "rtu" else "check address, supply and cable"
            raise ModbusError(NO_ANSWER, f"{self._table.place} can't be opened; {todo}")
        return self._client

    def _note(self, sending: bool, data: bytes) -> bytes:
        """Sees each request, and all that came since."""
        if not sending:
            self._heard = True
            if len(data) > LARGEST:
                raise ModbusError(BAD_ANSWER, "more bytes than an answer can have")
        return data


def _client(table: ModbusTable, note: Callable[[bool, bytes], bytes]) -> ModbusBaseSyncClient:
    """A client that has not connected yet; ModbusError when its port is not plugged in."""
    from pymodbus import FramerType
    from pymodbus.client import ModbusSerialClient, ModbusTcpClient

    class Serial(ModbusSerialClient):
        def recv(self, size: int | None) -> bytes:
            """What has come within the time; pyserial waits by the monotonic clock."""
            assert self.socket is not None
            first = self.socket.read(1)
            return first + self.socket.read(min(PIECE, self.socket.in_waiting)) if first else b""

    class Tcp(ModbusTcpClient):
        def recv(self, size: int | None) -> bytes:
            """What has come within the time."""
            assert self.socket is not None
            if not select.select([self.socket], [], [], table.timeout_s)[0]:
                return b""
            data = self.socket.recv(PIECE)
            if not data:
                raise ConnectionResetError("the other side hung up")
            return data

    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # each fault is told by us, once
    if table.host is not None:
        host, port = host_port(table.host)
        framer = FramerType.SOCKET if table.transport == "tcp" else FramerType.RTU
        return Tcp(host, port=port, framer=framer, timeout=table.timeout_s, retries=0, trace_packet=note)
    try:
        path = locate(str(table.port))
    except SuatError as error:
        raise ModbusError(NO_ANSWER, str(error)) from None
    line = {"baudrate": table.baud, "parity": table.parity, "stopbits": table.stop_bits}
    return Serial(path, timeout=table.timeout_s, retries=0, trace_packet=note, **line)  # type: ignore[arg-type]
