"""Promise 11: whatever comes in at a door, nothing but our own errors comes out, and no link makes us hold 1 kB.

The full run, about an hour on one core: `nice -n 19 python tools/fuzz.py --cases 10000000`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from suat.errors import SuatError
from suat.ingest import semtech_udp

ROOT = Path(__file__).parents[3]
CASES = 100_000
LINK_LIMIT = 1024  # bytes
DOORS = {"udp", "mqtt", "serial", "modbus", "http", "config", "journal"}
# How far the cases must have come at least, in each door's own words: else the fuzzer was turned away at the gate.
REACHED = {
    "udp": {"accepted": 5000, "kept": 1000, "malformed": 10_000, "bad_mic": 100, "duplicate": 100, "old_counter": 100},
    "mqtt": {"accepted": 1000, "kept": 500, "malformed": 1000, "unknown_device": 100},
    "serial": {"accepted": 500, "kept": 500, "malformed": 1000},
    "modbus": {"good": 100, "bad answer": 100, "impossible value": 50, "no answer": 50},
    "http": {"200": 100, "400": 100, "404": 100, "405": 50},
    "config": {"accepted": 50},
    "journal": {"usable": 200, "mended": 50},
}


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The runner as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import fuzz

    return fuzz


@pytest.mark.slow
def test_a_hundred_thousand_hostile_cases() -> None:
    command = [sys.executable, str(ROOT / "tools" / "fuzz.py"), "--cases", str(CASES), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode in (0, 1), done.stderr[-2000:]
    found = json.loads(done.stdout)
    doors: dict[str, Any] = {door["name"]: door for door in found["doors"]}
    assert doors.keys() == DOORS
    assert {name: door["samples"] for name, door in doors.items() if door["crashes"]} == {}
    assert found["cases"] == CASES
    for name, least in REACHED.items():
        reached = doors[name]["reached"]
        assert {what: reached.get(what, 0) for what, count in least.items() if reached.get(what, 0) < count} == {}, name
    assert all((door["held"] or 0) <= LINK_LIMIT for door in doors.values())
    assert all(doors[name]["held"] for name in ("udp", "mqtt", "serial", "modbus"))


def test_a_planted_fault_is_found(fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(value: Any) -> float:
        return 1 / value  # of an rssi of 0, and of a word

    monkeypatch.setattr(semtech_udp, "_level", careless)
    tally = fuzz.run("udp", 2000, 1, tmp_path)
    assert any(kind.startswith("ZeroDivisionError") for kind in tally.crashes)
    assert sum(tally.crashes.values()) < 2000


def test_our_own_errors_are_no_crashes(fuzz: ModuleType, tmp_path: Path) -> None:
    tally = fuzz.run("config", 200, 1, tmp_path)
    assert not tally.crashes
    assert tally.refused + tally.reached["accepted"] == 200
    assert all(issubclass(error, SuatError) for error in fuzz.load("config").refusals)


def test_a_seed_makes_the_same_cases(fuzz: ModuleType, tmp_path: Path) -> None:
    first, second, other = (fuzz.run("udp", 1000, seed, tmp_path / str(run)) for run, seed in enumerate((7, 7, 8)))
    assert first.reached == second.reached != other.reached
