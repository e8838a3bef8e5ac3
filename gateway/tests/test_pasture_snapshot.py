"""From a real journal to the status object: what is read, what is merged, and what of the past is left out."""

import math
from datetime import UTC, datetime

import pytest
from suat.config import parse
from suat.pasture.model import DAY_US, HOUR_US
from suat.pasture.snapshot import take
from suat.pasture.status import LINK_COUNTERS, station_status
from suat.records import Admitted, Batch, DeviceRecord, Flag, Probe, Row, SessionUpdate
from suat.store.channels import BY_NAME
from suat.store.journal import Journal
from suat.store.packed import Summary, pack_cleaned, pack_window
from suat.store.rows import Derived, Move, WindowRow
from suat_wire.payload import pack

AT = int(datetime(2026, 6, 20, 6, tzinfo=UTC).timestamp()) * 1_000_000
MINUTE_US = HOUR_US // 60
OFFSET_US = 5 * HOUR_US  # Asia/Almaty
NAN = math.nan

CONFIG = parse(
    {
        "station": {"name": "T", "data_dir": "/nowhere", "timezone": "Asia/Almaty"},
        "paddock": [{"id": "p1", "name": {"en": "One"}, "area_ha": 100, "kind": "summer", "soil": "loam"}],
        "water_point": [{"id": "w1", "paddocks": ["p1"], "tank_l": 10000, "depth_m": 2.0, "distance_km": 1.0}],
        "herd": [{"id": "h1", "species": "sheep", "head": 100, "live_weight_kg": 50}],
    }
)


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "journal.db", durable=False) as journal:
        yield journal


def add_node(journal, name, kind="soil", depths=(10, 30), paddock="p1", point=None):
    device = DeviceRecord(
        registration=0, name=name, kind=kind, dev_eui=name.encode().hex().rjust(16, "0"), join_eui=None,
        paddock=paddock if kind == "soil" else None, water_point=point or ("w1" if kind == "water" else None),
        probes=tuple(Probe(f"{name}-{d}", d, i + 1) for i, d in enumerate(depths)) if kind == "soil" else (),
        added_us=0,
    )  # fmt: skip
    session = SessionUpdate(
        0, 0, 0, dev_addr=len(journal.reader().devices()) + 1, nwk_skey=bytes(16), app_skey=bytes(16)
    )
    return journal.add_device(device, session)


def keep(journal, registration, series, record=0):
    """Cleaned values as the stages before leave them: (time_us, {(group, channel): value or (value, flags)})."""
    rows = tuple(Row(record + i, time_us, pack({("node", "battery"): 3.9})) for i, (time_us, _) in enumerate(series))
    admitted = Admitted(
        registration, SessionUpdate(registration, 1, 0), max(t for t, _ in series), 1, -90.0, 7.0, rows, None
    )
    samples = journal.commit(Batch((admitted,))).samples
    cleaned, values = [], {}
    for sample, (time_us, channels) in zip(samples, series, strict=True):
        entries = []
        for channel, value in channels.items():
            value, flags = value if isinstance(value, tuple) else (value, 0)
            entries.append((BY_NAME[channel].code, flags, value))
            if not math.isnan(value):
                for width, start in windows_of(time_us):
                    values.setdefault((width, start), {}).setdefault(BY_NAME[channel].code, []).append(value)
        cleaned.append((sample.id, pack_cleaned(entries)))
    windows = [
        WindowRow(registration, width, start, pack_window([summary(code, found) for code, found in codes.items()]))
        for (width, start), codes in values.items()
    ]
    journal.derive(Derived(cleaned=cleaned, windows=windows))


def windows_of(time_us):
    yield 3600, time_us - time_us % HOUR_US
    yield 86400, time_us - (time_us + OFFSET_US) % DAY_US


