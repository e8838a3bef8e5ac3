"""Pasture now, the home of a tablet in kiosk mode: each paddock's card, water, alerts, and what the soil did lately.

The cards and figures of the upper half speak of the last hours whatever time is chosen, for a station that has fallen
silent must not go on saying "graze"; with a fixed time in the past they show how things stood at its end.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from suat.locales import LANGUAGES

from suat_dashboards import look, query
from suat_dashboards.look import Names, Words, properties

NAME = "pasture-now"
STALE = "3h"  # a decision is published at least hourly
LOOK_BACK = "365d"  # an alert stands where it began
HOLE_MS = 12 * 3600 * 1000  # a line ends where nothing came for so long
SERIES = "/^(?!Time$).*/"  # every column but the time: words are no numbers, which is what Grafana would take
BELOW = (
    common.VizLegendOptions()
    .show_legend(True)
    .display_mode(kinds.LegendDisplayMode.LIST)
    .placement(kinds.LegendPlacement.BOTTOM)
)


def uid(language: str) -> str:
    """Where the dashboard is found: links and the tablets' home page hold it."""
    return f"suat-{NAME}-{language}"


def build(language: str, names: Names) -> model.Dashboard:
    """The dashboard in one language; `names`: of paddocks and water points, which else go by their identifiers."""
    word = look.words_in(language)
    panels = (
        _paddock_cards(word, names).id(1).grid_pos(_at(0, 0, 14, 9)),
        _water_level(word, names).id(2).grid_pos(_at(14, 0, 5, 9)),
        _water_days(word, names).id(3).grid_pos(_at(19, 0, 5, 9)),
        _open_alerts(word, names).id(4).grid_pos(_at(0, 9, 14, 8)),
        _nodes(word).id(5).grid_pos(_at(14, 9, 10, 8)),
        _available_water(word, names).id(6).grid_pos(_at(0, 17, 10, 11)),
        _soil_moisture(word, names).id(7).grid_pos(_at(10, 17, 14, 11)),
        _paddock_history(word, names).id(8).grid_pos(_at(0, 28, 24, 8)),
    )
    board = (
        dashboard.Dashboard(word("dashboard.overview_title"))
        .uid(uid(language))
        .description(word("dashboard.overview_description"))
        .tags(["suat", language])
        .readonly()
        .timezone("browser")
        .week_start("monday")
        .time("now-7d", "now")
        .refresh("5m")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(_paddock_variable(word))
    )
    for other in LANGUAGES:
        if other != language:
            board.link(_link(word(f"language.{other}"), other))
    for panel in panels:
        board.with_panel(panel.datasource(query.DATA_SOURCE))
    return board.build()


class _Overridable(Protocol):
    def override_by_regexp(self, regexp: str, properties: list[model.DynamicConfigValue]) -> Any: ...


P = TypeVar("P", bound=_Overridable)


def _named(panel: P, names: Names, label: str = "{name}") -> P:
    """The panel with its series called by the names of their places."""
    for regexp, found in look.name_overrides(names, label):
        panel.override_by_regexp(regexp, found)
    return panel


def _at(x: int, y: int, w: int, h: int) -> model.GridPos:
    return model.GridPos(x=x, y=y, w=w, h=h)


def _link(title: str, language: str) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink(title)
        .type(model.DashboardLinkType.LINK)
        .url(f"/d/{uid(language)}")
        .icon("doc")
        .keep_time(True)
        .include_vars(True)
    )


def _paddock_variable(word: Words) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(query.PADDOCK)
        .label(word("label.paddock"))
        .datasource(query.DATA_SOURCE)
        .query(query.PADDOCKS)
        .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _newest(fields: str = SERIES) -> common.ReduceDataOptions:
    return common.ReduceDataOptions().values(False).calcs(["last"]).fields(fields)


