"""A radio chip that obeys: enough of an SX1262 for a node to send and to hear. Rules are `suat_sim.sx1262`'s business.

`network` is called as network(phy, hz, sf, end_us) for each frame sent and returns frames for the windows:
[(hz, sf, not before us after the end, phy)].
"""

import time

from suat_wire.airtime import symbol_us, time_on_air_us

_TCXO, _CAL, _SLEEP, _STANDBY, _TX, _RX = 0x97, 0x89, 0x84, 0x80, 0x83, 0x82
_CAD_PARAMS, _CAD = 0x88, 0xC5


class BrownOut(BaseException):
    """The battery broke down under the transmitter's load."""


class Chip:
    def __init__(self, network=None):
        self.network = network
        self.log = []  # every command as bytes
        self.keep = 400
        self.registers = {0x0736: 0x0D, 0x08D8: 0xC8, 0x0889: 0x00}
        self.buffer = bytearray(256)
        self.stuck = False  # BUSY never falls
        self.asleep = False  # BUSY is high until NSS falls (8.3.1)
        self.deaf_tx = False  # a frame that never ends
        self.noisy = lambda hz, sf: False  # whether another node sends there (channel activity detection)
        self.looks = []  # (hz, sf, symbols)
        self.cad = b""
        self.breaks_down = False  # the supply, at each frame
        self.errors = 0
        self.hz = 0
        self.params = b"\x07\x04\x01\x00"
        self.length = 0
        self.symbols = 0
        self.event_us = 0
        self.flags = 0
        self.frames = []
        self.heard = b""
        self.sent = []  # (phy, hz, sf, start_us, end_us)
        self.windows = []  # (open_us after the end of the uplink, hz, sf, symbols)
        self.selected = False
        self.command = b""

    def reset(self, level):
        if not level:
            self.asleep = False
            self.flags = 0
            self.event_us = 0

    def busy(self):
        return 1 if self.stuck or self.asleep else 0

    def dio1(self):
        return 1 if self.flags and time.now_us >= self.event_us else 0

    def select(self, level):
        if level and self.selected and self.command:
            self._done(self.command)
        self.selected = not level
        if not level:
            self.asleep = False
        self.command = b""

    def transfer(self, data):
        answer = self._answer(len(data)) if self.command else bytearray(len(data))
        self.command += bytes(data)
        return answer

    def _answer(self, size):
        opcode = self.command[0]
        if opcode == 0x1D:
            address = self.command[1] << 8 | self.command[2]
            return bytearray([self.registers.get(address + i, 0) for i in range(size)])
        if opcode == 0x1E:
            return bytearray((self.heard + bytes(size))[:size])
        if opcode == 0x12:
            flags = self.flags if time.now_us >= self.event_us else 0
            return bytearray((flags >> 8, flags & 255))
        if opcode == 0x13:
            return bytearray((len(self.heard), 0))
        if opcode == 0x14:
            return bytearray((180, 0xEC, 180))  # -90 dBm, -5 dB
        if opcode == 0x17:
            return bytearray((self.errors >> 8, self.errors & 255))
        return bytearray(size)

    def _done(self, command):
        if command[0] not in (0x12, 0x1D, 0x1E, 0x13, 0x14, 0x17):
            self.log.append(command)
            if len(self.log) > self.keep:
                del self.log[: self.keep // 2]
        opcode = command[0]
        if opcode == 0x0D:
            for i, byte in enumerate(command[3:]):
                self.registers[(command[1] << 8 | command[2]) + i] = byte
        elif opcode == 0x0E:
            self.buffer[command[1] : command[1] + len(command) - 2] = command[2:]
        elif opcode == 0x86:
            self.hz = (int.from_bytes(command[1:], "big") * 32000000 + (1 << 24)) >> 25
        elif opcode == 0x8B:
            self.params = command[1:]
        elif opcode == 0x8C:
            self.length = command[4]
        elif opcode == 0xA0:
            self.symbols = command[1]
        elif opcode == 0x02:
            self.flags = 0
        elif opcode == _SLEEP:
            self.asleep = True
        elif opcode == _TX:
            self._transmit()
        elif opcode == _RX:
            self._receive()
        elif opcode == _CAD_PARAMS:
            self.cad = command[1:]
        elif opcode == _CAD:
            self._look()

    def _transmit(self):
        if self.breaks_down:
            raise BrownOut
        phy = bytes(self.buffer[: self.length])
        start = time.now_us
        self.end = start + time_on_air_us(self.params[0], 125000, self.length)
        if self.deaf_tx:
            return
        self.flags, self.event_us = 1, self.end
        self.sent.append((phy, self.hz, self.params[0], start, self.end))
        if len(self.sent) > 400:
            del self.sent[:200]
        if self.network is not None:
            self.frames = self.network(phy, self.hz, self.params[0], self.end) or []

    def _look(self):
        sf = self.params[0]
        symbols = 1 << self.cad[0]
        self.looks.append((self.hz, sf, symbols))
        if len(self.looks) > 100:
            del self.looks[:50]
        self.flags = 0x180 if self.noisy(self.hz, sf) else 0x080
        self.event_us = time.now_us + (2 * symbols + 1) * symbol_us(sf, 125000) // 2

    def _receive(self):
        sf = self.params[0]
        opened = time.now_us - self.end
        self.windows.append((opened, self.hz, sf, self.symbols))
        if len(self.windows) > 100:
            del self.windows[:50]
        close = time.now_us + self.symbols * symbol_us(sf, 125000)
        for hz, frame_sf, after, phy in self.frames:
            at = self.end + after
            caught = time.now_us <= at and at + 5 * symbol_us(sf, 125000) <= close
            if abs(hz - self.hz) < 100 and frame_sf == sf and caught:
                self.heard = phy
                self.flags, self.event_us = 2, at + time_on_air_us(sf, 125000, len(phy), False)
                return
        self.flags, self.event_us = 0x200, close
