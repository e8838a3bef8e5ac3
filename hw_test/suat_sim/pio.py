"""A state machine of the RP2040's PIO, as far as a pulse counter uses one (RP2040 datasheet 3.4).

JMP, SET, MOV and PUSH with X, Y, ISR and the jump pin; delays, no side-set, no autopush. The level of the pin is
constant in each call of `run`; a program that goes round without a change is not stepped through to the end. Runs on
both Pythons.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_ONES = 0xFFFFFFFF
_X, _Y, _ISR = 1, 2, 6
_WORDS = {"x": _X, "y": _Y, "isr": _ISR, "not_x": 1, "x_dec": 2, "not_y": 3, "y_dec": 4, "x_not_y": 5, "pin": 6}
FIFO = 4


class Assembler:
    """What the words of a program mean while its function runs: `rp2.asm_pio` of MicroPython."""

    def __init__(self) -> None:
        self.words: list[int] = []
        self.labels: dict[str, int] = {}
        self.jumps: list[tuple[int, str]] = []

    def assemble(self, program: "Callable[[], None]") -> "list[int]":
        """The instructions of a program; names that this model lacks are a NameError."""
        names = program.__globals__
        before = names.copy()
        names.clear()
        names.update(_WORDS)
        names.update({"label": self.label, "jmp": self.jmp, "set": self.set, "mov": self.mov, "push": self.push})
        names.update({"invert": lambda source: source | 8})
        try:
            program()
        finally:
            names.clear()
            names.update(before)
        for place, name in self.jumps:
            self.words[place] |= self.labels[name]
        return self.words

    def __getitem__(self, delay: int) -> "Assembler":
        if not 0 <= delay <= 31:
            raise ValueError("delay too large")
        self.words[-1] |= delay << 8
        return self

    def label(self, name: str) -> None:
        self.labels[name] = len(self.words)

    def jmp(self, condition: "int | str", name: "str | None" = None) -> "Assembler":
        if name is None:
            condition, name = 0, str(condition)
        self.jumps.append((len(self.words), name))
        return self._add(int(condition) << 5)

    def set(self, to: int, value: int) -> "Assembler":
        return self._add(0xE000 | to << 5 | value)

    def mov(self, to: int, source: int) -> "Assembler":
        return self._add(0xA000 | to << 5 | source)

    def push(self, *how: "Any") -> "Assembler":
        return self._add(0x8000)

    def _add(self, word: int) -> "Assembler":
        self.words.append(word)
        return self


class StateMachine:
    """Registers and instructions; `run` lets cycles pass."""

    def __init__(self, words: "list[int]") -> None:
        self.words = words
        self.pc = self.x = self.y = self.isr = 0
        self.wait = 0  # cycles of delay left
        self.fifo: list[int] = []

    def run(self, cycles: int, level: int) -> None:
        """Let so many cycles pass with the jump pin at `level`."""
        left = cycles
        mark, mark_left, laps, power = (-1, 0, 0), 0, 0, 1
        while left > 0:
            if self.wait:
                step = min(self.wait, left)
                self.wait -= step
                left -= step
                continue
            now = (self.pc, self.x, self.y)
            if now == mark and mark_left > left:  # Brent: it has come round, and will again
                left %= mark_left - left
                mark = (-1, 0, 0)
                continue
            laps += 1
            if laps == power:
                mark, mark_left, laps, power = now, left, 0, power * 2
            word = self.words[self.pc]
            self.pc = (self.pc + 1) % len(self.words)
            self.execute(word, level)
            self.wait = word >> 8 & 31
            left -= 1

    def execute(self, word: int, level: int = 1) -> None:
        """One instruction, also one from outside."""
        kind, first, last = word >> 13, word >> 5 & 7, word & 31
        if kind == 0:
            if self._condition(first, level):
                self.pc = last
        elif kind == 7:
            self._put(first, last)
        elif kind == 5:
            source = {_X: self.x, _Y: self.y, 3: 0, _ISR: self.isr}[last & 7]
            self._put(first, ~source & _ONES if last >> 3 == 1 else source)
        elif kind == 4 and not word & 0x80:
            if len(self.fifo) < FIFO:
                self.fifo.append(self.isr)
            self.isr = 0
        else:
            raise ValueError(f"the model has no PIO instruction {word:#06x}")

    def _condition(self, which: int, level: int) -> bool:
        x, y = self.x, self.y
        if which == 2:
            self.x = x - 1 & _ONES
        elif which == 4:
            self.y = y - 1 & _ONES
        return bool((1, x == 0, x, y == 0, y, x != y, level)[which])

    def _put(self, to: int, value: int) -> None:
        if to == _X:
            self.x = value
        elif to == _Y:
            self.y = value
        elif to == _ISR:
            self.isr = value
        else:
            raise ValueError(f"the model has no PIO register {to}")
