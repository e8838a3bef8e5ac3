"""The table of the configuration that sets limits of the cleaning for a node or a channel: [[limits]]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, create_model, field_validator, model_validator
from suat_filters import ChannelSettings
from suat_filters.settings import COUNTS, NUMBERS

from suat.errors import did_you_mean
from suat.store.channels import CHANNELS, PROBES
from suat.tables import Table

_SMOOTHING = ("q", "r")  # the station cleans, it does not smooth
SETTABLE = tuple(name for name in (*NUMBERS, *COUNTS) if name not in _SMOOTHING)

OF_PROBES = {channel.name for channel in CHANNELS if channel.group in PROBES}
_IN_FULL = {f"{channel.group}.{channel.name}" for channel in CHANNELS if channel.group not in PROBES}
_KNOWN = sorted(OF_PROBES | {channel.name for channel in CHANNELS} | _IN_FULL)

_UNITS = {"max_rate": "{unit}/s", "stuck_seconds": "s", "gap_seconds": "s", "broken_seconds": "s"}
_UNITS |= {"n_sigmas": "sigma", "clock_days": "days"} | dict.fromkeys(
    ("minimum", "maximum", "resolution", "max_noise", "day_swing"), "{unit}"
)


def unit_of(limit: str, unit: str) -> str:
    """The unit of a limit of a channel that is in `unit`; counts of readings have none."""
    return _UNITS.get(limit, "").format(unit=unit)


class _Row(Table):
    node: Annotated[str, Field(min_length=1)] | None = None  # None: all nodes
    channel: str
    reason: Annotated[str, Field(min_length=1, max_length=200)]

    @property
    def limits(self) -> dict[str, Any]:
        """What the row sets, by the names of `ChannelSettings`."""
        return {name: value for name in SETTABLE if (value := getattr(self, name)) is not None}

    @field_validator("channel")
    @classmethod
    def _is_channel(cls, channel: str) -> str:
        place = channel.rpartition(".")[0]
        of_probe = [f"{place}.{known}" for known in sorted(OF_PROBES)] if place not in ("", "water", "node") else []
        if channel in _KNOWN or channel in of_probe:
            return channel
        known = ", ".join([*_KNOWN, *(f"PROBE.{known}" for known in sorted(OF_PROBES))])
        guess = did_you_mean(channel, [*_KNOWN, *of_probe])
        raise ValueError(f'there is no channel "{channel}"{guess}; known are {known}')

    @model_validator(mode="after")
    def _means_something(self) -> _Row:
        if not self.limits:
            raise ValueError("no limit is set; give one, such as max_noise = 0.02, or leave the table out")
        ChannelSettings(**self.limits)
        return self


if TYPE_CHECKING:
    LimitsTable = _Row
else:
    LimitsTable = create_model(
        "LimitsTable",
        __base__=_Row,
        **{name: (Annotated[float if name in NUMBERS else int, Field(strict=True)] | None, None) for name in SETTABLE},
    )
