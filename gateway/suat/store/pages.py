"""A damaged SQLite file read page by page, without SQLite: whatever row still reads as a row of its table is given.

The file's form is that of https://www.sqlite.org/fileformat2.html. A page's newest sound version counts, be it in the
WAL or in the file; a frame of the WAL is sound when its own checksum is, even if one before it is not. Which table a
page belongs to follows from the trees where they can be walked, else from the shape of its rows.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Row = tuple[Any, ...]

TABLE_LEAF, TABLE_INTERIOR, INDEX_LEAF, INDEX_INTERIOR = 13, 5, 10, 2
_KINDS = (TABLE_LEAF, TABLE_INTERIOR, INDEX_LEAF, INDEX_INTERIOR)
_WAL_HEADER, _FRAME_HEADER = 32, 24
_VIRTUAL, _STORED = 2, 3  # pragma table_xinfo, "hidden"
_PAYLOAD_LIMIT = 1 << 20  # [D] no row of ours is as large
_INTEGER_SIZES = (0, 1, 2, 3, 4, 6, 8)


class DamageError(ValueError):
    """These bytes are no such thing."""


class Column(NamedTuple):
    name: str
    type: str
    required: bool
    default: Any
    made: bool = False  # by SQLite out of the others, and stored


class Shape(NamedTuple):
    """A table as its rows lie in the file."""

    name: str
    columns: tuple[Column, ...]  # in the order of storage
    rowid: int | None  # the column that is the row's number; None: a tree keyed by the row itself

    def fit(self, values: Sequence[Any], rowid: int) -> Row | None:
        """The row, complete; None when it can't be one of this table."""
        if len(values) > len(self.columns):
            return None
        row = [*values, *[column.default for column in self.columns[len(values) :]]]
        if self.rowid is not None:
            if row[self.rowid] is not None or rowid <= 0:
                return None
            row[self.rowid] = rowid
        for value, column in zip(row, self.columns, strict=True):
            if value is None:
                if column.required:
                    return None
            elif not isinstance(value, _TYPES[column.type]):
                return None
        return tuple(row)


_TYPES: dict[str, tuple[type, ...]] = {"INTEGER": (int,), "TEXT": (str,), "REAL": (float, int), "BLOB": (bytes,)}


