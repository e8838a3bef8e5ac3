"""A bundle of the firmware: whole, the same bytes each time, and described by a manifest that sha256sum agrees with."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import suat_node
from suat_bench import bundle


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bundle.Bundle]:
    out = tmp_path_factory.mktemp("bundle") / "update"
    return out, bundle.build(out)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_manifest_names_each_file_and_itself(made: tuple[Path, bundle.Bundle]) -> None:
    out, result = made
    files = contents(out)
    manifest = files.pop("manifest").decode()
    *lines, own = manifest.splitlines()
    assert own == hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()
    version = "{}.{}".format(*suat_node.VERSION)
    assert lines[:4] == ["suat 1", f"version {version}", f"state {suat_node.STATE}", "mpy 6"]
    listed = dict(reversed(line.split()) for line in lines[4:])
    assert listed == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert list(listed) == sorted(listed)
    assert result.version == version
    assert result.sizes == {**{name: len(data) for name, data in files.items()}, "manifest": len(manifest)}


def test_it_holds_what_a_board_needs_as_portable_bytecode_and_nothing_else(made: tuple[Path, bundle.Bundle]) -> None:
    files = contents(made[0])
    assert {"suat_node/main.mpy", "suat_node/keep/slots.mpy", "suat_wire/lorawan.mpy"} <= set(files)
    assert not any("_host" in name or "selftest" in name or name.startswith("suat_boot") for name in files)
    for name, data in files.items():
        if name != "manifest":  # "M", version 6, no native code, small integers of at most 31 bits: py/persistentcode.c
            assert (data[0], data[1], data[2], data[3] <= 31) == (0x4D, 6, 0, True), name


def test_the_same_sources_give_the_same_bytes_elsewhere(made: tuple[Path, bundle.Bundle], tmp_path: Path) -> None:
    for package in ("suat_node", "suat_wire"):
        shutil.copytree(bundle.firmware() / package, tmp_path / "sources" / package)
    bundle.build(tmp_path / "elsewhere" / "out", tmp_path / "sources")
    assert contents(tmp_path / "elsewhere" / "out") == contents(made[0])


def test_a_folder_in_use_and_a_source_that_does_not_compile_are_errors(
    made: tuple[Path, bundle.Bundle], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(bundle.BundleError, match="is there already"):
        bundle.build(made[0])
    for package in ("suat_node", "suat_wire"):
        shutil.copytree(bundle.firmware() / package, tmp_path / package)
    (tmp_path / "suat_node" / "node.py").write_text("def broken(:\n")
    with pytest.raises(bundle.BundleError, match=r"node\.py"):
        bundle.build(tmp_path / "out", tmp_path)
    assert bundle.main([]) == 2
    assert bundle.main([str(made[0].parent)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert bundle.main([str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"version {made[1].version} in {tmp_path}/new/update")
