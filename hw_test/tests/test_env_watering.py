"""Water points: nothing is made or lost, herds drink by day, and what goes wrong shows in the level."""

from dataclasses import replace

import numpy as np
import pytest
from suat_sim.watering import (
    STEP_S,
    Event,
    Herd,
    WaterCourse,
    WaterPoint,
    daily_demand,
    demand_course,
    water_course,
)
from suat_sim.weather import Weather, make_weather

MAY_2026 = 1778803200.0  # 2026-05-15T00:00Z
SHIFT_H = 77.9 / 15
DAYS = 20
STEPS = DAYS * 144

SPRING = WaterPoint("a", ("p",), 12000.0, 2.0, 500.0, "spring", 250.0)
PUMP = WaterPoint("b", ("p",), 20000.0, 2.0, 800.0, "solar_pump", 1300.0)
SHEEP = Herd("otar", "sheep", 600, ((MAY_2026, "p"),))


@pytest.fixture(scope="module")
def weather() -> Weather:
    return make_weather(4, MAY_2026, MAY_2026 + 40 * 86400)


def course(point: WaterPoint, weather: Weather, herds: tuple[Herd, ...] = (SHEEP,)) -> WaterCourse:
    demand = demand_course(herds, point.paddocks, weather, MAY_2026, STEPS, 1, SHIFT_H)
    return water_course(point, demand, weather, MAY_2026)


@pytest.mark.parametrize(
    ("species", "air_c", "litres"),
    [
        ("sheep", 5, 3.5),
        ("sheep", 10, 3.5),
        ("sheep", 17.5, 4.75),
        ("sheep", 25, 6.0),
        ("sheep", 36, 12.0),
        ("cow_with_calf", 0, 50.0),
        ("cow_with_calf", 30, 68.0),
        ("horse", 25, 55.0),
        ("camel", 10, 15.0),
    ],
)
def test_demand_of_the_table(species: str, air_c: float, litres: float) -> None:
    assert daily_demand(species, air_c) == pytest.approx(litres)


def test_an_unknown_animal_is_named() -> None:
    with pytest.raises(ValueError, match="'yeti' is none of"):
        daily_demand("yeti", 10)


EVENTS = (
    (),
    (Event("leak", MAY_2026 + 5 * 86400, MAY_2026 + 15 * 86400, 300.0),),
    (Event("meter_leak", MAY_2026 + 5 * 86400, MAY_2026 + 15 * 86400, 300.0),),
    (Event("pump_failed", MAY_2026 + 5 * 86400, MAY_2026 + 9e9),),
    (Event("dry_run", MAY_2026 + 5 * 86400, MAY_2026 + 9e9),),
)


@pytest.mark.parametrize("point", [SPRING, PUMP])
@pytest.mark.parametrize("events", EVENTS)
def test_tank_balance_closes(point: WaterPoint, events: tuple[Event, ...], weather: Weather) -> None:
    run = course(replace(point, events=events), weather)
    change = (run.supplied - run.drunk - run.leaked)[:-1]
    assert np.abs(np.diff(run.volume) - change).max() < 1e-9
    assert run.volume.min() >= 0.0
    assert run.volume.max() <= point.tank_l + 1e-9
    assert np.all(run.drunk <= run.demand + 1e-9)
    assert np.all(np.diff(run.metered) >= 0.0)


def test_meter_counts_what_flows_through_it(weather: Weather) -> None:
    tank_leak, pipe_leak = (course(replace(SPRING, events=EVENTS[i]), weather) for i in (1, 2))
    assert tank_leak.metered[-1] == pytest.approx(tank_leak.drunk[:-1].sum())
    assert pipe_leak.metered[-1] == pytest.approx((pipe_leak.drunk + pipe_leak.leaked)[:-1].sum())


