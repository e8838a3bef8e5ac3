"""The one translation catalogue (catalogue.toml) and how its texts are filled in.

A text is chosen by language and key; numbers, dates, ages and plurals follow the language by babel. Format specs of a
placeholder, beside plain `{name}`:

    0 1 2       a number with at most so many decimals
    pct         a fraction as a percentage          pct100   a value that is a percentage already
    span        seconds as a duration ("5 hours")   ago      seconds as an age ("5 hours ago")
    date time datetime    an aware datetime or an ISO 8601 string, shown in the station's time zone
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from importlib.resources import files
from typing import Any

from babel import Locale
from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_decimal, format_percent

LANGUAGES = ("kk", "ru", "en")
UNKNOWN = "—"
DATE_PATTERNS = {"date": "d MMMM", "time": "HH:mm", "datetime": "d MMMM, HH:mm"}
NUMBER_PATTERNS = {"0": "#,##0", "1": "#,##0.#", "2": "#,##0.##"}

Entry = Mapping[str, str | Mapping[str, str]]


@cache
def catalogue() -> dict[str, Entry]:
    """All entries by dotted key; each maps a language to its text, or to a text per plural category."""
    content = tomllib.loads(files(__name__).joinpath("catalogue.toml").read_text("utf-8"))
    return dict(_flatten(content))


def _flatten(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Entry]]:
    for name, value in table.items():
        key = f"{prefix}{name}"
        if _is_entry(value):
            yield key, {language: value[language] for language in LANGUAGES if language in value}
        else:
            yield from _flatten(value, f"{key}.")


def _is_entry(value: dict[str, Any]) -> bool:
    """An entry's `en` is a text or plural texts; a table of entries (`[language]`) has entries there."""
    english = value.get("en")
    return isinstance(english, str) or (isinstance(english, dict) and "other" in english)


def text(language: str, key: str, /, *, zone: tzinfo = UTC, **values: Any) -> str:
    """The text of `key` in `language` with its placeholders filled; KeyError for an unknown key or a missing value."""
    chosen = catalogue()[key][language]
    if not isinstance(chosen, str):
        chosen = chosen[_plural(language, values["n"])]
    return _Filler(language, zone).vformat(chosen, (), values)


@cache
def _locale(language: str) -> Locale:
    return Locale.parse(language)


def _plural(language: str, number: float) -> str:
    """CLDR plural category of a number as it will be shown: 1.0 is shown "1" and so counts as "one"."""
    shown = round(number, 1)
    return str(_locale(language).plural_form(int(shown) if shown == int(shown) else shown))


class _Filler(string.Formatter):
    """`str.format` whose values are written as the language writes them."""

    def __init__(self, language: str, zone: tzinfo) -> None:
        self._locale = _locale(language)
        self._zone = zone

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None:
            return UNKNOWN
        if format_spec in DATE_PATTERNS:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            local = moment.astimezone(self._zone)
            return format_datetime(local, DATE_PATTERNS[format_spec], tzinfo=self._zone, locale=self._locale)
        if format_spec == "pct":
            return format_percent(value, locale=self._locale)
        if format_spec == "pct100":
            return format_percent(value / 100, locale=self._locale)
        if format_spec == "span":
            return format_timedelta(timedelta(seconds=abs(value)), locale=self._locale)
        if format_spec == "ago":
            # under a minute babel says "34 seconds ago": a precision nobody asked for
            age = timedelta(seconds=-max(value, 60.0))
            return format_timedelta(age, add_direction=True, locale=self._locale)
        if isinstance(value, int | float) and not isinstance(value, bool):
            pattern = NUMBER_PATTERNS.get(format_spec, NUMBER_PATTERNS["2"])
            return str(format_decimal(value, pattern, locale=self._locale))
        return str(value)


def formatted(language: str, value: Any, spec: str = "0") -> str:
    """A bare value as the language writes it, by the specs above; a dash for unknown."""
    return _Filler(language, UTC).format_field(value, spec)
