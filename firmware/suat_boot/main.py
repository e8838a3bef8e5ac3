"""/main.py of the board: chooses the firmware that runs. Put there when the board is set up and never changed after.

Firmware lies in the folder /a or /b, or in neither: beside this file or frozen ("-"). The file /slot says which; as
long as there is none, it is what the board was set up with:

    ACTIVE TRIAL STARTS SINCE ROLLED_BACK CRC-32          such as "a b 2 820454400 0 3026418949"

A folder /update is offered to the running firmware at a cold start; docs/updates.md tells the rest. An update on trial
must be confirmed by its own firmware within STARTS cold starts, each at most HOURS long; else the one before it runs
again. So does it at once when the update can't be imported.
"""

import os
import sys
import time
from binascii import crc32

import machine

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Callable

STARTS = 3
HOURS = 24
PAUSE_MS = 60000

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
                return
        except (OSError, ValueError):
            pass
        if _is_there("a") and "suat_node" not in os.listdir("/"):  # as a board is set up
            self.active = "a"

    def save(self) -> None:
        """Replace the file; OSError: it is as it was."""
        body = "%s %s %d %d %d" % (self.active, self.trial, self.starts, self.since, self.rolled_back)
        with open(_FILE + ".tmp", "w") as file:
            file.write("%s %d" % (body, crc32(body.encode())))
        os.rename(_FILE + ".tmp", _FILE)

    def on_trial(self) -> bool:
        """Whether the firmware that runs has yet to be confirmed."""
        return self.trial != _NONE

    def over(self, now: int) -> bool:
        """Whether the trial has lasted too long. The firmware's clock goes on where a Pico's own stands still."""
        return self.starts < 0 or not 0 <= now - self.since < HOURS * 3600

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
    """Start the firmware."""
    slots = Slots()
    cold = machine.reset_cause() != getattr(machine, "DEEPSLEEP_RESET", -1)
    if not _is_there(slots.trial):  # the power went before it was in its place
        slots.trial = _NONE
    if slots.on_trial():
        _count(slots, cold)
    if _tried(lambda: _start(slots, cold)):
        return
    _tried(slots.roll_back if slots.on_trial() else lambda: _give_way(slots))
    time.sleep_ms(PAUSE_MS)
    machine.reset()


def _count(slots: Slots, cold: bool) -> None:
    """Whether the trial goes on is decided here, where no update reaches."""
    if cold:
        slots.starts -= 1
        slots.since = int(time.time())
    if slots.over(int(time.time())):
        _tried(slots.roll_back)
    elif cold and not _tried(slots.save):
        slots.trial = _NONE  # a start that can't be counted is not made


def _start(slots: Slots, cold: bool) -> None:
    slot = slots.trial if slots.on_trial() else slots.active
    if slot != _NONE:
        sys.path.insert(0, "/" + slot)
    import suat_node

    if cold and not slots.on_trial() and "update" in os.listdir("/"):
        from suat_node.keep.slots import install

        _tried(lambda: install(slots))
    if slots.on_trial() or slots.rolled_back:
        suat_node.boot = slots
    import suat_node.main


def _tried(call: "Callable[[], None]") -> bool:
    """Call it; False, with the traceback on the console, when it failed."""
    try:
        call()
    except Exception as error:
        sys.print_exception(error)
        return False
    return True


def _give_way(slots: Slots) -> None:
    """Let other firmware run from the next start on, if there is any."""
    for slot in ("a", "b", _NONE):
        if slot != slots.active and _is_there(slot):
            slots.active, slots.rolled_back = slot, 1
            slots.save()
            return


def _is_there(slot: str) -> bool:
    try:
        os.stat("/%s/manifest" % slot)
    except OSError:
        return slot == _NONE
    return True


if __name__ != "suat_boot.main":
    run()
