"""The demo's data: a configuration the station accepts, and a pasture in which different things are true."""

import json
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from suat.config import parse
from suat_sim.environment import Pasture, unix
from suat_sim.pasture import TEXTURES
from suat_sim.scenario import demo_station
from suat_sim.watering import DEMAND_L


def checked(scenario: dict[str, Any], folder: Path) -> Any:
    content = scenario["config"] | {"station": scenario["config"]["station"] | {"data_dir": str(folder)}}
    return parse(content)


@pytest.mark.parametrize(("soil", "water"), [(6, 3), (1, 0), (0, 1), (1, 3), (6, 0), (2, 1), (14, 7), (60, 20)])
def test_the_station_accepts_any_number_of_nodes(soil: int, water: int, tmp_path: Path) -> None:
    scenario = demo_station(soil, water)
    config = checked(scenario, tmp_path)
    kinds = [node["kind"] for node in scenario["nodes"]]
    assert kinds.count("soil") == soil
    assert kinds.count("water") == water
    names = [node["name"] for node in scenario["nodes"]]
    assert len(set(names)) == len(names)
    paddocks = {paddock.id for paddock in config.paddock}
    assert {node["paddock"] for node in scenario["nodes"] if node["kind"] == "soil"} <= paddocks
    assert {move["paddock"] for move in scenario["moves"]} <= paddocks
    assert {move["herd"] for move in scenario["moves"]} == {herd.id for herd in config.herd}
    assert all(paddock.name.ru and paddock.name.kk for paddock in config.paddock)
    assert {paddock.soil for paddock in config.paddock} <= set(TEXTURES)


def test_textures_and_animals_are_the_stations() -> None:
    from typing import get_args

    from suat.pasture import tables

    assert set(TEXTURES) == set(get_args(tables.Texture))
    assert set(DEMAND_L) == set(get_args(tables.Species))


def test_nothing_to_show() -> None:
    for soil, water, days in ((0, 0, 30), (-1, 3, 30), (6, 3, 0)):
        with pytest.raises(ValueError, match="has nothing to show"):
            demo_station(soil, water, days=days)


def test_it_is_plain_data() -> None:
    scenario = demo_station()
    assert json.loads(json.dumps(scenario, default=str))["days"] == 30
    assert scenario["start"] == "2026-05-15T00:00:00Z"
    again = demo_station()
    assert scenario == again
    scenario["config"]["paddock"][0]["name"]["en"] = "changed"
    assert again == demo_station()
    assert tomllib.loads("forage_date = 2026-06-01")["forage_date"].__class__ is (
        scenario["config"]["paddock"][0]["forage_date"].__class__
    )


def test_start_with_a_zone_and_short_runs() -> None:
    scenario = demo_station(start="2026-05-15T05:00+05:00", days=3)
    assert scenario["start"] == "2026-05-15T00:00:00Z"
    end = unix(scenario["start"]) + 3 * 86400
    assert all(unix(scenario["start"]) <= unix(move["at"]) < end for move in scenario["moves"])
    pasture = Pasture(scenario)
    assert pasture.nodes["water-2"].at(pasture.end)["water.depth"] is not None


@pytest.fixture(scope="module")
def pasture() -> Pasture:
    return Pasture(demo_station(seed=7))


