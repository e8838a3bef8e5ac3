"""The radio link, written once: the same files run on the node (MicroPython) and on the gateway (CPython)."""
