"""The sensors of a node as its pins meet them: voltages, bytes on a serial line, pulses. Runs on MicroPython.

Values come from the environment by name ("probe1.vwc", "water.depth", ...); None means that the sensor is silent.
A sensor without its supply (the board's VEXT, its own power pin) gives nothing either. "AT.KIND.fault", for instance
"probe1.rs485.fault", is a place in FAULT_MODES: what is broken in that sensor now; 0 or no such name: nothing.
"""

from math import pi, sin, sqrt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from suat_sim.board import Board

ADC_FULL_V = {"rp2040": 3.3, "esp32s3": 3.1}  # ESP32-S3 at 11 dB

FAULT_MODES = (
    "",
    "missing",  # not there, or its cable is cut
    "shorted",  # its line to ground; a current loop to its supply
    "open",  # its line to the supply
    "noisy",  # bad contact, water in the plug: values jump, bits flip, contacts bounce
    "hung",  # it holds the bus, or talks without end
    "crc",  # an answer whose check sum is wrong
    "half",  # an answer that stops in the middle
    "wrong",  # the answer of somebody else
    "error",  # the answer that it can't
    "range",  # a value that it cannot mean
    "low_supply",  # its supply breaks down while it measures
    "glitch",  # noise before the answer, an echo of the request: a good driver does not mind
)


def broken(board: "Board", sensor: "dict[str, Any]") -> str:
    """What is broken in the sensor now: one of FAULT_MODES."""
    mode = board.value(sensor["at"] + "." + sensor["kind"] + ".fault")
    return FAULT_MODES[int(mode)] if mode else ""


class Analog:
    """What stands on an ADC pin."""

    def __init__(self, board: "Board", sensor: "dict[str, Any]") -> None:
        self.board = board
        self.sensor = sensor
        self.draws = 1

    def volts(self) -> float:
        """The pin's voltage; an open input reads 0 V."""
        board, sensor = self.board, self.sensor
        if not board.powered(sensor):
            return 0.0
        mode = broken(board, sensor)
        full = ADC_FULL_V[board.chip_name]
        shorted = full if sensor["kind"] == "pressure" else 0.0
        if mode in ("missing", "shorted", "open"):
            return {"missing": 0.0, "shorted": shorted, "open": full}[mode]
        if mode == "noisy":  # Park and Miller's generator
            self.draws = self.draws * 16807 % 2147483647
            return full * self.draws / 2147483647
        return self._volts(full, 10.0 if mode == "range" else 1.0)

    def _volts(self, full: float, times: float) -> float:
        board, sensor = self.board, self.sensor
        kind = sensor["kind"]
        if kind == "capacitive":
            count: float = board.value(sensor["at"] + ".count") or 0.0
            return count * full
        if kind == "pressure":  # 4..20 mA over the shunt
            depth = board.value("water.depth")
            milliamps: float = 0.0 if depth is None else 4.0 + 16.0 * depth / sensor["full_m"]
            return milliamps / 1000 * float(sensor["shunt_ohm"])
        if kind == "solar":
            return times * (board.value("node.solar") or 0.0) / float(sensor["divider"])
        if kind == "current":
            swing: float = times * (board.value("water.pump_current") or 0.0) / sensor["amps_per_v"]
            if sensor["mode"] == "ac":
                swing *= sqrt(2) * sin(2 * pi * sensor["mains_hz"] * board.clock.now / 1000000)
            return float(sensor["zero_v"]) + swing
        wiring = board.wiring
        connected = wiring.BATTERY_LEVEL or 0  # a level that the node finds out: the pin rests at 1
        if wiring.BATTERY_ENABLE is not None and board.levels.get(wiring.BATTERY_ENABLE) != connected:
            return 0.0
        return (board.value("node.battery") or 0.0) / float(wiring.BATTERY_DIVIDER)


