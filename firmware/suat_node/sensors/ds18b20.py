"""DS18B20 thermometer: soil temperature at a probe, water temperature, or air temperature at "node".

One sensor on its own wire (Skip ROM). The power-on value 85 C and a scratchpad with a wrong CRC are refused
(DS18B20 datasheet, sections "Operation - Measuring Temperature", "CRC Generation").
Hardware API: the `onewire` module of MicroPython: OneWire(Pin), pin, reset() -> bool, writebyte,
readinto, crc8.
"""

import machine
import onewire

from suat_node import power
from suat_node.sensors import CORRUPT, LOW_SUPPLY, MISSING, OUT_OF_RANGE, SHORT, Fault

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any

    from suat_node.config import Board, Options

_SKIP_ROM, _CONVERT, _READ = 0xCC, 0x44, 0xBE
_CONVERT_MS = 750  # 12 bits
_POWER_ON = 85 * 16


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """{"temperature": C} or, at "node", {"air_temperature": C}."""
    bus = onewire.OneWire(machine.Pin(sensor["pin"]))
    name = "air_temperature" if sensor["at"] == "node" else "temperature"
    error = Fault(MISSING)
    for _ in range(2):
        try:
            return {name: _measure(bus)}
        except Fault as fault:
            error = fault
    raise error


def _measure(bus: "Any") -> float:
    bus.pin.value(1)  # OneWire leaves an ESP32's pin low; to a sensor that is a reset, which it answers within 0.3 ms
    power.wait_ms(1)
    if not bus.pin.value():  # held low; a reset would take it for a sensor
        raise Fault(SHORT)
    if not bus.reset():
        raise Fault(MISSING)
    bus.writebyte(_SKIP_ROM)
    bus.writebyte(_CONVERT)
    power.wait_ms(_CONVERT_MS)
    if not bus.reset():
        raise Fault(MISSING)
    bus.writebyte(_SKIP_ROM)
    bus.writebyte(_READ)
    pad = bytearray(9)
    bus.readinto(pad)
    if pad == b"\xff" * 9:  # nobody drove the line
        raise Fault(MISSING)
    if pad == bytes(9):  # a shorted line; nine zeros would even carry a valid CRC
        raise Fault(SHORT)
    if bus.crc8(pad):
        raise Fault(CORRUPT)
    raw = pad[0] | pad[1] << 8
    if raw > 32767:
        raw -= 65536
    if raw == _POWER_ON:  # it lost its supply while it measured
        raise Fault(LOW_SUPPLY)
    if not -55 * 16 <= raw <= 125 * 16:
        raise Fault(OUT_OF_RANGE)
    return raw / 16