def test_herds_drink_what_the_table_says_and_not_at_night(weather: Weather) -> None:
    demand = demand_course((SHEEP,), ("p",), weather, MAY_2026, STEPS, 1, SHIFT_H).reshape(DAYS, 144)
    by_day = demand.sum(axis=1)
    assert by_day.min() > 600 * 3.5 * 0.7 * 0.9 - 1
    assert by_day.max() < 600 * 6.0 * 1.1 + 1
    local_hour = ((np.arange(144) / 6) + 5) % 24  # Asia/Almaty
    assert demand[:, (local_hour >= 21) | (local_hour < 6)].sum() == 0.0
    assert demand_course((SHEEP,), ("elsewhere",), weather, MAY_2026, STEPS, 1, SHIFT_H).sum() == 0.0


def test_a_herd_drinks_only_where_it_is(weather: Weather) -> None:
    moved = replace(SHEEP, moves=((MAY_2026 + 3 * 86400, "p"), (MAY_2026 + 6 * 86400, "q")))
    assert [moved.paddock(MAY_2026 + day * 86400) for day in (0, 3, 5.9, 6, 99)] == ["", "p", "p", "q", "q"]
    by_day = demand_course((moved,), ("p",), weather, MAY_2026, STEPS, 1, SHIFT_H).reshape(DAYS, 144).sum(axis=1)
    assert (by_day > 0).tolist() == [False] * 3 + [True] * 3 + [False] * (DAYS - 6)


def test_a_leak_shows_at_night(weather: Weather) -> None:
    """Between the last drink and the first: the sound tank rises or stays, the leaking one falls."""
    sound, leaking = course(SPRING, weather), course(replace(SPRING, events=EVENTS[1]), weather)
    night = slice(7 * 144 - 5 * 6, 7 * 144 - 1 * 6)  # 19-23 UTC is 00-04 in Almaty
    assert sound.volume[night][-1] >= sound.volume[night][0]
    assert leaking.volume[night][-1] < leaking.volume[night][0] - 150
    assert sound.leaked.sum() == 0.0


def test_a_failed_pump_draws_no_current_and_a_dry_one_little(weather: Weather) -> None:
    sound, failed, dry = (course(replace(PUMP, events=EVENTS[i]), weather) for i in (0, 3, 4))
    late = slice(6 * 144, None)
    assert 3.0 < sound.pump.max() < 4.5
    assert failed.pump[late].max() == 0.0
    assert 0.5 < dry.pump[late].max() < 1.9
    assert failed.supplied[late].sum() == dry.supplied[late].sum() == 0.0
    assert failed.volume[-1] <= PUMP.dead_l + 1e-9  # they drink it down to the outlet, not below
    assert failed.volume.min() >= PUMP.dead_l - 1e-9
    midnight = [i for i in range(STEPS) if (MAY_2026 + i * STEP_S) % 86400 == 19 * 3600]
    assert sound.pump[midnight].max() == 0.0


def test_a_full_tank_closes_its_float(weather: Weather) -> None:
    run = course(replace(SPRING, start_share=1.0), weather, herds=())
    assert run.full[1:].min() == 1.0
    assert run.supplied.sum() == 0.0
    assert run.volume[-1] == 12000.0


def test_water_follows_the_air_slowly_and_never_freezes_through(weather: Weather) -> None:
    run = course(SPRING, weather)
    air = np.interp(
        MAY_2026 + STEP_S * np.arange(STEPS), weather.start + 3600 * np.arange(weather.air.size), weather.air
    )
    assert (
        np.ptp(run.temperature.reshape(DAYS, 144), axis=1).mean() < 0.25 * np.ptp(air.reshape(DAYS, 144), axis=1).mean()
    )
    cold = replace(weather, air=weather.air - 40.0)
    assert water_course(SPRING, np.zeros(STEPS), cold, MAY_2026).temperature.min() == 0.0


def test_unknown_words_are_named(weather: Weather) -> None:
    with pytest.raises(ValueError, match="event 'flood' of water point a is none of leak"):
        course(replace(SPRING, events=(Event("flood", 0, 1),)), weather)
    with pytest.raises(ValueError, match="supply 'truck' of water point a is neither"):
        course(replace(SPRING, supply="truck"), weather)
