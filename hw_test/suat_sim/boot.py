"""What runs in a node's process: `micropython -m suat_sim.boot SETUP.json`. Makes the board, then runs main.py.

The node's flash is the root folder it sees; its firmware is at /rom, as frozen modules are on a board. A deep sleep
ends the program with `Restart`; all modules of the program are then forgotten and it starts from the beginning.
"""

import json
import os
import random
import sys

import vfs  # type: ignore[import-not-found]

from suat_sim import board, flash, link, modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

END_OF_REPL_US = 1 << 59


def start(path: str) -> None:
    """Run one node until the host ends it."""
    with open(path) as file:  # noqa: PTH123
        setup = json.load(file)
    stream = open(setup["fd"], "r+b")  # noqa: PTH123, SIM115
    wiring = __import__("suat_node.boards." + setup["config"]["board"], None, None, ("CHIP",))
    hardware = board.Board(setup, stream, wiring)
    board.current = hardware
    if setup["metered"]:
        from suat_sim import meter

        meter.Meter(hardware, meter.supplies(hardware, setup["config"]["sensors"])).install()
    rom = vfs.VfsPosix(setup["rom"])
    vfs.umount("/")
    vfs.mount(flash.Flash(setup["flash"], hardware, setup["flash_cut"]), "/")
    vfs.mount(rom, "/rom")
    sys.path[:] = ["", "/rom", "/rom/fake", ".frozen"]
    if setup["programs"]:
        vfs.mount(vfs.VfsPosix(setup["programs"]), "/programs")
        sys.path.insert(0, "/programs")
    os.chdir("/")
    random.seed(setup["seed"])
    for fake in ("time", "machine", "onewire", "esp32", "rp2", "collector"):
        __import__(fake)

    sys.modules["gc"] = sys.modules["collector"]

    def live(main: str) -> None:
        hardware.boot()
        run(hardware, main)

    modules.run(live, setup["main"], setup["fresh_every"])


def run(hardware: "Any", main: str) -> None:
    """One life of the program, from its start to a deep sleep or a fault."""
    try:
        __import__(main)
        text = "main.py came to its end"
    except board.Restart:
        return
    except Exception as error:
        text = board.traceback_of(error)
    except SystemExit:
        text = "main.py left by SystemExit"
    hardware.report(b"E", text)
    try:  # a board now waits at its prompt, where only the watchdog can save it
        hardware.sleep(END_OF_REPL_US)
    except board.Restart:
        return
    hardware.stop(link.OFF_DEAD)


start(sys.argv[1])
