"""What `suat doctor` and the check before a start find, each by a station in which that one thing is wrong."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from suat import doctor, preflight, running
from suat.config import Config, parse
from suat.errors import SuatError
from suat.network.wired import wired_eui
from suat.records import Batch
from suat_sim.kept import START_US, Kept, device, soil_rows
from suat_sim.servers import influxd

HOUR_US = 3_600_000_000
Usage = namedtuple("Usage", "total used free")


def configuration(folder: Path, **tables: Any) -> Config:
    return parse({"station": {"name": "Asy", "data_dir": str(folder)}, "board": {"bind": "127.0.0.1:0"}, **tables})


def found(config: Config, now_us: int = START_US) -> dict[str, list[str]]:
    """What was found, by level."""
    findings: dict[str, list[str]] = {"bad": [], "look": [], "good": []}
    examined = doctor.examine(config, now_us)
    levels = [finding.level for finding in examined]
    assert levels == sorted(levels, key=("bad", "look", "good").index)  # the worst first
    for finding in examined:
        assert finding.todo or finding.level == "good", finding  # whoever is told of it is told what to do
        findings[finding.level].append(finding.what)
    return findings


@pytest.fixture
def station(tmp_path: Path) -> Config:
    """A station with one node that was heard."""
    with Kept(tmp_path) as kept:
        node = kept.journal.add_device(device(1, name="soil-1"))
        kept.fill(node, soil_rows(3))
        config = configuration(kept.journal.path.parent)
    assert config.journal_path.exists()
    return config


def test_a_healthy_station_has_nothing_bad(station: Config) -> None:
    with running.claim(station):
        findings = found(station)
    assert (findings["bad"], findings["look"]) == ([], [])
    assert "1 nodes are registered, 1 were heard" in findings["good"]
    assert f"the station runs (process {os.getpid()})" in findings["good"]
    assert "no InfluxDB is configured: the journal and the board page stand alone" in findings["good"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """machine(path, content, ...): a Raspberry Pi's /sys and /proc with these files, and no others."""
    root = tmp_path / "machine"
    root.mkdir()
    monkeypatch.setenv("SUAT_SYSROOT", str(root))

    def make(*files: str) -> None:
        for path, content in zip(files[::2], files[1::2], strict=True):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content + "\n")

    return make


def told_by(station: Config, *sources: str) -> Config:
    return configuration(station.station.data_dir, time={"sources": list(sources)})


def test_a_station_whose_time_nothing_tells(station: Config, machine: Callable[..., None]) -> None:
    findings = found(told_by(station, "rtc", "gateway", "confirmed"))
    told = "nothing tells the time (rtc, gateway, confirmed): readings are kept but have no date"
    assert findings["bad"][0] == told


RTC = "sys/class/rtc/rtc0/"


def test_a_clock_chip_tells_the_time(station: Config, machine: Callable[..., None]) -> None:
    machine(RTC + "name", "rtc-ds1307 1-0068", RTC + "since_epoch", str(int(time.time())))
    findings = found(told_by(station, "rtc"))
    assert findings["bad"] == []
    assert any(line.startswith("it is 20") and line.endswith(", by rtc") for line in findings["good"])


@pytest.mark.parametrize("told", [None, "946684800"])
def test_a_clock_chip_with_an_empty_battery(station: Config, machine: Callable[..., None], told: str | None) -> None:
    machine(RTC + "name", "rtc-ds1307 1-0068", *(() if told is None else (RTC + "since_epoch", told)))
    findings = found(told_by(station, "rtc", "system"))
    assert findings["bad"] == ["the clock chip rtc-ds1307 1-0068 (rtc0) has lost the time"]
    assert any(line.endswith(", by system") for line in findings["good"])


def test_clocks_that_contradict_each_other(station: Config, machine: Callable[..., None]) -> None:
    machine(RTC + "name", "rtc-ds1307 1-0068", RTC + "since_epoch", str(int(time.time()) + 7200))
    findings = found(told_by(station, "rtc", "system"))
    assert len(findings["bad"]) == 1
    assert findings["bad"][0].startswith("system says 20") and findings["bad"][0].endswith(", rtc another time")
    assert any("the machine's own clock is off by -72" in line for line in findings["look"])


CARD = "sys/class/mmc_host/mmc0/mmc0:0001/"


