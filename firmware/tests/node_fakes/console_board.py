"""A board on a serial line: suat_node.main on a littlefs in memory, its clock FACTOR times as fast as the wall's.

In the folder firmware/: `micropython tests/node_fakes/console_board.py FACTOR LIVES`, suat.json in the environment.
Each reset starts the program again on the same flash, LIVES times. Lines that begin with byte 1 are for the test.
"""

import json
import os
import sys
import time

import utime
import vfs

FACTOR = float(sys.argv[1])
LIVES = int(sys.argv[2])
CONFIG = os.getenv("SUAT_JSON")

vfs.umount("/")
vfs.mount(vfs.VfsPosix(os.getenv("PWD")), "/rom")
sys.path[:] = ["/rom/tests/node_fakes", "/rom", ".frozen"]

import bench  # noqa: E402
import flash  # noqa: E402
import machine  # noqa: E402
import network  # noqa: E402

real = time.advance


def advance(us):
    """Virtual time takes a share of real time."""
    utime.sleep_us(int(us / FACTOR))
    real(us)


def tell(what, *values):
    print("\x01", what, *values)


def files(folder=""):
    """Names below the root."""
    found = []
    for entry in os.ilistdir(folder or "/"):
        path = folder + "/" + entry[0]
        if path != "/rom":
            found += files(path) if entry[1] == 0x4000 else [path]
    return found


def live():
    """One life of the program."""
    for name in list(sys.modules):
        if name.startswith("suat_node"):
            del sys.modules[name]
    time.watchdog_us = 0
    try:
        __import__("suat_node.main")
        end = "end"
    except machine.Reset:
        end = "reset"
    except KeyboardInterrupt:
        end = "repl"
    except time.WatchdogReset:
        end = "watchdog"
    tell(end, "armed" if time.watchdog_us else "unarmed")


memory = flash.Flash(64)
memory.mount("/")
if CONFIG:
    with open("/suat.json", "w") as file:
        file.write(CONFIG)
net = network.Network()
net.hears = lambda phy: tell("uplink", len(phy)) is None
bench.hardware("pico_waveshare", net)
machine.analog[28] = [0]  # a probe that is shorted
time.gmtime = utime.gmtime
time.advance = advance
for _ in range(LIVES):
    live()
    tell("files", *sorted(files()))
    try:
        with open("/suat.json") as file:
            tell("suat.json", json.dumps(file.read()))
    except OSError:
        pass
    tell("nonces", *net.nonces)
    tell("fcnts", *net.fcnts)
