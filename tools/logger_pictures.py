"""A picture of each data logger of the US Sheep Experiment Station: as logged, what the station flags, what it keeps.

    python tools/logger_pictures.py DIR [--out docs/figures]

DIR holds the loggers' files (*.csv.gz). Every channel goes through the station's own judgement with the station's own
settings; a day's least, median and most are those of its cleaned readings.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from suat.quality.settings import SETTINGS
from suat.store.channels import BY_NAME
from suat_filters import BROKEN, CLOCK, FROZEN, RANGE, RATE, SPIKE, STUCK, judge, resample

Floats = NDArray[np.float64]

DAY_S = 86400.0
SHOWN = (datetime(2010, 1, 1, tzinfo=UTC).timestamp(), datetime(2030, 1, 1, tzinfo=UTC).timestamp())
MEASURES = {"VWC": ("moisture", "moisture [m³/m³]"), "C": ("temperature", "temperature [°C]")}
FAULTS = RANGE | RATE | STUCK | SPIKE | CLOCK | BROKEN  # frost is none
COLOURS = (  # the first that stands is shown
    ("broken", BROKEN, "#7a1f1f"),
    ("range", RANGE, "#d62728"),
    ("rate", RATE, "#ff7f0e"),
    ("stuck", STUCK, "#9467bd"),
    ("spike", SPIKE, "#e377c2"),
    ("clock", CLOCK, "#444444"),
    ("frozen", FROZEN, "#5aa9e6"),
)
FLAGGED, REJECTED = "#d62728", "#000000"
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


@dataclass
class Channel:
    """One probe's readings in the order of its logger's file, and what was made of them."""

    position: str
    measure: str
    t: Floats
    x: Floats
    curated: NDArray[np.str_]
    values: Floats
    flags: NDArray[np.uint16]


def channels(path: Path) -> list[Channel]:
    """All channels of a logger, judged. Raises OSError, ValueError, KeyError for a file that is none of these."""
    rows: dict[tuple[str, str], list[tuple[float, float, str]]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        for line in csv.DictReader(text):
            t = datetime.fromisoformat(line["time"]).replace(tzinfo=UTC).timestamp()
            x = float(line["value"] or "nan") if line["value"] != "NA" else float("nan")
            rows[line["position"], line["measure"]].append((t, x, line["curated"]))
    found: dict[tuple[str, str], Channel] = {}
    for position, measure in sorted(rows):  # C before VWC: frost decides about moisture
        lines = rows[position, measure]
        times, readings = np.array([line[0] for line in lines]), np.array([line[1] for line in lines])
        cold = found.get((position, "C")) if measure == "VWC" else None
        values, flags = _judged(position, measure, times, readings, cold)
        curated = np.array([line[2] for line in lines])
        found[position, measure] = Channel(position, measure, times, readings, curated, values, flags)
    return sorted(
        found.values(), key=lambda one: (one.position == "air", len(one.position), one.position, one.measure < "D")
    )


def _judged(
    position: str, measure: str, t: Floats, x: Floats, temperature: Channel | None
) -> tuple[Floats, NDArray[np.uint16]]:
    """Values and flags. Moisture of soil at or below 0 degC is masked, and the filters do not see it.

    Where the clock is wrong by the probe's temperature, the moisture is misdated too.
    """
    air = position == "air"
    channel = BY_NAME["node", "air_temperature"] if air else BY_NAME["probe1", MEASURES[measure][0]]
    frozen, misdated = np.zeros(len(t), bool), np.zeros(len(t), bool)
    if temperature is not None:
        frozen = np.isin(t, temperature.t[temperature.values <= 0])
        misdated = np.isin(t, temperature.t[(temperature.flags & CLOCK) > 0])
    values, flags = np.full(len(t), np.nan), np.where(frozen, FROZEN, 0).astype(np.uint16)
    values[~frozen], flags[~frozen] = judge(t[~frozen], x[~frozen], SETTINGS[channel.code])
    values[misdated] = np.nan
    flags[misdated] |= CLOCK
    return values, flags


def picture(name: str, found: list[Channel]) -> Image.Image:
    """Two panels a channel: as logged with its flags, and cleaned with the days' windows."""
    with mpl.rc_context(STYLE):
        drawing = Figure(figsize=(14, 1.9 * len(found) + 0.8), dpi=100, layout="constrained")
        panels = drawing.subplots(len(found), 2, sharex=True, squeeze=False)
        for (left, right), channel in zip(panels, found, strict=True):
            _draw(left, right, channel)
        shown = {label for channel in found for label, bit, _ in COLOURS if np.any(channel.flags & bit)}
        handles = [
            mpl.lines.Line2D([], [], linestyle="", marker="o", markersize=4, color=colour, label=label)
            for label, _, colour in COLOURS
            if label in shown
        ] + [
            mpl.lines.Line2D([], [], linestyle="", marker="|", markersize=6, color=colour, label=label)
            for label, colour in (("flagged", FLAGGED), ("rejected by the scientists", REJECTED))
        ]
        drawing.legend(handles=handles, loc="outside upper right", ncols=len(handles))
        drawing.suptitle(f"Logger {name}", x=0.01, ha="left", fontsize=12, fontweight="bold")
        buffer = io.BytesIO()
        drawing.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


