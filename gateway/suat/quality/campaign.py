"""A probe's calibration while it goes on: what was measured at it so far, what that makes, what is still needed.

Cores spend a day in the oven and a soil dries over weeks: each point is kept in the journal as soon as it is taken, and
the next step follows from the points alone. So a campaign is taken up again wherever it was left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import NamedTuple

import numpy as np

from suat.errors import UsageError, did_you_mean, printable
from suat.quality.calibrate import COUNT, PERMITTIVITY
from suat.quality.curves import TEMPERATURE_C, moisture, put_right
from suat.quality.fit import CONTRAST, FEWEST, MOISTURE, Fit, Known, fit
from suat.quality.gravimetry import Core, check_wet, weighed
from suat.quality.thermal import Sensitivity, sensitivity
from suat.records import DeviceRecord
from suat.store.calibration import PER_KELVIN, Point
from suat.store.channels import BY_NAME
from suat.store.reader import Reader
from suat.store.rows import Curve, ProbeCurve, Reading

KINDS = ("air", "water", "soil")
FIELDS = BY_NAME["probe1", "moisture"].fields
REFERENCE_C = 20.0
REFERENCES_C = (0.0, 40.0)  # with PER_KELVIN: no reading is divided by less than 0.2
LABEL, TEXT = 32, 200  # letters at most of a tin's label, and of what is written about a curve
COEFFICIENTS = (2, 6)  # fewer do not look at the probe; no fit to soil cores bears more
WILD = 10.0  # m3/m3: no curve that was meant
WITHIN_US = 30 * 60_000_000  # a core is taken within half an hour of the reading beside it
_LIMITS = {"count": COUNT, "permittivity": PERMITTIVITY, "vwc": (-0.2, 1.0)}


class Subject(NamedTuple):
    """One probe of one node."""

    device: DeviceRecord
    group: str
    name: str

    @property
    def registration(self) -> int:
        return self.device.registration

    def of(self, points: Iterable[Point]) -> list[Point]:
        """Its own among the points of all probes."""
        return [point for point in points if (point.registration, point.group) == (self.registration, self.group)]

    def versions(self, curves: Iterable[Curve]) -> list[Curve]:
        """Its own among the curves of all probes, the oldest first."""
        return [curve for curve in curves if (curve.registration, curve.group) == (self.registration, self.group)]

    def __str__(self) -> str:
        return f"{self.device.name}, {self.name}"


class Taken(NamedTuple):
    """What a node sent of a probe: one reading, or the middle of some."""

    field: str
    raw: float
    temperature_c: float | None
    at_us: int
    readings: int = 1


def subject(devices: Sequence[DeviceRecord], node: str, probe: str) -> Subject:
    """The probe by its node's name (or DevEUI) and its own name (or place, as "probe1"). UsageError: there is none."""
    in_use = [device for device in devices if device.revoked_us is None and device.kind == "soil"]
    device = next((device for device in in_use if node in (device.name, device.dev_eui)), None)
    if device is None:
        names = [device.name for device in in_use]
        listed = ", ".join(names) or "none; see suat device add --help"
        raise UsageError(f'there is no soil node "{node}" in use{did_you_mean(node, names)}; there are {listed}')
    for known in device.probes:
        if probe in (known.name, f"probe{known.position}"):
            return Subject(device, f"probe{known.position}", known.name)
    names = [known.name for known in device.probes]
    raise UsageError(
        f'{device.name} has no probe "{probe}"{did_you_mean(probe, names)}; it has {", ".join(names) or "none"}'
    )


def sent_by(reader: Reader, probe: Subject, since_us: int, until_us: int) -> list[Taken]:
    """What the node sent of a probe, sample by sample: the field its moisture is made of, and its temperature."""
    samples: dict[int, dict[str, Reading]] = {}
    for reading in reader.readings(probe.registration, since_us, until_us):
        if reading.group == probe.group:
            samples.setdefault(reading.record, {})[reading.field] = reading
    found = []
    for fields in samples.values():
        field = next((name for name in FIELDS if name in fields), None)
        if field is not None:
            warmth = fields["temperature"].raw if "temperature" in fields else math.nan
            low, high = TEMPERATURE_C
            temperature = warmth if low <= warmth <= high else None
            found.append(Taken(field, fields[field].raw, temperature, fields[field].time_us))
    return found


