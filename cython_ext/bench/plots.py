"""Draws what `filters.py --write` found: cost over window and over length."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import ScalarFormatter

Json = dict[str, Any]

COLOURS = {
    "suat": "#0b6e4f",
    "suat centred": "#6bbf59",
    "scipy": "#3b6fb6",
    "scipy two-pass": "#3b6fb6",
    "bottleneck": "#c8553d",
    "numba loop": "#8d6ab8",
}
LINES = {  # kernels of the plot over length, with the case they are drawn for
    "median": "25",
    "hampel": "25",
    "ewma": "one series",
    "kalman": "one series",
    "resample": "15 min",
    "resample, median": "15 min",
}
STYLE = {
    "svg.hashsalt": "suat",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def draw(found: Json, folder: Path) -> None:
    """over_window.svg and over_length.svg."""
    floor = min((figure["ns"] for figure in found["figures"] if figure["group"] == "copy"), default=None)
    growth = found["growth"]
    with mpl.rc_context(STYLE):
        _over_window(growth, floor).savefig(folder / "over_window.svg", metadata={"Date": None})
        _over_length(growth, floor).savefig(folder / "over_length.svg", metadata={"Date": None})


def _over_window(growth: Iterable[Json], floor: float | None) -> Drawing:
    drawing = Drawing(figsize=(10, 4.6), layout="constrained")
    panels = drawing.subplots(1, 2, sharey=True)
    for axes, group, title in zip(panels, ("median", "hampel"), ("Rolling median", "Hampel"), strict=True):
        points = [figure for figure in growth if figure["group"] == group and figure["case"].isdigit()]
        for name in dict.fromkeys(figure["name"] for figure in points):
            mine = [figure for figure in points if figure["name"] == name]
            ours = name.startswith("suat")
            axes.plot(
                [int(figure["case"]) for figure in mine],
                [figure["ns"] for figure in mine],
                color=COLOURS[name],
                linewidth=2.2 if ours else 1.2,
                marker="o" if ours else None,
                markersize=3,
                label=name + (" (not exact)" if name == "scipy two-pass" else ""),
            )
        _finish(axes, floor, f"{title}: cost over window", "window [readings]", [3, 5, 11, 25, 49, 99, 301, 999])
    panels[0].set_ylabel("CPU [ns a reading]")
    return drawing


def _over_length(growth: Iterable[Json], floor: float | None) -> Drawing:
    drawing = Drawing(figsize=(7, 4.6), layout="constrained")
    axes = drawing.subplots()
    for group, case in LINES.items():
        points = [
            figure
            for figure in growth
            if figure["group"] == group and figure["case"] == f"over n, {case}" and figure["name"] == "suat"
        ]
        label = f"{group} {case}"
        axes.plot([p["n"] for p in points], [p["ns"] for p in points], marker="o", markersize=3, label=label)
    _finish(axes, floor, "Cost over the length of the series", "readings", None)
    axes.set_ylabel("CPU [ns a reading]")
    return drawing


def _finish(axes: Axes, floor: float | None, title: str, label: str, ticks: list[int] | None) -> None:
    axes.set(xscale="log", yscale="log", title=title, xlabel=label)
    if floor:
        axes.axhline(floor, color="#888888", linestyle=":", linewidth=1, label="a copy in memory")
    axes.yaxis.set_major_formatter(ScalarFormatter())
    if ticks:
        axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
        axes.minorticks_off()
    axes.legend(fontsize=8)
