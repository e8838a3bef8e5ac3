"""The station's own limits, on four real loggers that scientists have gone through reading by reading."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from suat_filters import BROKEN, CLOCK, SPIKE

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from quality_truth import (
    ASIDE,
    DATA,
    DEVELOPED,
    FOUND,
    Count,
    Series,
    count,
    count_hampel,
    judged,
    table,
)

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the logger files are not at {DATA}; set SUAT_USSES")
ALL = (*DEVELOPED, *ASIDE)
PAGE = Path(__file__).parents[2] / "docs" / "quality.md"


@cache
def logger(name: str) -> list[Series]:
    return judged(name)


def of(names: tuple[str, ...], quantity: str) -> Count:
    return count([one for name in names for one in logger(name)], quantity)


def one_of(name: str, position: str, quantity: str) -> Series:
    return next(one for one in logger(name) if (one.position, one.quantity) == (position, quantity))


@pytest.mark.parametrize("quantity", ["soil moisture", "soil temperature", "air temperature", "all temperatures"])
def test_most_of_what_was_rejected_is_found_and_next_to_nothing_of_what_was_kept(quantity: str) -> None:
    truth = of(ALL, quantity)
    assert truth.recall >= 0.6
    assert truth.cost <= 0.003


@pytest.mark.parametrize("quantity", ["soil moisture", "air temperature", "all temperatures"])
def test_so_it_is_on_the_loggers_that_were_set_aside(quantity: str) -> None:
    truth = of(ASIDE, quantity)
    assert truth.recall >= 0.6
    assert truth.cost <= 0.003


def test_the_filter_of_the_books_finds_little_and_flags_much() -> None:
    plain = count_hampel([one for name in ALL for one in logger(name)], "soil moisture")
    assert plain.recall < 0.1
    assert plain.cost > 0.1


def test_the_probe_that_never_worked_is_one_episode_from_its_first_day_to_its_last() -> None:
    probe = one_of("EM6843", "5W", "soil moisture")
    assert (probe.curated == "rejected").sum() == 1951
    broken = np.flatnonzero(probe.flags & BROKEN)
    assert np.array_equal(broken, np.arange(broken[0], broken[-1] + 1))
    assert len(broken) > 1951


def test_no_soil_probe_that_was_kept_is_called_broken() -> None:
    for name in ALL:
        for one in logger(name):
            if one.quantity != "air temperature":
                assert not ((one.flags & BROKEN > 0) & (one.curated == "kept")).any()


@pytest.mark.parametrize(("name", "year", "hours"), [("EM20068", 2015, 6), ("EM6843", 2016, -4)])
def test_the_clocks_that_are_called_wrong_are_wrong_by_a_neighbour(name: str, year: int, hours: int) -> None:
    """The air's changes there follow those at EM20069 so many hours later, by the logger's clock; else at once."""
    there, here = one_of(name, "air", "air temperature"), one_of("EM20069", "air", "air temperature")
    first, end = (datetime(one, 1, 1, tzinfo=UTC).timestamp() for one in (year, year + 1))
    that_year = (there.t >= first) & (there.t < end)
    assert best_lag(there, here, that_year & (there.curated == "rejected") & ((there.flags & CLOCK) > 0)) == hours
    assert best_lag(there, here, (there.curated == "kept") & ((there.flags & FOUND) == 0)) == 0


def best_lag(there: Series, here: Series, which: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """Hours [even] by which the readings `which` are dated late, from the correlation of their changes."""
    known = dict(zip(here.t.tolist(), here.x.tolist(), strict=True))
    scores = {}
    for hours in range(-12, 13, 2):
        pairs = [
            (there.x[i] - there.x[i - 1], known[t] - known[t - 7200])
            for i in np.flatnonzero(which[1:] & which[:-1]) + 1
            if (t := there.t[i] - hours * 3600) in known and t - 7200 in known and there.t[i] - there.t[i - 1] == 7200
        ]
        scores[hours] = float(np.corrcoef(np.array(pairs).T)[0, 1])
    best = max(scores, key=lambda hours: scores[hours])
    assert scores[best] > 0.8
    return best


def test_a_spike_is_never_called_on_a_front_of_rain() -> None:
    """Of the moisture kept, what is flagged a spike falls back within three readings: nothing that stayed."""
    for name in ALL:
        for one in logger(name):
            for i in np.flatnonzero((one.flags & SPIKE) > 0) if one.quantity == "soil moisture" else ():
                after = one.x[i + 1 : i + 4]
                assert len(after) < 3 or np.abs(after - one.x[i]).max() > 0.01


def test_the_page_shows_these_figures() -> None:
    page = PAGE.read_text()
    assert [row for row in table() if row not in page] == []
