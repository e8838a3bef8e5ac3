# ruff: noqa: F821 - the words of a PIO program
"""Pulses of a contact to ground, counted by a state machine of the RP2040's PIO: debounced, whatever the program does.

In light sleep the PIO stands still (RP2040 datasheet 2.11.2: clocks of all but the timer are off; MicroPython's
lightsleep keeps none of the PIO's). An edge of the pin wakes the board (micropython#7035: a pin with a handler does),
`power.sleep` then stays awake for `power.linger_ms`, and the state machine sees the new level: a pulse is counted when
each half of it lasts longer than twice `debounce_ms`. A meter that turns fast keeps the board awake.
Hardware API: rp2.asm_pio, StateMachine(id, program, freq, jmp_pin): exec, active, rx_fifo, get; Pin.irq.
"""

import machine
import rp2  # type: ignore[import-not-found,unused-ignore]
from micropython import const

from suat_node import power
from suat_node.sensors import MISSING, Fault

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any

    from suat_node.config import Options

    label: Any  # the words of rp2.asm_pio
    jmp: Any
    set: Any
    pin: Any
    y: Any
    x_dec: Any
    y_dec: Any

# instructions from outside (RP2040 datasheet 3.4.10, 3.4.8, 3.4.5): SET X 0; MOV ISR ~X; PUSH NOBLOCK
_CLEAR, _COPY, _PUSH = const(0xE020), const(0xA0C9), const(0x8000)
_CYCLES = const(1024)  # of a level until it counts: 32 looks, 32 cycles apart

_machine: "Any" = None


@rp2.asm_pio()  # type: ignore[untyped-decorator,unused-ignore]
def _contact() -> None:
    """X counts down from 0 at each closing; Y looks again. It begins as if closed: a contact at rest is no pulse."""
    label("closed")
    set(y, 31)
    label("opening")
    jmp(pin, "high")
    jmp("closed")
    label("high")
    jmp(y_dec, "opening")[30]
    label("open")
    jmp(pin, "open")
    set(y, 31)
    label("closing")
    jmp(pin, "open")
    jmp(y_dec, "closing")[30]
    jmp(x_dec, "closed")


def start(sensor: "Options") -> None:
    """Begin to count, once."""
    global _machine
    if _machine is None:
        pin = machine.Pin(sensor["pin"], machine.Pin.IN, machine.Pin.PULL_UP)
        pin.irq(_edge, machine.Pin.IRQ_FALLING | machine.Pin.IRQ_RISING)
        power.linger_ms = 2 * sensor["debounce_ms"]
        _machine = rp2.StateMachine(0, _contact, freq=_CYCLES * 1000 // sensor["debounce_ms"], jmp_pin=pin)
        _machine.exec(_CLEAR)
        _machine.active(1)


def _edge(_pin: "machine.Pin") -> None:
    """The state machine counts; without a handler the pin would not wake the board."""


def count() -> "tuple[int, int]":
    """(pulses since the start, modulus)."""
    _machine.exec(_COPY)
    _machine.exec(_PUSH)
    if not _machine.rx_fifo():  # `get` would wait for ever
        raise Fault(MISSING)
    return _machine.get() + 1 & 0x3FFFFFFF, 1 << 30


def missed() -> bool:
    """Whether some pulses could not be counted."""
    return False
