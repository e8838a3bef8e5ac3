"""Root keys (OTAA AppKey), in a file of their own: `data_dir/keys.json`, 0600.

Session keys lie in the journal, since they change with each join and belong to the same transaction. The file also
remembers the SHA-256 of each key that was ever given to a device: a key used twice would let recorded frames of the
first device count as frames of the second.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from suat.errors import SuatError

log = logging.getLogger(__name__)

NAME = "keys.json"


class RootKeys:
    """The key file of a station. Read and written as a whole; a change is a new file put in the place of the old."""

    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir
        self._path = data_dir / NAME

    def __repr__(self) -> str:
        return f"RootKeys({self._path})"

    def app_keys(self) -> dict[str, bytes]:
        """AppKey by DevEUI (16 hex digits, lower case)."""
        return self._read()[0]

    def was_used(self, key: bytes) -> bool:
        """Whether this key was ever given to a device of this station."""
        return _fingerprint(key) in self._read()[1]

    def add(self, dev_eui: str, app_key: bytes | None, used: Iterable[bytes]) -> None:
        """Keep the AppKey of a device (None: it has none) and remember all keys in `used`."""
        with self._locked():
            app_keys, fingerprints = self._read()
            app_keys.pop(dev_eui, None)
            if app_key is not None:
                app_keys[dev_eui] = app_key
            self._write(app_keys, fingerprints | {_fingerprint(key) for key in used})

    def remove(self, dev_eui: str) -> None:
        """Forget the AppKey of a device; its fingerprint stays."""
        with self._locked():
            app_keys, fingerprints = self._read()
            if app_keys.pop(dev_eui, None) is not None:
                self._write(app_keys, fingerprints)

    def _read(self) -> tuple[dict[str, bytes], set[str]]:
        try:
            mode = self._path.stat().st_mode
            content = json.loads(self._path.read_bytes())
            app_keys = {str(eui): bytes.fromhex(key) for eui, key in content["app_keys"].items()}
            fingerprints = {str(print_) for print_ in content["used"]}
        except FileNotFoundError:
            return {}, set()
        except OSError as error:
            raise SuatError(f"{self._path}: {error.strerror}; the daemon's user must own it") from error
        except (ValueError, KeyError, TypeError, AttributeError):
            # `from None`: the cause would carry the file's content into a traceback.
            raise SuatError(f"{self._path}: damaged; restore it from a backup, or add the nodes anew") from None
        if mode & 0o077:
            log.warning(
                "%s could be read by others (mode %o); closed now, change the keys in it", self._path, mode & 0o777
            )
            self._path.chmod(0o600)
        return app_keys, fingerprints

    def _write(self, app_keys: dict[str, bytes], fingerprints: set[str]) -> None:
        """Whole and durable, or not at all: a power cut leaves the old file or the new one."""
        text = json.dumps(
            {"app_keys": {eui: key.hex() for eui, key in sorted(app_keys.items())}, "used": sorted(fingerprints)},
            indent=1,
        )
        fresh = self._path.with_suffix(".new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(descriptor, 0o600)
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            fresh.replace(self._path)
            _sync_dir(self._dir)
        except OSError as error:
            raise SuatError(f"{self._path}: can't be written: {error.strerror}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time changes the file."""
        try:
            self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._dir, os.O_RDONLY)
        except OSError as error:
            raise SuatError(f"{self._dir}: {error.strerror}; it must be a folder that you may write to") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _fingerprint(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


def _sync_dir(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
