"""What one paddock offers to the herds it is judged for: the figures on which the rules decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Literal

from suat.config import Config
from suat.pasture import grass
from suat.pasture.drinking import water_days, water_per_head_l
from suat.pasture.model import DAY_US, HOUR_US, Layer, Snapshot, Soil, Stay, Water
from suat.pasture.rest import Rest, rest_since
from suat.pasture.soil_water import (
    TEXTURES,
    TOPSOIL_CM,
    depth_weights,
    profile_fraction_available,
    root_depth_m,
    total_available_mm,
)
from suat.pasture.tables import HerdTable, PaddockTable, RulesTable, WaterPointTable

Gap = Literal["missing", "stale", "uncalibrated", "fault", "frost"]

LIGHT_FEET = frozenset({"sheep", "goat"})
SNOW_MONTHS = frozenset({11, 12, 1, 2, 3})  # "snow" stands for water only while there can be any
CLEAR_HOLD_US = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class WaterView:
    """A water point as the herds of a case find it."""

    point: WaterPointTable
    water: Water
    gap: Gap | None  # why its newest reading can't be used
    age_s: float | None  # of the newest usable reading
    volume_l: float | None
    days: float | None  # None: unknown, or nobody drinks
    empty_s: float | None  # for how long it has been empty
    demand_l_day: float

    @property
    def fresh(self) -> bool:
        return self.gap is None


@dataclass(frozen=True, slots=True)
class Case:
    """One paddock, judged for `herds` at one instant. None: unknown."""

    at_us: int
    paddock: PaddockTable
    herds: tuple[HerdTable, ...]
    occupied: bool
    rules: RulesTable
    layers: tuple[Layer, ...]
    gaps: tuple[Gap | None, ...]  # of the layers
    fpaw: float | None  # over the root zone
    available_mm: float | None  # what plants can still take from the root zone
    fpaw_top: float | None  # 0-30 cm
    wetness: Literal["dry", "wet", "drying"] | None
    waters: tuple[WaterView, ...]
    alternative: Literal["river", "snow"] | None  # other water in reach
    rest: Rest | None  # None: occupied, or no grazing on record
    grazed_on_record: bool
    forage_age_days: int | None
    is_dry: bool
    grass_left_kg: float | None
    grazing_days: float | None

    @property
    def water_days(self) -> float | None:
        """Days of water at the best point that has a fresh reading; None too where other water makes up for it."""
        if self.alternative is not None:
            return None
        return max((view.days for view in self.waters if view.fresh and view.days is not None), default=None)

    @property
    def distance_km(self) -> float | None:
        """Distance to the nearest of the paddock's water points."""
        return min((view.point.distance_to(self.paddock.id) for view in self.waters), default=None)


def build(snapshot: Snapshot, config: Config, paddock: PaddockTable, herds: Sequence[HerdTable]) -> Case:
    """The case of `paddock` for `herds`: those that are in it, or one that might come."""
    rules = config.rules
    soil = snapshot.soils.get(paddock.id, Soil())
    gaps = tuple(layer_gap(layer, snapshot.at_us, rules.soil_stale_h) for layer in soil.layers)
    root_m = root_depth_m(paddock.kind)
    fpaw = _profile(soil.layers, gaps, paddock, root_m * 100)
    fpaw_top = _profile(soil.layers, gaps, paddock, TOPSOIL_CM)
    points = [point for point in config.water_point if paddock.id in point.paddocks]
    waters = tuple(
        view_water(snapshot, config, point, (*drinkers_at(snapshot, config, point), *herds)) for point in points
    )
    here = herds_here(snapshot, config, paddock.id)
    grazed = [stay for stay in snapshot.stays if stay.paddock == paddock.id]
    is_dry = fpaw is not None and fpaw < rules.too_dry_fpaw
    forage_age = _forage_age_days(snapshot.at_us, config, paddock)
    left_kg = None if forage_age is None else _grass_left_kg(snapshot, config, paddock, herds, grazed, is_dry)
    intake = sum(grass.intake_kg_day(herd.head, herd.live_weight_kg, rules.intake_fraction) for herd in herds)
    return Case(
        at_us=snapshot.at_us,
        paddock=paddock,
        herds=tuple(herds),
        occupied=bool(here),
        rules=rules,
        layers=soil.layers,
        gaps=gaps,
        fpaw=fpaw,
        available_mm=None if fpaw is None else fpaw * total_available_mm(TEXTURES[paddock.soil], root_m),
        fpaw_top=fpaw_top,
        wetness=wetness(soil.topsoil, fpaw_top, snapshot.at_us, wet_limit(herds, rules), rules.too_wet_clear),
        waters=waters,
        alternative=_alternative(snapshot, config, paddock, points),
        rest=_rest(snapshot.at_us, soil, grazed, rules),
        grazed_on_record=bool(grazed),
        forage_age_days=forage_age,
        is_dry=is_dry,
        grass_left_kg=left_kg,
        grazing_days=None if left_kg is None else grass.grazing_days(left_kg, intake),
    )


