"""Runs on the board as /main.py: the node, and what happens when it fails."""

import sys

import machine

from suat_node import crash, node, power

_PAUSE_MS = 60000  # a node that fails at once must not burn its flash and its battery by starting again and again

try:
    node.main()
except Exception as error:
    sys.print_exception(error)
    crash.note(error)
    power.wait_ms(_PAUSE_MS)
    machine.reset()
