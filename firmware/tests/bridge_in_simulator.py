"""The bridge role in the simulator: its line leads to the host, in the fleet's virtual time. Runs on MicroPython."""

import time

from suat_node import bridge, config, power
from suat_sim import board as hardware


class Line:
    """A serial line without a cable: each look exchanges what both sides have written."""

    def __init__(self):
        self.out = b""

    def read(self):
        time.sleep_ms(4)
        data, self.out = self.out, b""
        return hardware.current.ask_host(data)

    def write(self, data):
        self.out += data
        return len(data)


settings = config.load()
wiring = config.board(settings.board)
power.start(wiring)
bridge.run(settings, wiring, Line())
