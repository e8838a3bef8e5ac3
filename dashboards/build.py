"""Write the dashboards: `python dashboards/build.py` after a change of a dashboard or of the catalogue.

The files that are committed serve every station and name paddocks by their identifiers. With `--config` a station
writes its own, which show the names that its configuration gives: `build.py --config suat.toml --out DIR`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suat.config import ConfigError, load
from suat_dashboards.write import files

HERE = Path(__file__).parent


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
