"""What the sensors of a node give for a true state: curves, noise, resolution and faults.

All chance is a pure function of (seed, node, probe, whole second): asked twice, in any order, a probe says the same.
Rates of the faults are documented in docs/simulator.md and can be set to nought.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from suat_sim.chance import mix, stream, uniform
from suat_sim.weather import HOUR_S, Array

Readings = dict[str, float | None]

FLOAT_SHARE = 0.05  # of the depth: there hangs the switch that tells an empty tank [design]
WATER_INDEX = math.sqrt(80.3) - 1  # refractive index of water above air's
STUCK_BLOCK_S = 3 * 86400
_NAMES = {
    place: tuple(f"probe{place}.{field}" for field in ("vwc", "permittivity", "count", "temperature", "ec"))
    for place in (1, 2, 3, 4)
}


@dataclass(frozen=True)
class Series:
    """Values at start + step i, read by linear interpolation. A time outside is a ValueError: nothing is made up."""

    start: float
    step: float
    values: tuple[float, ...]

    def at(self, t: float) -> float:
        place = (t - self.start) / self.step
        left = int(place)
        if place < 0 or left >= len(self.values) - 1:
            end = self.start + self.step * (len(self.values) - 1)
            raise ValueError(f"t = {t} is outside the simulated time {self.start} .. {end} (unix seconds)")
        low = self.values[left]
        return low + (self.values[left + 1] - low) * (place - left)


def cut(values: Array, start: float, step: float, begin: float, end: float) -> Series:
    """The part of a long array that covers begin .. end."""
    first = int((begin - start) // step)
    last = int((end - start) // step) + 2
    if first < 0 or last > values.shape[0]:
        raise ValueError(f"{begin} .. {end} is not inside the series that starts at {start}")
    return Series(start + first * step, step, tuple(values[first:last].tolist()))


@dataclass(frozen=True)
class Faults:
    """Shares of readings (spike, dropout) and of three-day blocks with one episode of 6 to 30 h (stuck)."""

    spike: float = 0.0008
    dropout: float = 0.0015
    stuck: float = 0.01


NO_FAULTS = Faults(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Probe:
    """One soil probe: place in the node (1..4), depth, and how this piece differs from the ideal one.

    gain, offset_m3: of the moisture; count_gain, count_offset: of the normalised count of a capacitive probe;
    bias_c: of the thermometer; pore_ec: dS/m of the soil water around it.
    """

    position: int
    depth_cm: float
    gain: float = 1.0
    offset_m3: float = 0.0
    count_gain: float = 1.0
    count_offset: float = 0.0
    bias_c: float = 0.0
    pore_ec: float = 1.2
    faults: Faults = Faults()


def topp(permittivity: float) -> float:
    """Volumetric water content, m3/m3 (Topp, Davis, Annan 1980, Water Resources Research 16, eq. 7)."""
    e = permittivity
    return -0.053 + 0.0292 * e - 5.5e-4 * e * e + 4.3e-6 * e * e * e


def inverse_topp(theta: float) -> float:
    """The permittivity whose Topp water content is theta: Newton from Topp's own eq. 6; the cubic rises everywhere."""
    e = 3.03 + 9.3 * theta + 146 * theta * theta - 76.7 * theta**3
    for _ in range(8):
        error = topp(e) - theta
        e -= error / (0.0292 - 1.1e-3 * e + 1.29e-5 * e * e)
        if abs(error) < 1e-9:
            break
    return e


def liquid(theta: float, temperature_c: float) -> float:
    """Water that an electromagnetic probe still sees: below 0 C ice (permittivity 3) hides all but a fifth of it."""
    return theta if temperature_c >= 0 else theta * (0.2 + 0.8 * math.exp(temperature_c / 1.5))


def bulk_ec(permittivity: float, temperature_c: float, pore_ec: float) -> float:
    """dS/m: Hilhorst's relation as in the GS3 manual, solved for the bulk: pore (eps - 4.1) / eps_pore."""
    pore_permittivity = 80.3 - 0.37 * (temperature_c - 20)
    return max(0.0, pore_ec * (permittivity - 4.1) / pore_permittivity)


def normalised_count(permittivity: float, temperature_c: float) -> float:
    """0 in air, 1 in water: a capacitive probe follows the refractive index; +0.05 % a kelvin [design]."""
    return (math.sqrt(max(1.0, permittivity)) - 1) / WATER_INDEX * (1 + 5e-4 * (temperature_c - 20))


def probe_readings(seed: int, name: str, probe: Probe, theta: Series, soil_c: Series, t: float) -> Readings:
    """Every form of what this probe can give at t, under "probeN.FIELD"; a dropout gives None in all of them."""
    vwc_name, permittivity_name, count_name, temperature_name, ec_name = _NAMES[probe.position]
    seen = _stuck_since(seed, name, probe.faults.stuck, t)
    bits = mix(stream(seed, name) + int(seen) * 0x632BE59BD9B4E019)
    luck = mix(bits) * 2.0**-64
    faults = probe.faults
    if luck < faults.dropout:
        return dict.fromkeys(_NAMES[probe.position])
    temperature = soil_c.at(seen) + probe.bias_c + 0.04 * _bell(bits, 0)
    water = liquid(theta.at(seen), temperature) * probe.gain + probe.offset_m3 + 0.0015 * _bell(bits, 20)
    if luck > 1 - faults.spike:
        sign = 1 if bits & 1 else -1
        water += sign * (0.12 + 0.2 * (bits >> 44 & 1023) / 1023)
        temperature += sign * 25
    permittivity = max(1.0, inverse_topp(water) + 0.05 * _bell(bits, 40))
    count = normalised_count(permittivity, temperature) * probe.count_gain + probe.count_offset
    return {
        vwc_name: round(water, 4),
        permittivity_name: round(permittivity, 2),
        count_name: round(min(1.0, max(0.0, count)), 4),
        temperature_name: round(temperature * 16) / 16,
        ec_name: round(bulk_ec(permittivity, temperature, probe.pore_ec), 3),
    }


