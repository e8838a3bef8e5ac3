"""The committed files: what the generator writes, well formed, and the same in every language but for the words."""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from suat.locales import LANGUAGES
from suat.pasture.alerts import Alert
from suat.pasture.rules import RULES
from suat_dashboards import look, query, write
from suat_sim.demo import scenario_for, write_config

DASHBOARDS = Path(__file__).parent.parent
CYRILLIC = re.compile("[а-яёәғқңөұүһі]", re.IGNORECASE)
# Where a text stands that people read.
SHOWN = {"title", "description", "label", "text", "noValue", "displayName", "axisLabel"}
# What is the same in all languages: figures, Grafana's own "All", which it translates itself.
FOR_ALL = {"99+", "All"}


@pytest.fixture(params=[f"{language}/{name}.json" for language in LANGUAGES for name in write.DASHBOARDS])
def file(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def texts(node: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    """All texts that people read, with where they stand; units among them."""
    if isinstance(node, dict):
        named = node.get("id") in SHOWN and isinstance(node.get("value"), str)  # an override's property
        found = [((*path, str(node["id"])), node["value"])] if named else []
        return found + [entry for key, value in node.items() for entry in texts(value, (*path, key))]
    if isinstance(node, list):
        return [entry for index, value in enumerate(node) for entry in texts(value, (*path, str(index)))]
    shown = any(part in SHOWN for part in path[-2:]) and isinstance(node, str)
    return [(path, node)] if shown and "matcher" not in path else []


def without_words(node: Any) -> Any:
    """The structure alone: texts, and what is made of them, left out."""
    if isinstance(node, dict):
        override = node.get("id") in SHOWN | {"unit"}
        return {
            key: ""
            if key in SHOWN | {"uid", "url", "alias", "unit", "tags"} or (override and key == "value")
            else without_words(value)
            for key, value in node.items()
        }
    return [without_words(value) for value in node] if isinstance(node, list) else node


def test_the_committed_files_are_what_the_generator_writes() -> None:
    written = dict(write.files())
    committed = {
        str(path.relative_to(DASHBOARDS)): path.read_text("utf-8")
        for language in LANGUAGES
        for path in (DASHBOARDS / language).glob("*")
    }
    assert committed == written, "run: python dashboards/build.py"


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Where `after` lacks or has otherwise what `before` has; it may have more (the SDK's defaults)."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [fault for key, value in before.items() for fault in lost(value, after.get(key), f"{path}/{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [fault for index, value in enumerate(before) for fault in lost(value, after[index], f"{path}/{index}")]
    return [] if before == after else [path]


def test_the_sdk_reads_back_every_key(committed: dict[str, Any], file: str) -> None:
    again = json.loads(json.dumps(Dashboard.from_json(committed[file]), cls=JSONEncoder))
    assert lost(committed[file], again) == []
    assert lost({**committed[file], "kiosk": True}, again) == ["/kiosk"]


def test_it_is_the_classic_schema_with_an_address_of_its_own(committed: dict[str, Any], file: str) -> None:
    assert committed[file]["schemaVersion"] == 42
    assert committed[file]["editable"] is False
    assert "id" not in committed[file]
    uids = [dashboard["uid"] for dashboard in committed.values()]
    assert len(set(uids)) == len(uids)
    assert all(re.fullmatch("[a-z0-9-]{1,40}", uid) for uid in uids)  # Grafana takes up to 40 characters
    assert committed[file]["uid"].endswith(f"-{file.partition('/')[0]}")


def test_panels_have_ids_titles_units_and_room(committed: dict[str, Any], file: str) -> None:
    panels = committed[file]["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"] and panel["description"]
        assert panel["fieldConfig"]["defaults"]["noValue"]
        if panel["type"] in ("timeseries", "state-timeline"):
            assert panel["options"]["legend"]["showLegend"]
        if panel["type"] in ("timeseries", "bargauge"):
            assert panel["fieldConfig"]["defaults"]["unit"]
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


def test_every_query_is_influxql_of_the_one_data_source_and_judges_by_ok(committed: dict[str, Any], file: str) -> None:
    source = {"type": "influxdb", "uid": "suat-influxdb"}
    for panel in committed[file]["panels"]:
        assert panel["datasource"] == source
        for target in panel["targets"]:
            assert target["datasource"] == source
            assert target["rawQuery"] is True
            assert target["query"].startswith("SELECT ")
            assert "$timeFilter" in target["query"]
            assert re.search(r'WHERE "(\w+_)?ok" (= 1|>= 0)', target["query"])
    assert all(variable["datasource"] == source for variable in committed[file]["templating"]["list"])


def test_a_query_that_may_see_what_is_not_ok_says_so_itself(committed: dict[str, Any], file: str) -> None:
    """Only words, of which `no_data` is one, and figures that turn to "no data" by their own `ok`."""
    for panel in committed[file]["panels"]:
        for target in panel["targets"]:
            if '"ok" >= 0' in target["query"]:
                assert re.search(r'last\("(status|\w+_ok)"\)', target["query"])


def test_nothing_leads_out_of_the_station(committed: dict[str, Any], file: str) -> None:
    assert "://" not in json.dumps(committed[file])


def test_the_languages_link_to_each_other(committed: dict[str, Any], file: str) -> None:
    language, name = file.removesuffix(".json").split("/")
    others = [other for other in LANGUAGES if other != language]
    assert [link["url"] for link in committed[file]["links"]] == [f"/d/suat-{name}-{other}" for other in others]
    own_names = {"kk": "Қазақша", "ru": "Русский", "en": "English"}
    assert [link["title"] for link in committed[file]["links"]] == [own_names[other] for other in others]


def test_the_languages_differ_in_words_alone(committed: dict[str, Any], file: str) -> None:
    english = committed["en/" + file.partition("/")[2]]
    found, expected = without_words(committed[file]), without_words(english)
    del found["links"], expected["links"]
    assert found == expected


def test_no_text_is_left_untranslated(committed: dict[str, Any], file: str) -> None:
    language = file.partition("/")[0]
    found = [(path, text) for path, text in texts(committed[file]) if path[0] != "links" and text not in FOR_ALL]
    assert len(found) > 40
    for path, text in found:
        assert bool(CYRILLIC.search(text)) == (language != "en"), (path, text)


def test_each_status_and_alert_has_a_word() -> None:
    word = look.words_in("en")
    statuses = look.status_words(word).options
    assert isinstance(statuses, dict)
    assert {rule.code for rule in RULES} <= statuses.keys()
    assert len({result.text for result in statuses.values()}) == len(statuses)
    hints = get_type_hints(Alert)
    assert set(get_args(hints["kind"])) == look.ALERT_WORDS.keys()
    assert set(get_args(hints["level"])) == look.LEVEL_WORDS.keys()


def test_white_and_black_letters_can_be_read_on_every_colour() -> None:
    """WCAG 2.1 contrast of the better of the two, at least 4.5:1, for screens that stand in the sun."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in look.COLOURS.values():
        light = luminance(colour)
        assert max(1.05 / (light + 0.05), (light + 0.05) / 0.05) >= 4.5


def test_a_station_can_write_its_own_with_its_names(tmp_path: Path) -> None:
    config = write_config(scenario_for(2, 1, 1, 7, None)["config"], tmp_path)
    command = [sys.executable, str(DASHBOARDS / "build.py"), "--config", str(config), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    dashboard = json.loads((tmp_path / "out/kk/pasture-now.json").read_text("utf-8"))
    overrides = {
        entry["matcher"]["options"]: entry["properties"][0]["value"]
        for entry in dashboard["panels"][0]["fieldConfig"]["overrides"]
    }
    assert overrides["/^asy-terrace(,.*)?$/"] == "Асы жоғарғы жазығы"
    moisture = json.dumps(dashboard["panels"][6], ensure_ascii=False)
    assert "Асы жоғарғы жазығы, ${__field.labels.depth_cm} см" in moisture
    assert dashboard["uid"] == "suat-pasture-now-kk"
    assert query.UNKNOWN == -1


def test_a_faulty_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "suat.toml").write_text("[station]\n", "utf-8")
    command = [sys.executable, str(DASHBOARDS / "build.py"), "--config", str(tmp_path / "suat.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "station" in done.stderr and "Traceback" not in done.stderr
