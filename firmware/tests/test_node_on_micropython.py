"""Runs firmware/tests/node/*.py, which test the node, on the real MicroPython interpreter."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or "micropython"
HEAP = "4M"  # the fakes and the flash image live here too; a board's heap is tested in test_node_heap.py


def names(path: Path) -> list[str]:
    return re.findall(r"^def (test_\w+)\(", path.read_text(), re.M)


CASES = [(path.stem, name) for path in sorted((HERE / "node").glob("*.py")) for name in names(path)]


@cache
def results(script: str) -> dict[str, str | None]:
    """All tests of one file in one process."""
    path = ":".join(str(HERE / part) for part in ("node_fakes", "node", "..")) + ":.frozen"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [MICROPYTHON, "-X", f"heapsize={HEAP}", str(HERE / "node_fakes" / "runner.py"), script],
            env={"MICROPYPATH": path, "SUAT_TEST_FOLDER": f"{folder}/suat"},
            capture_output=True,
            text=True,
            timeout=300,
        )
    found = [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith("\x01")]
    out = {row["name"]: row["error"] for row in found}
    out["output"] = done.stdout[-2000:] + done.stderr[-2000:]
    return out


@pytest.mark.parametrize(("script", "name"), CASES, ids=[f"{script}-{name}" for script, name in CASES])
def test_on_micropython(script: str, name: str) -> None:
    out = results(script)
    assert name in out, out["output"]
    assert out[name] is None, out[name]
