"""Water meter with a pulse output: cumulative volume.

Two sources. "pin": an interrupt counts while the program lives, that is on boards that stay in light sleep (RP2040:
the pulse must wake it; pulses of a second or longer, as reed meters give, are safe). "pcf8583": an external counter on
I2C that counts by itself, for boards in deep sleep; it survives the node's battery change if it has its own supply.
The node keeps the total (`Counters.pulses`); this file only says how many pulses were new.
Hardware API: machine.Pin.irq(handler, trigger); machine.I2C(id, sda, scl, freq) readfrom_mem(addr, reg, n).
"""

import time

import machine

from suat_node.sensors import OUT_OF_RANGE, Fault

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any

    from suat_node.config import Board, Options

_ADDRESS = 0x50  # PCF8583 with A0 low
_EVENT_COUNTER = 0x20  # control/status: function mode 10 (datasheet section 8.3)

_pulses = 0
_last_ms: "Any" = 0
_debounce_ms = 0
_armed = False


def _count(pin: "machine.Pin") -> None:
    global _pulses, _last_ms
    now = time.ticks_ms()
    if time.ticks_diff(now, _last_ms) >= _debounce_ms:
        _pulses += 1
        _last_ms = now


def start(sensor: "Options") -> None:
    """Begin to count on the pin (once per start of the program)."""
    global _armed, _debounce_ms
    if sensor["source"] == "pin" and not _armed:
        _debounce_ms = sensor["debounce_ms"]
        machine.Pin(sensor["pin"], machine.Pin.IN, machine.Pin.PULL_UP).irq(_count, machine.Pin.IRQ_FALLING)
        _armed = True


def raw(sensor: "Options") -> "tuple[int, int]":
    """(count now, modulus): the caller takes the difference to its last count."""
    if sensor["source"] == "pin":
        return _pulses, 1 << 30
    bus = machine.I2C(sensor["i2c"], sda=machine.Pin(sensor["sda"]), scl=machine.Pin(sensor["scl"]), freq=100000)
    state = bus.readfrom_mem(_ADDRESS, 0, 4)
    if state[0] & 0x30 != _EVENT_COUNTER:  # it lost its supply: begin to count from 0
        bus.writeto_mem(_ADDRESS, 0, bytes((_EVENT_COUNTER, 0, 0, 0)))
        return 0, 1000000
    count = 0
    for byte in (state[3], state[2], state[1]):  # six decimal digits, two a byte, lowest first
        if byte >> 4 > 9 or byte & 15 > 9:
            raise Fault(OUT_OF_RANGE)
        count = count * 100 + (byte >> 4) * 10 + (byte & 15)
    return count, 1000000


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """{"volume": L} since the node's first start: whole litres."""
    from suat_node.keep import meter

    start(sensor)
    return {"volume": int(meter.add(raw(sensor), sensor["source"]) / sensor["pulses_per_l"])}
