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
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def replay_station(folder: Path, span: tuple[str, str] = PLAUSIBLE_SPAN) -> dict[str, Any]:
    """A scenario for the loggers of a folder, in the shape of `scenario.demo_station` without weather and herds: one
    paddock a plot, one node a logger. `loggers` holds the files by node name; start and end span all their rows."""
    loggers = load_loggers(folder, span)
    start = min(logger.rows[0].time for logger in loggers)
    end = max(logger.rows[-1].time for logger in loggers)
    texture = station_texture(folder)
    plots = sorted({logger.plot for logger in loggers})
    return {
        "start": _iso(start),
        "end": _iso(end),
        "days": -(-(end - start + 1) // 86400),
        "config": {
            "station": {"name": "USSES Dubois", "timezone": "UTC", "region": "IN865"},
            "paddock": [
                {
                    "id": plot.lower(),
                    "name": {"en": f"Plot {plot}", "ru": f"Участок {plot}", "kk": f"{plot} телімі"},
                    "area_ha": 1.0,
                    "kind": "spring_autumn",
                    "soil": texture,
                    "alternative": "river",
                }
                for plot in plots
            ],
            "water_point": [],
            "herd": [],
        },
        "nodes": [
            {
                "name": logger.name,
                "kind": "soil",
                "paddock": logger.plot.lower(),
                "probes": [{"name": name, "depth_cm": cm, "position": place} for name, cm, place in logger.probes],
                "x_km": 1.0 + 0.7 * i,
                "y_km": 0.5 * i - 0.7,
            }
            for i, logger in enumerate(loggers)
        ],
        "moves": [],
        "events": [],
        "loggers": {logger.name: logger for logger in loggers},
    }


def _iso(t: int) -> str:
    return dt.datetime.fromtimestamp(t, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def station_texture(folder: Path) -> str:
    """Texture class of the top layer in `soil_texture.csv`; loam where the file is not there."""
    path = folder / "soil_texture.csv"
    if not path.exists():
        return "loam"
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(("#", '"#'))]
        first = next(csv.DictReader(lines))
        return texture_class(float(first["clay"]), float(first["silt"]), float(first["sand"]))
    except (OSError, KeyError, ValueError, TypeError, StopIteration) as error:
        raise ReplayError(f"{path}: no depth with clay, silt and sand in percent: {error!r}") from error


def texture_class(clay: float, silt: float, sand: float) -> str:
    """USDA texture class of percent clay, silt, sand; classes without figures in the station's table go to the one
    nearest by clay (sandy clay loam -> clay loam; sandy and silty clay -> clay; silt -> silt loam)."""
    if abs(clay + silt + sand - 100) > 2:
        raise ValueError(f"clay {clay}, silt {silt} and sand {sand} % do not make 100")
    classes = (
        ("sand", silt + 1.5 * clay < 15),
        ("loamy_sand", silt + 2 * clay < 30),
        ("clay", clay >= 40 or (clay >= 35 and sand > 45)),
        ("clay_loam", clay >= 27 and sand > 20),
        ("silty_clay_loam", clay >= 27),
        ("clay_loam", clay >= 20 and silt < 28 and sand > 45),
        ("silt_loam", silt >= 50),
        ("loam", clay >= 7 and silt >= 28 and sand <= 52),
        ("sandy_loam", True),
    )
    return next(name for name, holds in classes if holds)