def summary(code, values):
    ordered = sorted(values)
    return Summary(
        code, len(values), ordered[0], ordered[-1], sum(values) / len(values), values[-1], ordered[len(values) // 2]
    )


def soil_at(theta, temperature=15.0, probes=2):
    groups = [f"probe{i + 1}" for i in range(probes)]
    return {**{(g, "moisture"): theta for g in groups}, **{(g, "temperature"): temperature for g in groups}}


def water_at(depth):
    return {("water", "depth"): depth, ("node", "air_temperature"): 12.0, ("node", "battery"): 3.7}


def every(minutes, days, values, until=AT):
    count = days * 24 * 60 // minutes
    return [(until - i * minutes * MINUTE_US, values(until - i * minutes * MINUTE_US)) for i in reversed(range(count))]


def test_a_station_that_measures_gives_its_status(journal):
    soil, water = add_node(journal, "s1"), add_node(journal, "t1", "water")
    keep(journal, soil, every(60, 3, lambda t: soil_at(0.25)))
    keep(journal, water, every(60, 3, lambda t: water_at(1.5)))
    found = station_status(CONFIG, journal.reader(), AT)
    assert list(found)[:5] == ["time", "paddocks", "water_points", "herds", "nodes"]
    assert found["time"] == "2026-06-20T06:00:00Z"
    paddock, point = found["paddocks"][0], found["water_points"][0]
    assert (paddock["status"], paddock["fpaw"], paddock["for_herd"]) == ("graze", 0.625, "h1")
    assert (point["level_pct"], point["alerts"], point["volume_l"]) == (75.0, [], 7500.0)
    # 100 sheep at 12 C drink 383 L; nothing was taken in the days before
    assert point["days_left"] == pytest.approx(7500 / 383.3, abs=0.1)
    assert [node["name"] for node in found["nodes"]] == ["s1", "t1"]
    assert found["nodes"][1]["battery_v"] == 3.7
    assert found["nodes"][0]["last_seen"] == "2026-06-20T06:00:00Z"
    assert (found["nodes"][0]["rssi"], found["nodes"][0]["snr"]) == (-90.0, 7.0)
    assert found["link"] == dict.fromkeys(LINK_COUNTERS, 0)
    assert found == station_status(CONFIG, journal.reader(), AT)


def test_an_empty_journal_knows_nothing_and_says_so(journal):
    found = station_status(CONFIG, journal.reader(), AT)
    assert found["paddocks"][0]["status"] == "no_data"
    assert found["water_points"][0]["level_pct"] is None
    assert found["nodes"] == []


def test_the_past_is_judged_by_what_was_measured_until_then(journal):
    soil, water = add_node(journal, "s1"), add_node(journal, "t1", "water")
    keep(journal, soil, every(60, 2, lambda t: soil_at(0.25 if t <= AT - DAY_US else 0.16)))
    keep(journal, water, every(60, 2, lambda t: water_at(1.5)))
    journal.add_move(Move("h1", "p1", AT - HOUR_US))
    reader = journal.reader()
    before = station_status(CONFIG, reader, AT - DAY_US)
    assert (before["paddocks"][0]["fpaw"], before["paddocks"][0]["herds"]) == (0.625, [])
    now = station_status(CONFIG, reader, AT)
    assert (now["paddocks"][0]["status"], now["paddocks"][0]["herds"]) == ("too_dry", ["h1"])


def test_a_silent_probe_is_told_from_one_that_never_spoke(journal):
    soil = add_node(journal, "s1")
    keep(journal, soil, every(60, 1, lambda t: soil_at(0.25, probes=1), until=AT - 5 * DAY_US))
    layers = take(CONFIG, journal.reader(), AT).soils["p1"].layers
    assert layers[0].theta == 0.25
    assert AT - layers[0].at_us == pytest.approx(5 * DAY_US, abs=HOUR_US)
    assert layers[1].at_us is None


@pytest.mark.parametrize(
    ("flags", "doubt"),
    [(Flag.UNCALIBRATED, "uncalibrated"), (Flag.FROZEN, "frost"), (Flag.RANGE, "fault"), (Flag.STUCK, "fault")],
)
def test_the_flag_of_an_unusable_reading_tells_why(journal, flags, doubt):
    soil = add_node(journal, "s1", depths=(10,))
    keep(
        journal,
        soil,
        every(60, 2, lambda t: {("probe1", "moisture"): (NAN, int(flags)), ("probe1", "temperature"): -2.0}),
    )
    snapshot = take(CONFIG, journal.reader(), AT)
    layer = snapshot.soils["p1"].layers[0]
    assert (layer.theta, layer.doubt, layer.doubt_us) == (None, doubt, AT)
    assert snapshot.soils["p1"].temperature_c == -2.0


def test_two_nodes_in_a_paddock_stand_in_for_each_other(journal):
    first, second = add_node(journal, "s1"), add_node(journal, "s2")
    keep(journal, first, every(60, 1, lambda t: soil_at(0.20), until=AT - 3 * DAY_US))
    keep(journal, second, every(60, 1, lambda t: soil_at(0.26)))
    layers = take(CONFIG, journal.reader(), AT).soils["p1"].layers
    assert [(layer.depth_cm, layer.theta) for layer in layers] == [(10, 0.26), (30, 0.26)]
    keep(journal, first, every(60, 1, lambda t: soil_at(0.20)), record=100)
    assert [layer.theta for layer in take(CONFIG, journal.reader(), AT).soils["p1"].layers] == pytest.approx(
        [0.23, 0.23]
    )


def test_a_node_that_was_moved_away_no_longer_speaks_for_the_paddock(journal):
    soil = add_node(journal, "s1")
    keep(journal, soil, every(60, 2, lambda t: soil_at(0.25)))
    journal.assign(soil, AT - HOUR_US, None, None)
    reader = journal.reader()
    assert take(CONFIG, reader, AT).soils["p1"].layers == ()
    assert take(CONFIG, reader, AT - 2 * HOUR_US).soils["p1"].layers[0].theta == 0.25


def test_a_revoked_node_is_gone_but_its_growth_days_count(journal):
    old = add_node(journal, "s1")
    keep(journal, old, every(60, 10, lambda t: soil_at(0.25), until=AT - 10 * DAY_US))
    journal.revoke_device(old, AT - 10 * DAY_US)
    new = add_node(journal, "s1", depths=(5, 25))  # where it was put in is not where the old one was
    keep(journal, new, every(60, 10, lambda t: soil_at(0.25)))
    journal.add_move(Move("h1", "p1", AT - 40 * DAY_US))
    journal.add_move(Move("h1", "p2", AT - 19 * DAY_US))
    found = station_status(CONFIG, journal.reader(), AT)
    assert [node["name"] for node in found["nodes"]] == ["s1"]
    paddock = found["paddocks"][0]
    assert (paddock["growth_days"], paddock["rest_days_left"]) == (18, 17)
    assert "rest" in [reason["code"] for reason in paddock["reasons"]]


def test_use_and_emptiness_come_from_the_level(journal):
    water = add_node(journal, "t1", "water")

    def depth(t):
        hour = (t - AT) // HOUR_US
        if hour > -5:
            return 0.06  # 3 %
        return 1.8 - 0.05 * (hour % 24)  # 250 L an hour, filled each midnight

    keep(journal, water, every(60, 9, lambda t: water_at(depth(t))))
    snapshot = take(CONFIG, journal.reader(), AT)
    state = snapshot.waters["w1"]
    assert state.level == pytest.approx(0.03)
    assert state.empty_since_us == AT - 4 * HOUR_US
    assert state.use_l_day == pytest.approx(23 * 250 * 24 / 23, rel=0.1)
    assert snapshot.air_max_c == 12.0
    point = station_status(CONFIG, journal.reader(), AT)["water_points"][0]
    assert [(a["kind"], a["level"]) for a in point["alerts"]] == [("trough_empty", "critical")]
    assert point["alerts"][0]["text"].startswith("Empty for 4 hours")


def test_a_flow_meter_is_believed_before_the_level(journal):
    water = add_node(journal, "t1", "water")
    keep(
        journal, water,
        every(60, 9, lambda t: {**water_at(1.5), ("water", "volume"): 1e6 + 50.0 * ((t - AT) // HOUR_US)}),
    )  # fmt: skip
    assert take(CONFIG, journal.reader(), AT).waters["w1"].use_l_day == pytest.approx(1200.0)


def test_a_node_is_silent_after_four_of_its_own_intervals(journal):
    water = add_node(journal, "t1", "water")
    add_node(journal, "s9")
    keep(journal, water, every(30, 2, lambda t: water_at(1.5)))
    reader = journal.reader()

    def alerts(at_us):
        return {
            node["name"]: [a["detail"] for a in node["alerts"]]
            for node in station_status(CONFIG, reader, at_us)["nodes"]
        }

    assert alerts(AT + 120 * MINUTE_US) == {"t1": [], "s9": ["node_unheard"]}
    assert alerts(AT + 121 * MINUTE_US) == {"t1": ["node_silent"], "s9": ["node_unheard"]}


def test_the_topsoil_history_keeps_a_wet_paddock_closed(journal):
    soil, water = add_node(journal, "s1"), add_node(journal, "t1", "water")
    keep(journal, water, every(60, 1, lambda t: water_at(1.5)))
    wet, drier = 0.15 + 0.16 * 1.08, 0.15 + 0.16 * 0.98
    keep(journal, soil, every(60, 4, lambda t: soil_at(wet if t < AT - 20 * HOUR_US else drier)))
    entry = station_status(CONFIG, journal.reader(), AT)["paddocks"][0]
    assert (entry["status"], entry["reasons"][0]["detail"]) == ("too_wet", "drying")
    later = [(AT + i * HOUR_US, soil_at(drier)) for i in range(1, 7)]
    keep(journal, soil, later, record=1000)
    keep(journal, water, [(t, water_at(1.5)) for t, _ in later], record=1000)
    assert station_status(CONFIG, journal.reader(), AT + 6 * HOUR_US)["paddocks"][0]["status"] == "graze"


def test_link_counters_are_those_of_the_journal(journal):
    journal.commit(Batch(counters={"received": 7, "bad_mic": 2, "strange": 1}))
    link = station_status(CONFIG, journal.reader(), AT)["link"]
    assert (link["received"], link["bad_mic"], link["accepted"]) == (7, 2, 0)
    assert set(link) == set(LINK_COUNTERS)