def middle(taken: Sequence[Taken]) -> Taken:
    """The middle of some readings of one probe; UsageError when it gave different things."""
    fields = {one.field for one in taken}
    if len(fields) > 1:
        raise UsageError(f"the probe gave {' and '.join(sorted(fields))} in turn: take one of them at a time")
    warmth = [one.temperature_c for one in taken if one.temperature_c is not None]
    at_us = taken[len(taken) // 2].at_us
    return Taken(fields.pop(), median(one.raw for one in taken), median(warmth) if warmth else None, at_us, len(taken))


def taken_at(reader: Reader, probe: Subject, at_us: int) -> Taken:
    """What the node sent within half an hour of an instant. UsageError: nothing."""
    near = sent_by(reader, probe, at_us - WITHIN_US, at_us + WITHIN_US + 1)
    if not near:
        raise UsageError(
            f"{probe} sent nothing within {WITHIN_US // 60_000_000} minutes of that: give another time"
            " (suat readings shows them), or what the probe gave with --raw"
        )
    return middle(near)


def check(point: Point, others: Sequence[Point]) -> Point:
    """The point, if it can be one beside the `others` of its probe. UsageError says what is wrong with it."""
    where = f'point "{printable(point.label)}": '
    check_label(point.label)
    _check_text("--by", point.made_by, TEXT)
    if any(other.label == point.label for other in others):
        raise UsageError(f"{where}there is one already; give another --label, or drop that one first")
    if point.kind not in KINDS:
        raise UsageError(f'{where}"{point.kind}" is none of {", ".join(KINDS)}')
    if point.field not in FIELDS:
        raise UsageError(f'{where}"{point.field}" is none of {", ".join(FIELDS)}')
    if others and point.field != others[0].field:
        raise UsageError(
            f"{where}a {point.field}, and the points before are of {others[0].field}: if the probe was changed,"
            " drop the points of the old one"
        )
    low, high = _LIMITS[point.field]
    if not low <= point.raw <= high:
        raise UsageError(f"{where}{point.raw:g} is no {point.field} of a probe ({low:g} to {high:g})")
    if point.temperature_c is not None and not TEMPERATURE_C[0] <= point.temperature_c <= TEMPERATURE_C[1]:
        raise UsageError(f"{where}{point.temperature_c:g} degC is no temperature of a soil")
    if point.kind == "soil":
        _check_soil(point, where)
    elif any(value is not None for value in (point.tin_g, point.wet_g, point.dry_g, point.volume_cm3, point.moisture)):
        raise UsageError(f"{where}masses and a water content are those of soil, not of {point.kind}")
    return point


def check_label(label: str) -> str:
    """The label of a point, if it can be one. UsageError."""
    if not label:
        raise UsageError("a point needs a label")
    return _check_text("--label", label, LABEL)


def check_notes(soil: str, made_by: str) -> None:
    """What is written beside a curve. UsageError."""
    _check_text("--soil", soil, TEXT)
    _check_text("--by", made_by, TEXT)


def _check_text(what: str, text: str, longest: int) -> str:
    if not (text.isprintable() and len(text) <= longest):
        raise UsageError(f'{what} "{printable(text[:longest])}": write it on one line, in {longest} letters at most')
    return text


def _check_soil(point: Point, where: str) -> None:
    if point.temperature_c is not None and point.temperature_c <= 0:
        raise UsageError(f"{where}the soil was frozen: no probe sees ice as water, take it in spring")
    masses = (point.tin_g, point.wet_g, point.volume_cm3)
    if point.moisture is not None:
        if any(mass is not None for mass in (*masses, point.dry_g)):
            raise UsageError(f"{where}give its water content or its masses, not both")
        if not MOISTURE[0] <= point.moisture <= MOISTURE[1]:
            raise UsageError(f"{where}{point.moisture:g} m3/m3 is no water content of a soil")
    elif None in masses:
        raise UsageError(f"{where}a core needs tin_g, wet_g and volume_cm3 (dry_g when it is dry), or its moisture")
    try:
        if point.tin_g is not None and point.wet_g is not None and point.volume_cm3 is not None:
            check_wet(point.tin_g, point.wet_g, point.volume_cm3)
        core(point)
    except UsageError as error:
        raise UsageError(f"{where}{error}") from None


def core(point: Point) -> Core | None:
    """What the weighings of a point make; None while the core is in the oven, or was not weighed here. UsageError."""
    if point.tin_g is None or point.wet_g is None or point.dry_g is None or point.volume_cm3 is None:
        return None
    return weighed(point.tin_g, point.wet_g, point.dry_g, point.volume_cm3)


def known(points: Iterable[Point]) -> list[Known]:
    """The points in soil whose water content is known by now."""
    found = []
    for point in points:
        if point.kind == "soil":
            mass = core(point)
            content = point.moisture if mass is None else mass.moisture
            if content is not None:
                found.append(Known(point.label, point.raw, point.temperature_c, content))
    return found


def in_oven(points: Iterable[Point]) -> list[Point]:
    """The cores whose dry mass is still to come."""
    return [point for point in points if point.kind == "soil" and point.moisture is None and point.dry_g is None]


def bulk_density(points: Iterable[Point]) -> float | None:
    """Mean dry bulk density of the weighed cores [g/cm3]."""
    densities = [mass.bulk_density for point in points if (mass := core(point)) is not None]
    return fmean(densities) if densities else None


def form(points: Sequence[Point], per_kelvin: float = 0.0, reference_c: float = REFERENCE_C) -> ProbeCurve:
    """How the probe's readings are put right, by its points in air and in water; no coefficients yet."""
    air = [point.raw for point in points if point.kind == "air"]
    water = [point.raw for point in points if point.kind == "water"]
    field = points[0].field if points else FIELDS[-1]
    bare = ProbeCurve((), field, per_kelvin=per_kelvin, reference_c=reference_c)
    if field != "count" or not (air or water):
        return bare
    if not (air and water):
        missing = "water" if air else "air"
        raise UsageError(f"the probe was read in {'air' if air else 'water'} alone: read it in {missing} too")
    return bare._replace(air=fmean(air), water=fmean(water))


def _check_temperature(per_kelvin: float, reference_c: float) -> None:
    low, high = REFERENCES_C
    if not (abs(per_kelvin) <= PER_KELVIN and low <= reference_c <= high):
        raise UsageError(
            f"{per_kelvin:g} per kelvin from {reference_c:g} degC: no probe changes by more than {PER_KELVIN:g} of"
            f" itself a kelvin, and the reference lies between {low:g} and {high:g} degC"
        )


def check_curve(curve: ProbeCurve) -> ProbeCurve:
    """A curve that somebody gave, if a probe can have it. UsageError."""
    if curve.field not in FIELDS:
        raise UsageError(f'"{curve.field}" is none of {", ".join(FIELDS)}')
    fewest, most = COEFFICIENTS
    if not fewest <= len(curve.coefficients) <= most:
        raise UsageError(f"{len(curve.coefficients)} coefficients: a curve has {fewest} to {most}, c0 first")
    _check_temperature(curve.per_kelvin, curve.reference_c)
    if not abs(curve.water - curve.air) >= CONTRAST:
        raise UsageError(f"{curve.air:g} in air and {curve.water:g} in water: no probe is like that")
    low, high = _LIMITS[curve.field]
    first, last = (curve.air, curve.water) if curve.field == "count" else (max(low, 0.0), high)
    values = [moisture(curve, first + (last - first) * n / 100) for n in range(101)]
    if not any(MOISTURE[0] < value < MOISTURE[1] for value in values) or not max(map(abs, values)) < WILD:
        raise UsageError(f"the curve gives {values[0]:g} to {values[-1]:g} m3/m3: look at the coefficients")
    return curve


def fitted(
    points: Sequence[Point], degree: int | None = None, per_kelvin: float = 0.0, reference_c: float = REFERENCE_C
) -> Fit:
    """The curve that a probe's points make. UsageError: they make none yet."""
    _check_temperature(per_kelvin, reference_c)
    return fit(known(points), form(points, per_kelvin, reference_c), degree)


def refitted(curve: Curve) -> Fit | None:
    """The fit that a kept curve came of, from the points that it was kept with; None for one that was set by hand."""
    points = [Known(p["label"], p["reading"], p["temperature_c"], p["moisture"]) for p in curve.points]
    return fit(points, curve.curve, len(curve.curve.coefficients) - 1) if points else None


def missing(points: Sequence[Point]) -> str | None:
    """The kind of point that is needed next: "air", "water", "soil", or "dry" for a mass; None: enough for a fit."""
    kinds = {point.kind for point in points}
    if not points or points[0].field == "count":
        for kind in ("air", "water"):
            if kind not in kinds:
                return kind
    if len(known(points)) >= FEWEST:
        return None
    return "dry" if len(known(points)) + len(in_oven(points)) >= FEWEST else "soil"


def made(probe: Subject, points: Iterable[Point], found: Fit, soil: str, made_by: str, now_us: int) -> Curve:
    """The curve as it is kept: with its points as they are now. UsageError."""
    check_notes(soil, made_by)
    by_label = {point.label: point for point in points}
    rows = [{**known._asdict(), "at_us": by_label[known.label].at_us} for known in found.points]
    return Curve(
        probe.registration,
        probe.group,
        found.curve,
        found.residual,
        now_us,
        soil,
        made_by,
        bulk_density(by_label.values()),
        tuple(rows),
    )


def temperature_effect(
    reader: Reader, probe: Subject, points: Sequence[Point], span: tuple[int, int], reference_c: float
) -> Sensitivity:
    """How much the readings between two instants [us] went with the temperature. UsageError: they do not tell."""
    bare = form(points, 0.0, reference_c)
    sent = [taken for taken in sent_by(reader, probe, *span) if taken.field == bare.field]
    return sensitivity(
        np.array([taken.at_us / 1e6 for taken in sent]),
        np.array([put_right(bare, taken.raw) for taken in sent]),
        np.array([math.nan if taken.temperature_c is None else taken.temperature_c for taken in sent]),
        reference_c,
    )
