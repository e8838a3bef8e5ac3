"""The table of the configuration that says how the network server treats its nodes: [network]."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from suat_wire.region import REGIONS

from suat.tables import Table

MOST_EXTRA = 5  # a CFList holds no more


class NetworkTable(Table):
    adr: bool = True
    repetitions: Annotated[int, Field(ge=1, le=3)] = 1  # most NbTrans that ADR asks for
    extra_channels_mhz: Annotated[list[float], Field(max_length=MOST_EXTRA)] = Field(default_factory=list)

    @property
    def extra_channels_hz(self) -> tuple[int, ...]:
        return tuple(round(mhz * 1e6) for mhz in self.extra_channels_mhz)


DEFAULTS = NetworkTable()


def channel_faults(network: NetworkTable, region: str) -> list[str]:
    """What is wrong with the extra channels in this region, one line each."""
    plan = REGIONS[region]
    faults = []
    seen = set(plan.channels_hz)
    for mhz, hz in zip(network.extra_channels_mhz, network.extra_channels_hz, strict=True):
        here = f"network: extra_channels_mhz {mhz:g}"
        if hz % 100 or plan.band(hz) < 0:
            bands = ", ".join(f"{low / 1e6:g} to {high / 1e6:g}" for low, high, _ in plan.bands)
            faults.append(f"{here}: not a channel of {region}; it lies within {bands} MHz, in steps of 100 Hz")
        elif hz in seen:
            faults.append(f"{here}: {region} has that channel already, or it is given twice; leave it out")
        seen.add(hz)
    return faults
