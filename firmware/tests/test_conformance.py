"""The node against LoRaWAN 1.0.4, clause by clause, driven from the network's side on the real MicroPython.

The tests are in conformance/*.py; docs/conformance.md says which of them stands for which clause. Whatever was on the
air in them, both ways, `lora-packet` of npm reads afterwards: an implementation that shares nothing with ours.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
FOLDER = HERE / "conformance"
TABLE = HERE.parent.parent / "docs" / "conformance.md"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "side")
TEST = re.compile(r"^def (test_\w+)\(", re.M)
CASES = [(script, name) for script in SCRIPTS for name in TEST.findall((FOLDER / f"{script}.py").read_text())]
MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or "micropython"

Node = Callable[[list[dict[str, Any]]], list[Any]]


@cache
def results(script: str) -> tuple[dict[str, str | None], list[dict[str, Any]], str]:
    """(error of each test of a file, the frames that were on the air, the end of what was printed)."""
    path = ":".join(str(HERE / part) for part in ("conformance", "node_fakes", "..")) + ":.frozen"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [MICROPYTHON, "-X", "heapsize=4M", str(HERE / "node_fakes" / "runner.py"), script],
            env={"MICROPYPATH": path, "SUAT_TEST_FOLDER": f"{folder}/suat"},
            capture_output=True,
            text=True,
            timeout=300,
        )
    lines = done.stdout.splitlines()
    errors = {row["name"]: row["error"] for line in lines if line.startswith("\x01") for row in [json.loads(line[1:])]}
    frames = [json.loads(line[1:]) for line in lines if line.startswith("\x02")]
    said = "\n".join(line for line in lines if line[:1] not in ("\x01", "\x02"))
    return errors, frames, said[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize(("script", "name"), CASES, ids=[f"{script}-{name}" for script, name in CASES])
def test_clause(script: str, name: str) -> None:
    errors, _, said = results(script)
    assert name in errors, said
    assert errors[name] is None, errors[name]


@pytest.mark.parametrize("script", SCRIPTS)
def test_lora_packet_reads_every_frame_as_it_was_meant(script: str, node: Node) -> None:
    frames = results(script)[1]
    data = [frame for frame in frames if frame["way"] in ("up", "down")]
    read = node([{"do": "read_data", **frame} for frame in data])
    for frame, got in zip(data, read, strict=True):
        expected = frame["expect"]
        assert {name: got[name] for name in expected} == expected, frame["phy"]
    assert len(data) > 10


def test_lora_packet_builds_the_same_join_requests(node: Node) -> None:
    requests = [frame for frame in results("joining")[1] if frame["way"] == "join"]
    assert node([{"do": "build_join_request", **frame} for frame in requests]) == [frame["phy"] for frame in requests]
    assert len(requests) > 100


def test_lora_packet_reads_the_join_accepts_and_derives_the_same_keys(node: Node) -> None:
    accepts = [frame for frame in results("joining")[1] if frame["way"] == "accept"]
    for frame, got in zip(accepts, node([{"do": "read_join_accept", **frame} for frame in accepts]), strict=True):
        assert got == frame["expect"]
    nonces = [{**frame, **frame["expect"], "do": "session_keys"} for frame in accepts]
    assert node(nonces) == [frame["keys"] for frame in accepts]
    assert len(accepts) > 10


def test_each_clause_of_the_checklist_has_its_tests_and_each_test_its_clause() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", TABLE.read_text(), re.M)[1:]
    named: set[str] = set()
    for rule, where, tests in rows:
        found = re.findall(r"`(\w+)`", tests)
        assert found, f"no test for: {rule} ({where})"
        named.update(found)
    written = {name for _, name in CASES}
    assert sorted(named - written) == [], "in the table, but not written"
    assert sorted(written - named) == [], "not in the table"
    assert len(rows) > 40, "a clause was dropped"
