"""Voltage of the solar panel through a divider on an ADC pin. At night it is 0, and so is an unplugged panel's.

Hardware API: machine.ADC read_u16 (RP2040) or read_uv (ESP32).
"""

from suat_node.sensors import ADC_TOP_V, OUT_OF_RANGE, Fault, adc, volts

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Board, Options


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """{"solar": V}."""
    pin_v = volts(adc(sensor["adc"], board), board, sensor["samples"])
    if pin_v > ADC_TOP_V:  # the panel gives more than the divider is made for
        raise Fault(OUT_OF_RANGE)
    return {"solar": pin_v * sensor["divider"]}
