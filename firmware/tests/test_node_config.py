"""The node's configuration: what is accepted, and one clear line for each fault."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from suat_node import config, sensor_options

GOOD: dict[str, Any] = {
    "board": "heltec_v3",
    "kind": "soil",
    "region": "IN865",
    "interval_s": 900,
    "otaa": {
        "dev_eui": "0011223344556677",
        "join_eui": "8899aabbccddeeff",
        "app_key": "00112233445566778899aabbccddeeff",
    },
    "radio": {"dr": 2, "adr": False, "power_dbm": 10, "channel": 1},
    "sensors": [
        {"kind": "capacitive", "at": "probe1", "adc": 2, "power": 3},
        {"kind": "rs485", "at": "probe2", "uart": 1, "tx": 4, "rx": 5, "registers": [["permittivity", 7, 0.01]]},
        {"kind": "battery"},
    ],
}


def test_good() -> None:
    found = config.check(GOOD)
    assert (found.board, found.kind, found.interval_s, found.otaa) == ("heltec_v3", "soil", 900, True)
    assert found.dev_eui.hex() == "0011223344556677" and len(found.app_key) == 16
    assert (found.dr, found.adr, found.power_dbm, found.channel) == (2, False, 10, 1)
    assert found.sensors[0] == {
        "kind": "capacitive",
        "at": "probe1",
        "adc": 2,
        "samples": 9,
        "power": 3,
        "power_level": 1,
        "warm_ms": 20,
    }
    assert found.sensors[1]["registers"] == [["permittivity", 7, 0.01]] and found.sensors[1]["baud"] == 9600
    assert found.sensors[2]["at"] == "node"


def test_abp_and_defaults() -> None:
    raw: dict[str, Any] = {"board": "pico_waveshare", "kind": "water", "sensors": [{"kind": "battery"}]}
    raw["abp"] = {"dev_addr": "01020304", "nwk_skey": "01" * 16, "app_skey": "02" * 16}
    found = config.check(raw)
    assert (found.region, found.interval_s, found.dr, found.channel, found.otaa) == ("IN865", 900, 3, -1, False)
    assert found.dev_addr == 0x01020304


def edited(path: str, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(GOOD)
    place: Any = raw
    *parents, last = path.split(".")
    for part in parents:
        place = place[int(part)] if part.isdigit() else place[part]
    key: Any = int(last) if last.isdigit() else last
    if value is None:
        del place[key]
    else:
        place[key] = value
    return raw


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("board", None, "board is missing"),
        ("kind", "pump", "kind: 'pump' is none of soil, water"),
        ("region", "US915", "region: 'US915' is none of IN865, EU433, EU868, RU864"),
        ("interval_s", 10, "interval_s must be a whole number 60..86400, is 10"),
        ("interval_s", True, "interval_s must be a whole number"),
        ("interval", 900, "unknown key 'interval'"),
        ("otaa", None, 'either "otaa" or "abp"'),
        ("abp", {}, 'either "otaa" or "abp"'),
        ("otaa.app_key", "00", "otaa.app_key must be 32 hexadecimal digits"),
        ("otaa.app_key", "zz" * 16, "otaa.app_key must be 32 hexadecimal digits"),
        ("otaa.app_key", 5, "otaa.app_key must be 32 hexadecimal digits"),
        ("otaa.dev_eui", None, "otaa.dev_eui must be 16 hexadecimal digits"),
        ("radio.dr", 6, "radio.dr must be a whole number 0..5, is 6"),
        ("radio.adr", 1, "radio.adr must be true or false"),
        ("radio.channel", 3, "radio.channel must be a whole number -1..2, is 3"),
        ("role", "king", "role: 'king' is none of node, bridge"),
        ("settings", 7, "settings must be a table"),
        ("settings", {"interval": 5}, "settings: unknown key 'interval'; known: "),
        ("settings", {"interval_s": 5}, "settings: unknown key 'interval_s'; known: "),
        ("settings", {"adr": 1}, "settings: unknown key 'adr'"),
        ("settings", {"ack_after": 0}, "settings.ack_after must be a whole number 1..64, is 0"),
        ("settings", {"freezing": -4001}, "settings.freezing must be a whole number -4000..4000, is -4001"),
        ("settings", {"night_from": 24}, "settings.night_from must be a whole number 0..23, is 24"),
        ("settings", {"night_from": 3.0}, "settings.night_from must be a whole number 0..23, is 3.0"),
        (
            "settings",
            {"battery_low": 3400, "battery_floor": 3400},
            "settings.battery_floor must be below settings.battery_low",
        ),
        ("radio.power", 5, "radio: unknown key 'power'"),
        ("radio", [], "radio must be a table"),
        ("sensors", [], "sensors must be a list with at least one sensor"),
        ("sensors.0", "capacitive", "sensors[0] must be a table"),
        ("sensors.0.kind", "camera", "sensors[0].kind: 'camera' is none of"),
        ("sensors.0.at", "probe5", "sensors[0].at: 'probe5' is none of probe1, probe2, probe3, probe4"),
        ("sensors.0.at", None, "sensors[0].at: None is none of"),
        ("sensors.0.adc", None, "sensors[0].adc is missing"),
        ("sensors.0.adc", 99, "sensors[0].adc must be 0..48, is 99"),
        ("sensors.0.adc", "A0", "sensors[0].adc must be 0..48, is 'A0'"),
        ("sensors.0.pin", 5, "sensors[0]: unknown key 'pin'"),
        ("sensors.1.registers", [["salt", 0, 1]], "sensors[1].registers: each is [vwc or permittivity"),
        ("sensors.1.registers", 7, "sensors[1].registers must be a list"),
    ],
)
def test_one_clear_line(path: str, value: Any, says: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.check(edited(path, value))
    text = str(caught.value)
    assert says in text and "\n" not in text
    assert GOOD["otaa"]["app_key"] not in text


def test_settings_of_the_file_and_their_defaults() -> None:
    raw = edited("settings", {"freezing": -50, "battery_low": 3500, "battery_floor": 3300})
    found = config.check(raw).settings
    assert (found["freezing"], found["battery_low"], found["battery_floor"]) == (-50, 3500, 3300)
    assert found["interval_s"] == 900 and found["ack_after"] == 4
    assert config.check(edited("settings", {"battery_floor": 3300})).settings["battery_low"] == 0


def test_a_bridge_needs_neither_keys_nor_sensors() -> None:
    found = config.check({"board": "pico_waveshare", "role": "bridge", "region": "EU433"})
    assert (found.role, found.region, found.sensors) == ("bridge", "EU433", [])
    with pytest.raises(config.ConfigError, match=r"otaa\.dev_eui must be 16"):
        config.check({"board": "pico_waveshare", "role": "bridge", "otaa": {}})


def test_a_channel_of_the_region() -> None:
    raw = edited("region", "RU864")  # two default channels
    raw["radio"] = {"channel": 1}
    assert config.check(raw).channel == 1
    raw["radio"] = {"channel": 2}
    with pytest.raises(config.ConfigError, match=r"radio\.channel must be a whole number -1\.\.1, is 2"):
        config.check(raw)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "suat.json"
    with pytest.raises(config.ConfigError, match="missing: provision the node"):
        config.load(str(path))
    path.write_text("{")
    with pytest.raises(config.ConfigError, match="is not JSON"):
        config.load(str(path))
    path.write_text("[]")
    with pytest.raises(config.ConfigError, match="must be a table"):
        config.load(str(path))
    path.write_text(json.dumps(GOOD))
    assert config.load(str(path)).board == "heltec_v3"


def test_boards() -> None:
    for name in ("heltec_v3", "lilygo_t3s3", "xiao_s3_wio", "pico_waveshare", "template"):
        assert config.board(name).SPI_ID == 1
    with pytest.raises(config.ConfigError, match=r"no file suat_node/boards/none\.py"):
        config.board("none")


def test_no_key_in_a_repr() -> None:
    found = config.check(GOOD)
    assert found.app_key.hex() not in repr(found) and repr(found.app_key) not in repr(found)


WIRING = (Path(__file__).parents[2] / "docs" / "wiring.md").read_text()


def with_sensors(board: str, sensors: list[Any]) -> config.Config:
    return config.check({**GOOD, "board": board, "sensors": sensors})


def test_the_example_of_the_wiring_page_is_accepted() -> None:
    example = json.loads("{" + WIRING.split("```json")[1].split("```")[0] + "}")
    assert len(with_sensors("pico_waveshare", example["sensors"]).sensors) == 7


COLUMNS = ("pico_waveshare", "heltec_v3", "lilygo_t3s3", "xiao_s3_wio")
NEEDED = {"current": {"amps_per_v": 30}}


@pytest.mark.parametrize(
    "row", re.findall(r"^\| `(\w+)` \| .* \| ([^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", WIRING, re.M)
)
def test_the_pins_of_the_wiring_page_are_free(row: tuple[str, ...]) -> None:
    kind = row[0]
    for board, cell in zip(COLUMNS, row[1:], strict=True):
        for way in cell.strip().split("; or "):
            words = dict(re.findall(r"(\w+) (\d+)", way))
            sensor = {"kind": kind, **NEEDED.get(kind, {}), **{name: int(pin) for name, pin in words.items()}}
            if kind == "flow" and "sda" in words:
                sensor["source"] = "pcf8583"
            if len(sensor_options.OPTIONS[kind][0]) > 1:
                sensor["at"] = sensor_options.OPTIONS[kind][0][0]
            assert with_sensors(board, [sensor]).sensors


@pytest.mark.parametrize(
    ("board", "sensors", "says"),
    [
        (
            "pico_waveshare",
            [{"kind": "ds18b20", "at": "water", "pin": 3}],
            "sensors[0].pin: pin 3 is taken by the radio",
        ),
        ("pico_waveshare", [{"kind": "solar", "adc": 4}], "sensors[0].adc: pin 4 has no analog input; 26..29 have"),
        ("heltec_v3", [{"kind": "solar", "adc": 33}], "sensors[0].adc: pin 33 has no analog input; 1..20 have"),
        (
            "lilygo_t3s3",
            [{"kind": "switch", "at": "water", "pin": 38, "wake": True}],
            "pin 38 cannot wake this board; 0..21",
        ),
        ("lilygo_t3s3", [{"kind": "flow", "pin": 38}], "pin 38 cannot wake this board"),
        ("pico_waveshare", [{"kind": "solar", "adc": 28, "power": 30}], "sensors[0].power: pin 30 cannot be used"),
        ("heltec_v3", [{"kind": "solar", "adc": 2, "power": 32}], "sensors[0].power: pin 32 cannot be used on this"),
        ("heltec_v3", [{"kind": "ds18b20", "at": "water", "pin": 22}], "sensors[0].pin: pin 22 cannot be used on this"),
        ("pico_waveshare", [{"kind": "flow"}], "sensors[0].pin is missing"),
        ("pico_waveshare", [{"kind": "flow", "source": "pcf8583", "sda": 4}], "sensors[0].scl is missing"),
        (
            "pico_waveshare",
            [{"kind": "switch", "at": "water", "pin": 8}, {"kind": "ds18b20", "at": "water", "pin": 8}],
            "sensors[1].pin: pin 8 is taken by pin",
        ),
        (
            "pico_waveshare",
            [
                {"kind": "capacitive", "at": "probe1", "adc": 27, "power": 8},
                {"kind": "switch", "at": "water", "pin": 8},
            ],
            "sensors[1].pin: pin 8 is taken by power",
        ),
        (
            "pico_waveshare",
            [{"kind": "switch", "at": "water", "pin": 8, "wake": 1}],
            "sensors[0].wake must be true or false",
        ),
        (
            "pico_waveshare",
            [{"kind": "rs485", "at": "water", "uart": 1, "tx": 4, "rx": 5}],
            "sensors[0].registers: each is [depth or temperature or ec, register, units per digit], not ['vwc'",
        ),
        (
            "pico_waveshare",
            [{"kind": "flow", "pin": 9, "debounce_ms": 0}],
            "sensors[0].debounce_ms must be 1..300, is 0",
        ),
    ],
)
def test_pins_that_cannot_work(board: str, sensors: list[Any], says: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        with_sensors(board, sensors)
    assert says in str(caught.value)


def test_sensors_share_lines_and_supplies() -> None:
    line = {"kind": "rs485", "uart": 1, "tx": 4, "rx": 5, "de": 6, "power": 22}
    found = with_sensors("pico_waveshare", [{**line, "at": "probe1"}, {**line, "at": "probe2", "address": 2}]).sensors
    assert [sensor["warm_ms"] for sensor in found] == [500, 500]
