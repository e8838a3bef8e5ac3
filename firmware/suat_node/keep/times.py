"""When a sample was taken, and how old it is now.

The node's clock counts seconds from an arbitrary start and is lost at a power cut; `boots` tells the starts apart. An
entry of boot 0 is stamped in UTC (unix seconds, 32 bits last until 2106), any other in the node clock of that boot.
A sample from before a power cut whose UTC was never learnt gets the time since this start as its age: the least it
can be. On air there are only ages.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from suat_node.keep.backlog import Entry
    from suat_node.keep.counters import Counters


def stamp(counters: "Counters", taken: int) -> "tuple[int, int]":
    """(taken, boot) as stored, for a moment of the node clock."""
    if counters.utc_offset:
        return taken + counters.utc_offset, 0
    return taken & 0xFFFFFFFF, counters.boots & 0xFFFF


def age(counters: "Counters", entry: "Entry", now: int) -> "int | None":
    """Seconds since the sample was taken; None while a UTC stamp cannot be placed yet (it waits for the time)."""
    if entry.boot == counters.boots & 0xFFFF:
        seconds = (now - entry.taken) & 0xFFFFFFFF
        return seconds if seconds < 0x80000000 else 0
    utc = entry.taken
    if entry.boot:
        if entry.boot != counters.sync_boot & 0xFFFF or not counters.sync_offset:
            return max(0, now - counters.started)
        utc += counters.sync_offset
    return max(0, now + counters.utc_offset - utc) if counters.utc_offset else None


def learn(counters: "Counters", utc_ms: int, at_ms: int) -> None:
    """The network said that it was `utc_ms` when the node clock showed `at_ms`."""
    counters.utc_offset = counters.sync_offset = (utc_ms - at_ms + 500) // 1000
    counters.sync_boot = counters.boots
    counters.synced_at = at_ms // 1000


def next_wake(counters: "Counters", now: int, interval: int, phase: int) -> int:
    """The next moment on the node's own grid: every `interval` s of UTC, shifted by `phase` so that a fleet spreads.

    Until the time is known the grid hangs on the last wake. A wake that came a second early is not taken for a new one.
    """
    if not counters.utc_offset:
        return now + interval
    utc = now + counters.utc_offset
    step = interval - (utc - phase) % interval
    return now + (step if step > interval // 2 else step + interval)