def available(pasture: Pasture, paddock: str, texture: str, t: float) -> float:
    """fPAW of the upper 60 cm, as the station weighs 10 and 30 cm."""
    soil = pasture.soils[paddock]
    hour = int((t - soil.weather.start) // 3600)
    theta = (soil.moisture(10)[hour] + soil.moisture(30)[hour]) / 2
    return float((theta - TEXTURES[texture].wp) / (TEXTURES[texture].fc - TEXTURES[texture].wp))


@pytest.mark.parametrize("seed", [1, 2, 3, 7])
def test_the_picture_is_varied(seed: int) -> None:
    """At the end: a paddock to graze, one too dry, one too wet; a spring that is full, a well that ran low, a leak."""
    pasture = Pasture(demo_station(seed=seed))
    end = pasture.end
    assert 0.15 < available(pasture, "asy-terrace", "loam", end) < 0.93
    assert available(pasture, "kungei", "sandy_loam", end) < 0.15
    assert available(pasture, "sazdy", "loam", end) > 1.05
    share = {name: course.volume / course.tank_l for name, course in pasture.waters.items()}
    last = {name: int((end - course.start) // 600) for name, course in pasture.waters.items()}
    assert share["asy-spring"][last["asy-spring"]] > 0.8
    assert share["batan-well"][last["batan-well"]] < 0.2
    night = slice(last["slope-tank"] - 5 * 6, last["slope-tank"] - 6)  # 00 to 04 in Almaty
    assert share["slope-tank"][night][0] - share["slope-tank"][night][-1] > 0.02  # the leak alert's own limit
    assert 0.3 < share["slope-tank"][last["slope-tank"]] < 0.6
    week_before = slice(night.start - 7 * 144, night.stop - 7 * 144)
    assert share["slope-tank"][week_before][0] - share["slope-tank"][week_before][-1] <= 0.0


def test_readings_stay_in_sense(pasture: Pasture) -> None:
    """A month of the demo, quarter of an hour by quarter of an hour, spikes set aside."""
    limits = {
        "vwc": (0.0, 0.55),
        "permittivity": (1.0, 45.0),
        "count": (0.0, 1.0),
        "temperature": (-3.0, 45.0),
        "ec": (0.0, 2.0),
    }
    for name in ("soil-1", "soil-2", "soil-3"):
        out_of_it = 0
        for i in range(0, 30 * 96):
            out = pasture.nodes[name].at(pasture.start + 900 * i)
            for channel, value in out.items():
                low, high = limits.get(channel.split(".")[1], (-40.0, 60.0))
                out_of_it += value is not None and not low <= value <= high
        assert out_of_it < 60  # 0.4 % of 2880 x 10, spikes among them
    batteries = [pasture.nodes[f"soil-{i}"].at(pasture.end)["node.battery"] for i in range(1, 7)]
    assert batteries[4] is not None and batteries[4] < 3.7
    assert all(volts is not None and volts > 3.8 for i, volts in enumerate(batteries) if i != 4)


def test_two_pastures_of_one_scenario_are_one(pasture: Pasture) -> None:
    again = Pasture(demo_station(seed=7))
    for name, node in pasture.nodes.items():
        for day in (0, 3.3, 17.21, 30):
            assert again.nodes[name].at(pasture.start + day * 86400) == node.at(pasture.start + day * 86400)


def test_a_longer_run_has_the_same_weather(pasture: Pasture) -> None:
    longer = Pasture(demo_station(seed=7, days=60))
    t = pasture.start + 5 * 86400
    mine, other = pasture.nodes["soil-3"].state.air.at(t), longer.nodes["soil-3"].state.air.at(t)
    assert mine == pytest.approx(other, abs=1e-9)


def test_time_outside_the_run_is_an_error(pasture: Pasture) -> None:
    for t in (pasture.start - 3 * 86400, pasture.end + 3 * 86400):
        with pytest.raises(ValueError, match="outside the simulated time"):
            pasture.nodes["soil-1"].at(t)


def test_faults_can_be_set_for_the_whole_run() -> None:
    scenario = demo_station(2, 1, seed=7) | {"faults": {"spike": 0.0, "dropout": 1.0, "stuck": 0.0}}
    nodes = Pasture(scenario).nodes
    t = unix(scenario["start"])
    assert nodes["soil-1"].at(t)["probe1.vwc"] is None
    assert nodes["water-1"].at(t)["water.depth"] is None


def test_it_is_quick_enough(pasture: Pasture) -> None:
    """A demo asks 26,000 times; far below that is meant, the limit leaves room for a busy machine."""
    node = pasture.nodes["soil-1"]
    begin = time.process_time()
    for i in range(2000):
        node.at(pasture.start + 900 * i)
    assert (time.process_time() - begin) / 2000 < 500e-6


def test_soil_moisture_answers_the_rain(pasture: Pasture) -> None:
    """After the wettest day of the run the top probe of the terrace reads more than before it."""
    soil = pasture.soils["asy-terrace"]
    first = int((pasture.start - soil.weather.start) // 86400)
    rain = soil.weather.day_sums("rain")[first : first + 28]
    day = int(np.argmax(rain))
    assert rain[day] > 5
    before, after = (soil.moisture(10)[24 * (first + day + step)] for step in (0, 1))
    assert after > before
