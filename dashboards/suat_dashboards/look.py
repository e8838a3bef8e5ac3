"""How things look: colours, the words for values, thresholds. The limits are those of the rules, not written again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model
from suat.config import Config
from suat.locales import catalogue, text
from suat.pasture.alerts import CRITICAL_DAYS, CRITICAL_PCT, LOW_PCT
from suat.pasture.tables import RulesTable
from suat.show.board.cards import MANY_DAYS, TONES

from suat_dashboards.query import UNKNOWN

# As on the board page (board.css): told apart by word, and dark enough for white letters but for `soon`.
COLOURS = {"go": "#17692b", "soon": "#ffc61a", "wait": "#1f4e8c", "stop": "#b00020", "unknown": "#5a605a"}
ALERT_WORDS = {
    "low": "board.water_low",
    "critical": "board.water_critical",
    "trough_empty": "label.trough_empty",
    "node": "board.silent",
    "probe": "board.broken",
}
LEVEL_WORDS = {"warning": ("dashboard.level_warning", "soon"), "critical": ("dashboard.level_critical", "stop")}
SEVERITY = tuple(LEVEL_WORDS)
DEFAULTS = RulesTable()
GROWTH_SLOWS = DEFAULTS.growth_fpaw

Words = Callable[..., str]
Names = Mapping[str, str]  # an identifier's name in the dashboard's language


def words_in(language: str) -> Words:
    """The catalogue in one language."""

    def word(key: str, **values: Any) -> str:
        return text(language, key, **values)

    return word


def names_in(config: Config, language: str) -> dict[str, str]:
    """The names of a station's paddocks and water points."""
    paddocks = {paddock.id: paddock.name.in_language(language) for paddock in config.paddock}
    points = {point.id: point.name.in_language(language) for point in config.water_point if point.name is not None}
    return paddocks | points


def value_words(words: Mapping[str, tuple[str, str | None]]) -> model.ValueMapping:
    """Words, with a colour where they have one, in place of values."""
    return model.ValueMap(
        options={
            value: model.ValueMappingResult(text=word, color=colour, index=index)
            for index, (value, (word, colour)) in enumerate(words.items())
        }
    )


def status_words(word: Words) -> model.ValueMapping:
    """The statuses of a paddock: every one that the catalogue names."""
    statuses = [key.removeprefix("status.") for key in catalogue() if key.startswith("status.")]
    return value_words({status: (word(f"status.{status}"), status_colour(status)) for status in statuses})


def status_colour(status: str) -> str:
    """The colour of a status; one that the board page does not colour warns."""
    return COLOURS[TONES.get(status, "soon")]


def unknown_figure(word: Words) -> model.ValueMapping:
    """`UNKNOWN` reads "No data"."""
    return value_words({str(UNKNOWN): (word("status.no_data"), COLOURS["unknown"])})


def many_days() -> model.ValueMapping:
    """As on the board page: nobody needs to know whether it is 120 or 900 days."""
    result = model.ValueMappingResult(text=f"{MANY_DAYS}+", color=COLOURS["go"], index=1)
    return model.RangeMap(options=model.DashboardRangeMapOptions(from_val=MANY_DAYS, to=None, result=result))


def steps(base: str, *above: tuple[float, str]) -> build.ThresholdsConfig:
    """Tones by value: `base` below all, then from each value on."""
    found = [model.Threshold(value=None, color=COLOURS[base])]
    found += [model.Threshold(value=value, color=COLOURS[tone]) for value, tone in above]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


def level_steps() -> build.ThresholdsConfig:
    """Of a tank [%]: as its alerts."""
    return steps("stop", (CRITICAL_PCT, "soon"), (LOW_PCT, "go"))


def days_steps() -> build.ThresholdsConfig:
    """Of the days that water lasts: the alert, then the rule `move_soon`."""
    return steps("stop", (CRITICAL_DAYS, "soon"), (DEFAULTS.move_soon_days, "go"))


def fpaw_steps() -> build.ThresholdsConfig:
    """Of the plant-available water: too dry, stressed, good, too wet for cattle and horses."""
    limits = DEFAULTS.too_dry_fpaw, GROWTH_SLOWS, DEFAULTS.too_wet_cattle
    return steps("stop", *zip(limits, ("soon", "go", "wait"), strict=True))


def properties(**found: Any) -> list[model.DynamicConfigValue]:
    """Properties of an override; `__` in a name stands for the dot of `custom.width`."""
    return [model.DynamicConfigValue(id_val=name.replace("__", "."), value=value) for name, value in found.items()]


def name_overrides(names: Names, label: str = "{name}") -> list[tuple[str, list[model.DynamicConfigValue]]]:
    """Series called by an identifier (and perhaps more after a comma) get the place's name: (regexp, properties)."""
    return [
        (f"/^{identifier}(,.*)?$/", properties(displayName=label.replace("{name}", name)))
        for identifier, name in names.items()
    ]


def mapped_names(names: Names) -> Sequence[model.ValueMapping]:
    """The same for a table's cells."""
    return [value_words({identifier: (name, None) for identifier, name in names.items()})] if names else []
