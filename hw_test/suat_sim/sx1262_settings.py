"""What an SX1262 is told before it sends or listens, and what the data sheet forbids in it (see sx1262.py)."""

from suat_sim.sx1262_tables import (
    BANDWIDTHS,
    FS,
    NEVER,
    PA_DBM,
    RAMP_US,
    RESET_REGISTERS,
    STBY_RC,
    STBY_XOSC,
    STEP_US_DEN,
    STEP_US_NUM,
    TCXO_CODES,
    WAKE_COLD_US,
    XOSC_START_ERR,
    XTAL_STEP,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Settings:
    """The state of the chip and the commands that only set it."""

    def __init__(
        self, fault: "Callable[[int, str], None]", tcxo_cv: int, tcxo_us: int, dio2_switch: bool, dcdc: bool, t: int
    ) -> None:
        self.fault = fault
        self.tcxo = tcxo_cv > 0
        self.tcxo_cv = tcxo_cv
        self.tcxo_us = tcxo_us
        self.dio2_switch = dio2_switch
        self.dcdc = dcdc
        self.power_on(t)

    def power_on(self, t: int) -> None:
        """The state after power-on or NRESET (8.1, 9.1)."""
        self.mode = STBY_RC
        self.busy_until = t + WAKE_COLD_US
        self.deaf_until = 0
        self.waking = False
        self.registers: dict[int, int] = dict(RESET_REGISTERS)
        self.buffer = bytearray(256)
        self.written = (0, 0)  # the last range written into the buffer
        self.packet_type = 0
        self.hz = 0
        self.modulation: tuple[int, int, int, int] | None = None
        self.packet: tuple[int, int, int, int, int] | None = None
        self.pa_set = False
        self.pa_dbm = 22
        self.tx_params: tuple[int, int] | None = None
        self.tx_base = 0
        self.rx_base = 0
        self.symbols = 0
        self.cad_symbols = 0  # 0: SetCadParams was never sent
        self.stop_on_preamble = 0
        self.fallback = STBY_RC
        self.image = (0xE1, 0xE9)  # 9.2.1: calibrated for 902-928 MHz at power-on
        self.tcxo_delay_us = 0
        self.tcxo_on = False
        self.calibrated = not self.tcxo  # with a TCXO the calibration at power-on fails (13.3.6)
        self.errors = XOSC_START_ERR if self.tcxo else 0
        self.dio2_on = False
        self.irq = 0
        self.irq_mask = 0
        self.dio1_mask = 0
        self.event_at = NEVER  # when TX or RX ends
        self.event_irq = 0
        self.received: tuple[bytes, float, float] | None = None
        self.pending: tuple[bytes, float, float] | None = None
        self.listening_since = -1  # continuous reception: its start
        self.listened_until = 0
        self.stats = [0, 0, 0]
        self.command = bytearray()
        self.ignored = False
        self.command_status = 1

    def _refuse(self, t: int, text: str) -> None:
        self.command_status = 5
        self.fault(t, text)

    def _oscillator(self, t: int, name: str) -> bool:
        """Whether the 32 MHz clock can run (13.3.6)."""
        if self.tcxo and not self.tcxo_on:
            self.errors |= XOSC_START_ERR
            self._refuse(t, name + ", but the board's TCXO was never started (13.3.6)")
            return False
        return True

    def _set_regulator(self, t: int, c: bytearray) -> None:
        if c[1] == 1 and not self.dcdc:
            self._refuse(t, "DC-DC chosen, but the board has no inductor for it (5.1)")

    def _calibrate(self, t: int, c: bytearray) -> None:
        if not self._oscillator(t, "Calibrate"):
            return
        self.busy_until += self.tcxo_delay_us
        if c[1] & 0x7F == 0x7F:
            self.calibrated = True
        if c[1] & 0x40:
            self.image = (0xE1, 0xE9)

    def _calibrate_image(self, t: int, c: bytearray) -> None:
        if self._oscillator(t, "CalibrateImage"):
            self.image = (c[1], c[2])

    def _set_pa(self, t: int, c: bytearray) -> None:
        if c[1] > 4 or c[2] > 7 or c[3] != 0 or c[4] != 1:
            self._refuse(t, f"SetPaConfig {c[1]} {c[2]} {c[3]} {c[4]} is out of the SX1262's range (13.1.14)")
            return
        self.pa_set = True
        self.pa_dbm = PA_DBM.get((c[1], c[2]), 22)

    def _set_fallback(self, t: int, c: bytearray) -> None:
        mode = {0x20: STBY_RC, 0x30: STBY_XOSC, 0x40: FS}.get(c[1])
        if mode is None:
            self._refuse(t, f"SetRxTxFallbackMode 0x{c[1]:02X} (13.1.15)")
            return
        self.fallback = mode

    def _write_register(self, t: int, c: bytearray) -> None:
        at = c[1] << 8 | c[2]
        for byte in c[3:]:
            self.registers[at] = byte
            at += 1

    def _write_buffer(self, t: int, c: bytearray) -> None:
        start, end = c[1], c[1] + len(c) - 2
        if end > 256:
            self._refuse(t, f"WriteBuffer of {len(c) - 2} bytes at {start} overruns the buffer (6.1.6)")
            return
        self.buffer[start:end] = c[2:]
        self.written = (start, end)

    def _set_dio_irq(self, t: int, c: bytearray) -> None:
        self.irq_mask = c[1] << 8 | c[2]
        self.dio1_mask = c[3] << 8 | c[4]

    def _clear_irq(self, t: int, c: bytearray) -> None:
        self.irq &= ~(c[1] << 8 | c[2])

    def _set_dio2(self, t: int, c: bytearray) -> None:
        self.dio2_on = c[1] == 1

    def _set_tcxo(self, t: int, c: bytearray) -> None:
        if not self.tcxo:
            self._refuse(t, "SetDIO3AsTCXOCtrl, but the board has a crystal (13.3.6)")
            return
        delay = (c[2] << 16 | c[3] << 8 | c[4]) * STEP_US_NUM // STEP_US_DEN
        if c[1] != TCXO_CODES[self.tcxo_cv]:
            self._refuse(t, f"TCXO voltage 0x{c[1]:02X}, but the board's needs {self.tcxo_cv / 100} V (13.3.6)")
        elif delay < self.tcxo_us:
            self._refuse(t, f"the TCXO is given {delay} us to start, it needs {self.tcxo_us} (13.3.6)")
            self.errors |= XOSC_START_ERR
        else:
            self.tcxo_on = True
            self.calibrated = False
            self.tcxo_delay_us = delay

    def _set_frequency(self, t: int, c: bytearray) -> None:
        steps = c[1] << 24 | c[2] << 16 | c[3] << 8 | c[4]
        self.hz = (steps * 32000000 + XTAL_STEP // 2) // XTAL_STEP

    def _set_packet_type(self, t: int, c: bytearray) -> None:
        if c[1] != self.packet_type and self.mode != STBY_RC:
            self._refuse(t, "the packet type changes in STBY_RC only (13.4.2)")
            return
        self.packet_type = c[1]
        if c[1] != 1:
            self._refuse(t, f"packet type {c[1]}: this model knows LoRa only")

    def _set_tx_params(self, t: int, c: bytearray) -> None:
        power = c[1] - 256 if c[1] > 127 else c[1]
        if not self.pa_set:
            self._refuse(t, "SetTxParams before SetPaConfig (14.2)")
        elif not -9 <= power <= 22 or c[2] > 7:
            self._refuse(t, f"SetTxParams {power} dBm, ramp {c[2]} (13.4.4)")
        else:
            self.tx_params = (power, RAMP_US[c[2]])

    def _set_modulation(self, t: int, c: bytearray) -> None:
        bw = BANDWIDTHS.get(c[2])
        if self.packet_type != 1:
            self._refuse(t, "SetModulationParams before SetPacketType (13.4.5)")
        elif len(c) < 5 or bw is None or not 5 <= c[1] <= 12 or not 1 <= c[3] <= 4 or c[4] > 1:
            self._refuse(t, f"SetModulationParams {c[1:]} (13.4.5.2)")
        elif ((1 << c[1]) * 1000 >= 16 * bw) != bool(c[4]):
            self._refuse(t, "low data rate optimisation is for symbols of 16.38 ms or more (6.1.1.4)")
        else:
            self.modulation = (c[1], bw, c[3], c[4])

    def _set_packet(self, t: int, c: bytearray) -> None:
        if self.packet_type != 1:
            self._refuse(t, "SetPacketParams before SetPacketType (13.4.6)")
        elif len(c) < 7 or c[3] > 1 or c[5] > 1 or c[6] > 1:
            self._refuse(t, f"SetPacketParams {c[1:]} (13.4.6.2)")
        else:
            self.packet = (c[1] << 8 | c[2], c[3], c[4], c[5], c[6])

    def _set_cad_params(self, t: int, c: bytearray) -> None:
        if c[1] > 4 or c[4] > 1:
            self._refuse(t, f"SetCadParams {c[1:]} (13.4.7)")
        elif c[4] == 1:
            self._refuse(t, "CAD followed by reception is not in this model")
        else:
            self.cad_symbols = 1 << c[1]

    def _set_base(self, t: int, c: bytearray) -> None:
        self.tx_base, self.rx_base = c[1], c[2]

    def _set_symbols(self, t: int, c: bytearray) -> None:
        self.symbols = c[1]

    def _stop_timer(self, t: int, c: bytearray) -> None:
        self.stop_on_preamble = c[1]

    def _clear_errors(self, t: int, c: bytearray) -> None:
        self.errors = 0

    def _reset_stats(self, t: int, c: bytearray) -> None:
        self.stats = [0, 0, 0]


SETTERS: "dict[int, Callable[[Any, int, bytearray], None]]" = {
    0x9F: Settings._stop_timer,
    0x96: Settings._set_regulator,
    0x89: Settings._calibrate,
    0x98: Settings._calibrate_image,
    0x95: Settings._set_pa,
    0x93: Settings._set_fallback,
    0x0D: Settings._write_register,
    0x0E: Settings._write_buffer,
    0x08: Settings._set_dio_irq,
    0x02: Settings._clear_irq,
    0x9D: Settings._set_dio2,
    0x97: Settings._set_tcxo,
    0x86: Settings._set_frequency,
    0x8A: Settings._set_packet_type,
    0x8E: Settings._set_tx_params,
    0x8B: Settings._set_modulation,
    0x8C: Settings._set_packet,
    0x88: Settings._set_cad_params,
    0x8F: Settings._set_base,
    0xA0: Settings._set_symbols,
    0x07: Settings._clear_errors,
    0x00: Settings._reset_stats,
}
