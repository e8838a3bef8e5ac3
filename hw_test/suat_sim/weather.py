"""A seeded weather of the foothills of Almaty Region, one value an hour.

Daily: a Markov chain of wet and dry days with gamma amounts (Richardson 1981, Water Resources Research 17, 182-190)
and first-order autocorrelated temperature. Radiation and reference evapotranspiration: FAO Irrigation and Drainage
Paper 56 (Allen et al. 1998). Hours are spread from the day: rain as one event, temperature along cosines between the
extremes, radiation and evapotranspiration with the sun's height.

Whole calendar years are drawn, each from its own stream of (seed, year), and the first one is thrown away: the weather
of a day depends on the seed and on the date, not on the period that was asked for.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HOUR_S = 3600
DAY_S = 86400
SOLAR_CONSTANT = 0.0820  # MJ m-2 min-1, FAO-56 eq. 21
MM_PER_MJ = 0.408  # FAO-56 eq. 20, the inverse of the latent heat of vaporisation
LAPSE_K_PER_M = 0.0065  # ICAO standard atmosphere
# Rain at 2,500 m against the foothills, January first: less in winter, a summer maximum [design].
MOUNTAIN_M = 2500.0
MOUNTAIN_RAIN = (0.6, 0.6, 0.6, 0.8, 1.1, 1.8, 1.9, 1.9, 1.5, 0.9, 0.7, 0.6)


@dataclass(frozen=True)
class Climate:
    """Monthly figures of one reference height, January first.

    mean_c: mean air temperature; range_c: mean difference between the day's extremes; rain_mm: monthly sum;
    wet_days: days with rain; rain_factor elsewhere scales rain_mm.
    """

    latitude_deg: float
    longitude_deg: float
    elevation_m: float
    mean_c: tuple[float, ...]
    range_c: tuple[float, ...]
    rain_mm: tuple[float, ...]
    wet_days: tuple[float, ...]


# Rounded after the WMO normals 1981-2010 of Almaty (station 36870, 851 m); the annual sum 684 mm and the maximum in
# April and May are the foothills' own. The place is the Asy plateau.
ALMATY = Climate(
    latitude_deg=43.25,
    longitude_deg=77.9,
    elevation_m=850.0,
    mean_c=(-4.7, -3.0, 3.4, 11.5, 16.6, 21.6, 23.8, 23.0, 17.6, 9.9, 2.7, -2.8),
    range_c=(9.0, 9.0, 9.5, 11.5, 12.0, 12.5, 13.0, 13.5, 13.5, 12.0, 9.5, 8.5),
    rain_mm=(34, 43, 75, 107, 106, 57, 47, 30, 27, 60, 56, 42),
    wet_days=(8, 8, 10, 11, 11, 9, 8, 6, 5, 7, 8, 9),
)

WET_MEMORY = 0.25  # lag-1 autocorrelation of wet days
RAIN_SHAPE = 0.75  # of the gamma distribution of daily amounts (Richardson 1981: 0.5 to 0.9)
TEMPERATURE_MEMORY = 0.7  # lag-1 autocorrelation of the daily anomaly
TEMPERATURE_SD_C = 3.2
WET_COOLING_C = 2.5  # a wet day against a dry one
WET_RANGE = 0.65  # its daily range against a dry day's
RADIATION_K = 0.16  # FAO-56 eq. 50, inland


def extraterrestrial_radiation(day_of_year: Array | float, latitude_deg: float) -> Array:
    """Daily radiation above the atmosphere, MJ m-2 (FAO-56 eq. 21 to 25)."""
    declination, distance = _sun(day_of_year)
    phi = np.radians(latitude_deg)
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1.0, 1.0))
    height = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    return np.asarray(24 * 60 / np.pi * SOLAR_CONSTANT * distance * height)


def sun_height(day_of_year: Array | float, solar_hour: Array | float, latitude_deg: float) -> Array:
    """Sine of the sun's height, 0 at night; `solar_hour` counts from true midnight (FAO-56 eq. 46 inside eq. 28)."""
    declination, _ = _sun(day_of_year)
    phi = np.radians(latitude_deg)
    angle = (np.asarray(solar_hour) - 12.0) * np.pi / 12.0
    height = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(angle)
    return np.asarray(np.maximum(0.0, height))


def _sun(day_of_year: Array | float) -> tuple[Array, Array]:
    """Declination in radians (FAO-56 eq. 24) and inverse relative distance (eq. 23)."""
    year = 2 * np.pi / 365 * np.asarray(day_of_year, dtype=np.float64)
    return 0.409 * np.sin(year - 1.39), 1 + 0.033 * np.cos(year)


def hargreaves_radiation(
    ra: Array | float, t_max: Array | float, t_min: Array | float, k: float = RADIATION_K
) -> Array:
    """Solar radiation at the ground, MJ m-2 day-1, from the daily range (FAO-56 eq. 50)."""
    return np.asarray(k * np.sqrt(np.maximum(0.0, np.asarray(t_max) - np.asarray(t_min))) * np.asarray(ra))


