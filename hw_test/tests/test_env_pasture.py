"""The soil: mass is conserved, temperature obeys the heat equation, roots stop at the wilting point."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from suat_sim.pasture import DIFFUSIVITY_M2_S, TEXTURES, Ground, Soil, soil_course, soil_temperature, stress
from suat_sim.weather import HOUR_S, Weather, at_elevation, make_weather

MAY_2026 = 1778803200.0  # 2026-05-15T00:00Z
HOURS = 24 * 365


def still(hours: int = HOURS, air: float = 15.0, rain: float = 0.0, et0: float = 0.1) -> Weather:
    """A weather that never changes."""
    return Weather(0, 850.0, *(np.full(hours, value) for value in (air, rain, 0.0, et0)))


def imbalance(soil: Soil) -> float:
    """mm: what came in, less what went out, less what is stored."""
    came = soil.weather.rain + soil.seep
    went = soil.evaporation + soil.transpiration + soil.runoff + soil.drainage
    return float((came - went).sum() - (soil.stored[-1] - soil.stored[0]))


@pytest.mark.parametrize("texture", TEXTURES)
def test_water_balance_closes(texture: str) -> None:
    weather = at_elevation(make_weather(5, MAY_2026, MAY_2026 + 86400), 2300.0, rain_factor=1.3)
    soil = soil_course(weather, Ground(texture=texture, seep_mm_day=3.0, grazed=((MAY_2026, MAY_2026 + 1e6),)))
    assert abs(imbalance(soil)) < 1e-9
    hourly = soil.weather.rain + soil.seep - soil.evaporation - soil.transpiration - soil.runoff - soil.drainage
    assert np.abs(hourly - np.diff(soil.stored)).max() < 1e-9
    table = TEXTURES[texture]
    for theta in soil.theta:
        assert theta.min() >= 0.5 * table.wp - 1e-9
        assert theta.max() <= table.sat + 1e-9
    assert soil.theta[1].min() >= table.wp - 1e-9  # roots take nothing below the wilting point


@settings(max_examples=12, deadline=None)
@given(
    rain=st.lists(st.floats(0, 60), min_size=24, max_size=24),
    air=st.lists(st.floats(-30, 40), min_size=24, max_size=24),
    et0=st.floats(0, 1.5),
    seep=st.floats(0, 200),
)
def test_water_balance_closes_in_any_weather(rain: list[float], air: list[float], et0: float, seep: float) -> None:
    weather = Weather(0, 850.0, np.tile(air, 30), np.tile(rain, 30), np.zeros(720), np.full(720, et0))
    soil = soil_course(weather, Ground(seep_mm_day=seep))
    assert abs(imbalance(soil)) < 1e-9 * max(1.0, weather.rain.sum() + soil.seep.sum())
    for series in (soil.evaporation, soil.transpiration, soil.runoff, soil.drainage, soil.stored):
        assert series.min() >= 0.0


def test_without_rain_it_only_dries_and_stops() -> None:
    soil = soil_course(still(et0=0.25), Ground())
    assert np.all(np.diff(soil.theta[0]) <= 1e-12)
    assert soil.theta[1][-1] == pytest.approx(TEXTURES["loam"].wp, abs=0.003)
    assert soil.transpiration[-1] < 0.001


def test_soaked_soil_drains_to_field_capacity() -> None:
    """Domain facts: field capacity is the moisture some 48 h after soaking; no evaporation here."""
    weather = still(24 * 60, et0=0.0)
    weather.rain[100:130] = 12.0
    soil = soil_course(weather, Ground())
    fc = TEXTURES["loam"].fc
    assert soil.theta[0][131] > fc + 0.1
    assert soil.theta[0][131 + 72] == pytest.approx(fc, abs=0.02)
    assert soil.theta[0][-1] == pytest.approx(fc, abs=1e-4)
    assert soil.theta[1][-1] == pytest.approx(fc, abs=1e-3)


@pytest.mark.parametrize(("depleted", "expected"), [(0.0, 1.0), (0.60, 1.0), (0.80, 0.5), (0.90, 0.25), (1.0, 0.0)])
def test_stress_coefficient(depleted: float, expected: float) -> None:
    """FAO-56 eq. 84 with p = 0.60 (table 22, grazing pasture): stress starts at 40 % of the available water."""
    assert stress(depleted) == pytest.approx(expected)


def test_snow_waits_for_warmth() -> None:
    """100 mm fall at -10 C; at +5 C the degree-day factor of 3 melts 15 mm a day: gone after 6.7 days."""
    weather = still(24 * 40, air=-10.0, et0=0.0)
    weather.rain[240:250] = 10.0
    weather.air[480:] = 5.0
    soil = soil_course(weather, Ground())
    assert soil.snow.sum() == pytest.approx(100.0)
    outflow_begins = int(np.argmax(soil.runoff + soil.drainage + np.maximum(0, np.diff(soil.theta[0], append=0)) > 0))
    assert outflow_begins >= 480
    pack = 100.0 - 15.0 * 5
    water_in_soil = soil.stored[480 + 120] - pack + soil.runoff[: 480 + 120].sum() + soil.drainage[: 480 + 120].sum()
    assert water_in_soil == pytest.approx(soil.stored[0] + 75.0, abs=1e-6)


def test_frozen_wet_ground_takes_little_water() -> None:
    def runoff(before: float) -> float:
        weather = still(24 * 90, air=15.0, et0=0.0)
        weather.rain[48:96] = before
        weather.air[24 * 30 :] = -12.0
        weather.air[24 * 80 : 24 * 80 + 6] = 4.0  # a thaw of six hours with rain, the ground still frozen below
        weather.rain[24 * 80 : 24 * 80 + 6] = 5.0
        return float(soil_course(weather, Ground()).runoff[24 * 79 :].sum())

    assert runoff(before=10.0) > 1.2 * runoff(before=0.0) > 5.0


def test_soil_temperature_is_the_damped_lagged_wave() -> None:
    """T(z, t) = exp(-z/D) sin(wt - z/D) for the day's wave, D = sqrt(2k/w) (Campbell & Norman 1998, eq. 2.4)."""
    t = np.arange(24 * 60) * HOUR_S
    omega = 2 * np.pi / 86400
    damping = np.sqrt(2 * DIFFUSIVITY_M2_S / omega)
    assert 0.10 < damping < 0.13  # m: the text-book depth for moist soil
    surface = 12 + 8 * np.sin(omega * t)
    for depth in (0.0, 0.05, 0.10, 0.30):
        expected = 12 + 8 * np.exp(-depth / damping) * np.sin(omega * t - depth / damping)
        assert np.abs(soil_temperature(surface, depth) - expected).max() < 1e-9


