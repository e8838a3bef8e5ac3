"""How much of the water that a soil can give to plants is in it.

fPAW = (theta - WP) / (FC - WP), TAW = 1000 (FC - WP) Zr: FAO-56 (Allen et al. 1998), equation 82. It is not clipped:
above 1 the soil holds more than field capacity, below 0 it is drier than the wilting point.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple


class Texture(NamedTuple):
    """Water contents of a texture class [m3/m3]."""

    wilting_point: float
    field_capacity: float
    saturation: float


# AquaCrop's default soils (Raes et al., AquaCrop reference manual, annex I)
TEXTURES = {
    "sand": Texture(0.06, 0.13, 0.36),
    "loamy_sand": Texture(0.08, 0.16, 0.38),
    "sandy_loam": Texture(0.10, 0.22, 0.41),
    "loam": Texture(0.15, 0.31, 0.46),
    "silt_loam": Texture(0.13, 0.33, 0.46),
    "clay_loam": Texture(0.23, 0.39, 0.50),
    "silty_clay_loam": Texture(0.23, 0.44, 0.52),
    "clay": Texture(0.39, 0.54, 0.55),
}

TOPSOIL_CM = 30.0  # the depth that hooves damage: Laurenson & Houlbrooke 2016

# Lower end of the root depths in FAO-56 table 22 (grazed pasture 0.5-1.5 m, alfalfa hay 1.0-2.0 m) [m]
ROOT_DEPTH_M = {"alfalfa": 1.0}
PASTURE_ROOT_DEPTH_M = 0.5


def root_depth_m(paddock_kind: str) -> float:
    """Depth of the root zone of a paddock's vegetation [m]."""
    return ROOT_DEPTH_M.get(paddock_kind, PASTURE_ROOT_DEPTH_M)


def fraction_available(theta: float, texture: Texture) -> float:
    """fPAW of one water content [m3/m3]."""
    return (theta - texture.wilting_point) / (texture.field_capacity - texture.wilting_point)


def total_available_mm(texture: Texture, depth_m: float) -> float:
    """TAW: the water between field capacity and wilting point down to `depth_m` [mm]."""
    return 1000.0 * (texture.field_capacity - texture.wilting_point) * depth_m


def depth_weights(depths_cm: Sequence[float], bottom_cm: float) -> list[float]:
    """Thickness of soil [cm] that each probe stands for, between the surface and `bottom_cm`.

    A probe stands for the soil up to half-way to its neighbours, the uppermost up to the surface, the lowest down to
    the bottom. `depths_cm` must grow; ValueError otherwise.
    """
    if any(upper >= lower for upper, lower in pairwise(depths_cm)):
        raise ValueError("depths must grow")
    halves = [(upper + lower) / 2 for upper, lower in pairwise(depths_cm)]
    edges = [0.0, *(min(half, bottom_cm) for half in halves), bottom_cm]
    return [lower - upper for upper, lower in pairwise(edges)]


def profile_fraction_available(
    layers: Iterable[tuple[float, float]], texture: Texture, bottom_cm: float
) -> float | None:
    """Depth-weighted fPAW from (depth [cm], theta [m3/m3]) down to `bottom_cm`; None without layers."""
    ordered = sorted(layers)
    if not ordered:
        return None
    weights = depth_weights([depth for depth, _ in ordered], bottom_cm)
    fractions = [fraction_available(theta, texture) for _, theta in ordered]
    return sum(w * f for w, f in zip(weights, fractions, strict=True)) / bottom_cm
