"""A node's battery as its electronics meet it: below a voltage they stop, above another they start again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

STEP_S = 600.0  # how finely the course of the voltage is searched
LONGEST_S = 400 * 86400.0  # ... and how far ahead

Volts = Callable[[float], float | None]  # seconds since the start of the run -> battery at rest


@dataclass(frozen=True)
class Supply:
    """The environment's `node.battery` is the voltage at rest; what the node draws while it sends comes on top.

    brownout_v: here the regulator gives up (Heltec V3: 3.3 V from a CE6260 with some 0.1 V of dropout, and a brown-out
    detector that resets the ESP32-S3 below about 2.5 V); restart_v: from here on the node starts again. `ohm` is the
    battery's and the leads' resistance, which the 160 mA of a frame at 22 dBm with the processor awake fall off at.
    """

    brownout_v: float = 2.9
    restart_v: float = 3.0
    ohm: float = 0.0
    sending_a: float = 0.16

    def falls(self, volts: Volts, from_s: float) -> float | None:
        """When it falls below `brownout_v`, at or after `from_s`; None: not within LONGEST_S."""
        return _first(lambda t: _of(volts, t) < self.brownout_v, from_s)

    def rises(self, volts: Volts, from_s: float) -> float | None:
        """When it is back at `restart_v`."""
        return _first(lambda t: _of(volts, t) >= self.restart_v, from_s)


def _of(volts: Volts, t: float) -> float:
    """A battery that the environment does not name never runs flat."""
    value = volts(t)
    return float("inf") if value is None else value


def _first(holds: Callable[[float], bool], from_s: float) -> float | None:
    """The first instant at which it holds, to a second."""
    if holds(from_s):
        return from_s
    low = from_s
    while low < from_s + LONGEST_S:
        high = low + STEP_S
        if holds(high):
            while high - low > 1.0:
                middle = (low + high) / 2
                low, high = (low, middle) if holds(middle) else (middle, high)
            return high
        low = high
    return None
