"""Water meter with a pulse output: cumulative volume.

Two sources. "pin": a counter in the chip; pulses_rp2040.py and pulses_esp32s3.py say what each counts while the board
sleeps. "pcf8583": an external counter on I2C that counts by itself whatever the board does; it survives the node's
battery change if it has its own supply.
The node keeps the total (`Counters.pulses`); this file only says how many pulses were new.
Hardware API: machine.Pin; machine.I2C(id, sda, scl, freq) readfrom_mem(addr, reg, n), writeto_mem.
"""

import machine

from suat_node.keep import meter
from suat_node.sensors import LOW_SUPPLY, OUT_OF_RANGE, SHORT, UNSTEADY, Fault, driver

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Board, Options

_ADDRESS = 0x50  # PCF8583 with A0 low
_EVENT_COUNTER = 0x20  # control/status: function mode 10 (datasheet section 8.3)
_MODULUS = 1000000  # six decimal digits
_PRECISE = 1000000


def start(sensor: "Options", board: "Board") -> None:
    """Begin to count on the pin (once per start of the program)."""
    if sensor["source"] == "pin":
        driver("pulses_" + board.CHIP).start(sensor)


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """{"volume": L} since the node's first start: whole litres. LOW_SUPPLY, UNSTEADY: some were not counted."""
    if sensor["source"] == "pin":
        pulses = driver("pulses_" + board.CHIP)
        pulses.start(sensor)
        total = meter.add(pulses.count(), "pin")
        if pulses.missed():
            raise Fault(UNSTEADY)
    else:
        count = _external(sensor)
        total = meter.add((max(0, count), _MODULUS), "pcf8583")
        if count < 0 and total:
            raise Fault(LOW_SUPPLY)
    return {"volume": total * _PRECISE // int(sensor["pulses_per_l"] * _PRECISE + 0.5)}  # floats have 24 bits there


def _external(sensor: "Options") -> int:
    """The chip's six digits; -1: it had lost its supply and begins at 0."""
    for name in ("sda", "scl"):  # a bus held low: each transfer would wait for its time limit
        if not machine.Pin(sensor[name], machine.Pin.IN, machine.Pin.PULL_UP).value():
            raise Fault(SHORT)
    bus = machine.I2C(sensor["i2c"], sda=machine.Pin(sensor["sda"]), scl=machine.Pin(sensor["scl"]), freq=100000)
    state = bus.readfrom_mem(_ADDRESS, 0, 4)
    if state[0] & 0x30 != _EVENT_COUNTER:
        bus.writeto_mem(_ADDRESS, 0, bytes((_EVENT_COUNTER, 0, 0, 0)))
        return -1
    count = 0
    for byte in (state[3], state[2], state[1]):  # two digits a byte, lowest first
        if byte >> 4 > 9 or byte & 15 > 9:
            raise Fault(OUT_OF_RANGE)
        count = count * 100 + (byte >> 4) * 10 + (byte & 15)
    return count
