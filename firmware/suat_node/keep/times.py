"""When a sample was taken, and how old it is now.

The node's clock counts seconds from an arbitrary start and is lost at a power cut; `boots` tells the starts apart. An
entry of boot 0 is stamped in UTC (unix seconds, 32 bits last until 2106), any other in the node clock of that boot.
A sample from before a power cut whose UTC was never learnt gets the time since this start as its age: the least it
can be. On air there are only ages. All of it is reckoned modulo 2^32: the node's clock may be ahead of UTC, and a data
logger's row older than the clock.
"""

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.keep.backlog import Entry
    from suat_node.keep.counters import Counters

_MASK = 0xFFFFFFFF


def stamp(counters: "Counters", taken: int) -> "tuple[int, int]":
    """(taken, boot) as stored, for a moment of the node clock."""
    if counters.utc_offset:
        return taken + counters.utc_offset & _MASK, 0
    return taken & _MASK, counters.boots & 0xFFFF


def age(counters: "Counters", entry: "Entry", now: int) -> "int | None":
    """Seconds since the sample was taken; None while a UTC stamp cannot be placed yet (it waits for the time)."""
    seconds = now - entry.taken
    if entry.boot != counters.boots & 0xFFFF:
        if entry.boot:
            if entry.boot != counters.sync_boot & 0xFFFF or not counters.sync_offset:
                return max(0, now - counters.started)
            seconds -= counters.sync_offset
        if not counters.utc_offset:
            return None
        seconds += counters.utc_offset
    seconds &= _MASK
    return seconds if seconds < 0x80000000 else 0


def learn(counters: "Counters", utc_ms: int, at_ms: int) -> None:
    """The network said that it was `utc_ms` when the node clock showed `at_ms`."""
    offset = (utc_ms - at_ms + 500) // 1000 & _MASK
    counters.utc_offset = counters.sync_offset = offset or 1  # 0 means unknown
    counters.sync_boot = counters.boots
    counters.synced_at = at_ms // 1000


def next_wake(counters: "Counters", now: int, interval: int, phase: int) -> int:
    """The next moment on the node's own grid: every `interval` s of UTC, shifted by `phase` so that a fleet spreads.

    Until the time is known the grid hangs on the last wake. A wake that came a second early is not taken for a new one.
    """
    if not counters.utc_offset:
        return now + interval
    utc = now + counters.utc_offset & _MASK
    step = interval - (utc - phase) % interval
    return now + (step if step > interval // 2 else step + interval)
