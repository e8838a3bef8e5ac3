"""SX1262 driver over SPI, LoRa only. Section numbers: Semtech DS.SX1261-2.W.APP, revision 2.1.

Every command waits for BUSY with a time limit, every IRQ wait has one: a chip that hangs costs a RadioError, never the
node. The radio keeps no state across `sleep`: it is set up anew by `begin` (about 10 ms) where the board restarts, and
keeps its registers (`retain`) where the program lives on.

Hardware API: machine.SPI(id, baudrate, polarity, phase, sck, mosi, miso) write, write_readinto; machine.Pin value.
Output power for a chip model: the power code of SetTxParams is relative to what SetPaConfig is made for (table 13-21:
22, 20, 17, 14 dBm at code 22), so dBm = row - (22 - code).
"""

import time

import machine
from micropython import const
from suat_wire.airtime import low_data_rate, symbol_us, time_on_air_us

from suat_node import power

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any

    from suat_node.config import Board

_SET_SLEEP = const(0x84)  # 13.1.1
_SET_STANDBY = const(0x80)  # 13.1.2
_SET_TX = const(0x83)  # 13.1.4
_SET_RX = const(0x82)  # 13.1.5
_SET_CAD = const(0xC5)  # 13.1.6
_SET_REGULATOR = const(0x96)  # 13.1.11
_CALIBRATE = const(0x89)  # 13.1.12
_CALIBRATE_IMAGE = const(0x98)  # 13.1.13
_SET_PA = const(0x95)  # 13.1.14
_WRITE_REGISTER = const(0x0D)  # 13.2.1
_READ_REGISTER = const(0x1D)  # 13.2.2
_WRITE_BUFFER = const(0x0E)  # 13.2.3
_READ_BUFFER = const(0x1E)  # 13.2.4
_SET_DIO_IRQ = const(0x08)  # 13.3.1
_GET_IRQ = const(0x12)  # 13.3.3
_CLEAR_IRQ = const(0x02)  # 13.3.4
_DIO2_SWITCH = const(0x9D)  # 13.3.5
_DIO3_TCXO = const(0x97)  # 13.3.6
_SET_FREQUENCY = const(0x86)  # 13.4.1
_SET_PACKET_TYPE = const(0x8A)  # 13.4.2
_SET_TX_PARAMS = const(0x8E)  # 13.4.4
_SET_MODULATION = const(0x8B)  # 13.4.5
_SET_PACKET = const(0x8C)  # 13.4.6
_SET_CAD_PARAMS = const(0x88)  # 13.4.7
_SET_BUFFER_BASE = const(0x8F)  # 13.4.8
_SET_SYMBOL_TIMEOUT = const(0xA0)  # 13.4.9
_GET_RX_BUFFER = const(0x13)  # 13.5.2
_GET_PACKET_STATUS = const(0x14)  # 13.5.3
_GET_ERRORS = const(0x17)  # 13.6.1
_CLEAR_ERRORS = const(0x07)  # 13.6.2

_REG_IQ = const(0x0736)
_REG_SYNC = const(0x0740)
_REG_TX_MODULATION = const(0x0889)
_REG_RX_GAIN = const(0x08AC)
_REG_TX_CLAMP = const(0x08D8)

_IRQ_TX_DONE = const(0x0001)
_IRQ_RX_DONE = const(0x0002)
_IRQ_HEADER_ERROR = const(0x0020)
_IRQ_CRC_ERROR = const(0x0040)
_IRQ_CAD_DETECTED = const(0x0100)
_IRQ_TIMEOUT = const(0x0200)
_IRQ_USED = const(0x03E3)  # CadDone among them

_BUSY_LIMIT_MS = const(200)  # calibration with a slow TCXO takes the longest, about 20 ms
_MAX_SYMBOLS = const(62)  # beyond, the symbol timeout loses resolution: the timer takes over
_HEADER_SYMBOLS = const(13)  # sync word and header, at which the timer stops (13.1.5); the symbol timeout stops before

# dBm -> (paDutyCycle, hpMax) for which SetTxParams code 22 gives that power: table 13-21
_PA = ((14, 2, 2), (17, 2, 3), (20, 3, 5), (22, 4, 7))
# hundredths of a volt -> code of SetDIO3AsTCXOCtrl: table 13-35
_TCXO = {160: 0, 170: 1, 180: 2, 220: 3, 240: 4, 270: 5, 300: 6, 330: 7}
# MHz from, to -> CalibrateImage bytes: table 9-2
_IMAGE = ((430, 440, 0x6B, 0x6F), (470, 510, 0x75, 0x81), (779, 787, 0xC1, 0xC5), (863, 870, 0xD7, 0xDB))
# SF -> (symbols as 13.4.7 counts them, detection peak) at 125 kHz: Semtech AN1200.48
_CAD = {7: (1, 22), 8: (1, 22), 9: (2, 23), 10: (2, 24), 11: (2, 25), 12: (2, 28)}
_BANDWIDTH = {125000: 4, 250000: 5, 500000: 6}  # table 13-48


