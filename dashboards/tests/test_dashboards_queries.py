"""Every query of every panel, in every language, on a real influxd with data that came the whole way.

A short demo (real node programs, radio, gateway, journal, forwarder) fills the database; the rarer cases (no data, a
figure that got lost, alerts that ended) are added to its journal and take the same way out. What the panels get is
held against the journal.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from suat.locales import LANGUAGES
from suat.records import Flag
from suat.store.influx import Forwarder
from suat.store.packed import pack_cleaned, unpack_cleaned
from suat.store.rows import Alert, Derived, Status
from suat_dashboards import grafana
from suat_dashboards.look import COLOURS
from suat_sim.demo import Demo, scenario_for
from suat_sim.servers import influxd

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
POLICIES = ("pasture_15m", "pasture_1h", "pasture_1d")
CARDS, LEVEL, DAYS, ALERTS, NODES, FPAW, MOISTURE, HISTORY = range(1, 9)


@pytest.fixture(scope="module")
def pasture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """`ask(query)`: series of the filled influxd; `reader`: the journal behind it; `shown`: its last 30 days."""
    folder = tmp_path_factory.mktemp("dashboards")
    with influxd(folder) as server:
        server.query('CREATE DATABASE "suat" WITH NAME "pasture"')
        for policy in POLICIES:
            server.query(f'CREATE RETENTION POLICY "{policy}" ON "suat" DURATION INF REPLICATION 1')
        scenario = scenario_for(2, 2, 1, 7, None)
        scenario["config"]["influx"] = {"url": server.url, "api": "v1", "database": "suat"}
        with Demo(scenario, folder / "station", seed=7, interval_s=3600) as demo:
            summary = demo.run()
            now_us = demo.scheduler.wall_us() + HOUR_US
            add_rare_cases(demo.station.journal, now_us)
            doubt_last_samples(demo.station.journal, demo.station.reader)
            drain(demo)
            yield SimpleNamespace(
                reader=demo.station.reader,
                summary=summary,
                shown=grafana.Range(now_us // 1000 - 30 * 86_400_000, now_us // 1000),
                ask=lambda text: server.query(text, "suat", epoch="ms"),
            )


def add_rare_cases(journal: Any, now_us: int) -> None:
    """A paddock without data, a level that got lost, a point that never had one; alerts that stand and that ended."""
    lost = {"level_pct": None, "days_left": None}
    statuses = [
        Status(now_us, "paddock", "kungei", "no_data", {"fpaw": None}),
        Status(now_us, "water_point", "asy-spring", "warning", lost),
        Status(now_us, "water_point", "never-measured", "warning", lost),
        Status(now_us - 6 * DAY_US, "paddock", "fell-silent", "graze", {"fpaw": 0.5}),
    ]
    said = {"text": "Water is low"}
    alerts = [
        Alert(now_us - 20 * DAY_US, "batan-well", "low", "warning", said),
        Alert(now_us - 9 * DAY_US, "batan-well", "trough_empty", "critical", said, cleared_us=now_us - 8 * DAY_US),
        Alert(now_us - DAY_US, "asy-spring", "critical", "critical", said),
        Alert(now_us - 3 * DAY_US, "soil-2", "node", "warning", said, cleared_us=now_us - 2 * DAY_US),
        Alert(now_us - HOUR_US, "soil-2", "node", "warning", said),
    ]
    journal.derive(Derived(statuses=statuses, alerts=alerts))


def doubt_last_samples(journal: Any, reader: Any) -> None:
    """Every node's last sample turns out to be unusable, as after a refiltering: its points are overwritten."""
    last = {row.registration: row for row in reader.samples()}
    rows = sorted(last.values(), key=lambda row: row.id)
    flag = Flag.STUCK
    bodies = [pack_cleaned([(entry.code, flag, math.nan) for entry in unpack_cleaned(row.cleaned)]) for row in rows]
    journal.derive(Derived(cleaned=[(row.id, body) for row, body in zip(rows, bodies, strict=True)]))


def drain(demo: Demo) -> None:
    """Forward what the journal got after the demo's own forwarder had stopped."""
    assert demo.config.influx is not None
    forwarder = Forwarder(demo.scheduler, demo.config.influx, demo.station.journal, demo.station.reader)
    forwarder.wake()
    demo.scheduler.run_until(demo.scheduler.monotonic() + 60.0)
    assert forwarder.backlog() == 0
    forwarder.stop()


