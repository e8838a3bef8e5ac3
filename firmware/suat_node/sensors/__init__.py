"""Sensors: one file each, all with `read(options, board) -> {field: value}` or `rows(...)` for a data logger.

A sensor that fails raises Fault(code) or OSError; that costs its own reading only: its group gets the `fault` field.
The first fault of a group is the one that travels. Options are checked by `suat_node.config`.
"""

import machine

from suat_node import power

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
UNSTEADY = 7  # repeated readings disagree


class Fault(Exception):
    """A sensor gave nothing usable; `code` is one of the above."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def driver(kind: str) -> "Any":
    """The module of a sensor kind, loaded only where it is used."""
    return __import__("suat_node.sensors." + kind, None, None, (kind,))


def read_all(sensors: "list[Options]", board: "Board") -> "Readings":
    """Read every sensor but loggers, in order: {(group, field): value}, faults included."""
    readings: "Readings" = {}
    switch_vext(board, True)
    for sensor in sensors:
        if sensor["kind"] == "logger":
            continue
        group = sensor["at"]
        power.feed()
        try:
            fields = powered(sensor, board, driver(sensor["kind"]).read)
            for name in fields:
                readings[(group, name)] = fields[name]
        except Exception as error:  # whatever a sensor does, the other readings travel
            code = fault_code(error)
            if (group, "fault") not in readings:
                readings[(group, "fault")] = code
    switch_vext(board, False)
    return readings


def fault_code(error: Exception) -> int:
    """What travels for an exception of a driver."""
    if isinstance(error, Fault):
        return error.code
    return MISSING if isinstance(error, OSError) else CORRUPT


def powered(sensor: "Options", board: "Board", read: "Callable[[Options, Board], Any]") -> "Any":
    """Run `read(sensor, board)` with the sensor's supply switched on around it."""
    pin = sensor["power"]
    if pin is None:
        return read(sensor, board)
    switch = power.output(pin, sensor["power_level"])
    try:
        power.wait_ms(sensor["warm_ms"])
        return read(sensor, board)
    finally:
        switch.value(1 - sensor["power_level"])


def switch_vext(board: "Board", on: bool) -> None:
    """The supply that some boards switch for everything outside."""
    if board.VEXT is not None:
        power.output(board.VEXT, board.VEXT_LEVEL if on else 1 - board.VEXT_LEVEL)


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


def volts(converter: "machine.ADC", board: "Board", samples: int) -> float:
    """Median voltage of the pin; the ESP32 knows its own calibration (read_uv), the RP2040 has a 3.3 V reference."""
    if board.CHIP == "rp2040":
        return median([converter.read_u16() for _ in range(samples)]) * 3.3 / 65535
    microvolts = [converter.read_uv() for _ in range(samples)]  # type: ignore[attr-defined,unused-ignore]
    return median(microvolts) / 1000000


def median(values: "list[int]") -> int:
    """Middle of an odd count, the lower middle of an even one."""
    values.sort()
    return values[(len(values) - 1) // 2]
