"""What a person may type wrong: one line that says what, where and what to do, and the right exit status."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suat.cli import main

NWK, APP = "8f0112a3b4c5d6e7f8091a2b3c4d5e60", "9f0112a3b4c5d6e7f8091a2b3c4d5e61"
EUI = "70b3d57ed005a1b2"
ADD = f"device add --name a --kind soil --dev-eui {EUI}"
ABP = f"{ADD} --dev-addr 01020304 --nwk-skey {NWK} --app-skey {APP}"

CONFIG = """
[station]
name = "Asy"
data_dir = "data"

[[paddock]]
id = "jailau-1"
name = { en = "Jailau 1" }
area_ha = 120
kind = "summer"
soil = "loam"
alternative = "river"

[[water_point]]
id = "spring-1"
paddocks = ["jailau-1"]
tank_l = 10000
depth_m = 2.0

[[herd]]
id = "otar-1"
species = "sheep"
head = 600
live_weight_kg = 50
"""
INFLUX = '[influx]\nurl = "http://127.0.0.1:9"\napi = "v1"\ndatabase = "pasture"\n'

Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, where the commands run."""
    (tmp_path / "suat.toml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUAT_CONFIG", "suat.toml")
    monkeypatch.delenv("SUAT_DEBUG", raising=False)
    return tmp_path


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """run(command line) -> (exit status, standard output, standard error)."""

    def call(line: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(line.split())
        said = capfd.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return call


# (command line, exit status, what the line must say)
WRONG: list[tuple[str, int, list[str]]] = [
    ("redings", 2, ["suat: No such command 'redings'", "Did you mean 'readings'", "suat --help"]),
    ("--bogus", 2, ["suat: No such option: --bogus", "suat --help"]),
    ("readings --josn", 2, ["suat readings: No such option: --josn", "--json", "suat readings --help"]),
    ("readings extra", 2, ["suat readings:", "unexpected extra argument", "extra"]),
    ("readings --config", 2, ["--config", "requires an argument"]),
    ("readings --config nowhere.toml", 2, ["nowhere.toml: No such file", "--config"]),
    ("readings --since yesterday", 2, ["--since", '"yesterday" is no date', "2026-06-01T14:30:00Z"]),
    ("readings --since 2026-02-30", 2, ["--since", "2026-02-30"]),
    ("readings", 1, ["data/journal.db: there is no journal yet", "start the station", "data_dir"]),
    ("status --json", 1, ["data/journal.db: there is no journal yet"]),
    ("status --at 2026-13-01", 2, ["--at", "2026-13-01"]),
    ("status --config nowhere.toml", 2, ["nowhere.toml"]),
    ("run --config nowhere.toml", 2, ["nowhere.toml"]),
    ("check --config nowhere.toml", 2, ["nowhere.toml"]),
    ("doctor --config nowhere.toml", 2, ["nowhere.toml"]),
    ("move otar-1", 2, ["suat move: Missing argument 'paddock'"]),
    ("move otar-2 jailau-1", 2, ['no herd "otar-2"', 'did you mean "otar-1"']),
    ("move otar-1 jailau-9", 2, ['no paddock "jailau-9"', 'did you mean "jailau-1"']),
    ("move otar-1 jailau-1 --at noon", 2, ["--at", "noon"]),
    ("resend", 2, ["suat resend: Missing option '--since'"]),
    ("resend --since x", 2, ["--since"]),
    ("resend --since 2026-06-01", 2, ["there is no [influx]"]),
    ("dead-letters retry", 2, ["there is no [influx]"]),
    ("refilter", 1, ["there is no journal yet"]),
    ("refilter --since x", 2, ["--since"]),
    ("device", 2, ["Usage: suat device"]),
    ("device ad", 2, ["No such command 'ad'", "add"]),
    ("device add", 2, ["suat device add: Missing option '--name'"]),
    ("device revoke", 2, ["suat device revoke: Missing argument 'name'"]),
    ("device revoke x", 1, ["there is no journal yet"]),
    (ADD, 2, ["either --join-eui and --app-key", "--dev-addr, --nwk-skey and --app-skey"]),
    (f"{ADD} --join-eui {EUI}", 2, ["either --join-eui and --app-key"]),
    (f"{ABP} --join-eui {EUI} --app-key {NWK}", 2, ["either --join-eui and --app-key"]),
    (ABP.replace("soil", "sol"), 2, ['--kind "sol"', 'did you mean "soil"']),
    (ABP.replace(EUI, "70b3"), 2, ["--dev-eui: 16 hex digits are needed, 4 characters were given"]),
    (ABP.replace(NWK, "xyz"), 2, ["--nwk-skey: 32 hex digits are needed"]),
    (ABP.replace(NWK, "2b7e151628aed2a6abf7158809cf4f3c"), 2, ["--nwk-skey", "publicly known", "openssl rand -hex 16"]),
    (ABP.replace(APP, NWK), 2, ["--nwk-skey and --app-skey must differ"]),
    (f"{ABP} --paddock jailau", 2, ['--paddock: the configuration has no "jailau"', 'did you mean "jailau-1"']),
    (f"{ABP} --water-point spring-1", 2, ["--water-point is for a water node"]),
    (f"{ABP} --probe upper", 2, ['--probe "upper" is not NAME:DEPTH_CM', "upper:10"]),
    (f"{ABP} --probe a:1 --probe b:2 --probe c:3 --probe d:4 --probe e:5", 2, ["at most 4 probes"]),
    ("demo --days 0", 2, ["suat demo: Invalid value for '--days'"]),
    ("demo --soil 0 --water 0", 2, ["--soil and --water"]),
    ("demo --bind x", 2, ["--bind", "HOST:PORT"]),
    ("demo --no-serve --replay /nowhere", 2, ["--replay", "/nowhere", "no such folder"]),
]


@pytest.mark.parametrize(("line", "status", "words"), WRONG, ids=[" ".join(c[0].split()[:4]) for c in WRONG])
def test_a_wrong_command_is_answered_by_one_line(
    run: Run, folder: Path, line: str, status: int, words: list[str]
) -> None:
    got, said, fault = run(line)
    assert (got, said) == (status, "")
    assert all(word in fault for word in words), fault
    assert len(fault.splitlines()) == 1 or fault.startswith("Usage: "), fault
    assert NWK not in fault and APP not in fault
    assert sorted(path.name for path in folder.iterdir()) == ["suat.toml"]  # and nothing was begun


def test_a_node_is_registered_once(run: Run, folder: Path) -> None:
    status, said, _ = run(f"{ABP} --paddock jailau-1 --probe upper:10")
    assert (status, said) == (0, 'registered "a" as number 1\n')
    for line, words in (
        (ABP, f"--dev-eui {EUI}: the node"),
        (ABP.replace(EUI, EUI[::-1]), '--name "a": another node has it'),
        (ABP.replace(EUI, EUI[::-1]).replace("--name a", "--name b"), "a key was given to a node before"),
    ):
        status, said, fault = run(line)
        assert (status, said, len(fault.splitlines())) == (2, "", 1)
        assert words in fault
    assert run("readings --node b")[::2] == (2, '--node: there is no node "b"; see: suat device list\n')
    assert run("device revoke b")[::2] == (2, 'there is no node "b"; see: suat device list\n')
    assert run("refilter --node b")[::2] == (2, '--node: there is no node "b"\n')
    assert run("readings --node a") == (0, "", "")
    assert [json.loads(line)["name"] for line in run("device list --json")[1].splitlines()] == ["a"]
    with (folder / "suat.toml").open("a") as config:
        config.write(INFLUX)
    assert run("resend --since 2026-06-01")[:2] == (
        0,
        "0 ranges of points will be sent again by the station when it runs\n",
    )


READERS = ["readings", "status --json", "device list", "doctor", "refilter", "resend --since 2026-06-01", "run"]


DAMAGES = ["not a database", "a torn page", "of a later version"]
# The station itself sets a damaged journal aside and runs on (test_station_journal.py); a later version's it leaves.
UNUSABLE = [
    (line, damage)
    for line in [*READERS, "move otar-1 jailau-1", "device revoke a", ABP]
    for damage in DAMAGES
    if line != "run" or damage == "of a later version"
]


@pytest.mark.parametrize(("line", "damage"), UNUSABLE)
def test_a_journal_that_cannot_be_used_is_one_line(run: Run, folder: Path, line: str, damage: str) -> None:
    with (folder / "suat.toml").open("a") as config:
        config.write(INFLUX + '[board]\nbind = "127.0.0.1:0"\n')
    path = folder / "data" / "journal.db"
    if damage == "not a database":
        path.parent.mkdir()
        path.write_bytes(b"no database at all, but something else" * 100)
        words = "it is no journal"
    else:
        assert run(ABP.replace("--name a", "--name z").replace(EUI, EUI[::-1]))[0] == 0
        (folder / "data" / "keys.json").unlink()
        if damage == "a torn page":
            content = bytearray(path.read_bytes())
            content[200:4096] = bytes(3896)  # the schema's page
            content[4096:] = b"\xff" * (len(content) - 4096)
            path.write_bytes(content)
            words = "damaged"
        else:
            with sqlite3.connect(path) as connection:
                connection.execute("PRAGMA user_version = 99")  # this version's tables under it would be a flipped bit
                connection.execute("ALTER TABLE sample ADD COLUMN later INTEGER")
            connection.close()
            words = "a newer version of Suat"
    before = path.read_bytes()
    status, said, fault = run(line)
    told = said if line == "doctor" else fault
    assert status == 1
    assert words in told, told
    assert line == "doctor" or len(fault.splitlines()) == 1, fault
    assert path.read_bytes() == before  # it is evidence: never written, never replaced


def test_debug_shows_the_traceback_and_nothing_else_does(run: Run) -> None:
    assert "Traceback" not in run("readings")[2]
    try:
        assert "Traceback" in run("--debug readings")[2]
    finally:
        os.environ.pop("SUAT_DEBUG", None)


PLAIN = ("check", "doctor", "readings", "status", "move", "resend", "refilter", "limits")


@pytest.mark.parametrize(
    "line",
    ["", "demo", "run", *PLAIN, "device", "device add"],
)
def test_help_tells_what_it_does(run: Run, line: str) -> None:
    status, said, _ = run(f"{line} --help")
    assert status == 0
    assert said.startswith(f"Usage: suat {line}".rstrip())
    assert ("Examples:" in said) == (line not in {"", "device"})
    assert max(map(len, said.splitlines())) <= 110


def test_every_example_is_a_command_line_that_is_understood(run: Run, folder: Path) -> None:
    (folder / "suat.toml").unlink()  # so that each gets as far as the configuration, and no further
    for command in (*PLAIN, "device add", "device list"):
        examples = run(f"{command} --help")[1].partition("Examples:")[2].replace("\\\n", " ")
        lines = [line.partition("|")[0].strip() for line in examples.splitlines() if line.strip()]
        assert lines
        for line in lines:
            assert line.startswith(f"suat {command}")
            status, _, fault = run(line.removeprefix("suat ").replace("$(openssl rand -hex 16)", NWK))
            assert (status, "suat.toml: No such file" in fault) == (2, True), fault


def test_the_version_is_told(run: Run) -> None:
    assert re.fullmatch(r"suat \d+\.\d+\.\d+\n", run("--version")[1])


def suat(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "suat.cli", *arguments], capture_output=True, text=True, timeout=60, check=False, **more
    )