@pytest.fixture(params=LANGUAGES)
def panels(request: pytest.FixtureRequest, committed: dict[str, Any], pasture: SimpleNamespace) -> SimpleNamespace:
    """The dashboard in one language; `frames(panel)` and `rows(panel)`: what its query gives."""
    dashboard = committed[f"{request.param}/pasture-now.json"]
    found = {panel["id"]: panel for panel in dashboard["panels"]}
    variable = dashboard["templating"]["list"][0]
    paddocks = [row[1] for series in pasture.ask(variable["query"]) for row in series["values"]]

    def ask(number: int, only: list[str] | None = None) -> Any:
        panel = found[number]
        text = grafana.replaced(
            panel["targets"][0]["query"],
            grafana.panel_range(panel, pasture.shown),
            panel.get("interval", "1m"),
            {variable["name"]: only or paddocks},
        )
        assert "$" not in text.replace("$/", "")
        return pasture.ask(text)

    return SimpleNamespace(
        language=request.param,
        by_id=found,
        paddocks=paddocks,
        rows=lambda number: grafana.rows(ask(number)),
        frames=lambda number, only=None: list(grafana.frames(ask(number, only), found[number]["targets"][0]["alias"])),
        shown=lambda frame, number: mapped(found[number], frame.values[-1]),
    )


def mapped(panel: dict[str, Any], value: Any) -> Any:
    """(text, colour) of a value that has a word, as the panel shows it; the value itself where it has none."""
    for mapping in panel["fieldConfig"]["defaults"].get("mappings", []):
        options = mapping["options"]
        if mapping["type"] == "value" and str(value) in options:
            return options[str(value)]["text"], options[str(value)]["color"]
    return value


