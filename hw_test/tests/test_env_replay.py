"""Logger files: what is read agrees with a count by other means, what is damaged is named."""

import csv
import datetime as dt
import gzip
import itertools
import os
from collections import Counter
from pathlib import Path

import pytest
from suat.config import parse
from suat_sim.devices import crc16
from suat_sim.logger_replay import (
    LoggerFile,
    ReplayError,
    load_logger,
    load_loggers,
)
from suat_sim.replay_station import replay_station, station_texture, texture_class
from suat_wire import payload

HEADER = "time,plot,port,position,measure,value,curated\n"
LINES = """\
2014-05-01T10:00,X1,2,5E,VWC,0.101,kept
2014-05-01T12:00,X1,2,5E,VWC,0.102,kept
2014-05-01T12:00,X1,2,5E,VWC,0.103,
2000-01-01T00:00,X1,2,5E,VWC,0.104,
2049-01-01T00:00,X1,2,5E,VWC,0.105,
2014-05-01T08:00,X1,2,5E,VWC,0.100,kept
2014-05-01T08:00,X1,1,air,C,-1.5,kept
2014-05-01T12:00,X1,1,air,C,3.5,kept
2014-05-01T12:00,X1,1,air,C,3.6,
2000-01-01T00:00,X1,1,air,C,9.9,
2014-05-01T10:00,X1,1,air,C,,
2014-05-01T08:00,X1,4,25W,C,NA,
2014-05-01T10:00,X1,4,25W,C,4.5,kept
"""

DATA = Path(os.environ.get("SUAT_USSES", Path(__file__).parents[2].parent / "shared" / "data" / "usses"))
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the logger files are not at {DATA}; name their folder in SUAT_USSES"
)


def written(folder: Path, text: str, name: str = "EM1.csv.gz") -> Path:
    path = folder / name
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(text)
    return path


@pytest.fixture
def small(tmp_path: Path) -> LoggerFile:
    return load_logger(written(tmp_path, HEADER + LINES))


def test_rows_are_in_time_order_and_repeated_times_in_file_order(small: LoggerFile) -> None:
    eight = 1398931200  # 2014-05-01T08:00Z
    assert [(row.index, row.time - eight) for row in small.rows] == [(0, 0), (1, 7200), (2, 14400), (3, 14400)]
    assert [row.readings for row in small.rows] == [
        {"probe1.vwc": 0.100, "node.air_temperature": -1.5},
        {"probe1.vwc": 0.101, "probe4.temperature": 4.5},
        {"probe1.vwc": 0.102, "node.air_temperature": 3.5},
        {"probe1.vwc": 0.103, "node.air_temperature": 3.6},
    ]
    assert small.name == "EM1"
    assert small.plot == "X1"
    assert small.probes == (("5E", 5, 1), ("25W", 25, 4))


def test_dead_clocks_are_left_out_and_counted(small: LoggerFile) -> None:
    assert small.left_out == {2000: 2, 2049: 1}
    assert small.left_out_times == 2
    assert small.lines == 13
    assert small.empty == 2
    assert small.lines == sum(1 for _ in small.expected()) + sum(small.left_out.values()) + small.empty


def test_the_span_is_a_setting(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + LINES)
    everything = load_logger(path, ("1999-01-01", "2100-01-01"))
    assert everything.left_out == {}
    assert len(everything.rows) == 6
    only_2000 = load_logger(path, ("2000-01-01", "2001-01-01"))
    assert [row.readings for row in only_2000.rows] == [{"probe1.vwc": 0.104, "node.air_temperature": 9.9}]
    with pytest.raises(ReplayError, match=r"no row with a time in 2020-01-01 .. 2021-01-01"):
        load_logger(path, ("2020-01-01", "2021-01-01"))


def test_windows_that_touch_give_each_row_once(small: LoggerFile) -> None:
    begin = small.rows[0].time
    edges = [begin + 1800 * i for i in range(12)]
    got = [row for t0, t1 in itertools.pairwise(edges) for row in small.rows_between(t0, t1)]
    assert got == list(small.rows)
    assert small.rows_between(begin, begin) == ()
    assert small.rows_between(0, 4e9) == small.rows
    assert len(small.rows_between(begin + 14400, begin + 14401)) == 2


def test_expected_names_every_reading(small: LoggerFile) -> None:
    assert list(small.expected())[:3] == [
        (0, 1398931200, "probe1.vwc", 0.100),
        (0, 1398931200, "node.air_temperature", -1.5),
        (1, 1398938400, "probe1.vwc", 0.101),
    ]