def test_soil_temperature_solves_the_heat_equation() -> None:
    """An explicit finite-difference column under a real surface course agrees after its start is forgotten."""
    weather = make_weather(9, MAY_2026, MAY_2026 + 86400)
    surface = weather.air[: 24 * 200]
    dz, dt = 0.02, 300.0
    ratio = DIFFUSIVITY_M2_S * dt / dz**2
    assert ratio < 0.5
    column = np.full(151, surface.mean())
    seen = []
    fine = np.interp(np.arange(0, (surface.shape[0] - 1) * 12) / 12, np.arange(surface.shape[0]), surface)
    for i, top in enumerate(fine):
        column[0] = top
        if i % 12 == 0:
            seen.append((column[5], column[15]))
        column[1:-1] += ratio * (column[2:] - 2 * column[1:-1] + column[:-2])
        column[-1] = column[-2]
    table = np.array(seen)
    late = slice(24 * 150, 24 * 195)
    for place, depth in enumerate((0.10, 0.30)):
        mine = soil_temperature(weather.air, depth)[late]
        error = mine - table[late, place]
        assert np.abs(error - error.mean()).max() < 0.35
        assert abs(error.mean()) < 0.6  # the column of 3 m has not felt the whole year


def test_deeper_is_slower_and_calmer() -> None:
    soil = soil_course(at_elevation(make_weather(2, MAY_2026, MAY_2026 + 86400), 2300.0), Ground())
    july = slice(24 * (365 + 181), 24 * (365 + 212))
    swing = [np.ptp(soil.temperature(depth)[july].reshape(-1, 24), axis=1).mean() for depth in (5, 10, 30, 60)]
    assert swing[0] > 1.3 * swing[1] > 4 * swing[2] > 4 * swing[3]
    assert soil.temperature(10) is soil.temperature(10)


def test_moisture_between_the_probes_is_between_the_layers() -> None:
    soil = soil_course(make_weather(2, MAY_2026, MAY_2026 + 86400), Ground())
    assert np.array_equal(soil.moisture(5), soil.theta[0])
    assert np.array_equal(soil.moisture(30), soil.theta[1])
    assert np.allclose(soil.moisture(20), (soil.theta[0] + soil.theta[1]) / 2)


def test_a_grazed_sward_drinks_less() -> None:
    weather = make_weather(2, MAY_2026, MAY_2026 + 86400)
    free = soil_course(weather, Ground())
    grazed = soil_course(weather, Ground(grazed=((MAY_2026, MAY_2026 + 30 * 86400),)))
    before = int((MAY_2026 - weather.start) // HOUR_S)
    assert np.array_equal(free.transpiration[:before], grazed.transpiration[:before])
    month = slice(before, before + 720)
    assert grazed.transpiration[month].sum() < free.transpiration[month].sum()


def test_an_unknown_texture_is_named() -> None:
    with pytest.raises(ValueError, match="'peat' is none of sand, loamy_sand"):
        soil_course(still(24), replace(Ground(), texture="peat"))
