"""The queries: InfluxQL, the one language that InfluxDB 1, 2 and 3 have in common. Names as in `suat/store/points.py`.

Every query judges by an `ok` field. What shows how a thing stands now must also say that it is unknown, so it does not
leave such points out: it asks `"ok" >= 0`, and turns a figure whose newest point is not ok into `UNKNOWN`.
"""

from __future__ import annotations

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef

DATA_SOURCE = DataSourceRef(type_val="influxdb", uid="suat-influxdb")
UNKNOWN = -1  # figures that may be below zero (fPAW) are not asked for in this way

PADDOCK = "paddock"  # the dashboard's variable: one paddock, some, or all
_CHOSEN = f'"paddock" =~ /^${PADDOCK}$/'


class InfluxQuery(Dataquery):
    """One InfluxQL query of a panel, as Grafana's InfluxDB data source keeps it."""

    def __init__(self, text: str, ref_id: str = "A", result_format: str = "time_series", alias: str = "") -> None:
        self.text = text
        self.ref_id = ref_id
        self.result_format = result_format
        self.alias = alias

    def to_json(self) -> dict[str, object]:
        return {
            "refId": self.ref_id,
            "datasource": DATA_SOURCE,
            "rawQuery": True,
            "query": self.text,
            "resultFormat": self.result_format,
            **({"alias": self.alias} if self.alias else {}),
        }


class _Ready(Builder[Dataquery]):
    """A query where the SDK wants something that builds one."""

    def __init__(self, query: InfluxQuery) -> None:
        self._query = query

    def build(self) -> Dataquery:
        return self._query


def series(text: str, alias: str) -> Builder[Dataquery]:
    """A query whose every series is named by `alias` ($tag_NAME is that tag's value)."""
    return _Ready(InfluxQuery(text, alias=alias))


def table(text: str) -> Builder[Dataquery]:
    """A query whose columns are a table's."""
    return _Ready(InfluxQuery(text, result_format="table"))


def word_now(measurement: str, field: str, tag: str) -> str:
    """The newest word of each subject, `no_data` among them."""
    return f'SELECT last("{field}") FROM "{measurement}" WHERE "ok" >= 0 AND $timeFilter GROUP BY "{tag}"'


def figure_now(measurement: str, figure: str, tag: str) -> str:
    """The newest figure of each subject; UNKNOWN (-1) where the newest point has none, null where no point has."""
    known = f'(last("{figure}") + 1) * last("{figure}_ok") - 1'
    return f'SELECT {known} FROM "{measurement}" WHERE "ok" >= 0 AND $timeFilter GROUP BY "{tag}"'


def words_over_time(measurement: str, field: str, tag: str) -> str:
    """The word of each subject in each step of time."""
    return (
        f'SELECT last("{field}") FROM "{measurement}" WHERE "ok" >= 0 AND {_CHOSEN} AND $timeFilter'
        f' GROUP BY time($__interval), "{tag}" fill(none)'
    )


def mean_over_time(measurement: str, quantity: str, *tags: str) -> str:
    """The mean of the usable values in each step of time, one series a combination of tags."""
    by = ", ".join(f'"{tag}"' for tag in tags)
    return (
        f'SELECT mean("{quantity}") FROM "{measurement}" WHERE "{quantity}_ok" = 1 AND {_CHOSEN} AND $timeFilter'
        f" GROUP BY time($__interval), {by} fill(none)"
    )


# The outer queries make one table out of what the inner ones give as a series a tag.
OPEN_ALERTS = (
    'SELECT "subject", "kind", "level" FROM (SELECT last("active") AS "active", "level" FROM "alert"'
    ' WHERE "ok" = 1 AND $timeFilter GROUP BY "subject", "kind") WHERE "active" = 1'
)
NODES_LAST = (
    'SELECT "node", "battery", "rssi" FROM (SELECT last("battery") AS "battery", "rssi" FROM "node"'
    ' WHERE "battery_ok" = 1 AND $timeFilter GROUP BY "node")'
)
PADDOCKS = 'SHOW TAG VALUES FROM "paddock" WITH KEY = "paddock"'
