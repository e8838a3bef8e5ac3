"""A table of calibration points as people keep it in a spreadsheet: CSV with a header line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path

from suat.commands.options import instant_us
from suat.errors import UsageError, printable
from suat.quality.campaign import Subject, Taken, check
from suat.store.calibration import Point

NUMBERS = ("raw", "temperature_c", "tin_g", "wet_g", "dry_g", "volume_cm3", "moisture")
COLUMNS = ("kind", "label", "at", "field", *NUMBERS)
LARGEST = 100_000  # bytes: a thousand points


def read_points(
    path: Path, probe: Subject, others: list[Point], made_by: str, now_us: int, taken_at: Callable[[int], Taken]
) -> list[Point]:
    """The points of a file; where `raw` is empty, what the probe gave is asked of `taken_at`. UsageError: the line."""
    rows = _rows(path)
    names = [name.strip().lower() for name in rows[0][1]] if rows else []
    wrong = next((name for name in names if name not in COLUMNS or names.count(name) > 1), None)
    if wrong is not None:
        fault = "twice" if wrong in COLUMNS else f"unknown; there are {', '.join(COLUMNS)}"
        raise UsageError(f'{path}, line {rows[0][0]}: the column "{printable(wrong)}" is {fault}')
    found: list[Point] = []
    for line, cells in rows[1:]:
        try:
            if len(cells) > len(names):
                raise UsageError("it has more cells than the first line has columns")
            row = dict(zip(names, cells, strict=False))
            point = _point(row, probe, made_by, now_us, taken_at, len(others) + len(found) + 1)
            found.append(check(point, [*others, *found]))
        except UsageError as error:
            raise UsageError(f"{path}, line {line}: {error}") from None
    if not found:
        raise UsageError(f"{path}: no points; the first line names the columns: {', '.join(COLUMNS)}")
    return found


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """(line, cells) of each line in which something is written. UsageError."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if len(content) > LARGEST:
        raise UsageError(f"{path}: more than {LARGEST // 1000} kB: no table of points")
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        head = text.readline()
        text.seek(0)
        lines = csv.reader(text, delimiter=next((mark for mark in ";\t" if mark in head), ","), strict=True)
        return [(lines.line_num, cells) for cells in lines if any(cell.strip() for cell in cells)]
    except UnicodeDecodeError:
        raise UsageError(f'{path}: it is not in UTF-8; save it as "CSV UTF-8"') from None
    except csv.Error as error:
        raise UsageError(f"{path}: no CSV ({error})") from None


def _point(
    row: dict[str, str], probe: Subject, made_by: str, now_us: int, taken_at: Callable[[int], Taken], place: int
) -> Point:
    text = {name: cell.strip() for name, cell in row.items()}
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
        raise UsageError(f'"{printable(text)}" is no number')
    return value
