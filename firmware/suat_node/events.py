"""What at a water point cannot wait: judged at each sample, on the node, so that it travels at once.

`Counters.events` holds the bits of suat_wire.document.EVENTS and, above them, what must be remembered from sample to
sample. A level's bit ends beyond a margin; any bit but the battery's ends at the second sample in a row without cause,
so that a switch on waves does not flap. Thresholds are settings; those here, with their sources: docs/events.md.
"""

from micropython import const

from suat_node import power
from suat_node.keep.counters import EVENTS_TOLD

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Readings
    from suat_node.node import Node

_LEAK, _EMPTY, _FREEZING, _TAMPER, _BATTERY_LOW, _BATTERY_FLOOR, _REPORTS = 1, 2, 4, 8, 16, 32, 0xC0
_BITS = const(0xFF)
_FALLS = const(0x200)  # the last nights' verdict: the level falls while nobody drinks
_DOUBT = const(0x400)  # the last look at the night contradicts it
_CALM = const(12)  # bits 12..15: a bit without cause at the last sample

_HOUR_S = const(3600)
_NIGHT_S = const(14400)
_APART_S = const(7200)  # of the two samples of a night
_NOISE_MM = const(3)
_OTHER_MM = const(20000)  # no water falls so far: depth and distance were mixed
_LONGEST_GAP_S = const(4000)  # between looks at the meter; in a longer one herds come and go unseen
_PAUSE_S = const(600)  # a slow meter may give no pulse for less
_REFILLED_MM = const(20)
_THAWED = const(100)  # 0.01 degC


def judge(node: "Node", readings: "Readings", now: int) -> bool:
    """Set `events` of counters and readings from a sample taken at `now`; True: something began, say so at once.

    A node that has no such sensor has no such event; a sensor that failed leaves its event as it was.
    """
    counters = node.counters
    runs = _runs(node, readings, now)
    state = _night(node, readings, now)
    before = state & _BITS & ~_REPORTS
    for bit, cause in (
        (_LEAK, runs or state & _FALLS),
        (_EMPTY, _empty(readings, node.setting("trough_empty") + (state & _EMPTY and _REFILLED_MM))),
        (_FREEZING, _freezing(readings, node.setting("freezing") + (state & _FREEZING and _THAWED))),
        (_TAMPER, readings.get(("node", "tamper"))),
    ):
        calm = bit << _CALM
        if cause:
            state = (state | bit) & ~calm
        elif cause is not None and state & bit:
            state ^= bit | calm if state & calm else calm
    state &= ~(_BATTERY_LOW | _BATTERY_FLOOR)
    if counters.battery_state:
        state |= _BATTERY_LOW if counters.battery_state == power.LOW else _BATTERY_LOW | _BATTERY_FLOOR
    bits = state & _BITS
    if bits or state & EVENTS_TOLD:
        readings[("node", "events")] = bits
    state &= ~(EVENTS_TOLD | _REPORTS)
    counters.events = state | EVENTS_TOLD if bits else state
    return bits & ~before != 0 and (power.woken_by_pin() or allowed(node, now))


def allowed(node: "Node", now: int) -> bool:
    """Whether `events_per_h` allows one more wake or uplink out of turn; if so, it is counted."""
    counters = node.counters
    if spent_until(node, now) > now:
        return False
    if now - counters.event_hour >= _HOUR_S or not counters.event_count:
        counters.event_hour = now
        counters.event_count = 0
    counters.event_count += 1
    return True


def spent_until(node: "Node", now: int) -> int:
    """Node clock until which `events_per_h` or a battery at its floor allows none; not after `now` where it does."""
    counters = node.counters
    most = node.setting("events_per_h")
    if not most or counters.battery_state == power.FLOOR:
        return now + _HOUR_S
    return counters.event_hour + _HOUR_S if counters.event_count >= most else 0


def _empty(readings: "Readings", limit_mm: int) -> "bool | None":
    switch = readings.get(("water", "float"))
    depth = readings.get(("water", "depth"))
    if depth is None:
        return None if switch is None else not switch
    return switch == 0 or depth * 1000 < limit_mm


def _freezing(readings: "Readings", limit: int) -> "bool | None":
    celsius = readings.get(("water", "temperature"))
    return None if celsius is None else celsius * 100 < limit


def _runs(node: "Node", readings: "Readings", now: int) -> bool:
    """Whether the meter has run for `leak_flow` hours, in every sample."""
    counters = node.counters
    volume = readings.get(("water", "volume"))
    if volume is not None:
        gap = now - counters.flow_at
        unknown = gap > _LONGEST_GAP_S
        ran = int(volume) != counters.flow_last
        if unknown or ran or gap >= _PAUSE_S:
            counters.flow_since = 0 if unknown or not ran else counters.flow_since or now
            counters.flow_last = int(volume)
            counters.flow_at = now
    hours = node.setting("leak_flow")
    return hours > 0 and counters.flow_since > 0 and counters.flow_at - counters.flow_since >= hours * _HOUR_S


def _night(node: "Node", readings: "Readings", now: int) -> int:
    """The state with its verdict on this night's fall from the first sample to this one.

    Two looks in a row that agree change it: one wrong reading, a ghost echo or an air lock, does not. What counts as
    first is the lowest sample of the first hour, for the same reason. A trough that is empty has nothing left to fall.
    """
    counters = node.counters
    state = counters.events
    limit = node.setting("leak_fall")
    if not limit:
        return state & ~(_FALLS | _DOUBT)
    level = _level(readings)
    if level is None or not counters.utc_offset:
        return state
    into = (now + counters.utc_offset - node.setting("night_from") * _HOUR_S) % 86400
    if into >= _NIGHT_S:
        return state
    span = now - counters.night_at
    fall = counters.night_mm - level
    if not counters.night_at or span > into or abs(fall) > _OTHER_MM or (into < _HOUR_S and fall > 0):
        counters.night_at = now
        counters.night_mm = level
        return state
    if span < _APART_S or state & _EMPTY:
        return state
    if state & _FALLS:
        limit //= 2
    falls = (fall - _NOISE_MM) * _HOUR_S > limit * span
    if falls == (state & _FALLS != 0):
        return state & ~_DOUBT
    return state ^ (_FALLS | _DOUBT if state & _DOUBT else _DOUBT)


def _level(readings: "Readings") -> "int | None":
    """Millimetres that grow with the water: its depth, or what a distance leaves of 16 bits."""
    depth = readings.get(("water", "depth"))
    if depth is not None:
        return max(0, int(depth * 1000 + 0.5))
    distance = readings.get(("water", "distance"))
    return None if distance is None else max(0, int(65535.5 - distance * 1000))