def layer_gap(layer: Layer, at_us: int, stale_h: float) -> Gap | None:
    """Why a layer can't be judged; None when its newest usable reading is fresh."""
    if layer.at_us is not None and at_us - layer.at_us <= stale_h * HOUR_US:
        return None
    if layer.doubt is not None and layer.doubt_us is not None and at_us - layer.doubt_us <= stale_h * HOUR_US:
        return layer.doubt
    return "missing" if layer.at_us is None and layer.doubt_us is None else "stale"


def _profile(
    layers: tuple[Layer, ...], gaps: tuple[Gap | None, ...], paddock: PaddockTable, bottom_cm: float
) -> float | None:
    """fPAW down to `bottom_cm`; None while a layer that counts there is unknown."""
    if not layers:
        return None
    weights = depth_weights([layer.depth_cm for layer in layers], bottom_cm)
    if any(gap is not None and weight > 0 for gap, weight in zip(gaps, weights, strict=True)):
        return None
    known = [(layer.depth_cm, layer.theta) for layer, gap in zip(layers, gaps, strict=True) if gap is None]
    return profile_fraction_available(
        [(depth, theta) for depth, theta in known if theta is not None], TEXTURES[paddock.soil], bottom_cm
    )


def wet_limit(herds: Iterable[HerdTable], rules: RulesTable) -> float:
    """fPAW (0-30 cm) from which hooves do damage: the heaviest feet decide, and unknown feet count as heavy."""
    species = {herd.species for herd in herds}
    return rules.too_wet_sheep if species and species <= LIGHT_FEET else rules.too_wet_cattle


def wetness(
    history: Sequence[tuple[int, float]], newest: float | None, at_us: int, limit: float, clear_by: float
) -> Literal["dry", "wet", "drying"] | None:
    """Whether the topsoil is too wet: from `limit` on, until it was `clear_by` lower for 24 h; None when unknown."""
    if newest is None:
        return None
    wet, low_since = False, None
    for time_us, fraction in (*history, (at_us, newest)):
        if fraction >= limit:
            wet, low_since = True, None
        elif fraction <= limit - clear_by + 1e-9:
            low_since = time_us if low_since is None else low_since
            wet = wet and time_us - low_since < CLEAR_HOLD_US
        else:
            low_since = None
    if not wet:
        return "dry"
    return "wet" if newest >= limit else "drying"


def herds_here(snapshot: Snapshot, config: Config, paddock: str) -> list[HerdTable]:
    """The herds that are in a paddock now; one that is no longer configured is gone."""
    here = snapshot.herds_in(paddock)
    return [herd for herd in config.herd if herd.id in here]


def drinkers_at(snapshot: Snapshot, config: Config, point: WaterPointTable) -> list[HerdTable]:
    """The herds that are now in the paddocks of a water point."""
    return [herd for paddock in point.paddocks for herd in herds_here(snapshot, config, paddock)]


