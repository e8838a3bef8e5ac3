"""/main.py of the board: chooses the firmware that runs. Put there when the board is set up and never changed after.

Firmware lies in the folder /a or /b, or in neither: beside this file or frozen ("-"). The file /slot says which:

    ACTIVE TRIAL STARTS SINCE ROLLED_BACK CRC-32          such as "a b 2 820454400 0 3026418949"

A folder /update is offered to the running firmware at a cold start; docs/updates.md tells the rest. An update on trial
must be confirmed by the firmware in it within STARTS cold starts, each at most HOURS long; else it is not started any
more. Firmware that cannot be imported gives way to another that can.
"""

import os
import sys
import time
from binascii import crc32

import machine

STARTS = 3
HOURS = 24
WDT_MS = 8300
PAUSE_S = 60

_FILE = "/slot"
_NONE = "-"


class Slots:
    """What /slot says. The firmware finds it as `suat_node.boot` while there is something for it to do."""

    def __init__(self) -> None:
        self.active = self.trial = _NONE
        self.starts = self.since = self.rolled_back = 0
        try:
            with open(_FILE) as file:
                body, crc = file.read().rsplit(" ", 1)
            if int(crc) == crc32(body.encode()):
                self.active, self.trial, starts, since, rolled_back = body.split(" ")
                self.starts, self.since, self.rolled_back = int(starts), int(since), int(rolled_back)
        except (OSError, ValueError):
            pass

    def save(self) -> None:
        """Replace the file; OSError: it is as it was."""
        fields = (self.active, self.trial, self.starts, self.since, self.rolled_back)
        body = "%s %s %d %d %d" % fields
        with open(_FILE + ".tmp", "w") as file:
            file.write("%s %d" % (body, crc32(body.encode())))
        os.rename(_FILE + ".tmp", _FILE)

    def on_trial(self) -> bool:
        """Whether the firmware that runs has yet to be confirmed."""
        return self.trial != _NONE

    def over(self) -> bool:
        """Whether the trial has lasted too long."""
        return self.starts < 0 or not 0 <= time.time() - self.since < HOURS * 3600

    def spare(self) -> str:
        """The slot that an update may overwrite."""
        return "b" if self.active == "a" else "a"

    def begin(self) -> None:
        """Put the spare slot on trial from the next start on."""
        self.trial, self.starts = self.spare(), STARTS
        self.save()

    def confirm(self) -> None:
        """The update on trial stays."""
        self.active, self.trial = self.trial, _NONE
        self.save()

    def roll_back(self) -> None:
        """The update on trial is given up."""
        self.trial, self.rolled_back = _NONE, 1
        self.save()

    def told(self) -> None:
        """The network will hear of the roll-back."""
        self.rolled_back = 0
        self.save()


def run() -> None:
    """Start the firmware; returns only when its configuration cannot be used."""
    slots = Slots()
    cold = machine.reset_cause() != getattr(machine, "DEEPSLEEP_RESET", -1)
    if slots.on_trial():
        _count(slots, cold)
    order = [slots.trial] if slots.on_trial() else []
    order += [slots.active] + [slot for slot in ("a", "b", _NONE) if slot != slots.active]
    for slot in order:
        if slot != _NONE and not _holds_firmware(slot):
            continue
        if not slots.on_trial() and slot != slots.active:
            slots.active, slots.rolled_back = slot, 1
            _try(slots.save)
        if _try(lambda: _start(slot, slots, cold)):  # noqa: B023 - called at once
            return
        _forget(slot)
        if slots.on_trial():
            _try(slots.roll_back)
    time.sleep(PAUSE_S)
    machine.reset()


def _count(slots: Slots, cold: bool) -> None:
    """Whether the trial goes on is decided here, where no update reaches."""
    if cold:
        slots.starts -= 1
        slots.since = int(time.time())
    if slots.over():
        _try(slots.roll_back)
    elif cold and not _try(slots.save):
        slots.trial = _NONE  # a start that can't be counted is not made
    else:
        machine.WDT(timeout=WDT_MS)


def _start(slot: str, slots: Slots, cold: bool) -> None:
    if slot != _NONE:
        sys.path.insert(0, "/" + slot)
    import suat_node

    if cold and "update" in os.listdir("/") and not slots.on_trial():
        from suat_node.keep.slots import install

        _try(lambda: install(slots))
    if slots.on_trial() or slots.rolled_back:
        suat_node.boot = slots
    import suat_node.main  # noqa: F401 - it is the program


def _try(call) -> bool:  # type: ignore[no-untyped-def]
    """False, with the traceback on the console, when it failed."""
    try:
        call()
    except Exception as error:
        sys.print_exception(error)
        return False
    return True


def _holds_firmware(slot: str) -> bool:
    try:
        os.stat("/" + slot + "/manifest")
    except OSError:
        return False
    return True


def _forget(slot: str) -> None:
    """Of a failed import nothing stays."""
    for name in list(sys.modules):
        if name.startswith("suat_"):
            del sys.modules[name]
    if "/" + slot in sys.path:
        sys.path.remove("/" + slot)


if __name__ != "suat_boot.main":
    run()
