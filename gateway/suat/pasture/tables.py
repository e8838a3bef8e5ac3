"""Tables of the configuration that describe the pasture: [rules], [[paddock]], [[water_point]], [[herd]]."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from suat.tables import Identifier, Names, Table

PaddockKind = Literal["spring_autumn", "summer", "winter", "near_village", "alfalfa"]
Texture = Literal["sand", "loamy_sand", "sandy_loam", "loam", "silt_loam", "clay_loam", "silty_clay_loam", "clay"]
Species = Literal["cattle", "cow_with_calf", "dry_cow", "lactating_cow", "horse", "sheep", "goat", "camel"]


class RulesTable(Table):
    """Thresholds of the pasture rules that the union may change (defaults: docs/decisions.md)."""

    soil_stale_h: Annotated[float, Field(gt=0)] = 24.0
    water_stale_h: Annotated[float, Field(gt=0)] = 6.0
    trough_empty_pct: Annotated[float, Field(ge=0, le=100)] = 5.0
    trough_empty_h: Annotated[float, Field(ge=0)] = 2.0
    water_days_min: Annotated[float, Field(ge=0)] = 1.0
    too_wet_cattle: Annotated[float, Field(gt=0)] = 0.93
    too_wet_sheep: Annotated[float, Field(gt=0)] = 1.05
    too_wet_clear: Annotated[float, Field(ge=0)] = 0.05
    rest_growth_days: Annotated[int, Field(ge=0)] = 35
    rest_min_days: Annotated[int, Field(ge=0)] = 30
    rest_max_days: Annotated[int, Field(ge=1)] = 120
    growth_temperature_c: float = 5.0
    growth_fpaw: Annotated[float, Field(ge=0, le=1)] = 0.40
    too_dry_fpaw: Annotated[float, Field(ge=0, le=1)] = 0.15
    forage_fresh_days: Annotated[int, Field(ge=0)] = 30
    move_soon_days: Annotated[float, Field(ge=0)] = 3.0
    intake_fraction: Annotated[float, Field(gt=0, lt=0.1)] = 0.026


class PaddockTable(Table):
    id: Identifier
    name: Names
    area_ha: Annotated[float, Field(gt=0)]
    kind: PaddockKind
    soil: Texture
    forage_kg_ha: Annotated[float, Field(ge=0)] | None = None
    forage_date: date | None = None
    utilisation: Annotated[float, Field(gt=0, le=1)] | None = None
    alternative: Literal["none", "river", "snow"] = "none"

    @model_validator(mode="after")
    def _forage_is_dated(self) -> PaddockTable:
        if (self.forage_kg_ha is None) != (self.forage_date is None):
            raise ValueError("forage_kg_ha and forage_date go together: an estimate without its date is worthless")
        return self


class WaterPointTable(Table):
    id: Identifier
    name: Names | None = None
    paddocks: Annotated[list[Identifier], Field(min_length=1)]
    distance_km: Annotated[float, Field(ge=0)] | dict[str, Annotated[float, Field(ge=0)]] = 0.0
    tank_l: Annotated[float, Field(gt=0)]
    depth_m: Annotated[float, Field(gt=0)]
    sensor_height_m: Annotated[float, Field(gt=0)] | None = None
    dead_l: Annotated[float, Field(ge=0)] = 0.0
    alternative: Literal["none", "river", "snow"] = "none"

    def distance_to(self, paddock: str) -> float:
        """Distance from the paddock's centre [km]."""
        if isinstance(self.distance_km, dict):
            return self.distance_km.get(paddock, 0.0)
        return self.distance_km

    @model_validator(mode="after")
    def _is_consistent(self) -> WaterPointTable:
        if self.dead_l >= self.tank_l:
            raise ValueError("dead_l must be less than tank_l")
        return self


class HerdTable(Table):
    id: Identifier
    name: Names | None = None
    species: Species
    head: Annotated[int, Field(gt=0)]
    live_weight_kg: Annotated[float, Field(gt=0)]
