"""A station in one sealed file, made while it runs; and a station made of it again.

The journal holds the nodes' session keys, `keys.json` their root keys: no part of a backup is ever written unsealed
outside `data_dir`.

A backup is older than the station it came from. Counters that may only rise, and have risen since, must not begin again
where the backup stood: the same FCntDown under the same key would encrypt two payloads with one key stream, and a node
refuses a JoinNonce that it has seen. So a restored station skips `SKIPPED` of each, more than a station can use up in
`SAFE_DAYS`. What came up from the nodes needs no skip: their counters are ahead, and a record keeps its number.
"""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from suat import running
from suat.config import Config
from suat.errors import SuatError, UsageError
from suat.network.keys import NAME as KEYS
from suat.network.keys import RootKeys
from suat.private_file import create, replacing, sync_folder
from suat.sealed import Sealer, Unsealer
from suat.store.database import explained, open_reader, open_writer

SKIPPED = 1 << 14  # FCntDown and JoinNonce; a node follows a gap below 1 << 16
SAFE_DAYS = 50  # a downlink every 5 minutes uses up SKIPPED in 56 days
JOURNAL = "journal.db"
ABOUT = "about.json"
CONFIG = "suat.toml"
# What lies in data_dir beside the journal and is the station's own.
BESIDE = (KEYS, "pin.json", "tls/ca.key", "tls/ca.pem", "tls/board.key", "tls/board.pem")
_ROOM = 16 << 20  # bytes that stay free on the disk
_FORM = 1
_ABOUT_MOST = 64 * 1024


class About(NamedTuple):
    """What a backup says of itself."""

    station: str
    made_us: int
    schema: int
    samples: int


class Restored(NamedTuple):
    """What came out of a backup."""

    about: About
    aside: Path | None  # where what was there before lies now


def make(config: Config, config_path: Path, out: Path, passphrase: str, now_us: int, *, force: bool = False) -> About:
    """Seal the station into `out` (0600), whole or not at all; SuatError. The station may run meanwhile."""
    if out.exists() and not force:
        raise UsageError(f"{out}: is there already; choose another name, or give --force")
    if not config.journal_path.exists():
        raise SuatError(f"{config.journal_path}: there is no journal yet: nothing to back up; check data_dir")
    with _working_folder(config.station.data_dir, "backup") as work:
        with RootKeys(config.station.data_dir).changing():  # no node comes or goes between the journal and its keys
            about = _snapshot(config, work / JOURNAL, now_us)
            shutil.copy(config_path, work / CONFIG)
            for name in BESIDE:
                if (config.station.data_dir / name).exists():
                    (work / name).parent.mkdir(mode=0o700, exist_ok=True)
                    shutil.copy(config.station.data_dir / name, work / name)
        (work / ABOUT).write_text(json.dumps({"form": _FORM, **about._asdict()}))
        try:
            with replacing(out) as file:
                sealer = Sealer(file, passphrase)
                _pack(work, sealer)
                sealer.finish()
        except OSError as error:
            raise SuatError(f"{out}: {error.strerror}; write it into a folder that is there and has room") from error
    return about


def _snapshot(config: Config, target: Path, now_us: int) -> About:
    """The journal as it was at one instant (SQLite's backup in one step: writers go on, none of theirs gets in)."""
    size = config.journal_path.stat().st_size
    free = shutil.disk_usage(target.parent).free
    if free < size + _ROOM:
        raise SuatError(
            f"{target.parent}: {free >> 20} MB are free, {(size + _ROOM) >> 20} are needed; make room first"
        )
    with create(target):
        pass
    source = open_reader(config.journal_path)
    with closing(source), explained(config.journal_path), closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file
        schema = int(copy.execute("PRAGMA user_version").fetchone()[0])
        samples = int(copy.execute("SELECT count(*) FROM sample").fetchone()[0])
    return About(config.station.name, now_us, schema, samples)


