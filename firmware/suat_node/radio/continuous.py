"""The SX1262 of a bridge: listens for uplinks without end and sends downlinks at a given time.

Section numbers as in sx126x.py.
"""

import time

import machine
from micropython import const

from suat_node.radio.sx126x import Sx126x

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any

    from suat_node.config import Board

_SET_STANDBY = const(0x80)
_SET_RX = const(0x82)
_SET_SYMBOL_TIMEOUT = const(0xA0)
_GET_PACKET_STATUS = const(0x14)
_REG_RX_GAIN = const(0x08AC)
_RAMP_US = const(305)  # from SetTx in STDBY_XOSC to the preamble: 105 us (table 8-2) and the power amplifier's ramp

TX_DONE = 1
RX_DONE = 2
CRC_ERROR = 0x40


class Continuous(Sx126x):
    """`at`: time.ticks_us() when DIO1 rose last."""

    def __init__(self, board: "Board") -> None:
        super().__init__(board)
        self.at: "Any" = 0
        self._rang = False
        self.dio1.irq(self._ring, machine.Pin.IRQ_RISING)

    def _ring(self, _pin: "Any") -> None:
        self.at = time.ticks_us()
        self._rang = True

    def flags(self) -> int:
        """What happened since it was asked last: TX_DONE, RX_DONE, CRC_ERROR."""
        if not self.dio1.value():
            return 0
        if not self._rang:  # the edge was missed
            self._ring(None)
        self._rang = False
        flags = self._flags()
        self._clear()
        return flags

    def receive(self, hz: int, sf: int, bw_hz: int) -> None:
        """Listen for uplinks from now on."""
        self.wake(hz)
        self._tune(hz, sf, bw_hz, 255, False)
        self._set_register(_REG_RX_GAIN, 0x96)  # 9.6: boosted gain
        self._write(bytes((_SET_SYMBOL_TIMEOUT, 0)))
        self._clear()
        self._rang = False
        self._switch(1, 0)
        self._write(bytes((_SET_RX, 255, 255, 255)))  # 13.1.5: until told otherwise

    def packet(self) -> "tuple[bytes, int, int]":
        """(frame, RSSI in dBm, SNR in 0.25 dB) of what was received last."""
        heard = self._packet()
        snr = self._read(bytes((_GET_PACKET_STATUS, 0)), 3)[1]
        return heard.phy, heard.rssi, snr - 256 if snr > 127 else snr

    def send_at(self, at: "Any", phy: bytes, hz: int, sf: int, bw_hz: int, dbm: int) -> bool:
        """Begin a downlink at time.ticks_us() `at`; False when it is too late. TX_DONE tells its end."""
        self.wake(hz)
        air_ms = self._load(phy, hz, sf, bw_hz, dbm, True)
        self._write(bytes((_SET_STANDBY, 1)))
        self._rang = False
        left = time.ticks_diff(at, time.ticks_us()) - _RAMP_US
        if left < 0:
            return False
        time.sleep_us(left)
        self._fire(air_ms)
        return True
