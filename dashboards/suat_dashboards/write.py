"""All dashboards as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from suat.config import Config
from suat.locales import LANGUAGES

from suat_dashboards import pasture_now
from suat_dashboards.look import Names, names_in

DASHBOARDS: dict[str, Callable[[str, Names], Dashboard]] = {pasture_now.NAME: pasture_now.build}


def files(config: Config | None = None) -> Iterator[tuple[str, str]]:
    """Every dashboard in every language: (path below the output folder, content)."""
    for language in LANGUAGES:
        names = names_in(config, language) if config else {}
        for name, build in DASHBOARDS.items():
            yield f"{language}/{name}.json", as_json(build(language, names))


def as_json(dashboard: Dashboard) -> str:
    """As it is committed: one property a line, letters as they are."""
    content = json.loads(json.dumps(dashboard, cls=JSONEncoder))
    for variable in content["templating"]["list"]:
        _forget(variable, "auto", "auto_min", "auto_count")
    for panel in content["panels"]:
        _forget(panel["options"], "footer")
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _forget(content: dict[str, object], *keys: str) -> None:
    """Leave out what the SDK writes into everything and Grafana 13 knows elsewhere or not at all."""
    for key in keys:
        content.pop(key, None)
