"""[[limits]]: the most specific row counts, limit by limit; past readings follow, those of other nodes stay."""

from __future__ import annotations

import copy
import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suat.config import Config, ConfigError, parse
from suat.quality.calibrate import calibrations
from suat.quality.limits import node_limits, unmet
from suat.quality.refilter import refilter
from suat.quality.settings import SETTINGS, SOURCED, SOURCES
from suat.quality.tables import SETTABLE, LimitsTable
from suat.records import DeviceRecord, Flag, Probe
from suat.store.channels import BY_NAME, CHANNELS, PROBES
from suat.store.rows import Derived
from suat_filters import ChannelSettings
from suat_sim.kept import Kept, row

STATION: dict[str, Any] = tomllib.loads("""
[station]
name = "Asy"
data_dir = "data"

[[water_point]]
id = "spring-1"
paddocks = ["jailau-1"]
tank_l = 10000
depth_m = 2.0

[[paddock]]
id = "jailau-1"
name = { en = "Jailau 1" }
area_ha = 120
kind = "summer"
soil = "loam"
""")
WHY = {"reason": "TDR probe, gravel"}


def config(*rows: dict[str, Any]) -> Config:
    return parse({**copy.deepcopy(STATION), "limits": [WHY | found for found in rows]})


def limits(*rows: dict[str, Any]) -> list[LimitsTable]:
    return config(*rows).limits


def soil(name: str, *probes: str, registration: int = 1) -> DeviceRecord:
    placed = tuple(Probe(probe, 10 * position, position) for position, probe in enumerate(probes, 1))
    return DeviceRecord(registration, name, "soil", f"{registration:016x}", None, "jailau-1", None, placed, 0)


# -- what is refused: (what, the rows, words of the one line)

REFUSED: list[tuple[str, list[dict[str, Any]], list[str]]] = [
    ("no channel", [{"max_noise": 0.02}], ["limits no. 1.channel", "missing"]),
    ("a slip in a channel", [{"channel": "moistur", "max_noise": 1}], ["limits no. 1", 'did you mean "moisture"']),
    (
        "a slip in a probe's channel",
        [{"channel": "upper.moistur", "max_noise": 1}],
        ['"upper.moistur"', 'did you mean "upper.moisture"'],
    ),
    ("a slip in a group", [{"channel": "watr.depth", "max_noise": 1}], ['did you mean "water.depth"']),
    ("a channel of probes on the node", [{"channel": "node.moisture", "max_noise": 1}], ['no channel "node.moisture"']),
    ("a field on air", [{"channel": "vwc", "max_noise": 1}], ['no channel "vwc"']),
    ("nothing set", [{"channel": "moisture"}], ["limits no. 1", "no limit is set"]),
    ("no reason", [{"channel": "moisture", "max_noise": 1, "reason": ""}], ["limits no. 1.reason"]),
    ("a slip in a limit", [{"channel": "moisture", "max_nois": 1}], ["max_nois", 'did you mean "max_noise"']),
    ("smoothing", [{"channel": "moisture", "q": 1.0}], ["limits no. 1.q", "unknown key"]),
    ("a number as text", [{"channel": "moisture", "max_noise": "0.02"}], ["max_noise", "valid number"]),
    ("a yes for a number", [{"channel": "moisture", "max_noise": True}], ["max_noise", "valid number"]),
    ("a number no double holds", [{"channel": "moisture", "max_noise": 10**400}], ["max_noise", "valid number"]),
    ("a count that is none", [{"channel": "moisture", "window": 5.0}], ["window", "valid integer"]),
    ("an even window", [{"channel": "moisture", "window": 4}], ["limits no. 1", "window must be 0 or odd", "not 4"]),
    ("noise below zero", [{"channel": "moisture", "max_noise": -1}], ["max_noise must be finite and not negative"]),
    ("no number", [{"channel": "moisture", "max_noise": math.nan}], ["max_noise must not be NaN"]),
    (
        "below what the default allows",
        [{"channel": "moisture", "minimum": 0.8}],
        ["limits no. 1: for moisture minimum 0.8 is above maximum 0.7"],
    ),
    (
        "rows that meet in one probe of one node",
        [
            {"channel": "ec", "max_noise": 2},
            {"channel": "moisture", "maximum": 0.5},
            {"node": "upper-3", "channel": "deep.moisture", "minimum": 0.55},
        ],
        ["limits no. 2 and no. 3: for moisture minimum 0.55 is above maximum 0.5"],
    ),
    (
        "the same twice",
        [
            {"node": "a", "channel": "moisture", "max_noise": 0.1},
            {"node": "a", "channel": "moisture", "max_noise": 0.2},
        ],
        ['limits no. 1 and no. 2: both set max_noise of "moisture"'],
    ),
]


