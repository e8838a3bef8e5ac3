"""What Grafana does with the queries of a dashboard, for tests and previews without a Grafana.

After its InfluxDB data source (13.1, `pkg/tsdb/influxdb/influxql`): variables are put in first, then `$timeFilter`,
then the interval; answers become frames, one a series and column, or one table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Json = dict[str, Any]
_SPECIAL = re.compile(r"[\\^$*+?.()|\[\]{}/]")
_ALIAS = re.compile(r"\$(\w+)|\[\[([\s\S]+?)\]\]", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}


class Range(NamedTuple):
    """The time that is shown, milliseconds since 1970; both ends count."""

    start_ms: int
    end_ms: int


class Frame(NamedTuple):
    """A series as the panels get it."""

    name: str
    labels: dict[str, str]
    times_ms: list[int]
    values: list[Any]


def duration_ms(text: str) -> int:
    """ "15m", "3h", "365d" ..."""
    return int(text[:-1]) * _SECONDS[text[-1]] * 1000


def panel_range(panel: Json, shown: Range) -> Range:
    """What a panel asks for while the dashboard's time ends now: its own look back, if it has one."""
    return Range(shown.end_ms - duration_ms(panel["timeFrom"]), shown.end_ms) if "timeFrom" in panel else shown


def replaced(query: str, shown: Range, interval: str, variables: Mapping[str, Sequence[str]]) -> str:
    """The query as it is sent. A variable of several values becomes a group of a regular expression."""
    for name, values in variables.items():
        group = "(" + "|".join(_SPECIAL.sub(r"\\\g<0>", value) for value in values) + ")"
        query = re.sub(rf"\$(?:{name}\b|{{{name}(?::regex)?}})", lambda _: group, query)  # noqa: B023  used at once
    query = query.replace("$__from", str(shown.start_ms)).replace("$__to", str(shown.end_ms))
    query = query.replace("$timeFilter", f"time >= {shown.start_ms}ms and time <= {shown.end_ms}ms")
    query = query.replace("$interval", interval)
    return query.replace("$__interval_ms", str(duration_ms(interval))).replace("$__interval", interval)


def frames(answer: Sequence[Json], alias: str) -> Iterator[Frame]:
    """The time series of an answer (series with name, tags, columns, values; times in milliseconds)."""
    for series in answer:
        tags = series.get("tags", {})
        for index, column in enumerate(series["columns"]):
            if column != "time":
                name = _named(alias, series["name"], column, tags)
                rows = series["values"]
                yield Frame(name, tags, [row[0] for row in rows], [row[index] for row in rows])


def _named(alias: str, measurement: str, column: str, tags: Mapping[str, str]) -> str:
    def part(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        known = {"m": measurement, "measurement": measurement, "col": column}
        return known.get(name) or tags.get(name.removeprefix("tag_"), match[0])

    return _ALIAS.sub(part, alias)


def rows(answer: Sequence[Json]) -> list[Json]:
    """The rows of a table, the time under `Time`. Tags come in no certain order, so that none should be asked for."""
    found = []
    for series in answer:
        columns = ["Time" if column == "time" else column for column in series["columns"]]
        found += [series.get("tags", {}) | dict(zip(columns, values, strict=True)) for values in series["values"]]
    return found