def shapes(connection: sqlite3.Connection) -> dict[str, Shape]:
    """The tables of a sound database, by name."""
    found = {}
    tables = connection.execute("SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    for name, keyed in tables.fetchall():
        info = [
            (*entry[:2], entry[2].partition(" ")[0], *entry[3:])
            for entry in connection.execute(f'PRAGMA table_xinfo("{name}")')
            if entry[6] != _VIRTUAL
        ]
        if name.startswith("sqlite_") or not all(entry[2] in _TYPES for entry in info):
            continue
        if keyed:
            info.sort(key=lambda entry: (entry[5] == 0, entry[5]))  # the key's columns come first
        keys = [place for place, entry in enumerate(info) if entry[5]]
        rowid = keys[0] if not keyed and len(keys) == 1 and info[keys[0]][2] == "INTEGER" else None
        if rowid is None and not keyed:
            continue
        columns = tuple(
            Column(
                entry[1],
                entry[2],
                bool(entry[3]) or (keyed and entry[5] > 0),
                _literal(connection, entry[4]),
                entry[6] == _STORED,
            )
            for entry in info
        )
        found[name] = Shape(name, columns, rowid)
    return found


def _literal(connection: sqlite3.Connection, text: str | None) -> Any:
    return None if text is None else connection.execute(f"SELECT {text}").fetchone()[0]


class Image:
    """The pages of a database and its WAL. OSError when the file can't be opened; an unreadable page is empty."""

    def __init__(self, path: Path, wal: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._wal = os.open(wal, os.O_RDONLY | os.O_CLOEXEC) if wal.exists() else None
        self.page_size = self._size_of_page()
        self.versions: dict[int, list[int]] = defaultdict(list)  # page -> places of its sound frames, oldest first
        self.cut_commits = 0  # transactions of the WAL that SQLite does not see, because something before them is bad
        self.cut: list[int] = []  # the pages of these
        if self._wal is not None:
            self._read_wal(self._wal)
        size = os.fstat(self._file).st_size
        self.pages = max([size // self.page_size, *self.versions])

    def close(self) -> None:
        os.close(self._file)
        if self._wal is not None:
            os.close(self._wal)

    def page(self, number: int) -> bytes:
        """The newest sound version of a page, counted from 1."""
        places = self.versions.get(number)
        if places and self._wal is not None:
            return _read(self._wal, self.page_size, places[-1])
        return _read(self._file, self.page_size, (number - 1) * self.page_size)

    def page_before(self, number: int) -> bytes:
        """The page as it is in the file itself."""
        return _read(self._file, self.page_size, (number - 1) * self.page_size)

    def _size_of_page(self) -> int:
        if self._wal is not None and len(head := _read(self._wal, 12, 0)) == 12:
            size = int.from_bytes(head[8:12], "big")
            if head[:3] == b"\x37\x7f\x06" and _is_page_size(size):
                return size
        size = int.from_bytes(_read(self._file, 2, 16), "big")
        return size if _is_page_size(size) else 4096

    def _read_wal(self, wal: int) -> None:
        head = _read(wal, _WAL_HEADER, 0)
        order = ">" if head[3:4] == b"\x83" else "<"
        whole = len(head) == _WAL_HEADER and head[:4] in (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
        whole = whole and checksum(head[:24], (0, 0), order) == struct.unpack(">II", head[24:])
        salt = head[16:24] if whole else None
        before = struct.unpack(">II", head[24:]) if whole else None
        visible = whole
        places: dict[int, int] = {}
        step = _FRAME_HEADER + self.page_size
        pending: list[tuple[int, int]] = []  # sound frames of a transaction that has not ended
        for place in range(_WAL_HEADER, os.fstat(wal).st_size - step + 1, step):
            frame = _read(wal, step, place)
            if len(frame) < step:
                break
            page, commit = struct.unpack(">II", frame[:8])
            if salt is None:  # the file's head is gone: the first frame tells, if the next one agrees
                salt = frame[8:16]
            sound = frame[8:16] == salt and page > 0
            if sound and before is not None:
                sound = checksum(frame[:8] + frame[_FRAME_HEADER:], before, order) == struct.unpack(">II", frame[16:24])
            elif sound:
                sound = False  # nothing to check it against
            if frame[8:16] != salt:
                break  # left over from before the last reset
            before = struct.unpack(">II", frame[16:24])
            if not sound:
                visible = False
                continue
            pending.append((page, place + _FRAME_HEADER))
            if commit:
                for number, at in pending:
                    self.versions[number].append(at)
                    places[number] = at
                if not visible:
                    self.cut_commits += 1
                    self.cut += [number for number, _ in pending]
                pending = []


def _is_page_size(size: int) -> bool:
    return 512 <= size <= 32768 and size & (size - 1) == 0


def _read(file: int, size: int, at: int) -> bytes:
    try:
        return os.pread(file, size, at)
    except OSError:
        return b""


def checksum(data: bytes, start: tuple[int, int], order: str) -> tuple[int, int]:
    """SQLite's checksum of the WAL (section 4.2), of all words at once: it is linear in them."""
    words = np.frombuffer(data, f"{order}u4").astype(np.uint32)
    first, second = _weights(len(words))
    zero, one = start
    fibonacci = _powers(len(words) // 2)[-1]
    with np.errstate(over="ignore"):
        sum0 = int((words * first).sum(dtype=np.uint32))
        sum1 = int((words * second).sum(dtype=np.uint32))
    a, b, c, d = fibonacci
    return (a * zero + b * one + sum0) & 0xFFFFFFFF, (c * zero + d * one + sum1) & 0xFFFFFFFF


@cache
def _powers(count: int) -> list[tuple[int, int, int, int]]:
    """What `count` pairs of zeros make of the two sums: (0, 0) -> (a, b; c, d), for 0 .. count."""
    powers = [(1, 0, 0, 1)]
    for _ in range(count):
        a, b, c, d = powers[-1]
        a, b = (a + c) & 0xFFFFFFFF, (b + d) & 0xFFFFFFFF
        powers.append((a, b, (c + a) & 0xFFFFFFFF, (d + b) & 0xFFFFFFFF))
    return powers


@cache
def _weights(words: int) -> tuple[Any, Any]:
    """What each word adds to the first and to the second sum."""
    first, second = np.zeros(words, np.uint32), np.zeros(words, np.uint32)
    for pair, (a, b, c, d) in enumerate(reversed(_powers(words // 2)[:-1])):
        first[2 * pair], second[2 * pair] = (a + b) & 0xFFFFFFFF, (c + d) & 0xFFFFFFFF  # adds to both sums
        first[2 * pair + 1], second[2 * pair + 1] = b, d  # to the second alone
    return first, second


# The cells of a page


def header_at(number: int) -> int:
    return 100 if number == 1 else 0


def cells(page: bytes, number: int) -> list[int]:
    """Where the cells of a page begin; empty when it is no page of a tree."""
    at = header_at(number)
    if len(page) < at + 12 or page[at] not in _KINDS:
        return []
    count = int.from_bytes(page[at + 3 : at + 5], "big")
    first = at + (12 if page[at] in (TABLE_INTERIOR, INDEX_INTERIOR) else 8)
    if first + 2 * count > len(page):
        return []
    return [
        place for (place,) in struct.iter_unpack(">H", page[first : first + 2 * count]) if first < place < len(page)
    ]


def children(page: bytes, number: int) -> list[int]:
    """The pages below an interior page."""
    at = header_at(number)
    if not page or page[at] not in (TABLE_INTERIOR, INDEX_INTERIOR):
        return []
    found = [int.from_bytes(page[place : place + 4], "big") for place in cells(page, number)]
    return [*found, int.from_bytes(page[at + 8 : at + 12], "big")]


def records(image: Image, page: bytes, number: int) -> Iterator[tuple[int, list[Any]]]:
    """(row number or 0, values) of every cell that can be read."""
    at = header_at(number)
    kind = page[at] if len(page) > at else 0
    if kind not in (TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR):
        return
    for place in cells(page, number):
        try:
            start = place + (4 if kind == INDEX_INTERIOR else 0)
            size, start = _varint(page, start)
            rowid = 0
            if kind == TABLE_LEAF:
                rowid, start = _varint(page, start)
            yield rowid, _values(_payload(image, page, kind, size, start))
        except (DamageError, IndexError, UnicodeDecodeError, struct.error):
            continue


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 127
        if byte < 128:
            return value, at
    value = value << 8 | data[at]
    return (value if value < 1 << 63 else value - (1 << 64)), at + 1


def _payload(image: Image, page: bytes, kind: int, size: int, at: int) -> bytes:
    usable = image.page_size
    local = usable - 35 if kind == TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if not 0 < size < _PAYLOAD_LIMIT:
        raise DamageError
    if size <= local:
        data = page[at : at + size]
    else:
        least = (usable - 12) * 32 // 255 - 23
        kept = least + (size - least) % (usable - 4)
        kept = kept if kept <= local else least
        data = page[at : at + kept]
        following = int.from_bytes(page[at + kept : at + kept + 4], "big")
        while len(data) < size:
            if not 0 < following <= image.pages:
                raise DamageError
            more = image.page(following)
            if len(more) < usable:
                raise DamageError
            following = int.from_bytes(more[:4], "big")
            data += more[4 : 4 + size - len(data)]
    if len(data) != size:
        raise DamageError
    return data


def _values(data: bytes) -> list[Any]:
    end, at = _varint(data, 0)
    if not 0 < end <= len(data):
        raise DamageError
    kinds = []
    while at < end:
        kind, at = _varint(data, at)
        kinds.append(kind)
    if at != end:
        raise DamageError
    values: list[Any] = []
    for kind in kinds:
        if kind == 0:
            values.append(None)
        elif kind <= 6:
            size = _INTEGER_SIZES[kind]
            values.append(int.from_bytes(data[at : at + size], "big", signed=True))
            at += size
        elif kind == 7:
            values.append(struct.unpack(">d", data[at : at + 8])[0])
            at += 8
        elif kind in (8, 9):
            values.append(kind - 8)
        elif kind < 12:
            raise DamageError
        else:
            size = (kind - 12) // 2
            raw = data[at : at + size]
            values.append(raw.decode() if kind & 1 else raw)
            at += size
    if at != len(data):
        raise DamageError
    return values


# Which table a page belongs to


def assign(image: Image, known: dict[str, Shape]) -> dict[int, Shape]:
    """Every page that holds rows of a table: by the trees where they can be walked, else by its rows' shape."""
    found: dict[int, Shape] = {}
    walked: set[int] = {1, *_free_pages(image)}
    for _, values in _schema_rows(image):
        if len(values) == 5 and isinstance(values[3], int):
            shape = known.get(values[1]) if values[0] == "table" else None
            _walk(image, values[3], shape, found, walked)
    for number in range(2, image.pages + 1):
        if number not in walked:
            page = image.page(number)
            shape = _by_shape(image, page, number, known)
            if shape is not None:
                found[number] = shape
    return found


def _schema_rows(image: Image) -> Iterator[tuple[int, list[Any]]]:
    """The rows of sqlite_schema, of either version of its pages."""
    todo, seen = [1], set()
    while todo:
        number = todo.pop()
        if number in seen or not 0 < number <= image.pages:
            continue
        seen.add(number)
        page = image.page(number)
        todo += children(page, number)
        yield from records(image, page, number)


def _free_pages(image: Image) -> set[int]:
    """The pages of the free list, as far as it can be followed: what they hold was deleted."""
    found: set[int] = set()
    trunk = int.from_bytes(image.page(1)[32:36], "big")
    while 0 < trunk <= image.pages and trunk not in found:
        found.add(trunk)
        page = image.page(trunk)
        if len(page) < image.page_size or page[0] in _KINDS:
            break
        count = int.from_bytes(page[4:8], "big")
        if count > image.page_size // 4 - 2:
            break
        found |= {number for (number,) in struct.iter_unpack(">I", page[8 : 8 + 4 * count])}
        trunk = int.from_bytes(page[:4], "big")
    return found


def _walk(image: Image, root: int, shape: Shape | None, found: dict[int, Shape], walked: set[int]) -> None:
    """All pages below a root; a page of another kind of tree is not followed: a pointer to it is damage."""
    tables = shape is not None and shape.rowid is not None
    kinds = (TABLE_LEAF, TABLE_INTERIOR) if tables else (INDEX_LEAF, INDEX_INTERIOR)
    todo = [root]
    while todo:
        number = todo.pop()
        if number in walked or not 1 < number <= image.pages:
            continue
        page = image.page(number)
        if not page or page[0] not in kinds:
            continue  # left to its rows' shape
        walked.add(number)
        todo += children(page, number)
        if shape is not None and page[0] != TABLE_INTERIOR:
            found[number] = shape


def _by_shape(image: Image, page: bytes, number: int, known: dict[str, Shape]) -> Shape | None:
    """The one table that most of a page's first rows fit."""
    votes: dict[str, int] = defaultdict(int)
    for index, (rowid, values) in enumerate(records(image, page, number)):
        if index == 8:
            break
        for shape in known.values():
            if (shape.rowid is not None) == (page[0] == TABLE_LEAF) and shape.fit(values, rowid) is not None:
                votes[shape.name] += len(values) == len(shape.columns)
    best = max(votes, key=lambda name: votes[name], default=None)
    return known[best] if best is not None and votes[best] > 0 else None
