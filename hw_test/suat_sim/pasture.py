"""The soil of one paddock: water in two layers and temperature at any depth, hour by hour.

Water: the dual crop coefficient balance of FAO-56 (Allen et al. 1998, chapters 7 and 8) over two buckets, 0-20 cm and
20-60 cm, with drainage above field capacity, snow by degree-days, and frozen ground that takes little in. Temperature:
every period of the surface's own course, from hours to the year, damped and delayed on its way down.
docs/simulator.md says what is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from suat_sim.weather import HOUR_S, Array, Weather

LAYERS_M = ((0.0, 0.20), (0.20, 0.60))
ROOT_SHARE = (0.6, 0.4)  # of the water uptake; near FAO-56's 40/30/20/10 % a quarter of the root depth
STRESS_P = 0.60  # FAO-56 table 22, grazing pasture
KCB_DORMANT = 0.15  # FAO-56 table 17, lower end
KC_MAX = 1.15  # FAO-56 eq. 72 for a short cover in calm air
SWARD_M = 0.15  # height of the sward, eq. 76
EVAPORATION_M = 0.10  # Ze, FAO-56 ch. 7: 0.10 to 0.15 m
MELT_MM_DAY_K = 3.0  # degree-day factor of snow (Hock 2003, J. Hydrology 282, 104-115: 2 to 6)
SNOW_BELOW_C = 1.0
DIFFUSIVITY_M2_S = 5e-7  # moist loam (Campbell & Norman 1998, Environmental Biophysics, ch. 8)
SUN_ON_GROUND_K = 0.008  # K of the surface above the air for each W m-2 [design]


@dataclass(frozen=True)
class Texture:
    """wp, fc, sat: m3/m3 (AquaCrop defaults); rew: readily evaporable water, mm (FAO-56 table 19);
    drain_h: time constant of the water above field capacity, hours [design]."""

    wp: float
    fc: float
    sat: float
    rew: float
    drain_h: float


TEXTURES = {
    "sand": Texture(0.06, 0.13, 0.36, 4.0, 6.0),
    "loamy_sand": Texture(0.08, 0.16, 0.38, 6.0, 8.0),
    "sandy_loam": Texture(0.10, 0.22, 0.41, 8.0, 12.0),
    "loam": Texture(0.15, 0.31, 0.46, 10.0, 24.0),
    "silt_loam": Texture(0.13, 0.33, 0.46, 10.0, 30.0),
    "clay_loam": Texture(0.23, 0.39, 0.50, 10.0, 36.0),
    "silty_clay_loam": Texture(0.23, 0.44, 0.52, 10.0, 48.0),
    "clay": Texture(0.39, 0.54, 0.55, 10.0, 60.0),
}


@dataclass(frozen=True)
class Ground:
    """What a paddock is, beside its weather. seep_mm_day: water that comes from the slope above, into the top layer;
    kcb: basal crop coefficient of the full green sward; grazed: (from, until) unix seconds with a herd on it."""

    texture: str = "loam"
    seep_mm_day: float = 0.0
    kcb: float = 0.75
    grazed: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Soil:
    """Hourly course of one paddock, on the weather's hours. theta: m3/m3 of the two layers as the hour begins; the
    other series are mm in the hour; `stored` is soil and snow in mm, one value more than hours."""

    weather: Weather
    theta: tuple[Array, Array]
    surface: Array
    snow: Array
    evaporation: Array
    transpiration: Array
    runoff: Array
    drainage: Array
    seep: Array
    stored: Array
    _temperature: dict[float, Array] = field(default_factory=dict, compare=False, repr=False)

    def temperature(self, depth_cm: float) -> Array:
        """Soil temperature at a depth, degC, kept after the first time."""
        if depth_cm not in self._temperature:
            self._temperature[depth_cm] = soil_temperature(self.surface, depth_cm / 100)
        return self._temperature[depth_cm]

    def moisture(self, depth_cm: float) -> Array:
        """Volumetric water content that a probe at this depth sees: a layer's own at 10 and 30 cm, linear between."""
        part = min(1.0, max(0.0, (depth_cm - 10) / 20))
        return self.theta[0] * (1 - part) + self.theta[1] * part


