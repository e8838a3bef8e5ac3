"""Which samples travel, and what our acknowledgement makes of them.

A record is waiting (to be sent, again or for the first time), sent, or named (acknowledged while an older one is not).
Sent records travel again only when an acknowledgement shows that they are missing. After a cold start nobody knows what
was sent: everything held counts as sent and the first uplink asks.
"""

from micropython import const
from suat_wire.control import acknowledged, decode_ack
from suat_wire.fields import PayloadError
from suat_wire.payload import Sample, fit

from suat_node.keep import times

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.keep.backlog import Backlog
    from suat_node.keep.counters import Counters

_WAITING = const(64)  # records remembered as waiting; older ones are found missing by the next acknowledgement
_CANDIDATES = const(16)  # more samples never fit into one frame
_WINDOW = const(64)  # records that an acknowledgement's bitmap reaches
_REACH = const(0xFFFF)  # records from the newest of a frame back to the one it asks from
_TELLS = const(0x7FFF)  # records between the network's newest and ours that 16 bits still tell apart


def waits(counters: "Counters", record: int) -> None:
    """Mark a record as waiting."""
    if record not in counters.waiting:
        counters.waiting.append(record)
        counters.waiting.sort()
        if len(counters.waiting) > _WAITING:
            counters.waiting.pop(0)


def ask_from(counters: "Counters", backlog: "Backlog", after: int) -> "int | None":
    """The oldest record without acknowledgement, when it is time to ask: `after` of them, or all after a cold start."""
    held = backlog.held
    if not len(held) or len(held) - len(counters.named) < after:
        return None
    for record in held:
        if record not in counters.named:
            if held[-1] - record > _REACH and not counters.utc_offset:
                return None  # it must travel with the request, and may have no age yet: first the time
            return int(record)
    return None


def wide(counters: "Counters") -> bool:
    """Whether the network may know so few of our records that 16 bits would be taken for an older number."""
    return counters.record - counters.known > _TELLS


def choose(counters: "Counters", backlog: "Backlog", now: int, limit: int, ask: "int | None") -> "list[Sample]":
    """Waiting samples, newest first, as many as fit into `limit` bytes."""
    records = counters.waiting[-_CANDIDATES:]
    if ask is not None and records and records[-1] - ask > _REACH:
        records = [ask]  # too far back for the newest to ask from: it goes alone
    entries = backlog.fetch(records)
    samples = []
    for record in reversed(records):
        entry = entries.get(record)
        if entry is None:  # damaged or dropped
            backlog.give_up(record)
            if record in counters.waiting:
                counters.waiting.remove(record)
            continue
        age = times.age(counters, entry, now)
        if age is not None:
            samples.append(Sample(record, age, entry.body))  # type: ignore[arg-type,unused-ignore]
    if not samples:
        return []
    if ask is not None:
        ask = min(ask, samples[0].record)
    return samples[: fit(samples, limit, ask, wide(counters))]


def sent(counters: "Counters", samples: "list[Sample]") -> None:
    """These have left; they wait no longer."""
    for sample in samples:
        if sample.record in counters.waiting:
            counters.waiting.remove(sample.record)


def acknowledge(counters: "Counters", backlog: "Backlog", data: bytes, just_sent: "list[Sample]") -> bool:
    """Free what the acknowledgement names, send again what it shows missing; False if it is no acknowledgement.

    The records of the frame that brought it are never judged missing: they may have arrived after it was made.
    """
    try:
        cumulative, bitmap = decode_ack(data)
    except PayloadError:
        return False
    fresh = [sample.record for sample in just_sent]
    before = counters.named
    counters.waiting = [record for record in counters.waiting if not acknowledged(record, cumulative, bitmap)]
    counters.named = []
    oldest = -1
    for record in backlog.held:  # once: with a full ring the watchdog allows no more
        if acknowledged(record, cumulative, bitmap) or record in before:
            counters.known = max(counters.known, record)
            if oldest >= 0:
                counters.named.append(record)
            continue
        if oldest < 0:
            oldest = record
        if record <= cumulative + _WINDOW and record not in fresh:
            waits(counters, record)
    counters.oldest = counters.record if oldest < 0 else oldest
    return True