class RadioError(Exception):
    """The chip does not answer, or reports a failure; `begin` again may cure it."""


class Packet:
    """A received frame: `phy`, `rssi` in dBm, `snr` in dB (whole)."""

    def __init__(self, phy: bytes, rssi: int, snr: int) -> None:
        self.phy = phy
        self.rssi = rssi
        self.snr = snr


class Sx126x:
    """One chip. Times that the caller measures against are time.ticks_ms()/ticks_us()."""

    def __init__(self, board: "Board") -> None:
        self.board = board
        self.spi = machine.SPI(
            board.SPI_ID,
            baudrate=board.BAUD,
            polarity=0,
            phase=0,
            sck=machine.Pin(board.SCK),
            mosi=machine.Pin(board.MOSI),
            miso=machine.Pin(board.MISO),
        )
        self.nss = power.output(board.NSS, 1)
        self.reset = power.output(board.RESET, 1)
        self.busy = machine.Pin(board.BUSY, machine.Pin.IN)
        self.dio1 = machine.Pin(board.DIO1, machine.Pin.IN)
        self.rx_switch = None if board.RX_SWITCH is None else power.output(board.RX_SWITCH, 0)
        self.tx_switch = None if board.TX_SWITCH is None else power.output(board.TX_SWITCH, 0)
        self.asleep = False
        self.ready = False
        self._image = (0, 0)
        self._limit = 0  # of the prepared window by the timer, 15.625 us; 0: by the symbol timeout

    # the bus

    def _wait_busy(self) -> None:
        """Until the chip takes a command (8.3.1); RadioError after the limit, where others hang for ever."""
        start = time.ticks_ms()
        while self.busy.value():
            if time.ticks_diff(time.ticks_ms(), start) > _BUSY_LIMIT_MS:
                self.ready = False
                raise RadioError("BUSY stays high")
            time.sleep_us(100)

    def _write(self, data: "bytes | bytearray") -> None:
        self._wait_busy()
        self.nss.value(0)
        self.spi.write(data)
        self.nss.value(1)

    def _read(self, command: "bytes | bytearray", count: int) -> bytearray:
        """Send `command` (with its dummy byte), read `count` bytes."""
        self._wait_busy()
        out = bytearray(count)
        self.nss.value(0)
        self.spi.write(command)
        self.spi.readinto(out, 0)
        self.nss.value(1)
        return out

    def _set_register(self, address: int, value: int) -> None:
        self._write(bytes((_WRITE_REGISTER, address >> 8, address & 255, value)))

    def _get_register(self, address: int) -> int:
        return self._read(bytes((_READ_REGISTER, address >> 8, address & 255, 0)), 1)[0]

    # setting up

    def begin(self, frequency_hz: int) -> None:
        """Reset and set up everything that does not change from frame to frame. RadioError names what failed."""
        board = self.board
        self._restart()
        self._write(bytes((_SET_STANDBY, 0)))
        if board.TCXO_CV:
            ticks = board.TCXO_US * 64 // 1000
            voltage = _TCXO[board.TCXO_CV]
            self._write(bytes((_DIO3_TCXO, voltage, ticks >> 16 & 255, ticks >> 8 & 255, ticks & 255)))
            self._write(bytes((_CLEAR_ERRORS, 0, 0)))  # XOSC_START_ERR is normal before the TCXO has its supply
            self._write(bytes((_CALIBRATE, 0x7F)))
        self._write(bytes((_SET_REGULATOR, 1 if board.DCDC else 0)))
        self._write(bytes((_DIO2_SWITCH, 1 if board.DIO2_RF_SWITCH else 0)))
        self._write(bytes((_SET_PACKET_TYPE, 1)))
        self._calibrate_image(frequency_hz)
        self._write(bytes((_SET_BUFFER_BASE, 0, 0)))
        self._write(bytes((_WRITE_REGISTER, _REG_SYNC >> 8, _REG_SYNC & 255, 0x34, 0x44)))  # public network
        # 15.2: the output stage clamps too early into a mismatched antenna
        self._set_register(_REG_TX_CLAMP, self._get_register(_REG_TX_CLAMP) | 0x1E)
        self._write(bytes((_SET_DIO_IRQ, _IRQ_USED >> 8, _IRQ_USED & 255, _IRQ_USED >> 8, _IRQ_USED & 255, 0, 0, 0, 0)))
        errors = self._errors()
        if errors:
            raise RadioError("device errors 0x%03x" % errors)
        self.ready = True

    def _restart(self) -> None:
        self.reset.value(0)
        time.sleep_ms(1)  # at least 100 us (8.1)
        self.reset.value(1)
        time.sleep_ms(5)
        self.asleep = False

    def _errors(self) -> int:
        out = self._read(bytes((_GET_ERRORS, 0)), 2)
        return out[0] << 8 | out[1]

    def _calibrate_image(self, hz: int) -> None:
        """9.2.1: image rejection is calibrated for one band; the default is 902-928 MHz."""
        mhz = hz // 1000000
        for low, high, first, last in _IMAGE:
            if low <= mhz <= high:
                if self._image != (first, last):
                    self._write(bytes((_CALIBRATE_IMAGE, first, last)))
                    self._image = (first, last)
                return
        raise RadioError("%d Hz is in no band of this chip" % hz)

    def wake(self, frequency_hz: int) -> None:
        """Make the chip ready for `send` and `listen`, from wherever it is."""
        if not self.ready:
            self._image = (0, 0)
            self.begin(frequency_hz)
            return
        if self.asleep:
            self.nss.value(0)  # 9.3: a falling NSS wakes it
            time.sleep_us(500)
            self.nss.value(1)
            self.asleep = False
        self._write(bytes((_SET_STANDBY, 0)))

    def sleep(self, retain: bool) -> None:
        """13.1.1: 600 nA with the configuration kept, 160 nA without (then `wake` sets it up anew).

        A chip that was not set up, or failed, stands in STDBY_RC at 0.6 mA (table 3-5): it sleeps after a reset.
        """
        if self.asleep:
            return
        if not self.ready:
            self._restart()
            if self.busy.value():  # hangs: the next use says so
                return
        self._switch(0, 0)
        self._write(bytes((_SET_STANDBY, 0)))
        retain = retain and self.ready
        self._write(bytes((_SET_SLEEP, 4 if retain else 0)))
        time.sleep_us(500)  # 13.1.1: no command during the first 500 us
        self.asleep = True
        self.ready = retain

    def _switch(self, rx: int, tx: int) -> None:
        if self.rx_switch is not None:
            self.rx_switch.value(rx)
        if self.tx_switch is not None:
            self.tx_switch.value(tx)

    def _tune(self, hz: int, sf: int, bw_hz: int, length: int, downlink: bool) -> None:
        """Frequency, modulation, packet format (14.2, 14.3). Downlinks: IQ inverted, no CRC."""
        self._calibrate_image(hz)
        steps = ((hz << 25) + 16000000) // 32000000  # 13.4.1: 32 MHz / 2^25 a step
        self._write(bytes((_SET_FREQUENCY, steps >> 24, steps >> 16 & 255, steps >> 8 & 255, steps & 255)))
        slow = 1 if low_data_rate(sf, bw_hz) else 0
        self._write(bytes((_SET_MODULATION, sf, _BANDWIDTH[bw_hz], 1, slow)))
        crc, invert = (0, 1) if downlink else (1, 0)
        self._write(bytes((_SET_PACKET, 0, 8, 0, length, crc, invert)))
        # 15.4: bit 2 cleared for inverted IQ, set for standard IQ
        iq = self._get_register(_REG_IQ)
        self._set_register(_REG_IQ, iq & 0xFB if downlink else iq | 4)

    def _clear(self) -> None:
        self._write(bytes((_CLEAR_IRQ, 0x03, 0xFF)))

    def _flags(self) -> int:
        out = self._read(bytes((_GET_IRQ, 0)), 2)
        return out[0] << 8 | out[1]

    # sending and listening

    def send(self, phy: bytes, hz: int, sf: int, bw_hz: int, dbm: int) -> int:
        """Send an uplink; returns time.ticks_us() of its end. RadioError when the chip does not finish."""
        air_ms = self._load(phy, hz, sf, bw_hz, dbm, False)
        start = self._fire(air_ms)
        power.wait_ms(air_ms - 1)
        flags = self._await(start, air_ms * 2 + 300)
        end: "Any" = time.ticks_us()
        self._clear()
        self._switch(0, 0)
        if not flags & _IRQ_TX_DONE:
            raise RadioError("the frame did not leave: IRQ 0x%03x" % flags)
        return int(end)

    def _load(self, phy: bytes, hz: int, sf: int, bw_hz: int, dbm: int, downlink: bool) -> int:
        """Everything of a transmission that can be done before it; its length in whole milliseconds."""
        self._tune(hz, sf, bw_hz, len(phy), downlink)
        # 15.1: bit 2 cleared for 500 kHz, set for anything else
        quality = self._get_register(_REG_TX_MODULATION)
        self._set_register(_REG_TX_MODULATION, quality & 0xFB if bw_hz == 500000 else quality | 4)
        top, duty, size = _pa(min(dbm, self.board.MAX_DBM))
        self._write(bytes((_SET_PA, duty, size, 0, 1)))
        code = 22 - (top - min(dbm, top))
        self._write(bytes((_SET_TX_PARAMS, max(code, -9) & 255, 4)))  # ramp 200 us
        self._write(bytes((_WRITE_BUFFER, 0)) + phy)
        self._clear()
        self._switch(0, 1)
        return time_on_air_us(sf, bw_hz, len(phy), not downlink) // 1000

    def _fire(self, air_ms: int) -> "Any":
        """Send what is loaded, now; time.ticks_ms()."""
        limit = (air_ms * 2 + 200) * 64
        self._write(bytes((_SET_TX, limit >> 16 & 255, limit >> 8 & 255, limit & 255)))
        return time.ticks_ms()

    def _await(self, start: "Any", limit_ms: int) -> int:
        """Poll DIO1 until it rises; the IRQ flags, 0 after the limit."""
        while not self.dio1.value():
            if time.ticks_diff(time.ticks_ms(), start) > limit_ms:
                return 0
            power.feed()
            time.sleep_us(500)
        return self._flags()

    def hears(self, hz: int, sf: int, bw_hz: int) -> bool:
        """Whether another node is on the air here: channel activity detection, four symbols at most."""
        self._tune(hz, sf, bw_hz, 255, False)
        symbols, peak = _CAD[sf]
        self._write(bytes((_SET_CAD_PARAMS, symbols, peak, 10, 0, 0, 0, 0)))  # then back to standby
        self._clear()
        self._switch(1, 0)
        self._write(bytes((_SET_CAD,)))
        flags = self._await(time.ticks_ms(), 8 * symbol_us(sf, bw_hz) // 1000 + 50)
        self._clear()
        self._switch(0, 0)
        if not flags:  # it never ended: nothing is known
            self._write(bytes((_SET_STANDBY, 0)))
        return flags & _IRQ_CAD_DETECTED != 0

    def prepare(self, hz: int, sf: int, bw_hz: int, symbols: int) -> None:
        """Everything of a receive window that can be done before it opens; the oscillator keeps running."""
        self._tune(hz, sf, bw_hz, 255, True)
        self._set_register(_REG_RX_GAIN, 0x96)  # 9.6: boosted gain, 3 dB for 2 mA
        self._limit = 0
        count = symbols + 1 & 0xFE
        if count > _MAX_SYMBOLS:
            count = 0
            self._limit = (symbols + _HEADER_SYMBOLS) * symbol_us(sf, bw_hz) * 64 // 1000
        self._write(bytes((_SET_SYMBOL_TIMEOUT, count)))
        self._clear()
        self._write(bytes((_SET_STANDBY, 1)))  # STDBY_XOSC: no start-up time of the TCXO when the window opens
        self._switch(1, 0)

    def listen(self, sf: int, bw_hz: int, symbols: int) -> "Packet | None":
        """Open the prepared window now; a packet, or None after the symbol timeout or a broken packet."""
        limit = self._limit
        self._write(bytes((_SET_RX, limit >> 16, limit >> 8 & 255, limit & 255)))  # single mode
        start = time.ticks_ms()
        window_ms = symbols * symbol_us(sf, bw_hz) // 1000
        power.wait_ms(window_ms)  # neither timeout nor packet can be done before
        flags = self._await(start, window_ms + time_on_air_us(sf, bw_hz, 255, False) // 1000 + 50)
        self._clear()
        self._switch(0, 0)
        if not flags & _IRQ_RX_DONE:  # a broken header leaves the chip in RX
            self._write(bytes((_SET_STANDBY, 0)))
            return None
        if flags & (_IRQ_CRC_ERROR | _IRQ_HEADER_ERROR):
            return None
        return self._packet()

    def _packet(self) -> Packet:
        where = self._read(bytes((_GET_RX_BUFFER, 0)), 2)
        phy = self._read(bytes((_READ_BUFFER, where[1], 0)), where[0])
        status = self._read(bytes((_GET_PACKET_STATUS, 0)), 3)
        snr = status[1] - 256 if status[1] > 127 else status[1]
        return Packet(bytes(phy), -status[0] // 2, (snr + 2) // 4)


def _pa(dbm: int) -> "tuple[int, int, int]":
    """The smallest output stage that reaches `dbm`."""
    for row in _PA:
        if dbm <= row[0]:
            return row
    return _PA[-1]
