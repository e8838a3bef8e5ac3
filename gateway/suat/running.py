"""One station at a time on a data folder, and how a command sees that it runs.

The lock is the kernel's (flock on `data_dir/station.lock`): it is gone with the process, however that ended. The file's
content says who holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from suat.config import Config
from suat.errors import SuatError
from suat.tables import Bound

NAME = "station.lock"


class Running(NamedTuple):
    """The station that holds a data folder."""

    pid: int
    binds: frozenset[str]  # the addresses it holds


@contextlib.contextmanager
def claim(config: Config) -> Iterator[None]:
    """Hold the data folder; SuatError when another station does, or it can't be written."""
    path = config.station.data_dir / NAME
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SuatError(f"{path}: {error.strerror}; check data_dir and its owner") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _read(path)
            raise SuatError(
                f"{path.parent}: a station runs on it already{f' (process {other.pid})' if other else ''};"
                " stop that one, or give this one a data_dir of its own"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps({"pid": os.getpid(), "binds": sorted(binds(config))}).encode())
        yield
    finally:
        os.close(descriptor)


def seen(config: Config) -> Running | None:
    """The station that runs on this configuration's data folder, None when there is none."""
    path = config.station.data_dir / NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    finally:
        os.close(descriptor)
    return None


def binds(config: Config) -> set[str]:
    """Every address that a station with this configuration holds."""
    return {entry.bind for entry in config.ingest if isinstance(entry, Bound)} | {config.board.bind}


def _read(path: Path) -> Running | None:
    try:
        content = json.loads(path.read_bytes())
        return Running(int(content["pid"]), frozenset(map(str, content["binds"])))
    except (OSError, ValueError, KeyError, TypeError):  # it is only just starting
        return None
