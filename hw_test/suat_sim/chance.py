"""Chance that is a pure function of what it is asked: the same seed, name and number give the same value in any order.

The mixing is SplitMix64 (Steele, Lea, Flood 2014, OOPSLA, "Fast splittable pseudorandom number generators").
"""

from __future__ import annotations

import zlib
from functools import cache

_MASK = (1 << 64) - 1


def mix(value: int) -> int:
    """One SplitMix64 output, 0 .. 2**64 - 1, of any integer state."""
    z = (value + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


@cache
def stream(seed: int, name: str) -> int:
    """The state from which the numbers of one named stream are mixed."""
    return mix(mix(seed) ^ zlib.crc32(name.encode()) << 17 ^ len(name))


def uniform(seed: int, name: str, number: int) -> float:
    """0 <= u < 1 of one number of a stream."""
    return (mix(stream(seed, name) + 0x632BE59BD9B4E019 * number) >> 11) * 2.0**-53


def normal(seed: int, name: str, number: int) -> float:
    """About standard normal, within +-4.3: six 10-bit digits of one number, summed (Irwin-Hall)."""
    bits = mix(stream(seed, name) + 0x632BE59BD9B4E019 * number)
    total = sum((bits >> shift) & 1023 for shift in (4, 14, 24, 34, 44, 54))
    return float((total - 3069.0) / 724.08)
