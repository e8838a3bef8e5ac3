"""Tables of the configuration that say where readings are kept: [influx], [[sink]]."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from suat.tables import Identifier, Table

OWN = "influx"  # the sink that [influx] is
_TAKEN = (OWN, "windows")  # the journal keeps other places under these names


class JournalTable(Table):
    """How much the journal may keep, and how often it is written."""

    keep_days: Annotated[int, Field(ge=30, le=36500)] = 1100  # days on which the station ran
    max_mb: Annotated[int, Field(ge=1)] = 4000
    free_mb: Annotated[int, Field(ge=0)] = 200
    commit_s: Annotated[float, Field(gt=0, le=10)] | None = None  # None: the pace of the pipeline, 0.08 s


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
    gzip: bool | None = None  # None: unless the database is on this machine
    ca_file: Path | None = None  # of a database whose certificate no public authority signed

    @model_validator(mode="after")
    def _is_complete(self) -> InfluxTable:
        needed = {"v2": ("org", "token_file"), "v1": ("database",)}[self.api]
        for key in needed:
            if getattr(self, key) is None:
                raise ValueError(f'api = "{self.api}" needs {key}')
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together")
        return self


class SinkTable(InfluxTable):
    """One more database that is told everything, such as the district's."""

    name: Identifier

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name in _TAKEN:
            raise ValueError(f'"{name}" is the name of a sink of the station itself; choose another')
        return name