def hargreaves_et0(ra: Array | float, t_max: Array | float, t_min: Array | float) -> Array:
    """Reference evapotranspiration, mm day-1, never negative (FAO-56 eq. 52, `ra` in MJ m-2 day-1)."""
    high, low = np.asarray(t_max, dtype=np.float64), np.asarray(t_min, dtype=np.float64)
    et0 = 0.0023 * ((high + low) / 2 + 17.8) * np.sqrt(np.maximum(0.0, high - low)) * MM_PER_MJ * np.asarray(ra)
    return np.asarray(np.maximum(0.0, et0))


@dataclass(frozen=True)
class Weather:
    """Hourly series from `start` (unix seconds, 1 January 00:00 UTC); index i is the hour that begins at start + 3600 i

    air: degC at the hour's beginning; rain: mm in the hour (snow as water); solar: mean W m-2; et0: mm in the hour.
    """

    start: int
    elevation_m: float
    air: Array
    rain: Array
    solar: Array
    et0: Array

    def day_sums(self, name: str) -> Array:
        """The hourly series `name` summed by UTC day."""
        series: Array = getattr(self, name)
        return np.asarray(series.reshape(-1, 24).sum(axis=1))


def make_weather(seed: int, start: float, end: float, climate: Climate = ALMATY) -> Weather:
    """Weather of all calendar years that `start` .. `end` (unix seconds) touch, and of the year before them."""
    if not end > start:
        raise ValueError(f"the weather's end {end} is not after its start {start}")
    first = dt.datetime.fromtimestamp(start, dt.UTC).year - 1
    last = dt.datetime.fromtimestamp(end, dt.UTC).year
    years = range(first - 1, last + 1)
    draws = [_draw_year(seed, year) for year in years]
    keep = draws[0]["uniform"].shape[0]  # the thrown year: the chain forgets how it began
    dates = np.concatenate([draw["day"] for draw in draws])
    month, doy = _calendar(dates)
    uniform = np.concatenate([draw["uniform"] for draw in draws])
    normal = np.concatenate([draw["normal"] for draw in draws])
    amount = np.concatenate([draw["gamma"] for draw in draws])

    wet = _wet_days(_monthly(climate.wet_days, month) / 30.4, uniform[:, 0])
    mean_amount = _monthly(climate.rain_mm, month) / _monthly(climate.wet_days, month)
    rain = np.where(wet, amount / RAIN_SHAPE * mean_amount, 0.0)
    mean, spread = _temperature(climate, month, doy, wet, normal)
    t_max, t_min = mean + spread / 2, mean - spread / 2
    ra = extraterrestrial_radiation(doy.astype(np.float64), climate.latitude_deg)
    solar = hargreaves_radiation(ra, t_max, t_min)
    et0 = hargreaves_et0(ra, t_max, t_min)

    shift = climate.longitude_deg / 15.0  # hours that true solar time is ahead of UTC
    return Weather(
        start=int(dates[keep]) * DAY_S,
        elevation_m=climate.elevation_m,
        air=_hourly_air(t_max, t_min, shift)[24 * keep :],
        rain=_hourly_rain(rain, uniform[:, 1], uniform[:, 2], shift)[24 * keep :],
        solar=_by_sun(solar * 1e6 / HOUR_S, doy, climate.latitude_deg, shift)[24 * keep :],
        et0=_by_sun(et0, doy, climate.latitude_deg, shift)[24 * keep :],
    )


def at_elevation(weather: Weather, elevation_m: float, rain_factor: float = 1.0, sun_factor: float = 1.0) -> Weather:
    """The same weather at another height: cooler by the lapse rate, evapotranspiration by the mean-temperature term,
    and the higher the more of its rain in summer.

    rain_factor: rain shadow or windward slope; sun_factor: a slope that faces the sun (> 1) or the shade (< 1).
    """
    colder = LAPSE_K_PER_M * (elevation_m - weather.elevation_m)
    air = weather.air - colder
    day_mean = np.repeat(weather.air.reshape(-1, 24).mean(axis=1), 24)
    scale = np.maximum(0.0, day_mean - colder + 17.8) / np.maximum(1.0, day_mean + 17.8)
    month, _ = _calendar(weather.start / DAY_S + np.arange(air.shape[0] // 24))
    up = min(1.0, max(0.0, (elevation_m - ALMATY.elevation_m) / (MOUNTAIN_M - ALMATY.elevation_m)))
    season = np.repeat(1 + up * (_monthly(MOUNTAIN_RAIN, month) - 1), 24)
    return Weather(
        start=weather.start,
        elevation_m=elevation_m,
        air=air,
        rain=weather.rain * season * rain_factor,
        solar=weather.solar * sun_factor,
        et0=weather.et0 * scale * sun_factor,
    )


def _draw_year(seed: int, year: int) -> dict[str, Array]:
    """All the chance of one year, in a fixed order and number."""
    first = (dt.date(year, 1, 1) - dt.date(1970, 1, 1)).days
    days = (dt.date(year + 1, 1, 1) - dt.date(1970, 1, 1)).days - first
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, year])))
    return {
        "day": np.arange(first, first + days, dtype=np.float64),
        "uniform": rng.random((days, 3)),
        "normal": rng.standard_normal((days, 2)),
        "gamma": rng.gamma(RAIN_SHAPE, size=days),
    }


