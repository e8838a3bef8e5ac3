"""Submersible pressure level probe, 4-20 mA through a shunt on an ADC pin: depth of the water above it.

depth = (I - 4 mA) / 16 mA * full_m. NAMUR NE 43: below 3.6 mA the loop is broken, above 21 mA it is shorted.
Hardware API: machine.ADC read_u16 (RP2040) or read_uv (ESP32).
"""

from suat_node.sensors import OPEN, SHORT, Fault, adc, volts

_SPREAD_MA = 1.0  # a sixteenth of the range: no water moves so fast

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Board, Options


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """{"depth": m}."""
    converter = adc(sensor["adc"], board)
    noise = int(_SPREAD_MA * 1000 * sensor["shunt_ohm"])
    milliamps = 1000 * volts(converter, board, sensor["samples"], noise) / sensor["shunt_ohm"]
    if milliamps < 3.6:
        raise Fault(OPEN)
    if milliamps > 21.0:
        raise Fault(SHORT)
    return {"depth": max(0.0, (milliamps - 4.0) / 16.0 * sensor["full_m"])}
