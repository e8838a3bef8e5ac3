"""Runs on the board as /main.py: the node, the console for whoever presses Enter, and what happens when it fails.

After each start that is no wake from deep sleep the program waits five seconds for Enter: 0.06 mAh on an ESP32-S3 awake
at 40 mA. Until then no watchdog is armed, so ^C leads to MicroPython's own prompt, where mpremote works.
"""

import gc
import select
import sys

import machine
from micropython import const

from suat_node import crash, power

_WINDOW_MS = const(5000)
_STEP_MS = const(100)
_COLLECT = const(8192)  # bytes: garbage left for longer scatters what lives long, and no room of 1 kB is left between
_NAP_MS = const(7000)  # below the watchdog's 8.3 s
_RESTED = b"rest"  # in RTC memory: a deep sleep that stands for a reset
_UNUSABLE_S = const(3600)  # between looks at a configuration that cannot be used


def start() -> None:
    """One life of the program, from a start to the reset or the deep sleep that ends it."""
    gc.threshold(_COLLECT)
    cold = machine.reset_cause() != getattr(machine, "DEEPSLEEP_RESET", -1)  # not on an RP2040
    if not cold and machine.RTC().memory() == _RESTED:
        machine.RTC().memory(b"")
        machine.reset()
    if cold and _called():
        _console()
        machine.reset()
    _rest(_live(cold))
    machine.reset()


def _live(cold: bool) -> int:
    """The node's life; how many seconds to rest after it."""
    try:
        from suat_node import node

        node.main()
    except KeyboardInterrupt:  # the watchdog is armed: without somebody who feeds it, the prompt lasts 8 s
        try:
            _console()
        except KeyboardInterrupt:
            pass
        return 0
    except Exception as error:
        sys.print_exception(error)
        return crash.note(error)
    if cold and _console():
        return 0
    return _UNUSABLE_S


def _called() -> bool:
    """Whether the first key that comes is Enter. Frames for a bridge or noise are not waited for."""
    print("suat: Enter opens the console")
    keys = select.poll()
    keys.register(sys.stdin, select.POLLIN)
    for _ in range(_WINDOW_MS // _STEP_MS):
        if keys.poll(0):
            return sys.stdin.buffer.read(1) in (b"\r", b"\n")
        power.wait_ms(_STEP_MS)
    return False


def _console() -> bool:
    from suat_node import console

    return console.run()


def _rest(seconds: int) -> None:
    """Lie still with the radio asleep, so that a reset can follow.

    An ESP32-S3 was seen not to wake from a light sleep by itself (micropython PR 19694): it sleeps deep, and the start
    after that makes itself the reset, which the loader counts.
    """
    if not seconds:
        return
    board = None
    try:
        from suat_node import config
        from suat_node.radio.sx126x import Sx126x

        board = config.board(config.load().board)
        Sx126x(board).sleep(False)
    except Exception:  # no configuration, or no radio
        pass
    if board and power.restarts(board):
        power.pulse_level = None  # a running meter must not cut the rest short
        power.sleep(board, seconds, _RESTED)
    end = power.clock() + seconds
    while power.clock() < end:
        power.nap(_NAP_MS)


start()
