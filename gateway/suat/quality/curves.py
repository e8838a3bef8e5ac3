"""From what a probe gives to the soil's water content: Topp's equation, and the curve of one probe in its soil.

A curve is a polynomial of the *reading put right*: a count between what the probe gave in air (0) and in water (1), as
Sentek's scaled frequency; of a permittivity its root, since water content is nearly linear in the refractive index
(Ledieu et al. 1986); a water content as it is. All of them as they would be at the reference temperature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from suat.store.rows import ProbeCurve

TEMPERATURE_C = (-40.0, 60.0)  # METER TEROS 12; what lies outside is no soil's, and nothing is put right by it


def topp(permittivity: float) -> float:
    """Water content [m3/m3] of mineral soil by its permittivity: Topp, Davis, Annan 1980, equation 7."""
    e = permittivity
    return ((4.3e-6 * e - 5.5e-4) * e + 0.0292) * e - 0.053


def inverse_topp(moisture: float) -> float:
    """The permittivity that Topp's equation makes `moisture` of; it rises everywhere, so there is one."""
    e = 3.03 + 9.3 * moisture + 146.0 * moisture**2 - 76.7 * moisture**3  # equation 6 of the same, some 0.01 off
    for _ in range(20):
        step = (topp(e) - moisture) / ((1.29e-5 * e - 1.1e-3) * e + 0.0292)
        e -= step
        if abs(step) < 1e-12 * max(1.0, abs(e)):
            break
    return e


def put_right(curve: ProbeCurve, reading: float, temperature_c: float = math.nan) -> float:
    """What the curve is a polynomial of; a temperature that is unknown or impossible puts nothing right."""
    if curve.field == "count":
        x = (reading - curve.air) / (curve.water - curve.air)
    else:
        x = math.sqrt(reading) if curve.field == "permittivity" else reading
    low, high = TEMPERATURE_C
    if low <= temperature_c <= high:
        x /= 1.0 + curve.per_kelvin * (temperature_c - curve.reference_c)
    return x


def moisture(curve: ProbeCurve, reading: float, temperature_c: float = math.nan) -> float:
    """Water content [m3/m3]. Beyond the points that it was fitted to, the curve goes on straight."""
    x = put_right(curve, reading, temperature_c)
    inside = min(max(x, curve.low), curve.high)
    value = polynomial(curve.coefficients, inside)
    return value if inside == x else value + (x - inside) * polynomial(derivative(curve.coefficients), inside)


def polynomial(coefficients: Sequence[float], x: float) -> float:
    """sum(c[i] * x**i)"""
    value = 0.0
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value


def derivative(coefficients: Sequence[float]) -> list[float]:
    """Coefficients of the slope."""
    return [power * coefficient for power, coefficient in enumerate(coefficients)][1:]
