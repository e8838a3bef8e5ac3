"""What needs hands at a water point or a node: how low, and what to check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from suat.pasture.case import WaterView
from suat.pasture.model import Node
from suat.pasture.rules import OURS, Value
from suat.pasture.tables import RulesTable

LOW_PCT = 30.0
CRITICAL_PCT = 15.0
CRITICAL_DAYS = 2.0
MISSED_INTERVALS = 4
DEFAULT_INTERVAL_S = 900.0  # until a node has shown its own


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert; `detail` chooses its sentence."""

    kind: Literal["low", "critical", "trough_empty", "node", "probe"]
    detail: str
    level: Literal["warning", "critical"]
    threshold: float
    source: str
    readings: Mapping[str, Value]


def water_alerts(view: WaterView, rules: RulesTable) -> list[Alert]:
    """The worst level alert of a water point, seen with the herds that do drink there."""
    if not view.fresh or view.water.level is None:
        return []
    level_pct = 100.0 * view.water.level
    if view.empty_s is not None and view.empty_s >= rules.trough_empty_h * 3600:
        readings: dict[str, Value] = {"empty_s": view.empty_s, "level_pct": level_pct}
        return [Alert("trough_empty", "trough_empty", "critical", rules.trough_empty_h, OURS, readings)]
    if level_pct <= CRITICAL_PCT:
        return [Alert("critical", "critical_level", "critical", CRITICAL_PCT, OURS, {"level_pct": level_pct})]
    if view.days is not None and view.days < CRITICAL_DAYS:
        readings = {"n": view.days, "level_pct": level_pct}
        return [Alert("critical", "critical_days", "critical", CRITICAL_DAYS, OURS, readings)]
    if level_pct <= LOW_PCT:
        return [Alert("low", "low", "warning", LOW_PCT, OURS, {"level_pct": level_pct})]
    return []


def node_alerts(node: Node, at_us: int) -> list[Alert]:
    """A node that missed 4 of its intervals, or was never heard; probes whose readings are set aside."""
    return [*_silence(node, at_us), *_broken_probes(node, at_us)]


def _silence(node: Node, at_us: int) -> list[Alert]:
    if node.last_seen_us is None:
        return [Alert("node", "node_unheard", "warning", MISSED_INTERVALS, OURS, {"node": node.name})]
    age_s = (at_us - node.last_seen_us) / 1e6
    if age_s <= MISSED_INTERVALS * (node.interval_s or DEFAULT_INTERVAL_S):
        return []
    return [Alert("node", "node_silent", "warning", MISSED_INTERVALS, OURS, {"node": node.name, "age_s": age_s})]


def _broken_probes(node: Node, at_us: int) -> list[Alert]:
    """One alert, however many there are: whoever goes there looks at all of them."""
    if not node.broken:
        return []
    age_s = (at_us - min(broken.since_us for broken in node.broken)) / 1e6
    probes = sorted({broken.probe for broken in node.broken} - {"water", "node"})
    readings: dict[str, Value] = {"node": node.name, "age_s": age_s}
    if not probes:
        return [Alert("probe", "sensor_broken", "warning", 1, OURS, readings)]
    return [Alert("probe", "probe_broken", "warning", 1, OURS, readings | {"probes": ", ".join(probes)})]
