"""Waiting, sleeping, the watchdog and what a weak battery still allows: the only file that knows how a board sleeps.

ESP32-S3: `machine.deepsleep` ends the program; it starts again from boot, what must live on travels in RTC().memory().
Every pin that `output` drove keeps its level; the chip isolates all others (ESP-IDF, esp_sleep_isolate_digital_gpio).
RP2040: its deepsleep saves nothing, so the program stays in a loop of `machine.lightsleep`. Each piece is shorter than
the watchdog's 8.4 s: a watchdog that expires in lightsleep locks the chip up (micropython#17228).

Hardware API: machine.WDT, lightsleep, deepsleep, reset_cause, RTC().memory, Pin.irq; time.ticks_ms, sleep_ms,
time_ns; on ESP32 also machine.wake_reason, esp32.gpio_deep_sleep_hold, wake_on_ext0, wake_on_ext1 and Pin(hold=).
`time.time_ns()` must go on through deep sleep, the ticks through light sleep; the epoch does not matter.
"""

import time

import machine
from micropython import const

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any

    from suat_node.config import Board
    from suat_node.keep.counters import Counters

    Wake = tuple[tuple[int, int], ...] | list[tuple[int, int]]

_WDT_MS = const(8300)  # RP2040: at most 8388
_PIECE_MS = const(7000)
_NAP_MS = const(1000)
_LONGEST_S = const(500000)  # ticks_add and ticks_diff reach 2^29 ms, 6.2 days
_FREE_STARTS = const(3)
_LONGEST_REST = const(8)  # doublings of a minute: 4.3 h
_HYSTERESIS_MV = const(100)
MEMORY = const(2048)  # bytes of RTC().memory() on the ESP32
OK = const(0)
LOW = const(1)
FLOOR = const(2)

_wdt: "machine.WDT | None" = None
_outputs: "dict[int, machine.Pin]" = {}
_touched = False
_slept_ms = 0  # that `time` does not know of
linger_ms = 0  # awake after an edge ended a light sleep, for a pulse counter that stood still in it
pulse_pin = -1  # ESP32: a pulse counter's, whose wakes only count
pulse_level: "int | None" = None  # on which it wakes


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
    return board.CHIP != "rp2040"


def clock() -> int:
    """Seconds of the node's own clock: only differences mean anything."""
    return clock_ms() // 1000


