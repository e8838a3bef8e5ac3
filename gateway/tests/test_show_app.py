"""The HTTP application: three languages, safe against hostile names, and honest when it can't read."""

import importlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from suat.config import Config
from suat.errors import SuatError
from suat.locales import LANGUAGES, catalogue
from suat.pasture.rules import RULES
from suat.pasture.status import describe
from suat.show import exposition
from suat.show.app import application, create_app
from suat.show.board.cards import ICONS, TONES
from suat.store.journal import Journal

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("board_example")


def client_of(config, status, now=lambda: 0):
    return TestClient(application(config, lambda: status, now), raise_server_exceptions=False)


@pytest.fixture
def client(example):
    config = example.config()
    return client_of(config, describe(config, example.snapshot()))


class Page(HTMLParser):
    """What a browser would do with a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.words, self.links = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href", "action")]

    def handle_data(self, data):
        self.words.append(data)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            ["Graze now", "Move soon", "Rest", "Too wet", "Too dry", "No water", "No data", "What to do", "days left"],
        ),
        ("ru", ["Можно пасти", "Скоро перегон", "Отдых", "Слишком сыро", "Слишком сухо", "Нет воды", "Нет данных"]),
        (
            "kk",
            ["Жаюға болады", "Жақында көшіру керек", "Тынықтыру", "Тым ылғалды", "Тым құрғақ", "Су жоқ", "Дерек жоқ"],
        ),
    ],
)
def test_the_board_in_every_language(client, language, words):
    answer = client.get(f"/?lang={language}")
    assert answer.status_code == 200
    assert answer.headers["content-language"] == language
    assert f'<html lang="{language}">' in answer.text
    text = " ".join(Page(answer.text).words)
    assert [word for word in words if word not in text] == []
    assert len(answer.content) < 100_000


def test_numbers_dates_and_names_follow_the_language(client):
    russian = client.get("/?lang=ru").text
    assert "4 июля, 17:40" in russian  # 12:40 UTC in Almaty
    assert "48\xa0211" in russian
    assert "Родник Булак" in russian
    assert "48,211" in client.get("/?lang=en").text
    assert "4 шілде, 17:40" in client.get("/?lang=kk").text


def test_the_language_is_remembered(client):
    client.get("/?lang=kk")
    assert '<html lang="kk">' in client.get("/", headers={"Accept-Language": "ru"}).text
    client.get("/?lang=ru")
    assert '<html lang="ru">' in client.get("/").text


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"), ("de, en;q=0.5", "en"), ("kk", "kk"), ("en;q=0.2,kk;q=0.9", "kk"),
        ("fr", "kk"), ("", "kk"), ("ru;q=0", "kk"), ("en;q=x,ru", "ru"), ("," * 600, "kk"),
    ],
)  # fmt: skip
def test_the_browser_is_asked_first(client, header, language):
    assert client.get("/", headers={"Accept-Language": header}).headers["content-language"] == language


@pytest.mark.parametrize("chosen", ["xx", "", "../en", "<script>"])
def test_a_language_that_is_not_there_is_ignored(client, chosen):
    answer = client.get("/", params={"lang": chosen}, headers={"Accept-Language": "en"})
    assert answer.headers["content-language"] == "en"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/", "/status.json", "/healthz", "/metrics", "/static/board.css", "/nothing", "/static/../app.py"]
)
def test_every_answer_is_safe(client, path):
    answer = client.get(path)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "import" not in answer.text if path.endswith(".py") else True


def test_the_page_needs_no_script_and_nothing_from_elsewhere(client):
    page = Page(client.get("/?lang=en").text)
    assert "script" not in page.tags
    assert "style" not in page.tags + page.attributes
    assert not [name for name in page.attributes if name.startswith("on")]
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in page.links)
    for link in page.links:
        if link.startswith("/static/"):
            assert client.get(link).status_code == 200
    css = client.get("/static/board.css").text
    assert "url(" not in css
    assert "@import" not in css


def test_every_anchor_leads_somewhere(client):
    html = client.get("/?lang=en").text
    ids = set(re.findall(r'id="([^"]+)"', html))
    assert {link[1:] for link in re.findall(r'href="(#[^"]+)"', html)} <= ids


EVIL = """<script>alert(1)</script>"'>{{7*7}}&<img src=x onerror=f()>"""


def test_an_empty_paddock_says_whose_days_it_shows(client):
    html = client.get("/?lang=en").text
    cards = dict(re.findall(r'id="p-([a-z0-9-]+)">(.*?)</article>', html, re.DOTALL))
    for paddock, card in cards.items():
        assert ("Judged for: " in card.split("<details>")[0]) == ("Herd is here" not in card), paddock


def test_hostile_names_stay_text(example):
    content = example.config().model_dump(mode="json", exclude_none=True)
    content["station"]["name"] = EVIL[:60]
    evil = {language: EVIL[:60] for language in LANGUAGES}
    for table in ("paddock", "water_point", "herd"):
        for entry in content[table]:
            entry["name"] = evil
    config = Config.model_validate(content)
    snapshot = example.snapshot()
    nodes = tuple(replace(node, name=EVIL, last_seen_us=None) for node in snapshot.nodes)
    client = client_of(config, describe(config, replace(snapshot, nodes=nodes)))
    plain = Page(client_of(example.config(), describe(example.config(), snapshot)).get("/?lang=en").text)
    for language in LANGUAGES:
        answer = client.get(f"/?lang={language}")
        assert answer.status_code == 200
        page = Page(answer.text)
        assert set(page.tags) == set(plain.tags)
        assert not [name for name in page.attributes if name.startswith("on")]
        assert "<script" not in answer.text
        assert "{{7*7}}" in "".join(page.words)
        assert EVIL[:60] in "".join(page.words)
    metrics = client.get("/metrics").text
    assert list(text_string_to_metric_families(metrics))