def soil_temperature(surface: Array, depth_m: float, step_s: float = HOUR_S) -> Array:
    """A surface course as it arrives at a depth, degC.

    Each of its waves exp(i w t) becomes exp(-z/D) exp(i (w t - z/D)), D = sqrt(2 k / w) (Campbell & Norman 1998,
    eq. 2.4; the solution of the heat equation for a uniform ground). The series is taken as periodic: its first weeks
    are not to be used.
    """
    omega = 2 * np.pi * np.fft.rfftfreq(surface.shape[0], step_s)
    path = depth_m * np.sqrt(omega / (2 * DIFFUSIVITY_M2_S))
    wave = np.fft.rfft(surface) * np.exp(-(1 + 1j) * path)
    return np.asarray(np.fft.irfft(wave, surface.shape[0]))


def stress(depleted_share: float, p: float = STRESS_P) -> float:
    """Ks, 0..1, of the depleted share Dr / TAW (FAO-56 eq. 84)."""
    return min(1.0, max(0.0, (1.0 - depleted_share) / (1.0 - p)))


def soil_course(weather: Weather, ground: Ground) -> Soil:
    """Run the balance over all hours of the weather; starts half full on 1 January of a year that nobody looks at."""
    if ground.texture not in TEXTURES:
        raise ValueError(f"soil texture {ground.texture!r} is none of {', '.join(TEXTURES)}")
    snow, water, snow_left = _snow(weather)
    surface = weather.air + SUN_ON_GROUND_K * weather.solar
    # Under snow the ground hardly feels the air.
    surface = np.where(snow_left > 5.0, 0.4 * np.minimum(surface, 0.0), surface)
    temperature = soil_temperature(surface, 0.10)
    et0 = np.where(snow_left > 5.0, 0.0, weather.et0)
    kcb = _basal_coefficient(ground, weather, temperature)
    out = _balance(TEXTURES[ground.texture], ground.seep_mm_day / 24, water, et0, kcb, temperature < 0.0)
    stored = out["stored"] + np.append(0.0, snow_left)
    return Soil(
        weather=weather,
        theta=(out["theta1"], out["theta2"]),
        surface=surface,
        snow=snow,
        evaporation=out["evaporation"],
        transpiration=out["transpiration"],
        runoff=out["runoff"],
        drainage=out["drainage"],
        seep=np.full(water.shape[0], ground.seep_mm_day / 24),
        stored=stored,
    )


def _snow(weather: Weather) -> tuple[Array, Array, Array]:
    """Snowfall and the water that reaches the ground (mm in the hour), and the pack at the hour's end (mm of water)."""
    falls = weather.air < SNOW_BELOW_C
    snow = np.where(falls, weather.rain, 0.0)
    can_melt = (MELT_MM_DAY_K / 24 * np.maximum(0.0, weather.air)).tolist()
    left = np.empty(snow.shape[0])
    melt = np.empty(snow.shape[0])
    pack = 0.0
    for i, fresh in enumerate(snow.tolist()):
        pack += fresh
        melt[i] = min(pack, can_melt[i])
        pack -= melt[i]
        left[i] = pack
    return snow, weather.rain - snow + melt, left


