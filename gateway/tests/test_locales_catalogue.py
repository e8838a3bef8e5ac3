"""The translation catalogue: complete in every language, filled in as the language writes."""

import re
import string
import tomllib
from datetime import UTC, datetime
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from suat.locales import LANGUAGES, catalogue, formatted, text


def placeholders(template: str) -> set[tuple[str, str]]:
    return {(name, spec or "") for _, name, spec, _ in string.Formatter().parse(template) if name is not None}


def texts(entry, language):
    chosen = entry[language]
    return [chosen] if isinstance(chosen, str) else list(chosen.values())


@pytest.mark.parametrize("key", sorted(catalogue()))
def test_a_key_is_complete_in_every_language(key):
    entry = catalogue()[key]
    assert set(entry) == set(LANGUAGES)
    wanted = placeholders(texts(entry, "en")[0])
    for language in LANGUAGES:
        for template in texts(entry, language):
            assert template.strip() == template != ""
            assert placeholders(template) == wanted or not isinstance(entry[language], str)
        if not isinstance(entry[language], str):
            assert set(entry[language]) == Locale.parse(language).plural_form.tags | {"other"}
            assert {name for t in texts(entry, language) for name, _ in placeholders(t)} <= {n for n, _ in wanted}


def test_kazakh_and_russian_are_written_in_cyrillic():
    for key, entry in catalogue().items():
        for language in ("kk", "ru"):
            if not key.startswith(("unit.", "language.")):
                assert all(re.search("[а-яёәғқңөұүһі]", t, re.I) for t in texts(entry, language)), key


def test_every_label_that_wants_a_native_speaker_is_marked():
    content = tomllib.loads(files("suat.locales").joinpath("catalogue.toml").read_text("utf-8"))
    starred = [
        "available_water",
        "tank",
        "water_days_left",
        "overflow",
        "paddock",
        "rest",
        "rest_days_left",
        "load_norm",
        "union",
    ]
    assert all(content["label"][name]["review"] for name in starred)
    assert not content["label"]["water_level"].get("review")


@pytest.mark.parametrize(
    ("language", "days", "expected"),
    [
        ("en", 1, "1 day"), ("en", 2, "2 days"),
        ("ru", 1, "1 день"), ("ru", 2, "2 дня"), ("ru", 5, "5 дней"), ("ru", 11, "11 дней"), ("ru", 21, "21 день"),
        ("kk", 1, "1 күн"), ("kk", 5, "5 күн"),
    ],
)  # fmt: skip
def test_plurals(language, days, expected):
    assert text(language, "board.days", n=days) == expected


def test_numbers_dates_and_ages_follow_the_language():
    moment = datetime(2026, 7, 4, 8, 5, tzinfo=UTC)
    almaty = ZoneInfo("Asia/Almaty")
    assert text("ru", "board.now", at=moment, zone=almaty) == "Сейчас: 4 июля, 13:05"
    assert text("kk", "board.now", at="2026-07-04T08:05:00Z", zone=almaty) == "Қазір: 4 шілде, 13:05"
    assert text("en", "board.data_age", age_s=5 * 3600) == "Newest data 5 hours ago"
    assert text("ru", "board.data_age", age_s=5 * 3600) == "Последние данные 5 часов назад"
    assert text("kk", "reason.move_soon.grass", n=2.4) == "Шөп 2,4 күнге жетеді."
    assert formatted("ru", 12345.678, "1") == "12\xa0345,7"
    assert formatted("en", None) == "—"


def test_an_unknown_value_is_a_dash_and_an_unknown_key_an_error():
    assert text("en", "board.score_of", score=None) == "— of 100"
    with pytest.raises(KeyError):
        text("en", "board.no_such_key")
    with pytest.raises(KeyError):
        text("en", "board.score_of")
