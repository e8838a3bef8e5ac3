"""The journal's calibrations: points that people measured at a probe, and the curves that were fitted to them.

Nothing of it is deleted: what is dropped keeps its row, with the time at which it was dropped. The newest curve of a
probe that is not dropped counts, for all of its readings.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from suat.store.rows import Curve, ProbeCurve

if TYPE_CHECKING:
    from suat.store.journal import Journal

PER_KELVIN = 0.01  # beyond: no probe's; it would swallow the reading


class Point(NamedTuple):
    """What a probe gave in air, in water or in soil whose water content is known, or will be when its core is dry."""

    registration: int
    group: str
    label: str  # unique among the probe's points that are not dropped
    kind: str  # "air", "water", "soil"
    at_us: int
    field: str
    raw: float
    temperature_c: float | None = None
    tin_g: float | None = None
    wet_g: float | None = None  # with the tin
    dry_g: float | None = None  # with the tin; None while it is in the oven
    volume_cm3: float | None = None
    moisture: float | None = None  # [m3/m3] where it was not found by weighing here
    made_by: str = ""
    dropped_us: int | None = None


_POINT = ", ".join("grp" if name == "group" else name for name in Point._fields)
_CURVE = (
    "registration, grp, coefficients, residual, made_us, field, air, water, per_kelvin, reference_c, low, high,"
    " soil, made_by, bulk_density, points, dropped_us"
)
_CHANGED = "UPDATE meta SET value = value + 1 WHERE key = 'registry_version'"  # the station looks once a second


def add_points(journal: Journal, points: Sequence[Point]) -> None:
    """Keep what was measured, all of it or nothing."""
    marks = ", ".join("?" * len(Point._fields))
    with journal.transaction() as connection:
        connection.executemany(f"INSERT INTO calibration_point ({_POINT}) VALUES ({marks})", points)


def weigh(journal: Journal, registration: int, group: str, label: str, dry_g: float) -> None:
    """The dry mass [g, with the tin] of a core that was in the oven."""
    with journal.transaction() as connection:
        connection.execute(
            "UPDATE calibration_point SET dry_g = ?"
            " WHERE registration = ? AND grp = ? AND label = ? AND dropped_us IS NULL",
            (dry_g, registration, group, label),
        )


def drop_point(journal: Journal, registration: int, group: str, label: str, at_us: int) -> None:
    """Take a point out of the fits that are still to come."""
    with journal.transaction() as connection:
        connection.execute(
            "UPDATE calibration_point SET dropped_us = ?"
            " WHERE registration = ? AND grp = ? AND label = ? AND dropped_us IS NULL",
            (at_us, registration, group, label),
        )


def points(connection: sqlite3.Connection) -> list[Point]:
    """All points that are not dropped, in the order in which the probe was read."""
    rows = connection.execute(
        f"SELECT {_POINT} FROM calibration_point WHERE dropped_us IS NULL ORDER BY registration, grp, at_us, id"
    )
    return [Point(*row) for row in rows]


def add_curve(journal: Journal, curve: Curve) -> None:
    """Keep a probe's calibration; the running station computes its readings anew."""
    form = curve.curve
    low, high = (bound if math.isfinite(bound) else None for bound in (form.low, form.high))
    with journal.transaction() as connection:
        connection.execute(
            f"INSERT INTO curve ({_CURVE}) VALUES ({', '.join('?' * 17)})",
            (
                curve.registration,
                curve.group,
                json.dumps(form.coefficients),
                curve.residual,
                curve.made_us,
                *(form.field, form.air, form.water, form.per_kelvin, form.reference_c, low, high),
                *(curve.soil, curve.made_by, curve.bulk_density),
                json.dumps(curve.points, ensure_ascii=False),
                curve.dropped_us,
            ),
        )
        connection.execute(_CHANGED)


def drop_curve(journal: Journal, curve: Curve, at_us: int) -> None:
    """Let the calibration before it count again; without one the probe is as it was before the first."""
    with journal.transaction() as connection:
        connection.execute(
            "UPDATE curve SET dropped_us = ? WHERE registration = ? AND grp = ? AND made_us = ? AND dropped_us IS NULL",
            (at_us, curve.registration, curve.group, curve.made_us),
        )
        connection.execute(_CHANGED)


def all_curves(connection: sqlite3.Connection) -> list[Curve]:
    """Every calibration there was, the oldest of a probe first: its place among these is its version."""
    rows = connection.execute(f"SELECT {_CURVE} FROM curve ORDER BY registration, grp, made_us, id")
    return [_curve(row) for row in rows]


def curves(connection: sqlite3.Connection) -> dict[tuple[int, str], Curve]:
    """The calibration that counts of each probe, by (registration, group)."""
    return {(curve.registration, curve.group): curve for curve in all_curves(connection) if curve.dropped_us is None}


def _curve(row: Sequence[Any]) -> Curve:
    field, air, water, per_kelvin, reference_c, low, high = row[5:12]
    form = ProbeCurve(
        tuple(json.loads(row[2])),
        field,
        air,
        water,
        per_kelvin,
        reference_c,
        -math.inf if low is None else low,
        math.inf if high is None else high,
    )
    if form.air == form.water or abs(form.per_kelvin) > PER_KELVIN or not form.coefficients:
        raise ValueError(f"impossible curve of node {row[0]}, {row[1]}: {form}")
    soil, made_by, bulk_density, points, dropped_us = row[12:]
    return Curve(
        row[0], row[1], form, row[3], row[4], soil, made_by, bulk_density, tuple(json.loads(points)), dropped_us
    )
