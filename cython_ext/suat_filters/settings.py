"""What the quality chain may believe of a channel, and the bits by which it says that it does not."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, fields
from typing import Final

RANGE: Final = 1
RATE: Final = 2
STUCK: Final = 4
SPIKE: Final = 8
GAP: Final = 16
CLOCK: Final = 32
FROZEN: Final = 64
UNCALIBRATED: Final = 128
BROKEN: Final = 256

MIN_WINDOW: Final = 3
MAX_WINDOW: Final = 999
MOST_CLOCK: Final = 999
_MAX_COUNT: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """Limits of one channel, in the channel's own unit and in seconds. What is left out is not judged.

    Raises ValueError for a limit that makes no sense.
    """

    minimum: float = -math.inf
    """Least value that is physically possible."""
    maximum: float = math.inf
    """Greatest value that is physically possible. Infinities are refused whatever the limits."""
    max_rate: float = 0.0
    """Fastest believable change per second, on top of one `resolution`; 0 = not judged."""
    stuck_seconds: float = 0.0
    """Time that identical readings must span to be `stuck`; 0 = any."""
    n_sigmas: float = 3.0
    """A reading further than this many sigmas (1.4826 MAD) from the window's median is a `spike`."""
    resolution: float = 0.0
    """Step of the probe; sigma is never taken to be smaller, so that the last digit is no spike."""
    gap_seconds: float = 0.0
    """A longer silence is a `gap`, after which window and run of identical readings begin anew; 0 = not judged."""
    q: float = 0.0
    """Variance that the truth gains in a second, for the Kalman smoother; 0 = no smoothing."""
    r: float = 1.0
    """Variance of a reading, for the Kalman smoother."""
    max_noise: float = 0.0
    """A reading that sticks out this far from the line between its two neighbours is noise; 0 = not judged."""
    broken_seconds: float = 0.0
    """A third of the readings noise or out of range, over about this time: the probe is `broken`; 0 = not judged."""
    day_swing: float = 0.0
    """Least swing of a day, lowest to highest, whose wave tells the clock's error; 0 = not judged."""
    rate_accept: int = 3
    """A step that lasts (or goes on the same way) for so many readings is believed; 0 = never."""
    stuck_count: int = 0
    """Identical readings needed to be `stuck`; 0 = any. With `stuck_seconds` 0 too: not judged."""
    window: int = 0
    """Readings in the Hampel window, odd, 3 to 999; 0 = no spikes are looked for."""
    spike_accept: int = 0
    """So many spikes in a row on the same side are a step, and believed; 0 = never, as in `hampel`."""
    clock_accept: int = 3
    """So many readings in a row from before the last one are a clock that was set back; 0 = never believed."""
    clock_days: int = 3
    """So many days in a row whose wave is over 3 hours early or late are a wrong clock. Needs `day_swing`."""

    def __post_init__(self) -> None:
        for name in NUMBERS:
            number = getattr(self, name)
            if not isinstance(number, int | float) or isinstance(number, bool):
                raise ValueError(f"{name} must be a number, not {number!r}")
            if isinstance(number, int) and abs(number) > sys.float_info.max:
                raise ValueError(f"{name} is too large")
            if math.isnan(number):
                raise ValueError(f"{name} must not be NaN")
        for name in NUMBERS[2:]:
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and not negative, not {getattr(self, name)!r}")
        for name in COUNTS:
            number = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= _MAX_COUNT:
                raise ValueError(f"{name} must be a count, not {number!r}")
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum!r} is above maximum {self.maximum!r}")
        if self.r == 0:
            raise ValueError("r must be above 0")
        for name in ("rate_accept", "spike_accept", "clock_accept"):
            if getattr(self, name) == 1:
                raise ValueError(f"{name} must be 0 or at least 2: one reading proves no step")
        for name in ("clock_accept", "clock_days"):
            if getattr(self, name) > MOST_CLOCK:
                raise ValueError(f"{name} must be at most {MOST_CLOCK}, not {getattr(self, name)}")
        if self.clock_days == 0:
            raise ValueError("clock_days must be at least 1")
        if self.window and (self.window % 2 == 0 or not MIN_WINDOW <= self.window <= MAX_WINDOW):
            raise ValueError(f"window must be 0 or odd and {MIN_WINDOW} to {MAX_WINDOW}, not {self.window}")


# The order of the saved form: the numbers, then the counts.
NUMBERS: Final = tuple(field.name for field in fields(ChannelSettings) if field.type == "float")
COUNTS: Final = tuple(field.name for field in fields(ChannelSettings) if field.type == "int")
