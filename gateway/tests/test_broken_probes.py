"""A broken probe is told to everybody who looks: status, board page, doctor, readings, metrics and alerts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from suat import doctor
from suat.cli import main
from suat.config import Config, load
from suat.pasture.decide import Decider
from suat.pasture.status import station_status
from suat.records import Admitted, Batch, Flag, SessionUpdate
from suat.show.app import create_app
from suat.store.channels import BY_NAME
from suat.store.journal import Journal
from suat.store.packed import pack_cleaned
from suat.store.rows import Derived, Episode
from suat_sim.kept import START_US, device, row

HOUR_US = 3_600_000_000
CONFIG = """
[station]
name = "Asy"
timezone = "Asia/Almaty"
data_dir = "."

[[paddock]]
id = "p1"
name = { kk = "Жайлау", ru = "Жайлау", en = "Meadow" }
area_ha = 100
kind = "summer"
soil = "loam"

[[water_point]]
id = "w1"
paddocks = ["p1"]
tank_l = 10000
depth_m = 2.0

[[herd]]
id = "h1"
species = "sheep"
head = 100
live_weight_kg = 50
"""
LINES = {
    "en": "soil-1, 30 cm: impossible readings for 3 hours, not used.",
    "ru": "soil-1, 30 cm: невозможные показания 3 часа, не учитываются.",
    "kk": "soil-1, 30 cm: 3 сағат бойы қате көрсеткіштер, есепке алынбайды.",
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    (tmp_path / "suat.toml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUAT_CONFIG", "suat.toml")
    return load(tmp_path / "suat.toml")


@pytest.fixture
def journal(config: Config) -> Iterator[Journal]:
    with Journal(config.journal_path, durable=False) as made:
        yield made


def keep(journal: Journal, node: int, channel: tuple[str, str], broken: list[bool], first_hour: int = 0) -> None:
    """An hourly reading of one channel, as the stages before leave it."""
    rows = [row(first_hour + n, 60 * (first_hour + n), {("node", "battery"): 3.6}) for n in range(len(broken))]
    admitted = Admitted(node, SessionUpdate(node, 0, 0), rows[-1].time_us, 0, -90.0, 7.0, tuple(rows), None)
    samples = journal.commit(Batch((admitted,))).samples
    code = BY_NAME[channel].code
    bodies = [pack_cleaned([(code, Flag.BROKEN if bad else 0, math.nan if bad else 0.2)]) for bad in broken]
    journal.derive(
        Derived(
            cleaned=[(sample.id, body) for sample, body in zip(samples, bodies, strict=True)],
            broken=[Episode(node, code, samples[0].time_us, samples[-1].time_us)],
        )
    )


@pytest.fixture
def nodes(journal: Journal) -> tuple[int, int]:
    """A soil node whose deeper probe has been broken since 3 o'clock, and was before; a water node whose sensor is."""
    soil = journal.add_device(device(1, probes=2))
    water = journal.add_device(device(2, "water"))
    keep(journal, soil, ("probe2", "moisture"), [False, True, False, True, True, True])
    keep(journal, water, ("water", "depth"), [False] * 5 + [True])
    return soil, water


AT_US = START_US + 350 * 60_000_000  # ten to six


def status_of(config: Config, journal: Journal, at_us: int = AT_US) -> dict[str, Any]:
    with journal.reader() as reader:
        return station_status(config, reader, at_us)


