"""Settings that downlinks changed: accepted ones, and those on trial with the way back.

One file, replaced as a whole (tmp, then rename), little-endian:

    "SET1" | u8 uplinks left | u8 ADR before | u8 data rate before | u32 since | u8 length | accepted | trial | CRC-32

`accepted` (of that length) and `trial` are FPort 5 payloads, or nothing. `since`: node clock when the trial, or this
start in the middle of it, began. A damaged file counts as none: the configuration holds, and `health.config` tells.
"""

import os
import struct
from binascii import crc32

from micropython import const
from suat_wire.control import SETTINGS, decode_config
from suat_wire.fields import KINDS

UPLINKS = const(8)  # without an answer, or restarts: then the trial has failed
_LONGEST_S = const(3600)  # between samples while anything is on trial
_HEAD = "<4sBBBIB"
_HEAD_SIZE = const(12)
_MAGIC = b"SET1"


class Settings:
    """`accepted` and `trial`: {name: value}; `trial` is empty but while something is tried."""

    def __init__(self, folder: str) -> None:
        self.path = folder + "/settings"
        self.clear()
        try:
            with open(self.path, "rb") as file:
                self._unpack(file.read())
        except (OSError, ValueError):
            self.clear()

    def clear(self) -> None:
        """As if no downlink had ever come; `save` makes it last."""
        self.accepted: "dict[str, int]" = {}
        self.trial: "dict[str, int]" = {}
        self.left = self.adr = self.dr = self.since = 0

    def _unpack(self, blob: bytes) -> None:
        magic, self.left, self.adr, self.dr, self.since, size = struct.unpack_from(_HEAD, blob, 0)
        if magic != _MAGIC or crc32(blob[:-4]) != struct.unpack_from("<I", blob, len(blob) - 4)[0]:
            raise ValueError
        self.accepted = _decode(blob[_HEAD_SIZE : _HEAD_SIZE + size])
        self.trial = _decode(blob[_HEAD_SIZE + size : -4])

    def save(self) -> bool:
        """Onto flash; False when that does not take it."""
        accepted = _encode(self.accepted)
        blob = struct.pack(_HEAD, _MAGIC, self.left, self.adr, self.dr, self.since & 0xFFFFFFFF, len(accepted))
        blob += accepted + _encode(self.trial)
        try:
            with open(self.path + ".tmp", "wb") as file:
                file.write(blob + struct.pack("<I", crc32(blob)))
            os.rename(self.path + ".tmp", self.path)
        except OSError:
            return False
        return True

    def value(self, name: str, configured: "dict[str, int]") -> int:
        """The value in force."""
        value = self.trial.get(name, self.accepted.get(name, configured[name]))
        return min(value, _LONGEST_S) if self.trial and name == "interval_s" else value

    def digest(self) -> int:
        """What health tells of the accepted ones: CRC-32 of the FPort 5 payload that gives them all; 0: none."""
        return int(crc32(_encode(self.accepted)))

    def begin(self, changes: "dict[str, int]", adr: bool, dr: int, now: int) -> bool:
        """Put changes on trial; `adr`, `dr`: what to go back to. False: flash does not take it, nothing is changed."""
        self.trial, self.left, self.adr, self.dr, self.since = changes, UPLINKS, int(adr), dr, now
        if not self.save():
            self.trial = {}
            return False
        return True

    def count(self, now: "int | None" = None) -> None:
        """One uplink without an answer or, with `now`, one cold start, after which the clock has begun anew."""
        self.left = max(0, self.left - 1)
        if now is not None:
            self.since = now
        self.save()

    def accept(self) -> None:
        """The trial is over: it holds from now on."""
        self.accepted.update(self.trial)
        self.trial = {}
        self.save()

    def forget(self, names: "tuple[str, ...] | None" = None) -> None:
        """Without these (None: all) of what downlinks gave: somebody at the node set them, or other keys came."""
        if not self.accepted and not self.trial:
            return
        if names is None:
            self.clear()
        else:
            for table in (self.accepted, self.trial):
                for name in names:
                    table.pop(name, None)
        self.save()


def _encode(settings: "dict[str, int]") -> bytes:
    """FPort 5 payload; the values come from one, so that all fit."""
    out = b""
    for number, name, kind, _low, _high, _unit in SETTINGS:
        if name in settings:
            packed = struct.pack("<" + KINDS[kind][0], settings[name])
            out += bytes((number, len(packed))) + packed
    return out


def _decode(data: bytes) -> "dict[str, int]":
    return decode_config(data) if data else {}
