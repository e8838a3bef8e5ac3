"""Waiting, sleeping and the watchdog: the only file that knows how a board sleeps.

ESP32-S3: `machine.deepsleep` ends the program; it starts again from boot, what must live on travels in RTC().memory().
RP2040: its deepsleep saves nothing, so the program stays in a loop of `machine.lightsleep`. Each piece is shorter than
the watchdog's 8.4 s: a watchdog that expires in lightsleep locks the chip up (micropython#17228).

Hardware API: machine.WDT, lightsleep, deepsleep, reset_cause, RTC().memory; time.ticks_ms, sleep_ms, time, time_ns; on
ESP32 also esp32.gpio_deep_sleep_hold and Pin(hold=). `time.time()` and `time.time_ns()` must go on
through sleep; their epoch does not matter.
"""

import time

import machine
from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from suat_node.config import Board

_WDT_MS = const(8300)  # RP2040: at most 8388
_PIECE_MS = const(7000)
_NAP_MS = const(1000)
_LONGEST_S = const(500000)  # ticks_add and ticks_diff reach 2^29 ms, 6.2 days
MEMORY = const(2048)  # bytes of RTC().memory() on the ESP32

_wdt: "machine.WDT | None" = None


def start(board: "Board") -> None:
    """Arm the watchdog; from now on only the functions here wait."""
    global _wdt
    _wdt = machine.WDT(timeout=_WDT_MS)


def feed() -> None:
    """Tell the watchdog that the program is alive."""
    if _wdt is not None:
        _wdt.feed()


def restarts(board: "Board") -> bool:
    """Whether sleep ends the program."""
    return bool(board.CHIP.startswith("esp32"))


def clock() -> int:
    """Seconds of the node's own clock: only differences mean anything."""
    return int(time.time())


def clock_ms() -> int:
    """The same clock in milliseconds."""
    return int(time.time_ns() // 1000000)


def wait_ms(ms: int) -> None:
    """Wait awake, fed."""
    while ms > _NAP_MS:
        feed()
        time.sleep_ms(_NAP_MS)
        ms -= _NAP_MS
    feed()
    if ms > 0:
        time.sleep_ms(ms)


def recall(board: "Board") -> bytes:
    """What `sleep` left before this start, or b"" after anything but a wake from deep sleep.

    The memory is emptied: were the program to crash now, counters in it would be used twice.
    """
    if not restarts(board) or machine.reset_cause() != machine.DEEPSLEEP_RESET:
        return b""
    memory = machine.RTC()
    blob = bytes(memory.memory())
    memory.memory(b"")
    return blob


def sleep(board: "Board", seconds: int, blob: bytes) -> None:
    """Sleep as deep as the board can. Returns on an RP2040, after `seconds` or 5.8 days, never on an ESP32."""
    if seconds <= 0:
        return
    if restarts(board):
        _restart_after(board, seconds * 1000, blob)
    end = time.ticks_add(time.ticks_ms(), min(seconds, _LONGEST_S) * 1000)
    while True:
        left = time.ticks_diff(end, time.ticks_ms())
        if left <= 0:
            return
        feed()
        machine.lightsleep(min(left, _PIECE_MS))  # may return early, hence the loop
        feed()


def _restart_after(board: "Board", ms: int, blob: bytes) -> None:
    import esp32  # type: ignore[import-not-found,unused-ignore]

    if len(blob) > MEMORY:
        raise ValueError("%d bytes do not fit into the RTC memory" % len(blob))
    machine.RTC().memory(blob)
    for pin in (board.NSS, board.RESET):  # a floating NSS would wake the radio, a low RESET would keep it on
        machine.Pin(pin, machine.Pin.OUT, value=1, hold=True)  # type: ignore[call-arg,unused-ignore]
    esp32.gpio_deep_sleep_hold(True)  # type: ignore[attr-defined,unused-ignore]
    feed()
    machine.deepsleep(ms)
