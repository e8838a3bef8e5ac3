"""Fitting: certified values, an independent implementation, and points that make no curve."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from suat.errors import UsageError
from suat.quality.curves import put_right
from suat.quality.fit import Known, fit, foretold, student_95
from suat.quality.thermal import sensitivity
from suat.store.rows import ProbeCurve
from suat_sim import probes

VWC = ProbeCurve((), "vwc")
COUNT = ProbeCurve((), "count", air=0.82, water=0.36)  # a cheap probe's share of full scale: it falls with the water
SOILS = (0.08, 0.14, 0.19, 0.24, 0.31, 0.36)

# NIST StRD, linear regression, "Norris" (calibration of ozone monitors): x, y; scaled by 1/1000 to be water contents
NORRIS = """0.2 0.1  337.4 338.8  118.2 118.1  884.6 888.0  10.1 9.2  226.5 228.1  666.3 668.5  996.3 998.5  448.6 449.1
777.0 778.9  558.2 559.2  0.4 0.3  0.6 0.1  775.5 778.1  666.9 668.8  338.0 339.3  447.5 448.9  11.6 10.8  556.0 557.7
228.1 228.3  995.8 998.0  887.6 888.8  120.2 119.6  0.3 0.3  0.3 0.6  556.8 557.6  339.1 339.3  887.2 888.0  999.0 998.5
779.0 778.9  11.1 10.2  118.3 117.6  229.2 228.9  669.1 668.4  448.9 449.2  0.5 0.2"""


def count_of(moisture: float, temperature_c: float = 20.0) -> float:
    """What the simulated probe gives through `COUNT`'s electronics."""
    x = probes.normalised_count(probes.inverse_topp(moisture), temperature_c)
    return COUNT.air + (COUNT.water - COUNT.air) * x


def cores(moistures: tuple[float, ...] = SOILS, error: float = 0.0, seed: int = 1) -> list[Known]:
    chance = random.Random(seed)
    return [Known(str(n), count_of(m), 20.0, m + chance.gauss(0, error)) for n, m in enumerate(moistures, 1)]


def test_the_certified_values_of_nist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suat.quality.fit.MOISTURE", (0.0, 1.0))
    numbers = [float(text) / 1000 for text in NORRIS.split()]
    points = [Known(str(n), x, None, y) for n, (x, y) in enumerate(zip(numbers[::2], numbers[1::2], strict=True))]
    found = fit(points, VWC, 1)
    intercept, slope = found.curve.coefficients
    assert len(points) == 36
    assert intercept == pytest.approx(-0.262323073774029e-3, rel=1e-9)
    assert slope == pytest.approx(1.00211681802045, rel=1e-12)
    assert found.residual == pytest.approx(0.884796396144373e-3, rel=1e-9)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.02, 0.5), st.floats(-0.02, 0.02)), min_size=5, max_size=12, unique_by=lambda p: p[0]
    ),
    st.sampled_from([1, 2]),
)
def test_a_fit_is_that_of_numpy_and_its_errors_those_of_leaving_points_out(
    pairs: list[tuple[float, float]], degree: int
) -> None:
    points = [Known(str(n), x, None, max(0.0, x + off)) for n, (x, off) in enumerate(pairs)]
    try:
        found = fit(points, VWC, degree)
    except UsageError:
        return
    x, y = [p.reading for p in points], [p.moisture for p in points]
    expected = np.polynomial.polynomial.polyfit(x, y, degree)
    inside = np.linspace(min(x), max(x), 20)
    value = np.polynomial.polynomial.polyval(inside, found.curve.coefficients)
    assert value == pytest.approx(np.polynomial.polynomial.polyval(inside, expected), abs=1e-7)
    if degree == 1:  # a parabola through the others may be undefined
        errors = []
        for out in range(len(x)):
            others = [n for n in range(len(x)) if n != out]
            line = stats.linregress([x[n] for n in others], [y[n] for n in others])
            errors.append(y[out] - line.intercept - line.slope * x[out])
        assert found.left_out == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-5, abs=1e-9)


