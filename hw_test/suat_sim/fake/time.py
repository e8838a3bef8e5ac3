"""`time` as on the boards, in the node's virtual time."""

from suat_sim import board as _board
from suat_sim.clock import TICKS_PERIOD as _PERIOD
from suat_sim.clock import ticks_add as ticks_add
from suat_sim.clock import ticks_diff as ticks_diff

_clock = _board.current.clock
_MASK = _PERIOD - 1


def sleep(seconds: float) -> None:
    """Sleep for seconds."""
    _board.current.sleep(int(seconds * 1000000))


def sleep_ms(ms: int) -> None:
    """Sleep for milliseconds."""
    if ms > 0:
        _board.current.sleep(int(ms) * 1000)


def sleep_us(us: int) -> None:
    """Sleep for microseconds."""
    if us > 0:
        _clock.spend(us)


# Reading a counter takes a microsecond, so that a loop that waits for one ends. These two are called most of all:
# written out, and what is due in that microsecond happens at the next wait.


def ticks_ms() -> int:
    """Milliseconds, wrapping at 2**30."""
    clock = _clock
    clock.now = now = clock.now + 1
    gone = now - clock.booted
    return (gone + gone * clock.ppm // 1000000 + clock.offset) // 1000 & _MASK


def ticks_us() -> int:
    """Microseconds, wrapping at 2**30."""
    clock = _clock
    clock.now = now = clock.now + 1
    gone = now - clock.booted
    return gone + gone * clock.ppm // 1000000 + clock.offset & _MASK


ticks_cpu = ticks_us


def time() -> int:
    """Seconds of the real-time clock, which nobody has set."""
    return (_board.current.rtc_us + _clock.elapsed()) // 1000000 + _board.current.rtc_set_s


def time_ns() -> int:
    """The same in nanoseconds."""
    return (_board.current.rtc_us + _clock.elapsed()) * 1000 + _board.current.rtc_set_s * 1000000000
