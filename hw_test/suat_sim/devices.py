"""The sensors of a node as its pins meet them: voltages, bytes on a serial line, pulses. Runs on MicroPython.

Values come from the environment by name ("probe1.vwc", "water.depth", ...); None means that the sensor is silent.
A sensor without its supply (the board's VEXT, its own power pin) gives nothing either.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from suat_sim.board import Board

ADC_FULL_V = {"rp2040": 3.3, "esp32s3": 3.1}  # ESP32-S3 at 11 dB


class Analog:
    """What stands on an ADC pin: `ratio` of the full scale, or `volts`."""

    def __init__(self, board: "Board", sensor: "dict[str, Any]") -> None:
        self.board = board
        self.sensor = sensor

    def volts(self) -> float:
        """The pin's voltage; an open input reads 0 V."""
        board, sensor = self.board, self.sensor
        kind = sensor["kind"]
        if not board.powered(sensor):
            return 0.0
        if kind == "capacitive":
            count = board.value(sensor["at"] + ".count")
            return 0.0 if count is None else count * ADC_FULL_V[board.chip_name]
        if kind == "pressure":  # 4..20 mA over the shunt
            depth = board.value("water.depth")
            return 0.0 if depth is None else (4.0 + 16.0 * depth / sensor["full_m"]) / 1000 * sensor["shunt_ohm"]
        enable = board.wiring.BATTERY_ENABLE
        if enable is not None and board.levels.get(enable) != board.battery_level:
            return 0.0
        battery = board.value("node.battery")
        return 0.0 if battery is None else battery / board.wiring.BATTERY_DIVIDER


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


class ModbusProbe:
    """A soil probe on RS-485: answers functions 3 and 4 for the registers of its map."""

    def __init__(self, board: "Board", sensor: "dict[str, Any]") -> None:
        self.board = board
        self.sensor = sensor
        self.request = b""

    def heard(self, data: bytes) -> "tuple[int, bytes]":
        """(delay [us], answer) to bytes from the node; an empty answer for none."""
        self.request = (self.request + data)[-8:]
        request, sensor = self.request, self.sensor
        if len(request) < 8 or request[0] != sensor["address"] or crc16(request[:6]) != request[6:]:
            return 0, b""
        self.request = b""
        if not self.board.powered(sensor):
            return 0, b""
        first, count = request[2] << 8 | request[3], request[4] << 8 | request[5]
        if request[1] not in (3, 4):
            answer = bytes((request[0], request[1] | 0x80, 1))
        else:
            words = [0] * count
            for field, register, unit in sensor["registers"]:
                value = self.board.value(sensor["at"] + "." + field)
                if value is None:
                    return 0, b""
                if first <= register < first + count:
                    words[register - first] = round(value / unit) & 0xFFFF
            answer = bytes((request[0], request[1], 2 * count))
            answer += b"".join([bytes((word >> 8, word & 255)) for word in words])
        return 40000, answer + crc16(answer)


class Ultrasonic:
    """A level sensor that answers each trigger byte with FF high low sum (A02YYUW)."""

    def __init__(self, board: "Board", sensor: "dict[str, Any]") -> None:
        self.board = board
        self.sensor = sensor

    def heard(self, data: bytes) -> "tuple[int, bytes]":
        """(delay [us], frame)."""
        if not self.board.powered(self.sensor):
            return 0, b""
        distance = self.board.value("water.distance")
        if distance is None:
            return 0, b""
        mm = max(0, min(65535, round(distance * 1000)))
        head = bytes((0xFF, mm >> 8, mm & 255))
        return 100000, head + bytes((sum(head) & 255,))


class Logger:
    """A data logger's adapter: its rows live on the host."""

    def __init__(self, board: "Board", sensor: "dict[str, Any]") -> None:
        self.board = board
        self.sensor = sensor
        self.line = b""

    def heard(self, data: bytes) -> "tuple[int, bytes]":
        """(delay [us], answer) once a line is complete."""
        self.line += data
        if not self.line.endswith(b"\n"):
            return 0, b""
        line, self.line = self.line, b""
        if not self.board.powered(self.sensor):
            return 0, b""
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

    def present(self) -> bool:
        """Whether it answers the reset pulse."""
        self.state = "rom"
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
        if self.state != "read" or not self.scratchpad:
            return 0xFF
        byte, self.scratchpad = self.scratchpad[0], self.scratchpad[1:]
        return byte

    def _scratchpad(self) -> bytes:
        if 0 <= self.ready_at <= self.board.clock.now:
            self.raw = self.pending
        pad = bytes((self.raw & 255, self.raw >> 8 & 255, 0x4B, 0x46, 0x7F, 0xFF, 0x0C, 0x10))
        return pad + bytes((crc8(pad),))


class PulseMeter:
    """A water meter's contact: closed (low) for the first half of each pulse's volume."""

    def __init__(self, board: "Board", sensor: "dict[str, Any]") -> None:
        self.board = board
        self.sensor = sensor

    def pulses(self) -> int:
        """Pulses since the meter was made."""
        volume = self.board.value("water.volume")
        return 0 if volume is None else int(volume * self.sensor["pulses_per_l"])

    def level(self) -> int:
        """The contact with its pull-up."""
        volume = self.board.value("water.volume")
        return 1 if volume is None else int(volume * self.sensor["pulses_per_l"] * 2) & 1


class EventCounter:
    """A PCF8583 at 0x50 in event counter mode, fed by a meter (data sheet PCF8583, 8.3); it counts while all sleep."""

    def __init__(self, meter: PulseMeter) -> None:
        self.meter = meter
        self.control = 0
        self.zero = 0

    def read_mem(self, register: int, count: int) -> bytes:
        """Registers 0 (control) and 1..3 (six decimal digits)."""
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
