"""What the board page shows, in the reader's words: the status object turned into cards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from math import floor
from typing import Any

from suat.config import Config
from suat.locales import LANGUAGES, UNKNOWN, formatted, text
from suat.pasture.wording import (
    alert_sentence,
    herd_name,
    paddock_name,
    reason_sentence,
    rounded_down,
    water_point_name,
)

Json = Mapping[str, Any]
Card = dict[str, Any]

# The colour of a status: go, soon, wait, stop, unknown. The icon and the word tell the statuses of one colour apart.
TONES = {
    "graze": "go",
    "move_soon": "soon",
    "rest": "wait",
    "too_wet": "wait",
    "not_grown": "wait",
    "frozen": "wait",
    "out_of_plan": "wait",
    "too_dry": "stop",
    "no_water": "stop",
    "salty_water": "stop",
    "no_data": "unknown",
}
ICONS = {"not_grown": "rest", "out_of_plan": "rest", "salty_water": "no_water"}  # the others bear their status's name
TONE_ORDER = ("stop", "soon", "unknown", "go", "wait")
HERD_ICONS = {"sheep": "sheep", "goat": "sheep", "horse": "horse", "camel": "camel"}
SCORE_PARTS = ("grass", "rest", "water", "soil", "distance")
MANY_DAYS = 99  # more than that is written "99+"


class Words:
    """The catalogue in one language, for one station's zone."""

    def __init__(self, config: Config, language: str) -> None:
        self.config = config
        self.language = language

    def __call__(self, key: str, **values: Any) -> str:
        return text(self.language, key, zone=self.config.station.zone, **values)

    def paddock(self, paddock: str) -> str:
        return paddock_name(self.config, paddock, self.language)

    def water_point(self, point: str) -> str:
        return water_point_name(self.config, point, self.language)

    def herd(self, herd: str) -> str:
        return herd_name(self.config, herd, self.language)

    def days(self, value: float | None) -> str:
        """Days for a large figure: tenths while they matter, whole days (never rounded up) after that."""
        if value is None:
            return UNKNOWN
        return f"{MANY_DAYS}+" if value > MANY_DAYS else formatted(self.language, _shown(value), "1")


def page(config: Config, status: Json, language: str) -> Card:
    """Everything the template of the board page needs."""
    words = Words(config, language)
    now = _moment(status["time"])
    paddocks = [_paddock(words, entry, now) for entry in status["paddocks"]]
    points = sorted(
        (_water_point(words, entry, now) for entry in status["water_points"]),
        key=lambda card: TONE_ORDER.index(card["tone"]),
    )
    nodes = [_node(words, entry, now) for entry in status["nodes"]]
    newest = max((_moment(node["last_seen"]) for node in status["nodes"] if node["last_seen"]), default=None)
    return {
        "t": words,
        "language": language,
        "languages": [(code, text(code, f"language.{code}")) for code in LANGUAGES],
        "station": config.station.name,
        "now": status["time"],
        "newest_age_s": None if newest is None else _age_s(newest, now),
        "herds": _herds(words, status),
        "paddocks": sorted(paddocks, key=_paddock_order),
        "points": points,
        "troubles": [card for card in points if card["tone"] != "go"],
        "nodes": nodes,
        "silent": sum(node["silent"] for node in nodes),
        "broken": [line for node in nodes for line in node["broken"]],
        "link": [(words(f"link.{name}"), formatted(language, count)) for name, count in status["link"].items()],
    }


def _paddock_order(card: Card) -> tuple[bool, bool, float]:
    """Those with a herd first, then the best to graze, then the rest as configured."""
    return not card["herds"], card["tone"] != "go", -(card["score"] or 0.0)


