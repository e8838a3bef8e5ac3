"""A table of calibration points as people keep it in a spreadsheet: CSV with a header line."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

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
    for number, row in enumerate(rows, 2):
        try:
            point = _point(row, probe, made_by, now_us, taken_at, len(others) + len(found) + 1)
            found.append(check(point, [*others, *found]))
        except UsageError as error:
            raise UsageError(f"{path}, line {number}: {error}") from None
    if not found:
        raise UsageError(f"{path}: no points; the first line names the columns: {', '.join(COLUMNS)}")
    return found


def _point(
    row: dict[str | None, str], probe: Subject, made_by: str, now_us: int, taken_at: Callable[[int], Taken], number: int
) -> Point:
    unknown = [str(name) for name in row if name not in COLUMNS]
    if unknown:
        raise UsageError(f'there is no column "{unknown[0]}"; there are {", ".join(COLUMNS)}')
    text = {str(name): (value or "").strip() for name, value in row.items()}
    numbers = {name: _number(name, text.get(name, "")) for name in NUMBERS}
    at_us = _instant(text["at"]) if text.get("at") else now_us
    raw = numbers.pop("raw")
    temperature = numbers.pop("temperature_c")
    field = text.get("field") or "count"
    if raw is None:
        if not text.get("at"):
            raise UsageError("give raw, what the probe gave, or at, when it was read")
        taken = taken_at(at_us)
        field, raw, temperature = taken.field, taken.raw, taken.temperature_c if temperature is None else temperature
    kind = text.get("kind") or "soil"
    label = text.get("label") or f"{kind}-{number}"
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


def _number(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise UsageError(f'{name}: "{text}" is no number') from None
    if value - value != 0.0:
        raise UsageError(f'{name}: "{text}" is no number')
    return value


def _instant(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f'at: "{text}" is no date; write it as 2026-06-01T14:30:00+05:00') from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)
