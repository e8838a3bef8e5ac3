"""The measurements run and name what they measure; how fast it is depends on the machine and is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[1] / "bench" / "filters.py"


def test_bench_gives_figures() -> None:
    run = [sys.executable, str(BENCH), "--json", "--samples", "2000", "--runs", "1"]
    found = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    names = [figure["name"] for figure in found["figures"]]
    assert len(names) == len(set(names))
    assert {"median 25", "hampel 25", "theil-sen of 2000", "push_many 10000", "push_many 100", "push"} <= set(names)
    assert all(figure["ns"] > 0 for figure in found["figures"])
    assert all((figure["ratio"] is None) == (figure["peer_ns"] is None) for figure in found["figures"])
