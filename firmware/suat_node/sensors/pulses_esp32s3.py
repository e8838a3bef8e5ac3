"""Pulses of a contact to ground on an ESP32-S3: counted by its PCNT while awake, one a wake while in deep sleep.

PCNT stands still in deep sleep, but a change of an RTC pin (GPIO 0..21) starts the program: each pulse costs two short
lives, at its beginning and at its end. So at most _MOST of them between two samples, and only meters with few pulses:
10 L a pulse, each half of it a second or longer. PCNT's own filter ends at 12.8 us: a bouncing contact needs a
capacitor (docs/wiring.md). What was counted is added to the total before each sleep.
Hardware API: esp32.PCNT(id, pin, falling, filter): start, value; Pin.
"""

import esp32  # type: ignore[import-not-found,unused-ignore]
import machine
from micropython import const

from suat_node import power
from suat_node.keep import meter

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any

    from suat_node.config import Options

_MOST = const(80)  # wakes for pulses between two samples
_MODULUS = const(32767)  # PCNT begins at 0 again there

_counter: "Any" = None
_pin: "Any" = None
_before = 0  # the pulse that started the program
_wakes = 0  # for pulses, since the last sample


def start(sensor: "Options") -> None:
    """Begin to count, once; a wake by the contact that was open is a pulse."""
    global _counter, _pin, _before, _wakes
    if _counter is None:
        _pin = machine.Pin(sensor["pin"], machine.Pin.IN, machine.Pin.PULL_UP)
        _counter = esp32.PCNT(0, pin=_pin, falling=esp32.PCNT.INCREMENT, filter=1023)  # type: ignore[attr-defined,unused-ignore]
        _counter.start()
        slept = meter.counters.pulse_last if meter.counters else 0  # what _bank left
        power.pulse_pin = sensor["pin"]
        if sensor["pin"] in power.changed_pins():
            _before = slept & 1
        _wakes = slept >> 1
        meter.before_sleep = _bank


def count() -> "tuple[int, int]":
    """(pulses since the start, modulus)."""
    return _before + _counter.value(), _MODULUS


def missed() -> bool:
    """Whether some pulses could not be counted since the last sample."""
    global _wakes
    wakes, _wakes = _wakes, 0
    return wakes > _MOST


def _bank() -> None:
    """Before sleep: add what was counted; note the contact's level (bit 0) and the wakes (above it)."""
    counters = meter.counters
    if counters is None:
        return
    meter.add(count(), "pin")
    level = _pin.value()
    counters.pulse_last = _wakes + 1 << 1 | level
    power.pulse_level = 1 - level if _wakes < _MOST and counters.battery_state < power.FLOOR else None
