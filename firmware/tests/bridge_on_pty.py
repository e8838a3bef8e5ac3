"""The bridge role in real time: its line is this process's terminal. Runs on MicroPython: ... CONTROL.

CONTROL is a socket to the test, JSON in lines. From it: {"phy": hex, "whole": bool} puts a frame on the air, {"stuck":
bool} makes the chip hang. To it: each frame that is sent, each rule of the chip that is broken.
"""

import json
import select
import sys
import time
from binascii import hexlify, unhexlify

import suat_sim.sx1262

APART_US = 20000  # the chip holds one frame; the shortest ones take longer than this


def now():
    return time.time_ns() // 1000


class Waves:
    """What the model of the chip meets (see its head)."""

    def __init__(self, control):
        self.control = control
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)
        self.stuck = False
        self.frames = []
        self.quiet_until = 0

    def note(self, **what):
        self.control.write(json.dumps(what).encode() + b"\n")

    def fault(self, t, text):
        self.note(fault=text)

    def transmit(self, start, hz, sf, bw, dbm, flags, preamble, airtime, payload):
        phy = hexlify(payload).decode()
        self.note(start=start, hz=hz, sf=sf, bw=bw, dbm=dbm, flags=flags, airtime=airtime, phy=phy)

    def receive(self, start, close, hz, sf, bw, flags, after):
        self.orders()
        if not self.frames or close < self.quiet_until:
            return close, 0, b"", 0.0, 0.0
        order = self.frames.pop(0)
        self.quiet_until = close + APART_US
        self.note(heard=close, hz=hz, sf=sf, bw=bw, flags=flags)
        return close, 1 if order["whole"] else 2, unhexlify(order["phy"]), -97.0, -3.25

    def orders(self):
        while self.poll.poll(0):
            order = json.loads(self.control.readline())
            if "phy" in order:
                self.frames.append(order)
            else:
                self.stuck = order["stuck"]


class Pin:
    IN, OUT, IRQ_RISING = 1, 3, 1

    def __init__(self, number, mode=-1, pull=-1, value=None):
        self.number = number
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is None:
            if self.number == board.BUSY:
                waves.orders()
                return 1 if waves.stuck else chip.busy(now())
            return chip.dio1(now()) if self.number == board.DIO1 else 1
        if self.number == board.NSS:
            chip.nss(now(), level)
        elif self.number == board.RESET:
            chip.reset(now(), level)
        return None

    def irq(self, handler, trigger):
        """There are no interrupts here: the driver notices the level."""


class SPI:
    def __init__(self, number, **options):
        pass

    def write(self, data):
        chip.write(now(), data)

    def readinto(self, buffer, write=0):
        buffer[:] = chip.transfer(now(), bytes(len(buffer)))


class Machine:
    Pin = Pin
    SPI = SPI


class Slots:
    """The loader's, with an update on trial."""

    def on_trial(self):
        return True

    def confirm(self):
        waves.note(confirmed=True)


sys.modules["machine"] = Machine()
import suat_node  # noqa: E402
from suat_node import bridge, config  # noqa: E402

suat_node.boot = Slots()

settings = config.check({"board": "pico_waveshare", "role": "bridge", "radio": {"channel": 1, "dr": 5}})
board = config.board(settings.board)
waves = Waves(open(int(sys.argv[1]), "r+b"))  # noqa: PTH123, SIM115
chip = suat_sim.sx1262.Sx1262(waves, waves.fault, board.TCXO_CV, board.TCXO_US, board.DIO2_RF_SWITCH, board.DCDC, now())
bridge.run(settings, board)
