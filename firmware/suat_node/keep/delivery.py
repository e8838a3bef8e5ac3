"""Which samples travel, and what our acknowledgement makes of them.

A record is waiting (to be sent, again or for the first time), sent, or named (acknowledged while an older one is not).
Sent records travel again only when an acknowledgement shows that they are missing. After a cold start nobody knows what
was sent: everything held counts as sent and the first uplink asks.

A frame begins with the newest sample, which says how things stand, unless it was sent; then come the oldest that wait:
the ring would drop those first, and the acknowledgement counts on from the oldest. After an outage it shows 64 records
at a time as missing; they travel without a further request until a few frames' worth of them is left.
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

WAITING = const(96)  # records remembered as waiting; older ones are found missing by the next acknowledgement
WINDOW = const(64)  # records that an acknowledgement's bitmap reaches
_CANDIDATES = const(32)  # more samples never fit into one frame
_FEW = const(24)  # waiting: time to ask for the next ones
_AHEAD = const(40)  # records sent beyond the oldest without acknowledgement: time to ask
_REACH = const(0xFFFF)  # records from the newest of a frame back to the one it asks from
_TELLS = const(0x7FFF)  # records between the network's newest and ours that 16 bits still tell apart


def waits(counters: "Counters", record: int) -> None:
    """Mark a record as waiting."""
    if record not in counters.waiting:
        counters.waiting.append(record)
        counters.waiting.sort()
        if len(counters.waiting) > WAITING:
            counters.waiting.pop(0)


def ask_from(counters: "Counters", backlog: "Backlog", after: int) -> "int | None":
    """The oldest record without acknowledgement, when it is time to ask: `after` of them, or all after a cold start."""
    held = backlog.held
    waiting = counters.waiting
    if not len(held) or len(held) - len(counters.named) < after:
        return None
    for record in held:
        if record not in counters.named:
            if after > 1 and len(waiting) > _FEW and waiting[0] - record < _AHEAD:
                return None  # what the last answer showed is on its way
            if held[-1] - record > _REACH and not counters.utc_offset:
                return None  # it must travel with the request, and may have no age yet: first the time
            return int(record)
    return None


def behind(counters: "Counters", backlog: "Backlog") -> bool:
    """Whether so much lacks an acknowledgement that to ask is worth a frame of its own."""
    return len(backlog.held) - len(counters.named) > WINDOW


def news(counters: "Counters") -> bool:
    """Whether the newest sample was never sent."""
    return len(counters.waiting) > 0 and counters.waiting[-1] == counters.record - 1


def wide(counters: "Counters") -> bool:
    """Whether the network may know so few of our records that 16 bits would be taken for an older number."""
    return counters.record - counters.known > _TELLS


def choose(counters: "Counters", backlog: "Backlog", heard_ms: int, limit: int, ask: "int | None") -> "list[Sample]":
    """The newest sample unless it was sent, and the oldest that wait, as many as fit into `limit` bytes; falling.

    `heard_ms`: node clock when the frame will have been heard; ages count to there.
    With nothing waiting the record to ask from travels once more, or nothing.
    """
    waiting = counters.waiting
    first = waiting[-1:] if news(counters) else []
    records = first + waiting[: min(_CANDIDATES, len(waiting) - len(first))]
    if ask is not None and (not records or records[0] - ask > _REACH):
        records = [ask]  # too far back for the newest to ask from: it goes alone
    entries = backlog.fetch(records)
    samples: "list[Sample]" = []
    for record in records:
        entry = entries.get(record)
        if entry is None or not _known(entry.body):  # damaged, dropped, or from a version with more fields
            backlog.give_up(record)
            if record in waiting:
                waiting.remove(record)
            continue
        age = times.age(counters, entry, heard_ms)
        if age is not None:
            samples.append(Sample(record, age, entry.body))  # type: ignore[arg-type,unused-ignore]
    count = len(samples)
    ahead = 1 if first and samples and samples[0].record == first[0] else 0
    while count:
        frame = samples[:ahead] + [samples[i] for i in range(count - 1, ahead - 1, -1)]
        count = fit(frame, limit, None if ask is None else min(ask, frame[0].record), wide(counters))
        if count == len(frame):
            return frame
    return []


def _known(body: bytes) -> bool:
    try:
        return fit([(0, 0, body)], 255) == 1
    except PayloadError:
        return False


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
        if record <= cumulative + WINDOW and record not in fresh:
            waits(counters, record)
    counters.oldest = counters.record if oldest < 0 else oldest
    return True
