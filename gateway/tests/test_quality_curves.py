"""Curves, soil cores and salinity: published equations and values, and what is no soil is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat.errors import UsageError
from suat.quality.curves import inverse_topp, moisture, put_right, topp
from suat.quality.gravimetry import porosity, weighed
from suat.quality.salinity import extract_ec, pore_ec, salinity_class
from suat.store.rows import ProbeCurve
from suat_sim import probes


@given(st.floats(1.0, 81.0))
def test_topp_is_undone_by_its_inverse(permittivity: float) -> None:
    assert inverse_topp(topp(permittivity)) == pytest.approx(permittivity, rel=1e-9)


@pytest.mark.parametrize("permittivity", [3.0, 8.5, 20.0, 42.0])
def test_topp_is_that_of_the_simulated_probes(permittivity: float) -> None:
    """Written by another hand from the same paper."""
    assert topp(permittivity) == pytest.approx(probes.topp(permittivity), rel=1e-12)


def test_a_count_lies_between_air_and_water() -> None:
    """Sentek Diviner 2000 manual, appendix A: SF = (air - soil) / (air - water); its counts fall with the water."""
    curve = ProbeCurve((0.0, 1.0), air=160_000.0, water=120_000.0)
    assert put_right(curve, 160_000) == 0 and put_right(curve, 120_000) == 1
    assert put_right(curve, 148_000) == pytest.approx(12_000 / 40_000)
    assert moisture(curve, 148_000) == pytest.approx(0.3)


def test_a_permittivity_counts_by_its_root() -> None:
    """Ledieu et al. 1986: theta = 0.1138 sqrt(eps) - 0.1758; in mineral soil within 0.02 of Topp from 5 to 30."""
    ledieu = ProbeCurve((-0.1758, 0.1138), "permittivity")
    assert moisture(ledieu, 16.0) == pytest.approx(0.1138 * 4 - 0.1758)
    assert all(moisture(ledieu, e) == pytest.approx(topp(e), abs=0.02) for e in (5.0, 10.0, 20.0, 30.0))


@given(st.floats(1.5, 60.0), st.floats(-10.0, 45.0))
def test_temperature_is_taken_out_of_the_simulated_probe(permittivity: float, temperature_c: float) -> None:
    """The simulated probe reads 0.05 % more a kelvin."""
    curve = ProbeCurve((0.0, 1.0), per_kelvin=5e-4, reference_c=20.0)
    count = probes.normalised_count(permittivity, temperature_c)
    assert moisture(curve, count, temperature_c) == pytest.approx(probes.normalised_count(permittivity, 20.0))


@pytest.mark.parametrize("temperature_c", [math.nan, -127.0, 85.0])
def test_an_impossible_temperature_puts_nothing_right(temperature_c: float) -> None:
    curve = ProbeCurve((0.0, 1.0), per_kelvin=0.005)
    assert moisture(curve, 0.4, temperature_c) == 0.4


def test_beyond_its_points_a_curve_goes_on_straight() -> None:
    """x**2 between 0.2 and 0.6: 0.04 - 0.1 * 0.4 below, 0.36 + 0.2 * 1.2 above; never down again."""
    curve = ProbeCurve((0.0, 0.0, 1.0), low=0.2, high=0.6)
    assert moisture(curve, 0.3) == pytest.approx(0.09)
    assert moisture(curve, 0.1) == pytest.approx(0.0)
    assert moisture(curve, 0.8) == pytest.approx(0.6)
    found = [moisture(curve, n / 100) for n in range(-50, 150)]
    assert found == sorted(found)


def test_a_core_by_its_masses() -> None:
    """By hand: 28.1 g of water in 100 cm3, 132 g of soil: 28.1 / 99.8 = 0.28156 m3/m3, 1.32 g/cm3."""
    core = weighed(tin_g=51.4, wet_g=211.5, dry_g=183.4, volume_cm3=100.0)
    assert core.moisture == pytest.approx(0.281563, abs=1e-6)
    assert core.bulk_density == pytest.approx(1.32)
    assert porosity(core.bulk_density) == pytest.approx(0.501887, abs=1e-6)


@pytest.mark.parametrize(
    ("masses", "said"),
    [
        ((51.4, 183.4, 211.5, 100.0), "wet core the heaviest"),  # mistaken for each other
        ((0.0, 160.0, 132.0, 0.0), "volume 0"),
        ((51.4, 211.5, 183.4, 10.0), "16.01 g/cm3"),  # mm for cm
        ((51.4, 211.5, 183.4, 1000.0), "0.16 g/cm3"),
        ((51.4, 171.4, 70.4, 100.0), "0.19 g/cm3"),
        ((51.4, 290.0, 183.4, 100.0), "do not fit into the pores"),  # the ring stood in water
        ((200.0, 211.5, 183.4, 100.0), "tin 200 g"),
        ((math.nan, 211.5, 183.4, 100.0), "tin nan g"),
    ],
)
def test_masses_that_no_soil_has_are_refused(masses: tuple[float, float, float, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        weighed(*masses)


def test_the_extract_of_the_5te_manual() -> None:
    """Decagon 5TE manual: 0.7 dS/m at 0.10 m3/m3 and 1.5 g/cm3 gives an ECe of 0.161 dS/m."""
    assert extract_ec(0.7, 0.10, porosity(1.5)) == pytest.approx(0.161, abs=5e-4)


def test_hilhorst_by_hand() -> None:
    """GS3 manual's equation: eps_p = 80.3 - 0.37 (25 - 20) = 78.45; 78.45 * 0.2 / (20 - 4.1) = 0.98679 dS/m."""
    assert pore_ec(0.2, 20.0, 25.0) == pytest.approx(0.986792, abs=1e-6)
    assert pore_ec(0.2, 4.1, 25.0) is None


@given(st.floats(5.0, 60.0), st.floats(0.0, 40.0), st.floats(0.1, 20.0))
def test_hilhorst_finds_the_water_that_the_simulated_probe_lies_in(eps: float, temperature_c: float, ec: float) -> None:
    assert pore_ec(probes.bulk_ec(eps, temperature_c, ec), eps, temperature_c) == pytest.approx(ec)


@pytest.mark.parametrize(
    ("ece", "name"),
    [
        (0.0, "non_saline"),
        (2.0, "very_slight"),
        (3.99, "very_slight"),
        (4.0, "slight"),
        (8.0, "moderate"),
        (16.0, "strong"),
    ],
)
def test_the_classes_of_the_nrcs(ece: float, name: str) -> None:
    assert salinity_class(ece) == name