@pytest.mark.parametrize(("rows", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_can_not_be_meant_is_one_line(rows: list[dict[str, Any]], words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        config(*rows)
    (line,) = refused.value.faults
    assert all(word in line for word in words), line


def test_what_another_row_makes_possible_is_taken() -> None:
    rows = limits(
        {"channel": "moisture", "maximum": 0.5}, {"node": "a", "channel": "moisture", "minimum": 0.55, "maximum": 0.6}
    )
    found = node_limits(rows, soil("a", "upper"))[BY_NAME["probe1", "moisture"].code]
    assert (found.minimum, found.maximum) == (0.55, 0.6)


def test_every_limit_but_the_smoothing_can_be_set() -> None:
    assert {*SETTABLE} == {*asdict(ChannelSettings())} - {"q", "r"}


# -- which channels are meant

ALL_OF_THE_PROBES = {(probe, "moisture") for probe in PROBES}
MEANT: list[tuple[str, str | None, set[tuple[str, str]]]] = [
    ("moisture", None, ALL_OF_THE_PROBES),
    ("moisture", "upper-3", ALL_OF_THE_PROBES),
    ("moisture", "upper-4", set()),
    ("upper.moisture", "upper-3", {("probe1", "moisture")}),
    ("lower.moisture", None, {("probe2", "moisture")}),
    ("probe3.moisture", "upper-3", {("probe3", "moisture")}),  # registered without a name
    ("probe1.moisture", "upper-3", set()),  # its name is upper
    ("deep.moisture", "upper-3", set()),
    ("temperature", None, {(probe, "temperature") for probe in PROBES}),
    ("water.temperature", None, {("water", "temperature")}),
    ("depth", None, {("water", "depth")}),
    ("water.depth", "upper-3", {("water", "depth")}),
    ("air_temperature", None, {("node", "air_temperature")}),
    ("node.battery", None, {("node", "battery")}),
]


@pytest.mark.parametrize(("channel", "node", "expected"), MEANT, ids=[f"{c} of {n}" for c, n, _ in MEANT])
def test_a_row_means_these_channels(channel: str, node: str | None, expected: set[tuple[str, str]]) -> None:
    named = {} if node is None else {"node": node}
    found = node_limits(limits(named | {"channel": channel, "gap_seconds": 77}), soil("upper-3", "upper", "lower"))
    assert found == {
        BY_NAME[known].code: replace(SETTINGS[BY_NAME[known].code], gap_seconds=77.0) for known in expected
    }


ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, "a", "b"]),
        st.sampled_from(["moisture", "upper.moisture", "lower.moisture"]),
        st.dictionaries(
            st.sampled_from(["max_noise", "max_rate", "stuck_seconds", "n_sigmas"]), st.integers(1, 99), min_size=1
        ),
    ),
    unique_by=lambda row: row[:2],
    max_size=9,
)


@given(ROWS, st.sampled_from(["a", "b", "c"]))
def test_of_all_rows_the_most_specific_counts_whatever_their_order(
    rows: list[tuple[str | None, str, dict[str, int]]], node: str
) -> None:
    """Said the other way round: for each limit the first of four places that sets it."""
    set_by = {(name, channel): given for name, channel, given in rows}
    device = soil(node, "upper", "lower")
    shown = limits(*({"channel": c, **given} | ({"node": n} if n else {}) for n, c, given in rows))
    found = node_limits(shown, device)
    for group, probe in (("probe1", "upper."), ("probe2", "lower.")):
        channel = BY_NAME[group, "moisture"]
        judged = found.get(channel.code, SETTINGS[channel.code])
        for limit in ("max_noise", "max_rate", "stuck_seconds", "n_sigmas", "minimum", "window"):
            places = [(node, f"{probe}moisture"), (node, "moisture"), (None, f"{probe}moisture"), (None, "moisture")]
            expected = [set_by[place][limit] for place in places if limit in set_by.get(place, {})]
            expected.append(getattr(SETTINGS[channel.code], limit))
            assert getattr(judged, limit) == expected[0]


