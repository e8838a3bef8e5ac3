"""The figures behind the decisions, against published tables and worked examples."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat.pasture.drinking import DRINKS, water_days, water_per_head_l
from suat.pasture.grass import grazing_days, intake_kg_day, left_kg, reachable_area_ha
from suat.pasture.model import DAY_US, HOUR_US, SoilDay, stays
from suat.pasture.ranking import MOISTURE_CURVE, WEIGHTS, interpolate
from suat.pasture.rest import rest_since
from suat.pasture.soil_water import (
    TEXTURES,
    depth_weights,
    fraction_available,
    profile_fraction_available,
    root_depth_m,
    total_available_mm,
)
from suat.pasture.tables import RulesTable
from suat.pasture.water_use import daily_use_l, falls, metered_use
from suat.store.rows import Move

RULES = RulesTable()


# Soil water


@pytest.mark.parametrize(
    ("theta", "texture", "expected"),
    [(0.15, "loam", 0.0), (0.31, "loam", 1.0), (0.23, "loam", 0.5), (0.39, "clay", 0.0), (0.16, "sandy_loam", 0.5)],
)
def test_fraction_of_available_water(theta, texture, expected):
    assert fraction_available(theta, TEXTURES[texture]) == pytest.approx(expected)


def test_textures_are_ordered_wilting_point_field_capacity_saturation():
    assert len(TEXTURES) == 8
    assert all(t.wilting_point < t.field_capacity < t.saturation for t in TEXTURES.values())


@pytest.mark.parametrize(
    ("depths", "bottom", "expected"),
    [
        ([10, 30], 50, [20, 30]),
        ([10, 30], 30, [20, 10]),
        ([5, 25], 30, [15, 15]),
        ([10, 60], 30, [30, 0]),
        ([10], 30, [30]),
        ([10, 30, 60], 100, [20, 25, 55]),
    ],
)
def test_a_probe_stands_for_the_soil_up_to_half_way_to_its_neighbours(depths, bottom, expected):
    assert depth_weights(depths, bottom) == expected
    assert sum(depth_weights(depths, bottom)) == bottom


def test_depths_must_grow():
    with pytest.raises(ValueError, match="grow"):
        depth_weights([30, 10], 50)


def test_profile_is_weighted_by_thickness():
    # loam: 0.25 is fPAW 0.625, 0.27 is 0.75; 20 cm and 30 cm of 50
    assert profile_fraction_available([(30, 0.27), (10, 0.25)], TEXTURES["loam"], 50) == pytest.approx(0.70)
    assert profile_fraction_available([], TEXTURES["loam"], 50) is None


def test_total_available_water_of_fao56():
    # FAO-56 equation 82: 1000 (0.31 - 0.15) x 0.5 m
    assert total_available_mm(TEXTURES["loam"], root_depth_m("summer")) == pytest.approx(80.0)
    assert total_available_mm(TEXTURES["loam"], root_depth_m("alfalfa")) == pytest.approx(160.0)


@given(
    st.lists(
        st.tuples(st.integers(1, 150), st.floats(0, 0.6)), min_size=1, max_size=4, unique_by=lambda layer: layer[0]
    ),
    st.sampled_from(sorted(TEXTURES)),
    st.floats(10, 200),
)
def test_profile_lies_between_its_layers(layers, texture, bottom):
    fractions = [fraction_available(theta, TEXTURES[texture]) for _, theta in layers]
    profile = profile_fraction_available(layers, TEXTURES[texture], bottom)
    assert min(fractions) - 1e-9 <= profile <= max(fractions) + 1e-9


# Drinking water


@pytest.mark.parametrize(
    ("celsius", "litres"),
    [(-10, 3.5), (10, 3.5), (17.5, 4.75), (25, 6.0), (35, 6.0), (36, 12.0), (None, 6.0)],
)
def test_what_a_sheep_drinks(celsius, litres):
    assert water_per_head_l("sheep", celsius) == pytest.approx(litres)


@pytest.mark.parametrize(
    ("species", "cool", "warm"),
    [
        ("cow_with_calf", 50, 68), ("dry_cow", 36, 55), ("lactating_cow", 77, 95),
        ("horse", 36, 55), ("goat", 4, 10), ("camel", 15, 30),
    ],
)  # fmt: skip
def test_what_other_stock_drinks(species, cool, warm):
    assert water_per_head_l(species, 10) == cool
    assert water_per_head_l(species, 25) == warm
    assert water_per_head_l(species, 40) == warm


def test_every_species_of_the_configuration_has_its_figures():
    from typing import get_args

    from suat.pasture.tables import Species

    assert set(get_args(Species)) == set(DRINKS)


@pytest.mark.parametrize(
    ("volume", "dead", "use", "demand", "days"),
    [
        (8000, 500, 1500, 3600, 7500 / 3600),
        (8000, 500, 5000, 3600, 1.5),
        (8000, 500, None, 3600, 7500 / 3600),
        (400, 500, None, 3600, 0.0),
        (8000, 500, None, 0, None),
        (8000, 500, 0.0, 0, None),
    ],
)
def test_days_of_water(volume, dead, use, demand, days):
    assert water_days(volume, dead, use, demand) == (None if days is None else pytest.approx(days))


def hourly(litres_at, days=8):
    return [(hour * HOUR_US, litres_at(hour)) for hour in range(days * 24 + 1)]


def test_use_from_a_flow_meter_is_its_daily_rise():
    series = hourly(lambda hour: 100.0 * hour)
    assert daily_use_l(series, 8 * DAY_US, True, 100.0) == pytest.approx(2400.0)


def test_use_from_a_tank_counts_falls_and_not_refills():
    # falls 100 L an hour for 12 h, is filled again in the 12 h after
    series = hourly(lambda hour: 10000.0 - 100.0 * (hour % 24 if hour % 24 <= 12 else 24 - hour % 24))
    assert daily_use_l(series, 8 * DAY_US, False, 50.0) == pytest.approx(1200.0)


def test_use_is_a_median_so_one_wild_day_does_not_count():
    series = hourly(lambda hour: 100.0 * hour + (50_000.0 if hour >= 100 else 0.0))
    assert daily_use_l(series, 8 * DAY_US, True, 100.0) == pytest.approx(2400.0)


def test_use_is_unknown_before_three_days():
    series = hourly(lambda hour: 100.0 * hour, days=2)
    assert daily_use_l(series, 2 * DAY_US, True, 100.0) is None


def test_noise_of_a_level_is_not_use():
    assert falls([1000, 995, 1003, 998, 1001], noise_l=10) == 0.0
    assert metered_use([100, 150, 20, 30]) == 50 + 20 + 10


# Grass


def test_worked_grazing_days():
    grass = left_kg(120, 600, 0.35)
    assert round(grazing_days(grass, 600 * 1.8), 1) == 23.3
    assert round(grazing_days(grass, intake_kg_day(600, 50, 0.026)), 1) == 32.3
    assert grazing_days(grass, 0.0) is None
    assert left_kg(120, 600, 0.35, eaten_kg=1e9) == 0.0


@pytest.mark.parametrize(
    ("area", "distance", "limit", "expected"),
    [
        (120, 1.2, 3.0, 120),  # wholly within reach
        (120, 3.7, 3.0, 0),  # wholly beyond (radius 0.618 km)
        (100 * math.pi * 25, 0, 3.0, 100 * math.pi * 9),  # a ring is beyond
    ],
)
def test_reachable_area(area, distance, limit, expected):
    assert reachable_area_ha(area, distance, limit) == pytest.approx(expected)


def test_reachable_area_of_two_equal_circles():
    # the common area of two unit circles whose centres are 1 apart: 2 pi/3 - sqrt(3)/2
    assert reachable_area_ha(100 * math.pi, 1.0, 1.0) == pytest.approx(100 * (2 * math.pi / 3 - math.sqrt(3) / 2))


@given(st.floats(0.1, 5000), st.floats(0, 12), st.floats(0, 12), st.sampled_from([3.0, 6.0]))
def test_reachable_area_shrinks_with_distance(area, one, other, limit):
    near, far = sorted((one, other))
    assert 0.0 <= reachable_area_ha(area, far, limit) <= reachable_area_ha(area, near, limit) + 1e-6 <= area + 1e-3


# Rest


def days(pattern, start_day=0):
    return tuple(
        SoilDay(
            (start_day + i) * DAY_US, *{"g": (12.0, 0.6), "c": (4.9, 0.6), "d": (12.0, 0.39), "?": (12.0, None)}[kind]
        )
        for i, kind in enumerate(pattern)
    )


@pytest.mark.parametrize(
    ("pattern", "growth", "left"),
    [
        ("g" * 35, 35, 0),
        ("g" * 34, 34, 1),
        ("g" * 20 + "c" * 20, 20, 15),
        ("d" * 40, 0, 35),
        ("?" * 40, 0, 35),
        ("d" * 119, 0, 1),
        ("d" * 120, 0, 0),  # 120 calendar days end the rest however the grass did
    ],
)
def test_rest_counts_growth_days(pattern, growth, left):
    rest = rest_since(0, len(pattern) * DAY_US, days(pattern), RULES)
    assert (rest.growth_days, rest.days_left) == (growth, left)
    assert rest.complete is (left == 0)


def test_rest_has_a_minimum_of_calendar_days():
    short = RulesTable(rest_growth_days=10)
    assert rest_since(0, 29 * DAY_US, days("g" * 29), short).days_left == 1
    assert rest_since(0, 30 * DAY_US, days("g" * 30), short).complete


def test_growth_needs_5_degrees_and_two_fifths_of_the_water():
    edge = tuple(
        SoilDay(i * DAY_US, t, f) for i, (t, f) in enumerate([(5.0, 0.40), (4.99, 0.40), (5.0, 0.399), (None, 0.5)])
    )
    assert rest_since(0, 4 * DAY_US, edge, RULES).growth_days == 1


def test_only_whole_days_after_the_herd_left_count():
    assert rest_since(DAY_US // 2, 3 * DAY_US + DAY_US // 2, days("gggg"), RULES).growth_days == 2


# Moves and score


def test_moves_make_stays():
    moves = [Move("a", "p", 10), Move("b", "p", 15), Move("a", "q", 20), Move("a", "q", 25), Move("a", "p", 99)]
    found = [(s.herd, s.paddock, s.since_us, s.until_us) for s in stays(moves, 50)]
    assert found == [("a", "p", 10, 20), ("b", "p", 15, None), ("a", "q", 20, None)]


@pytest.mark.parametrize(
    ("fpaw", "part"), [(-0.2, 0), (0.10, 0), (0.25, 0.5), (0.40, 1), (0.85, 1), (0.925, 0.5), (1.0, 0), (1.2, 0)]
)
def test_moisture_part_of_the_score(fpaw, part):
    assert interpolate(MOISTURE_CURVE, fpaw) == pytest.approx(part)


def test_weights_sum_to_one():
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
