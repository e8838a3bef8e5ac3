"""What the station's filters make of four real loggers, beside what the scientists made of them.

    python tools/quality_truth.py          prints the table of docs/quality.md

The readings (../shared/data/usses, or where SUAT_USSES points) are those of the US Sheep Experiment Station; each is
labelled `kept`, `rejected` or nothing. A reading counts as found when a flag says that it is not to be used, or that it
is a spike; `frozen` alone says nothing of a fault and does not count.
"""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from suat.quality.settings import SETTINGS
from suat.store.channels import BY_NAME
from suat_filters import BROKEN, CLOCK, FROZEN, RANGE, RATE, SPIKE, STUCK, ChannelSettings, hampel, judge

DATA = Path(os.environ.get("SUAT_USSES", Path(__file__).parents[2] / "shared" / "data" / "usses"))
DEVELOPED = ("EM20068", "EL5740")  # the rules were made by the pictures of these
ASIDE = ("EM6843", "EM20069")  # and tried on these
FOUND = RANGE | RATE | STUCK | CLOCK | BROKEN | SPIKE
QUANTITIES = ("soil moisture", "soil temperature", "air temperature", "all temperatures")
Bools = NDArray[np.bool_]


class Series(NamedTuple):
    """One port of a logger, in the order of its own clock, with what the station says of it in the end."""

    logger: str
    position: str
    quantity: str
    t: NDArray[np.float64]
    x: NDArray[np.float64]
    curated: NDArray[np.str_]
    values: NDArray[np.float64]
    flags: NDArray[np.uint16]


class Count(NamedTuple):
    """Readings by label, and how many of each are flagged."""

    rejected: int
    found: int
    kept: int
    flagged: int

    @property
    def recall(self) -> float:
        return self.found / max(self.rejected, 1)

    @property
    def cost(self) -> float:
        return self.flagged / max(self.kept, 1)


def judged(logger: str) -> list[Series]:
    """All series of a logger. Moisture is masked by its probe's frost and misdated by its clock, as in the station."""
    columns: dict[tuple[str, str], list[tuple[float, float, str]]] = {}
    with gzip.open(DATA / f"{logger}.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["time"]).replace(tzinfo=UTC).timestamp()
            columns.setdefault((row["measure"], row["position"]), []).append((at, float(row["value"]), row["curated"]))
    found: dict[tuple[str, str], Series] = {}
    for (measure, position), rows in sorted(columns.items()):  # "C" before "VWC"
        t, x, curated = (np.array(column) for column in zip(*rows, strict=True))
        soil = found.get(("C", position))
        heard = x if soil is None else np.where(soil.values <= 0, np.nan, x)
        quantity = (
            "soil moisture" if measure == "VWC" else "air temperature" if position == "air" else "soil temperature"
        )
        values, flags = judge(t, heard, _settings(quantity))
        if soil is not None:
            flags |= np.where(np.isnan(heard), FROZEN, 0).astype(np.uint16) | soil.flags & np.uint16(CLOCK)
            values[(flags & CLOCK) > 0] = np.nan
        found[measure, position] = Series(logger, position, quantity, t, x, curated, values, flags)
    return list(found.values())


def _settings(quantity: str) -> ChannelSettings:
    place, name = quantity.split()
    return SETTINGS[BY_NAME["node", "air_temperature"].code if place == "air" else BY_NAME["probe1", name].code]


def count(series: Iterable[Series], quantity: str) -> Count:
    """Over all series of a quantity."""
    return _count((one, (one.flags & FOUND) > 0) for one in _of(series, quantity))


def count_hampel(series: Iterable[Series], quantity: str) -> Count:
    """What the filter of the books would have done: window 25, 3 sigma."""
    return _count((one, hampel(one.x, 25)[1]) for one in _of(series, quantity))


def count_frozen(series: Iterable[Series], quantity: str) -> Count:
    """As `count`, but that frost counts as a finding too."""
    return _count((one, (one.flags & (FOUND | FROZEN)) > 0) for one in _of(series, quantity))


def _of(series: Iterable[Series], quantity: str) -> list[Series]:
    return [
        one for one in series if one.quantity == quantity or (quantity[:3] == "all" and one.quantity[-5:] == "ature")
    ]


def _count(judged: Iterable[tuple[Series, Bools]]) -> Count:
    total = np.zeros(4, dtype=int)
    for one, flagged in judged:
        rejected, kept = one.curated == "rejected", one.curated == "kept"
        total += [rejected.sum(), (rejected & flagged).sum(), kept.sum(), (kept & flagged).sum()]
    return Count(*(int(number) for number in total))


def table() -> list[str]:
    """The rows of docs/quality.md."""
    loggers = {name: judged(name) for name in (*DEVELOPED, *ASIDE)}
    groups = {"developed on": DEVELOPED, "set aside": ASIDE, "all four": (*DEVELOPED, *ASIDE)}
    rows = ["| Quantity | Loggers | Rejected | of them found | Kept | of them flagged |", "|---|---|---|---|---|---|"]
    for quantity in QUANTITIES:
        for group, names in groups.items():
            series = [one for name in names for one in loggers[name]]
            rows.append(_row(quantity, group, count(series, quantity)))
            if group == "all four":
                rows.append(_row(quantity, "all four, plain Hampel (25, 3 sigma)", count_hampel(series, quantity)))
                if quantity == "soil moisture":
                    rows.append(_row(quantity, "all four, frost counted too", count_frozen(series, quantity)))
    return rows


def _row(quantity: str, group: str, of: Count) -> str:
    found = f"{of.found:,} ({of.recall:.1%})" if of.rejected else "-"
    return f"| {quantity} | {group} | {of.rejected:,} | {found} | {of.kept:,} | {of.flagged:,} ({of.cost:.2%}) |"


if __name__ == "__main__":
    print("\n".join(table()))
