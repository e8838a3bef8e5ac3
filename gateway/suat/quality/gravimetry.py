"""The water content of a soil core by weighing it wet and dry: the reference that a probe is calibrated against.

ISO 11461 (volume fraction, coring sleeves): a core of known volume, dried at 105 degC to constant mass.
ISO 11272 (dry bulk density) from the same weighings. Masses are taken with the tin, as a scale shows them.
"""

from __future__ import annotations

from typing import NamedTuple

from suat.errors import UsageError

WATER_G_CM3 = 0.998  # at 20 degC
PARTICLE_G_CM3 = 2.65  # of quartz and most minerals: Decagon 5TE manual, FAO
BULK_G_CM3 = (0.2, 2.2)  # [D] from peat to a compacted gravelly subsoil; beyond: a slip of the pen
SURPLUS = 0.05  # [D] m3/m3 beyond the pores: error of the volume, swelling


class Core(NamedTuple):
    """What a soil core was made of."""

    moisture: float  # [m3/m3]
    bulk_density: float  # dry [g/cm3]


def porosity(bulk_density: float) -> float:
    """Share of the soil's volume that is no mineral, by its dry bulk density [g/cm3]."""
    return 1.0 - bulk_density / PARTICLE_G_CM3


def check_wet(tin_g: float, wet_g: float, volume_cm3: float) -> None:
    """UsageError unless a core as taken can weigh that: what is found out before the oven can still be put right."""
    if not 0 <= tin_g < wet_g:
        raise UsageError(f"tin {tin_g:g} g, wet {wet_g:g} g: the core is weighed with its tin")
    if not volume_cm3 > 0:
        raise UsageError(f"volume {volume_cm3:g} cm3: give the volume of the sampling ring")
    density = (wet_g - tin_g) / volume_cm3
    if not BULK_G_CM3[0] <= density <= PARTICLE_G_CM3:
        raise UsageError(
            f"{density:.2f} g/cm3 is no soil's, dry or wet: look at the masses and at the volume of the ring"
        )


def weighed(tin_g: float, wet_g: float, dry_g: float, volume_cm3: float) -> Core:
    """The core by the masses of the empty tin, and of tin and core as taken and dried. UsageError: they can't be."""
    if not 0 <= tin_g < dry_g <= wet_g:
        raise UsageError(
            f"tin {tin_g:g} g, dry {dry_g:g} g, wet {wet_g:g} g: the tin is the lightest and the wet core the heaviest;"
            " dry and wet are weighed with the tin"
        )
    check_wet(tin_g, wet_g, volume_cm3)
    density = (dry_g - tin_g) / volume_cm3
    low, high = BULK_G_CM3
    if not low <= density <= high:
        raise UsageError(
            f"a dry bulk density of {density:.2f} g/cm3 is no soil's ({low:g} to {high:g}): look at the masses and at"
            " the volume of the ring"
        )
    moisture = (wet_g - dry_g) / (WATER_G_CM3 * volume_cm3)
    if moisture > porosity(density) + SURPLUS:
        raise UsageError(
            f"{moisture:.2f} m3/m3 of water do not fit into the pores of this core ({porosity(density):.2f} of its"
            " volume): look at the masses and at the volume of the ring"
        )
    return Core(moisture, density)
