"""`machine` with a UART that is a real serial line: the pseudo-terminal that SUAT_TTY names. Runs on MicroPython."""

import os
import select

driver_enable = []  # levels of the transceiver's pin, in order


class Pin:
    IN, OUT = 0, 1

    def __init__(self, number, mode=-1, pull=-1, value=None):
        if mode == self.OUT:
            self.value(value)

    def value(self, level=None):
        driver_enable.append(level)


class UART:
    def __init__(self, number, baudrate, bits, parity, stop, tx, rx, timeout, timeout_char, rxbuf):
        self.file = open(os.getenv("SUAT_TTY"), "r+b", buffering=0)  # noqa: PTH123, SIM115
        self.poll = select.poll()
        self.poll.register(self.file, select.POLLIN)
        self.timeout = self.timeout_char = 0
        self.read(1 << 20)  # a UART that is opened has heard nothing yet
        self.timeout, self.timeout_char = timeout, timeout_char

    def deinit(self):
        self.file.close()

    def any(self):
        return 1 if self.poll.poll(0) else 0

    def write(self, data):
        return self.file.write(data)

    def flush(self):
        pass

    def read(self, count):
        """As the boards: `timeout` to the first byte, `timeout_char` from each to the next."""
        out = b""
        wait = self.timeout
        while len(out) < count and self.poll.poll(wait):
            out += self.file.read(1)
            wait = self.timeout_char
        return out or None
