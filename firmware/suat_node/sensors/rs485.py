"""Probe on RS-485 (Modbus RTU master), in soil or water: what it measures says a register map from the configuration.

One request reads the span of all registers (Modbus Application Protocol V1.1b3 section 6.3 and 6.4, functions 3 and 4;
Modbus over Serial Line V1.02 section 2.5.1 for RTU framing). Registers are signed 16-bit, times "units per digit".
The answer is looked for in all that is heard: a transceiver that switches gives a byte of noise, one whose receiver
stays on hears the request too.
Hardware API: machine.UART(id, baudrate, bits, parity, stop, tx, rx, timeout, timeout_char, rxbuf), read(n), write,
flush, any; machine.Pin for the driver enable.
"""

import struct
import time

import machine

from suat_node import power
from suat_node.sensors import CORRUPT, MISSING, OUT_OF_RANGE, Fault, uart

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Board, Options

_TRIES = 2
_NOISE = 12  # bytes before the answer: the request and some


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """The fields of the register map, in their units."""
    addresses = [row[1] for row in sensor["registers"]]
    first = min(addresses)
    count = max(addresses) - first + 1
    if count > 125:
        raise Fault(OUT_OF_RANGE)
    line = uart(sensor, sensor["timeout_ms"])
    try:
        words = _registers(line, sensor, first, count)
    finally:
        line.deinit()
    out: "dict[str, int | float]" = {}
    for field, register, unit in sensor["registers"]:
        raw = words[register - first]
        out[field] = (raw - 65536 if raw > 32767 else raw) * unit
    return out


def _registers(line: "machine.UART", sensor: "Options", first: int, count: int) -> "tuple[int, ...]":
    error = Fault(MISSING)
    for _ in range(_TRIES):
        try:
            return _ask(line, sensor, first, count)
        except Fault as fault:
            error = fault
            power.wait_ms(50)
    raise error


def _ask(line: "machine.UART", sensor: "Options", first: int, count: int) -> "tuple[int, ...]":
    request = struct.pack(">BBHH", sensor["address"], sensor["function"], first, count)
    if line.any():  # what is left of an answer that came too late
        line.read(line.any())
    _send(line, sensor, request + crc16(request))
    size = 5 + 2 * count
    heard = line.read(_NOISE + size)  # no more: a line in which somebody never stops talking
    if not heard:
        raise Fault(MISSING)
    for i in range(len(heard) - size + 1):
        answer = heard[i : i + size]
        if answer[:2] == request[:2] and answer[2] == 2 * count and crc16(answer[:-2]) == answer[-2:]:
            return struct.unpack(">%dH" % count, answer[3:-2])
    raise Fault(CORRUPT)


def _send(line: "machine.UART", sensor: "Options", frame: bytes) -> None:
    """Write with the driver enabled, then leave the bus to the probe."""
    if sensor["de"] is None:
        line.write(frame)
        return
    enable = machine.Pin(sensor["de"], machine.Pin.OUT, value=1)
    line.write(frame)
    line.flush()
    time.sleep_us(11000000 // sensor["baud"])  # the last character may still be in the shift register
    enable.value(0)


def crc16(data: bytes) -> bytes:
    """CRC-16/MODBUS, low byte first (Modbus over Serial Line V1.02 section 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return bytes((crc & 255, crc >> 8))
