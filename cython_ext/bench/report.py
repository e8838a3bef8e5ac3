"""The figures as tables in Markdown: `python cython_ext/bench/report.py FILTERS.json PAGE.md` puts them into a page."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

Json = dict[str, Any]
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"

TITLES = {
    "copy": "Floor: one copy of the readings",
    "median": "Rolling median, by window",
    "hampel": "Hampel, by window",
    "ewma": "EWMA, irregular times, 2 % missing",
    "kalman": "Scalar Kalman filter, irregular times, 2 % missing",
    "resample": "Resampling: count, min, max, mean, last; a reading a minute",
    "resample, median": "The same with the median",
    "theil-sen": "Theil-Sen slope, each reading of 2,000",
    "chain": "Streaming: range, rate, stuck, Hampel 25, Kalman; 1,000 channels",
    "save": "Saving the state of 100,000 channels",
    "load": "Loading it",
}


class Aim(NamedTuple):
    """At least `ratio` times faster than the fastest of `names`."""

    ratio: float
    names: tuple[str, ...]


EITHER = ("scipy", "bottleneck")
EXACT = ("numpy", "numba np.median", "hampel")
TWO_PASS = ("scipy two-pass",)
AIMS: dict[tuple[str, str], tuple[Aim, ...]] = {
    **{("median", w): (Aim(ratio, EITHER),) for w, ratio in {"5": 15, "11": 12, "25": 7, "49": 4.5, "301": 1}.items()},
    **{
        ("hampel", w): (Aim(exact, EXACT), Aim(two_pass, TWO_PASS))
        for w, exact, two_pass in (("5", 50, 25), ("11", 100, 20), ("25", 120, 12), ("49", 150, 7), ("301", 40, 1.2))
    },
    ("ewma", "one series"): (Aim(2, ("polars",)),),
    ("kalman", "1,000 channels"): (Aim(4, ("numba loop",)),),
    ("resample", "15 min"): (Aim(10, ("polars",)),),
    ("theil-sen", "2,000 readings"): (Aim(15, ("scipy",)),),
    ("chain", "batches of 10,000"): (Aim(20, ("river",)),),
    ("chain", "one by one"): (Aim(6, ("river",)),),
}


def tables(found: Json) -> str:
    """All tables."""
    parts = [f"On {found['machine']}, CPU path {found['path']}: ns of CPU a reading, and how many times ours that is."]
    for (group, n), rows in groupby(found["figures"], key=lambda figure: (figure["group"], figure["n"])):
        parts.append(f"**{TITLES[group]}, n = {n:,}**")
        parts.append("\n".join(_table(list(rows))))
    if found.get("paths"):
        parts.append("**Ours by CPU path, n = 1,000,000**")
        parts.append("\n".join(_path_table(found["paths"])))
    return "\n\n".join(parts)


def aims_of(row: Sequence[Json]) -> Iterator[tuple[Aim, float]]:
    """The aims of one row and what was reached, where the peers took part."""
    for aim in AIMS.get((row[0]["group"], row[0]["case"]), ()):
        reached = [figure["ratio"] for figure in row if figure["name"] in aim.names and figure["ratio"]]
        if reached:
            yield aim, min(reached)


def rows_of(figures: Iterable[Json]) -> Iterator[list[Json]]:
    """The figures of one row after the other."""
    for _, row in groupby(figures, key=lambda figure: (figure["group"], figure["case"], figure["n"])):
        yield list(row)


def _table(figures: Sequence[Json]) -> Iterator[str]:
    names = list(dict.fromkeys(figure["name"] for figure in figures))
    body = []
    for row in rows_of(figures):
        by_name = {figure["name"]: _cell(figure) for figure in row}
        aims = "; ".join(f"{aim.ratio:g}x {' / '.join(aim.names)}: {reached:.1f}x" for aim, reached in aims_of(row))
        body.append([row[0]["case"], *(by_name.get(name, "") for name in names), aims])
    width = len(names) + 1 + any(row[-1] for row in body)
    yield from _markdown([["", *names, "aim"][:width], *(row[:width] for row in body)])
    notes = {figure["name"]: _note(figure) for figure in figures if _note(figure)}
    if notes:
        yield ""
        yield "; ".join(f"{name}: {note}" for name, note in notes.items()) + "."


def _note(figure: Json) -> str:
    return ", ".join(filter(None, (figure["note"], "another answer than ours" * (figure["same"] is False))))


def _cell(figure: Json) -> str:
    ns = _number(figure["ns"])
    if figure["ratio"] is None:
        return ns
    return f"{ns}, {_number(figure['ratio'])}x ±{figure['spread']:.0%}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _path_table(paths: dict[str, list[Json]]) -> Iterator[str]:
    body: dict[str, list[str]] = {}
    for figures in paths.values():
        for figure in figures:
            if figure["name"] == "suat":
                body.setdefault(f"{figure['group']} {figure['case']}", []).append(_number(figure["ns"]))
    return _markdown([["", *paths], *([name, *cells] for name, cells in body.items())])


def _markdown(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for i, row in enumerate(rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        if i == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


def placed(page: str, text: str) -> str:
    """The page with the text in its place. Raises ValueError if it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page needs {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(placed(target.read_text(), tables(json.loads(source.read_text()))))
