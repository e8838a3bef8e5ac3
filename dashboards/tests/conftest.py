"""The dashboards as they are committed, by language."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

DASHBOARDS = Path(__file__).parent.parent
sys.path.insert(0, str(DASHBOARDS))


@pytest.fixture(scope="session")
def committed() -> dict[str, dict[str, Any]]:
    """{"kk/pasture-now.json": its content, ...}"""
    paths = sorted(path for language in ("kk", "ru", "en") for path in (DASHBOARDS / language).glob("*.json"))
    return {f"{path.parent.name}/{path.name}": json.loads(path.read_text("utf-8")) for path in paths}