def _draw(left: Axes, right: Axes, channel: Channel) -> None:
    shown = (channel.t >= SHOWN[0]) & (channel.t < SHOWN[1])
    when, x, flags = _dates(channel.t[shown]), channel.x[shown], channel.flags[shown]
    curated, values = channel.curated[shown], channel.values[shown]
    good = values[~np.isnan(values)]
    low, high = np.quantile(x, (0.01, 0.99)) if len(good) < len(x) / 10 else (good.min(), good.max())
    low, high = low - 0.35 * (high - low) - 1e-3, high + 0.15 * (high - low) + 1e-3

    left.plot(when, np.clip(x, low, high), ".", color="#999999", markersize=1)
    rest = np.ones(len(x), bool)
    for _, bit, colour in COLOURS:
        mine = rest & ((flags & bit) > 0)
        rest &= ~mine
        left.plot(when[mine], np.clip(x[mine], low, high), ".", color=colour, markersize=2.5)
    faulty, rejected = (flags & FAULTS) > 0, curated == "rejected"
    for height, chosen, colour in ((0.03, rejected, REJECTED), (0.09, faulty, FLAGGED)):
        left.plot(when[chosen], np.full(chosen.sum(), low + height * (high - low)), "|", color=colour, markersize=5)
    left.set_title(f"{channel.position}, {MEASURES[channel.measure][1]}: as logged; {_verdict(curated, faulty)}")
    left.set_ylim(low, high)

    right.plot(when, values, ".", color="#8fce82", markersize=1)
    days = resample(channel.t[shown], values, DAY_S)
    middle = _dates(days["start"] + DAY_S / 2)
    breaks = np.flatnonzero(np.diff(days["start"]) > DAY_S) + 1  # no line across days without a reading
    for piece in np.split(np.arange(len(middle)), breaks):
        least, most = days["min"][piece], days["max"][piece]
        right.fill_between(middle[piece], least, most, color="#0b6e4f", alpha=0.45, linewidth=0)
        right.plot(middle[piece], days["median"][piece], color="#12355b", linewidth=0.8)
    right.set_title("cleaned, with the days' least, median and most")
    right.set_ylim(low, high)


def _verdict(curated: NDArray[np.str_], faulty: NDArray[np.bool_]) -> str:
    rejected, kept = curated == "rejected", curated == "kept"
    parts = [f"{(faulty & kept).sum():,} of {kept.sum():,} kept flagged"]
    if rejected.any():
        parts.insert(0, f"{(faulty & rejected).sum():,} of {rejected.sum():,} rejected flagged")
    return ", ".join(parts)


def _dates(t: Floats) -> NDArray[np.datetime64]:
    return t.astype("datetime64[s]")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    options = parser.parse_args()
    paths = sorted(options.folder.glob("*.csv.gz"))
    if not paths:
        print(f"{options.folder}: no logger file (*.csv.gz) in it; give the folder that holds them", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    for path in paths:
        name = path.name.removesuffix(".csv.gz")
        target = options.out / f"logger_{name}.png"
        try:
            found = channels(path)
        except (OSError, EOFError, ValueError, KeyError) as error:
            print(f"{path}: not a logger's file: {error!r}; see the folder's README.md", file=sys.stderr)
            return 1
        picture(name, found).save(target, optimize=True)
        print(f"{target}: {target.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
