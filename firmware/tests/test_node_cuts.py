"""Ten thousand power cuts at random flash operations, half of them torn, on littlefs: nothing repeats, nothing is lost.

The node runs on the small bench (node_fakes/cuts.py says what is watched), several seeds at a time.
"""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or "micropython"
CUTS = 10_000
RUNS = ((1, "heltec_v3"), (2, "pico_waveshare"), (3, "heltec_v3"), (4, "pico_waveshare"))
# what was under way when the supply went: each is to be met at least so often
MET = {"append": 500, "counters": 500, "counters in join": 100, "counters in start": 500, "free": 10, "settings": 50}
# how the firmware is broken -> what is said of it
BREAKS = {
    "fcnt": "FCnt",
    "record": "is two samples",
    "nonce": "DevNonce",
    "replace": "both copies of the counters are damaged|DevNonce",
    "append": "not heard",
    "free": "did not arrive",
}


def run(folder: Path, seed: int, cuts: int, board: str, *broken: str) -> subprocess.CompletedProcess[str]:
    path = f"{HERE / 'node_fakes'}:{HERE.parent}:.frozen"
    program = str(HERE / "node_fakes" / "cuts.py")
    return subprocess.run(
        [MICROPYTHON, "-X", "heapsize=1200K", program, str(seed), str(cuts), board, *broken],
        env={"MICROPYPATH": path, "SUAT_TEST_FOLDER": str(folder / f"{seed}")},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.mark.slow
def test_ten_thousand_power_cuts(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    def job(seed: int, board: str) -> dict[str, Any]:
        done = run(tmp_path, seed, CUTS // len(RUNS), board)
        assert done.returncode == 0, f"seed {seed} on {board}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda args: job(*args), RUNS))
    where: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for one in found:
        where.update(one.pop("where"))
        total.update(one)
    for name, count in (*total.items(), *where.items()):
        record_property(name, count)
    print(", ".join(f"{name} {count}" for name, count in total.items()))
    print("cuts within: " + ", ".join(f"{name} {count}" for name, count in where.most_common()))
    assert total["cuts"] == CUTS
    assert 0.4 * CUTS < total["torn"] < 0.6 * CUTS
    assert sum(where.values()) == CUTS
    for name, least in MET.items():
        assert where[name] >= least, f"the supply went within {name!r} {where[name]} times"


@pytest.mark.slow
@pytest.mark.parametrize("broken", BREAKS)
def test_the_oracle_sees_a_broken_firmware(broken: str, tmp_path: Path) -> None:
    for seed, board in RUNS[:2]:
        done = run(tmp_path, seed, 300, board, broken)
        assert done.returncode != 0, f"{board}: nothing was noticed"
        assert re.search(BREAKS[broken], done.stdout + done.stderr), done.stdout[-1000:]