# -- names that nobody has


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"node": "uper-3", "channel": "moisture"},
            'limits no. 2: there is no node "uper-3" (did you mean "upper-3"?)',
        ),
        (
            {"node": "upper-3", "channel": "uper.moisture"},
            'limits no. 2: upper-3 has no probe "uper" (did you mean "upper"?)',
        ),
        ({"channel": "deep.moisture"}, 'limits no. 2: no node has a probe "deep"'),
    ],
)
def test_a_row_that_meets_nothing_is_told(row: dict[str, Any], words: str) -> None:
    rows = limits({"channel": "upper.moisture", "max_noise": 1}, row | {"max_noise": 0.02})
    (line,) = unmet(rows, [soil("upper-3", "upper"), soil("low", "lower", registration=2)])
    assert line.startswith(words)


def test_every_default_has_its_source() -> None:
    for channel in CHANNELS:
        sourced = SOURCED[channel.code]
        assert ChannelSettings(**{name: value for name, (value, _) in sourced.items()}) == SETTINGS[channel.code]  # type: ignore[arg-type]
        for name, (_, why) in sourced.items():
            codes = [part.partition("]")[0] for part in why.split("[")[1:]]
            assert codes or "docs/" in why, (channel, name)
            assert {*codes} <= SOURCES.keys(), (channel, name)


# -- readings follow


def noisy_rows(count: int = 288) -> list[Any]:
    """Three days of two probes whose moisture goes up and down by 0.03 m3/m3 each quarter of an hour."""
    return [
        row(
            record,
            record * 15,
            {
                (probe, field): value
                for probe in ("probe1", "probe2")
                for field, value in (("vwc", 0.2 + 0.03 * (record % 2)), ("temperature", 12.0 + 0.01 * (record % 7)))
            },
        )
        for record in range(1, count + 1)
    ]


@pytest.fixture
def kept(tmp_path: Path) -> Any:
    made = Kept(tmp_path / "data")
    yield made
    made.close()


def take(kept: Kept, rows: Sequence[LimitsTable]) -> None:
    """Stop the station and start it with these limits."""
    kept.cleaner.save()
    kept.calibration = calibrations(kept.reader.devices(), {}, {}, rows)
    kept.restart()


def bodies(kept: Kept, node: int) -> list[bytes | None]:
    return [found.cleaned for found in kept.reader.samples(node)]


def broken(kept: Kept, node: int, probe: str) -> int:
    return int((kept.reader.series(node, probe, "moisture")[2] & Flag.BROKEN != 0).sum())


