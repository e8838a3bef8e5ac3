"""The weather generator against FAO-56's worked examples, its own climate table and itself."""

import datetime as dt

import numpy as np
import pytest
from suat_sim.weather import (
    ALMATY,
    DAY_S,
    HOUR_S,
    Weather,
    at_elevation,
    extraterrestrial_radiation,
    hargreaves_et0,
    hargreaves_radiation,
    make_weather,
    sun_height,
)

MAY_2026 = dt.datetime(2026, 5, 15, tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize(
    ("day", "latitude", "expected"),
    [
        (246, -20.0, 32.19),  # FAO-56 example 8, 3 September at 20 S
        (135, -22.9, 25.1),  # example 10, Rio de Janeiro in May
        (196, 45.0 + 43 / 60, 40.6),  # example 15, Lyon in July
    ],
)
def test_radiation_above_the_atmosphere(day: int, latitude: float, expected: float) -> None:
    digits = len(str(expected).split(".")[1])
    assert round(float(extraterrestrial_radiation(day, latitude)), digits) == expected


def test_radiation_from_temperatures() -> None:
    """FAO-56 example 15: Lyon, July, Tmax 26.6, Tmin 14.8, Ra 40.6 gives Rs 22.3 MJ m-2 day-1."""
    assert float(hargreaves_radiation(40.6, 26.6, 14.8)) == pytest.approx(22.3, abs=0.05)


def test_reference_evapotranspiration() -> None:
    """FAO-56 example 20: the same month by eq. 52 gives 5.0 mm day-1."""
    assert float(hargreaves_et0(40.6, 26.6, 14.8)) == pytest.approx(5.0, abs=0.05)
    assert float(hargreaves_et0(10.0, -20.0, -30.0)) == 0.0


@pytest.mark.parametrize("day", [15, 105, 172, 288, 355])
def test_daily_radiation_is_the_integral_of_the_suns_height(day: int) -> None:
    """Eq. 21 is the closed form of what the hours are spread by: integrated by numbers, they agree."""
    minutes = np.arange(0, 24 * 60) + 0.5
    distance = 1 + 0.033 * np.cos(2 * np.pi / 365 * day)
    integral = 0.0820 * distance * sun_height(day, minutes / 60, 43.25).sum()
    assert float(extraterrestrial_radiation(day, 43.25)) == pytest.approx(integral, rel=1e-4)


def test_same_seed_same_weather_and_another_seed_another() -> None:
    one, two = (make_weather(7, MAY_2026, MAY_2026 + 30 * DAY_S) for _ in range(2))
    other = make_weather(8, MAY_2026, MAY_2026 + 30 * DAY_S)
    for name in ("air", "rain", "solar", "et0"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))


def test_a_day_does_not_depend_on_the_period_asked_for() -> None:
    short = make_weather(7, MAY_2026, MAY_2026 + DAY_S)
    long = make_weather(7, MAY_2026 - 3 * 365 * DAY_S, MAY_2026 + 400 * DAY_S)
    begin = int((MAY_2026 - long.start) // HOUR_S), int((MAY_2026 - short.start) // HOUR_S)
    hours = short.air.shape[0] - begin[1]
    for name in ("air", "rain", "solar", "et0"):
        part = getattr(long, name)[begin[0] : begin[0] + hours - 24]
        assert np.abs(part - getattr(short, name)[begin[1] : begin[1] + hours - 24]).max() < 1e-9


@pytest.fixture(scope="module")
def forty_years() -> tuple[Weather, np.ndarray]:
    weather = make_weather(3, dt.datetime(1980, 1, 2, tzinfo=dt.UTC).timestamp(), MAY_2026)
    days = np.datetime64(weather.start, "s").astype("datetime64[D]") + np.arange(weather.air.shape[0] // 24)
    return weather, days.astype("datetime64[M]").astype(int) % 12


def test_many_years_keep_the_climate_table(forty_years: tuple[Weather, np.ndarray]) -> None:
    weather, month = forty_years
    rain, air = weather.day_sums("rain"), weather.air.reshape(-1, 24)
    years = rain.shape[0] / 365.25
    for number in range(12):
        mine = month == number
        assert air[mine].mean() == pytest.approx(ALMATY.mean_c[number], abs=1.2)
        spread = (air[mine].max(axis=1) - air[mine].min(axis=1)).mean()
        assert spread == pytest.approx(ALMATY.range_c[number], abs=2.0)
        assert (rain[mine] > 0).sum() / years == pytest.approx(ALMATY.wet_days[number], abs=1.2)
        assert rain[mine].sum() / years == pytest.approx(ALMATY.rain_mm[number], rel=0.25)
    assert rain.sum() / years == pytest.approx(684, rel=0.06)
    assert 900 < weather.et0.sum() / years < 1150  # mm a year, semi-arid foothills


def test_wet_days_come_in_groups(forty_years: tuple[Weather, np.ndarray]) -> None:
    weather, month = forty_years
    july = weather.day_sums("rain")[month == 6] > 0
    together = np.corrcoef(july[:-1], july[1:])[0, 1]
    assert together == pytest.approx(0.25, abs=0.07)


def test_hours_are_those_of_the_place() -> None:
    """At 78 E the sun culminates near 06:50 UTC, the warmest hour lies some three hours later, nights are dark."""
    weather = make_weather(1, MAY_2026, MAY_2026 + 30 * DAY_S)
    sun, air = weather.solar.reshape(-1, 24).mean(axis=0), weather.air.reshape(-1, 24).mean(axis=0)
    assert int(sun.argmax()) in (6, 7)
    assert int(air.argmax()) in (9, 10, 11)
    assert int(air.argmin()) in (23, 0, 1)
    assert sun[[17, 18, 19, 20, 21]].max() == 0.0
    assert weather.solar.max() < 1000


def test_higher_is_cooler_and_evaporates_less() -> None:
    weather = make_weather(1, MAY_2026, MAY_2026 + 30 * DAY_S)
    high = at_elevation(weather, ALMATY.elevation_m + 1000)
    assert np.allclose(weather.air - high.air, 6.5)
    assert high.et0.sum() < weather.et0.sum()
    same = at_elevation(weather, ALMATY.elevation_m, rain_factor=0.5)
    assert np.allclose(same.rain, weather.rain / 2)
    assert np.array_equal(same.et0, weather.et0)


def test_mountain_rain_has_its_maximum_in_summer() -> None:
    weather = at_elevation(make_weather(1, 0.0, MAY_2026), 2500.0)
    days = np.datetime64(weather.start, "s").astype("datetime64[D]") + np.arange(weather.air.shape[0] // 24)
    month = days.astype("datetime64[M]").astype(int) % 12
    sums = [weather.day_sums("rain")[month == number].sum() for number in range(12)]
    assert int(np.argmax(sums)) in (4, 5)
    assert sum(sums[4:8]) > 0.45 * sum(sums)


def test_a_period_that_ends_before_it_begins() -> None:
    with pytest.raises(ValueError, match="is not after its start"):
        make_weather(1, MAY_2026, MAY_2026)
