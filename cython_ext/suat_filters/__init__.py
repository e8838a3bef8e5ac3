"""Filters for readings that come irregularly and are sometimes missing, exact to the bit.

`t` is in seconds and does not decrease; NaN is a missing reading: it gives NaN and is otherwise as if it had not been
there. An infinity is a value like any other to the functions over a whole series, by the rules of IEEE 754, and is
refused as out of range by the bank. A negative zero counts as zero.
"""

from suat_filters.bank import FilterBank
from suat_filters.paths import cpu_path
from suat_filters.record import judge
from suat_filters.series import ewma, kalman, resample, theil_sen
from suat_filters.settings import (
    BROKEN,
    CLOCK,
    FROZEN,
    GAP,
    RANGE,
    RATE,
    SPIKE,
    STUCK,
    UNCALIBRATED,
    ChannelSettings,
)
from suat_filters.windows import hampel, rolling_median

__all__ = [
    "BROKEN",
    "CLOCK",
    "FROZEN",
    "GAP",
    "RANGE",
    "RATE",
    "SPIKE",
    "STUCK",
    "UNCALIBRATED",
    "ChannelSettings",
    "FilterBank",
    "cpu_path",
    "ewma",
    "hampel",
    "judge",
    "kalman",
    "resample",
    "rolling_median",
    "theil_sen",
]
