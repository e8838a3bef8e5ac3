"""The bench's radio on the pins of an RP2040 that runs inside `rp2040py`: the node's program on real ARM code.

The chip model and the air are those of all other nodes. The emulated processor stands still while its receiver is open:
the fleet's time then runs ahead to the end of the window, so that the verdict is known when the SPI bus is read again.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from suat_sim.air import Frame, Window
from suat_sim.fleet import Fleet
from suat_sim.sx1262 import Sx1262
from suat_sim.sx1262_tables import NEVER

HIGH = (1, 3)  # GPIOPinState of rp2040py: driven high, or an input with its pull-up


class Waves:
    """What the chip model takes for the air: a guest in a fleet."""

    def __init__(self, fleet: Fleet, name: str, x_m: float) -> None:
        self.fleet = fleet
        self.name = name
        self.index = len(fleet.nodes)
        fleet.air.place(name, x_m, 0.0)

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
    ) -> None:
        """A frame leaves."""
        number = self.fleet.air.number(self.name)
        end_us = start_us + airtime_us
        frame = Frame(self.name, number, start_us, end_us, hz, sf, bw_hz, dbm, flags, preamble, payload)
        self.fleet.put(frame, self.index)

    def receive(
        self, open_us: int, close_us: int, hz: int, sf: int, bw_hz: int, flags: int, after_us: int
    ) -> tuple[int, int, bytes, float, float]:
        """What the receiver hears until it closes."""
        verdict: list[tuple[int, int, bytes, float, float]] = []

        def answer(*heard: Any) -> None:
            verdict.append(heard)

        self.fleet.open(Window(self.name, open_us, close_us, hz, sf, bw_hz, flags, after_us, answer), self.index)
        self.fleet.run(close_us / 1e6)
        return verdict[0]

    def detect(self, open_us: int, close_us: int, hz: int, sf: int, bw_hz: int, flags: int) -> bool:
        """The guest is alone on the air."""
        return False


class RadioOnPins:
    """An external device of rp2040py: SPI bus, NSS, NRESET, BUSY and DIO1 as the board's file wires them."""

    def __init__(self, board: ModuleType, waves: Waves) -> None:
        self.board = board
        self.waves = waves
        self.faults: list[str] = []

    def attach(self, rp2040: Any) -> None:
        """Wire it up, before the power is on."""
        board = self.board
        self.clock = rp2040.clock
        self.radio = Sx1262(
            self.waves, self._fault, board.TCXO_CV, board.TCXO_US, board.DIO2_RF_SWITCH, board.DCDC, self._now() - 10000
        )
        self.busy, self.dio1 = rp2040.gpio[board.BUSY], rp2040.gpio[board.DIO1]
        self.alarm = rp2040.clock.create_alarm(self._show)
        self.spi = rp2040.spi[board.SPI_ID]
        self.spi.on_transmit = self._byte
        rp2040.gpio[board.NSS].add_listener(lambda state, _: self._pin(self.radio.nss, state))
        rp2040.gpio[board.RESET].add_listener(lambda state, _: self._pin(self.radio.reset, state))
        self._show()

    def _now(self) -> int:
        return int(self.clock.nanos // 1000)

    def _fault(self, t_us: int, text: str) -> None:
        self.faults.append(f"{t_us / 1e6:.6f} s: {text}")

    def _byte(self, value: int) -> None:
        answer = self.radio.transfer(self._now(), bytes((value,)))
        self.spi.complete_transmit(answer[0])

    def _pin(self, move: Any, state: int) -> None:
        move(self._now(), 1 if state in HIGH else 0)
        self._show()

    def _show(self) -> None:
        """The outputs as they are now, and again when the model knows that they change."""
        now = self._now()
        self.busy.set_input_value(bool(self.radio.busy(now)))
        self.dio1.set_input_value(bool(self.radio.dio1(now)))
        due = [at for at in (self.radio.busy_until, self.radio.event_at) if now < at < NEVER]
        if due:
            self.alarm.schedule((min(due) - now) * 1000 + 1)
