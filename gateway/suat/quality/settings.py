"""What may be believed of each cleaned channel: limits, each with its source, for `suat_filters`.

docs/quality.md tells how they are used. The limits are of the quantity, not of one product: wide enough for every probe
that the node can drive. The configuration may set others for a node (`limits.py`). Steps that last are believed after
three readings, so that rain, a filled tank or a probe that was moved is taken over, and a single wild value is not.

The spike filters of the soil were set against the loggers of [USSES]: of the readings that the scientists kept they
replace 1 of 73,064 (moisture) and 3 of 50,879 (temperature). `resolution` is here not the probe's but a change between
two readings that is nothing unusual.
What tells a broken probe and a wrong clock is from physics and documents alone: gateway/tests/test_quality_truth.py.
"""

from __future__ import annotations

from typing import Any

from suat_filters import ChannelSettings

from suat.store.channels import CHANNELS, PROBES, Channel

SOURCES = {
    "T12": "METER TEROS 12, technical specifications",
    "5TM": "Decagon 5TM manual",
    "DS": "Maxim DS18B20 datasheet",
    "A02": "DFRobot A02YYUW wiki",
    "MD": "Moene and van Dam, Transport in the Atmosphere-Vegetation-Soil Continuum, 2014, section 2.3.1",
    "USSES": "four loggers of the US Sheep Experiment Station, a reading every 2 hours over 4 years",
    "D": "a choice of this project",
}

HOUR = 3600.0
DAY = 24 * HOUR

Sourced = dict[str, tuple[float, str]]  # limit -> (value, why, with the sources in brackets)

_TIME: Sourced = {
    "gap_seconds": (6 * HOUR, "[D] three readings of the slowest interval that is in use, 2 h"),
    "clock_accept": (3, "[D] one reading with an old date proves no clock that was set back"),
}
_DAYS: Sourced = {"clock_days": (3, "[D] a cloudy day may point elsewhere, three in a row do not")}
_STEP: Sourced = {"rate_accept": (3, "[D] a step that lasts is believed; a single wild value is not")}
_BROKEN: Sourced = {
    "broken_seconds": (DAY, "[D] a probe that fails for some hours and recovers is flagged reading by reading")
}

_MOISTURE: Sourced = {
    "minimum": (-0.05, "[T12] accuracy 0.03 m3/m3: dry soil may read below zero; [D] a margin"),
    "maximum": (0.70, "[T12] 0.00 to 0.70 m3/m3 in mineral soil"),
    "max_rate": (0.45 / 900, "[D] dry to saturated within 15 minutes: faster than any wetting front"),
    **_STEP,
    "resolution": (0.01, "[USSES]"),
    "stuck_seconds": (60 * DAY, "[USSES] under snow a sound probe gave the same value for more than 30 days"),
    "stuck_count": (48, "[D] four days of readings every 2 h"),
    "window": (5, "[USSES]"),
    "n_sigmas": (5.0, "[USSES]"),
    "spike_accept": (3, "[D] a step that lasts is believed; a single wild value is not"),
    "max_noise": (0.01, "[T12] accuracy when calibrated for the soil; water does not come and go in hours"),
    **_BROKEN,
    **_TIME,
}
_SOIL_TEMPERATURE: Sourced = {
    "minimum": (-40.0, "[T12] -40 to 60 degC; the DS18B20's 85 degC after a brown-out lies outside"),
    "maximum": (60.0, "[T12] -40 to 60 degC; the DS18B20's 85 degC after a brown-out lies outside"),
    "max_rate": (15.0 / HOUR, "[D] bare soil at 5 cm warms by some 5 K an hour"),
    **_STEP,
    "resolution": (1.0, "[USSES]"),
    "stuck_seconds": (90 * DAY, "[D] under snow the soil stays at its freezing point for weeks"),
    "stuck_count": (48, "[D] four days of readings every 2 h"),
    "window": (13, "[USSES] a shorter one takes the sunrise for a spike"),
    "n_sigmas": (8.0, "[USSES]"),
    "spike_accept": (3, "[D] a step that lasts is believed; a single wild value is not"),
    "max_noise": (8.0, "[MD] at 5 cm a sunny day swings by 20 K: at noon 3 K off the line of readings 3 h apart"),
    **_BROKEN,
    "day_swing": (3.0, "[D] thirty steps of the probe; under snow and at 25 cm it is less, and tells no time"),
    **_DAYS,
    **_TIME,
}
_SOIL_EC: Sourced = {
    "minimum": (0.0, "[D] a conductivity cannot be less"),
    "maximum": (23.0, "[5TM] successor 5TE: 0 to 23 dS/m bulk; [T12] 0 to 20"),
    "resolution": (0.05, "[D] rain changes it as it does moisture"),
    "window": (5, "[D] as soil"),
    "n_sigmas": (5.0, "[D] as soil"),
    "spike_accept": (3, "[D] a step that lasts is believed; a single wild value is not"),
    "max_noise": (1.0, "[T12] accuracy 5 % + 0.01 dS/m; [D] twice that of the greatest bulk EC of a pasture, 10 dS/m"),
    **_BROKEN,
    **_TIME,
}
_DEPTH: Sourced = {
    "minimum": (-0.10, "[D] an echo from below the zero mark of a nearly empty tank"),
    "maximum": (10.0, "[D] no trough or tank of a pasture is deeper"),
    "max_rate": (0.005, "[D] a tanker fills 10 m3 of 2 m depth in ten minutes: 0.0033 m/s"),
    **_STEP,
    "resolution": (
        0.02,
        "[A02] accuracy 1 cm; [D] a herd draws some cm at a time, ghost echoes are farther off",
    ),
    "window": (5, "[D] as soil"),
    "n_sigmas": (5.0, "[D] as soil"),
    "spike_accept": (3, "[D] a step that lasts is believed; a single wild value is not"),
    "max_noise": (0.3, "[D] ghost echoes; a herd empties and a float refills a trough of 0.3 m at most"),
    **_BROKEN,
    **_TIME,
}
_WATER_TEMPERATURE: Sourced = {
    "minimum": (-10.0, "[D] a probe in ice or left dry in frost"),
    "maximum": (60.0, "[D] a dry trough in the sun; the DS18B20's 85 degC after a brown-out lies outside"),
    "resolution": (1.0, "[D] a trough warms fast when the sun reaches it"),
    "window": (13, "[D] as soil"),
    "n_sigmas": (8.0, "[D] as soil"),
    "spike_accept": (3, "[D] a step that lasts is believed; a single wild value is not"),
    "max_noise": (8.0, "[D] as soil"),
    **_BROKEN,
    **_TIME,
}
_WATER_EC: Sourced = {
    "minimum": (0.0, "[D] a conductivity cannot be less"),
    "maximum": (60.0, "[D] sea water has 50 dS/m"),
    "resolution": (0.1, "[D] as soil, for a wider range"),
    "window": (5, "[D] as soil"),
    "n_sigmas": (5.0, "[D] as soil"),
    "spike_accept": (3, "[D] a step that lasts is believed; a single wild value is not"),
    "max_noise": (3.0, "[D] a fresh fill lasts longer than a reading; an electrode in and out of the water does not"),
    **_BROKEN,
    **_TIME,
}
_AIR_TEMPERATURE: Sourced = {
    "minimum": (-60.0, "[D] the records of Kazakhstan are -57 and +49 degC; a box in the sun is warmer"),
    "maximum": (65.0, "[D] the records of Kazakhstan are -57 and +49 degC; a box in the sun is warmer"),
    "max_rate": (0.02, "[D] 6 K in five minutes: a cold front"),
    **_STEP,
    "resolution": (0.0625, "[DS]"),
    "max_noise": (8.0, "[D] sun on the box, a thunderstorm"),
    **_BROKEN,
    "day_swing": (5.0, "[D] fronts move the air's warmest hour more than the soil's: only days with sun"),
    **_DAYS,
    **_TIME,
}

