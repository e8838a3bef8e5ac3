"""The last few different exceptions, in one small file that cannot fill the flash, and how long to rest after one.

The newest stands at the end, the text cut from the front to 400 bytes:

    #times clock utc start row
    Traceback ...

`times` it came; when it came last: node clock, UTC or 0, number of the start; `row`: crashes before it that came close
upon each other. The rest after each grows to an hour, so a node that always crashes writes at most four times in the
first hour and then once an hour.
"""

import gc
import io
import os
import sys
from binascii import crc32

from micropython import const

from suat_node import power

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.keep.counters import Counters

FILE = "/suat/crash.txt"
_KEPT = const(4)
_SIZE = const(400)
_WELL_S = const(7200)  # between crashes: the next is taken for the first
_RESTS_S = (60, 300, 900, 3600)

counters: "Counters | None" = None  # of the node, for the time
_began = power.clock()


def entries() -> "list[tuple[list[int], str]]":
    """([times, clock, utc, start, row], text) of each, the oldest first; what cannot be read is left out."""
    found = []
    try:
        with open(FILE, "rb") as file:
            parts = file.read().decode().rstrip("\n").split("\n#")
        for part in parts:
            end = part.find("\n")
            numbers = [int(number) for number in part[:end].lstrip("#").split()]
            if len(numbers) == 5:
                found.append((numbers, part[end + 1 :]))
    except (OSError, ValueError):
        pass
    return found


def last() -> int:
    """CRC-32 of the newest text, 0 for none."""
    known = entries()
    return int(crc32(known[-1][1].encode())) if known else 0


def note(error: BaseException) -> int:
    """Keep it; how many seconds to rest before the next start. Never raises."""
    gc.collect()
    try:
        return _RESTS_S[min(_note(error), len(_RESTS_S) - 1)]
    except Exception:  # flash or memory is full or broken
        return _RESTS_S[-1]


def _note(error: BaseException) -> int:
    stream = io.StringIO()
    sys.print_exception(error, stream)
    text = stream.getvalue().rstrip("\n")[-_SIZE:]
    now = power.clock()
    utc = now + counters.utc_offset & 0xFFFFFFFF if counters and counters.utc_offset else 0
    known = entries()
    row = 0
    if known and max(now - known[-1][0][1], now - _began) < _WELL_S:  # the clock may have begun anew
        row = known[-1][0][4] + 1
    numbers = [1, now, utc, counters.boots if counters else 0, row]
    for entry in known:
        if entry[1] == text:
            numbers[0] += entry[0][0]
            known.remove(entry)
            break
    known.append((numbers, text))
    with open(FILE + ".tmp", "wb") as file:
        for numbers, text in known[-_KEPT:]:
            file.write(("#%d %d %d %d %d\n" % tuple(numbers) + text + "\n").encode())
    os.rename(FILE + ".tmp", FILE)
    return row
