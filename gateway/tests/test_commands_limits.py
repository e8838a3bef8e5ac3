"""`suat limits`: the limits in force, with their sources; and what `suat check` and `suat doctor` say of [[limits]]."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from suat.cli import app, run_app
from suat.config import load
from suat.doctor import examine
from suat.quality.settings import SETTINGS, SOURCED
from suat.records import DeviceRecord, Probe
from suat.store.channels import BY_NAME, CHANNELS, PROBES
from suat.store.journal import Journal

CONFIG = """
[station]
name = "Asy"
data_dir = "data"

[board]
bind = "127.0.0.1:0"

[[paddock]]
id = "jailau-1"
name = { en = "Jailau 1" }
area_ha = 120
kind = "summer"
soil = "loam"
alternative = "river"
"""
ROWS = """
[[limits]]
channel = "moisture"
maximum = inf
max_noise = 0.015
reason = "peat"

[[limits]]
node = "upper-3"
channel = "upper.moisture"
max_noise = 0.02
reason = "TDR probe, gravel"
"""
SLIP = """
[[limits]]
node = "uper-3"
channel = "moisture"
window = 7
reason = "a slip"
"""


class Command:
    """The command on a station's folder, in this process."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.file = folder / "suat.toml"
        self._capfd = capfd

    def configure(self, *tables: str) -> None:
        self.file.write_text(CONFIG + "".join(tables))

    def __call__(self, line: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            run_app(app, [*shlex.split(line), "--config", str(self.file)])
        said = self._capfd.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, said.out, said.err

    def rows(self, more: str = "") -> list[dict[str, Any]]:
        status, said, _ = self(f"limits --json {more}")
        assert status == 0
        return [json.loads(line, parse_constant=pytest.fail) for line in said.splitlines()]


@pytest.fixture
def command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    made = Command(tmp_path, capfd)
    made.configure(ROWS)
    return made


@pytest.fixture
def registered(command: Command) -> Command:
    placed = (Probe("upper", 10, 1), Probe("lower", 30, 2))
    with Journal(load(command.file).journal_path) as journal:
        journal.add_device(DeviceRecord(0, "upper-3", "soil", "70b3d57ed005a1b3", None, "jailau-1", None, placed, 0))
        journal.add_device(DeviceRecord(0, "low", "soil", "70b3d57ed005a1b4", None, "jailau-1", None, placed, 0))
    return command


def test_without_limits_of_its_own_a_station_shows_each_kinds_with_their_sources(command: Command) -> None:
    command.configure()
    shown = {(row["probe"], row["channel"], row["limit"]): row for row in command.rows()}
    expected = {
        ("probe" if channel.group in PROBES else channel.group, channel.name, limit): (value, source)
        for channel in CHANNELS
        for limit, (value, source) in SOURCED[channel.code].items()
    }
    assert {key: (row["value"], row["source"]) for key, row in shown.items()} == expected
    assert all(
        row["node"] is None and row["reason"] is None and row["default"] == row["value"] for row in shown.values()
    )
    assert shown["probe", "moisture", "max_rate"]["unit"] == "m3/m3/s"
    assert shown["water", "depth", "max_noise"]["unit"] == "m"


def test_all_nodes_then_what_is_set_for_some(registered: Command) -> None:
    set_by = [row for row in registered.rows() if row["reason"] is not None]
    assert [(row["node"], row["probe"], row["limit"], row["value"], row["default"]) for row in set_by] == [
        (None, "probe", "maximum", None, 0.7),  # infinity: not judged
        (None, "probe", "max_noise", 0.015, 0.01),
        ("upper-3", "upper", "max_noise", 0.02, 0.01),
    ]


def test_a_node_shows_all_limits_of_its_channels(registered: Command) -> None:
    rows = registered.rows("--node upper-3")
    assert {row["node"] for row in rows} == {"upper-3"}
    assert {row["probe"] for row in rows} == {"upper", "lower", "node"}
    noise = {row["probe"]: row["value"] for row in rows if (row["channel"], row["limit"]) == ("moisture", "max_noise")}
    assert noise == {"upper": 0.02, "lower": 0.015}
    warm = SETTINGS[BY_NAME["probe1", "temperature"].code]
    (found,) = [row for row in rows if [*row.values()][1:4] == ["lower", "temperature", "max_noise"]]
    assert found["value"] == warm.max_noise


def test_the_text_says_the_same(registered: Command) -> None:
    status, said, fault = registered("limits --node upper-3")
    assert (status, fault) == (0, "")
    lines = said.splitlines()
    assert len([line for line in lines if line.startswith("upper-3 ")]) == len(registered.rows("--node upper-3"))
    assert any(line.split()[:6] == ["upper-3", "upper", "moisture", "max_noise", "0.02", "m3/m3"] for line in lines)
    assert any(line.endswith("TDR probe, gravel (default 0.01)") for line in lines)
    assert any(line.endswith("peat (default 0.7)") and " none " in line for line in lines)
    assert "[T12] METER TEROS 12, technical specifications" in lines


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("limits --node uper-3", 2, '--node: there is no node "uper-3" (did you mean "upper-3"?)'),
        ("limits --nod upper-3", 2, "No such option"),
    ],
)
def test_what_can_not_be_shown_is_one_line(registered: Command, line: str, status: int, words: str) -> None:
    got, said, fault = registered(line)
    assert (got, said) == (status, "")
    assert words in fault and len(fault.splitlines()) == 1


def test_a_node_of_a_station_without_a_journal(command: Command) -> None:
    status, _, fault = command("limits --node upper-3")
    assert status == 1 and "there is no journal yet" in fault


def test_a_name_that_nobody_has_is_told_and_stops_nothing(registered: Command) -> None:
    registered.configure(ROWS, SLIP)
    line = (
        f'{registered.file}: limits no. 3: there is no node "uper-3" (did you mean "upper-3"?); see: suat device list\n'
    )
    for shown in ("check", "limits"):
        status, said, fault = registered(shown)
        assert (status, fault) == (0, line)
        assert said
    told = [finding for finding in examine(load(registered.file), 0) if "limits" in finding.what]
    assert [(finding.level, finding.todo) for finding in told] == [("look", "see: suat device list")]


def test_a_fault_of_the_table_refuses_the_configuration(command: Command) -> None:
    command.configure(ROWS.replace("upper.moisture", "upper.moistur"))
    for shown in ("check", "limits", "run"):
        status, said, fault = command(shown)
        assert (status, said) == (2, "")
        assert 'limits no. 2.channel: there is no channel "upper.moistur" (did you mean "upper.moisture"?)' in fault
        assert len(fault.splitlines()) == 1
