"""The kernels of each CPU path: all the same bits, chosen at import, and none that could end up in another path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from suat_filters import cpu_path
from suat_filters.paths import cpu_paths

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "cython_ext" / "suat_filters"
X86 = {"v3": ["-march=x86-64-v3"], "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"]}
DIGEST = """
import hashlib
import numpy as np
import suat_filters as f

digest = hashlib.sha256()
rng = np.random.default_rng(5)
odd = rng.choice([np.inf, -np.inf, 0.0, -0.0, 5e-324, 1.7e308, -1.7e308, 1.0, 1.0 + 2**-52], 9000)
for x in (rng.normal(size=9000), np.round(rng.normal(size=9000), 1), odd):
    x[rng.random(9000) < 0.05] = np.nan
    t = np.cumsum(rng.uniform(0, 1800, 9000))
    for window in (3, 5, 7, 9, 13, 25, 49, 101, 301, 999):
        for centered in (False, True):
            digest.update(f.rolling_median(x, window, centered).tobytes())
            for part in f.hampel(x, window, 3.0, centered):
                digest.update(part.tobytes())
    digest.update(f.ewma(t, x, 3600.0).tobytes())
    digest.update(f.kalman(t, x, 1e-6, 1e-3).tobytes())
    digest.update(np.array(f.theil_sen(t[:300], x[:300])).tobytes())
    for median in (True, False):
        for width in (3600.0, 1e7):
            for column in f.resample(t, x, width, median=median).values():
                digest.update(column.tobytes())
    limits = dict(max_rate=1e-3, stuck_count=3, spike_accept=3, resolution=0.01, gap_seconds=1700.0, minimum=-9.0)
    settings = [f.ChannelSettings(window=window, q=1e-6, **limits) for window in (0, 3, 5, 25, 49, 127, 129, 999)]
    bank = f.FilterBank(8, settings)
    for part in bank.push_many(np.tile(np.arange(8), 9000), np.repeat(t, 8), np.repeat(x, 8)):
        digest.update(part.tobytes())
    digest.update(repr(bank.revisions()).encode() + bank.save())
print(f.cpu_path(), digest.hexdigest())
"""


def python(code: str, path: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SUAT_FILTERS_CPU": path}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def test_all_paths_give_the_same_bits() -> None:
    found = [python(DIGEST, path) for path in cpu_paths()]
    assert [run.stderr for run in found] == [""] * len(found)
    names, digests = zip(*(run.stdout.split() for run in found), strict=True)
    assert names == cpu_paths()
    assert len(set(digests)) == 1


def test_the_fastest_is_taken_unless_another_is_named() -> None:
    print_it = "import suat_filters; print(suat_filters.cpu_path())"
    assert python(print_it, "").stdout.strip() == cpu_paths()[-1]
    assert python(print_it, cpu_paths()[0]).stdout.strip() == cpu_paths()[0]
    assert cpu_path() in cpu_paths()


@pytest.mark.parametrize("unknown", ["v9", "V3", "sse"])
def test_a_path_that_is_not_there_is_refused_in_one_line(unknown: str) -> None:
    run = python("import suat_filters", unknown)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        f"ImportError: SUAT_FILTERS_CPU is {unknown!r}: on this machine it can be {', '.join(cpu_paths())}"
    )


@pytest.mark.slow
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the paths of x86-64")
@pytest.mark.parametrize("path", sorted(X86))
def test_a_paths_objects_bring_nothing_that_the_linker_may_share(path: str, tmp_path: Path) -> None:
    """Weak definitions of one path would be taken by all: AVX code on a machine without."""
    target = tmp_path / "path.o"
    flags = ["-O3", "-std=c++17", "-ffp-contract=off", f"-DSUAT_TABLE=kernels_{path}", *X86[path], f"-I{SOURCES}"]
    subprocess.run(["g++", *flags, "-c", str(SOURCES / "kernels" / "path.cpp"), "-o", str(target)], check=True)
    symbols = subprocess.run(["nm", "-C", "--defined-only", str(target)], check=True, capture_output=True, text=True)
    shared = [line for line in symbols.stdout.splitlines() if line.split()[1] not in "tbdr"]
    assert [line.split(maxsplit=2)[2] for line in shared] == [f"suat::kernels_{path}"]