def test_help_comes_at_once() -> None:
    best = 10.0
    for _ in range(5):
        before = os.times()
        assert suat("--help").returncode == 0
        after = os.times()  # CPU time: a busy machine is not a failure
        best = min(best, sum(after[2:4]) - sum(before[2:4]))
    print(f"suat --help: {best:.2f} s of CPU")
    assert best < 0.5


def test_the_shell_completes_commands() -> None:
    environment = {**os.environ, "_SUAT_COMPLETE": "complete_bash", "COMP_WORDS": "suat re", "COMP_CWORD": "1"}
    assert suat(env=environment).stdout.split() == ["readings", "resend", "refilter", "restore"]
    # Typer looks which shell started it, unless it is told not to: here that may be make's.
    told = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    assert "_SUAT_COMPLETE=complete_bash" in suat("--show-completion", "bash", env=told).stdout


def test_output_into_a_closed_pipe_is_no_fault_to_tell(station: Any) -> None:
    station.register(300)
    listing = f"{sys.executable} -m suat.cli device list --json --config {station.config}"
    for line, lines in ((f"{listing} | head -n 1", 1), (f"{listing} | true", 0), (f"{listing} | sleep 1", 0)):
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
        assert (len(done.stdout.splitlines()), done.stderr) == (lines, "")
