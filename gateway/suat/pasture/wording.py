"""Reasons and alerts as one sentence each, in the reader's language, and how figures are said."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Any

from suat.config import Config
from suat.locales import text


def rounded_down(days: float, decimals: int = 1) -> float:
    """Days as they are said everywhere, with one decimal: a figure is never said better than it is."""
    scale = 10.0**decimals
    return floor(days * scale + 1e-6) / scale  # 1e-6: what is 3.0 but for the arithmetic


def paddock_name(config: Config, paddock: str, language: str) -> str:
    """The paddock's name; its id when it is no longer configured."""
    return next((entry.name.in_language(language) for entry in config.paddock if entry.id == paddock), paddock)


def water_point_name(config: Config, water_point: str, language: str) -> str:
    """The water point's name, its id where it has none."""
    entry = next((entry for entry in config.water_point if entry.id == water_point), None)
    return entry.name.in_language(language) if entry is not None and entry.name is not None else water_point


def herd_name(config: Config, herd: str, language: str) -> str:
    """The herd's name; without one the species, and the id where two herds would be called the same."""
    entry = next((entry for entry in config.herd if entry.id == herd), None)
    if entry is None:
        return herd
    if entry.name is not None:
        return entry.name.in_language(language)
    species = text(language, f"species.{entry.species}")
    alike = [other for other in config.herd if other.name is None and other.species == entry.species]
    return species if len(alike) == 1 else f"{species} ({herd})"


def reason_sentence(config: Config, reason: Mapping[str, Any], language: str) -> str:
    """The sentence of a reason as `suat status --json` gives it."""
    return _sentence(config, f"reason.{reason['code']}.{reason['detail']}", reason, language)


def alert_sentence(config: Config, alert: Mapping[str, Any], language: str) -> str:
    """The sentence of an alert as `suat status --json` gives it."""
    return _sentence(config, f"alert.{alert['detail']}", alert, language)


def _sentence(config: Config, key: str, item: Mapping[str, Any], language: str) -> str:
    values = dict(item["readings"])
    if "water_point" in values:
        values["water_point"] = water_point_name(config, values["water_point"], language)
    if values.get("n") is not None:
        values["n"] = rounded_down(values["n"])
    if values.get("days") is not None:
        values["days"] = floor(values["days"])
    if values.get("fpaw") is not None:
        values["fpaw"] = max(0.0, values["fpaw"])  # there is no less water than none
    return text(language, key, zone=config.station.zone, **{**values, "threshold": item["threshold"]})
