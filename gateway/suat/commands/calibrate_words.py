"""What `suat calibrate` says: points, curves and how far a campaign is, as text, JSON and drawing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from suat.commands.options import iso_utc
from suat.errors import UsageError
from suat.quality.campaign import Subject, core, in_oven, known, missing
from suat.quality.fit import Fit
from suat.show.curve import equation
from suat.show.curve import svg as draw
from suat.show.curve import text as plot
from suat.store.calibration import Point
from suat.store.rows import Curve, ProbeCurve

NEXT = {
    "air": "read the probe in air",
    "water": "read the probe in water",
    "soil": "take soil cores, from dry to wet",
    "dry": "weigh the cores when they are dry",
    None: "fit the curve",
}


def described(point: Point) -> str:
    """A point in one line."""
    warm = "" if point.temperature_c is None else f" at {point.temperature_c:.1f} degC"
    text = f"{point.label}: {point.kind}, {point.field} {point.raw:.5g}{warm}, {iso_utc(point.at_us)[:16]}Z"
    if point.kind != "soil":
        return text
    mass = core(point)
    if mass is not None:
        return f"{text}, {mass.moisture:.3f} m3/m3, {mass.bulk_density:.2f} g/cm3"
    return f"{text}, in the oven" if point.moisture is None else f"{text}, {point.moisture:.3f} m3/m3"


def state(points: list[Point]) -> str:
    """How far a campaign is, in one line."""
    kinds = [kind for kind in ("air", "water") if any(point.kind == kind for point in points)]
    done = ", ".join([*kinds, f"{len(known(points))} points of known water content"])
    waiting = in_oven(points)
    oven = f", {len(waiting)} in the oven ({', '.join(point.label for point in waiting)})" if waiting else ""
    return f"{done}{oven}; next: {NEXT[missing(points)]}"


def print_state(points: list[Point]) -> None:
    if points:
        print("\npoints for the next fit:")
        for point in points:
            print(f"  {described(point)}")
        print(f"  {state(points)}")


def standing(versions: Sequence[Curve], number: int) -> str:
    """Whether a version counts: the newest that was not dropped does."""
    dropped_us = versions[number - 1].dropped_us
    if dropped_us is not None:
        return f"dropped {iso_utc(dropped_us)[:10]}"
    return "superseded" if any(later.dropped_us is None for later in versions[number:]) else "in use"


def curve_line(subject: Subject, versions: Sequence[Curve], number: int) -> str:
    """A version in one line."""
    curve = versions[number - 1]
    off = "" if curve.residual is None else f"  +-{curve.residual:.3f} m3/m3, {len(curve.points)} points"
    made = f"version {number}  {iso_utc(curve.made_us)[:10]}  {curve.made_by:12}"
    return f"{subject!s:32} {made} {standing(versions, number):18}{off}  {curve.soil}".rstrip()


def curve_row(subject: Subject, curve: Curve, number: int | None) -> dict[str, Any]:
    """A curve as a JSON object."""
    form: ProbeCurve = curve.curve
    bounds = {name: value if math.isfinite(value) else None for name, value in (("low", form.low), ("high", form.high))}
    return {
        "node": subject.device.name,
        "probe": subject.name,
        "version": number,
        "made": iso_utc(curve.made_us),
        "by": curve.made_by,
        "soil": curve.soil,
        **{**form._asdict(), **bounds},
        "residual": curve.residual,
        "bulk_density": curve.bulk_density,
        "points": [{**point, "at": iso_utc(point["at_us"])} for point in curve.points],
        "dropped": None if curve.dropped_us is None else iso_utc(curve.dropped_us),
    }


def show_curve(
    subject: Subject,
    curve: Curve,
    number: int | None,
    fit: Fit | None,
    svg: Path | None,
    as_json: bool,
    in_use: str = "",
) -> None:
    """Print a curve, with its drawing; `fit` None: it was set by hand."""
    soil = f", {curve.soil}" if curve.soil else ""
    heading = f"{subject}{soil}"
    notes = [equation(curve.curve), f"{iso_utc(curve.made_us)[:10]}, {curve.made_by}{_quality(fit)}"]
    if svg is not None:
        try:
            svg.write_text(draw(heading, notes, curve.curve, fit), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--svg {svg}: {error.strerror}") from error
    if as_json:
        errors = {} if fit is None else {"left_out": fit.left_out, "residuals": fit.residuals, "suspects": fit.suspects}
        print(json.dumps({**curve_row(subject, curve, number), **errors}, ensure_ascii=False))
        return
    print("\n".join([heading if number is None else f"{heading}, version {number}, {in_use}", *notes, ""]))
    print(plot(curve.curve, fit))
    if fit is None:
        return
    print(f"\n{'point':>10} {curve.curve.field:>12} {'degC':>6} {'known':>7} {'off':>7}   m3/m3")
    for point, off in zip(fit.points, fit.residuals, strict=True):
        warm = "-" if point.temperature_c is None else f"{point.temperature_c:.1f}"
        look = "   look at this one" if point.label in fit.suspects else ""
        print(f"{point.label:>10} {point.reading:12.5g} {warm:>6} {point.moisture:7.3f} {off:+7.3f}{look}")


def _quality(fit: Fit | None) -> str:
    if fit is None:
        return ", set by hand"
    return (
        f", {len(fit.points)} points, standard deviation {fit.residual:.3f} m3/m3,"
        f" {fit.left_out:.3f} at points it does not know"
    )
