"""A contact between a pin and ground: the float switch of a tank or trough ("water"), the lid of the box ("node").

Closed means water, and a closed lid: a cut cable then reads as an empty trough and an open box. `invert` for a contact
that works the other way round. A pin cannot tell a cut cable from an open contact, nor a shorted one from a closed.
Hardware API: machine.Pin(IN, PULL_UP).
"""

import machine
from micropython import const

from suat_node import power
from suat_node.sensors import UNSTEADY, Fault

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Board, Options

_READS = const(5)
_APART_MS = const(20)
_ROUNDS = const(10)  # waves: give them a second


def read(sensor: "Options", board: "Board") -> "dict[str, int | float]":
    """{"float": 1 while there is water at it} or, at "node", {"tamper": 1 while the lid is open}."""
    pin = machine.Pin(sensor["pin"], machine.Pin.IN, machine.Pin.PULL_UP)
    for _ in range(_ROUNDS):
        high = 0
        for _ in range(_READS):
            power.wait_ms(_APART_MS)
            high += pin.value()
        if high in (0, _READS):
            closed = (high == 0) != (sensor["invert"] == 1)
            return {"float": int(closed)} if sensor["at"] == "water" else {"tamper": int(not closed)}
    raise Fault(UNSTEADY)
