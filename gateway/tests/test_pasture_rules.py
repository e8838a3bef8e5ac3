"""Each rule by a table of cases, and what must hold whatever the readings are."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat.config import parse
from suat.pasture.model import DAY_US, HOUR_US, Layer, Snapshot, Soil, SoilDay, Stay, Water
from suat.pasture.status import describe
from suat.pasture.wording import herd_name

AT = int(datetime(2026, 6, 20, 6, tzinfo=UTC).timestamp()) * 1_000_000
WP, FC = 0.15, 0.31  # loam


def hours(count):
    return round(count * HOUR_US)


def config(species="sheep", head=600, weight=50, herds=True, point_alternative="none", **paddock):
    table = {
        "id": "p1", "name": {"en": "One"}, "area_ha": 120, "kind": "summer", "soil": "loam",
        "forage_kg_ha": 600, "forage_date": date(2026, 6, 10),
    }  # fmt: skip
    table.update(paddock)
    table = {key: value for key, value in table.items() if value is not None}
    point = {
        "id": "w1", "paddocks": ["p1"], "distance_km": 1.2, "tank_l": 50000, "depth_m": 2.0, "dead_l": 500,
        "alternative": point_alternative,
    }  # fmt: skip
    herd = {"id": "h1", "species": species, "head": head, "live_weight_kg": weight}
    return parse(
        {
            "station": {"name": "T", "data_dir": "/nowhere"},
            "paddock": [table],
            "water_point": [point],
            "herd": [herd] if herds else [],
        }
    )


def soil(fpaw=0.6, age_h=0.0, **changes):
    theta = WP + fpaw * (FC - WP)
    layers = tuple(Layer(depth, theta, AT - hours(age_h)) for depth in (10.0, 30.0))
    return replace(Soil(layers=layers), **changes)


RESTED = (Stay("h1", "p1", AT - 140 * DAY_US, AT - 130 * DAY_US),)
GRAZING = (Stay("h1", "p1", AT - DAY_US, None),)


def snapshot(soil_=None, water=None, stays=RESTED, air=20.0):
    return Snapshot(
        AT,
        soils={"p1": soil() if soil_ is None else soil_},
        waters={"w1": Water(0.8, AT) if water is None else water},
        stays=stays,
        air_max_c=air,
    )


def paddock(snap, conf=None):
    return describe(conf or config(), snap)["paddocks"][0]


def codes(entry):
    return [(reason["code"], reason["detail"]) for reason in entry["reasons"]]


def test_good_soil_water_grass_and_rest_give_graze():
    entry = paddock(snapshot())
    assert entry["status"] == "graze"
    assert codes(entry) == [("graze", "ok")]
    assert entry["for_herd"] == "h1"
    assert entry["grazing_days"] == 32.3
    assert entry["rest_days_left"] == 0
    assert entry["available_mm"] == 48.0  # 0.6 of 1000 (0.31 - 0.15) x 0.5 m
    # F 1, R 1, W min(1, 39500/(600 x 5.167)/4), M 1, D 1 - 1.2/3
    assert entry["score"] == pytest.approx(100 * (0.35 + 0.20 + 0.20 + 0.15 + 0.10 * 0.6), abs=0.1)


# no_data


@pytest.mark.parametrize(
    ("layer", "detail"),
    [
        (Layer(10.0, 0.25, AT - hours(24)), None),
        (Layer(10.0, 0.25, AT - hours(24) - 1), "soil_stale"),
        (Layer(10.0), "soil_missing"),
        (Layer(10.0, None, None, "uncalibrated", AT), "soil_uncalibrated"),
        (Layer(10.0, None, None, "fault", AT), "soil_fault"),
        (Layer(10.0, None, None, "frost", AT), "soil_frost"),
        (Layer(10.0, None, None, "fault", AT - hours(25)), "soil_stale"),
        (Layer(10.0, 0.25, AT - hours(1), "fault", AT), None),  # one wild reading does not undo a fresh good one
    ],
)
def test_no_data_of_the_soil(layer, detail):
    entry = paddock(snapshot(Soil((layer, Layer(30.0, 0.25, AT)))))
    if detail is None:
        assert entry["status"] == "graze"
    else:
        assert entry["status"] == "no_data"
        assert codes(entry)[0] == ("no_data", detail)
        assert entry["fpaw"] is None
        assert entry["score"] is None


def test_a_paddock_without_probes_has_no_data():
    assert codes(paddock(snapshot(Soil())))[0] == ("no_data", "soil_none")


@pytest.mark.parametrize(
    ("water", "detail"),
    [
        (Water(0.8, AT - hours(6)), None),
        (Water(0.8, AT - hours(6) - 1), "water_stale"),
        (Water(), "water_missing"),
        (Water(None, None, "fault"), "water_fault"),
    ],
)
def test_no_data_of_the_water(water, detail):
    entry = paddock(snapshot(water=water))
    assert entry["status"] == ("graze" if detail is None else "no_data")
    assert codes(entry)[0] == (("graze", "ok") if detail is None else ("no_data", detail))


def test_a_river_in_reach_needs_no_water_reading():
    assert paddock(snapshot(water=Water()), config(alternative="river"))["status"] == "graze"
    assert paddock(snapshot(water=Water()), config(point_alternative="river"))["status"] == "graze"


def test_a_paddock_with_nothing_but_snow_has_no_water_known_in_summer():
    content = config(alternative="snow").model_dump(mode="json", exclude_none=True)
    content["water_point"] = []
    entry = paddock(snapshot(), parse(content))
    assert codes(entry)[0] == ("no_data", "water_none")
    content["paddock"][0]["alternative"] = "river"
    entry = paddock(snapshot(), parse(content))
    assert (entry["status"], entry["grazing_days"], entry["water_days"]) == ("graze", 32.3, None)
    assert entry["other_water"] == "river"
    assert (entry["parts"]["water"], entry["parts"]["distance"]) == (1.0, 0.0)


def test_one_point_with_water_is_enough():
    content = config().model_dump(mode="json", exclude_none=True)
    content["water_point"].append({**content["water_point"][0], "id": "w2", "distance_km": {"p1": 2.4}})
    empty = Water(0.0, AT, empty_since_us=AT - hours(9))
    both = replace(snapshot(), waters={"w1": empty, "w2": Water(0.8, AT)})
    entry = paddock(both, parse(content))
    assert entry["status"] == "graze"
    silent = replace(snapshot(), waters={"w1": empty, "w2": Water(0.8, AT - hours(9))})
    assert paddock(silent, parse(content))["status"] == "no_water"


def test_snow_is_water_in_winter_only():
    assert paddock(snapshot(water=Water()), config(alternative="snow"))["status"] == "no_data"


# no_water


@pytest.mark.parametrize(
    ("level", "empty_h", "status"),
    [(0.03, 2.0, "no_water"), (0.5, 2.0, "graze"), (0.5, 2.01, "no_water"), (0.5, None, "graze")],
)
def test_no_water_by_an_empty_trough(level, empty_h, status):
    since = None if empty_h is None else AT - hours(empty_h)
    entry = paddock(snapshot(water=Water(level, AT, empty_since_us=since)))
    assert entry["status"] == status


@pytest.mark.parametrize(
    ("volume_l", "status"),
    # 600 sheep at 25 C drink 3600 L a day; 500 L are dead
    [(500 + 3599, "no_water"), (500 + 3601, "graze"), (400, "no_water")],
)
def test_no_water_below_one_day(volume_l, status):
    entry = paddock(snapshot(water=Water(volume_l / 50000, AT), air=25.0))
    assert entry["status"] == status
    if status == "no_water":
        assert codes(entry)[0] == ("no_water", "days")


@pytest.mark.parametrize(("use", "status"), [(9400.0, "graze"), (9600.0, "no_water")])
def test_recorded_use_beyond_the_demand_counts(use, status):
    assert paddock(snapshot(water=Water(0.2, AT, use_l_day=use)))["status"] == status


def test_a_river_makes_good_an_empty_trough():
    empty = Water(0.0, AT, empty_since_us=AT - hours(9))
    assert paddock(snapshot(water=empty), config(alternative="river"))["status"] == "graze"


def test_a_silent_soil_probe_never_hides_an_empty_trough():
    empty = Water(0.0, AT, empty_since_us=AT - hours(9))
    entry = paddock(snapshot(Soil((Layer(10.0),)), empty))
    assert entry["status"] == "no_water"
    assert ("no_data", "soil_missing") in codes(entry)


def test_old_word_of_an_empty_trough_is_no_evidence():
    entry = paddock(snapshot(water=Water(0.0, AT - hours(7), empty_since_us=AT - hours(20))))
    assert entry["status"] == "no_data"


# too_wet


@pytest.mark.parametrize(
    ("species", "fpaw", "status"),
    [
        ("sheep", 1.04, "graze"), ("sheep", 1.051, "too_wet"), ("goat", 1.04, "graze"),
        ("cattle", 0.92, "graze"), ("cattle", 0.931, "too_wet"), ("horse", 0.95, "too_wet"), ("camel", 0.95, "too_wet"),
    ],
)  # fmt: skip
def test_too_wet_by_species(species, fpaw, status):
    assert paddock(snapshot(soil(fpaw)), config(species, head=50))["status"] == status


def test_sand_is_never_too_wet():
    conf = config("cattle", head=50, soil="sand")
    theta = 0.06 + 1.2 * 0.07
    wet = Soil((Layer(10.0, theta, AT),))
    assert paddock(snapshot(wet), conf)["status"] == "graze"


def test_without_a_herd_the_stricter_limit_holds():
    assert paddock(snapshot(soil(0.95), stays=()), config(herds=False))["status"] == "too_wet"


@pytest.mark.parametrize(
    ("history", "now", "status"),
    [
        ([(30, 0.95), (10, 0.90)], 0.89, "too_wet"),  # not yet 0.05 below the limit
        ([(30, 0.95), (24, 0.87)], 0.87, "graze"),  # low for 24 h
        ([(30, 0.95), (23.9, 0.87)], 0.87, "too_wet"),
        ([(30, 0.95), (26, 0.87), (10, 0.90), (9, 0.87)], 0.87, "too_wet"),  # the low time was broken
        ([(60, 0.95), (50, 0.87), (26, 0.87), (20, 0.90)], 0.92, "graze"),  # it was cleared before
        ([(60, 0.92)], 0.92, "graze"),  # never reached the limit
    ],
)
def test_too_wet_clears_after_a_day_well_below_the_limit(history, now, status):
    topsoil = tuple((AT - hours(age), value) for age, value in history)
    assert paddock(snapshot(soil(now, topsoil=topsoil)), config("cattle", head=50))["status"] == status


# rest


def grown(count, since_days):
    start = AT - since_days * DAY_US
    return tuple(SoilDay(start + i * DAY_US, 12.0, 0.6) for i in range(count))


@pytest.mark.parametrize(
    ("left_days", "growth", "status", "left"),
    [(40, 34, "rest", 1), (40, 35, "graze", 0), (119, 0, "rest", 1), (120, 0, "graze", 0), (10, 10, "rest", 25)],
)
def test_rest(left_days, growth, status, left):
    gone = (Stay("h1", "p1", AT - (left_days + 5) * DAY_US, AT - left_days * DAY_US),)
    entry = paddock(snapshot(soil(days=grown(growth, left_days)), stays=gone))
    assert (entry["status"], entry["rest_days_left"]) == (status, left)


def test_rest_below_the_least_number_of_days():
    gone = (Stay("h1", "p1", AT - 50 * DAY_US, AT - 20 * DAY_US),)
    content = {**config().model_dump(mode="json", exclude_none=True), "rules": {"rest_growth_days": 10}}
    entry = paddock(snapshot(soil(days=grown(20, 20)), stays=gone), parse(content))
    assert codes(entry) == [("rest", "minimum")]
    assert entry["rest_days_left"] == 10
    free = {**content, "rules": {"rest_growth_days": 0, "rest_min_days": 0}}
    assert paddock(snapshot(soil(), stays=gone), parse(free))["parts"]["rest"] == 1.0


def test_an_occupied_paddock_does_not_rest():
    before = Stay("h1", "p1", AT - 9 * DAY_US, AT - 5 * DAY_US)
    entry = paddock(snapshot(stays=(before, *GRAZING)))
    assert entry["status"] == "graze"
    assert entry["rest_days_left"] is None


def test_without_a_record_of_grazing_the_herder_is_asked():
    entry = paddock(snapshot(stays=()))
    assert entry["status"] == "graze"
    assert ("rest", "unknown") in codes(entry)
    assert entry["parts"]["rest"] == 0


# too_dry


@pytest.mark.parametrize(
    ("fpaw", "forage", "status", "detail"),
    [
        (0.151, date(2026, 6, 10), "graze", None),
        (0.149, date(2026, 5, 21), "graze", "advisory"),  # 30 days old
        (0.149, date(2026, 5, 20), "too_dry", "stop"),  # 31
        (0.149, None, "too_dry", "stop"),
        (0.149, date(2026, 7, 1), "too_dry", "stop"),  # an estimate made after the instant did not exist
    ],
)
def test_too_dry(fpaw, forage, status, detail):
    conf = config(forage_date=forage, forage_kg_ha=None if forage is None else 600)
    entry = paddock(snapshot(soil(fpaw)), conf)
    assert entry["status"] == status
    assert (("too_dry", detail) in codes(entry)) is (detail is not None)


def test_no_sentence_speaks_of_less_water_than_none():
    entry = paddock(snapshot(soil(-0.08)), config(forage_date=None, forage_kg_ha=None))
    assert entry["fpaw"] == -0.08
    assert entry["reasons"][0]["text"] == "Only 0% of the available water is left in the soil."


def test_dry_soil_gives_a_quarter_of_the_grass():
    entry = paddock(snapshot(soil(0.1)))
    assert entry["grazing_days"] == 23.0  # 120 ha x 600 kg x 0.25 / 780 kg a day = 23.08
    assert [reason["text"] for reason in entry["reasons"]] == [
        "Water and grass are good.",
        "Dry soil (10%): take only a quarter of the grass.",
    ]


@pytest.mark.parametrize("stay_days", [29.305, 29.3078, 29.31, 29.4, 31.5])
def test_a_reason_says_the_same_days_as_the_figure_beside_it(stay_days):
    eaten = (Stay("h1", "p1", AT - round(stay_days * DAY_US), None),)
    entry = paddock(snapshot(stays=eaten), config(forage_date=date(2026, 5, 1)))
    assert 0 < entry["grazing_days"] <= 3.0  # 32.308 days of grass in all
    for reason in entry["reasons"]:
        if reason["code"] == "move_soon":
            assert reason["text"] == f"Grass is left for {entry['grazing_days']:g} days."
            assert entry["grazing_days"] < 3.0


def test_a_rest_that_is_too_short_is_never_said_to_be_long_enough():
    soil_ = soil(days=tuple(SoilDay(AT - back * DAY_US, 12.0, 0.6) for back in range(29, 0, -1)))
    stays = (Stay("h1", "p1", AT - 40 * DAY_US, AT - round(29.7 * DAY_US)),)
    conf = config()
    conf = conf.model_copy(update={"rules": conf.rules.model_copy(update={"rest_growth_days": 20})})
    reasons = paddock(snapshot(soil_, stays=stays), conf)["reasons"]
    assert reasons[0]["text"] == "Grazed 29 days ago; it needs at least 30 days."


def test_dry_and_eaten_down_to_the_residual_is_too_dry():
    eaten = (Stay("h1", "p1", AT - 9 * DAY_US, None),)  # 9 days x 7,800 kg of 18,000
    conf = config(head=6000)
    full = Water(1.0, AT)
    dry = paddock(replace(snapshot(soil(0.1), full, eaten), air_max_c=5.0), conf)
    assert dry["grazing_days"] == 0.0
    assert ("too_dry", "stop") in codes(dry)


# move_soon and graze


@pytest.mark.parametrize(
    ("stay_days", "status"),
    # 25,200 kg of grass: 32.3 days for the herd
    [(29.2, "graze"), (29.4, "move_soon")],
)
def test_move_soon_by_grass(stay_days, status):
    conf = config(forage_date=date(2026, 5, 1))
    here = (Stay("h1", "p1", AT - round(stay_days * DAY_US), None),)
    entry = paddock(snapshot(stays=here), conf)
    assert entry["status"] == status
    if status == "move_soon":
        assert codes(entry)[0] == ("move_soon", "grass")
    assert entry["score"] is not None


@pytest.mark.parametrize(("volume_l", "status"), [(500 + 10790, "move_soon"), (500 + 10810, "graze")])
def test_move_soon_by_water(volume_l, status):
    entry = paddock(snapshot(water=Water(volume_l / 50000, AT), stays=GRAZING, air=25.0))
    assert entry["status"] == status


def test_an_empty_paddock_is_never_told_to_move():
    assert paddock(snapshot(water=Water(0.1, AT)))["status"] == "graze"


@pytest.mark.parametrize(
    ("forage", "detail"),
    [
        (date(2026, 6, 10), "ok"),
        (date(2026, 5, 1), "old_grass"),
        (None, "check_grass"),
        (date(2026, 7, 1), "check_grass"),
    ],
)
def test_graze_says_how_far_the_grass_is_known(forage, detail):
    entry = paddock(snapshot(), config(forage_date=forage, forage_kg_ha=None if forage is None else 600))
    assert codes(entry) == [("graze", detail)]


def test_little_grass_is_said():
    entry = paddock(snapshot(), config(forage_kg_ha=30))
    assert codes(entry) == [("graze", "little_grass")]
    assert entry["reasons"][0]["text"].endswith("grass for only 1.6 days.")


# Several herds


def test_herds_are_offered_empty_paddocks_that_suit_them_best_first():
    content = config().model_dump(mode="json", exclude_none=True)
    first = content["paddock"][0]
    content["paddock"] += [{**first, "id": "p2", "forage_kg_ha": 200}, {**first, "id": "p3"}, {**first, "id": "p4"}]
    content["water_point"][0]["paddocks"] = ["p1", "p2", "p3", "p4"]
    content["herd"].append({"id": "h2", "species": "cattle", "head": 20, "live_weight_kg": 400})
    damp = soil(0.95)  # too wet for cattle, not for sheep
    snap = replace(
        snapshot(stays=(*GRAZING, Stay("h2", "p3", AT - DAY_US, None))),
        soils={"p1": soil(), "p2": soil(), "p3": soil(), "p4": damp},
    )
    found = describe(parse(content), snap)
    sheep, cattle = found["herds"]
    assert (sheep["paddock"], cattle["paddock"]) == ("p1", "p3")
    assert [option["paddock"] for option in cattle["next"]] == ["p2"]
    assert {option["paddock"] for option in sheep["next"]} == {"p2", "p4"}
    scores = [option["score"] for option in sheep["next"]]
    assert scores == sorted(scores, reverse=True)
    assert [entry["for_herd"] for entry in found["paddocks"]][0::2] == ["h1", "h2"]
    # both herds drink at the one point
    assert found["water_points"][0]["herds"] == ["h1", "h2"]


# Winter


WINTER_AT = int(datetime(2026, 1, 20, 6, tzinfo=UTC).timestamp()) * 1_000_000


def winter(kind, soil_, water):
    return replace(snapshot(soil_, water, stays=()), at_us=WINTER_AT), config(kind=kind, forage_date=date(2026, 1, 10))


def frozen_soil():
    return Soil(
        tuple(Layer(d, 0.2, WINTER_AT - 40 * DAY_US, "frost", WINTER_AT) for d in (10.0, 30.0)), temperature_c=-6
    )


def test_a_frozen_winter_paddock_with_fresh_water_is_usable():
    snap, conf = winter("winter", frozen_soil(), Water(0.8, WINTER_AT))
    entry = paddock(snap, conf)
    assert entry["status"] == "graze"
    assert entry["fpaw"] is None


def test_a_frozen_winter_paddock_still_needs_its_water():
    snap, conf = winter("winter", frozen_soil(), Water(0.8, WINTER_AT - hours(7)))
    assert paddock(snap, conf)["status"] == "no_data"
    assert paddock(snap, config(kind="winter", forage_date=date(2026, 1, 10), alternative="snow"))["status"] == "graze"


def test_frost_does_not_open_other_paddocks_nor_a_silent_probe_a_winter_one():
    snap, conf = winter("summer", frozen_soil(), Water(0.8, WINTER_AT))
    assert codes(paddock(snap, conf))[0] == ("no_data", "soil_frost")
    snap, conf = winter("winter", Soil((Layer(10.0, 0.2, WINTER_AT - 40 * DAY_US),)), Water(0.8, WINTER_AT))
    assert codes(paddock(snap, conf))[0] == ("no_data", "soil_stale")


# Whatever the readings


layers = st.builds(
    Layer,
    st.sampled_from([10.0]),
    st.none() | st.floats(-0.1, 0.7),
    st.none() | st.integers(AT - 3 * DAY_US, AT),
    st.sampled_from([None, "uncalibrated", "fault", "frost"]),
    st.none() | st.integers(AT - 3 * DAY_US, AT),
).map(
    lambda layer: (
        layer if layer.theta is not None and layer.at_us is not None else replace(layer, theta=None, at_us=None)
    )
)
waters = st.builds(
    Water,
    st.none() | st.floats(0, 1.2),
    st.none() | st.integers(AT - DAY_US, AT),
    st.sampled_from([None, "fault"]),
    st.none() | st.integers(AT - DAY_US, AT),
    st.none() | st.floats(0, 20000),
).map(lambda water: water if water.level is not None and water.at_us is not None else Water(doubt=water.doubt))
occupancy = st.sampled_from([(), RESTED, GRAZING])


@given(layers, waters, occupancy, st.sampled_from(["sheep", "cattle"]), st.none() | st.floats(-20, 45))
def test_never_graze_without_fresh_usable_readings(layer, water, stays, species, air):
    entry = paddock(snapshot(Soil((layer, replace(layer, depth_cm=30.0))), water, stays, air), config(species, 60))
    soil_fresh = layer.at_us is not None and AT - layer.at_us <= 24 * HOUR_US
    water_fresh = water.at_us is not None and AT - water.at_us <= 6 * HOUR_US
    if not soil_fresh or not water_fresh:
        assert entry["status"] in ("no_data", "no_water")
        assert entry["score"] is None
    assert (entry["status"] == "no_water") <= water_fresh
    assert entry["reasons"][0]["code"] == entry["status"]
    assert all(reason["text"] for reason in entry["reasons"])


ALERT_RANK = {"low": 1, "critical": 2, "trough_empty": 3}


@given(st.floats(0, 1.1), st.floats(0, 1.1), occupancy, st.none() | st.floats(0, 60000), st.floats(-10, 45))
def test_more_water_never_worsens_the_water(one, other, stays, use, air):
    less, more = sorted((one, other))

    def seen(level):
        since = AT - hours(5) if level <= 0.05 else None
        result = describe(config(), snapshot(water=Water(level, AT, None, since, use), stays=stays, air=air))
        point = result["water_points"][0]
        alert = max((ALERT_RANK[a["kind"]] for a in point["alerts"]), default=0)
        status = result["paddocks"][0]["status"]
        worst = {"no_water": 2, "move_soon": 1, "graze": 0}[status]
        days = point["days_left"]
        return alert, worst, -1e9 if days is None else -days

    assert all(a >= b for a, b in zip(seen(less), seen(more), strict=True))


def test_herds_without_a_name_are_told_apart():
    conf = config()
    assert herd_name(conf, "h1", "ru") == "Овцы"
    twin = conf.herd[0].model_copy(update={"id": "h2"})
    both = conf.model_copy(update={"herd": [*conf.herd, twin]})
    assert (herd_name(both, "h1", "kk"), herd_name(both, "h2", "en")) == ("Қой (h1)", "Sheep (h2)")