def _herds(words: Words, status: Json) -> list[Card]:
    """A card a herd. Two herds are not sent to one paddock: those that must move choose first."""
    paddocks = {entry["id"]: entry for entry in status["paddocks"]}
    tones = {
        entry["id"]: TONES.get(paddocks[entry["paddock"]]["status"], "unknown") if entry["paddock"] else "unknown"
        for entry in status["herds"]
    }
    taken: set[str] = set()
    chosen: dict[str, Json | None] = {}
    for entry in sorted(status["herds"], key=lambda entry: TONE_ORDER.index(tones[entry["id"]])):
        best = next((option for option in entry["next"] if option["paddock"] not in taken), None)
        chosen[entry["id"]] = best
        if best is not None:
            taken.add(best["paddock"])
    return [
        _herd(words, entry, paddocks.get(entry["paddock"]), tones[entry["id"]], chosen[entry["id"]])
        for entry in status["herds"]
    ]


def _herd(words: Words, entry: Json, here: Json | None, tone: str, best: Json | None) -> Card:
    """What one herd should do: stay, move, or be looked after, and where it best goes next."""
    herd = next(herd for herd in words.config.herd if herd.id == entry["id"])
    card: Card = {
        "name": words.herd(herd.id),
        "icon": HERD_ICONS.get(herd.species, "cow"),
        "head": words("board.head", n=herd.head),
        "tone": tone,
        "next": None if best is None else _next(words, best),
        "asks_next": tone != "go",
    }
    if here is None:
        return {**card, "place": None, "order": words("board.herd_nowhere"), "reason": None}
    return {
        **card,
        "place": words("board.herd_in", paddock=words.paddock(here["id"])),
        "since": words("board.herd_since", at=entry["since"]),
        "order": words(f"advice.{here['status']}.here"),
        "reason": _sentence_case(_lasts(words, here))
        if tone == "go"
        else reason_sentence(words.config, here["reasons"][0], words.language),
    }


def _next(words: Words, best: Json) -> Card:
    return {"id": best["paddock"], "name": words.paddock(best["paddock"]), "facts": _lasts(words, best)}


def _lasts(words: Words, entry: Json) -> str:
    """How long grass and water last, as far as it is known."""
    facts = [
        words(key, n=_shown(days))
        for key, days in (("board.grass_for", entry["grazing_days"]), ("board.water_for", entry["water_days"]))
        if days is not None and days <= MANY_DAYS
    ]
    return ", ".join(facts)


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def _paddock(words: Words, entry: Json, now: datetime) -> Card:
    occupied = bool(entry["herds"])
    status = entry["status"]
    paddock = next(paddock for paddock in words.config.paddock if paddock.id == entry["id"])
    return {
        "id": entry["id"],
        "name": words.paddock(entry["id"]),
        "kind": words(f"kind.{paddock.kind}"),
        "area": f"{formatted(words.language, paddock.area_ha)} {words('unit.hectare')}",
        "status": status,
        "tone": TONES.get(status, "unknown"),
        "icon": ICONS.get(status, status),
        "word": words(f"status.{status}"),
        "advice": words(f"advice.{status}.{'here' if occupied else 'away'}"),
        "reasons": [
            (reason_sentence(words.config, reason, words.language), reason["advisory"]) for reason in entry["reasons"]
        ],
        "herds": [(words.herd(herd), HERD_ICONS.get(_species(words, herd), "cow")) for herd in entry["herds"]],
        "for_herd": None if occupied or len(words.config.herd) < 2 else words.herd(entry["for_herd"]),
        "score": entry["score"],
        "score_text": words("board.score_of", score=entry["score"]),
        "parts": [(words(f"board.part_{name}"), round(100 * entry["parts"][name])) for name in SCORE_PARTS]
        if entry["parts"]
        else [],
        "soil_percent": None if entry["fpaw"] is None else min(100, max(0, round(100 * entry["fpaw"]))),
        "soil_text": formatted(words.language, entry["fpaw"] and max(0.0, entry["fpaw"]), "pct"),
        "grass": words.days(entry["grazing_days"]),
        "water": words.days(entry["water_days"])
        if entry["other_water"] is None
        else words(f"water.{entry['other_water']}"),
        "water_label": words("board.water_days" if entry["other_water"] is None else "board.water_other"),
        "rest": words("board.rest_left", n=entry["rest_days_left"]) if entry["rest_days_left"] else None,
        "measured": _measured(words, entry["measured"], now),
    }


