"""Updates of the node's firmware on the real MicroPython: bundle, loader, slots, and power cuts at every operation."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

bundle = pytest.importorskip("suat_bench.bundle")

HERE = Path(__file__).parent
SCRIPT = HERE / "node_fakes" / "updates.py"
MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or "micropython"
SLOW = pytest.mark.slow
CASES = re.findall(r"^def (test_\w+)\(", SCRIPT.read_text(), re.M)

TINY = """
import ledger
import suat_node
from suat_node.keep import slots
from suat_node.keep.counters import Counters


class Session:
    quiet = []

    def pack(self):
        return b""

    def unpack(self, blob):
        pass


class Node:
    session = Session()
    counters = Counters("/suat")


node = Node()
try:
    __import__("os").mkdir("/suat")
except OSError:
    pass
node.counters.load(b"", node.session)
if suat_node.boot:
    slots.watch(node)
counters, session = node.counters, node.session
ledger.used(suat_node.VERSION, counters.next_fcnt(session), counters.next_dev_nonce(session), counters.events)
if suat_node.boot:
    slots.confirm()
ledger.end()
"""
RAISES = """
from suat_node import crash, power
import machine

try:
    raise ValueError
except Exception as error:
    crash.note(error)
power.wait_ms(60000)
machine.reset()
"""
HANGS = """
import time
from suat_node import power

power.start(None)
while True:
    time.sleep_ms(100)
"""
RESETS = "import machine\n\nmachine.reset()\n"
LACKS = "import suat_node.not_there\n"


def firmware(target: Path, version: tuple[int, int], main: str | None = None, small: bool = False) -> Path:
    """A copy of the sources with another version and, if asked, another main program; `small`: little else."""
    keep = ("__init__.py", "power.py", "counters.py", "slots.py")
    for package in ("suat_node", "suat_wire"):
        for path in (HERE.parent / package).rglob("*.py"):
            place = target / path.relative_to(HERE.parent)
            if small and (path.name not in keep or place.parent.name not in ("suat_node", "suat_wire", "keep")):
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    init = target / "suat_node" / "__init__.py"
    text, count = re.subn(r"^VERSION = \(\d+, \d+\)", f"VERSION = {version}", init.read_text(), flags=re.M)
    assert count == 1
    init.write_text(text)
    if main is not None:
        (target / "suat_node" / "main.py").write_text(main)
    return target


def rewritten(source: Path, target: Path, before: str, after: str) -> None:
    """A bundle with another line in a manifest that is whole."""
    shutil.copytree(source, target)
    lines = (target / "manifest").read_text().splitlines()[:-1]
    assert before in lines
    text = "".join(f"{after if line == before else line}\n" for line in lines)
    (target / "manifest").write_text(text + hashlib.sha256(text.encode()).hexdigest() + "\n")


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles")
    for name, version, main, small in (
        ("old", (0, 1), None, False),
        ("new", (0, 2), None, False),
        ("raises", (0, 2), RAISES, False),
        ("hangs", (0, 2), HANGS, False),
        ("resets", (0, 2), RESETS, False),
        ("lacks", (0, 2), LACKS, False),
        ("tiny_first", (0, 0), TINY, True),
        ("tiny_old", (0, 1), TINY, True),
        ("tiny_new", (0, 2), TINY, True),
        ("tiny_resets", (0, 2), RESETS, True),
    ):
        sources = firmware(out / "sources" / name, version, main, small)
        bundle.build(out / name, sources)
    rewritten(out / "tiny_new", out / "tiny_state", "state 1", "state 2")
    rewritten(out / "tiny_new", out / "tiny_form", "suat 1", "suat 2")
    rewritten(out / "tiny_new", out / "tiny_mpy", "mpy 6", "mpy 7")
    return out


@pytest.mark.parametrize("name", [pytest.param(case, marks=[SLOW] if "_cut_at_" in case else []) for case in CASES])
def test_on_micropython(name: str, bundles: Path) -> None:
    path = ":".join(str(HERE / part) for part in ("node_fakes", "..")) + ":.frozen"
    done = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=64M", str(HERE / "node_fakes" / "runner.py"), "updates", name],
        env={
            "MICROPYPATH": path,
            "SUAT_BUNDLES": str(bundles),
            "SUAT_LOADER": str(HERE.parent / "suat_boot" / "main.py"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith("\x01")]
    assert [row["name"] for row in found] == [name], done.stdout[-2000:] + done.stderr[-2000:]
    assert found[0]["error"] is None, found[0]["error"] + done.stdout[-1500:]
