"""The kernels give on another kind of CPU what they give here, and keep to their memory and to their thread.

kernels.cpp calls them without Python: on aarch64 by QEMU, and watched by GCC's sanitizers (path by path they are one
source; for one of them all take too long to compile).
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from suat_filters import ChannelSettings, FilterBank, ewma, hampel, kalman, resample, rolling_median, theil_sen
from suat_filters.settings import COUNTS, NUMBERS

pytestmark = pytest.mark.slow

Floats = NDArray[np.float64]
Call = tuple[str, Sequence[float], Sequence[Floats]]
Expected = list[tuple[Call, list[bytes]]]
TESTS = Path(__file__).parent
SOURCES = TESTS.parent / "suat_filters"
CHANNELS = 6
HEADER = struct.Struct("<8sIIQ")
SANITIZERS = "address,signed-integer-overflow,shift,integer-divide-by-zero,float-cast-overflow,bounds"


def built(folder: Path, compiler: str, *flags: str) -> str:
    """kernels.cpp with the kernels of the machine's least CPU path."""
    program = folder / "kernels"
    common = ["-std=c++17", "-ffp-contract=off", "-pthread", "-DSUAT_TABLE=kernels_here", f"-I{SOURCES}"]
    sources = [str(TESTS / "kernels.cpp"), str(SOURCES / "kernels" / "path.cpp")]
    subprocess.run([compiler, *common, *flags, *sources, "-o", str(program)], check=True)
    return str(program)


def doubles(values: Any) -> bytes:
    flat = np.ascontiguousarray(values, dtype=np.float64).tobytes()
    return struct.pack("<Q", len(flat) // 8) + flat


def asked(command: Sequence[str], calls: Sequence[Call]) -> list[list[bytes]]:
    """The answer to each call: its arrays."""
    text = b"".join(
        name.encode().ljust(8, b"\0") + doubles(parameters) + b"".join(map(doubles, arrays))
        for name, parameters, arrays in calls
    )
    run = subprocess.run(command, input=text, capture_output=True)
    assert (run.returncode, run.stderr.decode()) == (0, "")
    said = BytesIO(run.stdout)

    def number() -> int:
        return int.from_bytes(said.read(8), "little")

    answers = [[said.read(8 * number()) for _ in range(number())] for _ in calls]
    assert said.read() == b""
    return answers


def readings() -> Iterator[tuple[Floats, Floats]]:
    """Times and readings: drifting, with ties, with the extremes; some are missing."""
    rng = np.random.default_rng(8)
    n = 3000
    drifting = 0.25 + np.cumsum(rng.normal(0, 1e-3, n)) + 0.2 * (rng.random(n) < 0.03)
    extremes = rng.choice([0.0, -0.0, 5e-324, 1.7e308, -1.7e308, 1.0, 1.0 + 2**-52, -1.0], n)
    series: tuple[Any, ...] = (drifting, np.round(drifting, 2), extremes)
    for x in series:
        x[rng.random(n) < 0.05] = np.nan
        t: Floats = np.cumsum(rng.exponential(900, n))
        yield np.floor(t), x


def judged() -> Iterator[tuple[FilterBank, list[Floats]]]:
    """A bank that has seen the readings, and what it was made of and has seen, as kernels.cpp wants it."""
    limits: dict[str, Any] = {
        "minimum": -2.0,
        "maximum": 2.0,
        "max_rate": 1e-4,
        "resolution": 0.01,
        "gap_seconds": 5000.0,
    }
    counts: dict[str, Any] = {"stuck_count": 4, "spike_accept": 3, "clock_accept": 3}
    more: dict[str, Any] = {"max_noise": 0.05, "broken_seconds": 86400.0, "day_swing": 0.01, "clock_days": 2}
    settings = [
        ChannelSettings(window=window, q=1e-7 * (window % 3), **limits, **counts, **(more if window > 5 else {}))
        for window in (0, 3, 5, 25, 49, 301)
    ]
    rng = np.random.default_rng(9)
    for t, x in readings():
        bank = FilterBank(CHANNELS, settings)
        rows, kinds, _ = parts(bank)
        channels = rng.integers(0, CHANNELS, len(x))
        yield bank, [rows, kinds, channels.astype(float), t, x]


def parts(bank: FilterBank) -> tuple[Floats, Floats, bytes]:
    """Of the saved form (bank.pyx): the rows of settings, each channel's row, the states."""
    saved = bank.save()
    _, _, n_rows, n_channels = HEADER.unpack_from(saved)
    at_kinds = HEADER.size + n_rows * (8 * len(NUMBERS) + 4 * len(COUNTS))
    at_states = at_kinds + 4 * n_channels
    kinds = np.frombuffer(saved[at_kinds:at_states], dtype=np.uint32)
    return np.frombuffer(saved[HEADER.size : at_kinds]), kinds.astype(np.float64), saved[at_states:-4]


@pytest.fixture(scope="module")
def expected() -> Expected:
    """Calls, and what the extension answers that Python has loaded."""
    found: Expected = []

    def add(call: Call, *answers: Any) -> None:
        found.append((call, [np.ascontiguousarray(answer, dtype=np.float64).tobytes() for answer in answers]))

    for t, x in readings():
        for window in (3, 5, 7, 11, 25, 49, 99, 301, 999):
            for centered in (False, True):
                call = "windows", [window, 3.0, centered], [x]
                add(call, rolling_median(x, window, centered), *hampel(x, window, 3.0, centered))
        add(("ewma", [3600.0], [t, x]), ewma(t, x, 3600.0))
        add(("kalman", [1e-6, 1e-3], [t, x]), kalman(t, x, 1e-6, 1e-3))
        add(("slope", [], [t[:500], x[:500]]), theil_sen(t[:500], x[:500]))
        for width in (900.0, 86400.0):
            add(("buckets", [width, True], [t, x]), *resample(t, x, width).values())
            add(("buckets", [width, False], [t, x]), *resample(t, x, width, median=False).values())
    for bank, arrays in judged():
        values, flags = bank.push_many(arrays[2].astype(np.int64), arrays[3], arrays[4])
        revisions = bank.revisions()
        add(("judged", [], arrays), values, flags, revisions, np.frombuffer(parts(bank)[2]), [1.0])
    return found


def test_another_kind_of_cpu_gives_the_same_bits(expected: Expected, tmp_path: Path) -> None:
    program = built(tmp_path, "aarch64-linux-gnu-g++", "-O2")
    answers = asked(["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", program], [call for call, _ in expected])
    for (call, wanted), answer in zip(expected, answers, strict=True):
        assert answer == wanted, call[:2]


def test_memory_and_arithmetic_stay_within_bounds(expected: Expected, tmp_path: Path) -> None:
    program = built(tmp_path, "g++", "-O1", f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all")
    answers = asked([program], [call for call, _ in expected])
    for (call, wanted), answer in zip(expected, answers, strict=True):
        assert answer == wanted, call[:2]


def test_threads_share_a_bank_without_a_race(tmp_path: Path) -> None:
    """Each thread with a channel of its own: the states in the end are those of one thread after the other."""
    program = built(tmp_path, "g++", "-O1", "-fsanitize=thread")
    calls: list[Call] = []
    wanted = []
    for bank, arrays in judged():
        calls.append(("together", [], arrays))
        for channel in range(CHANNELS):
            bank.push_many(np.full(len(arrays[3]), channel), arrays[3], arrays[4])
        wanted.append([parts(bank)[2], np.zeros(1).tobytes()])
    assert asked([program], calls) == wanted
