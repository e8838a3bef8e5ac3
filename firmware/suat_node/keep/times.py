"""When a sample was taken, and how old it is now.

The node's clock counts seconds from an arbitrary start, is lost at a power cut and runs fast or slow; `boots` tells the
starts apart. A sample is stamped with that clock and its start. On air there are only ages: within one start they need
no date, so that a node without time loses none and a station whose clock was wrong spoils none.

`Counters.anchors` holds moments at which both clocks were known, (start, node clock in s, UTC in ms), the oldest first:
what a DeviceTimeAns said. Between two of them the node's clock is taken to have run evenly, outside at the drift that
they show: the median rate between anchors at least 6 h apart, so that neither the warmth of a noon nor one step of the
station's clock is taken for it. A sample of a start that never learnt the time gets the time since this start as its
age: the least it can be. Moments are kept modulo 2^32: a data logger's row may be older than the clock.
"""

from micropython import const

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.keep.backlog import Entry
    from suat_node.keep.counters import Counters

    Anchor = tuple[int, int, int]

ANCHORS = const(8)
_APART_S = const(21600)
_FIRST_S = const(1704067200)  # 2024-01-01: older than this firmware
_LAST_S = const(4102444800)  # 2100-01-01
_GUESS_S = const(600)
_CRYSTAL = const(10000)  # 0.1 ppm: none is so far off
_FASTEST = const(600000)  # 0.1 ppm: ESP32 RC oscillators were seen 2.2 % (arduino-esp32#7084) and 5 % off
_SLACK_MS = const(5000)  # a step beyond this and ...
_WANDER = const(100)  # ... 1 % of the time since the last anchor is no drift of the node's
_PATIENCE_S = const(259200)
_MASK = 0xFFFFFFFF


def drift(counters: "Counters") -> int:
    """How much the node's clock runs fast, 0.1 ppm of its own count; 0 until it was measured."""
    return _signed(counters.drift)


def stamp(counters: "Counters", taken: int) -> "tuple[int, int]":
    """(taken, boot) as stored, for a moment of the node clock."""
    return taken & _MASK, counters.boots & 0xFFFF


def age(counters: "Counters", entry: "Entry", now_ms: int) -> "int | None":
    """Seconds from the sample to `now_ms` of the node clock; None while it can't be told (it waits for the time)."""
    boot = counters.boots & 0xFFFF
    now, rest_ms = now_ms // 1000, now_ms % 1000 + 500  # rounded
    taken_ms = _utc_ms(counters, entry.boot, entry.taken)
    today_ms = _utc_ms(counters, boot, now)
    least = max(0, now - counters.started)
    if taken_ms is not None and today_ms is not None:
        return max(0, (today_ms - taken_ms + rest_ms) // 1000)
    if entry.boot == boot:
        return max(0, (_ms(counters, _signed(now - entry.taken)) + rest_ms) // 1000)
    return least if taken_ms is None or least > _PATIENCE_S else None


def utc(counters: "Counters", now: int) -> int:
    """UTC in seconds at a moment of this start's clock; 0: unknown."""
    return (_utc_ms(counters, counters.boots & 0xFFFF, now) or 0) // 1000


def learn(counters: "Counters", utc_ms: int, at_ms: int) -> None:
    """The network said that it was `utc_ms` when the node clock showed `at_ms`.

    Impossible dates are never believed; a step that no drift explains only when the next answer repeats it.
    """
    at = at_ms // 1000
    utc_ms -= at_ms % 1000
    boot = counters.boots & 0xFFFF
    if not _FIRST_S <= utc_ms // 1000 < _LAST_S:
        return
    mine = _of(counters, boot)
    if mine:
        expected = _utc_ms(counters, boot, at) or 0
        allowed = _SLACK_MS + (at - mine[-1][1]) * 1000 // _WANDER
        if not counters.drift:
            allowed += (at - mine[-1][1]) * _FASTEST // 10000
        step = utc_ms - expected
        if abs(step) > allowed:
            refused, counters.refused = counters.refused, step // 1000 & _MASK or 1
            if not refused or abs(_signed(step // 1000 - refused)) * 1000 > allowed:
                return
            counters.anchors = [anchor for anchor in counters.anchors if anchor[0] != boot]
    counters.refused = 0
    _add(counters, (boot, at, utc_ms))
    _measure(counters, _of(counters, boot))
    counters.utc_offset = (utc_ms + 500) // 1000 - at & _MASK or 1  # 0 means unknown
    counters.synced_at = at


def next_wake(counters: "Counters", now: int, interval: int, phase: int) -> int:
    """The next moment on the node's own grid: every `interval` s of UTC, shifted by `phase` so that a fleet spreads.

    Until the time is known the grid hangs on the last wake. A wake that came a second early is not taken for a new one.
    """
    today = utc(counters, now)
    if not today:
        return now + interval
    step = interval - (today - phase) % interval
    if step <= interval // 2:
        step += interval
    return now + step + (step * drift(counters) + 5000000) // 10000000


def _signed(value: int) -> int:
    value &= _MASK
    return value - (_MASK + 1) if value >> 31 else value


def _ms(counters: "Counters", seconds: int) -> int:
    """True milliseconds in which the node's clock counts so many seconds."""
    return seconds * 1000 - seconds * drift(counters) // 10000


def _of(counters: "Counters", boot: int) -> "list[Anchor]":
    return [anchor for anchor in counters.anchors if anchor[0] == boot]


def _utc_ms(counters: "Counters", boot: int, at: int) -> "int | None":
    """UTC at a moment of a start's clock, ms; None if that start never learnt it."""
    anchors = _of(counters, boot)
    if not anchors:
        return None
    i = 0
    while i + 1 < len(anchors) and _signed(at - anchors[i + 1][1]) >= 0:
        i += 1
    _, since, utc_ms = anchors[i]
    seconds = _signed(at - since)
    if seconds < 0 or i + 1 == len(anchors):
        return utc_ms + _ms(counters, seconds)
    _, until, later_ms = anchors[i + 1]
    return utc_ms + seconds * (later_ms - utc_ms) // (until - since)


def _add(counters: "Counters", anchor: "Anchor") -> None:
    """The last anchor moves on until it is far enough from the one before it; the last one before a silence stays."""
    anchors = counters.anchors
    if len(anchors) > 1 and anchors[-2][0] == anchors[-1][0] == anchor[0]:
        before, last = anchors[-2][1], anchors[-1][1]
        if last - before < _APART_S and anchor[1] - last < _APART_S:
            anchors.pop()
    anchors.append(anchor)
    if len(anchors) > ANCHORS:
        anchors.pop(0)


def _measure(counters: "Counters", anchors: "list[Anchor]") -> None:
    """The drift that the anchors show. Close ones show no crystal's, but that of an RC oscillator."""
    rates = []
    rate = drift(counters)
    for i in range(1, len(anchors)):
        span = anchors[i][1] - anchors[i - 1][1]
        shown = (span * 1000 - anchors[i][2] + anchors[i - 1][2]) * 10000 // max(1, span)
        if span >= _APART_S:
            rates.append(shown)
        elif not rates and span >= _GUESS_S and abs(shown - rate) > _CRYSTAL:
            rate = shown
    if rates:
        rates.sort()
        rate = (rates[len(rates) // 2] + rates[(len(rates) - 1) // 2]) // 2
    if abs(rate) <= _FASTEST:
        counters.drift = rate & _MASK
