"""How salty the soil is, from what a probe gives: bulk conductivity -> that of the pore water -> that of the extract.

Good for a class and a trend, not for a figure: `DRY_PERMITTIVITY` changed from 4.1 to 6 alone moves the pore water's
conductivity by 14 to 48 %.
"""

from __future__ import annotations

DRY_PERMITTIVITY = 4.1  # of soil at a conductivity of zero: Hilhorst 2000, as in the Decagon GS3 manual
DRIEST = 0.10  # m3/m3: below it Hilhorst's relation does not hold (Decagon GS3 manual)
# NRCS: upper ends of the classes by the conductivity of the saturation extract [dS/m]
CLASSES = ((2.0, "non_saline"), (4.0, "very_slight"), (8.0, "slight"), (16.0, "moderate"))
STRONGEST = "strong"


def pore_ec(bulk_ec: float, permittivity: float, temperature_c: float) -> float | None:
    """Conductivity of the pore water [dS/m]: Hilhorst 2000. None where the soil is as good as dry."""
    if permittivity <= DRY_PERMITTIVITY:
        return None
    water = 80.3 - 0.37 * (temperature_c - 20.0)  # permittivity of the pore water: Decagon GS3 manual
    return water * bulk_ec / (permittivity - DRY_PERMITTIVITY)


def extract_ec(pore_ec: float, moisture: float, pores: float) -> float:
    """Conductivity of the saturation extract, ECe [dS/m]: the pore water thinned to fill all pores (5TE manual).

    moisture and `pores`, the porosity, as shares of the soil's volume.
    """
    return pore_ec * moisture / pores


def salinity_class(extract_ec: float) -> str:
    """The class of an ECe [dS/m]."""
    return next((name for below, name in CLASSES if extract_ec < below), STRONGEST)
