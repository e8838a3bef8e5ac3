"""Ultrasonic level sensor on a serial line (A02YYUW, JSN-SR04T in its serial modes): distance to the water.

Frame: FF high low sum, where sum = (FF + high + low) mod 256, distance in millimetres; 9600 baud. Sensors that wait for
a trigger answer to any byte, the others send by themselves. Readings in the blind zone, beyond `far_mm`, and single
ghost echoes are left out by the median.
Hardware API: machine.UART (see sensors.uart): write, read(n), any, deinit.
"""

from suat_node import power
from suat_node.sensors import CORRUPT, MISSING, OUT_OF_RANGE, Fault, steady, uart

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Board, Options

_SPREAD_MM = 60  # waves on a trough stay below


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """{"distance": m} from the sensor's face to the water."""
    line = uart(sensor, 250)
    heard = False
    good: "list[int]" = []
    try:
        for _ in range(sensor["samples"]):
            power.feed()
            line.write(b"\x01")
            data = line.read(8)  # a frame, and one that was joined in the middle
            if data:
                heard = True
                good += _frames(data)
            elif not heard:
                raise Fault(MISSING)
    finally:
        line.deinit()
    if not good:
        raise Fault(CORRUPT)
    inside = [mm for mm in good if sensor["blind_mm"] <= mm <= sensor["far_mm"]]
    if 2 * len(inside) <= len(good):
        raise Fault(OUT_OF_RANGE)
    return {"distance": steady(inside, _SPREAD_MM) / 1000}


def _frames(data: bytes) -> "list[int]":
    """Distances in mm of the whole frames."""
    return [
        data[i + 1] << 8 | data[i + 2]
        for i in range(len(data) - 3)
        if data[i] == 0xFF and (0xFF + data[i + 1] + data[i + 2]) & 255 == data[i + 3]
    ]
