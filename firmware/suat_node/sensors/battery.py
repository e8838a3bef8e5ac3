"""Battery voltage through the board's own divider.

Hardware API: machine.ADC read_u16 (RP2040) or read_uv (ESP32); machine.Pin where the divider is switched.
"""

import machine

from suat_node import power
from suat_node.sensors import OPEN, Fault, adc, volts

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Board, Options


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """{"battery": V}."""
    pin, level = board.BATTERY_ENABLE, board.BATTERY_LEVEL
    if pin is None:
        return {"battery": _volts(sensor, board)}
    if level is None:
        level = 1 - machine.Pin(pin, machine.Pin.IN).value()  # it rests, or is held, where the divider is off
    switch = power.output(pin, level)
    try:
        power.wait_ms(10)  # the divider's resistance charges the ADC's input
        return {"battery": _volts(sensor, board)}
    finally:
        switch.value(1 - level)


def _volts(sensor: "Options", board: "Board") -> float:
    found = volts(adc(board.BATTERY_ADC, board), board, sensor["samples"]) * board.BATTERY_DIVIDER
    if found < 1:  # no node runs on that: the divider is not connected
        raise Fault(OPEN)
    return found