def buckets(points: list[tuple[int, Any]], width_us: int) -> dict[int, list[Any]]:
    """Values by the start of their step of time [ms], as GROUP BY time cuts it."""
    found = defaultdict(list)
    for time_us, value in points:
        found[time_us // width_us * width_us // 1000].append(value)
    return found


def by_name(frames: list[grafana.Frame]) -> dict[str, dict[int, Any]]:
    assert len({frame.name for frame in frames}) == len(frames)
    return {frame.name: dict(zip(frame.times_ms, frame.values, strict=True)) for frame in frames}


def test_the_demo_was_worth_asking(pasture: SimpleNamespace) -> None:
    assert pasture.summary["readings"]["kept"] > 500
    assert pasture.summary["readings"]["written"] > 200
    assert len(pasture.summary["paddocks"]) == 2


def test_each_paddock_has_a_card_with_its_status(panels: SimpleNamespace, pasture: SimpleNamespace) -> None:
    expected = {name: status.status for name, status in pasture.reader.last_statuses("paddock").items()}
    frames = {frame.name: frame.values for frame in panels.frames(CARDS)}
    assert expected.pop("fell-silent") == "graze"  # days ago: it has no card that says so
    assert frames == {name: [status] for name, status in expected.items()}
    assert frames["kungei"] == ["no_data"]


def test_statuses_are_words_with_their_colours(panels: SimpleNamespace) -> None:
    frames = {frame.name: frame for frame in panels.frames(CARDS)}
    words = {"kk": "Дерек жоқ", "ru": "Нет данных", "en": "No data"}
    assert panels.shown(frames["kungei"], CARDS) == (words[panels.language], COLOURS["unknown"])
    assert all(isinstance(panels.shown(frame, CARDS), tuple) for frame in frames.values())


@pytest.mark.parametrize(("number", "figure"), [(LEVEL, "level_pct"), (DAYS, "days_left")])
def test_each_water_point_has_its_figure_or_says_that_it_has_none(
    panels: SimpleNamespace, pasture: SimpleNamespace, number: int, figure: str
) -> None:
    frames = {frame.name: frame for frame in panels.frames(number)}
    expected = {name: status.body.get(figure) for name, status in pasture.reader.last_statuses("water_point").items()}
    assert frames.keys() == expected.keys() == {"asy-spring", "batan-well", "never-measured"}
    assert frames["batan-well"].values == [pytest.approx(expected["batan-well"], abs=1e-9)]
    assert frames["never-measured"].values == [None]
    assert panels.shown(frames["asy-spring"], number) == (
        {"kk": "Дерек жоқ", "ru": "Нет данных", "en": "No data"}[panels.language],
        COLOURS["unknown"],
    )


def test_only_open_alerts_are_listed_however_long_they_stand(panels: SimpleNamespace, pasture: SimpleNamespace) -> None:
    expected = {(a.subject, a.kind, a.level, a.at_us // 1000) for a in pasture.reader.alerts(open_only=True)}
    rows = panels.rows(ALERTS)
    assert {(row["subject"], row["kind"], row["level"], row["Time"]) for row in rows} == expected
    assert len(rows) == len(expected) >= 3
    overrides = {
        entry["matcher"]["options"]: entry["properties"] for entry in panels.by_id[ALERTS]["fieldConfig"]["overrides"]
    }
    for column in ("kind", "level"):
        mappings = next(entry["value"] for entry in overrides[column] if entry["id"] == "mappings")
        assert {row[column] for row in rows} <= mappings[0]["options"].keys()


def test_each_node_is_listed_with_its_last_battery(panels: SimpleNamespace, pasture: SimpleNamespace) -> None:
    expected = {}
    for device in pasture.reader.devices():
        usable = [
            reading
            for reading in pasture.reader.readings(device.registration)
            if (reading.group, reading.channel) == ("node", "battery") and reading.value is not None
        ]
        last = max(usable, key=lambda reading: reading.time_us)
        assert last.time_us < pasture.reader.last_seen(device.registration).time_us
        expected[device.name] = (last.value, last.time_us // 1000)
    rows = panels.rows(NODES)
    assert {row["node"]: (row["battery"], row["Time"]) for row in rows} == expected
    assert len(rows) == 4
    assert all(-140 < row["rssi"] < 0 for row in rows)


def test_available_water_follows_the_decisions(panels: SimpleNamespace, pasture: SimpleNamespace) -> None:
    found = by_name(panels.frames(FPAW))
    expected = {}
    for paddock in pasture.reader.last_statuses("paddock"):
        known = [(s.at_us, s.body.get("fpaw")) for s in pasture.reader.statuses("paddock", paddock)]
        steps = buckets([(at, fpaw) for at, fpaw in known if fpaw is not None], HOUR_US)
        expected[paddock] = {start: pytest.approx(sum(v) / len(v), abs=1e-9) for start, v in steps.items()}
    assert found == expected
    assert len(found["kungei"]) >= 4


def test_soil_moisture_is_the_mean_of_the_cleaned_readings(panels: SimpleNamespace, pasture: SimpleNamespace) -> None:
    unit = {"kk": "см", "ru": "см", "en": "cm"}[panels.language]
    points = defaultdict(list)
    for device in pasture.reader.devices():
        depths = {f"probe{probe.position}": probe.depth_cm for probe in device.probes}
        for reading in pasture.reader.readings(device.registration):
            if reading.channel == "moisture" and reading.value is not None:
                name = f"{device.paddock}, {depths[reading.group]} {unit}"
                points[name].append((reading.time_us, reading.value))
    expected = {
        name: {start: pytest.approx(sum(v) / len(v), abs=1e-9) for start, v in buckets(found, HOUR_US // 4).items()}
        for name, found in points.items()
    }
    found = by_name(panels.frames(MOISTURE))
    assert found == expected
    assert len(found) == 4
    assert all(len(values) > 20 for values in found.values())


def test_the_history_has_every_status_that_was_published(panels: SimpleNamespace, pasture: SimpleNamespace) -> None:
    found = by_name(panels.frames(HISTORY))
    expected = {}
    for paddock in pasture.reader.last_statuses("paddock"):
        published = [(status.at_us, status.status) for status in pasture.reader.statuses("paddock", paddock)]
        expected[paddock] = {start: v[-1] for start, v in buckets(published, HOUR_US // 4).items()}
    assert found == expected
    assert "no_data" in found["kungei"].values()
    words = panels.by_id[HISTORY]["fieldConfig"]["defaults"]["mappings"][0]["options"]
    assert {status for values in found.values() for status in values.values()} <= words.keys()


@pytest.mark.parametrize("number", [FPAW, MOISTURE, HISTORY])
def test_the_charts_follow_the_chosen_paddock(panels: SimpleNamespace, number: int) -> None:
    assert panels.paddocks == ["asy-terrace", "fell-silent", "kungei"]
    assert {frame.labels["paddock"] for frame in panels.frames(number, ["kungei"])} == {"kungei"}


def test_every_name_in_a_query_is_one_that_the_station_writes(
    panels: SimpleNamespace, pasture: SimpleNamespace
) -> None:
    """InfluxDB says nothing of a field that it does not know: it gives no rows, or leaves it out of a condition."""
    fields = {series["name"]: {row[0] for row in series["values"]} for series in pasture.ask("SHOW FIELD KEYS")}
    tags = {series["name"]: {row[0] for row in series["values"]} for series in pasture.ask("SHOW TAG KEYS")}
    for panel in panels.by_id.values():
        for target in panel["targets"]:
            (measurement,) = set(re.findall(r'FROM "(\w+)"', target["query"]))
            names = set(re.findall(r'"(\w+)"', target["query"])) - {measurement}
            assert names <= fields[measurement] | tags[measurement], panel["title"]