@pytest.mark.usefixtures("nodes")
def test_the_status_says_which_probe_and_since_when(config: Config, journal: Journal) -> None:
    soil, water = status_of(config, journal)["nodes"]
    assert soil["broken"] == [{"probe": "30 cm", "channel": "moisture", "since": "2026-06-01T03:00:00Z"}]
    assert water["broken"] == [{"probe": "water", "channel": "depth", "since": "2026-06-01T05:00:00Z"}]
    assert [alert["kind"] for alert in soil["alerts"]] == ["probe"]
    (point,) = status_of(config, journal)["water_points"]
    assert "water-2: impossible readings for 50 minutes" in " ".join(alert["text"] for alert in point["alerts"])


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize(("hour", "broken"), [(0, False), (1, True), (2, False), (3, True), (4, True), (8, True)])
def test_of_the_past_what_was_so_then(config: Config, journal: Journal, hour: int, broken: bool) -> None:
    soil, _ = status_of(config, journal, START_US + hour * HOUR_US + HOUR_US // 2)["nodes"]
    assert bool(soil["broken"]) is broken


def test_it_is_over_with_the_first_sound_reading(config: Config, journal: Journal, nodes: tuple[int, int]) -> None:
    keep(journal, nodes[0], ("probe2", "moisture"), [False], first_hour=6)
    soil, _ = status_of(config, journal, AT_US + HOUR_US)["nodes"]
    assert soil["broken"] == [] and soil["alerts"] == []


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize("language", LINES)
def test_the_board_page_has_a_line_for_it(config: Config, journal: Journal, language: str) -> None:
    with journal.reader() as reader, TestClient(create_app(config, reader, lambda: AT_US)) as client:
        page = client.get("/", headers={"Accept-Language": language}).text
        metrics = client.get("/metrics").text
    assert LINES[language] in page
    assert 'suat_probe_broken{channel="moisture",node="soil-1",probe="30 cm"} 1.0' in metrics
    assert 'suat_alert{kind="probe",level="warning",subject="soil-1"} 1.0' in metrics


def test_an_alert_is_raised_once_and_cleared(config: Config, journal: Journal, nodes: tuple[int, int]) -> None:
    with journal.reader() as reader:
        decider = Decider(config, journal, reader)
        for minutes in (0, 5, 10):
            decider.decide(AT_US + minutes * 60_000_000)
        raised = [alert for alert in reader.alerts() if alert.kind == "probe"]
        assert [(alert.subject, alert.cleared_us) for alert in raised] == [("soil-1", None), ("water-2", None)]
        keep(journal, nodes[0], ("probe2", "moisture"), [False], first_hour=6)
        decider.decide(AT_US + HOUR_US)
        cleared = {alert.subject: alert.cleared_us for alert in reader.alerts() if alert.kind == "probe"}
        assert cleared == {"soil-1": AT_US + HOUR_US, "water-2": None}


@pytest.mark.usefixtures("nodes")
def test_doctor_says_what_to_do(config: Config) -> None:
    found = [finding for finding in doctor.examine(config, AT_US) if "broken" in finding.what]
    assert [finding.what for finding in found] == [
        "soil-1, 30 cm: moisture is broken since 2026-06-01T03:00:00Z, and not used",
        "water-2, water: depth is broken since 2026-06-01T05:00:00Z, and not used",
    ]
    assert all(finding.level == "look" and "cable" in finding.todo for finding in found)


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Callable[[str], list[str]]:
    """The lines that a command prints."""

    def run(line: str) -> list[str]:
        with pytest.raises(SystemExit) as left:
            main(line.split())
        out, err = capfd.readouterr()
        assert not left.value.code, err
        return [*out.splitlines()]

    return run


@pytest.mark.usefixtures("nodes")
def test_the_commands_show_them(said: Callable[[str], list[str]]) -> None:
    assert [json.loads(line) for line in said("readings --episodes --json --node soil-1")] == [
        {"node": "soil-1", "probe": "30 cm", "channel": "moisture", "since": since, "until": until, "lasts": lasts}
        for since, until, lasts in (
            ("2026-06-01T01:00:00.000001Z", "2026-06-01T01:00:00.000001Z", False),
            ("2026-06-01T03:00:00.000003Z", "2026-06-01T05:00:00.000005Z", True),
        )
    ]
    assert len(said("readings --episodes")) == 3
    assert said("readings --episodes --since 2026-06-01T06:00") == []
    flags = [json.loads(line)["flags"] for line in said("readings --json --node soil-1")]
    assert len(flags) == 6
    assert any("30 cm: moisture is broken since 2026-06-01T03" in line for line in said("status --at 2026-06-01T08:00"))
