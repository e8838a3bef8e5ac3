"""What the node tells of itself: once a day, after each start but wakes from deep sleep, after a change of settings."""

import gc

import machine

from suat_node import VERSION, crash
from suat_node.keep import times

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Readings
    from suat_node.node import Node

# in the order of suat_wire.document.RESET_CAUSES; ports differ in which they have
_CAUSES = ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET", "BROWNOUT_RESET")
_DEEP_SLEEP, _SOFTWARE = 4, 5


def readings(node: "Node", now: int) -> "list[Readings]":
    """Two bodies of at most 29 bytes each, packed; what is counted from one health sample to the next begins anew."""
    counters, session = node.counters, node.session
    gc.collect()
    first: "dict[str, int | float]" = {
        "firmware": VERSION[0] << 16 | VERSION[1],
        "boots": counters.boots,
        "reset_cause": _reset_cause(node.cold),
        "backlog": len(node.backlog.held),
        "uptime_h": _short(max(0, now - counters.started) // 3600),
        "crash": crash.last(),
        "lost": _short(counters.lost),
    }
    second: "dict[str, int | float]" = {
        "heap_free": _short(gc.mem_free() // 1024),
        "config": node.settings.digest(),
        "radio_errors": _short(counters.radio_errors),
        "airtime": _short(counters.air_ms // 1000),
    }
    counters.air_ms %= 1000
    if session.rssi:
        second["downlink_rssi"] = session.rssi
        second["downlink_snr"] = session.snr
    if counters.drift:
        second["drift"] = times.drift(counters) / 10
    return [{("health", name): part[name] for name in part} for part in (first, second)]


def _short(value: int) -> int:
    return min(value, 0xFFFF)


def _reset_cause(cold: bool) -> int:
    """Place in suat_wire.document.RESET_CAUSES; 0: unknown."""
    cause = machine.reset_cause()
    for i, name in enumerate(_CAUSES):
        if cause == getattr(machine, name, None):
            return _SOFTWARE if i + 1 == _DEEP_SLEEP and cold else i + 1
    return 0
