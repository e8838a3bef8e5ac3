"""Fit a probe's curve to points of known water content, and say how far it can be trusted.

Ordinary least squares in the reading put right (quality/curves.py); a straight line, or a parabola where that foretells
points which it was not fitted to better. `left_out` is the root mean square error of foretelling each point by the
curve through all others (PRESS: Allen 1974), `band` the 95 % prediction interval of one more point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suat.errors import UsageError
from suat.quality.curves import derivative, moisture, polynomial, put_right
from suat.store.rows import ProbeCurve

Array = NDArray[Any]

FEWEST = 5  # points a soil [D: facts of the project]
SPREAD = 0.08  # [D] m3/m3 between the driest and the wettest point: less says nothing of the slope
GOOD = 0.03  # m3/m3: what makers give for their general curve (METER TEROS 12); a soil's own should be better
OUTLYING = 4.0  # [D] standard deviations of the others about their own curve
MOISTURE = (0.0, 0.9)  # m3/m3, from oven-dry soil to peat full of water
CONTRAST = 0.05  # [D] least difference of the counts in air and in water
# Two-sided 95 % points of Student's t by degrees of freedom (any table, such as NIST/SEMATECH e-Handbook 1.3.6.7.2)
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


class Known(NamedTuple):
    """What a probe gave where the water content was known."""

    label: str
    reading: float
    temperature_c: float | None
    moisture: float  # [m3/m3]


class Fit(NamedTuple):
    """A curve with what it was fitted to and how well."""

    curve: ProbeCurve
    points: tuple[Known, ...]
    residuals: tuple[float, ...]  # known - curve [m3/m3], of each point
    residual: float  # standard deviation of the points about the curve [m3/m3]
    left_out: float  # root mean square error of points that the curve does not know [m3/m3]
    suspects: tuple[str, ...]  # labels of points that lie far from the curve through the others
    spread: tuple[tuple[float, ...], ...]  # inverse of X'X: what the band is made of

    def band(self, x: float) -> float:
        """Half the width of the 95 % prediction interval at a reading put right [m3/m3]."""
        row = [x**power for power in range(len(self.curve.coefficients))]
        lever = sum(a * b * c for a, line in zip(row, self.spread, strict=True) for b, c in zip(row, line, strict=True))
        free = len(self.points) - len(row)
        return student_95(free) * self.residual * math.sqrt(1.0 + max(0.0, lever))


def student_95(free: int) -> float:
    """Two-sided 95 % point of Student's t."""
    return _T95[free - 1] if free <= len(_T95) else 1.96 + 2.5 / free  # 0.003 off at the most


def fit(points: Sequence[Known], form: ProbeCurve, degree: int | None = None) -> Fit:
    """The curve of a probe through `points`; `form` says how its readings are put right, its coefficients are ignored.

    `degree` 1 or 2, None: the one that foretells better. UsageError: these points make no curve.
    """
    _check(points, form)
    if degree is not None:
        return _fit(points, form, degree)
    line = _fit(points, form, 1)
    try:
        parabola = _fit(points, form, 2)
    except UsageError:
        return line
    return parabola if parabola.left_out < line.left_out else line


def _check(points: Sequence[Known], form: ProbeCurve) -> None:
    if len(points) < FEWEST:
        raise UsageError(f"{len(points)} points of known water content: a soil needs {FEWEST} at least, dry to wet")
    for point in points:
        if not MOISTURE[0] <= point.moisture <= MOISTURE[1]:
            raise UsageError(f'point "{point.label}": {point.moisture:g} m3/m3 is no water content of a soil')
    spread = max(point.moisture for point in points) - min(point.moisture for point in points)
    if spread < SPREAD:
        raise UsageError(
            f"the points lie within {spread:.3f} m3/m3: take some in drier or wetter soil, {SPREAD:g} apart at least"
        )
    if form.field == "count" and abs(form.water - form.air) < CONTRAST:
        raise UsageError(
            f"{form.air:g} in air and {form.water:g} in water: a probe that sees no difference measures no soil;"
            " look at its plug and read it again"
        )


def _fit(points: Sequence[Known], form: ProbeCurve, degree: int) -> Fit:
    x = np.array([put_right(form, p.reading, math.nan if p.temperature_c is None else p.temperature_c) for p in points])
    if form.field == "count" and is_normalised(form):
        for point, place in zip(points, x, strict=True):
            if not -0.05 <= place <= 1.05:
                raise UsageError(
                    f'point "{point.label}": {point.reading:g} does not lie between air ({form.air:g}) and water'
                    f" ({form.water:g}): read the point again, or those two"
                )
    if len(set(x.round(9))) < degree + 2:
        raise UsageError(f"the probe gave only {len(set(x.round(9)))} different readings: too few for degree {degree}")
    known = np.array([point.moisture for point in points])
    design = np.vander(x, degree + 1, increasing=True)
    basis, triangle = np.linalg.qr(design)
    coefficients = np.linalg.solve(triangle, basis.T @ known)
    inverse = np.linalg.inv(triangle)
    curve = form._replace(coefficients=tuple(coefficients.tolist()), low=float(x.min()), high=float(x.max()))
    _check_slope(curve)
    residuals = known - design @ coefficients
    free = len(points) - degree - 1
    lever = np.minimum((basis**2).sum(axis=1), 1.0 - 1e-9)
    squares = float(residuals @ residuals)
    return Fit(
        curve,
        tuple(points),
        tuple(residuals.tolist()),
        math.sqrt(squares / free),
        float(np.sqrt(np.mean((residuals / (1.0 - lever)) ** 2))),
        tuple(point.label for point, far in zip(points, _outlying(residuals, lever, free), strict=True) if far),
        tuple(tuple(row) for row in (inverse @ inverse.T).tolist()),
    )


def is_normalised(form: ProbeCurve) -> bool:
    """Whether the probe was read in air and in water here: its counts as sent may fall with the water content."""
    return (form.air, form.water) != (0.0, 1.0)


def _check_slope(curve: ProbeCurve) -> None:
    """UsageError unless more water always gives a reading on the same side."""
    ends = [polynomial(derivative(curve.coefficients), x) for x in (curve.low, curve.high)]
    falls = curve.field == "count" and not is_normalised(curve)
    if not (min(ends) > 0 or (falls and max(ends) < 0)):
        raise UsageError(
            "the readings do not rise with the water content from point to point"
            f" (degree {len(curve.coefficients) - 1}): look for tins that were mistaken, or take more points"
        )


def _outlying(residuals: Array, lever: Array, free: int) -> list[bool]:
    """Which points lie far from the curve through all others, in standard deviations of those about it."""
    if free < 2:
        return [False] * len(residuals)
    squares = float(residuals @ residuals)
    others = np.maximum((squares - residuals**2 / (1.0 - lever)) / (free - 1), 1e-12)
    return [bool(far) for far in np.abs(residuals) / np.sqrt(others * (1.0 - lever)) > OUTLYING]


def foretold(curve: ProbeCurve, point: Known) -> float:
    """The water content that a curve gives for a point [m3/m3]."""
    return moisture(curve, point.reading, math.nan if point.temperature_c is None else point.temperature_c)
