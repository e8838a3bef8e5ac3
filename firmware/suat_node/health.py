"""What the node tells of itself: once a day, after each start but wakes from deep sleep, after a change of settings."""

import gc

import machine

from suat_node import VERSION, crash
from suat_node.keep.counters import EVENTS_TOLD

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Readings
    from suat_node.node import Node

_BITS = 0xFF
_DRIFT_MAX = 0x7FFF  # 0.1 ppm
# in the order of suat_wire.document.RESET_CAUSES; ports differ in which they have
_CAUSES = ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET", "BROWNOUT_RESET")
_DEEP_SLEEP, _SOFTWARE = 4, 5


def readings(node: "Node", now: int) -> "list[Readings]":
    """Two bodies of at most 29 bytes each, packed; what is counted from one health sample to the next begins anew."""
    counters, session = node.counters, node.session
    gc.collect()
    first: "Readings" = {
        ("health", "firmware"): VERSION[0] << 16 | VERSION[1],
        ("health", "boots"): counters.boots,
        ("health", "reset_cause"): _reset_cause(node),
        ("health", "backlog"): min(len(node.backlog.held), 0xFFFF),
        ("health", "uptime_h"): min(max(0, now - counters.started) // 3600, 0xFFFF),
        ("health", "crash"): crash.last(),
        ("health", "lost"): min(counters.lost, 0xFFFF),
    }
    second: "Readings" = {
        ("health", "heap_free"): min(gc.mem_free() // 1024, 0xFFFF),
        ("health", "config"): node.settings.digest(),
        ("health", "radio_errors"): min(counters.radio_errors, 0xFFFF),
        ("health", "airtime"): min(counters.air_ms // 1000, 0xFFFF),
    }
    counters.air_ms %= 1000
    if session.rssi:
        second[("health", "downlink_rssi")] = session.rssi
        second[("health", "downlink_snr")] = max(-32, min(31, session.snr))
    if counters.drift:
        drift = (counters.drift ^ 0x80000000) - 0x80000000  # kept modulo 2^32
        second[("health", "drift")] = max(-_DRIFT_MAX, min(_DRIFT_MAX, drift)) / 10
    if node.config.kind != "water":  # there events.py tells them
        bits = counters.events & _BITS
        if bits or counters.events & EVENTS_TOLD:
            second[("node", "events")] = bits
        counters.events = EVENTS_TOLD if bits else 0
    return [first, second]


def _reset_cause(node: "Node") -> int:
    """Place in suat_wire.document.RESET_CAUSES; 0: unknown."""
    cause = machine.reset_cause()
    for i, name in enumerate(_CAUSES):
        if cause == getattr(machine, name, None):
            return _SOFTWARE if i + 1 == _DEEP_SLEEP and node.cold else i + 1
    return 0
