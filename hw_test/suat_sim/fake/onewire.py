"""`onewire` as on the boards; on the wire may be one DS18B20 (suat_sim.devices)."""

from suat_sim import board as _board
from suat_sim.devices import crc8 as _crc8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine import Pin

_BIT_US = 65


class OneWireError(Exception):
    """Nobody answered."""


class OneWire:
    """One bus on one pin."""

    SEARCH_ROM = 0xF0
    MATCH_ROM = 0x55
    SKIP_ROM = 0xCC

    def __init__(self, pin: "Pin") -> None:
        self.pin = pin
        self.device = _board.current.wires.get(pin.number)
        if _board.current.esp32:  # an open drain shows the output register, 0 until somebody writes it (machine_pin.c)
            _board.current.levels.setdefault(pin.number, 0)

    def reset(self, required: bool = False) -> bool:
        """Reset pulse; whether a presence pulse came."""
        _board.current.clock.spend(960)
        _board.current.levels[self.pin.number] = 1
        found = self.device is not None and _board.current.guard(self.device.present)
        if required and not found:
            raise OneWireError
        return found

    def writebyte(self, value: int) -> None:
        """Send one byte."""
        _board.current.clock.spend(8 * _BIT_US)
        if self.device is not None:
            _board.current.guard(self.device.write, value)

    def readbyte(self) -> int:
        """Read one byte; ones when nobody drives the wire."""
        _board.current.clock.spend(8 * _BIT_US)
        return 0xFF if self.device is None else _board.current.guard(self.device.read)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        for byte in data:
            self.writebyte(byte)

    def readinto(self, buffer: bytearray) -> None:
        """Fill the buffer."""
        for i in range(len(buffer)):
            buffer[i] = self.readbyte()

    def crc8(self, data: "bytes | bytearray") -> int:
        """CRC-8/MAXIM."""
        return _crc8(data)