def _pack(folder: Path, target: Any) -> None:
    with (
        gzip.GzipFile("", "wb", 1, target, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in (ABOUT, CONFIG, *BESIDE, JOURNAL):
            if name not in BESIDE or (folder / name).exists():
                tar.add(folder / name, name, filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def configuration(source: Path, passphrase: str) -> bytes:
    """The configuration that a backup carries: for a machine that has none yet."""
    found: list[bytes] = []

    def take(name: str, file: IO[bytes]) -> bool:
        if name == CONFIG:
            found.append(file.read())
        return not found

    _unpack(source, passphrase, take)
    if not found:
        raise SuatError(f"{source}: there is no configuration in it; write one first")
    return found[0]


def restore(config: Config, source: Path, passphrase: str, *, force: bool = False) -> Restored:
    """Make the station of a backup, whole or not at all; what was there is put aside, never deleted. SuatError."""
    folder = config.station.data_dir
    with running.claim(config):
        there = [name for name in (JOURNAL, *BESIDE) if (folder / name).exists()]
        if there and not force:
            raise UsageError(f"{folder}: a station's data are there already; give --force to put them aside")
        with _working_folder(folder, "restore") as work:
            about = _take_out(source, passphrase, work)
            _check_and_skip(work / JOURNAL, source)
            _remember_keys(folder / KEYS, work / KEYS)
            aside = _put_aside(folder) if there else None
            for name in (*BESIDE, JOURNAL):  # the journal last: without it a station is none
                if (work / name).exists():
                    (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
                    (work / name).replace(folder / name)
            sync_folder(folder)
    return Restored(about, aside)


def _take_out(source: Path, passphrase: str, work: Path) -> About:
    wanted = {ABOUT, JOURNAL, *BESIDE}
    seen: set[str] = set()

    def take(name: str, file: IO[bytes]) -> bool:
        if name in wanted:
            (work / name).parent.mkdir(mode=0o700, exist_ok=True)
            with create(work / name) as target:
                shutil.copyfileobj(file, target, 1 << 20)
            seen.add(name)
        return True

    _unpack(source, passphrase, take)
    if not {ABOUT, JOURNAL} <= seen:
        raise SuatError(f"{source}: there is no journal in it; take another backup")
    content = json.loads((work / ABOUT).read_bytes())
    if content.pop("form", 0) != _FORM:
        raise SuatError(f"{source}: made by a newer version of Suat; update this program")
    return About(**content)


def _unpack(source: Path, passphrase: str, take: Callable[[str, IO[bytes]], bool]) -> None:
    """Hand each file of a backup to `take` until it says False; SuatError."""
    try:
        with source.open("rb") as sealed:
            opened = io.BufferedReader(Unsealer(sealed, passphrase, str(source)), 1 << 16)
            with gzip.GzipFile(fileobj=opened) as squeezed, tarfile.open(fileobj=squeezed, mode="r|") as tar:
                for entry in tar:
                    file = tar.extractfile(entry) if entry.isreg() else None
                    if file is not None and not take(entry.name, file):
                        return
            opened.read()  # to the last piece: a file that was cut short must not pass
    except OSError as error:
        raise SuatError(f"{source}: {error.strerror or error}") from error
    except (tarfile.TarError, EOFError) as error:
        raise SuatError(f"{source}: damaged: {error}; take another backup") from error


def _check_and_skip(journal: Path, source: Path) -> None:
    """The journal must be whole, and of a version that this program knows; an older one is brought up to date."""
    with explained(source), closing(sqlite3.connect(journal)) as connection:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise SuatError(f"{source}: its journal is damaged: {found}; take another backup")
    with closing(open_writer(journal)) as connection, explained(journal):
        connection.execute("UPDATE session SET fcnt_down = min(fcnt_down + ?, 4294967295)", (SKIPPED,))
        connection.execute("UPDATE device SET join_nonce = min(join_nonce + ?, 16777215)", (SKIPPED,))


def _remember_keys(now: Path, restored: Path) -> None:
    """Keys that were given to nodes since the backup stay used."""
    try:
        given = set(json.loads(now.read_bytes())["used"])
        content = json.loads(restored.read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return  # none there, or damaged: the reason why someone restores
    content["used"] = sorted(given | set(content["used"]))
    restored.write_text(json.dumps(content, indent=1))


def _put_aside(folder: Path) -> Path:
    aside = folder / time.strftime("replaced-%Y%m%dT%H%M%SZ", time.gmtime())
    number = 1
    while aside.exists():
        number += 1
        aside = aside.with_name(f"{aside.name.split('.')[0]}.{number}")
    aside.mkdir(mode=0o700)
    if (folder / JOURNAL).exists():  # a power cut must not leave it without its newest transactions
        with suppress(sqlite3.Error), closing(sqlite3.connect(folder / JOURNAL)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # The WAL goes first: left behind, it would be played into the restored journal.
    for name in (f"{JOURNAL}-wal", f"{JOURNAL}-shm", JOURNAL, *BESIDE):
        if (folder / name).exists():
            (aside / name).parent.mkdir(mode=0o700, exist_ok=True)
            (folder / name).replace(aside / name)
    sync_folder(aside)
    return aside


@contextmanager
def _working_folder(data_dir: Path, what: str) -> Iterator[Path]:
    """A folder for unsealed files inside data_dir, of one command at a time; what a power cut left in it goes first."""
    folder = data_dir / f".{what}"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        held = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise SuatError(f"{folder}: {error.strerror}; the station's own user must run this: sudo -u suat") from error
    try:
        _hold(held, folder, what)
        try:
            _empty(folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(held)


def _hold(descriptor: int, folder: Path, what: str) -> None:
    """The folder is ours until its descriptor is closed; SuatError when another command has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), folder.stat()):  # else the other one has just removed it
            return
    except (BlockingIOError, FileNotFoundError):
        pass
    raise SuatError(f"{folder}: another suat {what} is at work; wait until it is done")


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
