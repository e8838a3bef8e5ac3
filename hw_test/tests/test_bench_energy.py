"""`suat-bench energy`: times from the simulated bench, arithmetic by hand, and the goal of five years."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from suat_bench import energy_budget, energy_data
from suat_bench.cli import main
from suat_bench.energy_run import Counted
from suat_wire.airtime import time_on_air_us

KEYS = {"abp": {"dev_addr": "01020304", "nwk_skey": "00" * 16, "app_skey": "11" * 16}}
SOIL = {
    "board": "heltec_v3", "kind": "soil", "interval_s": 900, "radio": {"dr": 3}, **KEYS,
    "sensors": [{"kind": "capacitive", "at": "probe1", "adc": 2, "power": 3}, {"kind": "battery"}],
}  # fmt: skip
DAY_S = 86400


def write(folder: Path, config: object) -> str:
    path = folder / "suat.json"
    path.write_text(json.dumps(config))
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, output, errors."""
    with pytest.raises(SystemExit) as left:
        main(["energy", *arguments])
    out = capsys.readouterr()
    return int(left.value.code or 0), out.out, out.err


def budget(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The JSON answer, and its activities by name."""
    status, out, err = run(capsys, *arguments, "--json")
    assert status == 0, err
    result: dict[str, Any] = json.loads(out)
    return result, {row["name"]: row for row in result["activities"]}


@pytest.mark.parametrize("board", ["heltec_v3", "xiao_s3_wio"])
def test_a_soil_node_lives_five_years_in_the_cold_on_one_d_cell(
    board: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The goal: ESP32-S3, capacitive probe, 15 minutes, SF9, one 19 Ah LiSOCl2 cell derated for -30 degC."""
    path = write(tmp_path, SOIL)
    result, rows = budget(capsys, board, path, "--sf", "9")
    assert result["celsius"] == -30
    assert result["ah"] == pytest.approx(19 * 0.6)
    assert result["years"] >= 5
    assert result["pulse_capacitor"]
    # what the simulator counted, against what must be
    assert result["frames_a_day"] == pytest.approx(96, abs=8)
    on_air = rows["sending 14 dBm"]["seconds"] / result["frames_a_day"]
    least, most = (time_on_air_us(9, 125000, 13 + size) / 1e6 for size in (8, 51))
    assert least < on_air < most
    awake = sum(rows[name]["seconds"] for name in ("waiting", "starting", "computing"))
    assert rows["asleep"]["seconds"] == pytest.approx(DAY_S - awake)
    assert 2.0 < (awake - rows["computing"]["seconds"]) / 96 < 4.0  # two windows, a second and two after the frame
    assert rows["radio ready"]["seconds"] < awake  # and it never stays awake while the processor sleeps
    assert rows["capacitive probe1"]["seconds"] < 96 * 0.1  # fed while it is read
    # each line is time times current; the whole is their sum
    for row in rows.values():
        assert row["mah"] == pytest.approx(row["seconds"] / 3600 * row["ma"])
        assert row["source"]
    assert result["mah_a_day"] == pytest.approx(sum(row["mah"] for row in rows.values()))


def test_slow_frames_and_short_intervals_cost_what_they_must(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, SOIL)
    nine, _ = budget(capsys, "heltec_v3", path, "--sf", "9")
    twelve, slow = budget(capsys, "heltec_v3", path, "--sf", "12")
    assert twelve["spreading_factor"] == 12
    assert twelve["mah_a_day"] > nine["mah_a_day"]
    on_air = slow["sending 14 dBm"]["seconds"] / twelve["frames_a_day"]
    assert time_on_air_us(12, 125000, 13 + 8) / 1e6 < on_air < time_on_air_us(12, 125000, 13 + 51) / 1e6
    hourly, _ = budget(capsys, "heltec_v3", path, "--data-rate", "3", "--interval", "3600")
    assert hourly["interval_s"] == 3600
    assert hourly["years"] > nine["years"]


def test_a_pico_wants_the_sun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {**SOIL, "sensors": [{"kind": "capacitive", "at": "probe1", "adc": 27, "power": 22}, {"kind": "battery"}]}
    result, rows = budget(capsys, "pico_waveshare", write(tmp_path, config), "--battery", "18650")
    assert rows["asleep"]["mah"] == max(row["mah"] for row in rows.values())
    assert rows["asleep"]["ma"] == pytest.approx(1.5 * 5.0 / 3.7)  # 1.5 mA at 5 V through the Pico's converter
    assert 10 < result["days_without_sun"] < 60
    assert result["sun_covers"] > 1


def test_the_answer_for_people_says_what_limits_the_life(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "heltec_v3", write(tmp_path, SOIL))
    assert status == 0
    assert "years" in out
    assert "what limits it" in out
    assert "█" in out
    assert "pulse capacitor" in out
    assert "table 5-9" in out  # sources


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["esp8266", "CONFIG"], "no board with known currents of the name 'esp8266'; there are: heltec_v3"),
        (["heltec_v3", "CONFIG", "--battery", "aaa"], "no battery of the name 'aaa'; there are: d-lisocl2"),
        (["heltec_v3", "CONFIG", "--sf", "13"], "--sf must be 7..12, is 13"),
        (["heltec_v3", "CONFIG", "--sf", "9", "--data-rate", "3"], "either --data-rate or --sf"),
        (["heltec_v3", "CONFIG", "--interval", "5"], "interval_s must be a whole number 60..86400, is 5"),
        (["heltec_v3", "no/such/file"], "No such file"),
        (["heltec_v3"], "Missing argument 'config'"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, SOIL)
    status, out, err = run(capsys, *[path if word == "CONFIG" else word for word in arguments])
    assert status == 2
    assert not out
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_a_damaged_configuration_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in ("{", "[]", "{}", json.dumps({**SOIL, "sensors": []})):
        (tmp_path / "suat.json").write_text(content)
        status, _, err = run(capsys, "heltec_v3", str(tmp_path / "suat.json"))
        assert status == 2
        assert len(err.strip().splitlines()) == 1


