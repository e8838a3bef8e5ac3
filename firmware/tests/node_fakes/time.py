"""`time` over a virtual clock for the node's own tests; the whole hardware is `suat_sim`'s."""

_PERIOD = 1 << 30

now_us = 0
epoch_s = 1609459200  # an RP2040 nobody has set
watchdog_us = 0  # 0: not armed
fed_us = 0
fast_ppm = 0  # of the clock that goes on through sleep: seconds, and the length of a deep sleep


class WatchdogReset(BaseException):
    """Virtual time passed the watchdog unfed."""


def advance(us):
    """Let time pass; the watchdog sees it."""
    global now_us
    now_us += us
    if watchdog_us and now_us - fed_us > watchdog_us:
        raise WatchdogReset("unfed for %d ms" % ((now_us - fed_us) // 1000))


def sleep_ms(ms):
    advance(ms * 1000)


def sleep_us(us):
    advance(us)


def ticks_ms():
    advance(1)
    return now_us // 1000 % _PERIOD


def ticks_us():
    advance(1)
    return now_us % _PERIOD


def ticks_add(ticks, delta):
    if not -_PERIOD // 2 < delta < _PERIOD // 2:
        raise OverflowError("ticks interval overflow")  # as the boards do (extmod/modtime.c)
    return (ticks + delta) % _PERIOD


def ticks_diff(end, start):
    return (end - start + _PERIOD // 2) % _PERIOD - _PERIOD // 2


def time_ns():
    return epoch_s * 1000000000 + now_us * (1000000 + fast_ppm) // 1000


def time():
    return time_ns() // 1000000000
