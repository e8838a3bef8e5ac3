"""Calibration: published equations, and what lacks its calibration is never a number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat.quality.calibrate import NodeCalibration, calibrations
from suat.quality.curves import topp
from suat.quality.settings import DAY, HOUR, SETTINGS
from suat.records import DeviceRecord, Flag, Probe
from suat.store.channels import BY_CODE, BY_FIELD, BY_NAME, CHANNELS, channel_of
from suat.store.rows import Curve, ProbeCurve
from suat_filters import ChannelSettings, FilterBank
from suat_sim.plain_samples import calibrate
from suat_wire.payload import GROUPS

MOISTURE = BY_NAME["probe1", "moisture"].code
DEPTH = BY_NAME["water", "depth"].code


@pytest.mark.parametrize(
    ("permittivity", "moisture"),
    # Topp, Davis and Annan 1980, equation 7, computed by hand with decimals
    [(3.0, 0.0297661), (5.0, 0.0797875), (10.0, 0.1883), (20.0, 0.3454), (30.0, 0.4441), (40.0, 0.5102)],
)
def test_topp(permittivity: float, moisture: float) -> None:
    assert topp(permittivity) == pytest.approx(moisture, abs=1e-9)


@pytest.mark.parametrize(
    ("sent", "calibration", "value", "flags"),
    [
        ({("probe1", "vwc"): 0.3}, NodeCalibration(), 0.3, 0),
        ({("probe1", "permittivity"): 20.0}, NodeCalibration(), 0.3454, 0),
        ({("probe1", "permittivity"): 0.0}, NodeCalibration(), None, Flag.RANGE),
        ({("probe1", "permittivity"): 120.0}, NodeCalibration(), None, Flag.RANGE),
        ({("probe1", "count"): 0.5}, NodeCalibration(), None, Flag.UNCALIBRATED),
        ({("probe1", "count"): 0.5}, NodeCalibration({"probe2": ProbeCurve((0.0, 1.0))}), None, Flag.UNCALIBRATED),
        ({("probe1", "count"): 0.5}, NodeCalibration({"probe1": ProbeCurve((-0.05, 0.4, 0.2))}), 0.2, 0),
        ({("probe1", "count"): 1.5}, NodeCalibration({"probe1": ProbeCurve((-0.05, 0.4, 0.2))}), None, Flag.RANGE),
        ({("probe1", "count"): 0.5, ("probe1", "vwc"): 0.3}, NodeCalibration(), 0.3, 0),  # what the probe knows itself
        ({("water", "depth"): 1.2}, NodeCalibration({}, 3.0), 1.2, 0),
        ({("water", "distance"): 1.2}, NodeCalibration({}, 3.0), 1.8, 0),
        ({("water", "distance"): 1.2}, NodeCalibration(), None, Flag.UNCALIBRATED),
        ({("water", "distance"): 0.03}, NodeCalibration({}, 3.0), None, Flag.RANGE),
    ],
)
def test_each_kind_of_field(
    sent: dict[tuple[str, str], float], calibration: NodeCalibration, value: float | None, flags: int
) -> None:
    ((code, flagged, found),) = calibrate(sent, calibration)
    assert code == (DEPTH if ("water", "depth") in sent or ("water", "distance") in sent else MOISTURE)
    assert flagged == flags
    assert found == pytest.approx(math.nan if value is None else value, nan_ok=True)


@given(
    st.permutations([("probe2", "ec"), ("node", "battery"), ("probe1", "vwc"), ("water", "fault"), ("health", "boots")])
)
def test_the_order_on_air_does_not_matter(fields: list[tuple[str, str]]) -> None:
    found = calibrate(dict.fromkeys(fields, 2.0))
    assert [code for code, _, _ in found] == [
        channel_of(*key).code for key in (("probe1", "moisture"), ("probe2", "ec"), ("node", "battery"))
    ]


def test_every_measured_field_has_its_channel_and_limits() -> None:
    fields = {(group, field) for group, entries in GROUPS for field, *_ in entries if group != "health"}
    assert {key for key in fields if key[1] not in ("fault", "events")} == BY_FIELD.keys()
    assert SETTINGS.keys() == BY_CODE.keys() and len(CHANNELS) == len(BY_CODE)
    assert all(isinstance(found, ChannelSettings) for found in SETTINGS.values())


def test_codes_are_never_renumbered() -> None:
    """They are in every journal."""
    assert [(c.code, c.group, c.name) for c in CHANNELS if c.group in ("probe1", "probe4", "water", "node")] == [
        (0, "probe1", "moisture"),
        (1, "probe1", "temperature"),
        (2, "probe1", "ec"),
        (48, "probe4", "moisture"),
        (49, "probe4", "temperature"),
        (50, "probe4", "ec"),
        (64, "water", "depth"),
        (65, "water", "volume"),
        (66, "water", "temperature"),
        (67, "water", "ec"),
        (68, "water", "float"),
        (69, "water", "pump_current"),
        (80, "node", "battery"),
        (81, "node", "air_temperature"),
        (82, "node", "solar"),
    ]


def test_each_node_gets_its_own_calibration() -> None:
    soil = DeviceRecord(1, "s", "soil", "00" * 8, None, "p", None, (Probe("a", 10, 2),), 0)
    water = DeviceRecord(2, "w", "water", "01" * 8, None, None, "tank", (), 0)
    curve = Curve(1, "probe2", ProbeCurve((0.0, 0.5)), 0.01, 5)
    found = calibrations([soil, water], {(1, "probe2"): curve}, {"tank": 2.5, "other": 1.0})
    assert found == {1: NodeCalibration({"probe2": curve.curve}, None), 2: NodeCalibration({}, 2.5)}
    assert found[1].fingerprint() != found[2].fingerprint() != NodeCalibration().fingerprint()


# The limits, on what they are there for


def run(channel: tuple[str, str], every_s: float, values: list[float]) -> tuple[list[float], list[Flag]]:
    bank = FilterBank(1, SETTINGS[BY_NAME[channel].code])
    found = [bank.push(0, 1.78e9 + n * every_s, value) for n, value in enumerate(values)]
    return [value for value, _ in found], [Flag(flags) for _, flags in found]


def test_a_rain_is_believed() -> None:
    values, flags = run(("probe1", "moisture"), 900, [0.15] * 10 + [0.22, 0.34, 0.36, 0.36, 0.36, 0.355])
    assert values[-1] == 0.355 and not flags[-1]
    assert not any(flag & (Flag.RANGE | Flag.RATE) for flag in flags)


def test_a_single_wild_value_is_replaced() -> None:
    values, flags = run(("probe1", "moisture"), 900, [0.20, 0.201, 0.199, 0.2, 0.201, 0.42, 0.2, 0.2])
    assert values[5] == pytest.approx(0.2, abs=0.002) and flags[5] & Flag.SPIKE
    assert values[6:] == [0.2, 0.2]


def test_a_restarted_thermometer_is_refused() -> None:
    """The DS18B20 gives 85 degC when it lost its supply before the conversion ended (datasheet, table 1)."""
    for channel in (("probe1", "temperature"), ("water", "temperature")):
        values, flags = run(channel, 900, [12.0, 12.1, 85.0, 12.2])
        assert math.isnan(values[2]) and flags[2] == Flag.RANGE and values[3] == 12.2


def test_frozen_ground_is_not_called_stuck_but_a_dead_probe_is() -> None:
    _, winter = run(("probe1", "temperature"), HOUR, [0.0] * 24 * 80)
    assert not any(winter)
    _, dead = run(("probe1", "moisture"), HOUR, [0.2] * 24 * 70)
    assert dead[-1] & Flag.STUCK and not any(dead[: int(59 * DAY / HOUR)])


def test_the_sun_on_bare_soil_is_no_spike() -> None:
    """Two quiet nights and a clear morning, read every 2 hours: the steepest rise that a slow node will see."""
    night = [14.0, 12.1, 10.5, 9.2, 8.1, 7.6, 7.9]
    values, flags = run(("probe1", "temperature"), 2 * HOUR, night * 2 + [12.0, 19.5, 26.0, 29.5, 28.0])
    assert values[-5:] == [12.0, 19.5, 26.0, 29.5, 28.0] and not any(flags)


def test_a_tank_that_is_filled_is_believed() -> None:
    values, _ = run(("water", "depth"), 300, [0.5] * 8 + [1.2, 1.9, 2.0, 2.0, 2.0])
    assert values[-1] == 2.0
