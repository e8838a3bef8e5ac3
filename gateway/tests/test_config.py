"""A configuration is taken whole or refused with one clear line a fault."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from suat.config import ConfigError, load, parse
from suat.errors import did_you_mean

GOOD = """
[station]
name = "Asy"
timezone = "Asia/Almaty"
region = "IN865"
data_dir = "data"

[[ingest]]
kind = "semtech_udp"
bind = "127.0.0.1:1700"

[board]
bind = "127.0.0.1:8080"

[[paddock]]
id = "jailau-1"
name = { en = "Jailau 1", ru = "Джайляу 1", kk = "Жайлау 1" }
area_ha = 120
kind = "summer"
soil = "loam"
forage_kg_ha = 600
forage_date = 2026-06-01

[[paddock]]
id = "river-bank"
name = { en = "River bank" }
area_ha = 40
kind = "spring_autumn"
soil = "silt_loam"
alternative = "river"

[[water_point]]
id = "spring-1"
paddocks = ["jailau-1"]
distance_km = { "jailau-1" = 1.2 }
tank_l = 10000
depth_m = 2.0
dead_l = 500

[[herd]]
id = "otar-1"
species = "sheep"
head = 600
live_weight_kg = 50
"""


def put(content: dict[str, Any], path: tuple[str | int, ...], value: Any) -> None:
    for part in path[:-1]:
        content = content[part]  # type: ignore[index]
    content[path[-1]] = value  # type: ignore[index]


def drop(content: dict[str, Any], *path: str | int) -> None:
    for part in path[:-1]:
        content = content[part]  # type: ignore[index]
    del content[path[-1]]  # type: ignore[arg-type]


SINK: dict[str, Any] = {"name": "district", "url": "http://h:8086", "api": "v1", "database": "pasture"}
BROKEN: list[tuple[str, tuple[str | int, ...], Any, list[str]]] = [
    ("no name", ("station", "name"), None, ["station.name", "missing"]),
    ("no data folder", ("station", "data_dir"), None, ["station.data_dir", "missing"]),
    ("no station", ("station",), None, ["station", "missing"]),
    ("a region nobody knows", ("station", "region"), "IN866", ["station.region", "IN866", 'did you mean "IN865"']),
    ("no such time zone", ("station", "timezone"), "Asia/Almata", ["station.timezone", "no time zone"]),
    ("a slip in a key", ("station", "time_zone"), "Asia/Almaty", ["time_zone", 'did you mean "timezone"']),
    ("a slip in a table", ("padock",), [], ["padock", 'did you mean "paddock"']),
    ("an unknown ingest", ("ingest", 0, "kind"), "semtec_udp", ["ingest", "semtec_udp", "semtech_udp"]),
    ("a port out of range", ("ingest", 0, "bind"), "127.0.0.1:99999", ["ingest", "HOST:PORT"]),
    ("an address without port", ("board", "bind"), "127.0.0.1", ["board.bind", "HOST:PORT"]),
    ("a word for a number", ("paddock", 0, "area_ha"), "large", ['paddock "jailau-1".area_ha', "number", "large"]),
    ("no area", ("paddock", 0, "area_ha"), 0, ["area_ha", "greater than 0"]),
    ("an unknown soil", ("paddock", 0, "soil"), "lome", ["soil", 'did you mean "loam"']),
    ("forage without date", ("paddock", 0, "forage_date"), None, ["forage_kg_ha and forage_date go together"]),
    ("an id with blanks", ("paddock", 0, "id"), "Jailau 1", ["id", "Jailau 1"]),
    ("an id twice", ("paddock", 1, "id"), "jailau-1", ['"jailau-1" is given twice']),
    ("a dry paddock", ("paddock", 1, "alternative"), "none", ['paddock "river-bank"', "no water point"]),
    ("water for nobody", ("water_point", 0, "paddocks"), ["jailau-2"], ['no paddock "jailau-2"', "did you mean"]),
    ("more dead than water", ("water_point", 0, "dead_l"), 20000, ["dead_l must be less than tank_l"]),
    ("a distance to nowhere", ("water_point", 0, "distance_km"), {"hill": 1.0}, ["distance_km", "hill"]),
    ("a distance left out", ("water_point", 0, "distance_km"), {}, ['distance_km has no "jailau-1"']),
    ("unknown animals", ("herd", 0, "species"), "shep", ['herd "otar-1".species', 'did you mean "sheep"']),
    ("half an animal", ("herd", 0, "head"), 1.5, ["head", "integer"]),
    ("InfluxDB 2 without token", ("influx",), {"url": "http://127.0.0.1:8086", "org": "upu"}, ["needs token_file"]),
    ("InfluxDB 1 without database", ("influx",), {"url": "http://h:8086", "api": "v1"}, ["needs database"]),
    ("a sink without name", ("sink",), [{"url": "http://h:8086", "api": "v1", "database": "p"}], ["sink no. 1.name"]),
    ("a sink's name twice", ("sink",), [SINK, SINK], ['sink: the name "district" is given twice']),
    ("a sink named as the own", ("sink",), [SINK | {"name": "influx"}], ['sink "influx".name', "choose another"]),
    ("a sink named as the windows' place", ("sink",), [SINK | {"name": "windows"}], ["choose another"]),
    (
        "a sink without database",
        ("sink",),
        [{"name": "district", "url": "http://h:8086", "api": "v1"}],
        ['sink "district"', "needs database"],
    ),
    ("a slip in a sink", ("sink",), [SINK | {"gzi": True}], ['sink "district".gzi', 'did you mean "gzip"']),
    ("not a URL", ("influx",), {"url": "127.0.0.1:8086", "api": "v1", "database": "p"}, ["influx.url"]),
]


@pytest.mark.parametrize(("path", "value", "words"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_fault_is_one_line_that_names_it(path: tuple[str | int, ...], value: Any, words: list[str]) -> None:
    content = copy.deepcopy(tomllib.loads(GOOD))
    if value is None:
        drop(content, *path)
    else:
        put(content, path, value)
    with pytest.raises(ConfigError) as raised:
        parse(content, "suat.toml")
    matching = [fault for fault in raised.value.faults if all(word in fault for word in words)]
    assert len(matching) == 1, raised.value.faults
    assert "\n" not in matching[0]
    assert matching[0].startswith("suat.toml: ")


def test_all_faults_are_told_at_once() -> None:
    content = tomllib.loads(GOOD)
    put(content, ("station", "region"), "XX")
    put(content, ("herd", 0, "head"), -1)
    with pytest.raises(ConfigError) as raised:
        parse(content)
    assert len(raised.value.faults) == 2


def test_a_fault_that_quotes_a_line_break_or_a_terminals_code_stays_one_line() -> None:
    content = tomllib.loads(GOOD)
    put(content, ("herd", 0, "species"), "she\nep\x1b[2J")
    with pytest.raises(ConfigError) as raised:
        parse(content)
    (fault,) = raised.value.faults
    assert r"she\nep\x1b[2J" in fault and fault.isprintable()


def test_a_good_file_is_read_and_its_paths_are_meant_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "suat.toml").write_text(GOOD)
    config = load(tmp_path / "suat.toml")
    assert config.station.data_dir == tmp_path / "data"
    assert config.water_point[0].distance_to("jailau-1") == 1.2
    assert config.paddock[0].name.in_language("kk") == "Жайлау 1"
    assert config.paddock[1].name.in_language("kk") == "River bank"


def test_sinks_come_in_order_and_their_secrets_are_meant_from_the_files_folder(tmp_path: Path) -> None:
    sinks = """
[influx]
url = "http://127.0.0.1:8086"
org = "upu"
token_file = "own.token"
[[sink]]
name = "district"
url = "https://influx.example"
org = "rayon"
token_file = "district.token"
"""
    (tmp_path / "suat.toml").write_text(GOOD + sinks)
    config = load(tmp_path / "suat.toml")
    assert list(config.sinks) == ["influx", "district"]
    assert [table.token_file for table in config.sinks.values()] == [
        tmp_path / "own.token",
        tmp_path / "district.token",
    ]
    assert not parse(tomllib.loads(GOOD)).sinks


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[station\n", "not TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "suat.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        load(path)


def test_a_file_of_the_station_that_a_person_may_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")  # tests may run as root, whom no mode stops

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(ConfigError, match=r"suat\.toml: Permission denied; it is the station's own: sudo suat"):
        load(tmp_path / "suat.toml")


def test_only_a_close_word_is_offered() -> None:
    assert did_you_mean("paddok", ["paddock", "herd"]) == ' (did you mean "paddock"?)'
    assert did_you_mean("zzz", ["paddock", "herd"]) == ""