def _species(words: Words, herd: str) -> str:
    return next(entry.species for entry in words.config.herd if entry.id == herd)


def _water_point(words: Words, entry: Json, now: datetime) -> Card:
    config = next(point for point in words.config.water_point if point.id == entry["id"])
    word, tone = _water_word(entry)
    days = entry["days_left"]
    herds = entry["herds"] or entry["expected_herds"]
    level = entry["level_pct"]
    return {
        "id": entry["id"],
        "name": words.water_point(entry["id"]),
        "tone": tone,
        "icon": {"go": "water", "soon": "water_low", "stop": "no_water", "unknown": "no_data"}[tone],
        "word": words(f"board.{word}"),
        "level": None if level is None else min(100, max(0, round(level))),
        "level_text": formatted(words.language, level, "pct100"),
        "capacity": None
        if entry["volume_l"] is None
        else words("board.capacity", volume_l=entry["volume_l"], tank_l=config.tank_l),
        "days": None if days is None else words.days(days),
        "days_word": None if days is None else words("board.days_left", n=_shown(days)),
        "drinkers": None
        if not herds or days is None
        else words(
            "board.drink_here" if entry["herds"] else "board.would_drink",
            herd=", ".join(words.herd(herd) for herd in herds),
        ),
        "use": None if not entry["use_l_day"] else words("board.use_day", litres=entry["use_l_day"]),
        "alerts": [(alert_sentence(words.config, alert, words.language), alert["level"]) for alert in entry["alerts"]],
        "paddocks": [words.paddock(paddock) for paddock in config.paddocks],
        "measured": _measured(words, entry["measured"], now),
    }


def _shown(days: float) -> float:
    """The number of days that is shown: it stands beside words whose plural follows it."""
    return MANY_DAYS if days > MANY_DAYS else rounded_down(days) if days < 3 else floor(days)


def _water_word(entry: Json) -> tuple[str, str]:
    kinds = {alert["kind"] for alert in entry["alerts"]}
    words: tuple[tuple[bool, str, str], ...] = (
        (entry["level_pct"] is None, "water_unknown", "unknown"),
        ("trough_empty" in kinds, "water_empty", "stop"),
        ("critical" in kinds, "water_critical", "stop"),
        ("low" in kinds, "water_low", "soon"),
        ("node" in kinds or "probe" in kinds, "water_ask", "unknown"),
    )
    return next(((word, tone) for holds, word, tone in words if holds), ("water_fine", "go"))


def _node(words: Words, entry: Json, now: datetime) -> Card:
    last_seen = entry["last_seen"]
    place: Callable[[str], str] | None = words.paddock if entry["paddock"] else words.water_point
    where = entry["paddock"] or entry["water_point"]
    return {
        "name": entry["name"],
        "place": place(where) if where and place else "",
        "seen": words("board.never")
        if last_seen is None
        else formatted(words.language, _age_s(_moment(last_seen), now), "ago"),
        "battery": _quantity(words, entry["battery_v"], "2", "unit.volt"),
        "signal": _quantity(words, entry["rssi"], "0", "unit.dbm"),
        "silent": any(alert["kind"] == "node" for alert in entry["alerts"]),
        "broken": [
            alert_sentence(words.config, alert, words.language) for alert in entry["alerts"] if alert["kind"] == "probe"
        ],
    }


def _quantity(words: Words, value: float | None, spec: str, unit: str) -> str:
    shown = formatted(words.language, value, spec)
    return shown if value is None else f"{shown} {words(unit)}"


def _measured(words: Words, measured: str | None, now: datetime) -> str:
    if measured is None:
        return words("board.never_measured")
    return words("board.measured", age_s=_age_s(_moment(measured), now))


def _moment(iso: str) -> datetime:
    return datetime.fromisoformat(iso)


def _age_s(moment: datetime, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds())
