"""Sense and pack: from the sensors to samples on flash."""

from micropython import const
from suat_wire.fields import GROUPS, PayloadError, raw_of
from suat_wire.payload import pack

from suat_node import power, sensors
from suat_node.keep import delivery, times
from suat_node.keep.backlog import Entry

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Callable

    from suat_node.config import Board, Options, Readings
    from suat_node.node import Node
    from suat_node.sensors.logger import Row

BODY_MAX = 29  # with header, age and 15 bytes of FOpts this fits into 51 bytes; a larger sample is split
_SELDOM = const(4)


def sense(node: "Node", now: int) -> None:
    """Read all sensors and keep one sample of them, and one of each new row of a data logger."""
    counters = node.counters
    taken = (power.clock_ms() + 500) // 1000
    kept = counters.record
    if node.settings.trial:
        from suat_node import configure

        configure.check(node)
    _schedule(node, now)  # before anything can go wrong
    off = node.setting("sensors_off")
    active = [sensor for i, sensor in enumerate(node.config.sensors) if not off >> i & 1]
    readings = sensors.read_all(active, node.board)
    for sensor in active:
        if sensor["kind"] == "logger":
            readings.update(_take_rows(node, sensor))
    _plan(node, readings, now)
    if (
        node.config.kind == "water"
        or counters.battery_state
        or counters.events & 0xFF
        or ("node", "tamper") in readings
    ):
        from suat_node import events

        node.urgent = events.judge(node, readings, now) or node.urgent
    elif counters.events:  # the network was told of one, and none is left
        readings[("node", "events")] = counters.events = 0
    if not counters.health_at or now - counters.health_at >= node.setting("health_h") * 3600:
        from suat_node import health

        counters.health_at = now
        first, second = health.readings(node, now)
        keep(node, second, taken, 0)
        readings.update(first)
    if not readings and counters.record == kept:  # all sensors are off: who never sends hears no downlink
        readings[("node", "events")] = counters.events & 0xFF
    keep(node, readings, taken, 0)


def _schedule(node: "Node", now: int) -> None:
    """Set the time of the next sample: four times as far while the battery is weak."""
    counters = node.counters
    interval = node.setting("interval_s") * (_SELDOM if counters.battery_state else 1)
    counters.next_sense = times.next_wake(counters, now, interval, counters.identity % interval)


def _plan(node: "Node", readings: "Readings", now: int) -> None:
    """Let the battery's reading decide on interval and sending; without one the node is not silent for ever."""
    counters = node.counters
    before = counters.battery_state
    volts = readings.get(("node", "battery"))
    if volts is not None:
        low, floor = node.setting("battery_low"), node.setting("battery_floor")
        power.plan(counters, int(volts * 1000 + 0.5), low, floor)
    elif before == power.FLOOR:
        counters.battery_state = power.LOW
    if counters.battery_state != before:
        _schedule(node, now)


def _take_rows(node: "Node", sensor: "Options") -> "Readings":
    """Keep a data logger's new rows; what it costs the node's own sample is at most a fault."""
    try:
        rows = sensors.powered(sensor, node.board, _rows_since(node))
    except Exception as error:
        return {("node", "fault"): sensors.fault_code(error)}
    now = power.clock()
    for number, age, readings in rows:
        power.feed()
        keep(node, readings, now - age, number + 1)
        node.counters.logger_next = number + 1
    return {}


def _rows_since(node: "Node") -> "Callable[[Options, Board], list[Row]]":
    return lambda sensor, board: sensors.driver("logger").rows(sensor, board, node.counters.logger_next)


def keep(node: "Node", readings: "Readings", taken: int, source: int) -> None:
    """Pack readings and keep them on flash: one record, or more when they are too large for the slowest data rate."""
    counters = node.counters
    stamp, boot = times.stamp(counters, taken)
    backlog = node.backlog
    for body in bodies(readings):
        try:
            record = counters.next_record(node.session)
        except OSError:  # counted; without a number that is safe it can't be kept
            counters.lost += 1
            continue
        if backlog.append(Entry(record, stamp, boot, source, body)):
            delivery.waits(counters, record)
    counters.lost += backlog.lost
    counters.flash_errors += backlog.errors
    backlog.lost = backlog.errors = 0


def bodies(readings: "Readings") -> "list[bytes]":
    """Packed bodies of at most BODY_MAX bytes, split between groups. A value that no field carries becomes a fault."""
    out: "list[bytes]" = []
    part: "Readings" = {}
    packed = b""
    for group, fields in GROUPS:
        mine: "Readings" = {}
        bad = False
        for name, kind, divisor, _unit in fields:
            value = readings.get((group, name))
            if value is None:
                continue
            try:
                raw_of(value, kind, divisor)
                mine[(group, name)] = value
            except PayloadError:
                bad = True
        if bad and (group, "fault") not in mine and group != "health":
            mine[(group, "fault")] = sensors.OUT_OF_RANGE
        if not mine:
            continue
        both = dict(part)
        both.update(mine)
        body = pack(both)
        if len(body) > BODY_MAX and part:
            out.append(packed)
            part, packed = mine, pack(mine)
        else:
            part, packed = both, body
    if part:
        out.append(packed)
    return out
