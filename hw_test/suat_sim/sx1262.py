"""A model of the SX1262 radio as its SPI bus shows it; the same file on MicroPython and on CPython.

Section numbers are those of the data sheet DS.SX1261-2.W.APP, revision 2.1. What it forbids is reported through
`fault(t_us, text)` and makes the run fail. Time is an integer of microseconds that the caller passes in; it must not
decrease. The waves are behind `air`:

    air.transmit(start_us, hz, sf, bw_hz, dbm, flags, preamble, airtime_us, payload)
    air.receive(open_us, close_us, hz, sf, bw_hz, flags, after_us) -> (end_us, kind, payload, rssi_dbm, snr_db)
    air.detect(open_us, close_us, hz, sf, bw_hz, flags) -> whether a sender of that kind was heard in between
"""

from suat_wire.airtime import time_on_air_us

from suat_sim.sx1262_settings import SETTERS, Settings
from suat_sim.sx1262_tables import (
    CAD_DETECTED,
    CAD_DONE,
    COMMANDS,
    CRC_ERR,
    CRC_ON,
    FS,
    HEADER,
    HEARD_BAD_CRC,
    HEARD_NOTHING,
    IMPLICIT,
    IQ_INVERTED,
    MODE_NAMES,
    NEVER,
    PREAMBLE,
    PUBLIC_SYNC,
    READ_FROM,
    RESET_REGISTERS,
    RX,
    RX_DONE,
    SLEEP,
    SLEEP_DEAF_US,
    STBY_RC,
    STBY_XOSC,
    STEP_US_DEN,
    STEP_US_NUM,
    TIMEOUT,
    TO_RX,
    TO_TX,
    TX,
    TX_DONE,
    WAKE_WARM_US,
    XOSC_START_ERR,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Air(Protocol):
        """The radio waves as one chip meets them."""

        def transmit(
            self,
            start_us: int,
            hz: int,
            sf: int,
            bw_hz: int,
            dbm: int,
            flags: int,
            preamble: int,
            airtime_us: int,
            payload: bytes,
        ) -> None: ...

        def receive(
            self, open_us: int, close_us: int, hz: int, sf: int, bw_hz: int, flags: int, after_us: int
        ) -> tuple[int, int, bytes, float, float]: ...

        def detect(self, open_us: int, close_us: int, hz: int, sf: int, bw_hz: int, flags: int) -> bool: ...


class Sx1262(Settings):
    """One chip: `nss`, `reset`, `transfer` drive it; `busy` and `dio1` are its outputs."""

    def __init__(
        self,
        air: "Air",
        fault: "Callable[[int, str], None]",
        tcxo_cv: int = 0,
        tcxo_us: int = 0,
        dio2_switch: bool = False,
        dcdc: bool = True,
        t: int = 0,
    ) -> None:
        """How the board is built, reported when the driver ignores it.

        `tcxo_cv`: supply of the TCXO on DIO3 in 1/100 V, 0 for a crystal; `tcxo_us`: how long it takes to start.
        """
        self.air = air
        self.watch: Callable[[int], None] | None = None  # told when the next change of DIO1 is known
        self.selected = False
        self.held_in_reset = False
        self.reset_since = 0
        self.event_at = NEVER
        super().__init__(fault, tcxo_cv, tcxo_us, dio2_switch, dcdc, t)

    # -- power, reset and pins ------------------------------------------------------------------------------------

    def reset(self, t: int, level: int) -> None:
        """The NRESET pin (8.1): low for 100 us."""
        if level == 0:
            if not self.held_in_reset:
                self.held_in_reset = True
                self.reset_since = t
        elif self.held_in_reset:
            self.held_in_reset = False
            if t - self.reset_since < 100:
                self.fault(t, f"NRESET low for {t - self.reset_since} us, needs 100 (8.1)")
            self.power_on(t)

    def busy(self, t: int) -> int:
        """The BUSY pin (8.3.1): high while the chip can't take a command, and in SLEEP."""
        return 1 if t < self.busy_until or self.mode == SLEEP or self.held_in_reset else 0

    def dio1(self, t: int) -> int:
        """The DIO1 pin: any enabled interrupt that is routed to it."""
        if t >= self.event_at or self.listening_since >= 0:
            self._update(t)
        return 1 if self.irq & self.dio1_mask else 0

    def _update(self, t: int) -> None:
        """Let pass what ended until `t`."""
        if self.listening_since >= 0 and self.event_at == NEVER and t > self.listened_until:
            self._listen(t)
        if t < self.event_at:
            return
        self.event_at = NEVER
        self.irq |= self.event_irq & self.irq_mask
        if self.event_irq & RX_DONE:
            self._store()
        if self.listening_since < 0:
            self.mode = self.fallback

    def _store(self) -> None:
        """A received frame goes into the buffer at the RX base address (6.1.6)."""
        self.received, self.pending = self.pending, None
        if self.received is None:
            return
        payload = self.received[0]
        at = self.rx_base
        for byte in payload:
            self.buffer[at & 0xFF] = byte
            at += 1
        self.stats[0] += 1
        if self.event_irq & CRC_ERR:
            self.stats[1] += 1

    # -- SPI ------------------------------------------------------------------------------------------------------

    def nss(self, t: int, level: int) -> None:
        """The chip select: a falling edge wakes the chip, a rising edge executes the command (8.2, 13)."""
        if level == 0:
            if self.selected:
                return
            self.selected = True
            self.command = bytearray()
            self.ignored = self.held_in_reset
            if self.mode == SLEEP:
                if t < self.deaf_until:
                    asleep = t - self.deaf_until + SLEEP_DEAF_US
                    self.fault(t, f"selected {asleep} us after SetSleep, which takes 500 (13.1.1)")
                self._wake(t)
        elif self.selected:
            self.selected = False
            if self.command and not self.ignored:
                self._execute(t)
            self.waking = self.waking and t < self.busy_until

    def _wake(self, t: int) -> None:
        """Leave SLEEP: with the configuration (warm), or as after a reset (cold) (9.3)."""
        if self.warm:
            self.mode = STBY_RC
            self.busy_until = t + WAKE_WARM_US
            self.registers[0x08AC] = RESET_REGISTERS[0x08AC]  # 9.6: not retained unless listed
        else:
            self.power_on(t)
            self.selected = True
        self.waking = True

    def write(self, t: int, data: "bytes | bytearray | memoryview") -> None:
        """Clock bytes in, nobody reads what comes out; `t` is when the first one starts."""
        if not self.selected:
            return
        command = self.command
        if not command and data:
            if t < self.busy_until:
                # The vendor's own drivers wake the chip with a GetStatus that it does not read.
                if not (self.waking and data[0] == 0xC0):
                    name = COMMANDS[data[0]][0] if data[0] in COMMANDS else f"0x{data[0]:02X}"
                    self.fault(t, f"{name} while BUSY for another {self.busy_until - t} us (8.3.1)")
                self.ignored = True
            elif t >= self.event_at or self.listening_since >= 0:
                self._update(t)
        command.extend(data)

    def transfer(self, t: int, data: "bytes | bytearray | memoryview") -> bytearray:
        """Clock bytes in and out; `t` is when the first one starts."""
        count = len(data)
        begun = len(self.command)
        self.write(t, data)
        if self.ignored or not self.selected:
            return bytearray(count)
        out = bytearray(bytes((self.mode << 4 | self.command_status << 1,)) * count)
        first = READ_FROM.get(self.command[0])
        if first is not None and begun + count > first:
            skip = first - begun if first > begun else 0
            out[skip:] = self._answer(begun + skip - first, count - skip)
        return out

    def _answer(self, start: int, count: int) -> bytes:
        """`count` bytes from `start` of what a reading command gives."""
        command = self.command
        code = command[0]
        if code == 0x1D:
            at = (command[1] << 8 | command[2]) + start
            return bytes([self._read_register(at + i) for i in range(count)])
        if code == 0x1E:
            at = command[1] + start
            if at + count > 256:
                self.fault(self.busy_until, "ReadBuffer past the end of the buffer (6.1.6)")
            return bytes([self.buffer[(at + i) & 0xFF] for i in range(count)])
        if code == 0x12:
            data = bytes((self.irq >> 8, self.irq & 0xFF))
        elif code == 0x11:
            data = bytes((self.packet_type,))
        elif code == 0x15:
            data = bytes((234,))  # -117 dBm: thermal noise in 125 kHz with a noise figure of 6 dB
        elif code == 0x13:
            data = bytes((len(self.received[0]) if self.received else 0, self.rx_base))
        elif code == 0x14:
            rssi, snr = (self.received[1], self.received[2]) if self.received else (0.0, 0.0)
            packet = max(0, min(255, round(-2 * rssi)))
            data = bytes((packet, round(4 * snr) & 0xFF, packet))  # 13.5.3
        elif code == 0x17:
            data = bytes((self.errors >> 8, self.errors & 0xFF))
        else:
            data = bytes([part for count in self.stats for part in (count >> 8 & 0xFF, count & 0xFF)])
        data += bytes(start + count)
        return data[start : start + count]

    def _read_register(self, address: int) -> int:
        if address == 0x0819:
            return (self.busy_until * 7919) & 0xFF  # the random number generator (12.1)
        return self.registers.get(address, 0)

    # -- commands -------------------------------------------------------------------------------------------------

    def _execute(self, t: int) -> None:
        """What the rising edge of NSS starts."""
        command = self.command
        code = command[0]
        known = COMMANDS.get(code)
        if known is None:
            self.command_status = 4
            self.fault(t, f"opcode 0x{code:02X} is none of the data sheet's that this model knows")
            return
        name, count, modes, busy_us = known
        given = len(command) - 1
        if given < (2 if count < 0 else count) or (count >= 0 and code not in READ_FROM and given > max(count, 1)):
            self.command_status = 4
            self.fault(t, f"{name} with {given} parameter bytes (13)")
            return
        if self.mode not in modes:
            self.command_status = 5
            self.fault(t, f"{name} in mode {MODE_NAMES[self.mode]} (13)")
            return
        self.busy_until = t + busy_us
        action = _ACTIONS.get(code)
        if action is not None:
            action(self, t, command)

    def _set_sleep(self, t: int, c: bytearray) -> None:
        self.warm = bool(c[1] & 4)
        self.mode = SLEEP
        self.deaf_until = t + SLEEP_DEAF_US
        self.buffer = bytearray(256)  # 9.3: the buffer does not survive
        self.written = (0, 0)
        self.event_at = NEVER
        self.listening_since = -1

    def _set_standby(self, t: int, c: bytearray) -> None:
        if self.mode == TX:
            self.fault(t, "SetStandby cuts a transmission short")
        if c[1] == 1 and self.tcxo and not self.tcxo_on:
            self._refuse(t, "STBY_XOSC, but the board's TCXO was never started (13.3.6)")
            self.errors |= XOSC_START_ERR
            return
        if c[1] == 1 and self.mode == STBY_RC:
            self.busy_until += self.tcxo_delay_us
        self.mode = STBY_XOSC if c[1] == 1 else STBY_RC
        self.event_at = NEVER
        self.listening_since = -1

    def _set_fs(self, t: int, c: bytearray) -> None:
        if self._oscillator(t, "SetFs"):
            self.mode = FS

    # -- radio ----------------------------------------------------------------------------------------------------

    def _ready(self, t: int, name: str) -> bool:
        """What transmission and reception both need (14.2, 14.3)."""
        if not self._oscillator(t, name):
            return False
        lack = (
            (self.packet_type != 1, "SetPacketType"),
            (self.hz == 0, "SetRfFrequency"),
            (self.modulation is None, "SetModulationParams"),
            (self.packet is None, "SetPacketParams"),
            (not self.calibrated, "Calibrate after the TCXO's start (13.3.6)"),
            (self.dio2_switch and not self.dio2_on, "SetDIO2AsRfSwitchCtrl, which the board's antenna switch needs"),
        )
        for missing, what in lack:
            if missing:
                self._refuse(t, f"{name} without {what}")
                return False
        low, high = self.image[0] * 4000000, self.image[1] * 4000000
        if not low <= self.hz <= high:
            self.fault(t, f"{name} at {self.hz} Hz without image calibration for that band (9.2.1)")
        inverted = self.packet[4] == 1  # type: ignore[index]
        if bool(self.registers[0x0736] & 4) == inverted:
            self.fault(t, f"{name} with register 0x0736 wrong for this IQ polarity (15.4)")
        return True

    def _flags(self) -> int:
        _, implicit, _, crc, inverted = self.packet  # type: ignore[misc]
        public = self.registers[0x0740] == 0x34 and self.registers[0x0741] == 0x44
        return (
            (IQ_INVERTED if inverted else 0)
            | (CRC_ON if crc else 0)
            | (IMPLICIT if implicit else 0)
            | (PUBLIC_SYNC if public else 0)
        )

    def _start_delay(self, table: "dict[int, int]") -> int:
        """Switching time, with the TCXO's start when it stands still [us]."""
        return table[self.mode] + (self.tcxo_delay_us if self.mode == STBY_RC else 0)

    def _set_tx(self, t: int, c: bytearray) -> None:
        if self.mode == TX:
            self._refuse(t, "SetTx during a transmission")
            return
        if not self._ready(t, "SetTx"):
            return
        if not self.pa_set or self.tx_params is None:
            self._refuse(t, "SetTx without SetPaConfig and SetTxParams (14.2)")
            return
        sf, bw, cr, _ = self.modulation  # type: ignore[misc]
        preamble, implicit, length, crc, _ = self.packet  # type: ignore[misc]
        base = self.tx_base
        if base + length > 256 or self.written[0] > base or self.written[1] < base + length:
            self._refuse(t, f"SetTx of {length} bytes at {base}, but {self.written} was written (14.2)")
            return
        if bool(self.registers[0x0889] & 4) == (bw == 500000):
            self.fault(t, "SetTx with register 0x0889 wrong for this bandwidth (15.1)")
        if self.registers[0x08D8] & 0x1E != 0x1E:
            self.fault(t, "SetTx with register 0x08D8 not set against antenna mismatch (15.2)")
        power, ramp = self.tx_params
        start = t + self._start_delay(TO_TX) + ramp
        airtime = time_on_air_us(sf, bw, length, bool(crc), cr, preamble, not implicit)
        limit = (c[1] << 16 | c[2] << 8 | c[3]) * STEP_US_NUM // STEP_US_DEN
        self.busy_until = start
        self.mode = TX
        self.listening_since = -1
        self.event_at, self.event_irq = start + airtime, TX_DONE
        if limit and limit < airtime:
            self.event_at, self.event_irq = start + limit, TIMEOUT
            self.fault(t, f"the time-out of SetTx ({limit} us) is shorter than the frame ({airtime} us)")
            return
        payload = bytes(self.buffer[base : base + length])
        self.air.transmit(start, self.hz, sf, bw, power - 22 + self.pa_dbm, self._flags(), preamble, airtime, payload)
        self._tell_watch()

    def _set_rx(self, t: int, c: bytearray) -> None:
        if self.mode == TX:
            self._refuse(t, "SetRx during a transmission")
            return
        if not self._ready(t, "SetRx"):
            return
        start = t + self._start_delay(TO_RX)
        self.busy_until = start
        self.mode = RX
        steps = c[1] << 16 | c[2] << 8 | c[3]
        self.listening_since = -1
        close = NEVER
        sf, bw = self.modulation[0], self.modulation[1]  # type: ignore[index]
        if steps != 0xFFFFFF:
            if steps:
                close = start + steps * STEP_US_NUM // STEP_US_DEN
            if self.symbols:
                close = min(close, start + self.symbols * (1 << sf) * 1000000 // bw)  # 13.4.9
        if close == NEVER:
            self.listening_since = start
            self.listened_until = start
            self.single = steps == 0
            self.event_at = NEVER
            return
        self._apply(self.air.receive(start, close, self.hz, sf, bw, self._flags(), 0))
        self._tell_watch()

    def _set_cad(self, t: int, c: bytearray) -> None:
        """Channel activity detection: so many symbols, then half a symbol to think (6.1.5)."""
        if not self._ready(t, "SetCad"):
            return
        if not self.cad_symbols:
            self._refuse(t, "SetCad without SetCadParams (13.1.6)")
            return
        sf, bw = self.modulation[0], self.modulation[1]  # type: ignore[index]
        start = t + self._start_delay(TO_RX)
        symbol = (1 << sf) * 1000000 // bw
        close = start + self.cad_symbols * symbol
        self.busy_until = start
        self.mode = RX
        self.listening_since = -1
        heard = self.air.detect(start, close, self.hz, sf, bw, self._flags())
        self.event_at, self.event_irq = close + symbol // 2, CAD_DONE | (CAD_DETECTED if heard else 0)
        self._tell_watch()

    def listen_until(self, t: int) -> None:
        """Nobody looks at the chip before `t`: ask now what a reception without end will hear until then."""
        if self.listening_since >= 0 and self.event_at == NEVER and t > self.listened_until:
            self._listen(t)

    def _listen(self, t: int) -> None:
        """Reception without end: ask for what came since it was last looked at."""
        sf, bw = self.modulation[0], self.modulation[1]  # type: ignore[index]
        heard = self.air.receive(self.listening_since, t, self.hz, sf, bw, self._flags(), self.listened_until)
        self.listened_until = max(t, heard[0])
        if heard[1] != HEARD_NOTHING:
            self._apply(heard)
            if self.single:
                self.listening_since = -1
            self._tell_watch()

    def _apply(self, heard: "tuple[int, int, bytes, float, float]") -> None:
        end, kind, payload, rssi, snr = heard
        self.event_at = end
        if kind == HEARD_NOTHING:
            self.event_irq = TIMEOUT
            return
        self.pending = (payload, rssi, snr)
        self.event_irq = RX_DONE | PREAMBLE | HEADER | (CRC_ERR if kind == HEARD_BAD_CRC else 0)

    def _tell_watch(self) -> None:
        if self.watch is not None:
            self.watch(self.event_at)


_ACTIONS: "dict[int, Callable[[Any, int, bytearray], None]]" = dict(SETTERS)
_ACTIONS.update(
    {
        0x84: Sx1262._set_sleep,
        0x80: Sx1262._set_standby,
        0xC1: Sx1262._set_fs,
        0x83: Sx1262._set_tx,
        0x82: Sx1262._set_rx,
        0xC5: Sx1262._set_cad,
    }
)
