"""Battery voltage through the board's own divider.

Hardware API: machine.ADC read_u16 (RP2040) or read_uv (ESP32); machine.Pin where the divider is switched.
"""

from suat_node import power
from suat_node.sensors import adc, volts

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Board, Options


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """{"battery": V}."""
    if board.BATTERY_ENABLE is None:
        return {"battery": _volts(sensor, board)}
    switch = power.output(board.BATTERY_ENABLE, board.BATTERY_LEVEL)
    try:
        power.wait_ms(10)  # the divider's resistance charges the ADC's input
        return {"battery": _volts(sensor, board)}
    finally:
        switch.value(1 - board.BATTERY_LEVEL)


def _volts(sensor: "Options", board: "Board") -> float:
    return volts(adc(board.BATTERY_ADC, board), board, sensor["samples"]) * board.BATTERY_DIVIDER