def _paddock_cards(word: Words, names: Names) -> stat.Panel:
    panel = (
        stat.Panel()
        .title(word("dashboard.paddock_status"))
        .description(word("dashboard.paddock_status_help"))
        .with_target(query.series(query.word_now("paddock", "status", "paddock"), "$tag_paddock"))
        .time_from(STALE)
        .hide_time_override(True)
        .no_value(word("status.no_data"))
        .mappings([look.status_words(word)])
        .thresholds(look.steps("unknown"))
        .color_mode(kinds.BigValueColorMode.BACKGROUND_SOLID)
        .text_mode(kinds.BigValueTextMode.VALUE_AND_NAME)
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .justify_mode(kinds.BigValueJustifyMode.CENTER)
        .wide_layout(False)
        .reduce_options(_newest())
    )
    return _named(panel, names)


def _water_level(word: Words, names: Names) -> bargauge.Panel:
    panel = (
        bargauge.Panel()
        .title(word("dashboard.water_level"))
        .description(word("dashboard.water_level_help"))
        .with_target(query.series(query.figure_now("water_point", "level_pct", "water_point"), "$tag_water_point"))
        .time_from(STALE)
        .hide_time_override(True)
        .no_value(word("status.no_data"))
        .unit("percent")
        .decimals(0)
        .min(0)
        .max(100)
        .mappings([look.unknown_figure(word)])
        .thresholds(look.level_steps())
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .display_mode(kinds.BarGaugeDisplayMode.LCD)
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .name_placement(kinds.BarGaugeNamePlacement.TOP)
        .value_mode(kinds.BarGaugeValueMode.TEXT)
        .text(common.VizTextDisplayOptions().title_size(16).value_size(22))
        .reduce_options(_newest())
    )
    return _named(panel, names)


def _water_days(word: Words, names: Names) -> stat.Panel:
    panel = (
        stat.Panel()
        .title(word("dashboard.water_days"))
        .description(word("dashboard.water_days_help"))
        .with_target(query.series(query.figure_now("water_point", "days_left", "water_point"), "$tag_water_point"))
        .time_from(STALE)
        .hide_time_override(True)
        .no_value(word("status.no_data"))
        .unit(f"suffix: {word('unit.day')}")
        .decimals(1)
        .mappings([look.unknown_figure(word), look.many_days()])
        .thresholds(look.days_steps())
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .color_mode(kinds.BigValueColorMode.BACKGROUND_SOLID)
        .text_mode(kinds.BigValueTextMode.VALUE_AND_NAME)
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .justify_mode(kinds.BigValueJustifyMode.CENTER)
        .wide_layout(False)
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .reduce_options(_newest())
    )
    return _named(panel, names)


def _open_alerts(word: Words, names: Names) -> tables.Panel:
    kinds_words = {kind: (word(key), None) for kind, key in look.ALERT_WORDS.items()}
    levels = {level: (word(key), look.COLOURS[tone]) for level, (key, tone) in look.LEVEL_WORDS.items()}
    return (
        tables.Panel()
        .title(word("dashboard.open_alerts"))
        .description(word("dashboard.open_alerts_help"))
        .with_target(query.table(query.OPEN_ALERTS))
        .time_from(LOOK_BACK)
        .hide_time_override(True)
        .no_value(word("dashboard.no_alerts"))
        .with_transformation(_columns("level", "subject", "kind", "Time"))
        .thresholds(look.steps("unknown"))
        .override_by_name(
            "level",
            properties(
                displayName=word("dashboard.alert_level"),
                mappings=[look.value_words(levels)],
                custom__cellOptions={"type": "color-background", "mode": "basic"},
                custom__width=130,
            ),
        )
        .override_by_name(
            "subject", properties(displayName=word("dashboard.alert_where"), mappings=look.mapped_names(names))
        )
        .override_by_name(
            "kind", properties(displayName=word("dashboard.alert_what"), mappings=[look.value_words(kinds_words)])
        )
        .override_by_name("Time", _time_column(word("dashboard.alert_since")))
        .sort_by([common.TableSortByFieldState().display_name(word("dashboard.alert_since")).desc(True)])
    )


