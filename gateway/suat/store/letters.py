"""Dead letters: points that InfluxDB would not take, sent again or dropped once somebody has looked at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from suat.errors import SuatError
from suat.store.influx_http import Verdict, Writer, places
from suat.store.journal import Journal
from suat.store.points import WINDOW_SUFFIX
from suat.store.tables import BucketsTable

BATCH = 1000


class Letter(NamedTuple):
    """A line of InfluxDB's protocol that was set aside."""

    id: int
    sink: str
    at_us: int
    line: str
    reason: str


class Outcome(NamedTuple):
    """How many letters were taken, and how many refused once more."""

    taken: int
    refused: int


def retry(journal: Journal, letters: Sequence[Letter], writer: Writer, buckets: BucketsTable) -> Outcome:
    """Send letters again; those that are taken are letters no more, those refused stay. SuatError: nobody answers.

    A batch with a bad line is halved until that line stands alone, as the forwarder does.
    """
    by_place: dict[str, list[Letter]] = {}
    for letter in letters:
        by_place.setdefault(_place(letter.line, buckets), []).append(letter)
    taken = refused = 0
    parts = [
        (place, group[start : start + BATCH])
        for place, group in by_place.items()
        for start in range(0, len(group), BATCH)
    ]
    while parts:
        place, part = parts.pop()
        answer = writer.write(place, [letter.line for letter in part])
        if answer.verdict is Verdict.DONE:
            journal.drop_letters([letter.id for letter in part])
            taken += len(part)
        elif answer.verdict not in (Verdict.BAD_LINES, Verdict.DOUBTFUL, Verdict.TOO_LARGE):
            raise SuatError(f"{part[0].sink}: {answer.reason}; {taken} were taken, the others stay dead letters")
        elif len(part) == 1:
            refused += 1
        else:
            middle = len(part) // 2
            parts += [(place, part[middle:]), (place, part[:middle])]
    return Outcome(taken, refused)


def _place(line: str, buckets: BucketsTable) -> str:
    """The bucket of a line: windows have theirs, told by the measurement's end."""
    measurement = line.replace(" ", ",", 1).partition(",")[0]
    for width, place in places(buckets).items():
        if width and measurement.endswith(f"_{WINDOW_SUFFIX[width]}"):
            return place
    return buckets.raw
