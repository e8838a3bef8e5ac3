"""A node program for tests of sleep: what /plan.json says, with the firmware's own `power`; keeps notes in /notes."""

import json

import machine
from suat_node import config, power

with open("/plan.json") as _file:  # noqa: PTH123
    _plan = json.load(_file)


def note(*words: object) -> None:
    """Append a line."""
    with open("/notes", "a") as file:  # noqa: PTH123
        file.write(" ".join([str(word) for word in words]) + "\n")


def main() -> None:
    """One life: sleep, then say when it was woken and by what."""
    board = config.board(_plan["board"])
    power.start(board)
    note("start", machine.reset_cause(), power.clock(), int(power.woken_by_pin()), len(power.recall(board)))
    for number, level in _plan["driven"]:
        power.output(number, level)
    while True:
        for number, _ in _plan["wake"]:
            machine.Pin(number, machine.Pin.IN, machine.Pin.PULL_UP)
        power.sleep(board, _plan["seconds"], b"kept", _plan["wake"])
        note("woke", power.clock(), int(power.woken_by_pin()))


main()