def clock_ms() -> int:
    """The same clock in milliseconds."""
    return int(time.time_ns() // 1000000) + _slept_ms


def nap(ms: int) -> int:
    """One light sleep, fed; the milliseconds it took, for it may end early.

    An RP2040's `time` stands still in it (micropython#16519: 1.24 to 1.28), its ticks go on.
    """
    global _slept_ms
    feed()
    before = clock_ms()
    began = time.ticks_ms()
    machine.lightsleep(ms)
    after = clock_ms()
    gone = time.ticks_diff(time.ticks_ms(), began)
    _slept_ms += gone - (after - before)
    feed()
    return gone


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


def output(pin: int, value: int) -> "machine.Pin":
    """Drive a pin; on an ESP32 it lets go of what it held in deep sleep and will keep its level through the next."""
    try:
        out = machine.Pin(pin, machine.Pin.OUT, value=value, hold=False)  # type: ignore[call-arg,unused-ignore]
    except TypeError:  # ports without hold
        out = machine.Pin(pin, machine.Pin.OUT, value=value)
    _outputs[pin] = out
    return out


def plan(counters: "Counters", mv: "int | None", low_mv: int, floor_mv: int) -> None:
    """Set `battery_mv` and `battery_state` (OK, LOW, FLOOR) from a reading; a threshold of 0 is never met.

    A state is left 100 mV or 3 % above its threshold, so that a battery that recovers at rest does not make it flap.
    None, no reading, changes nothing.
    """
    if mv is None:
        return
    counters.battery_mv = mv
    before = counters.battery_state
    counters.battery_state = OK
    for state, threshold in ((LOW, low_mv), (FLOOR, floor_mv)):
        margin = max(_HYSTERESIS_MV, threshold * 3 // 100) if before >= state else 0
        if threshold and mv < threshold + margin:
            counters.battery_state = state


def rest(false_starts: int) -> int:
    """Seconds to lie still after so many cold starts in a row in which no frame could be sent whole.

    A battery that breaks down under load resets the node at each attempt. Unbraked that would use up DevNonces, frame
    counters and flash, and more charge than a small panel gives: solar nodes then never come back (meshtastic#1470).
    """
    if false_starts <= _FREE_STARTS:
        return 0
    return 60 << min(false_starts - _FREE_STARTS - 1, _LONGEST_REST)


def woken_by_pin() -> bool:
    """Whether a pin, not the time, ended the last sleep."""
    reason: "Any" = getattr(machine, "wake_reason", None)  # ESP32
    if reason is None:
        return _touched
    return reason() in (2, 3) and changed_pins() != (pulse_pin,)  # EXT0_WAKE, EXT1_WAKE


def changed_pins() -> "tuple[int, ...]":
    """ESP32: the pins that ended deep sleep, as far as the port tells (MicroPython 1.28; ext0's is not among them)."""
    return tuple(getattr(machine, "wake_pins", tuple)())


def sleep(board: "Board", seconds: int, blob: bytes, wake: "Wake" = ()) -> None:
    """Sleep as deep as the board can. Returns on an RP2040, after `seconds` or 5.8 days, never on an ESP32.

    `wake`: pins, already set up as inputs, and the level of each on which to wake. One that has this level now would
    wake the node at once and is left out. ESP32-S3: pins 0..21 (datasheet 2.3.4; sensor_options.py sees to it).
    RP2040: the change itself wakes, which works because a handler and a time limit are given (micropython#7035).
    """
    global _touched
    if seconds <= 0:
        return
    if pulse_level is not None:
        wake = list(wake) + [(pulse_pin, pulse_level)]
    armed = [(machine.Pin(pin), level) for pin, level in wake if machine.Pin(pin).value() != level]
    if restarts(board):
        _restart_after(board, seconds * 1000, blob, armed)
    _touched = False
    for pin, level in armed:
        pin.irq(_touch, machine.Pin.IRQ_RISING if level else machine.Pin.IRQ_FALLING)
        if pin.value() == level:  # it moved while it was armed
            _touched = True
    end = time.ticks_add(time.ticks_ms(), min(seconds, _LONGEST_S) * 1000)
    while not _touched:
        left = time.ticks_diff(end, time.ticks_ms())
        if left <= 0:
            break
        gone = nap(min(left, _PIECE_MS))
        if linger_ms and gone < min(left, _PIECE_MS):
            time.sleep_ms(linger_ms)
    for pin, _ in armed:
        pin.irq(None)


def _touch(_pin: "machine.Pin") -> None:
    global _touched
    _touched = True


def _restart_after(board: "Board", ms: int, blob: bytes, armed: "list[tuple[machine.Pin, int]]") -> None:
    import esp32  # type: ignore[import-not-found,unused-ignore]

    if len(blob) > MEMORY:
        raise ValueError("%d bytes do not fit into the RTC memory" % len(blob))
    machine.RTC().memory(blob)
    low = [pin for pin, level in armed if not level]
    high = [pin for pin, level in armed if level]
    many = len(high) > len(low)
    if pulse_level is not None and low and high:  # ext0 does not tell its pin: a pulse would pass for a switch
        many = pulse_level == 1
    # ext1 takes any number of pins of one level (S3: any of them wakes, also with "ALL_LOW"), ext0 one of the other
    if armed:
        esp32.wake_on_ext1(high if many else low, many)  # type: ignore[attr-defined,unused-ignore]
    if low and high:
        esp32.wake_on_ext0((low if many else high)[0], not many)  # type: ignore[attr-defined,unused-ignore]
    for pin in (board.NSS, board.RESET):  # a floating NSS would wake the radio, a low RESET would keep it on
        output(pin, 1)
    if board.VEXT is not None:
        output(board.VEXT, 1 - board.VEXT_LEVEL)
    for pin in _outputs:
        machine.Pin(pin, machine.Pin.OUT, hold=True)  # type: ignore[call-arg,unused-ignore]
    esp32.gpio_deep_sleep_hold(True)  # type: ignore[attr-defined,unused-ignore]
    feed()
    machine.deepsleep(ms)
