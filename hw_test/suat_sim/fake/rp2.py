"""`rp2` of an RP2040: what a pulse counter needs of its PIO (suat_sim.pio). The system clock is 125 MHz."""

from suat_sim import board as _board

_pio = _board.pio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine import Pin

_SYSTEM_HZ = 125000000


def asm_pio(**options: object) -> "Callable[[Callable[[], None]], list[int]]":
    """Assemble a program; side-set and automatic shifts are not in the model."""
    if options:
        raise ValueError(f"asm_pio with {options} is not in the model")
    return _pio.Assembler().assemble


class StateMachine:
    """Runs while the node is awake."""

    def __init__(self, id: int, program: "list[int]", *, freq: int = -1, jmp_pin: "Pin | None" = None) -> None:
        if not _SYSTEM_HZ // 65536 < freq <= _SYSTEM_HZ:
            raise ValueError("freq out of range")
        assert jmp_pin is not None
        self.core = _pio.StateMachine(program)
        self.freq = freq
        self.pin = jmp_pin.number
        self.running = False
        self.at = _board.current.clock.now
        _board.current.state_machines.append(self)

    def catch_up(self) -> None:
        """Let its cycles pass up to now; asleep it has none."""
        now = _board.current.clock.now
        if self.running and not _board.current.sleeping:
            meter = _board.current.meters.get(self.pin)
            level = 1 if meter is None else meter.level()
            self.core.run((now - self.at) * self.freq // 1000000, level)
        self.at = now

    def active(self, value: "int | None" = None) -> bool:
        """Start, stop, or say whether it runs."""
        self.catch_up()
        if value is not None:
            self.running = bool(value)
        return self.running

    def exec(self, instruction: int) -> None:
        """One instruction from outside."""
        self.catch_up()
        self.core.execute(instruction)

    def rx_fifo(self) -> int:
        """Words that wait."""
        return len(self.core.fifo)

    def get(self) -> int:
        """The first of them; without one it waits until the watchdog bites."""
        while not self.core.fifo:
            _board.current.sleep(1000000)
        return self.core.fifo.pop(0)
