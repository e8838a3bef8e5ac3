"""kill -9 at every step boundary of the pipeline: before and after each event, each piece of work, each SQL statement.

The whole station in virtual time, in a process that kills itself at the boundary with a given number. Then it starts
again on what is left; its nodes send what they were not told is kept, and somebody replays all that was on air before.
Nodes, frames and downlinks are the witness's (suat_sim/witness.py).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from suat_sim.witness import Node, ecb

STRIDE = 12  # in CI; SUAT_BOUNDARIES=1 pytest -s gateway/tests/station/test_station_boundaries.py takes each of them
FRAMES = 5
ABP = 3

WORKER = Path(__file__).with_name("boundary_worker.py")


def key(number: int) -> bytes:
    """As the worker gives them out."""
    return hashlib.sha256(bytes([number])).digest()[:16]


class Lives:
    """The worker: asked for a boundary, it lives twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(folder / "template"), str(FRAMES), str(ABP)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def run(self, fatal: int) -> tuple[Path, int]:
        """(the folder left, boundaries passed in the first life, 0 when it was killed)."""
        folder = self.folder / f"killed{fatal}"
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([str(folder), fatal]) + "\n")
        self.process.stdin.flush()
        (first, count), (second, _) = self._answer()
        assert (first, second) == ((-9 if fatal else 0), 0), f"boundary {fatal}"
        return folder, count

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(20)


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    (tmp_path / "template").mkdir(mode=0o700)
    made = Lives(tmp_path)
    yield made
    made.close()


def rows(folder: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(folder / "journal.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def kept(folder: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    query = "SELECT d.name, s.record FROM sample s JOIN device d ON d.id = s.registration ORDER BY d.id, s.record"
    for name, record in rows(folder, query):
        found.setdefault(name, []).append(record)
    return found


def downlinks(folder: Path, life: int | None = None) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(DevAddr, FCntDown, content) of every data downlink that left, its MIC checked."""
    for line in (folder / "air").read_text().splitlines():
        found = json.loads(line)
        phy = base64.b64decode(found.get("down", ""))
        if phy and phy[0] in (0x60, 0xA0) and life in (None, found["life"]):
            number = int.from_bytes(phy[1:5], "little")
            node = Node(f"{number:016x}", number, key(2 * number), key(2 * number + 1))
            fcnt = int.from_bytes(phy[6:8], "little")
            yield number, fcnt, node.open_down(phy, fcnt)


def accepts(folder: Path) -> list[int]:
    """The JoinNonce of every join accept that left."""
    found = []
    for line in (folder / "air").read_text().splitlines():
        phy = base64.b64decode(json.loads(line).get("down", ""))
        if phy and phy[0] == 0x20:
            found.append(int.from_bytes(ecb(key(200), phy[1:])[:3], "little"))
    return found


def check(folder: Path) -> tuple[int, int]:
    """All that must hold; (frames lost by the kill, records the nodes were told of)."""
    killed = Path(f"{folder}.killed")
    connection = sqlite3.connect(killed / "journal.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    after_kill = kept(killed)
    counters = dict(rows(killed, "SELECT d.name, s.fcnt_up FROM session s JOIN device d ON d.id = s.registration"))
    for number in range(1, ABP + 1):
        records = after_kill.get(f"n{number}", [])
        assert records == list(range(len(records)))
        assert counters[f"n{number}"] == len(records)  # counter and readings stand together
    told = 0
    for number, _, content in downlinks(folder, 0):
        if content["fport"] == 4:
            cumulative = int.from_bytes(content["payload"][:4], "little")
            records = after_kill.get(f"n{number}", [])
            assert cumulative == 0xFFFFFFFF or set(range(cumulative + 1)) <= set(records)  # told: on disk
            told += 1
    used = Counter((number, fcnt) for number, fcnt, _ in downlinks(folder))
    assert max(used.values(), default=1) == 1  # no FCntDown twice, over both lives
    nonces = accepts(folder)
    assert len(nonces) == len(set(nonces))
    final = kept(folder)
    assert final == {f"n{number}": list(range(2 * FRAMES)) for number in range(1, ABP + 1)}  # each once, none lost
    accepted = dict(rows(folder, "SELECT name, value FROM counter"))["accepted"]
    ((joins,),) = rows(folder, "SELECT join_nonce FROM device WHERE join_eui IS NOT NULL")
    assert accepted == 2 * FRAMES * ABP + joins  # nothing was accepted twice
    assert rows(folder, "SELECT count(*) FROM sample") == rows(folder, "SELECT count(*) FROM cleaned")
    return FRAMES * ABP - sum(map(len, after_kill.values())), told


@pytest.mark.slow
def test_a_kill_at_every_boundary(lives: Lives) -> None:
    """In CI one boundary in 12, from a random one on; SUAT_BOUNDARIES=1 takes every one."""
    folder, count = lives.run(0)
    lost, told = check(folder)
    assert count > 400 and lost == 0 and told >= FRAMES
    stride = int(os.environ.get("SUAT_BOUNDARIES", STRIDE))
    chosen = range(random.randrange(stride) + 1, count + 1, stride)
    losses = Counter(check(lives.run(fatal)[0])[0] for fatal in chosen)
    print(f"{len(chosen)} of {count} boundaries; frames that had to come again: {dict(sorted(losses.items()))}")
    assert len(losses) > 3
