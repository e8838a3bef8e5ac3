"""Real data-logger files as rows for a node's `logger` sensor: the US Sheep Experiment Station set (CC0 1.0).

A file is one logger: gzip CSV with time, plot, port, position, measure, value. Its clock is the logger's own, local and
without a zone; it is taken as UTC. One row of a logger is all its channels at one time. A time that comes twice is two
rows, in the file's order; a time outside the plausible span is a clock that was dead or has jumped, and the row is left
out and counted. Nothing is repaired: wrong values travel as they were logged.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import math
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# A logger that says another year than these has lost its clock: the type of logger was sold from about 2008, and
# nothing has been logged in the future. Give another span where that is wrong.
PLAUSIBLE_SPAN = ("2010-01-01", "2030-01-01")

# Position name -> (place in the node, depth in cm). The port is not used: the same position sat on various ports.
POSITIONS = {"5E": (1, 5), "5W": (2, 5), "25E": (3, 25), "25W": (4, 25)}
MEASURES = {"VWC": "vwc", "C": "temperature"}
COLUMNS = ("time", "plot", "port", "position", "measure", "value")
NO_VALUE = frozenset(("", "NA", "NaN", "nan"))


class ReplayError(ValueError):
    """A logger file that is absent or cannot be read; the message says which, where and why."""


@dataclass(frozen=True, slots=True)
class LoggerRow:
    """One row: `index` counts from 0 in time order, `time` is unix seconds, readings are by "probeN.FIELD"."""

    index: int
    time: int
    readings: dict[str, float]


@dataclass(frozen=True)
class LoggerFile:
    """One logger. left_out: readings (lines of the file) with a dead clock, by the year it showed; left_out_times: how
    many rows that were; empty: lines without a value."""

    name: str
    plot: str
    probes: tuple[tuple[str, int, int], ...]  # name, depth_cm, position 1..4
    rows: tuple[LoggerRow, ...]
    lines: int
    left_out: Mapping[int, int]
    left_out_times: int
    empty: int

    def rows_between(self, t0: float, t1: float) -> tuple[LoggerRow, ...]:
        """Rows with t0 <= time < t1, unix seconds, in time order: windows that touch give each row exactly once."""
        begin = bisect_left(self.rows, t0, key=_time)
        return self.rows[begin : bisect_left(self.rows, t1, lo=begin, key=_time)]

    def rows_from(self, index: int, now: float, limit: int) -> tuple[LoggerRow, ...]:
        """At most `limit` rows from number `index` on that the logger has already taken at `now`, unix seconds."""
        taken = bisect_right(self.rows, now, key=_time)
        return self.rows[max(0, index) : min(taken, max(0, index) + limit)]

    def ask(self, now: float, line: bytes) -> bytes:
        """The adapter's answer to `SINCE <n> <max>` at `now`: ROW lines and END (see suat_node.sensors.logger).

        Anything else is met with silence, as by the adapter.
        """
        words = line.split()
        if len(words) != 3 or words[0] != b"SINCE" or not (words[1].isdigit() and words[2].isdigit()):
            return b""
        rows = self.rows_from(int(words[1]), now, int(words[2]))
        newest = bisect_right(self.rows, now, key=_time) - 1
        return b"".join(_sealed(_row_text(row, now)) for row in rows) + _sealed(f"END {newest}")

    def at(self, t: float) -> dict[str, float | None]:
        """What the node beside the logger measures itself: its battery, nothing else (no reading is made up)."""
        return {"node.battery": 3.6, "node.solar": 0.0}

    def expected(self) -> Iterator[tuple[int, int, str, float]]:
        """(row index, unix seconds, "probeN.FIELD", value) of every reading that must be found at the far end."""
        for row in self.rows:
            for channel, value in row.readings.items():
                yield row.index, row.time, channel, value


def _time(row: LoggerRow) -> int:
    return row.time


def _row_text(row: LoggerRow, now: float) -> str:
    readings = " ".join(f"{channel}={value!r}" for channel, value in row.readings.items())
    return f"ROW {row.index} {int(now - row.time + 0.5)} {readings}"


def _sealed(text: str) -> bytes:
    """A line with its CRC-16/MODBUS."""
    crc = 0xFFFF
    for byte in text.encode():
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 255]
    return f"{text}*{crc:04X}\n".encode()


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ 0xA001 if byte & 1 else byte >> 1
    return byte


_CRC = tuple(_crc_of(byte) for byte in range(256))


def load_logger(path: Path, span: tuple[str, str] = PLAUSIBLE_SPAN) -> LoggerFile:
    """Read one logger file. `span`: first day that is plausible and first that is not any more (ISO dates, UTC)."""
    first, beyond = (int(_moment(day)) for day in span)
    rows: dict[tuple[int, int], dict[str, float]] = {}
    times: dict[str, int] = {}
    seen: Counter[tuple[str, int]] = Counter()
    left_out: Counter[int] = Counter()
    dead: set[tuple[int, int]] = set()
    probes: dict[str, tuple[int, int]] = {}
    plot, lines, empty = "", 0, 0
    for where, line in _lines(path):
        lines += 1
        plot = line["plot"]
        channel = _channel(line, where)
        stamp = line["time"]
        if stamp not in times:
            try:
                times[stamp] = int(_moment(stamp))
            except ValueError:
                raise ReplayError(f"{where}: time {stamp!r} is not like 2014-04-13T08:00") from None
        time = times[stamp]
        key = (time, seen[channel, time])
        seen[channel, time] += 1
        if not first <= time < beyond:
            left_out[dt.datetime.fromtimestamp(time, dt.UTC).year] += 1
            dead.add(key)
            continue
        if line["position"] in POSITIONS:
            probes[line["position"]] = POSITIONS[line["position"]]
        value = _value(line["value"], where)
        if value is None:
            empty += 1
        else:
            rows.setdefault(key, {})[channel] = value
    if not rows:
        raise ReplayError(f"{path}: no row with a time in {span[0]} .. {span[1]}; nothing to replay")
    ordered = (LoggerRow(i, key[0], _in_order(rows[key])) for i, key in enumerate(sorted(rows)))
    return LoggerFile(
        name=path.name.removesuffix(".csv.gz"),
        plot=plot,
        probes=tuple((name, depth, place) for name, (place, depth) in sorted(probes.items(), key=lambda item: item[1])),
        rows=tuple(ordered),
        lines=lines,
        left_out=dict(sorted(left_out.items())),
        left_out_times=len(dead),
        empty=empty,
    )


def load_loggers(folder: Path, span: tuple[str, str] = PLAUSIBLE_SPAN) -> tuple[LoggerFile, ...]:
    """All `*.csv.gz` of a folder, by name."""
    if not folder.is_dir():
        raise ReplayError(f"{folder}: no such folder; give the one that holds the logger files (*.csv.gz)")
    paths = sorted(folder.glob("*.csv.gz"))
    if not paths:
        raise ReplayError(f"{folder}: no logger file (*.csv.gz) in it")
    return tuple(load_logger(path, span) for path in paths)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The file's lines with where they are; every way in which the file can be damaged becomes a ReplayError."""
    number = 1
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
            reader = csv.reader(text)
            header = next(reader, None)
            if header is None or not set(COLUMNS) <= set(header):
                raise ReplayError(f"{path}: the first line must name the columns {', '.join(COLUMNS)}")
            places = [(name, header.index(name)) for name in COLUMNS]
            for number, row in enumerate(reader, start=2):
                if len(row) != len(header):
                    raise ReplayError(f"{path} line {number}: {len(row)} fields instead of {len(header)}")
                yield f"{path} line {number}", {name: row[place] for name, place in places}
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ReplayError(f"{path}: cannot be read after line {number}: {reason}") from error


def _channel(line: Mapping[str, str], where: str) -> str:
    """The channel a line belongs to: air to the node, each position to its probe."""
    measure = MEASURES.get(line["measure"])
    if measure is None:
        raise ReplayError(f"{where}: measure {line['measure']!r} is none of {', '.join(MEASURES)}")
    if line["position"] == "air" and measure == "temperature":
        return "node.air_temperature"
    if line["position"] not in POSITIONS:
        raise ReplayError(f"{where}: position {line['position']!r} is none of air, {', '.join(POSITIONS)}")
    return f"probe{POSITIONS[line['position']][0]}.{measure}"


def _value(text: str, where: str) -> float | None:
    if text in NO_VALUE:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ReplayError(f"{where}: value {text!r} is no number") from None
    if not math.isfinite(value):
        raise ReplayError(f"{where}: value {text!r} is not finite")
    return value


def _moment(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


def _in_order(readings: dict[str, float]) -> dict[str, float]:
    """Probes by number, then the air: the file has one port after the other, insertion order is not that."""
    return dict(sorted(readings.items(), key=lambda item: (item[0].startswith("node"), item[0])))
