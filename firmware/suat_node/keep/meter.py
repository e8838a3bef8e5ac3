"""The running total of a pulse counter, out of counter values that wrap or start again."""

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.keep.counters import Counters

_counters: "Counters | None" = None


def bind(counters: "Counters", warm: bool) -> None:
    """Keep the total in `counters`. After a cold start an interrupt counter begins at 0 again."""
    global _counters, _fresh
    _counters = counters
    _fresh = not warm


_fresh = True


def add(reading: "tuple[int, int]", source: str) -> int:
    """Total pulses after `reading` = (count, modulus)."""
    global _fresh
    count, modulus = reading
    counters = _counters
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
