"""Updates: what is in /update is verified, becomes the spare slot and is tried; the loader (suat_boot) calls `install`.

A bundle is a folder of .mpy files and the file `manifest`, in lines:

    suat 1                          form of the bundle
    version 0.2
    state 1                         form of what the firmware keeps in /suat
    mpy 6                           bytecode that the interpreter must take
    SHA-256 suat_node/node.mpy      for each file, by name
    SHA-256                         of all lines before

Nothing but these files may be in it, and the empty file `older`, with which a technician allows a lower version.
Confirmed or rolled back, counters, session, samples and settings stay: they are in /suat and /suat.json.
"""

import hashlib
import os
import sys
from binascii import hexlify

import machine
from micropython import const

import suat_node
from suat_node import power

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_boot.main import Slots

    from suat_node.node import Node

_FOLDER = const(0x4000)  # in what ilistdir says of an entry
_UPDATE = "/update"
_PIECE = const(512)
_ROLLED_BACK = const(128)  # bit of suat_wire.document.EVENTS


class UpdateError(ValueError):
    """The bundle cannot be used; the message says why."""


def install(slots: "Slots") -> None:
    """Make the bundle the spare slot and restart into it; a bad one is removed, with one line that says why."""
    spare = "/" + slots.spare()
    try:
        version = verify(_UPDATE)
    except UpdateError as error:
        print("suat: update refused:", error)
        _remove(_UPDATE)
        return
    _remove(spare)
    slots.begin()  # first: without the slot in its place the loader comes here again
    os.rename(_UPDATE, spare)
    print("suat: version %s starts on trial" % version)
    machine.reset()


def verify(folder: str) -> str:
    """The version of the bundle in a folder; UpdateError unless all of it is whole and fits this node."""
    head, names = _manifest(folder + "/manifest")
    for name, want in (("suat", 1), ("mpy", getattr(sys.implementation, "_mpy", 0) & 255), ("state", suat_node.STATE)):
        if head.get(name) != str(want):
            raise UpdateError("%s is %s, this node takes %d" % (name, head.get(name), want))
    found = _files(folder, "")
    older = "older" in found
    if sorted(found) != sorted(list(names) + (["manifest", "older"] if older else ["manifest"])):
        raise UpdateError("its files are not those of the manifest: copy it again")
    for name in names:
        if _digest(folder + "/" + name) != names[name]:
            raise UpdateError("%s is damaged: copy it again" % name)
    version = head.get("version", "")
    if _numbers(version) < suat_node.VERSION and not older:
        raise UpdateError("version %s is older than %d.%d" % ((version,) + suat_node.VERSION))
    return version


def watch(node: "Node") -> None:
    """At each wake while the loader has handed over its slots: end a trial that failed, tell of one that did."""
    slots = suat_node.boot
    if slots is None:
        return
    if slots.on_trial():
        if slots.over(power.clock()):
            slots.roll_back()
            machine.reset()
        return
    node.counters.events |= _ROLLED_BACK
    node.counters.health_at = 0
    try:
        node.counters.save(node.session)
        slots.told()
    except OSError:  # flash is full: tried again at the next start
        pass
    suat_node.boot = None


def confirm() -> None:
    """The network acknowledged an uplink of the firmware that runs: if it is on trial, it stays."""
    slots = suat_node.boot
    if slots is not None and slots.on_trial():
        try:
            slots.confirm()
        except OSError:
            return  # the next acknowledgement confirms it
        suat_node.boot = None


def _manifest(path: str) -> "tuple[dict[str, str], dict[str, str]]":
    """({word: value}, {file: SHA-256}); UpdateError unless its last line is its own hash."""
    head: "dict[str, str]" = {}
    names: "dict[str, str]" = {}
    own = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for line in file:
                words = line.decode().split()
                if len(words) == 1 and words[0].encode() == hexlify(own.digest()) and not file.read(1):
                    return head, names
                own.update(line)
                value, name = words
                if len(value) == 64:
                    names[name] = value
                else:
                    head[value] = name
    except (OSError, ValueError):  # UnicodeError is one
        pass
    raise UpdateError("the manifest is missing or damaged: copy the update again")


def _numbers(version: str) -> "tuple[int, int]":
    try:
        major, minor = version.split(".")
        return int(major), int(minor)
    except ValueError:
        raise UpdateError("version %s is none" % version)


def _digest(path: str) -> str:
    own = hashlib.sha256()
    power.feed()
    with open(path, "rb") as file:
        while True:
            piece = file.read(_PIECE)
            if not piece:
                return hexlify(own.digest()).decode()
            own.update(piece)


def _files(folder: str, inside: str) -> "list[str]":
    """The names of all files, with the folders they are in."""
    out = []
    for entry in os.ilistdir(folder + "/" + inside):
        name = inside + entry[0]
        out += _files(folder, name + "/") if entry[1] == _FOLDER else [name]
    return out


def _remove(path: str) -> None:
    """A file, or a folder with all in it, the manifest first: a part of a slot must not pass for the whole."""
    power.feed()
    try:
        os.remove(path)
        return
    except OSError:  # a folder, or nothing
        pass
    try:
        names = os.listdir(path)
    except OSError:
        return
    names.sort(key=lambda name: name != "manifest")
    for name in names:
        _remove(path + "/" + name)
    os.rmdir(path)