def _calendar(days: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Month 0..11 and day of the year 1..366 of days since 1970."""
    dates = days.astype(np.int64).astype("datetime64[D]")
    month = dates.astype("datetime64[M]").astype(np.int64) % 12
    doy = (dates - dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1
    return month, doy


def _monthly(table: tuple[float, ...], month: NDArray[np.int64]) -> Array:
    return np.asarray(table, dtype=np.float64)[month]


def _seasonal(table: tuple[float, ...], doy: NDArray[np.int64]) -> Array:
    """A monthly table through the year without steps: linear between the middles of the months."""
    middles = np.arange(-0.5, 13.0) * 30.4375
    values = np.array([table[-1], *table, table[0]])
    return np.asarray(np.interp(doy.astype(np.float64), middles, values))


def _wet_days(share: Array, chance: Array) -> NDArray[np.bool_]:
    """First-order Markov chain: P(wet|wet) = share + r (1 - share), P(wet|dry) = share (1 - r)."""
    after_wet = share + WET_MEMORY * (1 - share)
    after_dry = share * (1 - WET_MEMORY)
    wet = np.zeros(chance.shape[0], dtype=np.bool_)
    was = False
    for i in range(chance.shape[0]):
        was = bool(chance[i] < (after_wet[i] if was else after_dry[i]))
        wet[i] = was
    return wet


def _temperature(
    climate: Climate, month: NDArray[np.int64], doy: NDArray[np.int64], wet: NDArray[np.bool_], normal: Array
) -> tuple[Array, Array]:
    """Daily mean and range, degC. The wet share is given back to the mean, so that the month keeps its normal."""
    share = _monthly(climate.wet_days, month) / 30.4
    anomaly = np.zeros(doy.shape[0])
    innovation = TEMPERATURE_SD_C * np.sqrt(1 - TEMPERATURE_MEMORY**2) * normal[:, 0]
    before = 0.0
    for i in range(anomaly.shape[0]):
        before = TEMPERATURE_MEMORY * before + innovation[i]
        anomaly[i] = before
    mean = _seasonal(climate.mean_c, doy) + anomaly - WET_COOLING_C * (wet - share)
    base = _seasonal(climate.range_c, doy) / (1 - share * (1 - WET_RANGE))
    spread = base * np.where(wet, WET_RANGE, 1.0) * np.clip(1 + 0.15 * normal[:, 1], 0.5, 1.5)
    return mean, spread


def _hourly_air(t_max: Array, t_min: Array, shift: float) -> Array:
    """Half cosines between the minimum at 05 and the maximum at 15, true solar time."""
    days = t_max.shape[0]
    knots = np.empty(2 * days)
    knots[0::2], knots[1::2] = 24.0 * np.arange(days) + 5 - shift, 24.0 * np.arange(days) + 15 - shift
    values = np.empty(2 * days)
    values[0::2], values[1::2] = t_min, t_max
    hours = np.arange(24.0 * days)
    right = np.clip(np.searchsorted(knots, hours, side="right"), 1, knots.shape[0] - 1)
    left = right - 1
    part = np.clip((hours - knots[left]) / (knots[right] - knots[left]), 0.0, 1.0)
    return np.asarray(values[left] + (values[right] - values[left]) * (1 - np.cos(np.pi * part)) / 2)


def _hourly_rain(daily: Array, when: Array, how_long: Array, shift: float) -> Array:
    """One event a wet day: half of them start 13-18 solar time (convection), the others at any hour; 2 to 8 hours long.

    An event that would run past the UTC day is cut there and keeps its amount.
    """
    days = daily.shape[0]
    solar_start = np.where(when < 0.5, 13 + 10 * when, 48 * (when - 0.5))
    start = np.floor((solar_start - shift) % 24).astype(np.int64)
    length = 2 + np.floor(how_long * 7).astype(np.int64)
    hour = np.arange(24)[np.newaxis, :]
    begun, ended = start[:, np.newaxis], (start + length)[:, np.newaxis]
    mask = ((hour >= begun) & (hour < ended)).astype(np.float64)
    return np.asarray(mask / mask.sum(axis=1, keepdims=True) * daily[:, np.newaxis]).reshape(24 * days)


def _by_sun(daily: Array, doy: NDArray[np.int64], latitude_deg: float, shift: float) -> Array:
    """A daily sum spread over the UTC day's hours in proportion to the sun's height at the middle of each hour."""
    hours = np.asarray(np.arange(24)[np.newaxis, :] + 0.5 + shift, dtype=np.float64)
    height = sun_height(doy[:, np.newaxis].astype(np.float64), hours % 24, latitude_deg)
    return np.asarray(height / height.sum(axis=1, keepdims=True) * daily[:, np.newaxis]).reshape(-1)
