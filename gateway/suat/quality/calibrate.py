"""Calibrate: from what a probe gave to the physical quantity, by curves that live in the gateway alone.

A probe's own curve (`curves.py`) goes before all else. Without one `vwc` passes, `permittivity` goes through Topp's
equation, and `count` is flagged `uncalibrated` and is no number; as is `distance` without the sensor's height.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from suat_filters import RANGE, UNCALIBRATED, ChannelSettings

from suat.quality.curves import moisture, put_right, topp
from suat.quality.limits import node_limits
from suat.quality.tables import LimitsTable
from suat.records import DeviceRecord
from suat.store.channels import BY_FIELD, PROBES
from suat.store.rows import Curve, ProbeCurve

NAN = math.nan
BLIND_ZONE_M = 0.03  # DFRobot A02YYUW: nearer echoes are the sensor's own ringing
COUNT = (-0.2, 1.3)  # air is 0, water 1; [D] beyond: a broken wire or a probe that is not the one that was normalised
PERMITTIVITY = (1.0, 81.0)  # air and water: what lies outside is no soil (METER TEROS 12: 1 to 80)


class NodeCalibration(NamedTuple):
    """What one node's readings are turned into quantities with, and judged by."""

    curves: Mapping[str, ProbeCurve] = {}  # by group
    sensor_height_m: float | None = None
    limits: Mapping[int, ChannelSettings] = {}  # by channel code, where the configuration sets some

    def fingerprint(self) -> bytes:
        """Changes when the quantities do. The limits are not in it: each channel's are kept with its filters."""
        text = repr((sorted(self.curves.items()), self.sensor_height_m))
        return hashlib.blake2b(text.encode(), digest_size=8).digest()


NO_CALIBRATION = NodeCalibration()
Convert = Callable[[float, float, NodeCalibration, str], tuple[int, float]]  # (value, temperature [degC or NaN], ..)


def calibrations(
    devices: Iterable[DeviceRecord],
    curves: Mapping[tuple[int, str], Curve],
    heights: Mapping[str, float | None],
    limits: Sequence[LimitsTable] = (),
) -> dict[int, NodeCalibration]:
    """By registration; `heights` is `sensor_height_m` by water point, `limits` the configuration's rows."""
    return {
        device.registration: NodeCalibration(
            {
                group: curves[device.registration, group].curve
                for group in PROBES
                if (device.registration, group) in curves
            },
            heights.get(device.water_point) if device.water_point else None,
            node_limits(limits, device),
        )
        for device in devices
    }


def _vwc(value: float, temperature_c: float, calibration: NodeCalibration, group: str) -> tuple[int, float]:
    curve = calibration.curves.get(group)
    return 0, value if curve is None or curve.field != "vwc" else moisture(curve, value, temperature_c)


def _permittivity(value: float, temperature_c: float, calibration: NodeCalibration, group: str) -> tuple[int, float]:
    low, high = PERMITTIVITY
    if not low <= value <= high:
        return RANGE, NAN
    curve = calibration.curves.get(group)
    if curve is None or curve.field != "permittivity":
        return 0, topp(value)
    return 0, moisture(curve, value, temperature_c)


def _count(value: float, temperature_c: float, calibration: NodeCalibration, group: str) -> tuple[int, float]:
    low, high = COUNT
    curve = calibration.curves.get(group)
    if curve is None or curve.field != "count":
        return (UNCALIBRATED, NAN) if low <= value <= high else (RANGE, NAN)
    return (0, moisture(curve, value, temperature_c)) if low <= put_right(curve, value) <= high else (RANGE, NAN)


def _distance(value: float, _: float, calibration: NodeCalibration, __: str) -> tuple[int, float]:
    if calibration.sensor_height_m is None:
        return UNCALIBRATED, NAN
    return (0, calibration.sensor_height_m - value) if value > BLIND_ZONE_M else (RANGE, NAN)


_CONVERT: dict[str, Convert] = {
    "vwc": _vwc,
    "permittivity": _permittivity,
    "count": _count,
    "distance": _distance,
}


class Step(NamedTuple):
    """One cleaned channel of a sample: the field that gives it, and how."""

    code: int
    key: tuple[str, str]
    convert: Convert | None  # None: the reading is the quantity


def plan(fields: Sequence[tuple[str, str]]) -> list[Step]:
    """The cleaned channels of a sample with these fields, by rising code; what is not cleaned (faults, health) is not
    among them. Of several fields that give one channel the first in the channel's own order counts."""
    steps: dict[int, tuple[int, Step]] = {}
    for group, field in fields:
        channel = BY_FIELD.get((group, field))
        if channel is not None:
            rank = channel.fields.index(field)
            if channel.code not in steps or rank < steps[channel.code][0]:
                steps[channel.code] = rank, Step(channel.code, (group, field), _CONVERT.get(field))
    return [step for _, step in (steps[code] for code in sorted(steps))]
