"""A table of calibration points as people keep it in a spreadsheet: CSV with a header line."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

from suat.commands.options import instant_us
from suat.errors import UsageError
from suat.quality.campaign import Subject, Taken, check
from suat.store.calibration import Point

NUMBERS = ("raw", "temperature_c", "tin_g", "wet_g", "dry_g", "volume_cm3", "moisture")
COLUMNS = ("kind", "label", "at", "field", *NUMBERS)


def read_points(
    path: Path, probe: Subject, others: list[Point], made_by: str, now_us: int, taken_at: Callable[[int], Taken]
) -> list[Point]:
    """The points of a file; where `raw` is empty, what the probe gave is asked of `taken_at`. UsageError: the line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            dialect = ";" if ";" in file.readline() else ","
            file.seek(0)
            rows = list(csv.DictReader(file, delimiter=dialect))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: no CSV in UTF-8 ({error})") from None
    found: list[Point] = []
    for line, row in enumerate(rows, 2):
        try:
            point = _point(row, probe, made_by, now_us, taken_at, len(others) + len(found) + 1)
            found.append(check(point, [*others, *found]))
        except UsageError as error:
            raise UsageError(f"{path}, line {line}: {error}") from None
    if not found:
        raise UsageError(f"{path}: no points; the first line names the columns: {', '.join(COLUMNS)}")
    return found


def _point(
    row: dict[str | None, str], probe: Subject, made_by: str, now_us: int, taken_at: Callable[[int], Taken], place: int
) -> Point:
    if None in row:
        raise UsageError("it has more cells than the first line has columns")
    unknown = [str(name) for name in row if name not in COLUMNS]
    if unknown:
        raise UsageError(f'there is no column "{unknown[0]}"; there are {", ".join(COLUMNS)}')
    text = {str(name): (value or "").strip() for name, value in row.items()}
    numbers = {name: number(text[name]) if text.get(name) else None for name in NUMBERS}
    at_us = instant_us(text["at"], "at") if text.get("at") else now_us
    raw = numbers.pop("raw")
    temperature = numbers.pop("temperature_c")
    field = text.get("field") or "count"
    if raw is None:
        if not text.get("at"):
            raise UsageError("give raw, what the probe gave, or at, when it was read")
        taken = taken_at(at_us)
        field, raw, temperature = taken.field, taken.raw, taken.temperature_c if temperature is None else temperature
    kind = text.get("kind") or "soil"
    label = text.get("label") or f"{kind}-{place}"
    return Point(
        probe.registration,
        probe.group,
        label,
        kind,
        at_us,
        field,
        raw,
        temperature,
        numbers["tin_g"],
        numbers["wet_g"],
        numbers["dry_g"],
        numbers["volume_cm3"],
        numbers["moisture"],
        made_by,
    )


def number(text: str) -> float:
    """A number as people write it, with a point or a comma; UsageError."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f'"{text}" is no number')
    return value
