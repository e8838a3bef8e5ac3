"""What a door looks like to the fuzzer."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from random import Random
from typing import Any, Protocol

LINK_LIMIT = 1024  # bytes that the station may hold for one link between two inputs


class BrokenError(AssertionError):
    """The station did not raise, but is not well any more."""


class Target(Protocol):
    """One door. `feed` may raise nothing but `refusals`."""

    refusals: tuple[type[Exception], ...]
    chunk: int  # cases between two looks at its health

    def __init__(self, folder: Path, chance: Random) -> None: ...

    def make(self, chance: Random) -> Any:
        """A hostile input."""

    def feed(self, case: Any) -> None:
        """Hand it in."""

    def look(self) -> int | None:
        """The most bytes held for one link, None where there is none; BrokenError when it is not well."""

    def reached(self) -> dict[str, int]:
        """How far the cases came: a fuzzer that is turned away at the gate proves nothing."""

    def close(self) -> None: ...


class Complaints(logging.Handler):
    """Tracebacks that were logged instead of raised: a crash all the same."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._loggers = [logging.getLogger(name) for name in names]
        for logger in self._loggers:
            logger.addHandler(self)
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.found.append(f"{record.getMessage()}: {record.exc_info[1]!r}")

    def check(self) -> None:
        """BrokenError when there was one since the last call."""
        found, self.found = self.found, []
        if found:
            raise BrokenError(found[0])

    def stop(self) -> None:
        """Listen no more."""
        for logger in self._loggers:
            logger.removeHandler(self)
            logger.propagate = True


def size_of(value: Any, seen: set[int] | None = None) -> int:
    """Bytes of a value with all that it holds."""
    seen = set() if seen is None else seen
    if id(value) in seen or value is None or isinstance(value, (int, type)):
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(size_of(part, seen) for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple, set, frozenset)):
        return size + sum(size_of(part, seen) for part in value)
    for holder in (type(value).__mro__, ()):
        for cls in holder:
            for name in getattr(cls, "__slots__", ()):
                size += size_of(getattr(value, name, None), seen)
    return size + (size_of(vars(value), seen) if hasattr(value, "__dict__") else 0)
