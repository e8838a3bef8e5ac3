"""Sensors: one file each, all with `read(options, board) -> {field: value}` or `rows(...)` for a data logger.

A sensor that fails raises Fault(code) or OSError; that costs its own reading only: its group gets the `fault` field.
The first fault of a group is the one that travels. Sensors on one power pin are switched on once and read in one go.
No driver waits or listens without end; the worst each can take: docs/wiring.md. `suat_node.config` checks options.
"""

import machine

from suat_node import power
from suat_node.keep import meter

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from suat_node.config import Board, Options, Readings

# places in suat_wire.document.FAULTS
MISSING = 1  # no answer at all
CORRUPT = 2  # an answer whose check sum is wrong, that stops in the middle, or an error
OUT_OF_RANGE = 3  # a value that the sensor cannot mean
OPEN = 4  # an electrical value that only an unplugged sensor gives
SHORT = 5
LOW_SUPPLY = 6  # the sensor started anew in the middle of it
UNSTEADY = 7  # repeated readings disagree

ADC_TOP_V = 3.0  # a reading beyond is the converter's end, not the sensor's: ESP32-S3 at 11 dB 3.1 V, RP2040 3.3 V


class Fault(Exception):
    """A sensor gave nothing usable; `code` is one of the above."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def driver(kind: str) -> "Any":
    """The module of a sensor kind, loaded only where it is used."""
    return __import__("suat_node.sensors." + kind, None, None, (kind,))


def read_all(sensors: "list[Options]", board: "Board") -> "Readings":
    """Read every sensor but loggers: {(group, field): value}, faults included."""
    readings: "Readings" = {}

    def read(_: "Options", board: "Board") -> None:
        for sensor in together:
            _read(sensor, board, readings)

    left = [sensor for sensor in sensors if sensor["kind"] != "logger"]
    while left:
        pin = left[0]["power"]
        together = [sensor for sensor in left if sensor["power"] == pin]
        left = [sensor for sensor in left if sensor["power"] != pin]
        powered(max(together, key=lambda sensor: sensor["warm_ms"]), board, read)  # type: ignore[no-any-return]
    return readings


def _read(sensor: "Options", board: "Board", readings: "Readings") -> None:
    group = sensor["at"]
    power.feed()
    try:
        fields = driver(sensor["kind"]).read(sensor, board)
        for name in fields:
            readings[(group, name)] = fields[name]
    except Exception as error:  # whatever a sensor does, the other readings travel
        code = fault_code(error)
        if (group, "fault") not in readings:
            readings[(group, "fault")] = code


def fault_code(error: Exception) -> int:
    """What travels for an exception of a driver."""
    if isinstance(error, Fault):
        return error.code
    return MISSING if isinstance(error, OSError) else CORRUPT


def powered(sensor: "Options", board: "Board", read: "Callable[[Options, Board], Any]") -> "Any":
    """Run `read(sensor, board)` with its supply on: its own pin, the board's VEXT; off again whatever happens."""
    pin = sensor["power"]
    supplies = [] if board.VEXT is None else [(board.VEXT, board.VEXT_LEVEL)]
    if pin is not None:
        supplies.append((pin, sensor["power_level"]))
    for pin, level in supplies:
        power.output(pin, level)
    try:
        if supplies:
            power.wait_ms(sensor["warm_ms"])
        return read(sensor, board)
    finally:
        for pin, level in supplies:
            power.output(pin, 1 - level)


def wake_pins(sensors: "list[Options]") -> "list[tuple[int, int]]":
    """Before sleep: [(gpio, level)] of the sensors with `wake`, as inputs: a change from what they show wakes."""
    if meter.before_sleep:
        meter.before_sleep()
    return [
        (sensor["pin"], 1 - machine.Pin(sensor["pin"], machine.Pin.IN, machine.Pin.PULL_UP).value())
        for sensor in sensors
        if sensor.get("wake")
    ]


def uart(sensor: "Options", timeout_ms: int, parity: "int | None" = None) -> "machine.UART":
    """Open the sensor's serial line anew: the RP2040 stops it in lightsleep. 8 data bits, 1 stop bit."""
    return machine.UART(
        sensor["uart"],
        baudrate=sensor["baud"],
        bits=8,
        parity=parity,
        stop=1,
        tx=machine.Pin(sensor["tx"]),
        rx=machine.Pin(sensor["rx"]),
        timeout=timeout_ms,
        timeout_char=20,
        rxbuf=512,
    )


def adc(pin: int, board: "Board") -> "machine.ADC":
    """An ADC over its whole range: 0..3.3 V on the RP2040, 0..about 3.1 V on the ESP32-S3 (11 dB)."""
    if board.CHIP == "rp2040":
        return machine.ADC(machine.Pin(pin))
    return machine.ADC(machine.Pin(pin), atten=machine.ADC.ATTN_11DB)


def microvolts(converter: "machine.ADC", board: "Board") -> int:
    """One reading: the ESP32 knows its own calibration (read_uv), the RP2040 has a 3.3 V reference."""
    if board.CHIP == "rp2040":
        return converter.read_u16() * 3300000 // 65535
    return int(converter.read_uv())  # type: ignore[attr-defined,unused-ignore]


def volts(converter: "machine.ADC", board: "Board", samples: int, spread_uv: int = 1 << 30) -> float:
    """Median voltage of the pin; Fault(UNSTEADY) as `steady`."""
    return steady([microvolts(converter, board) for _ in range(samples)], spread_uv) / 1000000


def steady(values: "list[int]", spread: int) -> int:
    """The median of readings whose middle half agrees within `spread`; else Fault(UNSTEADY)."""
    values.sort()
    n = len(values)
    if values[n * 3 // 4] - values[n // 4] > spread:
        raise Fault(UNSTEADY)
    return values[n // 2]
