"""Write the dashboards: `python dashboards/build.py` after a change of a dashboard or of the catalogue.

The files that are committed serve every station and name paddocks by their identifiers. With `--config` a station
writes its own, which show the names that its configuration gives: `build.py --config suat.toml --out DIR`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from suat.config import Config, ConfigError, load
from suat.locales import LANGUAGES
from suat_dashboards import pasture_now
from suat_dashboards.look import Names, names_in

HERE = Path(__file__).parent
DASHBOARDS: dict[str, Callable[[str, Names], Dashboard]] = {pasture_now.NAME: pasture_now.build}


def files(config: Config | None = None) -> Iterator[tuple[str, str]]:
    """Every dashboard in every language: (path below the output folder, content)."""
    for language in LANGUAGES:
        names = names_in(config, language) if config else {}
        for name, build in DASHBOARDS.items():
            yield f"{language}/{name}.json", as_json(build(language, names))


def as_json(dashboard: Dashboard) -> str:
    """As it is committed: one property a line, letters as they are."""
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the Grafana dashboards in all languages.")
    parser.add_argument("--config", type=Path, help="a station's configuration: its places go by their names")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder for kk/ ru/ en/ (default: beside this file)")
    arguments = parser.parse_args()
    try:
        config = load(arguments.config) if arguments.config else None
    except ConfigError as error:
        parser.exit(2, f"{error}\n")
    for path, content in files(config):
        target = arguments.out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
