"""The rules that turn a paddock's figures into its status, as one table.

All rules are evaluated. The first that holds and isn't merely advisory is the status; all that hold are its reasons.
`no_water` stands first: it holds only on fresh evidence, and a silent soil probe must not hide an empty trough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from suat.pasture.case import Case, WaterView, wet_limit

Value = float | int | str | None


class Finding(NamedTuple):
    """That a rule holds: which variant of it, against which threshold, on what readings."""

    detail: str
    threshold: float | None
    readings: Mapping[str, Value]
    advisory: bool = False


class Rule(NamedTuple):
    """A row of the table. `may_graze`: the paddock still takes part in the ranking."""

    code: str
    check: Callable[[Case], list[Finding]]
    source: str
    may_graze: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: what `suat status` shows and the board page puts into a sentence."""

    code: str
    detail: str
    threshold: float | None
    source: str
    readings: Mapping[str, Value]
    advisory: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """A paddock's status with its reasons, the deciding one first."""

    status: str
    reasons: tuple[Reason, ...]

    @property
    def may_graze(self) -> bool:
        """Whether the paddock takes part in the ranking."""
        return self.status in MAY_GRAZE


def _long_empty(case: Case, view: WaterView) -> bool:
    return view.empty_s is not None and view.empty_s > case.rules.trough_empty_h * 3600


def _short(case: Case, view: WaterView) -> bool:
    return view.days is not None and view.days < case.rules.water_days_min


def _waterless(case: Case) -> list[WaterView]:
    """The points with a fresh reading when none of them has water, and none otherwise."""
    fresh = [view for view in case.waters if view.fresh]
    dry = [view for view in fresh if _long_empty(case, view) or _short(case, view)]
    return dry if len(dry) == len(fresh) and not case.alternative else []


def trough_empty(case: Case) -> list[Finding]:
    return [
        Finding("trough_empty", case.rules.trough_empty_h, _water_readings(view))
        for view in _waterless(case)
        if _long_empty(case, view)
    ]


def water_short(case: Case) -> list[Finding]:
    return [
        Finding("days", case.rules.water_days_min, _water_readings(view))
        for view in _waterless(case)
        if not _long_empty(case, view)
    ]


def soil_unknown(case: Case) -> list[Finding]:
    limit = case.rules.soil_stale_h
    if not case.layers:
        return [Finding("soil_none", limit, {})]
    found = []
    for layer, gap in zip(case.layers, case.gaps, strict=True):
        if gap is None or (gap == "frost" and case.paddock.kind == "winter"):
            continue
        times = [moment for moment in (layer.at_us, layer.doubt_us) if moment is not None]
        age = (case.at_us - max(times)) / 1e6 if times else None
        found.append(Finding(f"soil_{gap}", limit, {"depth_cm": layer.depth_cm, "age_s": age}))
    return found


def water_unknown(case: Case) -> list[Finding]:
    limit = case.rules.water_stale_h
    if case.alternative or any(view.fresh for view in case.waters):
        return []
    if not case.waters:
        return [Finding("water_none", limit, {})]
    return [
        Finding(f"water_{view.gap}", limit, {"water_point": view.point.id, "age_s": view.age_s}) for view in case.waters
    ]


def too_wet(case: Case) -> list[Finding]:
    if case.paddock.soil == "sand" or case.wetness not in ("wet", "drying"):
        return []
    limit = wet_limit(case.herds, case.rules)
    readings = {"fpaw": case.fpaw_top, "clear": limit - case.rules.too_wet_clear}
    return [Finding(case.wetness, limit, readings)]


def resting(case: Case) -> list[Finding]:
    if case.occupied:
        return []
    if case.rest is None:
        return [Finding("unknown", None, {}, advisory=True)] if case.herds and not case.grazed_on_record else []
    if case.rest.complete:
        return []
    readings = {
        "days": case.rest.days,
        "growth_days": case.rest.growth_days,
        "known_days": case.rest.known_days,
        "days_left": case.rest.days_left,
    }
    if case.rest.growth_days < case.rules.rest_growth_days:
        return [Finding("growth", case.rules.rest_growth_days, readings)]
    return [Finding("minimum", case.rules.rest_min_days, readings)]


def too_dry(case: Case) -> list[Finding]:
    if not case.is_dry:
        return []
    fresh_grass = case.forage_age_days is not None and case.forage_age_days <= case.rules.forage_fresh_days
    advisory = fresh_grass and (case.grass_left_kg or 0.0) > 0
    readings = {"fpaw": case.fpaw, "forage_age_days": case.forage_age_days}
    return [Finding("advisory" if advisory else "stop", case.rules.too_dry_fpaw, readings, advisory)]


def grass_short(case: Case) -> list[Finding]:
    limit = case.rules.move_soon_days
    if not case.occupied or case.grazing_days is None or case.grazing_days >= limit:
        return []
    return [Finding("grass", limit, {"n": case.grazing_days})]


def water_soon_short(case: Case) -> list[Finding]:
    limit = case.rules.move_soon_days
    if not case.occupied or case.alternative or _waterless(case):
        return []
    fresh = [view for view in case.waters if view.fresh and view.days is not None]
    best = max(fresh, key=lambda view: view.days or 0.0, default=None)
    if best is None or best.days is None or best.days >= limit:
        return []
    return [Finding("water", limit, _water_readings(best))]


def graze(case: Case) -> list[Finding]:
    readings = {"fpaw": case.fpaw, "n": case.grazing_days, "age_days": case.forage_age_days}
    if case.grazing_days is None or case.forage_age_days is None:
        return [Finding("check_grass", None, readings)]
    if case.grazing_days < case.rules.move_soon_days:
        return [Finding("little_grass", case.rules.move_soon_days, readings)]
    if case.forage_age_days > case.rules.forage_fresh_days:
        return [Finding("old_grass", case.rules.forage_fresh_days, readings)]
    return [Finding("dry_soil" if case.is_dry else "ok", None, readings)]


def _water_readings(view: WaterView) -> dict[str, Value]:
    return {
        "water_point": view.point.id,
        "level_pct": None if view.water.level is None else 100 * view.water.level,
        "n": view.days,
        "empty_s": view.empty_s,
    }


OURS = "this project's choice, to be confirmed in the field"
RULES = (
    Rule("no_water", trough_empty, OURS),
    Rule("no_water", water_short, OURS),
    Rule("no_data", soil_unknown, OURS),
    Rule("no_data", water_unknown, OURS),
    Rule("too_wet", too_wet, f"Laurenson & Houlbrooke 2016; limits by species and clearing: {OURS}"),
    Rule("rest", resting, f"growth days: AquaCrop alfalfa; lengths: {OURS}"),
    Rule("too_dry", too_dry, f"FAO-56; limit: {OURS}"),
    Rule("move_soon", grass_short, OURS, may_graze=True),
    Rule("move_soon", water_soon_short, OURS, may_graze=True),
    Rule("graze", graze, OURS, may_graze=True),
)
MAY_GRAZE = frozenset(rule.code for rule in RULES if rule.may_graze)


def decide(case: Case) -> Decision:
    """The status of a case, with its reasons."""
    stopping: list[Reason] = []
    advice: list[Reason] = []
    for rule in RULES:
        if rule.code == "graze" and stopping:
            break
        for finding in rule.check(case):
            reason = Reason(
                rule.code, finding.detail, finding.threshold, rule.source, finding.readings, finding.advisory
            )
            (advice if finding.advisory else stopping).append(reason)
    return Decision(stopping[0].code, (*stopping, *advice))
