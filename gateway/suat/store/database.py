"""The journal's file: opened with the durability that is promised, its schema brought up to date.

WAL with synchronous FULL: a commit that returned survives a power cut. A file that another process holds is waited
for; it is never renamed or replaced.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from suat.errors import SuatError

log = logging.getLogger(__name__)

BUSY_S = 10.0  # how long another process's transaction is waited for

_advice = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space; nothing is lost meanwhile that was acknowledged",
    sqlite3.SQLITE_IOERR: "the disk failed: check the card, its fastening and the supply",
    sqlite3.SQLITE_BUSY: "another process holds it: wait for it, or end it",
    sqlite3.SQLITE_LOCKED: "another process holds it: wait for it, or end it",
    sqlite3.SQLITE_READONLY: "it can't be written: check the owner and the mount",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened: check the path and its owner",
    sqlite3.SQLITE_CORRUPT: "it is damaged: start the station again, and it saves what can be read",
    sqlite3.SQLITE_NOTADB: "it is no journal: look at data_dir",
}
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class JournalError(SuatError):
    """The journal could not be read or written; what was asked did not happen and may be tried again."""

    def __init__(self, message: str, *, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient  # False: trying again is of no use (damage, a fault in the request)


def explain(path: Path, error: sqlite3.Error) -> JournalError:
    """SQLite's error as one of ours: where, what, and what to do."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_IOERR and _disk_is_full(path):
        code = sqlite3.SQLITE_FULL  # as it seems to be when a side file finds no room
    advice = _advice.get(code)
    if code == sqlite3.SQLITE_CORRUPT:
        with contextlib.suppress(OSError):
            damage_note(path).write_text(f"{error}\n")
    stuck = isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)) or code in DAMAGED
    return JournalError(f"{path}: {error}{'; ' + advice if advice else ''}", transient=not stuck)


def damaged(path: Path, what: str) -> JournalError:
    """What SQLite gives back and can't have been written: the next start of the station saves what can be read."""
    with contextlib.suppress(OSError):
        damage_note(path).write_text(f"{what}\n")
    return JournalError(f"{path}: {what}; {_advice[sqlite3.SQLITE_CORRUPT]}", transient=False)


def _disk_is_full(path: Path) -> bool:
    try:
        return os.statvfs(path.parent).f_bavail == 0
    except OSError:
        return False


def damage_note(path: Path) -> Path:
    """The file that says the journal was found damaged while it was used; the next start of the station mends it."""
    return path.with_name(path.name + ".damaged")


def beside(path: Path, name: object) -> Path:
    """A file that the journal names, in its own folder, whatever a damaged row says."""
    return path.parent / Path(str(name)).name


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into JournalError."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(path, error) from error
    except UnicodeDecodeError as error:  # SQLite does not look into texts
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> JournalError:
    """A row that SQLite gives back and that can't be what was written."""
    text = f"{path}: a row can't be read ({type(error).__name__}: {error}); restore a backup"
    return JournalError(text, transient=False)


def open_writer(path: Path, durable: bool = True) -> sqlite3.Connection:
    """Create the file if need be (0600 in a 0700 folder), bring its schema up to date; JournalError.

    Not `durable`: a power cut may take the last seconds, as a demo can bear. The file stays sound either way.
    """
    try:
        _prepare(path)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}; check data_dir and its owner") from error
    with explained(path):
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            if not path.stat().st_size:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # it writes, even when the file has it already
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            migrate(connection, path)
            sync_folder(path.parent)  # else a power cut could bring back a journal that SQLite had done with
        except OSError as error:
            connection.close()
            raise JournalError(f"{path}: {error.strerror}; {_advice[sqlite3.SQLITE_IOERR]}") from error
        except BaseException:
            connection.close()
            raise
    return connection


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed and removed in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that can't write; the file must exist. JournalError."""
    if not path.exists():
        raise JournalError(f"{path}: there is no journal yet; start the station, or check data_dir")
    with explained(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA query_only = ON")
            version = _version(connection)
        except BaseException:
            connection.close()
            raise
    if version != len(_migrations()):
        connection.close()
        raise JournalError(_foreign(path, version), transient=False)
    return connection


def _prepare(path: Path) -> None:
    """Folder and file with nobody else's rights, whatever the umask; SQLite gives its side files the file's mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent.stat().st_uid == os.geteuid():
        path.parent.chmod(0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if path.stat().st_uid == os.geteuid():
        path.chmod(0o600)


def _migrations() -> list[str]:
    """The scripts of `schema/`, in order: `0001_*.sql` makes version 1, and so on without gaps."""
    files = sorted(
        (entry for entry in resources.files("suat.store").joinpath("schema").iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    return [entry.read_text(encoding="utf-8") for entry in files]


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _foreign(path: Path, version: int) -> str:
    known = len(_migrations())
    what = "a newer" if version > known else "an older"
    todo = "update this program" if version > known else "start the station once"
    return f"{path}: written by {what} version of Suat (schema {version}, this one knows {known}); {todo}"


def schema_script() -> list[str]:
    """Every statement that makes today's tables."""
    return [statement for script in _migrations() for statement in statements(script)]


def schema_text(version: int) -> tuple[bool, dict[str, str]]:
    """(whether this program knows the version, SQL of its tables and indices by name; else of the newest it knows)."""
    scripts = _migrations()
    known = 0 <= version <= len(scripts)  # a flipped bit makes it negative
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for script in scripts[: version if known else None]:
            for statement in statements(script):
                connection.execute(statement)
        found = dict(connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
    return known, found


def statements(script: str) -> list[str]:
    """The single statements of a script (`executescript` would commit halfway)."""
    found, statement = [], ""
    for piece in re.split(r"(?<=;)", script):
        statement += piece
        if sqlite3.complete_statement(statement):  # not within a trigger, a text or a comment
            found.append(statement.strip())
            statement = ""
    return found


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply what is missing, each script whole or not at all; two processes at once do it once."""
    scripts = _migrations()
    if _version(connection) < 0:
        raise JournalError(_foreign(path, _version(connection)), transient=False)
    if 0 < _version(connection) < len(scripts):
        megabytes = path.stat().st_size / 1e6
        log.warning("%s: brought up to date, %.0f MB; the station starts when that is done", path, megabytes)
    while (version := _version(connection)) < len(scripts):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) == version:
                for statement in statements(scripts[version]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    if version > len(scripts):
        raise JournalError(_foreign(path, version), transient=False)
