"""Tables of the configuration that say where readings are kept: [influx]."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from suat.tables import Table


class JournalTable(Table):
    """How much the journal may keep, and how often it is written."""

    keep_days: Annotated[int, Field(ge=30, le=36500)] = 1100  # days on which the station ran
    max_mb: Annotated[int, Field(ge=1)] = 4000
    free_mb: Annotated[int, Field(ge=0)] = 200


class BucketsTable(Table):
    """Where each resolution goes: buckets of InfluxDB 2, retention policies of InfluxDB 1."""

    raw: str = "pasture"
    m15: str = "pasture_15m"
    h1: str = "pasture_1h"
    d1: str = "pasture_1d"


class InfluxTable(Table):
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
    api: Literal["v1", "v2"] = "v2"
    org: str | None = None
    token_file: Path | None = None
    database: str | None = None
    username: str | None = None
    password_file: Path | None = None
    buckets: BucketsTable = BucketsTable()

    @model_validator(mode="after")
    def _is_complete(self) -> InfluxTable:
        needed = {"v2": ("org", "token_file"), "v1": ("database",)}[self.api]
        for key in needed:
            if getattr(self, key) is None:
                raise ValueError(f'api = "{self.api}" needs {key}')
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together")
        return self