def test_the_node_itself_measures_no_soil(small: LoggerFile) -> None:
    assert set(small.at(1.4e9)) == {"node.battery", "node.solar"}


def test_the_adapter_speaks_the_nodes_language(small: LoggerFile) -> None:
    eight = small.rows[0].time
    answer = small.ask(eight + 7200.4, b"SINCE 0 12\n")
    lines = [line.partition(b"*") for line in answer.splitlines()]
    assert [body for body, _, _ in lines] == [
        b"ROW 0 7200 probe1.vwc=0.1 node.air_temperature=-1.5",
        b"ROW 1 0 probe1.vwc=0.101 probe4.temperature=4.5",
        b"END 1",
    ]
    for body, _, crc in lines:
        low, high = crc16(body)
        assert crc == b"%02X%02X" % (high, low)
    assert crc16(b"123456789") == bytes((0x37, 0x4B))  # the check value of CRC-16/MODBUS


def test_the_adapter_gives_what_is_asked_for(small: LoggerFile) -> None:
    late = small.rows[-1].time + 60.0
    heads = [line.partition(b"*")[0].split()[:2] for line in small.ask(late, b"SINCE 1 2\n").splitlines()]
    assert heads == [[b"ROW", b"1"], [b"ROW", b"2"], [b"END", b"3"]]
    assert small.ask(late, b"SINCE 9 12\n").startswith(b"END 3*")
    assert small.ask(small.rows[0].time - 1.0, b"SINCE 0 12\n").startswith(b"END -1*")
    for noise in (b"", b"SINCE\n", b"SINCE x 1\n", b"HELLO 1 2\n", b"SINCE -1 2\n"):
        assert small.ask(late, noise) == b""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line must name the columns"),
        ("time,plot\n", "the first line must name the columns"),
        (HEADER, "no row with a time in"),
        (HEADER + "2014-05-01T10:00,X1,2,5E,VWC\n", "line 2: 5 fields instead of 7"),
        (HEADER + LINES + "yesterday,X1,2,5E,VWC,1,\n", "line 15: time 'yesterday' is not like"),
        (HEADER + "2014-05-01T10:00,X1,2,5E,VWC,wet,\n", "line 2: value 'wet' is no number"),
        (HEADER + "2014-05-01T10:00,X1,2,5E,VWC,inf,\n", "line 2: value 'inf' is not finite"),
        (HEADER + "2014-05-01T10:00,X1,2,7E,VWC,1,\n", "line 2: position '7E' is none of air, 5E"),
        (HEADER + "2014-05-01T10:00,X1,2,air,VWC,1,\n", "line 2: position 'air' is none of"),
        (HEADER + "2014-05-01T10:00,X1,2,5E,pH,1,\n", "line 2: measure 'pH' is none of VWC, C"),
    ],
)
def test_damaged_content_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ReplayError) as caught:
        load_logger(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    whole = written(tmp_path, HEADER + LINES * 50).read_bytes()
    broken = {
        "short.csv.gz": whole[: len(whole) // 2],
        "plain.csv.gz": (HEADER + LINES).encode(),
        "flipped.csv.gz": whole[:40] + bytes(b ^ 255 for b in whole[40:60]) + whole[60:],
        "letters.csv.gz": gzip.compress(b"\xff\xfe\x00"),
    }
    for name, content in broken.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ReplayError, match=name):
            load_logger(path)
    with pytest.raises(ReplayError, match=r"gone\.csv\.gz: cannot be read after line 1: No such file"):
        load_logger(tmp_path / "gone.csv.gz")


def test_a_folder_without_loggers(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="no such folder"):
        load_loggers(tmp_path / "gone")
    with pytest.raises(ReplayError, match="no logger file"):
        load_loggers(tmp_path)


@pytest.mark.parametrize(
    ("clay", "silt", "sand", "expected"),
    [
        # Points well inside the classes of the USDA triangle (Soil Survey Manual, ch. 3).
        (3, 5, 92, "sand"),
        (5, 13, 82, "loamy_sand"),
        (10, 25, 65, "sandy_loam"),
        (18, 40, 42, "loam"),
        (15, 65, 20, "silt_loam"),
        (33, 34, 33, "clay_loam"),
        (33, 57, 10, "silty_clay_loam"),
        (60, 20, 20, "clay"),
        (25, 15, 60, "clay_loam"),  # sandy clay loam
        (40, 7, 53, "clay"),  # sandy clay
        (45, 48, 7, "clay"),  # silty clay
        (5, 88, 7, "silt_loam"),  # silt
    ],
)
def test_texture_classes(clay: float, silt: float, sand: float, expected: str) -> None:
    assert texture_class(clay, silt, sand) == expected


def test_texture_needs_a_hundred_percent(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not make 100"):
        texture_class(10, 10, 10)
    assert station_texture(tmp_path) == "loam"
    (tmp_path / "soil_texture.csv").write_text("depth_cm,clay,silt,sand\n0-20,10,10,x\n")
    with pytest.raises(ReplayError, match=r"soil_texture\.csv"):
        station_texture(tmp_path)


@pytest.fixture(scope="module")
def real() -> tuple[LoggerFile, ...]:
    return load_loggers(DATA)


def other_count(path: Path) -> tuple[Counter[str], Counter[tuple[str, str, str, str]]]:
    """Lines by year, and plausible readings by (time, position, measure, value): csv and Counter, nothing of ours."""
    years: Counter[str] = Counter()
    readings: Counter[tuple[str, str, str, str]] = Counter()
    with gzip.open(path, "rt") as file:
        for line in csv.DictReader(file):
            years[line["time"][:4]] += 1
            if line["time"][:4] not in ("2000", "2049"):
                readings[line["time"], line["position"], line["measure"], line["value"]] += 1
    return years, readings


@needs_data
def test_real_files_agree_with_an_independent_count(real: tuple[LoggerFile, ...]) -> None:
    positions = {"node": "air", "probe1": "5E", "probe2": "5W", "probe3": "25E", "probe4": "25W"}
    assert [logger.name for logger in real] == ["EL5740", "EM20068", "EM20069", "EM6843"]
    for logger in real:
        years, readings = other_count(DATA / f"{logger.name}.csv.gz")
        assert logger.lines == years.total()
        assert logger.left_out == {int(year): years[year] for year in ("2000", "2049") if years[year]}
        assert logger.empty == 0
        mine: Counter[tuple[str, str, str, float]] = Counter()
        for _, time, channel, value in logger.expected():
            group, name = channel.split(".")
            mine[stamp(time), positions[group], "VWC" if name == "vwc" else "C", value] += 1
        assert mine == Counter({(t, p, m, float(v)): n for (t, p, m, v), n in readings.items()})


def stamp(t: int) -> str:
    return dt.datetime.fromtimestamp(t, dt.UTC).strftime("%Y-%m-%dT%H:%M")


@needs_data
def test_real_dead_clocks_and_repeated_times(real: tuple[LoggerFile, ...]) -> None:
    """Figures of the files themselves: 9,336 lines of one logger with a dead clock, one time that came twice."""
    assert {logger.name: dict(logger.left_out) for logger in real if logger.left_out} == {
        "EM20068": {2000: 9066, 2049: 270}
    }
    assert [len(logger.rows) for logger in real] == [1955, 9495, 9189, 10635]
    twice = [
        (logger.name, stamp(now.time), now.readings["probe1.vwc"], after.readings["probe1.vwc"])
        for logger in real
        for now, after in itertools.pairwise(logger.rows)
        if now.time == after.time
    ]
    assert twice == [("EM20069", "2015-11-04T12:00", 0.147, 0.149)]


@needs_data
def test_real_readings_fit_the_payload(real: tuple[LoggerFile, ...]) -> None:
    """Each row travels as one sample, and comes back within half of its field's step."""
    for logger in real:
        for row in logger.rows[:: max(1, len(logger.rows) // 500)]:
            readings: dict[tuple[str, str], float | int] = {}
            for channel, value in row.readings.items():
                group, _, field = channel.partition(".")
                readings[group, field] = value
            frame, fport = payload.encode([payload.Sample(row.index, 0, readings)], 222)
            back = payload.decode(frame, fport, near=row.index)[0].readings
            assert set(back) == set(readings)
            for key, value in readings.items():
                assert back[key] == pytest.approx(value, abs=0.006 if "temp" in key[1] else 0.00006)


@needs_data
def test_replay_station_of_the_real_files(tmp_path: Path) -> None:
    scenario = replay_station(DATA)
    assert scenario["start"] == "2014-04-13T08:00:00Z"
    assert scenario["end"] == "2016-10-20T10:00:00Z"
    assert [(node["name"], node["paddock"], len(node["probes"])) for node in scenario["nodes"]] == [
        ("EL5740", "x2", 3),
        ("EM20068", "x8", 3),
        ("EM20069", "x11", 3),
        ("EM6843", "x7", 3),
    ]
    content = scenario["config"] | {"station": scenario["config"]["station"] | {"data_dir": str(tmp_path)}}
    assert {paddock.soil for paddock in parse(content).paddock} == {"loam"}  # 15 % clay, 36 % silt, 49 % sand
    assert set(scenario["loggers"]) == {node["name"] for node in scenario["nodes"]}