def view_water(snapshot: Snapshot, config: Config, point: WaterPointTable, herds: Sequence[HerdTable]) -> WaterView:
    """A water point when `herds` drink there (a herd named twice drinks once)."""
    water = snapshot.waters.get(point.id, Water())
    gap = layer_gap(
        Layer(0.0, water.level, water.at_us, water.doubt, snapshot.at_us if water.doubt else None),
        snapshot.at_us,
        config.rules.water_stale_h,
    )
    unique = {herd.id: herd for herd in herds}.values()
    demand = sum(herd.head * water_per_head_l(herd.species, snapshot.air_max_c) for herd in unique)
    volume = None if water.level is None else min(1.0, max(0.0, water.level)) * point.tank_l
    since = water.empty_since_us
    return WaterView(
        point=point,
        water=water,
        gap=gap,
        age_s=None if water.at_us is None else (snapshot.at_us - water.at_us) / 1e6,
        volume_l=volume,
        days=None if volume is None or gap else water_days(volume, point.dead_l, water.use_l_day, demand),
        empty_s=None if since is None or gap else (snapshot.at_us - since) / 1e6,
        demand_l_day=demand,
    )


def _alternative(
    snapshot: Snapshot, config: Config, paddock: PaddockTable, points: Iterable[WaterPointTable]
) -> Literal["river", "snow"] | None:
    """Water other than the points', while there can be any."""
    kinds = {paddock.alternative, *(point.alternative for point in points)}
    if "river" in kinds:
        return "river"
    month = datetime.fromtimestamp(snapshot.at_us / 1e6, config.station.zone).month
    return "snow" if "snow" in kinds and month in SNOW_MONTHS else None


def _rest(at_us: int, soil: Soil, grazed: Sequence[Stay], rules: RulesTable) -> Rest | None:
    ends = [stay.until_us for stay in grazed if stay.until_us is not None]
    if not ends or len(ends) < len(grazed):
        return None
    return rest_since(max(ends), at_us, soil.days, rules)


def _forage_age_days(at_us: int, config: Config, paddock: PaddockTable) -> int | None:
    """Age of the grass estimate; None without one, or when it was made after this instant."""
    if paddock.forage_date is None:
        return None
    age = (datetime.fromtimestamp(at_us / 1e6, config.station.zone).date() - paddock.forage_date).days
    return age if age >= 0 else None


def _grass_left_kg(
    snapshot: Snapshot,
    config: Config,
    paddock: PaddockTable,
    herds: Sequence[HerdTable],
    grazed: Sequence[Stay],
    is_dry: bool,
) -> float | None:
    """Dry matter that may still be taken [kg]; None without an estimate."""
    if paddock.forage_kg_ha is None or paddock.forage_date is None:
        return None
    share = grass.UTILISATION if paddock.utilisation is None else paddock.utilisation
    if is_dry:
        share = min(share, grass.DRY_UTILISATION)
    midnight = datetime.combine(paddock.forage_date, time(), config.station.zone).astimezone(UTC)
    estimate_us = int(midnight.timestamp()) * 1_000_000
    area_ha = _reachable_ha(config, paddock, herds)
    eaten_kg = _eaten_kg(snapshot.at_us, config, grazed, estimate_us)
    return grass.left_kg(area_ha, paddock.forage_kg_ha, share, eaten_kg)


def _reachable_ha(config: Config, paddock: PaddockTable, herds: Sequence[HerdTable]) -> float:
    """Area within reach of the best water point; all of it where no point is known (a river runs through)."""
    limit = min((grass.reach_km(herd.species) for herd in herds), default=grass.LARGE_STOCK_REACH_KM)
    distances = [point.distance_to(paddock.id) for point in config.water_point if paddock.id in point.paddocks]
    if not distances:
        return paddock.area_ha
    return grass.reachable_area_ha(paddock.area_ha, min(distances), limit)


def _eaten_kg(at_us: int, config: Config, grazed: Iterable[Stay], since_us: int) -> float:
    """What the herds on record have eaten there since `since_us` [kg]."""
    herds = {herd.id: herd for herd in config.herd}
    eaten = 0.0
    for stay in grazed:
        herd = herds.get(stay.herd)
        spent_us = (at_us if stay.until_us is None else stay.until_us) - max(stay.since_us, since_us)
        if herd is not None and spent_us > 0:
            intake = grass.intake_kg_day(herd.head, herd.live_weight_kg, config.rules.intake_fraction)
            eaten += intake * spent_us / DAY_US
    return eaten
