"""Capacitive soil moisture probe on an ADC pin: the normalised count, 0 (0 V) to 1 (full scale).

The probe gives less voltage the wetter the soil. What a count means in m3/m3 is the gateway's calibration alone.
Hardware API: machine.ADC(Pin).read_u16(); on ESP32 ADC(Pin, atten=ADC.ATTN_11DB).
"""

from suat_node.sensors import OPEN, SHORT, Fault, adc, steady

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Board, Options

# A live probe stays within about 0.8..2.6 V of 3.3 V; beyond these it is unplugged or shorted.
_LOW, _HIGH = 1300, 64200
_SPREAD = 6000  # between quartiles: a floating input does this, a probe does not


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """{"count": 0..1}: the median of `samples` readings."""
    converter = adc(sensor["adc"], board)
    middle = steady([converter.read_u16() for _ in range(sensor["samples"])], _SPREAD)
    if middle < _LOW:  # a short to ground; an unplugged line that is pulled down looks the same
        raise Fault(SHORT)
    if middle > _HIGH:
        raise Fault(OPEN)
    return {"count": middle / 65535}
