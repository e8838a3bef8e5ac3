"""What may be believed of each cleaned channel: limits with their sources, for `suat_filters`.

docs/quality.md tells how they are used. The limits are of the quantity, not of one product: wide enough for every probe
that the node can drive. Sources: [T12] METER TEROS 12, technical specifications; [5TM] Decagon 5TM manual; [DS] Maxim
DS18B20 datasheet; [A02] DFRobot A02YYUW wiki; [MD] Moene and van Dam, Transport in the Atmosphere-Vegetation-Soil
Continuum, 2014, section 2.3.1; [D] a choice of this project. Steps that last are believed after three readings, so that
rain, a filled tank or a probe that was moved is taken over, and a single wild value is not.

[USSES] The spike filters of the soil were set against four loggers of the US Sheep Experiment Station, a reading every
2 hours over 4 years: of the readings that the scientists kept they replace 1 of 73,064 (moisture) and 3 of 50,879
(temperature). `resolution` is here not the probe's but a change between two readings that is nothing unusual.
What tells a broken probe and a wrong clock is from physics and documents alone: gateway/tests/test_quality_truth.py.
"""

from __future__ import annotations

from suat_filters import ChannelSettings

from suat.store.channels import CHANNELS, PROBES

HOUR = 3600.0
DAY = 24 * HOUR
GAP_S = 6 * HOUR  # [D] three readings of the slowest interval that is in use, 2 h
BROKEN_S = DAY  # [D] a probe that fails for some hours and recovers is flagged reading by reading

_MOISTURE = ChannelSettings(
    minimum=-0.05,  # [T12] accuracy 0.03 m3/m3: dry soil may read below zero; [D] a margin
    maximum=0.70,  # [T12] 0.00 to 0.70 m3/m3 in mineral soil
    max_rate=0.45 / 900,  # [D] dry to saturated within 15 minutes: faster than any wetting front
    resolution=0.01,  # [USSES]
    stuck_seconds=60 * DAY,  # [USSES] under snow a sound probe gave the same value for more than 30 days
    stuck_count=48,
    window=5,
    n_sigmas=5.0,
    spike_accept=3,
    max_noise=0.01,  # [T12] accuracy when calibrated for the soil; water does not come and go in hours
    broken_seconds=BROKEN_S,
    gap_seconds=GAP_S,
)
_SOIL_TEMPERATURE = ChannelSettings(
    minimum=-40.0,  # [T12] -40 to 60 degC; the DS18B20's 85 degC after a brown-out lies outside
    maximum=60.0,
    max_rate=15.0 / HOUR,  # [D] bare soil at 5 cm warms by some 5 K an hour
    resolution=1.0,  # [USSES]
    stuck_seconds=90 * DAY,  # [D] under snow the soil stays at its freezing point for weeks
    stuck_count=48,
    window=13,  # [USSES] a shorter one takes the sunrise for a spike
    n_sigmas=8.0,
    spike_accept=3,
    max_noise=8.0,  # [MD] at 5 cm a sunny day swings by 20 K: at noon 3 K off the line of readings 3 h apart
    broken_seconds=BROKEN_S,
    day_swing=3.0,  # [D] thirty steps of the probe; under snow and at 25 cm it is less, and tells no time
    gap_seconds=GAP_S,
)
_SOIL_EC = ChannelSettings(
    minimum=0.0,
    maximum=23.0,  # [5TM] successor 5TE: 0 to 23 dS/m bulk; [T12] 0 to 20
    resolution=0.05,  # [D] rain changes it as it does moisture
    window=5,
    n_sigmas=5.0,
    spike_accept=3,
    max_noise=1.0,  # [T12] accuracy 5 % + 0.01 dS/m; [D] twice that of the greatest bulk EC of a pasture, 10 dS/m
    broken_seconds=BROKEN_S,
    gap_seconds=GAP_S,
)
_DEPTH = ChannelSettings(
    minimum=-0.10,  # [D] an echo from below the zero mark of a nearly empty tank
    maximum=10.0,  # [D] no trough or tank of a pasture is deeper
    max_rate=0.005,  # [D] a tanker fills 10 m3 of 2 m depth in ten minutes: 0.0033 m/s
    resolution=0.02,  # [A02] accuracy 1 cm; [D] a herd draws some cm between two readings, ghost echoes are farther off
    window=5,
    n_sigmas=5.0,
    spike_accept=3,
    max_noise=0.3,  # [D] ghost echoes; a herd empties and a float refills a trough of 0.3 m at most
    broken_seconds=BROKEN_S,
    gap_seconds=GAP_S,
)
_WATER_TEMPERATURE = ChannelSettings(
    minimum=-10.0,  # [D] a probe in ice or left dry in frost
    maximum=60.0,  # [D] a dry trough in the sun; the DS18B20's 85 degC after a brown-out lies outside
    resolution=1.0,  # [D] a trough warms fast when the sun reaches it
    window=13,
    n_sigmas=8.0,
    spike_accept=3,
    max_noise=8.0,  # [D] as soil
    broken_seconds=BROKEN_S,
    gap_seconds=GAP_S,
)
_WATER_EC = ChannelSettings(
    minimum=0.0,
    maximum=60.0,  # [D] sea water has 50 dS/m
    resolution=0.1,
    window=5,
    n_sigmas=5.0,
    spike_accept=3,
    max_noise=3.0,  # [D] a fresh fill lasts longer than a reading; an electrode in and out of the water does not
    broken_seconds=BROKEN_S,
    gap_seconds=GAP_S,
)
_AIR_TEMPERATURE = ChannelSettings(
    minimum=-60.0,  # [D] the records of Kazakhstan are -57 and +49 degC; a box in the sun is warmer
    maximum=65.0,
    max_rate=0.02,  # [D] 6 K in five minutes: a cold front
    resolution=0.0625,  # [DS]
    max_noise=8.0,  # [D] sun on the box, a thunderstorm
    broken_seconds=BROKEN_S,
    day_swing=5.0,  # [D] fronts move the air's warmest hour more than the soil's: only days with sun
    gap_seconds=GAP_S,
)

# What is only checked for its range: a count that never falls, a switch, a supply.
_VOLUME = ChannelSettings(minimum=0.0, gap_seconds=GAP_S)
_FLOAT = ChannelSettings(minimum=0.0, maximum=1.0, gap_seconds=GAP_S)
_CURRENT = ChannelSettings(minimum=0.0, maximum=100.0, gap_seconds=GAP_S)
_BATTERY = ChannelSettings(minimum=1.0, maximum=6.4, gap_seconds=GAP_S)  # [D] no board runs below 1 V
_SOLAR = ChannelSettings(minimum=0.0, maximum=25.5, gap_seconds=GAP_S)

_BY_NAME = {
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

SETTINGS: dict[int, ChannelSettings] = {
    channel.code: _BY_NAME["probe" if channel.group in PROBES else channel.group, channel.name] for channel in CHANNELS
}