def test_a_switch_on_a_pin_that_cannot_wake_the_board_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    switch = {"kind": "switch", "at": "water", "pin": 38, "wake": True}
    path = write(tmp_path, {**SOIL, "kind": "water", "sensors": [switch]})
    status, _, err = run(capsys, "heltec_v3", path)
    assert status == 2
    assert err.startswith(f"{path}: sensors[0].pin")
    assert err.endswith("38 cannot wake this board; 0..21 can\n")


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert "suat-bench energy heltec_v3 suat.json" in out


# -- arithmetic -----------------------------------------------------------------------------------------------------


def test_the_cell_gives_what_the_handbook_says_at_low_currents() -> None:
    """Linden's Handbook of Batteries, 4th ed., fig. 14.17: 17 Ah at 0.2 mA, 18.4 at 1 mA, for a cell of 19 Ah."""
    cell = energy_data.BATTERIES["d-lisocl2"]
    for ma, ah in ((0.2, 17.0), (1.0, 18.4)):
        hours = energy_budget.life(ma * 24, cell, cold=False).years * energy_budget.HOURS_A_YEAR
        assert hours * ma / 1000 == pytest.approx(ah, rel=0.015)


def test_the_budget_of_a_day_by_hand() -> None:
    """86,290 s asleep at 25 uA; 100 wakes of a second: 0.25 s of start and 0.5 s of computing beside it at 44 mA."""
    counted = Counted(wakes=100, frames=100, awake=100, light=0, rx=10, radio=40, tx={14.0: 20.0}, on={3: 30.0})

    class Board:
        VEXT = None

    sensors = [{"kind": "capacitive", "at": "probe1", "power": 3}, {"kind": "ds18b20", "at": "node", "power": None}]
    power = energy_data.POWER["heltec_v3"]
    rows = {row.name: row.mah for row in energy_budget.activities(counted, power, Board, sensors, 3.6)}
    assert rows == pytest.approx(
        {
            "asleep": 86250 / 3600 * 0.025,
            "starting": 25 / 3600 * 44,
            "computing": 50 / 3600 * 44,
            "waiting": 75 / 3600 * 32,
            "radio ready": 10 / 3600 * 2.3,
            "receiving": 10 / 3600 * 5.3,
            "sending 14 dBm": 20 / 3600 * 45,
            "capacitive probe1": 30 / 3600 * 5,
            "ds18b20 node": 24 * 1.5,  # nothing switches it off
        }
    )


def test_the_output_stage_costs_what_its_setting_does() -> None:
    assert [energy_budget.tx_ma(dbm) for dbm in (2, 14, 15, 20, 22)] == [45, 45, 58, 84, 118]


def test_every_known_board_and_sensor_kind_has_its_currents() -> None:
    from suat_node import boards as folder_of_boards
    from suat_node.sensor_options import OPTIONS

    folder = Path(str(folder_of_boards.__file__)).parent
    boards = {path.stem for path in folder.glob("*.py")} - {"__init__", "template"}
    assert boards == set(energy_data.POWER)
    assert set(OPTIONS) <= set(energy_data.SENSORS)
