"""How salty the soil around a probe is, and whether that grows: a class and a trend out of its readings, no figure.

Only readings in soil wetter than half its available water count (a choice; quality/salinity.py says why no figure).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from statistics import median
from typing import NamedTuple

import numpy as np
from suat_filters import theil_sen

from suat.pasture.model import DAY_US
from suat.pasture.soil_water import TEXTURES, Texture, fraction_available
from suat.pasture.tables import PaddockTable
from suat.quality.curves import inverse_topp
from suat.quality.gravimetry import porosity
from suat.quality.salinity import DRIEST, extract_ec, pore_ec, salinity_class
from suat.records import DeviceRecord, Probe
from suat.store.calibration import curves
from suat.store.channels import PROBES
from suat.store.reader import Reader
from suat.store.rows import Reading

WET_FPAW = 0.5
CLASS_DAYS = 30  # the newest days with an estimate, of which the middle gives the class (choice)
TREND_DAYS = 20  # days with an estimate that a trend needs (choice)
TREND_SHARE = 0.25  # change over the whole time, as a share of its middle, that is one (choice: the error of a year)


class Salinity(NamedTuple):
    """What can be said: None while it can't."""

    salinity: str | None  # its class (quality/salinity.py)
    trend: str | None  # "rising", "falling", "steady"
    days: int  # with an estimate


def daily_extract(readings: Iterable[Reading], group: str, texture: Texture, pores: float) -> dict[int, float]:
    """The middle of each day's estimates of the extract's conductivity [dS/m], by start of the UTC day [us].

    `pores`: share of the soil's volume.
    """
    samples: dict[int, dict[str, Reading]] = defaultdict(dict)
    for reading in readings:
        if reading.group == group:
            samples[reading.record][reading.channel] = reading
    days: dict[int, list[float]] = defaultdict(list)
    for channels in samples.values():
        estimate = _extract(channels, texture, pores)
        if estimate is not None:
            time_us = channels["ec"].time_us
            days[time_us - time_us % DAY_US].append(estimate)
    return {day: median(estimates) for day, estimates in sorted(days.items())}


def _extract(channels: dict[str, Reading], texture: Texture, pores: float) -> float | None:
    """One sample's estimate; None where a reading is missing or the soil too dry."""
    values = [channels[name].value if name in channels else None for name in ("moisture", "temperature", "ec")]
    moisture, temperature_c, bulk = values
    if moisture is None or temperature_c is None or bulk is None:
        return None
    if moisture < DRIEST or fraction_available(moisture, texture) <= WET_FPAW:
        return None
    sent = channels["moisture"]
    permittivity = sent.raw if sent.field == "permittivity" else inverse_topp(moisture)
    pore = pore_ec(bulk, permittivity, temperature_c)
    return None if pore is None else extract_ec(pore, moisture, pores)


def judged(days: dict[int, float]) -> Salinity:
    """Class and trend out of the estimates by day."""
    if not days:
        return Salinity(None, None, 0)
    times, estimates = np.array(list(days), float) / DAY_US, np.array(list(days.values()))
    found = salinity_class(float(np.median(estimates[-CLASS_DAYS:])))
    if len(days) < TREND_DAYS:
        return Salinity(found, None, len(days))
    slope, _ = theil_sen(times, estimates)
    share = slope * (times[-1] - times[0]) / float(np.median(estimates))
    trend = "steady" if abs(share) < TREND_SHARE else "rising" if share > 0 else "falling"
    return Salinity(found, trend, len(days))


def station_salinity(
    paddocks: Iterable[PaddockTable], reader: Reader, devices: Iterable[DeviceRecord], since_us: int
) -> Iterator[tuple[DeviceRecord, Probe, Salinity]]:
    """Of every probe in a paddock that has sent its conductivity since then.

    The pores are those of the weighed cores of its calibration, else those of the paddock's texture.
    """
    soils = {paddock.id: TEXTURES[paddock.soil] for paddock in paddocks}
    calibrated = reader.read(curves)
    for device in devices:
        texture = soils.get(device.paddock or "")
        if texture is None:
            continue
        readings = [one for one in reader.readings(device.registration, since_us) if one.group in PROBES]
        for probe in device.probes:
            group = f"probe{probe.position}"
            if any(reading.group == group and reading.channel == "ec" for reading in readings):
                curve = calibrated.get((device.registration, group))
                density = None if curve is None else curve.bulk_density
                pores = texture.saturation if density is None else porosity(density)
                yield device, probe, judged(daily_extract(readings, group, texture, pores))
