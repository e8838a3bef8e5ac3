"""A data logger on a serial line: each of its rows becomes one sample with its own age.

Line protocol (ASCII, LF, 9600 8N1), made for a 60-line adapter in front of any logger:

    node    SINCE <n> <max>\n                          rows from number <n> on, oldest first, at most <max>
    logger  ROW <n> <age> <group>.<field>=<value> ...*<crc>\n      <n> only ever rises, <age> in whole seconds
            END <newest>*<crc>\n                       the newest row the logger holds

<crc>: CRC-16/MODBUS of everything before the asterisk, four hexadecimal digits. A value that the logger does not have
is left out. A damaged line ends the answer: its row is asked again at the next wake.
Hardware API: machine.UART (see sensors.uart): write, readline(size), any, deinit.
"""

import time

from suat_node import power
from suat_node.sensors import CORRUPT, MISSING, Fault, uart
from suat_node.sensors.rs485 import crc16

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any

    import machine

    from suat_node.config import Board, Options

    Row = tuple[int, int, dict[tuple[str, str], float]]


_LINE = 400  # all fields of all probes; more is nobody's line
_LINE_MS = 4000  # of them at 1200 baud


def rows(sensor: "Options", board: "Board", since: int) -> "list[Row]":
    """[(row number, age in s, readings)] from number `since` on. Fault: not even one line could be used."""
    line = uart(sensor, sensor["timeout_ms"])
    out: "list[Row]" = []
    try:
        if line.any():
            line.read(line.any())
        line.write(b"SINCE %d %d\n" % (since, sensor["rows"]))
        while len(out) <= sensor["rows"]:
            text = _line(line)
            if not text:
                return _some(out, MISSING)
            words = _checked(text)
            if words is None:
                return _some(out, CORRUPT)
            if words[0] == "END":
                return out
            row = _row(words)
            if row is None or row[0] < (out[-1][0] + 1 if out else since):
                return _some(out, CORRUPT)
            out.append(row)
        return out
    finally:
        line.deinit()


def _line(line: "machine.UART") -> bytes:
    """The bytes up to LF; noise that trickles in costs 4 s: `readline` itself would wait its time limit for each."""
    text = b""
    began: "Any" = 0
    while len(text) < _LINE and text[-1:] != b"\n":
        power.feed()
        piece = line.readline(max(1, min(line.any(), _LINE - len(text))))  # type: ignore[call-arg,unused-ignore]
        if not piece:
            break
        if not text:
            began = time.ticks_ms()
        text += piece
        if time.ticks_diff(time.ticks_ms(), began) > _LINE_MS:
            break
    return text


def _some(out: "list[Row]", code: int) -> "list[Row]":
    """What arrived before the answer broke is good; nothing at all is a fault."""
    if not out:
        raise Fault(code)
    return out


def _checked(text: bytes) -> "list[str] | None":
    """The words of a line whose CRC is right."""
    body, star, crc = text.strip().partition(b"*")
    low, high = crc16(body)
    if not star or crc.upper() != b"%02X%02X" % (high, low):
        return None
    return body.decode().split(" ")


def _row(words: "list[str]") -> "Row | None":
    if len(words) < 3 or words[0] != "ROW":
        return None
    readings: "dict[tuple[str, str], float]" = {}
    try:
        for word in words[3:]:
            name, _, value = word.partition("=")
            group, _, field = name.partition(".")
            readings[(group, field)] = float(value)
        return int(words[1]), int(words[2]), readings
    except ValueError:
        return None
