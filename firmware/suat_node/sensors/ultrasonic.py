"""Ultrasonic level sensor on a serial line (A02YYUW, JSN-SR04T in its serial modes): distance to the water.

Frame: FF high low sum, where sum = (FF + high + low) mod 256, distance in millimetres; 9600 baud. Sensors that wait for
a trigger answer to any byte, the others send by themselves. Readings in the blind zone, beyond `far_mm`, and single
ghost echoes are left out by the median.
Hardware API: machine.UART (see sensors.uart): write, read(n), any, deinit.
"""

from suat_node import power
from suat_node.sensors import CORRUPT, MISSING, OUT_OF_RANGE, UNSTEADY, Fault, uart

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    import machine

    from suat_node.config import Board, Options

_SPREAD_MM = 60  # waves on a trough stay below


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """{"distance": m} from the sensor's face to the water."""
    line = uart(sensor, 250)
    heard = 0
    good: "list[int]" = []
    try:
        for _ in range(sensor["samples"]):
            power.feed()
            line.write(b"\x01")
            frame = _frame(line)
            if frame is None:
                if not heard and len(good) == 0:
                    break
                continue
            heard += 1
            if frame >= 0:
                good.append(frame)
    finally:
        line.deinit()
    if not heard:
        raise Fault(MISSING)
    if not good:
        raise Fault(CORRUPT)
    inside = sorted([mm for mm in good if sensor["blind_mm"] <= mm <= sensor["far_mm"]])
    if 2 * len(inside) <= len(good):
        raise Fault(OUT_OF_RANGE)
    n = len(inside)
    if inside[n * 3 // 4] - inside[n // 4] > _SPREAD_MM:
        raise Fault(UNSTEADY)
    return {"distance": inside[n // 2] / 1000}


def _frame(line: "machine.UART") -> "int | None":
    """Distance in mm; -1 for a frame with a wrong sum; None when nothing came."""
    for _ in range(8):  # find the start in a stream that was joined in the middle
        byte = line.read(1)
        if not byte:
            return None
        if byte == b"\xff":
            rest = line.read(3)
            if not rest or len(rest) < 3:
                return None
            return rest[0] << 8 | rest[1] if (0xFF + rest[0] + rest[1]) & 255 == rest[2] else -1
    return -1