@pytest.mark.parametrize(
    ("life_time", "level", "used"),
    [("0x01 0x01", "good", 10), ("0x02 0x08", "look", 80), ("0x01 0x0b", "bad", 110), ("0x00 0x00", None, 0)],
)
def test_how_worn_the_card_is(
    station: Config, machine: Callable[..., None], life_time: str, level: str | None, used: int
) -> None:
    """JESD84-B51: 0x01 is 0 to 10 % used, 0x0b more than its whole life, 0x00 not told."""
    machine(CARD + "life_time", life_time, CARD + "name", "DG4016")
    told = [(kind, line) for kind, lines in found(station).items() for line in lines if "card" in line]
    expected = [] if level is None else [(level, f"the card DG4016 has used up to {used} % of its life")]
    assert told == expected


def test_a_supply_that_is_too_weak(
    station: Config, machine: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("sys/class/hwmon/hwmon1/name", "rpi_volt", "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1")
    assert "hwmon1 reports undervoltage" in found(station)["bad"]
    machine("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0")
    assert found(station)["bad"] == []
    for bits, said in (("0x0", None), ("0x50000", "0x50000"), ("0x1", "0x1"), ("0x80008", None)):
        program = tmp_path / "bin" / "vcgencmd"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled={bits}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        told = [line for line in found(station)["bad"] if "supply" in line]
        expected = [] if said is None else [f"the supply was too low (vcgencmd get_throttled: {said})"]
        assert told == expected


def test_a_box_that_is_too_hot(station: Config, machine: Callable[..., None]) -> None:
    machine("sys/class/thermal/thermal_zone0/temp", "79900")
    assert not [line for line in found(station)["look"] if "degC" in line]
    machine("sys/class/thermal/thermal_zone0/temp", "84300")
    assert "the processor is at 84 degC" in found(station)["look"]


def test_a_radio_on_usb_that_is_not_plugged_in(station: Config, tmp_path: Path) -> None:
    ingest = [{"kind": "serial_bridge", "port": str(tmp_path / "ttyACM0")}]
    config = configuration(station.station.data_dir, ingest=ingest)
    (told,) = found(config)["bad"]
    assert "ttyACM0 is not there" in told
    (tmp_path / "ttyACM0").touch()
    assert found(config)["bad"] == []


def test_what_the_running_station_says_itself(station: Config) -> None:
    import http.server
    import threading

    class Ill(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if self.path == "/healthz" else 404)
            self.end_headers()
            self.wfile.write(b'{"reasons": ["no progress: journal has worked on one thing for 61 s"]}')

        def log_message(self, *_arguments: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Ill) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        bind = f"127.0.0.1:{server.server_address[1]}"
        config = configuration(station.station.data_dir, board={"bind": bind})
        with running.claim(config):
            findings = found(config)
        server.shutdown()
        thread.join()
    assert findings["bad"] == ["the station says: no progress: journal has worked on one thing for 61 s"]


def test_each_of_several_sinks_is_asked(station: Config) -> None:
    table = {"url": "http://127.0.0.1:9", "api": "v1", "database": "pasture"}
    sink = [table | {"name": "district", "url": "http://127.0.0.1:10"}]
    told = found(configuration(station.station.data_dir, influx=table, sink=sink))["bad"]
    for name, url in (("influx", "http://127.0.0.1:9"), ("district", "http://127.0.0.1:10")):
        assert any(line.startswith(f"InfluxDB ({name}) at {url}, pasture") for line in told)


def test_a_station_that_does_not_run(station: Config) -> None:
    assert found(station)["look"] == ["the station does not run"]


def test_a_station_without_journal_or_nodes(tmp_path: Path) -> None:
    config = configuration(tmp_path / "data")
    assert "there is no journal yet" in found(config)["look"]
    with Kept(tmp_path):
        pass
    config = configuration(next(path.parent for path in tmp_path.rglob("journal.db")))
    assert "no node is registered" in found(config)["look"]


def test_a_node_that_was_never_heard(station: Config, tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        kept.journal.add_device(device(2, name="soil-2"))
    assert "never heard: soil-2" in found(station)["look"]


def test_no_node_at_all_was_ever_heard(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        kept.journal.add_device(device(1))
        config = configuration(kept.journal.path.parent)
    assert found(config)["bad"] == ["no node was ever heard"]


def test_what_hangs_on_a_wire_needs_no_antenna(tmp_path: Path) -> None:
    with Kept(tmp_path) as kept:
        kept.journal.add_device(replace(device(1, "water", name="tank-1"), dev_eui=wired_eui("tank-1")))
        config = configuration(kept.journal.path.parent)
    assert "1 wired devices are registered, no node" in found(config)["good"]
    assert "no node was ever heard" not in found(config).get("bad", [])


def test_a_silent_radio(station: Config) -> None:
    assert "no node was heard for 8 h" in found(station, START_US + 8 * HOUR_US + 30 * 60_000_000)["bad"]


@pytest.mark.parametrize(
    ("counters", "said"),
    [
        ({"received": 1000, "accepted": 900, "bad_mic": 100}, "100 of 1000 frames were not signed"),
        ({"received": 1000, "accepted": 400, "unknown_device": 600}, "600 of 1000 frames came from nodes that are not"),
        ({"received": 1000, "accepted": 900, "malformed": 100}, "100 of 1000 frames were damaged"),
        ({"received": 1000, "accepted": 960, "malformed": 40}, None),  # stray noise
        ({"received": 10, "malformed": 10}, None),  # too few to say
    ],
)
def test_frames_that_are_not_ours(station: Config, tmp_path: Path, counters: dict[str, int], said: str | None) -> None:
    with Kept(tmp_path) as kept:
        kept.journal.commit(Batch(counters=counters))
    told = [line for line in found(station)["look"] if "frames" in line]
    assert len(told) == (said is not None)
    assert all(str(said) in line for line in told)


def test_a_disk_that_is_nearly_full(station: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(100e9, 92e9, 8e9))
    assert found(station)["bad"] == ["8.0 GB of disk are free"]


def test_a_damaged_journal(station: Config) -> None:
    station.journal_path.write_bytes(b"no journal" * 1000)
    (told,) = found(station)["bad"]
    assert "journal.db" in told


def test_an_influxdb_that_is_not_there(station: Config) -> None:
    table = {"url": "http://127.0.0.1:9", "api": "v1", "database": "pasture"}
    config = configuration(station.station.data_dir, influx=table)
    (told,) = found(config)["bad"]  # one line for all that it was asked
    assert "InfluxDB at http://127.0.0.1:9, pasture, pasture_15m, pasture_1h, pasture_1d: " in told


def test_an_influxdb_without_the_database(station: Config, tmp_path: Path) -> None:
    with influxd(tmp_path / "server") as server:
        table = {"url": server.url, "api": "v1", "database": "pasture"}
        config = configuration(station.station.data_dir, influx=table)
        assert all("database not found" in line for line in found(config)["bad"])
        server.query("CREATE DATABASE pasture")
        for policy in ("pasture", "pasture_15m", "pasture_1h", "pasture_1d"):
            server.query(f'CREATE RETENTION POLICY "{policy}" ON pasture DURATION INF REPLICATION 1')
        findings = found(config)
    assert findings["bad"] == []
    assert "InfluxDB takes points into pasture_1d" in findings["good"]


def test_files_of_another_user_are_faults(station: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    access: Callable[..., bool] = os.access
    (station.station.data_dir / "keys.json").write_text("{}")

    def refused(path: Any, mode: int) -> bool:
        return Path(path).name != "keys.json" and access(path, mode)

    monkeypatch.setattr(os, "access", refused)
    (fault,) = preflight.data_dir(station.station.data_dir)
    assert fault.startswith(f"station.data_dir: {station.station.data_dir}/keys.json can't be read and written")
    assert "chown" in fault


def test_a_data_folder_belongs_to_one_station(tmp_path: Path) -> None:
    config = configuration(tmp_path / "data", ingest=[{"kind": "semtech_udp", "bind": "127.0.0.1:1700"}])
    assert running.seen(config) is None
    with running.claim(config):
        assert running.seen(config) == running.Running(os.getpid(), frozenset({"127.0.0.1:1700", "127.0.0.1:0"}))
        with (
            pytest.raises(SuatError, match=f"a station runs on it already \\(process {os.getpid()}\\)"),
            running.claim(config),
        ):
            pass
        path = tmp_path / "data" / running.NAME
        assert path.stat().st_mode & 0o777 == 0o600
        path.write_text("{")  # it is only just starting
        assert running.seen(config) is None
        with pytest.raises(SuatError, match="a station runs on it already;"), running.claim(config):
            pass
    assert running.seen(config) is None  # what is in the file does not count, the lock does
    with running.claim(config):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_data_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    config = configuration(tmp_path / "data")
    with pytest.raises(SuatError, match="check data_dir and its owner"), running.claim(config):
        pass
