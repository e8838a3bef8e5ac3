"""Samples on flash until our acknowledgement names them.

A folder of segments, each named after its first record (eight hexadecimal digits) with up to 32 entries:

    A5 | length of the body | record u32 | taken u32 | boot u16 | source u32 | body | CRC-32       little-endian

A damaged entry is skipped by looking for the next good one, and a segment with damage is never appended to. The oldest
segment is dropped, counted, when the ring or the flash is full. `taken` and `boot` are explained in `times.py`;
`source` is 1 + the data logger's row, 0 for the node's own sensors. littlefs spreads the writes over the flash and
makes each append whole: after a power cut a file is as before it or as after it. What else lies here is left alone.
"""

import os
import struct
from array import array
from binascii import crc32

from micropython import const

from suat_node import power
from suat_node.keep.counters import ENOSPC

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Iterator

_SEGMENT = const(32)
_SEGMENTS = const(64)  # 2,048 samples: 21 days at 15 minutes
_MAGIC = const(0xA5)
_HEAD = "<BBIIHI"
_HEAD_SIZE = const(16)
_MAX_BODY = const(64)
_NEVER = const(0x100000000)


class Entry:
    """One stored sample."""

    def __init__(self, record: int, taken: int, boot: int, source: int, body: bytes) -> None:
        self.record = record
        self.taken = taken
        self.boot = boot
        self.source = source
        self.body = body


class Backlog:
    """The ring. `held`: records on flash, rising. `lost`, `errors`: samples given up, failures, since the last look."""

    def __init__(self, folder: str, oldest: int = 0) -> None:
        self.folder = folder
        self.lost = 0
        self.errors = 0
        self.source_next = 0
        self._segments: "list[int]" = []
        self.held = array("I")
        self._room = 0  # entries that the last segment still takes
        make_folder(folder)
        for name in sorted(os.listdir(folder)):
            self._adopt(name, oldest)

    def _adopt(self, name: str, oldest: int) -> None:
        try:
            first = int(name, 16)
        except ValueError:
            return
        if first < 0 or name != "%08x" % first:
            return
        power.feed()  # a full ring takes seconds
        data = self._read(first)
        count = good = 0
        last = -1
        for entry in _entries(data or b""):
            last = entry.record
            count += 1
            good += _HEAD_SIZE + len(entry.body) + 4
            if entry.source > self.source_next:
                self.source_next = entry.source
            if entry.record >= oldest and not (self.held and entry.record <= self.held[-1]):
                self.held.append(entry.record)
        if data is not None and last < oldest:
            self._remove(first)
            return
        whole = data is not None and good == len(data)
        if data is not None and not whole:
            self.errors += 1
        self._segments.append(first)  # an unreadable one too: its turn to be dropped comes
        # behind damage nothing is appended: it could not be told from the damage
        self._room = max(0, _SEGMENT - count) if whole else 0

    def _path(self, first: int) -> str:
        return "%s/%08x" % (self.folder, first)

    def _read(self, first: int) -> "bytes | None":
        """A segment; None if it can't be read, not even at a second try."""
        for _ in range(2):
            try:
                with open(self._path(first), "rb") as file:
                    return bytes(file.read())
            except OSError:
                self.errors += 1
        return None

    def _remove(self, first: int) -> None:
        try:
            os.remove(self._path(first))
        except OSError:  # the next start tries again
            self.errors += 1

    def append(self, entry: Entry) -> bool:
        """Keep a sample; False (and counted) if flash does not take it, not even in the place of older ones."""
        data = struct.pack(_HEAD, _MAGIC, len(entry.body), entry.record, entry.taken, entry.boot, entry.source)
        data += entry.body
        data += struct.pack("<I", crc32(data))
        if len(self._segments) > _SEGMENTS:
            self.drop_oldest()
        while True:
            try:
                self._append(entry.record, data)
                self.held.append(entry.record)
                return True
            except OSError as error:
                self.errors += 1
                self._room = 0
                if error.errno != ENOSPC or not self.drop_oldest():
                    self.lost += 1
                    return False

    def _append(self, record: int, data: bytes) -> None:
        new = self._room <= 0
        first = record if new else self._segments[-1]
        with open(self._path(first), "ab") as file:
            file.write(data)
        if new:
            self._segments.append(first)
            self._room = _SEGMENT
        self._room -= 1

    def drop_oldest(self) -> bool:
        """Give up the oldest segment, counted; False when there is none."""
        if not self._segments:
            return False
        self._remove(self._segments.pop(0))
        before = len(self.held)
        self._keep_from(self._segments[0] if self._segments else _NEVER)
        self.lost += before - len(self.held)
        if not self._segments:
            self._room = 0
        return True

    def _keep_from(self, oldest: int) -> None:
        at = 0
        while at < len(self.held) and self.held[at] < oldest:
            at += 1
        if at:
            self.held = self.held[at:]

    def free(self, oldest: int) -> None:
        """Forget all records below `oldest`."""
        self._keep_from(oldest)
        while len(self._segments) > 1 and self._segments[1] <= oldest:
            self._remove(self._segments.pop(0))
        if self._segments and not self.held:
            self.clear()

    def give_up(self, record: int) -> None:
        """A sample that can't be read any more is held no longer: no acknowledgement would ever name it."""
        for at, held in enumerate(self.held):
            if held == record:
                self.held = self.held[:at] + self.held[at + 1 :]
                self.lost += 1
                return

    def fetch(self, records: "list[int]") -> "dict[int, Entry]":
        """The stored samples among `records`; each segment is read once."""
        found: "dict[int, Entry]" = {}
        wanted = set(records)
        for i, first in enumerate(self._segments):
            end = self._segments[i + 1] if i + 1 < len(self._segments) else _NEVER
            if not any([first <= record < end for record in wanted]):
                continue
            for entry in _entries(self._read(first) or b""):
                if entry.record in wanted:
                    found[entry.record] = entry
        return found

    def clear(self) -> None:
        """Forget everything."""
        for first in self._segments:
            self._remove(first)
        self._segments = []
        self.held = array("I")
        self._room = 0


def make_folder(folder: str) -> None:
    """Unless it is there."""
    try:
        os.mkdir(folder)
    except OSError:  # it is there
        os.listdir(folder)


def _entries(data: bytes) -> "Iterator[Entry]":
    """Each good entry."""
    pos = 0
    while pos + _HEAD_SIZE + 4 <= len(data):
        magic, size, record, taken, boot, source = struct.unpack_from(_HEAD, data, pos)
        end = pos + _HEAD_SIZE + size
        if (
            magic == _MAGIC
            and size <= _MAX_BODY
            and end + 4 <= len(data)
            and crc32(data[pos:end]) == struct.unpack_from("<I", data, end)[0]
        ):
            yield Entry(record, taken, boot, source, data[pos + _HEAD_SIZE : end])
            pos = end + 4
        else:
            pos += 1
