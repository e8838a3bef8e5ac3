"""What the journal says of itself, for `suat doctor`: rows it gave up, damage it went through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from suat.store.database import beside, damage_note
from suat.store.reader import Reader

RECENT_US = 30 * 86_400_000_000

_TODO = {
    "untold": "they are lost to the sinks: mend these, or raise [journal] max_mb",
    "damaged": "look for them in the file that was set aside; think of a new card",
}


def condition(reader: Reader, now_us: int) -> Iterator[tuple[Literal["good", "look", "bad"], str, str]]:
    """(level, what, what to do), as far as there is something to tell; JournalError."""
    if damage_note(reader.path).exists():
        yield "bad", "the journal is damaged", "start the station again: it saves what can be read"
    for at_us, file, reason, done, pages, over in reader.salvages():
        if over is None:
            yield "look", f"{done} of {pages} pages of {file} have been brought over", "let the station run"
        elif beside(reader.path, file).is_file():
            what = f"the journal was damaged on {_day(at_us)} ({reason}) and set aside as {file}"
            yield "look", what, "all that could be read is in the new one: keep the file elsewhere, or delete it"
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 1 << 62, 0])
    for entry in reader.dropped(now_us - RECENT_US):
        found = sums[entry.why, entry.kind]
        found[:] = found[0] + entry.rows, min(found[1], entry.first_us), max(found[2], entry.last_us)
    for (why, kind), (rows, first_us, last_us) in sorted(sums.items()):
        what = f"{rows} rows ({kind}) of {_day(first_us)} to {_day(last_us)} were dropped within 30 days ({why})"
        yield "bad" if why in _TODO else "good", what, _TODO.get(why, "")


def _day(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d")
