"""A file that only its passphrase opens: AES-256-GCM in pieces, the key by scrypt.

    "SUAT-SEALED-1\\n" | log2 of scrypt's N, u8 | salt, 16 bytes | nonce prefix, 7 bytes | pieces
    a piece: 64 KiB (the last one: what is left, perhaps nothing) + tag; nonce = prefix | number, u32 BE | 1 if the last

The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizar 2015): pieces that are swapped, left out, cut off or
taken from another file are refused, and nothing is handed out of a piece before its tag was checked.
"""

from __future__ import annotations

import io
import os
import struct
from typing import IO, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from suat.errors import SuatError, UsageError

MAGIC = b"SUAT-SEALED-1\n"
PIECE = 64 * 1024
TAG = 16
SHORTEST = 10  # characters of a passphrase
_HEADER = struct.Struct(">B16s7s")
_LOG2_N = 16  # 64 MiB and a second on a Raspberry Pi
_LOG2_N_TAKEN = range(14, 19)  # a forged header must not ask for all memory


def check_passphrase(passphrase: str) -> str:
    """The passphrase; UsageError when it is too short to protect anything."""
    if len(passphrase) < SHORTEST:
        raise UsageError(f"the passphrase has {len(passphrase)} characters; at least {SHORTEST} are needed")
    return passphrase


def _cipher(passphrase: str, log2_n: int, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt, 32, 1 << log2_n, 8, 1).derive(passphrase.encode()))


class Sealer(io.RawIOBase):
    """Seals what is written to it into `file`, which stays open. Without `close` the file stays incomplete."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        salt, self._prefix = os.urandom(16), os.urandom(7)
        self._header = MAGIC + _HEADER.pack(_LOG2_N, salt, self._prefix)
        self._aes = _cipher(check_passphrase(passphrase), _LOG2_N, salt)
        self._file, self._number = file, 0
        self._rest = bytearray()
        file.write(self._header)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._rest += data
        while len(self._rest) > PIECE:
            self._seal(bytes(self._rest[:PIECE]), last=False)
            del self._rest[:PIECE]
        return len(data)

    def finish(self) -> None:
        """Seal the last piece."""
        self._seal(bytes(self._rest), last=True)
        self._rest.clear()

    def _seal(self, piece: bytes, last: bool) -> None:
        nonce = self._prefix + struct.pack(">IB", self._number, last)
        self._file.write(self._aes.encrypt(nonce, piece, self._header))
        self._number += 1


class Unsealer(io.RawIOBase):
    """Reads what was sealed; SuatError for another passphrase or a damaged file."""

    def __init__(self, file: IO[bytes], passphrase: str, name: str) -> None:
        self._file, self._name, self._number = file, name, 0
        self._header = file.read(len(MAGIC) + _HEADER.size)
        if not self._header.startswith(MAGIC) or len(self._header) < len(MAGIC) + _HEADER.size:
            raise UsageError(f"{name}: no backup of a station; give the file that suat backup wrote")
        log2_n, salt, self._prefix = _HEADER.unpack(self._header[len(MAGIC) :])
        if log2_n not in _LOG2_N_TAKEN:
            raise SuatError(f"{name}: damaged at its begin; take another backup")
        self._aes = _cipher(passphrase, log2_n, salt)
        self._sealed = file.read(PIECE + TAG)
        self._open = b""
        self._done = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._open and not self._done:
            self._unseal()
        count = min(len(buffer), len(self._open))
        buffer[:count], self._open = self._open[:count], self._open[count:]
        return count

    def _unseal(self) -> None:
        following = self._file.read(PIECE + TAG)
        last = not following
        nonce = self._prefix + struct.pack(">IB", self._number, last)
        try:
            self._open = self._aes.decrypt(nonce, self._sealed, self._header)
        except InvalidTag:
            why = "damaged, or cut short: take another backup" if self._number else "another passphrase, or damaged"
            raise SuatError(f"{self._name}: {why}") from None
        self._number += 1
        self._sealed, self._done = following, last
