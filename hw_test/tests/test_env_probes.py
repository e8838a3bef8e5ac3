"""Sensors: curves against their published form, chance as a pure function, faults at their stated rate."""

import itertools
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq  # type: ignore[import-untyped]
from suat_sim.chance import mix, normal, uniform
from suat_sim.probes import (
    NO_FAULTS,
    Faults,
    NodeState,
    Power,
    Probe,
    Series,
    SoilNode,
    WaterNode,
    battery_course,
    bulk_ec,
    cut,
    inverse_topp,
    liquid,
    normalised_count,
    probe_readings,
    topp,
)

HOURS = 24 * 200
MOIST = Series(0.0, 3600.0, tuple(np.linspace(0.10, 0.30, HOURS).tolist()))
WARM = Series(0.0, 3600.0, (15.0,) * HOURS)
STATE = NodeState(WARM, Series(0.0, 3600.0, (4.0,) * HOURS), Series(0.0, 3600.0, (0.0, 400.0) * (HOURS // 2)))


def test_mixing_is_splitmix64() -> None:
    """First outputs of the generator for seed 0, as in the reference program by S. Vigna."""
    golden = 0x9E3779B97F4A7C15
    assert [mix(golden * i) for i in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_chance_is_uniform_and_normal() -> None:
    flat = np.array([uniform(1, "a", i) for i in range(20000)])
    assert np.abs(np.histogram(flat, 10, (0, 1))[0] - 2000).max() < 5 * 2000**0.5
    assert 0 <= flat.min() < flat.max() < 1
    bell = np.array([normal(1, "a", i) for i in range(20000)])
    assert abs(bell.mean()) < 0.03
    assert bell.std() == pytest.approx(1, abs=0.03)
    assert abs(np.corrcoef(flat[:-1], flat[1:])[0, 1]) < 0.03
    assert uniform(1, "a", 5) != uniform(2, "a", 5) != uniform(1, "b", 5)


@given(st.floats(0.0, 0.6))
def test_inverse_topp_against_a_root_finder(theta: float) -> None:
    root = brentq(lambda e: -0.053 + 0.0292 * e - 5.5e-4 * e**2 + 4.3e-6 * e**3 - theta, 0, 90, xtol=1e-12)
    assert inverse_topp(theta) == pytest.approx(root, abs=1e-4)
    assert topp(inverse_topp(theta)) == pytest.approx(theta, abs=1e-8)


def test_topp_at_its_ends() -> None:
    """Dry soil about 3, water-filled about 80 gives unity within the curve's own reach (Topp 1980, fig. 3)."""
    assert topp(3.0) == pytest.approx(0.03, abs=0.005)
    assert topp(20.0) == pytest.approx(0.345, abs=0.001)
    assert topp(40.0) == pytest.approx(0.51, abs=0.005)


def test_bulk_ec_goes_back_to_the_pore() -> None:
    """The station's own formula (GS3 manual, eps_0 = 4.1) gives back the pore EC that was put in."""
    permittivity, temperature, pore = 18.0, 12.0, 2.5
    back = (80.3 - 0.37 * (temperature - 20)) * bulk_ec(permittivity, temperature, pore) / (permittivity - 4.1)
    assert back == pytest.approx(pore)
    assert bulk_ec(3.0, 12.0, 2.5) == 0.0


def test_normalised_count_is_nought_in_air_and_one_in_water() -> None:
    assert normalised_count(1.0, 20.0) == 0.0
    assert normalised_count(80.3, 20.0) == pytest.approx(1.0)
    counts = [normalised_count(inverse_topp(theta), 20.0) for theta in (0.05, 0.15, 0.25, 0.35, 0.45)]
    assert counts == sorted(counts)


def test_frost_hides_water() -> None:
    assert liquid(0.3, 5.0) == liquid(0.3, 0.0) == 0.3
    assert 0.06 < liquid(0.3, -3.0) < 0.12
    assert liquid(0.3, -20.0) == pytest.approx(0.06, abs=0.001)


def test_series_between_its_points_and_not_beyond() -> None:
    series = Series(100.0, 10.0, (1.0, 2.0, 4.0))
    assert [series.at(t) for t in (100.0, 105.0, 110.0, 117.5)] == [1.0, 1.5, 2.0, 3.5]
    for t in (99.9, 120.0, 1e9):
        with pytest.raises(ValueError, match=r"is outside the simulated time 100.0 .. 120.0"):
            series.at(t)


def test_cut_covers_the_period() -> None:
    whole = np.arange(100.0)
    part = cut(whole, 0.0, 10.0, 203.0, 507.0)
    assert part.at(203.0) == pytest.approx(20.3)
    assert part.at(507.0) == pytest.approx(50.7)
    with pytest.raises(ValueError, match="is not inside"):
        cut(whole, 0.0, 10.0, -1.0, 50.0)
    with pytest.raises(ValueError, match="is not inside"):
        cut(whole, 0.0, 10.0, 50.0, 995.0)


NODE = SoilNode("n", 7, (Probe(1, 10), Probe(2, 30)), {1: MOIST, 2: MOIST}, {1: WARM, 2: WARM}, STATE)


def test_same_question_same_answer_in_any_order() -> None:
    times = [3600.0 * 24 + 900 * i + i / 3 for i in range(500)]
    asked = {t: NODE.at(t) for t in times}
    random.Random(1).shuffle(times)
    assert all(NODE.at(t) == asked[t] for t in times)
    assert any(replace(NODE, seed=8).at(t) != asked[t] for t in times)
    assert any(replace(NODE, name="m").at(t) != asked[t] for t in times)


def test_names_of_a_soil_node() -> None:
    fields = ("vwc", "permittivity", "count", "temperature", "ec")
    expected = {f"probe{place}.{field}" for place in (1, 2) for field in fields}
    assert set(NODE.at(5000.0)) == expected | {"node.air_temperature", "node.battery", "node.solar"}


def test_a_faultless_probe_is_near_the_truth() -> None:
    probe = Probe(3, 10, gain=1.02, offset_m3=-0.01, bias_c=0.3, faults=NO_FAULTS)
    errors, heat = [], []
    for i in range(4000):
        t = 1000.0 + 937.0 * i
        out = probe_readings(1, "x", probe, MOIST, WARM, t)
        vwc, warm, permittivity = out["probe3.vwc"], out["probe3.temperature"], out["probe3.permittivity"]
        assert vwc is not None and warm is not None and permittivity is not None
        errors.append(vwc - (MOIST.at(t) * 1.02 - 0.01))
        heat.append(warm - 15.3)
        assert abs(topp(permittivity) - vwc) < 0.006
        assert (warm * 16).is_integer()  # a DS18B20 step
    assert np.std(errors) == pytest.approx(0.0015, rel=0.1)
    assert abs(np.mean(errors)) < 1e-4
    assert abs(np.mean(heat)) < 0.01
    assert np.abs(heat).max() < 0.2


def test_faults_come_at_their_stated_rate() -> None:
    n = 40000
    probe = Probe(1, 10, faults=Faults(spike=0.004, dropout=0.006, stuck=0.0))
    seen: Counter[str] = Counter()
    for i in range(n):
        t = 1000.0 + 400.0 * i
        out = probe_readings(1, "x", probe, MOIST, WARM, t)
        vwc = out["probe1.vwc"]
        if vwc is None:
            seen["dropout"] += 1
            assert set(out.values()) == {None}
        elif abs(vwc - MOIST.at(t)) > 0.1:
            seen["spike"] += 1
    for name, rate in (("spike", 0.004), ("dropout", 0.006)):
        assert abs(seen[name] - rate * n) < 5 * (rate * n) ** 0.5


def test_a_stuck_probe_says_one_thing_for_hours() -> None:
    probe = Probe(1, 10, faults=Faults(0.0, 0.0, stuck=1.0))
    readings = [
        probe_readings(1, "x", probe, MOIST, WARM, 900.0 * i)["probe1.permittivity"] for i in range(4 * 24 * 30)
    ]
    longest, run = [], 1
    for before, now in itertools.pairwise(readings):
        run = run + 1 if before == now else 1
        longest.append(run)
    episodes = sum(1 for length, after in zip(longest, [*longest[1:], 1], strict=True) if length >= 20 > after)
    assert episodes == 10  # one in each block of three days
    assert max(longest) <= 4 * 30 + 1
    free = [probe_readings(1, "x", Probe(1, 10, faults=NO_FAULTS), MOIST, WARM, 900.0 * i) for i in range(50)]
    assert len({out["probe1.permittivity"] for out in free}) > 5


def test_battery_loads_by_day_and_runs_down_in_the_dark() -> None:
    day = ([0.0] * 12 + [600.0] * 12) * 20
    air = [20.0] * len(day)
    sunny = battery_course(Power(), day, air)
    dark = battery_course(Power(start=0.8, load_mw=6.0), [0.0] * len(day), air)
    assert sunny[-1] > 4.1
    assert dark[-1] < dark[0] - 0.2
    assert all(now <= before for before, now in itertools.pairwise(dark))
    # 6 mW for 480 h is 2.88 Wh out of 9.62 Wh: from 80 % to 50 % charge, 3.775 V by the table, 7.5 mV less at 20 C.
    assert dark[-1] == pytest.approx(3.775 - 0.0075, abs=0.003)
    frozen = battery_course(Power(start=0.5), [800.0] * 48, [-5.0] * 48)
    assert frozen[-1] < frozen[0]
    assert min(battery_course(Power(start=0.0), [0.0] * 9, [-30.0] * 9)) > 2.9


def water(faults: Faults = NO_FAULTS) -> WaterNode:
    flat = Series(0.0, 600.0, (0.5,) * 6 * HOURS)
    meter = Series(0.0, 600.0, tuple(50.0 * i for i in range(6 * HOURS)))
    return WaterNode("w", 3, 2.0, 2.6, 0.8, flat, meter, flat, flat, STATE, faults)


def test_water_node_reads_its_tank() -> None:
    out = water().at(123456.7)
    assert out["water.depth"] == pytest.approx(1.0, abs=0.01)
    assert out["water.distance"] == pytest.approx(1.6, abs=0.012)
    assert out["water.volume"] == pytest.approx(50 * 123456.7 / 600, abs=0.001)
    assert out["water.float"] == 1.0
    assert out["water.ec"] == pytest.approx(0.8, abs=0.03)
    assert set(out) == {
        *(f"water.{name}" for name in ("depth", "distance", "volume", "temperature", "ec", "pump_current", "float")),
        *(f"node.{name}" for name in ("air_temperature", "battery", "solar")),
    }


def test_water_faults_touch_the_level_only() -> None:
    silent = water(Faults(dropout=1.0)).at(5000.0)
    assert silent["water.depth"] is None
    assert silent["water.distance"] is None
    assert silent["water.volume"] is not None
    echo = water(Faults(spike=1.0, dropout=0.0)).at(5000.0)
    assert echo["water.distance"] == 0.3
