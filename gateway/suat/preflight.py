"""What a valid configuration still needs from the machine: files it can read, ports it can have, a place to write."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from suat import running
from suat.config import Config
from suat.quality.limits import unmet
from suat.serial_line import port_fault as line_fault
from suat.store.journal import JournalError
from suat.store.reader import Reader
from suat.store.tables import OWN
from suat.tables import Bound, host_port


def faults(config: Config) -> list[str]:
    """One line for each thing that would keep the station from starting."""
    return [*secrets(config), *data_dir(config.station.data_dir), *ports(config)]


def secrets(config: Config) -> list[str]:
    """Token and password files that can't be read, are empty, or open to others."""
    tables: list[tuple[str, Any]] = [(f'ingest "{entry.kind}"', entry) for entry in config.ingest]
    tables += [(name if name == OWN else f'sink "{name}"', table) for name, table in config.sinks.items()]
    lines = []
    for where, table in tables:
        for key in ("token_file", "password_file", "key_file"):
            path: Path | None = getattr(table, key, None)
            if path is None:
                continue
            try:
                content = path.read_text()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not text"
                lines.append(
                    f"{where}.{key}: {path}: {reason}; write the secret into it, readable by the station alone"
                )
                continue
            if not content.strip():
                lines.append(f"{where}.{key}: {path} is empty; write the secret into it")
            elif path.stat().st_mode & 0o077:
                lines.append(f"{where}.{key}: {path} can be read by others; run: chmod 600 {path}")
    return lines


def data_dir(path: Path) -> list[str]:
    """Whether the station can write where it keeps its data."""
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not existing.is_dir():
        return [f"station.data_dir: {existing} is a file; name a folder"]
    try:
        with tempfile.TemporaryFile(dir=existing):  # leaves nothing behind
            pass
    except OSError as error:
        return [f"station.data_dir: {existing}: {error.strerror}; choose another folder or change its owner"]
    return [
        f"station.data_dir: {file} can't be read and written by this user; run: chown {os.geteuid()} {file}"
        for file in sorted(path.glob("journal.db*")) + sorted(path.glob("keys.json"))
        if not os.access(file, os.R_OK | os.W_OK)
    ]


def idle_limits(config: Config) -> list[str]:
    """Rows of [[limits]] whose node or probe is not registered: no fault, for it may come."""
    if not config.limits or not config.journal_path.exists():
        return []
    with contextlib.suppress(JournalError), Reader(config.journal_path) as reader:
        return unmet(config.limits, reader.devices())
    return []  # the journal's own faults are told by others


def ports(config: Config) -> list[str]:
    """Addresses that can't be had; the station's own, while it runs, are no fault."""
    station = running.seen(config)
    own = station.binds if station else frozenset()
    listening: list[Any] = [entry for entry in config.ingest if isinstance(entry, Bound)]
    wanted = [(f'ingest "{entry.kind}".bind', entry.bind, socket.SOCK_DGRAM) for entry in listening]
    wanted.append(("board.bind", config.board.bind, socket.SOCK_STREAM))
    return [line for where, bind, kind in wanted if bind not in own and (line := port_fault(where, bind, kind))]


def devices(config: Config) -> list[str]:
    """Serial ports that are not there, or that this user may not open."""
    named = [(entry.kind, getattr(entry, "port", None)) for entry in config.ingest]
    return [
        f'ingest "{kind}".port: {line}'
        for kind, port in named
        if isinstance(port, str) and (line := line_fault(port)) is not None
    ]


def port_fault(where: str, bind: str, kind: socket.SocketKind) -> str | None:
    """Why HOST:PORT can't be had, None when it can; ValueError when it is not of that form."""
    host, port = host_port(bind)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return f"{where}: {bind}: {reason}; stop the program that holds it, or choose another"
    return None