def count_replayed(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """How many samples of each node are read for a replay from now on."""
    seen: dict[int, int] = {}
    read: Callable[..., list[Any]] = kept.reader.samples_after

    def counted(registration: int, *where: Any) -> list[Any]:
        found = read(registration, *where)
        seen[registration] = seen.get(registration, 0) + len(found)
        return found

    monkeypatch.setattr(kept.reader, "samples_after", counted)
    return seen


GRAVEL = {"node": "upper-3", "channel": "upper.moisture", "max_noise": 0.1}


def test_past_readings_follow_a_changed_limit_at_the_next_start_and_no_other_node_does(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = kept.journal.add_device(soil("upper-3", "upper", "lower"))
    other = kept.journal.add_device(soil("upper-4", "upper", "lower", registration=2))
    for node in (changed, other):
        kept.fill(node, noisy_rows())
    kept.finish()
    before = {node: bodies(kept, node) for node in (changed, other)}
    assert broken(kept, changed, "probe1") == broken(kept, changed, "probe2") > 200

    replayed = count_replayed(kept, monkeypatch)
    take(kept, limits(GRAVEL))
    kept.finish()
    assert broken(kept, changed, "probe1") == 0
    assert broken(kept, changed, "probe2") > 200
    assert bodies(kept, other) == before[other]
    assert {episode.code for episode in kept.reader.episodes(changed)} == {BY_NAME["probe2", "moisture"].code}
    assert replayed[changed] >= 288
    assert replayed.get(other, 0) == 0

    replayed.clear()
    take(kept, limits(GRAVEL))  # as it was: nothing is seen again
    kept.finish()
    assert sum(replayed.values()) == 0

    take(kept, ())
    kept.finish()
    assert bodies(kept, changed) == before[changed]


def test_it_is_as_if_the_limit_had_always_been_set(kept: Kept, tmp_path: Path) -> None:
    always = Kept(tmp_path / "always")
    for station in (kept, always):
        station.journal.add_device(soil("upper-3", "upper", "lower"))
    take(always, limits(GRAVEL))
    for station in (kept, always):
        station.fill(1, noisy_rows())
    take(kept, limits(GRAVEL))
    late = noisy_rows(300)[288:]
    for station in (kept, always):
        station.finish()
        station.fill(1, late)
        station.finish()
    assert bodies(kept, 1) == bodies(always, 1)
    assert len(bodies(kept, 1)) == 300
    always.close()


def test_a_probe_that_is_first_read_after_a_start_goes_by_them(kept: Kept) -> None:
    node = kept.journal.add_device(soil("upper-3", "upper", "lower"))
    kept.fill(node, [row(1, 0, {("node", "battery"): 3.6})])
    take(kept, limits(GRAVEL))
    take(kept, limits(GRAVEL))
    kept.finish()
    kept.fill(node, noisy_rows()[1:])
    kept.finish()
    assert broken(kept, node, "probe1") == 0 < broken(kept, node, "probe2")


def test_a_node_without_the_channel_is_not_looked_at(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.journal.add_device(soil("upper-3", "upper", "lower"))
    kept.fill(1, noisy_rows())
    replayed = count_replayed(kept, monkeypatch)
    take(kept, limits({"channel": "water.depth", "maximum": 12}))
    kept.finish()
    assert replayed.get(1, 0) == 0


def test_a_power_cut_amid_the_replay_is_made_good(kept: Kept) -> None:
    kept.journal.add_device(soil("upper-3", "upper", "lower"))
    kept.fill(1, noisy_rows())
    take(kept, limits(GRAVEL))
    derive = kept.journal.derive
    written: list[Derived] = []

    def cut(derived: Derived) -> Any:
        written.append(derived)
        raise OSError("power cut")

    kept.journal.derive = cut  # type: ignore[method-assign]
    with pytest.raises(OSError, match="power cut"):
        kept.cleaner.finish()
    kept.journal.derive = derive  # type: ignore[method-assign]
    assert written
    kept.restart()
    kept.finish()
    assert broken(kept, 1, "probe1") == 0


def test_a_node_that_gets_the_name_while_the_station_runs_gets_its_limits(kept: Kept) -> None:
    kept.journal.add_device(soil("upper-3", "upper", "lower"))
    kept.fill(1, noisy_rows())
    kept.cleaner.recalibrate(calibrations(kept.reader.devices(), {}, {}, limits(GRAVEL)))
    kept.finish()
    assert broken(kept, 1, "probe1") == 0 < broken(kept, 1, "probe2")


def test_refilter_goes_by_them(tmp_path: Path) -> None:
    settings = config(GRAVEL)
    settings = settings.model_copy(update={"station": settings.station.model_copy(update={"data_dir": tmp_path})})
    kept = Kept(tmp_path)
    kept.journal.add_device(soil("upper-3", "upper", "lower"))
    kept.fill(1, noisy_rows())
    kept.finish()
    assert broken(kept, 1, "probe1") > 200
    kept.close()
    assert refilter(settings, 0, None, 1 << 61) > 200
    again = Kept(tmp_path)
    assert broken(again, 1, "probe1") == 0 < broken(again, 1, "probe2")
    again.close()