def _nodes(word: Words) -> tables.Panel:
    seen = word("label.last_seen")
    return (
        tables.Panel()
        .title(word("board.nodes"))
        .description(word("dashboard.nodes_help"))
        .with_target(query.table(query.NODES_LAST))
        .time_from(LOOK_BACK)
        .hide_time_override(True)
        .no_value(word("status.no_data"))
        .min_width(70)
        .with_transformation(_columns("node", "battery", "rssi", "Time"))
        .override_by_name("node", properties(displayName=word("label.node")))
        .override_by_name(
            "battery",
            properties(displayName=word("label.battery"), unit=f"suffix: {word('unit.volt')}", decimals=2),
        )
        .override_by_name(
            "rssi", properties(displayName=word("board.signal"), unit=f"suffix: {word('unit.dbm')}", decimals=0)
        )
        .override_by_name("Time", _time_column(seen))
        .sort_by([common.TableSortByFieldState().display_name(seen).desc(False)])
    )


def _columns(*order: str) -> model.DataTransformerConfig:
    return model.DataTransformerConfig(
        id_val="organize", options={"indexByName": {name: place for place, name in enumerate(order)}}
    )


def _time_column(title: str) -> list[model.DynamicConfigValue]:
    return properties(displayName=title, unit="time:YYYY-MM-DD HH:mm", custom__width=150)


def _available_water(word: Words, names: Names) -> timeseries.Panel:
    panel = (
        _lines(query.mean_over_time("paddock", "fpaw", "paddock"), "$tag_paddock")
        .title(word("dashboard.available_water"))
        .description(
            word(
                "dashboard.available_water_help",
                dry=look.DEFAULTS.too_dry_fpaw,
                slow=look.GROWTH_SLOWS,
                wet=look.DEFAULTS.too_wet_cattle,
            )
        )
        .interval("1h")
        .unit("percentunit")
        .axis_soft_min(0)
        .axis_soft_max(1)
        .thresholds(look.fpaw_steps())
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED))
    )
    return _named(panel.no_value(word("status.no_data")), names)


def _soil_moisture(word: Words, names: Names) -> timeseries.Panel:
    depth = word("unit.centimetre")
    panel = (
        _lines(query.mean_over_time("soil", "moisture", "paddock", "depth_cm"), f"$tag_paddock, $tag_depth_cm {depth}")
        .title(word("dashboard.soil_moisture"))
        .description(word("dashboard.soil_moisture_help"))
        .interval("15m")
        .unit("none")
        .decimals(2)
        .axis_label(word("unit.m3_m3"))
        .axis_soft_min(0)
    )
    return _named(panel.no_value(word("status.no_data")), names, f"{{name}}, ${{__field.labels.depth_cm}} {depth}")


def _lines(text: str, alias: str) -> timeseries.Panel:
    """A chart of lines that break where readings are missing."""
    return (
        timeseries.Panel()
        .with_target(query.series(text, alias))
        .draw_style(kinds.GraphDrawStyle.LINE)
        .line_width(2)
        .fill_opacity(0)
        .show_points(kinds.VisibilityMode.AUTO)
        .insert_nulls(HOLE_MS)
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
        .legend(BELOW)
    )


def _paddock_history(word: Words, names: Names) -> statetimeline.Panel:
    panel = (
        statetimeline.Panel()
        .title(word("dashboard.paddock_history"))
        .description(word("dashboard.paddock_history_help"))
        .with_target(query.series(query.words_over_time("paddock", "status", "paddock"), "$tag_paddock"))
        .interval("15m")
        .no_value(word("status.no_data"))
        .mappings([look.status_words(word)])
        .thresholds(look.steps("unknown"))
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .merge_values(True)
        .show_value(kinds.VisibilityMode.AUTO)
        .row_height(0.9)
        .fill_opacity(100)
        .line_width(0)
        .insert_nulls(HOLE_MS)
        .legend(BELOW)
    )
    return _named(panel, names)
