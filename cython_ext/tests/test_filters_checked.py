"""The same tests against a build that checks every index (SUAT_FILTERS_BOUNDSCHECK=1)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parents[1]


@pytest.mark.slow
def test_all_indices_are_within_bounds(tmp_path: Path) -> None:
    library = tmp_path / "lib"
    source = ROOT / "cython_ext" / "suat_filters"
    shutil.copytree(source, library / "suat_filters", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    environment = {**os.environ, "SUAT_FILTERS_BOUNDSCHECK": "1", "PYTHONPATH": str(library)}
    build = [sys.executable, "setup.py", "-q", "build_ext"]
    folders = ["--build-lib", str(library), "--build-temp", str(tmp_path / "objects")]
    subprocess.run([*build, *folders], cwd=ROOT, env=environment, check=True, capture_output=True)
    built = sorted((library / "suat_filters").glob("*.so"))
    names = [path.name.partition(".")[0] for path in built]
    assert {"bank", "paths", "series", "windows"} <= set(names)
    assert all(b"index out of range" in path.read_bytes() for path in built)

    modules = ", ".join(f"suat_filters.{name}" for name in names)
    where = f"import sys, {modules}; print(*(sys.modules[name.strip()].__file__ for name in {modules!r}.split(',')))"
    found = subprocess.run([sys.executable, "-c", where], env=environment, check=True, capture_output=True, text=True)
    assert found.stdout.split() == [str(path) for path in built]
    others = [str(path) for path in sorted(TESTS.glob("test_filters_*.py")) if path != Path(__file__)]
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *others]
    tests = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert tests.returncode == 0, tests.stdout
