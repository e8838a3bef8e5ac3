"""Root keys (OTAA AppKey), in a file of their own: `data_dir/keys.json`, 0600.

Session keys lie in the journal, since they change with each join and belong to the same transaction. The file also
remembers the SHA-256 of each key that was ever given to a node, so that none is given twice.
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
from suat.private_file import replacing

log = logging.getLogger(__name__)

NAME = "keys.json"


class HeldKeys:
    """The key file's content, while one command changes it; nothing is kept before `save`."""

    def __init__(self, path: Path, app_keys: dict[str, bytes], used: set[str]) -> None:
        self._path = path
        self._app_keys = app_keys
        self._used = used

    def __repr__(self) -> str:
        return f"HeldKeys({self._path})"

    def copy(self) -> HeldKeys:
        """The content as it is now, to go back to."""
        return HeldKeys(self._path, dict(self._app_keys), set(self._used))

    def app_keys(self) -> dict[str, bytes]:
        """AppKey by DevEUI (16 hex digits, lower case)."""
        return dict(self._app_keys)

    def was_used(self, key: bytes) -> bool:
        """Whether this key was ever given to a node of this station."""
        return _fingerprint(key) in self._used

    def add(self, dev_eui: str, app_key: bytes | None, used: Iterable[bytes]) -> None:
        """Hold the AppKey of a node (None: it never joins), and remember all keys in `used`."""
        self._app_keys.pop(dev_eui, None)
        if app_key is not None:
            self._app_keys[dev_eui] = app_key
        self._used |= {_fingerprint(key) for key in used}

    def remove(self, dev_eui: str) -> None:
        """Forget the AppKey of a node; its fingerprint stays."""
        self._app_keys.pop(dev_eui, None)

    def save(self) -> None:
        """Whole and durable, or not at all: a power cut leaves the old file or the new one. SuatError."""
        text = json.dumps(
            {"app_keys": {eui: key.hex() for eui, key in sorted(self._app_keys.items())}, "used": sorted(self._used)},
            indent=1,
        )
        try:
            with replacing(self._path) as file:
                file.write(text.encode())
        except OSError as error:
            raise SuatError(f"{self._path}: can't be written: {error.strerror}") from error


class RootKeys:
    """The key file of a station."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / NAME

    def __repr__(self) -> str:
        return f"RootKeys({self._path})"

    def read(self) -> HeldKeys:
        """What the file holds; SuatError when it can't be read or is damaged."""
        try:
            mode = self._path.stat().st_mode
            content = json.loads(self._path.read_bytes())
            app_keys = {str(eui): bytes.fromhex(key) for eui, key in content["app_keys"].items()}
            used = {str(fingerprint) for fingerprint in content["used"]}
        except FileNotFoundError:
            return HeldKeys(self._path, {}, set())
        except OSError as error:
            raise SuatError(f"{self._path}: {error.strerror}; the station's own user must own it") from error
        except (ValueError, KeyError, TypeError, AttributeError):
            # `from None`: the cause would carry the file's content into a traceback.
            raise SuatError(f"{self._path}: damaged; restore it from a backup, or register the nodes anew") from None
        if mode & 0o077:
            log.warning("%s could be read by others (mode %o): closed now, change its keys", self._path, mode & 0o777)
            self._path.chmod(0o600)
        return HeldKeys(self._path, app_keys, used)

    @contextlib.contextmanager
    def changing(self) -> Iterator[HeldKeys]:
        """The content, for one command at a time to change and `save`."""
        folder = self._path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise SuatError(f"{folder}: {error.strerror}; it must be a folder that you may write to") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self.read()
        finally:
            os.close(descriptor)


def _fingerprint(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()
