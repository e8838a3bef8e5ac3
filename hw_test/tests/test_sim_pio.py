"""The pulse counter's PIO program: the simulator's model against rp2040py, an emulator of the chip by others."""

from __future__ import annotations

import os
import random
import sys
import types
from collections.abc import Callable

import pytest
from suat_sim.pio import Assembler, StateMachine

# Its compiled twin has no access to the registers of one state machine.
os.environ.setdefault("RP2040PY_SKIP_CYTHON", "1")
rp2040py = pytest.importorskip("rp2040py", reason="pip install rp2040py==0.3.6")

PIN = 9
LEVEL_CYCLES = 1024  # pulses_rp2040._CYCLES
SET_X_0, MOV_ISR_NOT_X, PUSH = 0xE020, 0xA0C9, 0x8000  # RP2040 datasheet 3.4.10, 3.4.8, 3.4.5
INSTR_MEM0, SM0_EXECCTRL, SM0_INSTR, RXF0 = 0x048, 0x0CC, 0x0D8, 0x020  # 3.7
PADS_GPIO0 = 0x4001C004  # 2.19.6.3
INPUT_ENABLE = 1 << 6


@pytest.fixture(scope="module")
def words() -> list[int]:
    """The program that is flashed, assembled."""
    kept: list[Callable[[], None]] = []
    modules = {
        "rp2": types.ModuleType("rp2"),
        "machine": types.ModuleType("machine"),
        "micropython": types.ModuleType("m"),
    }
    modules["rp2"].asm_pio = lambda: kept.append  # type: ignore[attr-defined]
    modules["micropython"].const = lambda value: value  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        for name in list(sys.modules):
            if name.startswith("suat_node"):
                patch.delitem(sys.modules, name)
        import suat_node.sensors.pulses_rp2040

        assert suat_node.sensors.pulses_rp2040._CYCLES == LEVEL_CYCLES
        for name in list(sys.modules):
            if name.startswith("suat_node"):
                del sys.modules[name]
    return Assembler().assemble(kept[0])


class Emulated:
    """The same program on rp2040py."""

    def __init__(self, words: list[int]) -> None:
        self.chip = rp2040py.RP2040()
        self.pio = self.chip.pio[0]
        for place, word in enumerate(words):
            self.pio.write_uint32(INSTR_MEM0 + 4 * place, word)
        self.pio.write_uint32(SM0_EXECCTRL, PIN << 24 | (len(words) - 1) << 12)  # jump pin, wrap top
        self.chip.write_uint32(PADS_GPIO0 + 4 * PIN, INPUT_ENABLE)
        self.pio.machines[0].enabled = True
        self.pio.recompute_due()
        self.pio.write_uint32(SM0_INSTR, SET_X_0)

    def run(self, cycles: int, level: int) -> None:
        self.chip.gpio[PIN].set_input_value(bool(level))
        for _ in range(cycles):
            self.pio.advance(1)

    def count(self) -> int:
        self.pio.write_uint32(SM0_INSTR, MOV_ISR_NOT_X)
        self.pio.write_uint32(SM0_INSTR, PUSH)
        return int(self.pio.read_uint32(RXF0)) + 1 & 0xFFFFFFFF


def ours(machine: StateMachine) -> int:
    machine.execute(MOV_ISR_NOT_X)
    machine.execute(PUSH)
    return machine.fifo.pop(0) + 1 & 0xFFFFFFFF


@pytest.mark.parametrize("seed", range(5))
def test_both_count_the_same_in_any_course_of_levels(words: list[int], seed: int) -> None:
    chance = random.Random(seed)
    machine, emulated = StateMachine(words), Emulated(words)
    machine.execute(SET_X_0)
    level = 1
    for _ in range(120):
        cycles = chance.choice((1, 3, 40, 700, 1000, 1023, 1024, 1025, 1030, 1100, 1500, 4000))
        machine.run(cycles, level)
        emulated.run(cycles, level)
        assert ours(machine) == emulated.count()
        level ^= 1
    assert ours(machine) > 10


def test_pulses_are_counted_once_however_they_bounce(words: list[int]) -> None:
    emulated = Emulated(words)
    emulated.run(3 * LEVEL_CYCLES, 0)
    assert emulated.count() == 0, "a contact that is closed when the node starts is no pulse"
    for pulse in range(6):
        for level in (1, 0):
            for bounce in range(4):
                emulated.run(LEVEL_CYCLES // 8, level ^ (bounce & 1))
            emulated.run(2 * LEVEL_CYCLES, level)
        assert emulated.count() == pulse + 1
    for _ in range(50):  # glitches on a long line
        emulated.run(LEVEL_CYCLES // 2, 1)
        emulated.run(LEVEL_CYCLES // 2, 0)
    assert emulated.count() == 6