def _basal_coefficient(ground: Ground, weather: Weather, temperature: Array) -> Array:
    """Kcb by hour: dormant below 3 C of the week's soil, full from 12 C; a herd takes up to 40 % of it in three weeks,
    which come back in six [design]."""
    week = np.cumsum(np.insert(temperature, 0, 0.0))
    span = np.minimum(np.arange(1, temperature.shape[0] + 1), 168)
    mean = (week[1:] - week[np.arange(temperature.shape[0]) + 1 - span]) / span
    green = np.clip((mean - 3.0) / 9.0, 0.0, 1.0)
    hours = weather.start + HOUR_S * np.arange(temperature.shape[0])
    change = np.full(temperature.shape[0], -0.4 / (6 * 168))
    for begin, end in ground.grazed:
        change[(hours >= begin) & (hours < end)] = 0.4 / (3 * 168)
    taken = np.zeros(temperature.shape[0])
    if ground.grazed:
        now = 0.0
        for i, step in enumerate(change.tolist()):
            now = min(0.4, max(0.0, now + step))
            taken[i] = now
    return KCB_DORMANT + (ground.kcb - KCB_DORMANT) * green * (1 - taken)


def _balance(
    texture: Texture, seep: float, water: Array, et0: Array, kcb: Array, frozen: NDArray[np.bool_]
) -> dict[str, Array]:
    """The two buckets. Everything in mm; the order within an hour: in, drain, evaporate, take up."""
    thick = [1000 * (low - high) for high, low in LAYERS_M]
    wp1, wp2 = (texture.wp * t for t in thick)
    fc1, fc2 = (texture.fc * t for t in thick)
    sat1, sat2 = (texture.sat * t for t in thick)
    drain = 1 - np.exp(-1.0 / texture.drain_h)
    evaporable = 1000 * EVAPORATION_M * (texture.fc - 0.5 * texture.wp)  # TEW, eq. 73
    depleted = 0.5 * evaporable  # De, eq. 77: what the surface has lost since it was last wet
    # Air-dry is half the wilting point (eq. 73), and only the evaporating part of the top layer gets there.
    dry1 = wp1 * (1 - 0.5 * EVAPORATION_M / LAYERS_M[0][1])
    w1, w2 = (wp1 + fc1) / 2, (wp2 + fc2) / 2
    hours: list[tuple[float, ...]] = []
    rows = zip(water.tolist(), et0.tolist(), kcb.tolist(), frozen.tolist(), strict=True)
    for wet, reference, coefficient, ice in rows:
        before = (w1, w2)
        offered = wet + seep
        # Frozen ground takes water in only where its pores are not full of ice.
        enters = min(offered * (1 - w1 / sat1 if ice else 1.0), sat1 - w1)
        w1 += enters
        down = min(max(0.0, w1 - fc1) * drain, sat2 - w2)
        w1 -= down
        w2 += down
        lost = max(0.0, w2 - fc2) * drain
        w2 -= lost

        depleted = max(0.0, depleted - enters)
        kr = min(1.0, max(0.0, (evaporable - depleted) / (evaporable - texture.rew)))  # eq. 74
        bare = 1 - ((coefficient - KCB_DORMANT) / (KC_MAX - KCB_DORMANT)) ** (1 + 0.5 * SWARD_M)  # eq. 75, 76
        evaporated = min(reference * min(kr * (KC_MAX - coefficient), bare * KC_MAX), max(0.0, w1 - dry1))  # eq. 71
        w1 -= evaporated
        depleted = min(evaporable, depleted + evaporated / bare)
        demand = coefficient * reference
        up1 = min(demand * ROOT_SHARE[0] * stress((fc1 - w1) / (fc1 - wp1)), max(0.0, w1 - wp1))
        up2 = min(demand * ROOT_SHARE[1] * stress((fc2 - w2) / (fc2 - wp2)), max(0.0, w2 - wp2))
        w1 -= up1
        w2 -= up2
        hours.append((*before, evaporated, up1 + up2, offered - enters, lost))
    table = np.array(hours).T
    names = ("evaporation", "transpiration", "runoff", "drainage")
    return {
        "theta1": table[0] / thick[0],
        "theta2": table[1] / thick[1],
        "stored": np.append(table[0] + table[1], w1 + w2),
        **dict(zip(names, table[2:], strict=True)),
    }
