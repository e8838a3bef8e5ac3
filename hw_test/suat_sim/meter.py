"""What a node spends its time on, counted at its hardware: for `suat-bench energy`. Runs on MicroPython.

Microseconds since the start by activity; a line `meter {...}` goes to the node's log now and then, and after it

    at       true time of the line
    wakes    starts of the program, or on an RP2040 pauses of its light sleep
    awake    the processor runs, its start included
    light    light sleep (RP2040)
    tx       {dBm: on the air}
    frames   sent
    rx       the receiver listens
    radio    the radio is not in its own sleep
    on       {pin: a sensor's supply, or Vext, is on}

It is put around the board from outside, so that runs without it cost nothing.
"""

import json

from suat_sim.sx1262_tables import SLEEP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from suat_sim.board import Board

REPORT_US = 600000000
WAKE_US = 100000  # awake for less, an RP2040 has only fed its watchdog


class Meter:
    """Counts for one board; `install` puts it in place."""

    def __init__(self, board: "Board", supplies: "dict[int, int]") -> None:
        """`supplies`: pin -> the level at which it feeds something."""
        self.board = board
        self.supplies = supplies
        self.totals: dict[str, Any] = {"wakes": 0, "awake": 0, "light": 0, "frames": 0, "rx": 0, "radio": 0}
        self.totals["tx"] = {}
        self.totals["on"] = {str(pin): 0 for pin in supplies}
        self.on_since: dict[int, int] = {}
        self.radio_since = board.clock.now
        self.awake_since = board.clock.now
        self.reported = 0

    def install(self) -> None:
        """Put the counting around what the program and the radio call."""
        board: Any = self.board
        radio: Any = board.radio
        boot, sleep, deepsleep, written = board.boot, board.sleep, board.deepsleep, board.pin_written
        transmit, receive, nss, reset = board.transmit, board.receive, radio.nss, radio.reset

        def counted_boot() -> None:
            self.totals["wakes"] += 1
            self.awake_since = board.clock.now
            self.on_since = {}
            boot()

        def counted_sleep(us: int, light: bool = False) -> None:
            if not light:
                sleep(us)
                return
            before = board.clock.now
            self._rest()
            sleep(us, True)
            self.awake_since = board.clock.now
            self.totals["light"] += board.clock.now - before

        def counted_deepsleep(us: int) -> None:
            self._rest()
            for pin in list(self.on_since):  # a pin that is let go feeds nothing
                if pin not in board.held:
                    self._supply(pin, False)
            deepsleep(us)

        def counted_pin(number: int, level: int) -> None:
            written(number, level)
            if number in self.supplies:
                self._supply(number, board.levels[number] == self.supplies[number])

        def counted_frame(*frame: "Any") -> None:
            tx = self.totals["tx"]
            tx[str(frame[4])] = tx.get(str(frame[4]), 0) + frame[7]
            self.totals["frames"] += 1
            transmit(*frame)

        def counted_window(*window: "Any") -> "Any":
            heard = receive(*window)
            self.totals["rx"] += heard[0] - window[0]
            return heard

        def counted_nss(t: int, level: int) -> None:
            slept = radio.mode == SLEEP
            nss(t, level)
            self._radio(t, slept)

        def counted_reset(t: int, level: int) -> None:
            slept = radio.mode == SLEEP
            reset(t, level)
            self._radio(t, slept)

        board.boot, board.sleep, board.deepsleep, board.pin_written = (
            counted_boot,
            counted_sleep,
            counted_deepsleep,
            counted_pin,
        )
        board.transmit, board.receive = counted_frame, counted_window
        radio.nss, radio.reset = counted_nss, counted_reset

    def _radio(self, t: int, slept: bool) -> None:
        sleeps = self.board.radio.mode == SLEEP
        if slept and not sleeps:
            self.radio_since = t
        elif sleeps and not slept:
            self.totals["radio"] += t - self.radio_since

    def _supply(self, pin: int, on: bool) -> None:
        now = self.board.clock.now
        if on and pin not in self.on_since:
            self.on_since[pin] = now
        elif not on and pin in self.on_since:
            self.totals["on"][str(pin)] += now - self.on_since.pop(pin)

    def _rest(self) -> None:
        """The processor goes to sleep."""
        now = self.board.clock.now
        totals = self.totals
        totals["awake"] += now - self.awake_since
        if not self.board.esp32 and now - self.awake_since > WAKE_US:
            totals["wakes"] += 1
        self.awake_since = now
        if now - self.reported >= REPORT_US:
            self.reported = now
            if self.board.radio.mode != SLEEP:
                totals["radio"] += now - self.radio_since
                self.radio_since = now
            for pin in list(self.on_since):
                self._supply(pin, False)
                self.on_since[pin] = now
            totals["at"] = now
            print("meter", json.dumps(totals))


def supplies(board: "Board", sensors: "list[dict[str, Any]]") -> "dict[int, int]":
    """The pins of a board and its sensors that switch a supply, with the level that switches it on."""
    out = {sensor["power"]: sensor["power_level"] for sensor in sensors if sensor.get("power") is not None}
    if board.wiring.VEXT is not None:
        out[board.wiring.VEXT] = board.wiring.VEXT_LEVEL
    return out