def test_status_json_is_the_status(example):
    config = example.config()
    status = describe(config, example.snapshot())
    answer = client_of(config, status).get("/status.json")
    assert answer.json() == status
    assert answer.headers["content-type"] == "application/json"


def test_metrics_can_be_read_and_leave_out_what_is_unknown(client):
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    levels = {sample.labels["water_point"]: sample.value for sample in families["suat_water_level_percent"].samples}
    assert levels == {"bulaq-su": 82.0, "qudyq": 28.0, "auyl-su": 2.0}
    statuses = {sample.labels["paddock"]: sample.labels["status"] for sample in families["suat_paddock_status"].samples}
    assert statuses["tau"] == "no_data"
    frames = {sample.labels["outcome"]: sample.value for sample in families["suat_link_frames"].samples}
    assert frames["bad_mic"] == 3
    assert "suat_receive_to_commit_seconds" in families


def test_of_too_many_nodes_those_heard_last_are_counted():
    seen = [(f"n{n}", f"2026-06-01T00:{n // 60:02}:{n % 60:02}Z") for n in range(3000)] + [("never", None)]
    nodes = [{"name": name, "last_seen": at, "battery_v": None, "alerts": [], "broken": []} for name, at in seen]
    text = exposition.expose({"paddocks": [], "water_points": [], "nodes": nodes, "link": {}}).decode()
    shown = [line for line in text.splitlines() if line.startswith("suat_node_last_seen_timestamp_seconds{")]
    assert len(shown) == 2500
    assert any('node="n2999"' in line for line in shown) and not any('node="n499"' in line for line in shown)


def test_health(client, example):
    assert client.get("/healthz").json()["status"] == "ok"

    def broken():
        raise SuatError("journal.db: disk I/O error; check the card")

    failing = TestClient(application(example.config(), broken, lambda: 0), raise_server_exceptions=False)
    answer = failing.get("/healthz")
    assert answer.status_code == 503
    assert "disk I/O" in answer.json()["reasons"][0]
    page = failing.get("/?lang=ru")
    assert page.status_code == 503
    assert "не может прочитать данные" in page.text
    assert "disk I/O" not in page.text


def test_a_page_that_is_not_there(client):
    answer = client.get("/nothing?lang=kk")
    assert answer.status_code == 404
    assert "Мұндай бет жоқ" in answer.text
    assert client.post("/").status_code == 405


def test_the_status_is_judged_once_for_many_tablets(example):
    config, judged, now = example.config(), [], [0]
    status = describe(config, example.snapshot())

    def judge():
        judged.append(now[0])
        return status

    client = TestClient(application(config, judge, lambda: now[0]))
    for _ in range(5):
        client.get("/")
    assert judged == [0]
    now[0] = 5_000_000
    client.get("/status.json")
    assert judged == [0, 5_000_000]
    now[0] = 0  # the clock was set back: what is remembered is of no use
    client.get("/")
    assert judged == [0, 5_000_000, 0]


def test_an_empty_station_and_an_empty_journal_have_a_page(example, tmp_path):
    empty = Config.model_validate({"station": {"name": "New", "data_dir": str(tmp_path)}})
    with Journal(tmp_path / "journal.db", durable=False) as journal:
        for config in (empty, example.config()):
            client = TestClient(create_app(config, journal.reader(), lambda: example.AT_US))
            for language in LANGUAGES:
                assert client.get(f"/?lang={language}").status_code == 200


def test_every_status_has_a_word_an_icon_a_colour_and_advice():
    sprite = (Path(__file__).parents[1] / "suat/show/board/templates/icons.svg.html").read_text()
    statuses = {key.removeprefix("status.") for key in catalogue() if key.startswith("status.")}
    assert {rule.code for rule in RULES} <= statuses
    for code in {rule.code for rule in RULES}:
        assert code in TONES
        assert f'id="i-{ICONS.get(code, code)}"' in sprite
        assert {f"advice.{code}.here", f"advice.{code}.away"} <= set(catalogue())


def contrast(one, other):
    """WCAG 2.1 contrast ratio of two #rrggbb colours."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_bands_can_be_read_in_the_sun():
    css = (Path(__file__).parents[1] / "suat/show/board/static/board.css").read_text()
    bands = dict(re.findall(r"\.(go|soon|wait|stop) > \.band \{ background: (#\w{6})", css))
    assert set(bands) == {"go", "soon", "wait", "stop"}
    for tone, background in bands.items():
        assert contrast(background, "#000000" if tone == "soon" else "#ffffff") >= 6.0
    assert contrast("#4a4f49", "#ffffff") >= 7.0
    assert contrast("#4a4f49", "#e9ebe6") >= 6.0


@pytest.mark.slow
def test_in_a_browser_nothing_is_cut_off_and_nothing_is_refused(example, monkeypatch, tmp_path):
    pytest.importorskip("playwright")
    screenshots = importlib.import_module("screenshots")
    with screenshots.example() as url:
        assert screenshots.shoot(url, tmp_path) == []
    assert {path.name for path in tmp_path.glob("*-kk*.png")} == {
        "tablet-kk.png", "tablet-kk-whole.png", "phone-kk.png", "phone-kk-whole.png",
    }  # fmt: skip


def test_the_board_uses_every_text_that_is_kept_for_it():
    sources = Path(__file__).parents[1] / "suat/show"
    used = "".join(path.read_text() for path in sources.rglob("*") if path.suffix in (".py", ".html"))
    kept = {key for key in catalogue() if key.startswith("board.")}
    assert {
        key for key in kept if key.removeprefix("board.") not in used and not key.startswith("board.part_")
    } == set()