def _stuck_since(seed: int, name: str, rate: float, t: float) -> float:
    """The second whose reading the probe shows at t: t itself, or the beginning of an episode in which it hangs."""
    block = int(t // STUCK_BLOCK_S)
    if uniform(seed, name + "/stuck", 3 * block) >= rate:
        return t
    length = 3600 * (6 + 24 * uniform(seed, name + "/stuck", 3 * block + 1))
    begin = block * STUCK_BLOCK_S + (STUCK_BLOCK_S - length) * uniform(seed, name + "/stuck", 3 * block + 2)
    return begin if begin <= t < begin + length else t


def _bell(bits: int, shift: int) -> float:
    """Triangular noise of standard deviation 1 from two ten-bit digits."""
    return ((bits >> shift & 1023) + (bits >> shift + 10 & 1023) - 1023) / 418.05


@dataclass(frozen=True)
class Power:
    """A node's supply: Li-ion cell, small panel. load_mw: mean; panel_w: at 1000 W m-2; start: state of charge."""

    capacity_mah: float = 2600.0
    panel_w: float = 0.5
    load_mw: float = 1.5
    start: float = 0.8


# Open-circuit voltage of a Li-ion cell by state of charge (typical data sheet of an 18650, 25 C).
CELL_CHARGE = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
CELL_VOLTS = (3.00, 3.35, 3.50, 3.60, 3.70, 3.85, 4.00, 4.18)


def battery_course(power: Power, solar: Sequence[float], air: Sequence[float], step_s: float = HOUR_S) -> list[float]:
    """Volts at the beginning of each step: charge at 60 % of the panel's power, 1.5 mV a kelvin less below 25 C,
    no charge below 0 C."""
    charge = power.start
    capacity_wh = power.capacity_mah / 1000 * 3.7
    table: list[float] = []
    for sun, warm in zip(solar, air, strict=True):
        volts = float(np.interp(charge, CELL_CHARGE, CELL_VOLTS))
        table.append(volts - 0.0015 * max(0.0, 25 - warm))
        gain = 0.6 * power.panel_w * sun / 1000 if warm >= 0 else 0.0
        charge = min(1.0, max(0.0, charge + (gain - power.load_mw / 1000) * step_s / 3600 / capacity_wh))
    return table


@dataclass(frozen=True)
class NodeState:
    """What every node has: the air around it, its battery and panel."""

    air: Series
    battery: Series
    solar: Series

    def at(self, seed: int, name: str, t: float) -> Readings:
        bits = mix(stream(seed, name) + int(t) * 0x632BE59BD9B4E019)
        sun = self.solar.at(t)
        return {
            "node.air_temperature": round((self.air.at(t) + 0.1 * _bell(bits, 0)) * 16) / 16,
            "node.battery": round(self.battery.at(t) + 0.004 * _bell(bits, 20), 3),
            "node.solar": round(6.0 * (1 - math.exp(-sun / 60)), 3),
        }


@dataclass(frozen=True)
class SoilNode:
    """The environment of a soil node: `at(t)` gives all its sensors could read, by "probeN.FIELD" and "node.FIELD"."""

    name: str
    seed: int
    probes: tuple[Probe, ...]
    theta: Mapping[int, Series]
    soil: Mapping[int, Series]
    state: NodeState

    def at(self, t: float) -> Readings:
        """Readings at t, unix seconds, UTC; None where a sensor does not answer."""
        out = self.state.at(self.seed, self.name, t)
        for probe in self.probes:
            place = probe.position
            out.update(probe_readings(self.seed, f"{self.name}/{place}", probe, self.theta[place], self.soil[place], t))
        return out


@dataclass(frozen=True)
class WaterNode:
    """The environment of a water node: level (both ways), meter, temperature, EC, pump current, float."""

    name: str
    seed: int
    depth_m: float
    sensor_height_m: float
    ec_ds_m: float
    level: Series
    metered: Series
    temperature: Series
    pump: Series
    state: NodeState
    faults: Faults = Faults()

    def at(self, t: float) -> Readings:
        """Readings at t, unix seconds, UTC; None where a sensor does not answer."""
        out = self.state.at(self.seed, self.name, t)
        bits = mix(stream(self.seed, self.name + "/water") + int(t) * 0x632BE59BD9B4E019)
        luck = mix(bits) * 2.0**-64
        level = self.level.at(t)
        depth: float | None = round(level * self.depth_m + 0.002 * _bell(bits, 0), 3)
        distance: float | None = round(self.sensor_height_m - level * self.depth_m + 0.003 * _bell(bits, 20), 3)
        if luck < self.faults.dropout:
            depth = distance = None
        elif luck > 1 - self.faults.spike:
            # An ultrasonic ghost echo comes from near; a pressure probe jumps with an air lock.
            distance, depth = 0.3, round(0.5 * level * self.depth_m, 3)
        out["water.depth"], out["water.distance"] = depth, distance
        out["water.volume"] = round(self.metered.at(t), 3)
        out["water.temperature"] = round(self.temperature.at(t) * 16) / 16
        # Evaporation and dung make the water of a low tank a little saltier.
        out["water.ec"] = round(self.ec_ds_m * (1 + 0.3 * max(0.0, 0.5 - level)) + 0.005 * _bell(bits, 40), 3)
        out["water.pump_current"] = round(max(0.0, self.pump.at(t)), 2)
        out["water.float"] = 1.0 if level > FLOAT_SHARE else 0.0
        return out
