"""The running total of a pulse counter, out of counter values that wrap or start again."""

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Callable

    from suat_node.keep.counters import Counters

counters: "Counters | None" = None
before_sleep: "Callable[[], None] | None" = None  # of a counter whose count is lost in sleep
_fresh = True


def bind(kept: "Counters") -> None:
    """Keep the total in `kept`. A counter in the chip begins at 0 with the program."""
    global counters, before_sleep, _fresh
    counters = kept
    before_sleep = None
    _fresh = True


def add(reading: "tuple[int, int]", source: str) -> int:
    """Total pulses after `reading` = (count, modulus)."""
    global _fresh
    count, modulus = reading
    if counters is None:
        return count
    last = 0 if _fresh and source == "pin" else counters.pulse_last
    _fresh = False
    step = (count - last) % modulus
    if count < last and step > modulus // 2:  # it lost its supply and began again
        step = count
    counters.pulses = (counters.pulses + step) & 0xFFFFFFFF
    counters.pulse_last = count
    return counters.pulses
