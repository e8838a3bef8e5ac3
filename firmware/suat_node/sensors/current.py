"""Current of the pump's motor, by what turns it into a voltage on an ADC pin.

"ac": a current transformer with its burden (SCT-013-030: 1 V RMS at 30 A) around half the supply, or a hall sensor on
the mains: I = k sqrt(mean((u - mean u)^2)). "dc": a hall sensor (ACS712, ACS758) or a shunt with its amplifier in a
solar pump's line: I = k (mean u - zero_v). k is `amps_per_v`. Means are over whole mains periods: over parts of one
they would swing with the phase, and a controller's ripple would stay in.
Hardware API: machine.ADC read_u16 (RP2040) or read_uv (ESP32); time.ticks_us, ticks_add, ticks_diff, sleep_us.
"""

import time
from array import array
from math import sqrt

from micropython import const

from suat_node.sensors import ADC_TOP_V, OPEN, OUT_OF_RANGE, SHORT, Fault, adc, microvolts

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Board, Options

_PERIODS = const(10)
_PER_PERIOD = const(40)  # 2 kHz at 50 Hz: up to the 19th harmonic
_DEAD_V = 0.05  # no sensor with a middle rests here


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """{"pump_current": A}."""
    converter = adc(sensor["adc"], board)
    step_us = 1000000 // (sensor["mains_hz"] * _PER_PERIOD)
    wave = array("i", bytes(4 * _PERIODS * _PER_PERIOD))
    due = time.ticks_us()
    for i in range(len(wave)):
        time.sleep_us(max(0, time.ticks_diff(due, time.ticks_us())))
        wave[i] = microvolts(converter, board)
        due = time.ticks_add(due, step_us)
    mean = sum(wave) / len(wave) / 1e6
    if mean > ADC_TOP_V:
        raise Fault(SHORT)
    zero = sensor["zero_v"]
    if mean < _DEAD_V < zero / 2:
        raise Fault(OPEN)
    if max(wave) / 1e6 > ADC_TOP_V or (min(wave) == 0 and sensor["mode"] == "ac"):  # the peaks are cut off
        raise Fault(OUT_OF_RANGE)
    if sensor["mode"] == "ac":
        return {"pump_current": sensor["amps_per_v"] * sqrt(sum((u / 1e6 - mean) ** 2 for u in wave) / len(wave))}
    if mean < zero - 0.1 - zero / 10:  # it flows backwards: wired the wrong way round
        raise Fault(OUT_OF_RANGE)
    return {"pump_current": sensor["amps_per_v"] * max(0.0, mean - zero)}
