"""The measurements run and name what they measure; how fast it is depends on the machine and is not judged here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "cython_ext" / "bench"
PAGE = ROOT / "docs" / "filters.md"
MEASURED = ROOT / "docs" / "figures" / "filters.json"
OTHERWISE = {"scipy two-pass", "river", "river median", "numba loop"}  # of Hampel and the chain: see their notes


@pytest.fixture(scope="module")
def figures() -> list[dict[str, Any]]:
    run = [sys.executable, str(BENCH / "filters.py"), "--json", "--samples", "2000", "--rounds", "1", "--budget", "0.1"]
    found: list[dict[str, Any]] = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)[
        "figures"
    ]
    return found


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCH))
    import report  # type: ignore[import-not-found]

    yield report


def test_every_kernel_is_measured(figures: list[dict[str, Any]]) -> None:
    ours = {(figure["group"], figure["case"]) for figure in figures if figure["name"] == "suat"}
    assert {("median", "25"), ("hampel", "301"), ("ewma", "one series"), ("kalman", "one series")} <= ours
    assert {("resample", "15 min"), ("theil-sen", "2,000 readings"), ("chain", "one by one")} <= ours
    assert all(figure["ns"] > 0 for figure in figures)
    assert all((figure["ratio"] is None) == (figure["same"] is None) for figure in figures)


def test_peers_that_are_called_equal_give_our_answers(figures: list[dict[str, Any]]) -> None:
    beside = [figure for figure in figures if figure["same"] is not None]
    assert {"scipy", "numpy", "scipy two-pass"} <= {figure["name"] for figure in beside}
    assert {figure["name"] for figure in beside if not figure["same"]} <= OTHERWISE
    assert all(figure["same"] for figure in beside if figure["name"] == "numba loop" and figure["group"] != "chain")


def test_aims_are_of_rows_and_peers_that_exist(report: ModuleType) -> None:
    import peers  # type: ignore[import-not-found]
    import tasks  # type: ignore[import-not-found]

    cases = {(task.group, task.case) for group in tasks.GROUPS for task in tasks.tasks(group, [2000])}
    assert set(report.AIMS) <= cases
    for (group, _), aims in report.AIMS.items():
        assert {name for aim in aims for name in aim.names} <= {peer.name for peer in peers.PEERS[group]}


def test_the_ratio_is_of_the_fastest_runs_and_its_spread_of_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    import measure  # type: ignore[import-not-found]

    assert measure.ratio_of([4.0, 6.0, 8.0], [2.0, 2.0, 1.0]) == (4.0, 0.375)  # rounds: 2, 3, 8; quartiles 2.5 and 5.5


def test_the_page_shows_the_figures_that_were_measured(report: ModuleType) -> None:
    page = PAGE.read_text()
    assert report.placed(page, report.tables(json.loads(MEASURED.read_text()))) == page


def test_a_page_without_a_place_is_refused(report: ModuleType) -> None:
    with pytest.raises(ValueError, match="needs <!-- measured -->"):
        report.placed("no place\n", "tables")


def test_the_plots_show_every_point(report: ModuleType, tmp_path: Path) -> None:
    import plots  # type: ignore[import-not-found]

    def figure(group: str, case: str, n: int, name: str, ns: float) -> dict[str, Any]:
        return {"group": group, "case": case, "n": n, "name": name, "ns": ns}

    windows = [figure(group, f"{w}", 1000, "suat", w) for group in ("median", "hampel") for w in (3, 49, 51, 999)]
    lengths = [figure("ewma", "over n, one series", n, "suat", 5.0) for n in (1000, 10_000, 100_000)]
    floor = figure("copy", "", 1000, "numpy", 0.5)
    plots.draw({"figures": [floor], "growth": windows + lengths}, tmp_path)
    over_window, over_length = ((tmp_path / name).read_text() for name in ("over_window.svg", "over_length.svg"))
    ElementTree.fromstring(over_window), ElementTree.fromstring(over_length)
    assert "Rolling median: cost over window" in over_window and "a copy in memory" in over_window
    marks = [
        over_window.count('<use xlink:href="#' + mark) for mark in re.findall(r'id="(m[0-9a-f]{10})"', over_window)
    ]
    assert 2 * (4 + 1) in marks  # two panels with four points, and the line's sign in the legend
    assert "ewma one series" in over_length
