"""How valid input is made hostile: as bytes, as text, and as a tree of JSON or TOML values.

Structure-aware: a length field gets lengths that lie, base64 gets what is nearly base64, a number gets the edges of
its type, so that what is behind the first check is reached too.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from random import Random
from typing import Any

EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
LARGEST = 65_507  # of a UDP datagram [bytes]


def _nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


SCALARS: tuple[Any, ...] = (
    *(True, False, 0, -1, 1, 2, 255, 256, -32_769, 2**31, -(2**31) - 1, 2**32, 2**53 + 1, 2**63 - 1),
    *(0.0, -0.0, 1e-320, 1.5, 865.0625, 1e308, -1e308, float("inf"), float("nan")),
    *("", " ", "0", "a", "A" * 300, "A" * 5000, "\0", "\u202e", "\U0001f404", "суат", "%s%n", "../../etc/passwd"),
    *("NaN", "1e999", "-1", "true", "null", "SF9BW125", "SF12BW500", "SF4BW7", "4/5", "LORA", "FSK"),
    *("2026-06-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "2026-02-30", "24:00", "1970-01-01"),
    *("AA==", "AA", "A", "====", "QA==QA==", "\n", "-_-_", base64.b64encode(bytes(255)).decode()),
    *([], {}, [[]], [None], {"": {}}, [0] * 300, _nested(60)),
)
BEYOND: tuple[Any, ...] = (None, 2**64, -(2**64), 10**30, "\ud800", _nested(900))  # what TOML can't say


def raw(chance: Random, data: bytes, limit: int = LARGEST) -> bytes:
    """One to four changes to bytes."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(out) + 1)
        size = chance.choice((1, 1, 2, 4, 8, 16, 64))
        what = chance.randrange(8)
        if what == 0 and at < len(out):
            out[at] ^= 1 << chance.randrange(8)
        elif what == 1 and at < len(out):
            out[at] = chance.choice(EDGES) & 0xFF
        elif what == 2:
            del out[at : at + size]
        elif what == 3:
            out[at:at] = chance.randbytes(size)
        elif what == 4:
            out[at:at] = out[at : at + size] * chance.choice((1, 2, 30))
        elif what == 5:
            del out[at:]
        elif what == 6:
            width = chance.choice((1, 2, 4))
            order = "little" if chance.random() < 0.5 else "big"
            number = chance.choice(EDGES) & (1 << 8 * width) - 1
            out[at : at + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
        else:
            other = chance.randrange(len(out) + 1)
            out[at : at + size] = out[other : other + size]
    return bytes(out[:limit])


def text(chance: Random, value: str) -> str:
    """A word that is nearly the one given."""
    what = chance.randrange(6)
    at = chance.randrange(len(value) + 1)
    if what == 0:
        return value[:at]
    if what == 1:
        return value[:at] + chance.choice(("=", " ", "\n", "\0", "A", "é", "-", ".", '"', "\\")) + value[at:]
    if what == 2:
        return value * chance.choice((2, 3, 100))
    if what == 3:
        return value.swapcase()
    if what == 4:
        return base64.b64encode(raw(chance, _decoded(value), 400)).decode()
    return value[:at] + value[at + 1 :]


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value)
    except ValueError:
        return value.encode(errors="replace")


def leaf(chance: Random, value: Any, hostile: Sequence[Any] = SCALARS + BEYOND) -> Any:
    """A value in the place of another."""
    if chance.random() < 0.4:
        if isinstance(value, str):
            return text(chance, value)
        if type(value) is int:
            return chance.choice(
                (value + 1, value - 1, -value, value * 1000, value % 1_000_003 + 0.5, str(value), value << 32)
            )
        if type(value) is float and math.isfinite(value):
            return chance.choice((-value, value * 1e6, round(value), str(value), value + 1e-9))
    return chance.choice(hostile)


def tree(chance: Random, value: Any, hostile: Sequence[Any] = SCALARS + BEYOND) -> Any:
    """One change somewhere in a tree; what is changed is copied."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        out = dict(value)
        what = chance.random()
        if what < 0.08:
            del out[key]
        elif what < 0.16:
            out[text(chance, key)] = out.pop(key)
        elif what < 0.24:
            out[chance.choice(("", "x", "kind", "data", "time", key + "_file"))] = chance.choice(hostile)
        else:
            out[key] = tree(chance, value[key], hostile)
        return out
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        what = chance.random()
        if what < 0.1:
            return value[:at] + value[at + 1 :]
        if what < 0.2:
            return value * chance.choice((2, 3, 20))
        if what < 0.3:
            return [*value, chance.choice(hostile)]
        return [*value[:at], tree(chance, value[at], hostile), *value[at + 1 :]]
    return leaf(chance, value, hostile)


def as_json(chance: Random, value: Any) -> bytes:
    """JSON as programs write it, or nearly."""
    spaces = chance.choice(((",", ":"), (", ", ": ")))
    said = json.dumps(value, separators=spaces, ensure_ascii=chance.random() < 0.7).encode(errors="surrogatepass")
    return raw(chance, said) if chance.random() < 0.1 else said
