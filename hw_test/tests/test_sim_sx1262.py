"""The radio's model: what a right driver gets, and what the data sheet's rules do to a wrong one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from suat_sim.sx1262 import Sx1262
from suat_sim.sx1262_tables import CAD_DETECTED, CAD_DONE, RX_DONE, TIMEOUT, TX_DONE

HZ = 865_062_500
SETUP: dict[str, list[int]] = {
    "standby": [0x80, 0],
    "tcxo": [0x97, 2, 0, 1, 0x40],
    "clear errors": [0x07, 0, 0],
    "calibrate": [0x89, 0x7F],
    "regulator": [0x96, 1],
    "switch": [0x9D, 1],
    "type": [0x8A, 1],
    "image": [0x98, 0xD7, 0xDB],
    "frequency": [0x86, *((HZ << 25) // 32_000_000).to_bytes(4, "big")],
    "modulation": [0x8B, 9, 4, 1, 0],
    "packet": [0x8C, 0, 8, 0, 20, 1, 0],
    "pa": [0x95, 2, 2, 0, 1],
    "power": [0x8E, 22, 4],
    "sync": [0x0D, 0x07, 0x40, 0x34, 0x44],
    "quality": [0x0D, 0x08, 0x89, 0x05],
    "clamp": [0x0D, 0x08, 0xD8, 0xDE],
    "irq": [0x08, 0x02, 0x63, 0x02, 0x63, 0, 0, 0, 0],
    "base": [0x8F, 0, 0],
    "buffer": [0x0E, 0, *range(20)],
}
SEND = [0x83, 0, 0, 0]
LISTEN = [0x82, 0, 0, 0]


class Bench:
    """A chip, the waves around it, and a clock."""

    def __init__(self, tcxo_cv: int = 180, dio2: bool = True, dcdc: bool = True) -> None:
        self.faults: list[str] = []
        self.sent: list[tuple[int, ...]] = []
        self.answer: Callable[[int, int], tuple[int, int, bytes, float, float]] = lambda start, close: (
            close, 0, b"", 0.0, 0.0,
        )  # fmt: skip
        self.noisy = False
        self.looks: list[tuple[int, ...]] = []
        self.chip = Sx1262(self, lambda t, text: self.faults.append(text), tcxo_cv, 5000, dio2, dcdc)
        self.t = 20_000

    def transmit(
        self, start: int, hz: int, sf: int, bw: int, dbm: int, flags: int, pre: int, air: int, data: bytes
    ) -> None:
        self.sent.append((start, hz, sf, bw, dbm, flags, pre, air, len(data)))

    def receive(
        self, start: int, close: int, hz: int, sf: int, bw: int, flags: int, after: int
    ) -> tuple[int, int, bytes, float, float]:
        return self.answer(start, close)

    def detect(self, start: int, close: int, hz: int, sf: int, bw: int, flags: int) -> bool:
        self.looks.append((start, close, sf, flags))
        return self.noisy

    def wait(self, us: int = 200_000) -> None:
        """Until the chip is ready."""
        end = self.t + us
        while self.chip.busy(self.t) and self.t < end:
            self.t += 10

    def command(self, data: list[int], wait: bool = True) -> bytes:
        """One SPI transaction."""
        if wait:
            self.wait()
        self.chip.nss(self.t, 0)
        out = self.chip.transfer(self.t, bytes(data))
        self.t += len(data)
        self.chip.nss(self.t, 1)
        self.t += 1
        return bytes(out)

    def set_up(self, *, without: str = "", **changed: list[int]) -> Bench:
        """A right initialisation, with a step left out or changed."""
        for name, data in SETUP.items():
            if name != without:
                self.command(changed.get(name.replace(" ", "_"), data))
        return self


def test_a_right_driver_sends_without_complaint_at_the_right_instant() -> None:
    bench = Bench().set_up()
    bench.command(SEND)
    called = bench.t - 1
    start, hz, sf, bw, dbm, _, preamble, air, size = bench.sent[0]
    assert (round(hz, -2), sf, bw, dbm, preamble, size) == (HZ, 9, 125_000, 14, 8, 20)
    # 126 us from STBY_RC (table 8-2), 200 us ramp, the TCXO's start of 320 * 15.625 us
    assert start == called + 126 + 200 + 5000
    assert air == 185_344  # Semtech's LoRa calculator: SF9, 125 kHz, 20 bytes, 4/5, CRC, preamble 8
    assert bench.chip.dio1(start + air - 1) == 0
    assert bench.chip.dio1(start + air) == 1
    assert bench.chip.irq == TX_DONE
    assert bench.faults == []


def test_the_status_byte_names_the_mode() -> None:
    bench = Bench().set_up()
    assert bench.command([0xC0, 0])[1] >> 4 & 7 == 2  # STBY_RC
    bench.command(SEND)
    bench.wait()
    assert bench.command([0xC0, 0])[1] >> 4 & 7 == 6  # TX


@pytest.mark.parametrize("noisy", [False, True])
def test_channel_activity_detection_takes_its_symbols_and_half_a_one(noisy: bool) -> None:
    bench = Bench().set_up(irq=[0x08, 0x01, 0x80, 0x01, 0x80, 0, 0, 0, 0])
    bench.noisy = noisy
    bench.command([0x88, 2, 23, 10, 0, 0, 0, 0])
    bench.command([0xC5])
    called = bench.t - 1
    start, close, sf, _ = bench.looks[0]
    # 83 us from STBY_RC to RX (table 8-2), the TCXO's start; four symbols of 4.096 ms
    assert (start, close, sf) == (called + 83 + 5000, start + 4 * 4096, 9)
    assert bench.chip.dio1(close + 2047) == 0
    assert bench.chip.dio1(close + 2048) == 1
    assert bench.chip.irq == CAD_DONE | (CAD_DETECTED if noisy else 0)
    bench.t = close + 3000
    assert bench.command([0xC0, 0])[1] >> 4 & 7 == 2, "in STBY_RC again"
    assert bench.faults == []


def test_activity_detection_needs_its_parameters() -> None:
    bench = Bench().set_up()
    bench.command([0xC5])
    assert len(bench.faults) == 1 and "without SetCadParams" in bench.faults[0]
    bench.command([0x88, 5, 23, 10, 0, 0, 0, 0])
    assert "13.4.7" in bench.faults[1]


def test_a_received_frame_is_read_back_with_its_level() -> None:
    bench = Bench().set_up(packet=[0x8C, 0, 8, 0, 255, 0, 1])
    bench.command([0x0D, 0x07, 0x36, 0x09])  # 15.4
    bench.command([0xA0, 12])
    bench.answer = lambda start, close: (start + 100_000, 1, b"down", -97.5, -6.25)
    bench.command(LISTEN)
    bench.t += 200_000
    assert bench.chip.dio1(bench.t)
    assert bench.command([0x12, 0, 0, 0])[2:] == bytes((RX_DONE >> 8, RX_DONE))
    length, at = bench.command([0x13, 0, 0, 0])[2:]
    assert bench.command([0x1E, at, 0, *bytes(length)])[3:] == b"down"
    rssi, snr, _ = bench.command([0x14, 0, 0, 0, 0])[2:]
    assert (-rssi / 2, (snr - 256) / 4) == (-97.5, -6.25)
    assert bench.faults == []


def test_the_symbol_timeout_ends_a_window() -> None:
    bench = Bench().set_up(packet=[0x8C, 0, 8, 0, 255, 0, 1])
    bench.command([0x0D, 0x07, 0x36, 0x09])
    bench.command([0xA0, 12])
    bench.command(LISTEN)
    start = bench.t - 1 + 83 + 5000
    assert bench.chip.dio1(start + 12 * 4096 - 1) == 0
    assert bench.chip.dio1(start + 12 * 4096) == 1
    assert bench.chip.irq == TIMEOUT


def test_a_command_while_busy_is_reported_and_ignored() -> None:
    bench = Bench().set_up()
    bench.command([0x89, 0x7F])
    bench.command([0x80, 1], wait=False)
    assert "SetStandby while BUSY" in bench.faults[0]
    bench.wait()
    assert bench.command([0xC0, 0])[1] >> 4 & 7 == 2


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("tcxo", "TCXO was never started"),
        ("calibrate", "Calibrate after the TCXO"),
        ("switch", "SetDIO2AsRfSwitchCtrl"),
        ("type", "before SetPacketType"),
        ("image", "without image calibration"),
        ("frequency", "without SetRfFrequency"),
        ("modulation", "without SetModulationParams"),
        ("packet", "without SetPacketParams"),
        ("pa", "SetPaConfig"),
        ("power", "SetPaConfig and SetTxParams"),
        ("quality", "0x0889"),
        ("clamp", "0x08D8"),
        ("buffer", "was written"),
    ],
)
def test_a_step_left_out_is_reported(step: str, words: str) -> None:
    bench = Bench().set_up(without=step)
    bench.command(SEND)
    assert any(words in fault for fault in bench.faults), bench.faults


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([0x0E, 250, *bytes(10)], "overruns the buffer"),
        ([0x8E, 23, 4], "SetTxParams 23 dBm"),
        ([0x95, 5, 7, 0, 1], "SetPaConfig 5 7 0 1"),
        ([0x8B, 12, 4, 1, 0], "low data rate"),
        ([0x8B, 13, 4, 1, 1], "SetModulationParams"),
        ([0x8C, 0, 8, 0], "SetPacketParams"),
        ([0x86, 1, 2], "SetRfFrequency with 2 parameter bytes"),
        ([0x55], "opcode 0x55"),
        ([0x97, 9, 0, 1, 0x40], "TCXO voltage 0x09"),
        ([0x97, 7, 0, 1, 0x40], "the board's needs 1.8 V"),
        ([0x97, 2, 0, 1, 0x3F], "given 4984 us to start"),
        ([0x15, 0, 0], "GetRssiInst in mode STBY_RC"),
    ],
)
def test_a_wrong_parameter_is_reported(data: list[int], words: str) -> None:
    bench = Bench().set_up()
    bench.command(data)
    assert [fault for fault in bench.faults if words in fault], bench.faults


def test_what_the_board_lacks_must_not_be_switched_on() -> None:
    bench = Bench(tcxo_cv=0, dcdc=False)
    bench.command(SETUP["tcxo"])
    bench.command(SETUP["regulator"])
    assert ["crystal" in bench.faults[0], "inductor" in bench.faults[1]] == [True, True]


def test_settings_during_a_transmission_are_refused() -> None:
    bench = Bench().set_up()
    bench.command(SEND)
    bench.wait()
    bench.command(SETUP["frequency"])
    bench.command(SETUP["image"])
    bench.command([0x84, 4])
    assert [fault.split(" (")[0] for fault in bench.faults] == [
        "SetRfFrequency in mode TX", "CalibrateImage in mode TX", "SetSleep in mode TX",
    ]  # fmt: skip


def test_sleep_keeps_the_settings_when_warm_and_the_buffer_never() -> None:
    for config, kept in ((4, True), (0, False)):
        bench = Bench().set_up()
        bench.command([0x84, config])
        bench.t += 1000
        assert bench.chip.busy(bench.t) == 1
        bench.chip.nss(bench.t, 0)
        bench.t += 500
        bench.chip.nss(bench.t, 1)
        bench.wait()
        assert (bench.chip.hz != 0) == kept
        bench.command(SEND)
        assert bench.faults  # the payload is gone in both cases
        assert not bench.sent


def test_waking_too_soon_after_sleep_is_reported() -> None:
    bench = Bench().set_up()
    bench.command([0x84, 4])
    bench.t += 100
    bench.chip.nss(bench.t, 0)
    assert "after SetSleep, which takes 500" in bench.faults[0]


def test_a_short_reset_pulse_is_reported_and_a_long_one_forgets_everything() -> None:
    bench = Bench().set_up()
    bench.chip.reset(bench.t, 0)
    bench.chip.reset(bench.t + 50, 1)
    assert "NRESET low for 50 us" in bench.faults[0]
    bench.chip.reset(bench.t + 100, 0)
    bench.chip.reset(bench.t + 300, 1)
    assert bench.chip.hz == 0
    assert len(bench.faults) == 1


def test_a_timeout_shorter_than_the_frame_is_reported() -> None:
    bench = Bench().set_up()
    bench.command([0x83, 0, 0x10, 0])  # 64 ms
    assert "shorter than the frame" in bench.faults[0]
    assert not bench.sent


def test_reception_without_end_hears_what_came_since_it_was_last_looked_at() -> None:
    bench = Bench().set_up()
    asked: list[tuple[int, int]] = []

    def air(start: int, close: int) -> tuple[int, int, bytes, float, float]:
        asked.append((start, close))
        return (close - 5, 1, b"x", -80.0, 5.0) if len(asked) == 2 else (close, 0, b"", 0.0, 0.0)

    bench.answer = air
    bench.command([0x82, 0xFF, 0xFF, 0xFF])
    bench.wait()
    bench.t += 50_000
    assert bench.chip.dio1(bench.t) == 0
    bench.t += 50_000
    assert bench.chip.dio1(bench.t) == 1
    assert bench.command([0xC0, 0])[1] >> 4 & 7 == 5  # still RX
    assert bench.faults == []
