"""The type checker looks at every module of the firmware, against the stubs of both chips: none is skipped in silence.

An error is planted in each module's copy; mypy must find all of them. `make lint` checks that there are no others.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from suat_wire.installed import HOST_ONLY

FIRMWARE = Path(__file__).parents[1]
ROOT = FIRMWARE.parent
MODULES = sorted(
    path
    for package in ("suat_boot", "suat_node", "suat_wire")
    for path in (FIRMWARE / package).rglob("*.py")
    if not (package == "suat_wire" and path.name in HOST_ONLY)
)


@pytest.mark.parametrize("chip", ["rp2", "esp32"])
def test_mypy_finds_an_error_in_each_module(chip: str, tmp_path: Path) -> None:
    stubs = ROOT / ".venv" / f"stubs-{chip}"
    if not stubs.is_dir():
        pytest.fail(f"{stubs} is missing: tools/setup.sh test", pytrace=False)
    command = [sys.executable, "-m", "mypy", "--config-file", "firmware/mypy.ini"]
    command += ["--custom-typeshed-dir", str(stubs), "--cache-dir", str(tmp_path / "cache")]
    for number, module in enumerate(MODULES):
        shadow = tmp_path / f"{number}.py"
        shadow.write_text(module.read_text() + "\n_planted: int = ''\n")
        command += ["--shadow-file", str(module.relative_to(ROOT)), str(shadow)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"MYPYPATH": f"{stubs}:firmware"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = set(re.findall(r"^(\S+?):\d+: error: Incompatible types in assignment", done.stdout, re.M))
    skipped = {str(module.relative_to(ROOT)) for module in MODULES} - found
    assert skipped == set(), f"not checked: {sorted(skipped)}\n{done.stdout[-1500:]}{done.stderr[-500:]}"
    assert len(MODULES) > 45
