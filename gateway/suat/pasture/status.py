"""The station's decisions as one object: what `suat status --json` prints and the board page shows.

Deterministic: the same configuration and snapshot give the same object, and figures are rounded to what they are worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from suat.config import Config
from suat.pasture import alerts, case, ranking, rules
from suat.pasture.drinking import water_per_head_l
from suat.pasture.model import Node, Snapshot
from suat.pasture.probes import Readings
from suat.pasture.snapshot import take
from suat.pasture.tables import HerdTable, PaddockTable, WaterPointTable
from suat.pasture.wording import alert_sentence, reason_sentence, rounded_down

Json = dict[str, Any]
LINK_COUNTERS = (
    "received",
    "accepted",
    "duplicate",
    "bad_mic",
    "unknown_device",
    "old_counter",
    "malformed",
)


def station_status(config: Config, journal: Readings, at_us: int) -> Json:
    """The status at an instant, from what the journal held of it then."""
    return describe(config, take(config, journal, at_us))


def describe(config: Config, snapshot: Snapshot) -> Json:
    """The status object of a snapshot."""
    judged = {paddock.id: _judge_for_all(config, snapshot, paddock) for paddock in config.paddock}
    return {
        "time": _iso(snapshot.at_us),
        "paddocks": [_paddock(config, _chosen(judged[paddock.id])) for paddock in config.paddock],
        "water_points": [_water_point(config, snapshot, point) for point in config.water_point],
        "herds": [_herd(snapshot, herd, judged) for herd in config.herd],
        "nodes": [_node(config, node, snapshot.at_us) for node in snapshot.nodes],
        "link": {name: int(snapshot.counters.get(name, 0)) for name in LINK_COUNTERS},
    }


Judgement = tuple[case.Case, rules.Decision, ranking.Score | None]


def _judge(config: Config, snapshot: Snapshot, paddock: PaddockTable, herds: list[HerdTable]) -> Judgement:
    facts = case.build(snapshot, config, paddock, herds)
    decision = rules.decide(facts)
    return facts, decision, ranking.rank(facts) if decision.may_graze and herds else None


def _judge_for_all(config: Config, snapshot: Snapshot, paddock: PaddockTable) -> list[Judgement]:
    """One judgement for the herds that are there, else one for each herd that might come, else one for none."""
    here = case.herds_here(snapshot, config, paddock.id)
    groups = [here] if here else [[herd] for herd in config.herd] or [[]]
    return [_judge(config, snapshot, paddock, herds) for herds in groups]


def _chosen(judgements: list[Judgement]) -> Judgement:
    """The judgement to show: the herd that the paddock suits best, the first configured where it suits none."""
    return max(judgements, key=lambda judgement: -1.0 if judgement[2] is None else judgement[2].score)


def _paddock(config: Config, judgement: Judgement) -> Json:
    facts, decision, score = judgement
    rest = facts.rest
    times = [layer.at_us for layer in facts.layers if layer.at_us is not None]
    return {
        "id": facts.paddock.id,
        "status": decision.status,
        "reasons": [_reason(config, reason) for reason in decision.reasons],
        "for_herd": facts.herds[0].id if facts.herds else None,
        "score": None if score is None else round(score.score, 1),
        "fpaw": _round(facts.fpaw, 3),
        "grazing_days": _days(facts.grazing_days, 1),
        "rest_days_left": None if rest is None else rest.days_left,
        "fpaw_top": _round(facts.fpaw_top, 3),
        "available_mm": _round(facts.available_mm, 1),
        "growth_days": None if rest is None else rest.growth_days,
        "water_days": _days(facts.water_days, 2),
        "other_water": facts.alternative,
        "herds": [herd.id for herd in facts.herds] if facts.occupied else [],
        "parts": None if score is None else {name: round(part, 2) for name, part in score.parts.items()},
        "quality": None if score is None else score.quality,
        "measured": _iso(max(times)) if times else None,
    }


def _reason(config: Config, reason: rules.Reason) -> Json:
    entry: Json = {
        "code": reason.code,
        "detail": reason.detail,
        "threshold": reason.threshold,
        "source": reason.source,
        "readings": _readings(reason.readings),
        "advisory": reason.advisory,
    }
    return {**entry, "text": reason_sentence(config, entry, "en")}


def _alert(config: Config, alert: alerts.Alert) -> Json:
    entry: Json = {
        "kind": alert.kind,
        "detail": alert.detail,
        "level": alert.level,
        "threshold": alert.threshold,
        "source": alert.source,
        "readings": _readings(alert.readings),
    }
    return {**entry, "text": alert_sentence(config, entry, "en")}


def _water_point(config: Config, snapshot: Snapshot, point: WaterPointTable) -> Json:
    drinkers = case.drinkers_at(snapshot, config, point)
    expected = drinkers or _thirstiest(config, snapshot, point)
    view = case.view_water(snapshot, config, point, expected)
    silent = [
        alert
        for node in snapshot.nodes
        if node.water_point == point.id
        for alert in alerts.node_alerts(node, snapshot.at_us)
    ]
    found = [*alerts.water_alerts(case.view_water(snapshot, config, point, drinkers), config.rules), *silent]
    level = view.water.level if view.fresh else None
    return {
        "id": point.id,
        "level_pct": None if level is None else round(100 * level, 1),
        "days_left": _days(view.days, 2),
        "alerts": [_alert(config, alert) for alert in found],
        "empty": view.empty_s is not None,
        "volume_l": _round(view.volume_l, 0) if view.fresh else None,
        "use_l_day": _round(view.water.use_l_day, 0),
        "demand_l_day": round(view.demand_l_day),
        "herds": [herd.id for herd in drinkers],
        "expected_herds": [herd.id for herd in expected],
        "measured": None if view.water.at_us is None else _iso(view.water.at_us),
    }


def _thirstiest(config: Config, snapshot: Snapshot, point: WaterPointTable) -> list[HerdTable]:
    """The herd that would need most, for a point where none drinks: how long its water would last."""
    return sorted(
        config.herd, key=lambda herd: herd.head * water_per_head_l(herd.species, snapshot.air_max_c), reverse=True
    )[:1]


def _herd(snapshot: Snapshot, herd: HerdTable, judged: Mapping[str, list[Judgement]]) -> Json:
    """Where a herd is, and the empty paddocks it may go to, best first."""
    stay = snapshot.herd_stay(herd.id)
    if stay is not None and stay.paddock not in judged:
        stay = None
    options = [
        (score.score, facts)
        for judgements in judged.values()
        for facts, _, score in judgements
        if score is not None and not facts.occupied and facts.herds == (herd,)
    ]
    best = sorted(options, key=lambda option: -option[0])  # stable: ties keep the configuration's order
    return {
        "id": herd.id,
        "paddock": None if stay is None else stay.paddock,
        "since": None if stay is None else _iso(stay.since_us),
        "next": [
            {
                "paddock": facts.paddock.id,
                "score": round(score, 1),
                "grazing_days": _days(facts.grazing_days, 1),
                "water_days": _days(facts.water_days, 2),
            }
            for score, facts in best
        ],
    }


def _node(config: Config, node: Node, at_us: int) -> Json:
    return {
        "name": node.name,
        "last_seen": None if node.last_seen_us is None else _iso(node.last_seen_us),
        "battery_v": _round(node.battery_v, 3),
        "rssi": node.rssi,
        "snr": node.snr,
        "kind": node.kind,
        "paddock": node.paddock,
        "water_point": node.water_point,
        "alerts": [_alert(config, alert) for alert in alerts.node_alerts(node, at_us)],
        "broken": [
            {"probe": broken.probe, "channel": broken.channel, "since": _iso(broken.since_us)} for broken in node.broken
        ],
    }


def _readings(readings: Mapping[str, rules.Value]) -> Json:
    """`n` is days: a reason says the same number as the paddock's own figure."""
    return {
        name: value if not isinstance(value, float) else rounded_down(value, 2) if name == "n" else round(value, 3)
        for name, value in readings.items()
    }


def _days(value: float | None, decimals: int) -> float | None:
    return None if value is None else rounded_down(value, decimals)


def _round(value: float | None, decimals: int) -> float | None:
    return None if value is None else round(value, decimals)


def _iso(time_us: int) -> str:
    moment = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