def _table(polynomial: int) -> "list[int]":
    """The reflected CRC of each byte: these sums are made several times a wake."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ polynomial if crc & 1 else crc >> 1
        table.append(crc)
    return table


_MODBUS, _MAXIM = _table(0xA001), _table(0x8C)


def crc16(data: bytes) -> bytes:
    """CRC-16/MODBUS, low byte first (Modbus over Serial Line V1.02, 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _MODBUS[(crc ^ byte) & 255]
    return bytes((crc & 255, crc >> 8))


def crc8(data: "bytes | bytearray") -> int:
    """CRC-8/MAXIM of the 1-Wire bus."""
    crc = 0
    for byte in data:
        crc = _MAXIM[crc ^ byte]
    return crc


class Serial:
    """A device on a serial line."""

    def __init__(self, board: "Board", sensor: "dict[str, Any]") -> None:
        self.board = board
        self.sensor = sensor

    def heard(self, data: bytes) -> "tuple[int, bytes]":
        """(delay [us], answer) to bytes from the node; an empty answer for none."""
        if not self.board.powered(self.sensor):
            return 0, b""
        delay, good = self.answer(data)
        mode = broken(self.board, self.sensor)
        if not good or not mode:
            return delay, good
        return delay, spoilt(good, mode)

    def chatters(self) -> bool:
        """Whether it talks without end."""
        return self.board.powered(self.sensor) and broken(self.board, self.sensor) == "hung"

    def answer(self, data: bytes) -> "tuple[int, bytes]":
        """(delay [us], answer) of a sound device."""
        return 0, b""


def spoilt(good: bytes, mode: str) -> bytes:
    """What arrives of a good answer."""
    if mode in ("missing", "shorted", "open", "hung"):
        return b""
    if mode == "half":
        return good[: len(good) // 2]
    if mode == "glitch":
        return b"\x00\xff" + good
    bad = bytearray(good)
    if mode == "crc":
        bad[len(bad) - 2] ^= 0x10
    elif mode == "noisy":
        for i in range(len(bad)):
            bad[i] ^= 0x55 + 3 * i & 255
    return bytes(bad)


class ModbusProbe(Serial):
    """A probe on RS-485: answers functions 3 and 4 for the registers of its map."""

    request = b""

    def answer(self, data: bytes) -> "tuple[int, bytes]":
        """Modbus RTU."""
        self.request = (self.request + data)[-8:]
        request, sensor = self.request, self.sensor
        if len(request) < 8 or request[0] != sensor["address"] or crc16(request[:6]) != request[6:]:
            return 0, b""
        self.request = b""
        mode = broken(self.board, sensor)
        first, count = request[2] << 8 | request[3], request[4] << 8 | request[5]
        if request[1] not in (3, 4) or mode == "error":
            answer = bytes((request[0], request[1] | 0x80, 2))
        else:
            words = [0x7FFF if mode == "range" else 0] * count
            for field, register, unit in sensor["registers"]:
                value = self.board.value(sensor["at"] + "." + field)
                if value is None:
                    return 0, b""
                if mode != "range" and first <= register < first + count:
                    words[register - first] = round(value / unit) & 0xFFFF
            answer = bytes((request[0] + (mode == "wrong"), request[1], 2 * count))
            answer += b"".join([bytes((word >> 8, word & 255)) for word in words])
        return 40000, answer + crc16(answer)


class Ultrasonic(Serial):
    """A level sensor that answers each trigger byte with FF high low sum (A02YYUW)."""

    tries = 0

    def answer(self, data: bytes) -> "tuple[int, bytes]":
        """One frame."""
        distance = self.board.value("water.distance")
        if distance is None:
            return 0, b""
        mode = broken(self.board, self.sensor)
        self.tries += 1
        if mode == "range":
            distance = self.sensor["blind_mm"] / 2000
        elif mode == "noisy":  # foam, a spider's web: each echo from elsewhere
            distance = 0.4 + self.tries * 7 % 5 * 0.6
        mm = max(0, min(65535, round(distance * 1000)))
        head = bytes((0xFF, mm >> 8, mm & 255))
        return 100000, head + bytes((sum(head) & 255,))

    def heard(self, data: bytes) -> "tuple[int, bytes]":
        """Noise is in its echoes, not on its line."""
        if broken(self.board, self.sensor) == "noisy" and self.board.powered(self.sensor):
            return self.answer(data)
        return super().heard(data)


class Logger(Serial):
    """A data logger's adapter: its rows live on the host."""

    line = b""

    def answer(self, data: bytes) -> "tuple[int, bytes]":
        """Rows, once a line is complete."""
        self.line += data
        if not self.line.endswith(b"\n"):
            return 0, b""
        line, self.line = self.line, b""
        return 20000, self.board.ask_host(line)


class Thermometer:
    """A DS18B20 alone on its wire (data sheet DS18B20, "Memory", "1-Wire bus system")."""

    def __init__(self, board: "Board", sensor: "dict[str, Any]") -> None:
        self.board = board
        self.sensor = sensor
        at = sensor["at"]
        self.name = "node.air_temperature" if at == "node" else at + ".temperature"
        self.ready_at = -1
        self.raw = 85 * 16  # the power-on value
        self.state = "idle"

    def mode(self) -> str:
        """What is broken."""
        return broken(self.board, self.sensor)

    def level(self) -> int:
        """The idle wire."""
        return 0 if self.mode() == "shorted" else 1

    def present(self) -> bool:
        """Whether it answers the reset pulse."""
        self.state = "rom"
        mode = self.mode()
        if mode in ("missing", "shorted", "open"):
            return mode == "shorted"
        return self.board.powered(self.sensor) and self.board.value(self.name) is not None

    def write(self, byte: int) -> None:
        """One byte from the node."""
        if self.state == "rom":
            self.state = "function" if byte == 0xCC else "idle"
        elif self.state == "function":
            self.state = "idle"
            if byte == 0x44:
                value = self.board.value(self.name)
                if value is not None:
                    self.pending = round(value * 16)
                    self.ready_at = self.board.clock.now + 750000  # 12 bits
            elif byte == 0xBE:
                self.state = "read"
                self.scratchpad = self._scratchpad()

    def read(self) -> int:
        """One byte to the node; an idle wire reads ones."""
        mode = self.mode()
        if mode == "shorted":
            return 0
        if self.state != "read" or not self.scratchpad or mode == "hung":
            return 0xFF
        byte, self.scratchpad = self.scratchpad[0], self.scratchpad[1:]
        return byte

    def _scratchpad(self) -> bytes:
        mode = self.mode()
        if 0 <= self.ready_at <= self.board.clock.now:
            self.raw = self.pending
        if mode == "low_supply":
            self.raw = 85 * 16
        elif mode == "range":
            self.raw = 0x0800
        pad = bytes((self.raw & 255, self.raw >> 8 & 255, 0x4B, 0x46, 0x7F, 0xFF, 0x0C, 0x10))
        pad += bytes((crc8(pad),))
        return spoilt(pad, mode) if mode in ("crc", "noisy") else pad


class Contact:
    """A switch to ground under a pull-up: closed by water (float), or by the lid (tamper)."""

    def __init__(self, board: "Board", sensor: "dict[str, Any]") -> None:
        self.board = board
        self.sensor = sensor

    def level(self) -> int:
        """The pin's level."""
        board, sensor = self.board, self.sensor
        mode = broken(board, sensor)
        if mode in ("missing", "open", "shorted"):
            return 0 if mode == "shorted" else 1
        if mode == "noisy":  # a float on waves, a wet contact
            return board.clock.now // 33000 & 1
        closed = board.value("water.float") if sensor["at"] == "water" else 1 - (board.value("node.tamper") or 0)
        return int(not closed) ^ int(sensor["invert"])


class PulseMeter:
    """A water meter's contact: closed (low) for the first half of each pulse's volume."""

    def __init__(self, board: "Board", sensor: "dict[str, Any]") -> None:
        self.board = board
        self.sensor = sensor
        self.edge: int | None = None  # the level that `Board` plays out, pulse by pulse

    def pulses(self) -> int:
        """Pulses since the meter was made."""
        volume = self.board.value("water.volume")
        return 0 if volume is None else int(volume * self.sensor["pulses_per_l"])

    def level(self) -> int:
        """The contact with its pull-up."""
        if self.edge is not None:
            return self.edge
        volume = self.board.value("water.volume")
        return 1 if volume is None else int(volume * self.sensor["pulses_per_l"] * 2) & 1

    def bounces(self) -> bool:
        """Whether each change of the contact comes several times."""
        return broken(self.board, self.sensor) == "noisy"


class EventCounter:
    """A PCF8583 at 0x50 in event counter mode, fed by a meter (data sheet PCF8583, 8.3); it counts while all sleep."""

    def __init__(self, meter: PulseMeter) -> None:
        self.meter = meter
        self.control = 0
        self.zero = 0

    def mode(self) -> str:
        """What is broken."""
        return broken(self.meter.board, self.meter.sensor)

    def read_mem(self, register: int, count: int) -> bytes:
        """Registers 0 (control) and 1..3 (six decimal digits)."""
        mode = self.mode()
        if mode == "range":
            return (bytes((self.control, 0xFF, 0xFF, 0xFF)) + bytes(256))[register : register + count]
        if mode == "low_supply":
            self.control = 0
        total = (self.meter.pulses() - self.zero) % 1000000 if self.control & 0x30 == 0x20 else 0
        digits = [total % 100, total // 100 % 100, total // 10000]
        memory = bytes([self.control] + [two // 10 << 4 | two % 10 for two in digits])
        return (memory + bytes(256))[register : register + count]

    def write_mem(self, register: int, data: bytes) -> None:
        """Control and counter."""
        memory = bytearray(self.read_mem(0, 4))
        memory[register : register + len(data)] = data
        self.control = memory[0]
        count = 0
        for byte in (memory[3], memory[2], memory[1]):
            count = count * 100 + (byte >> 4) * 10 + (byte & 15)
        self.zero = self.meter.pulses() - count