def test_the_band_is_the_prediction_interval_of_the_textbook() -> None:
    """Draper & Smith 3.1: t s sqrt(1 + 1/n + (x - mean)^2 / Sxx)."""
    found = fit(cores(error=0.01), COUNT, 1)
    x = np.array([put_right(found.curve, p.reading) for p in found.points])
    for at in (0.1, 0.3, 0.9):
        width = np.sqrt(1 + 1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
        assert found.band(at) == pytest.approx(stats.t.ppf(0.975, 4) * found.residual * width, rel=1e-3)


@pytest.mark.parametrize("free", [1, 2, 5, 15, 16, 30, 100])
def test_students_t(free: int) -> None:
    assert student_95(free) == pytest.approx(stats.t.ppf(0.975, free), abs=0.005)


def test_the_simulated_probe_is_found_again() -> None:
    """A straight line does for a probe that sees the refractive index; 1 % of error in the cores comes back as such."""
    found = fit(cores(error=0.01), COUNT)
    assert 0.004 < found.residual < 0.02 and found.suspects == ()
    assert found.curve.low == pytest.approx(probes.normalised_count(probes.inverse_topp(0.08), 20.0))
    for moisture in (0.10, 0.22, 0.34):
        assert foretold(found.curve, Known("", count_of(moisture), 20.0, 0.0)) == pytest.approx(moisture, abs=0.02)


def test_a_parabola_is_taken_where_it_foretells_better() -> None:
    bent = [Known(str(n), x, None, 0.05 + 0.1 * x + 0.5 * x * x) for n, x in enumerate((0.1, 0.2, 0.35, 0.5, 0.6, 0.7))]
    straight = [
        Known(p.label, p.reading, None, 0.05 + 0.6 * p.reading + off)
        for p, off in zip(bent, (0.004, -0.006, 0.003, 0.005, -0.007, 0.001), strict=True)
    ]
    form = ProbeCurve((), "vwc")
    assert len(fit(bent, form).curve.coefficients) == 3
    assert len(fit(straight, form).curve.coefficients) == 2


def test_a_tin_that_was_mistaken_is_named() -> None:
    points = cores((*SOILS, 0.11, 0.28), error=0.004)
    points[3] = points[3]._replace(moisture=points[3].moisture + 0.09)
    assert fit(points, COUNT, 1).suspects == ("4",)


@pytest.mark.parametrize(
    ("points", "form", "said"),
    [
        (cores(SOILS[:4]), COUNT, "4 points"),
        (cores((0.20, 0.21, 0.22, 0.23, 0.24)), COUNT, "within 0.040"),
        ([*cores(), Known("x", 0.5, None, 1.4)], COUNT, '"x": 1.4'),
        ([*cores(), Known("x", 0.9, None, 0.2)], COUNT, '"x": 0.9 does not lie between air'),
        (cores(), COUNT._replace(air=0.40), "sees no difference"),
        ([Known(str(n), 0.5, None, m) for n, m in enumerate(SOILS)], COUNT, "only 1 different"),
        ([p._replace(moisture=0.45 - p.moisture) for p in cores()], COUNT, "do not rise"),
    ],
)
def test_points_that_make_no_curve(points: list[Known], form: ProbeCurve, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fit(points, form)


def test_counts_as_sent_may_fall_with_the_water() -> None:
    """A probe that was never read in air and in water."""
    found = fit(cores(), ProbeCurve((), "count"), 1)
    assert found.curve.coefficients[1] < 0 and found.residual < 0.01


# Temperature


def days(
    count: int, swing_k: float, every_s: int = 3600, noise: float = 0.0003, rain: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(times, what the simulated probe gives, temperatures) of slowly drying soil."""
    chance = random.Random(5)
    times = np.arange(0, count * 86400, every_s, dtype=float)
    temperature = 15 + swing_k / 2 * np.sin(times / 86400 * 2 * np.pi - 2)
    moisture = 0.25 - 0.004 * times / 86400
    for day in rain:
        moisture[times > day * 86400 + 40000] += 0.05
    counts = [
        probes.normalised_count(probes.inverse_topp(m), t) + chance.gauss(0, noise)
        for m, t in zip(moisture, temperature, strict=True)
    ]
    return times, np.array(counts), temperature


def test_the_sensitivity_of_the_simulated_probe_is_found() -> None:
    """0.05 % a kelvin, from a fortnight of drying soil with two rains in it."""
    found = sensitivity(*days(14, 8.0, rain=(3, 9)), 20.0)
    assert found.days == 14 and found.error < 1e-4
    assert found.per_kelvin == pytest.approx(5e-4, abs=3 * found.error + 2e-5)


def test_days_that_say_nothing_are_no_measurement() -> None:
    for times, counts, temperature in (days(4, 8.0), days(14, 1.5), days(14, 8.0, every_s=4 * 3600)):
        with pytest.raises(UsageError, match="days with"):
            sensitivity(times, counts, temperature, 20.0)
    times, counts, temperature = days(14, 8.0)
    with pytest.raises(UsageError, match="0 days"):
        sensitivity(times, counts, temperature - 15, 20.0)  # frost
    with pytest.raises(UsageError, match="no probe's"):
        sensitivity(times, counts * (1 + 0.02 * (temperature - 15)), temperature, 20.0)
