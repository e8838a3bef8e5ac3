"""`gc` as on the boards: a collection takes some milliseconds there. This process's own heap is not a board's.

`suat_sim.boot` puts it in the place of the built-in `gc`; real collections happen by themselves when the heap is full.
"""

from suat_sim import board as _board

_COLLECT_US = 6000
_FREE, _USED = 150 * 1024, 90 * 1024  # about what a Pico has with this firmware

_clock = _board.current.clock


def collect() -> None:
    """Takes its time."""
    _clock.spend(_COLLECT_US)


def mem_free() -> int:
    """Bytes, always the same."""
    return _FREE


def mem_alloc() -> int:
    """Bytes, always the same."""
    return _USED


def threshold(amount: int = -1) -> int:
    """Not used here."""
    return -1


def enable() -> None:
    """It is."""


disable = enable


def isenabled() -> bool:
    """It is."""
    return True