# What is only checked for its range: a count that never falls, a switch, a supply.
_VOLUME: Sourced = {"minimum": (0.0, "[D] a meter counts up from zero"), **_TIME}
_FLOAT: Sourced = {
    "minimum": (0.0, "[D] a switch is off or on"),
    "maximum": (1.0, "[D] a switch is off or on"),
    **_TIME,
}
_CURRENT: Sourced = {
    "minimum": (0.0, "[D] a current's amount"),
    "maximum": (100.0, "[D] no pump of a pasture draws more"),
    **_TIME,
}
_BATTERY: Sourced = {
    "minimum": (1.0, "[D] no board runs below 1 V"),
    "maximum": (6.4, "what fits on air (docs/payload.md)"),
    **_TIME,
}
_SOLAR: Sourced = {
    "minimum": (0.0, "[D] a panel's voltage"),
    "maximum": (25.5, "what fits on air (docs/payload.md)"),
    **_TIME,
}

_BY_NAME: dict[tuple[str, str], Sourced] = {
    ("probe", "moisture"): _MOISTURE,
    ("probe", "temperature"): _SOIL_TEMPERATURE,
    ("probe", "ec"): _SOIL_EC,
    ("water", "depth"): _DEPTH,
    ("water", "volume"): _VOLUME,
    ("water", "temperature"): _WATER_TEMPERATURE,
    ("water", "ec"): _WATER_EC,
    ("water", "float"): _FLOAT,
    ("water", "pump_current"): _CURRENT,
    ("node", "battery"): _BATTERY,
    ("node", "air_temperature"): _AIR_TEMPERATURE,
    ("node", "solar"): _SOLAR,
}


def kind_of(channel: Channel) -> tuple[str, str]:
    """The kind of channel that the limits are for: all soil probes are alike."""
    return "probe" if channel.group in PROBES else channel.group, channel.name


def _settings(sourced: Sourced) -> ChannelSettings:
    limits: dict[str, Any] = {name: value for name, (value, _) in sourced.items()}
    return ChannelSettings(**limits)


SOURCED: dict[int, Sourced] = {channel.code: _BY_NAME[kind_of(channel)] for channel in CHANNELS}
SETTINGS: dict[int, ChannelSettings] = {code: _settings(sourced) for code, sourced in SOURCED.items()}
