"""Dead letters are sent again by the real command to a real InfluxDB: the good leave the list, the bad stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from suat.cli import main
from suat.store.journal import Journal
from suat.store.letters import _place
from suat.store.tables import BucketsTable
from suat_sim.servers import Influxd, influxd

GOOD = "soil,node=upper-3,probe=upper moisture=0.21,ok=1i 1780000000000000"
WINDOW = "soil_15m,node=upper-3 moisture_mean=0.2 1780000000000000"
CONFIG = """
[station]
name = "Asy"
data_dir = "data"
[influx]
url = "%s"
api = "v1"
database = "pasture"
[[sink]]
name = "district"
url = "%s"
api = "v1"
database = "district"
"""
BAD = "soil,node=upper-3 moisture=1.0.0 1780000000000000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    with influxd(tmp_path_factory.mktemp("influx")) as running:
        for database in ("pasture", "district"):
            running.query(f'CREATE DATABASE "{database}"')
            for policy in ("pasture", "pasture_15m", "pasture_1h", "pasture_1d"):
                running.query(f'CREATE RETENTION POLICY "{policy}" ON "{database}" DURATION INF REPLICATION 1')
        yield running


@pytest.fixture
def folder(tmp_path: Path, server: Influxd, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "suat.toml").write_text(CONFIG % (server.url, server.url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUAT_CONFIG", "suat.toml")
    with Journal(tmp_path / "data" / "journal.db") as journal:
        journal.add_sink("influx")
        journal.dead_letter("influx", 1_780_000_000_000_000, [(GOOD, "400"), (BAD, "400"), (WINDOW, "400")])
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(line.split())
    out = capsys.readouterr()
    return int(left.value.code or 0), out.out, out.err


def listed(capsys: pytest.CaptureFixture[str]) -> dict[int, str]:
    status, out, _ = run(capsys, "dead-letters list --json")
    assert status == 0
    return {row["id"]: row["line"] for row in map(json.loads, out.splitlines())}


def test_what_is_good_now_is_taken_and_what_is_bad_stays(
    folder: Path, server: Influxd, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listed(capsys) == {1: GOOD, 2: BAD, 3: WINDOW}
    assert run(capsys, "dead-letters retry") == (1, "2 taken, 1 refused again\n", "")
    assert listed(capsys) == {2: BAD}
    for policy, measurement in (("pasture", "soil"), ("pasture_15m", "soil_15m")):
        assert "1780000000000000" in json.dumps(server.query(f'SELECT * FROM "pasture"."{policy}"."{measurement}"'))


def test_one_alone_and_none_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "dead-letters drop --id 2") == (0, "1 dropped\n", "")
    status, out, err = run(capsys, "dead-letters drop --id 2")
    assert (status, out) == (2, "") and err.count("\n") == 1 and "suat dead-letters list" in err
    assert run(capsys, "dead-letters drop") == (0, "2 dropped\n", "")
    assert run(capsys, "dead-letters list")[1].startswith("no dead letters")


def test_nobody_answers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "suat.toml").write_text(CONFIG % ("http://127.0.0.1:9", "http://127.0.0.1:9"))
    status, _, err = run(capsys, "dead-letters retry")
    assert status == 1 and err.count("\n") == 1 and "stay dead letters" in err
    assert len(listed(capsys)) == 3


def test_each_sink_has_letters_of_its_own(folder: Path, server: Influxd, capsys: pytest.CaptureFixture[str]) -> None:
    other = "soil,node=lower-1 moisture=0.3 1780000000000001"
    with Journal(folder / "data" / "journal.db") as journal:
        journal.dead_letter("district", 1_780_000_000_000_000, [(other, "401")])
        journal.dead_letter("former", 1_780_000_000_000_000, [(other, "401")])
    assert run(capsys, "dead-letters retry --sink district --json") == (0, '{"taken": 1, "refused": 0}\n', "")
    assert "lower-1" in json.dumps(server.query('SELECT * FROM "district"."pasture"."soil"'))
    assert "lower-1" not in json.dumps(server.query('SELECT * FROM "pasture"."pasture"."soil"'))
    assert sorted(listed(capsys)) == [1, 2, 3, 5]
    status, _, err = run(capsys, "dead-letters retry")
    assert status == 2 and 'the sink "former" of dead letter 5 is gone' in err and err.count("\n") == 1
    assert run(capsys, "dead-letters drop --sink former") == (0, "1 dropped\n", "")
    assert sorted(listed(capsys)) == [1, 2, 3]
    for line in ("dead-letters list --sink distrct", "dead-letters retry --sink distrct"):
        status, _, err = run(capsys, line)
        assert status == 2 and "distrct" in err and "district" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "place"),
    [(GOOD, "raw"), (WINDOW, "m15"), ("water_1h q=1 1", "h1"), ("soil_1d,a=b q=1 1", "d1"), ("station x=1 1", "raw")],
)
def test_the_bucket_of_a_line(line: str, place: str) -> None:
    assert _place(line, BucketsTable(raw="raw", m15="m15", h1="h1", d1="d1")) == place
