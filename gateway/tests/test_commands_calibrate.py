"""`suat calibrate`: a probe of the simulated kind in a soil whose water is known, from the first reading to a curve."""

from __future__ import annotations

import json
import math
import random
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
from suat.cli import app, run_app
from suat.config import load
from suat.doctor import examine
from suat.quality.gravimetry import WATER_G_CM3
from suat.records import Admitted, Batch, DeviceRecord, Probe, Row, SessionUpdate
from suat.store.journal import Journal
from suat_sim import probes
from suat_wire.payload import pack

START_US = 1_777_600_800_000_000  # 2026-05-01T02:00:00Z
HOUR_US = 3_600_000_000
AIR, WATER = 0.82, 0.36  # the probe's share of full scale: it falls with the water
DENSITY, RING_CM3, TIN_G = 1.35, 100.0, 51.4
DAYS = 21
NODE = 1
CONFIG = """
[station]
name = "Asy"
timezone = "Asia/Almaty"
region = "IN865"
data_dir = "data"

[[ingest]]
kind = "semtech_udp"
bind = "127.0.0.1:1700"

[[paddock]]
id = "jailau-1"
name = { en = "Jailau 1" }
area_ha = 120
kind = "summer"
soil = "loam"
alternative = "river"
"""


def truth(hours: float) -> float:
    """Water content: soaked on the third day, then drying."""
    return 0.12 if hours < 60 else 0.08 + 0.29 * math.exp(-(hours - 60) / 200)


def warmth(hours: float) -> float:
    return 16 + 5 * math.sin(hours / 24 * 2 * math.pi)


def sent(hours: float, chance: random.Random) -> float:
    """In air for the first hour, in water for the second, in the soil from then on."""
    if hours < 2:
        x = 0.0 if hours < 1 else probes.normalised_count(80.3, warmth(hours))
    else:
        x = probes.normalised_count(probes.inverse_topp(truth(hours)), warmth(hours))
    return AIR + (WATER - AIR) * x + chance.gauss(0, 0.00005)


def iso(hours: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START_US / 1e6 + hours * 3600))


class Answer(NamedTuple):
    status: int
    out: str
    err: str


SAMPLES = [n / 2 for n in range(DAYS * 48)]  # hours


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[float, float]]:
    """(a journal with what one node sent in three weeks, its counts by hour)"""
    path = tmp_path_factory.mktemp("filled") / "journal.db"
    places = (Probe("upper", 10, 1), Probe("lower", 30, 2))
    device = DeviceRecord(0, "upper-3", "soil", "00" * 8, None, "jailau-1", None, places, 0)
    chance = random.Random(7)
    counts = {hours: sent(hours, chance) for hours in SAMPLES}
    rows = []
    for record, (hours, count) in enumerate(counts.items()):
        readings = {("probe1", "count"): count, ("probe1", "temperature"): warmth(hours), ("node", "battery"): 3.6}
        rows.append(Row(record, START_US + round(hours * HOUR_US), pack(readings)))
    with Journal(path) as journal:
        assert journal.add_device(device, SessionUpdate(0, 0, 0, False, 1, b"n" * 16, b"a" * 16)) == NODE
        journal.commit(Batch((Admitted(NODE, None, START_US, 0, None, None, tuple(rows), None),)))
    return path, counts


class Site:
    """A station's folder with a journal."""

    def __init__(
        self, folder: Path, filled: tuple[Path, dict[float, float]], capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.config = folder / "suat.toml"
        self.config.write_text(CONFIG)
        self.journal = folder / "data" / "journal.db"
        self.journal.parent.mkdir()
        self.sent = filled[1]
        shutil.copy(filled[0], self.journal)
        self._capfd = capfd

    def suat(self, *arguments: str, status: int = 0) -> Answer:
        """Run a command; its exit status must be `status`, and an error one line."""
        with pytest.raises(SystemExit) as left:
            run_app(app, [*arguments, "--config", str(self.config)])
        out, err = self._capfd.readouterr()
        assert left.value.code == status, out + err
        if status:
            assert err.count("\n") == 1 and "Traceback" not in err, err
        return Answer(status, out, err)

    def calibrate(self, command: str, *arguments: str, status: int = 0) -> Answer:
        return self.suat("calibrate", command, "upper-3", "upper", *arguments, status=status)

    def guide(self, *answers: str, status: int = 0) -> str:
        """The guided way with these answers; what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "suat.cli", "calibrate", "--config", str(self.config)],
            input="".join(f"{answer}\n" for answer in answers),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    def moistures(self) -> dict[str, tuple[float | None, list[str]]]:
        """(value, flags) of the upper probe by time, computed anew."""
        self.suat("refilter")
        rows = [json.loads(line) for line in self.suat("readings", "--json").out.splitlines()]
        return {row["time"]: (row["value"], row["flags"]) for row in rows if row["channel"] == "moisture"}


def core(hours: float, error: float = 0.0) -> dict[str, float]:
    """The masses of a core taken then, as a kitchen scale shows them."""
    dry = TIN_G + DENSITY * RING_CM3
    wet = dry + (truth(hours) + error) * RING_CM3 * WATER_G_CM3
    return {"tin-g": TIN_G, "wet-g": round(wet, 1), "dry-g": round(dry, 1), "volume-cm3": RING_CM3}


CORES = (40.0, 62.0, 80.0, 130.0, 200.0, 300.0, 480.0)


@pytest.fixture
def site(tmp_path: Path, filled: tuple[Path, dict[float, float]], capfd: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, filled, capfd)


def options(values: dict[str, Any]) -> list[str]:
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def take_points(site: Site) -> None:
    """Air, water and seven cores, all weighed."""
    site.calibrate("add", "--kind", "air", "--at", iso(0.5))
    site.calibrate("add", "--kind", "water", "--at", iso(1.5))
    for hours in CORES:
        site.calibrate("add", "--at", iso(hours), *options(core(hours)))


def test_from_soil_cores_to_moisture(site: Site) -> None:
    """Uncalibrated before; right to 0.01 m3/m3 for all that was ever sent after; and back again."""
    assert {tuple(flags) for _, flags in site.moistures().values()} == {("uncalibrated",)}
    take_points(site)
    found = json.loads(site.calibrate("fit", "--soil", "loam", "--by", "Aigul", "--keep", "--json").out)
    assert found["air"] == pytest.approx(AIR, abs=0.001) and found["water"] == pytest.approx(WATER, abs=0.002)
    assert (found["soil"], found["by"], len(found["points"])) == ("loam", "Aigul", 7)
    assert found["bulk_density"] == pytest.approx(DENSITY, abs=0.01)
    assert found["residual"] < 0.01
    values = site.moistures()
    for hours in SAMPLES[150:]:
        value, flags = values[iso(hours)]
        assert value == pytest.approx(truth(hours), abs=0.012), (hours, flags)
    assert "version 1" in site.suat("calibrate", "list").out
    site.calibrate("drop", "--version", "1")
    assert {tuple(flags) for _, flags in site.moistures().values()} == {("uncalibrated",)}


def test_temperature_is_found_in_the_journal_and_taken_out(site: Site) -> None:
    take_points(site)
    found = json.loads(site.calibrate("temperature", "--since", iso(100), "--json").out)
    assert found["per_kelvin"] == pytest.approx(5e-4, abs=1e-4) and found["days"] >= 14
    site.calibrate("fit", "--keep")
    before = site.moistures()
    site.calibrate("fit", "--per-kelvin", f"{found['per_kelvin']:.5f}", "--keep")
    after = site.moistures()

    def day_and_night(values: dict[str, tuple[float | None, list[str]]]) -> float:
        """What the warmest hour of the days reads above the coldest one, beyond the truth."""
        mean = dict.fromkeys((6, 18), 0.0)
        for day in range(5, DAYS - 1):
            for hour in mean:
                hours = float(day * 24 + hour)
                mean[hour] += (values[iso(hours)][0] or math.nan) - truth(hours)
        return abs(mean[6] - mean[18]) / (DAYS - 6)

    assert day_and_night(before) > 0.001  # 10 K at 0.05 % of a count of 0.2 to 0.4
    assert day_and_night(after) < 0.2 * day_and_night(before)


def test_the_doctor_sends_people_here(site: Site) -> None:
    site.suat("refilter")

    def said() -> list[str]:
        found = examine(load(site.config), START_US + DAYS * 24 * HOUR_US)
        return [f"{one.what}; {one.todo}" for one in found if "not calibrated" in one.what]

    assert said() == ["upper-3, upper: moisture is not calibrated, and no number; suat calibrate"]
    site.calibrate("use", "--coefficients", "0.5,-0.5")
    site.suat("refilter")
    assert said() == []


def test_a_core_waits_in_the_oven(site: Site) -> None:
    wet = core(40.0)
    dry = wet.pop("dry-g")
    assert "in the oven" in site.calibrate("add", "--label", "T7", "--at", iso(40), *options(wet)).out
    assert "1 in the oven (T7)" in site.calibrate("show").out
    assert "0 points" in site.calibrate("fit", status=2).err
    assert "wet core the heaviest" in site.calibrate("weigh", "T7", "999", status=2).err
    assert 'no core "T8"' in site.calibrate("weigh", "T8", str(dry), status=2).err
    assert "0.120 m3/m3, 1.35 g/cm3" in site.calibrate("weigh", "T7", str(dry)).out
    assert 'no core "T7"' in site.calibrate("weigh", "T7", str(dry), status=2).err  # it is known by now


def test_versions_are_kept_and_the_newest_counts(site: Site) -> None:
    site.calibrate("use", "--coefficients", "0.5,-0.5", "--soil", "the maker's", "--by", "A")
    site.calibrate("use", "--coefficients", "-0.1,0.9", "--air", "0.82", "--water", "0.36", "--by", "B")
    rows = [json.loads(line) for line in site.suat("calibrate", "list", "--json").out.splitlines()]
    assert [(row["version"], row["by"], row["coefficients"]) for row in rows] == [
        (1, "A", [0.5, -0.5]),
        (2, "B", [-0.1, 0.9]),
    ]
    assert "version 1, superseded" in site.calibrate("show", "--version", "1").out
    sent_then = site.sent[100.0]
    assert site.moistures()[iso(100)][0] == pytest.approx(-0.1 + 0.9 * (sent_then - AIR) / (WATER - AIR), abs=1e-4)
    assert "version 1 in use now" in site.calibrate("drop", "--version", "2").out
    assert site.moistures()[iso(100)][0] == pytest.approx(0.5 - 0.5 * sent_then, abs=1e-4)
    assert "version 1, in use" in site.calibrate("show", "--version", "1").out
    assert "version 2, dropped 2" in site.calibrate("show", "--version", "2").out
    rows = [json.loads(line) for line in site.suat("calibrate", "list", "--json").out.splitlines()]
    assert [row["dropped"] is None for row in rows] == [True, False]
    assert "none of that number" in site.calibrate("drop", "--version", "2", status=2).err


def test_a_table_of_points_whole_or_not_at_all(site: Site, tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    head = "kind;label;at;raw;temperature_c;tin_g;wet_g;dry_g;volume_cm3\n"
    lines = [f"air;;{iso(0.5)};;;;;;", f"water;;{iso(1.5)};;;;;;"]
    for number, hours in enumerate(CORES, 1):
        masses = core(hours)
        cells = ";".join(str(value).replace(".", ",") for value in masses.values())  # as a spreadsheet writes them
        lines.append(f"soil;T{number};{iso(hours)};;;{cells}")
    table.write_text(head + "\n".join([*lines[:5], "soil;T9;;0,5;12;51,4;20;;100", *lines[5:]]))
    assert re.search(
        r'points\.csv, line 7: point "T9": tin 51.4 g, wet 20 g',
        site.calibrate("add", "--csv", str(table), status=2).err,
    )
    assert "points for" not in site.calibrate("show").out
    for text, words in (
        ("kind;mass\nsoil;5\n", 'the column "mass" is unknown'),
        ("kind;raw\nair;0,8;5\n", "more cells"),
        ("kind;raw\nair;wet\n", '"wet" is no number'),
        ("kind;raw\nair;\n", "give raw"),
        ("kind;raw\n", "no points"),
        ("kind;raw\n\n;\nair;9\n", "line 4: "),
        ("kind,raw,raw\nair,0.8,0.7\n", 'the column "raw" is twice'),
        ("вид;показание\nвоздух;0,8\n", 'the column "вид" is unknown; there are kind'),
        ('kind,label,raw\nair,"a,0.8\n', "no CSV"),
        ("kind,label,raw\nair,a\0b,0.8\n", '--label "a\\x00b"'),
        ("kind,raw,tin_g\nair,0.8,5\n", "those of soil"),
        ("kind,raw\n" + "air,0.8\n" * 20_000, "more than 100 kB"),
    ):
        table.write_text(text)
        assert words in site.calibrate("add", "--csv", str(table), status=2).err
    table.write_bytes(b"kind\n\xff\n")
    assert "it is not in UTF-8" in site.calibrate("add", "--csv", str(table), status=2).err
    lines.append(";;;;;;;;")  # as a spreadsheet ends
    table.write_text(head + "\n".join(lines), encoding="utf-8-sig")
    assert site.calibrate("add", "--csv", str(table)).out.count("kept:") == 9
    assert json.loads(site.calibrate("fit", "--json").out)["residual"] < 0.01


def test_the_curve_is_drawn(site: Site, tmp_path: Path) -> None:
    take_points(site)
    shown = site.calibrate("fit", "--svg", str(tmp_path / "curve.svg"), "--soil", "loam <1>", "--keep")
    drawing = ElementTree.parse(tmp_path / "curve.svg").getroot()
    circles = [one for one in drawing.iter("{http://www.w3.org/2000/svg}circle")]
    assert len(circles) == 7
    heights = [float(circle.attrib["cy"]) for circle in circles]
    across = [float(circle.attrib["cx"]) for circle in circles]
    wettest, driest = CORES.index(62.0), CORES.index(480.0)
    assert heights[wettest] == min(heights) and across[wettest] == max(across)
    assert heights[driest] == max(heights) and across[driest] == min(across)
    assert "loam <1>" in [one.text for one in drawing.iter("{http://www.w3.org/2000/svg}text")][-3]
    table = shown.out[shown.out.index("known") :]
    assert table.count("+") + table.count("-") >= 7
    again = site.calibrate("show", "--svg", str(tmp_path / "again.svg")).out
    assert (
        shown.out[shown.out.index("\n\n") : shown.out.index("nothing") if "nothing" in shown.out else None].strip()
        in again
    )
    assert (tmp_path / "again.svg").read_text() == (tmp_path / "curve.svg").read_text()


def test_the_pictures_of_the_page_are_what_the_command_draws(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools"))
    from calibration_picture import FIGURES, draw

    draw(tmp_path)
    assert "look at this one" in capfd.readouterr().out
    for name in ("calibration_suspect.svg", "calibration_kept.svg"):
        assert (tmp_path / name).read_text() == (FIGURES / name).read_text(), "python tools/calibration_picture.py"


@pytest.mark.parametrize("command", ["add", "weigh", "temperature", "fit", "use", "show", "list", "drop"])
def test_every_example_is_a_command_line_that_is_understood(
    site: Site, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    site.config.unlink()  # so that each gets as far as the configuration, and no further
    with pytest.raises(SystemExit):
        run_app(app, ["calibrate", command, "--help"])
    lines = capfd.readouterr().out.partition("Examples:")[2].strip().splitlines()
    assert lines
    for line in lines:
        words = shlex.split(line.partition("|")[0])
        assert words[:3] == ["suat", "calibrate", command]
        assert "suat.toml: No such file" in site.suat(*words[1:], status=2).err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "upper-4", "upper"], 'no soil node "upper-4" in use (did you mean "upper-3"?)'),
        (["add", "upper-3", "uper"], 'no probe "uper" (did you mean "upper"?)'),
        (["add", "upper-3", "upper", "--kind", "oil", "--raw", "0.5"], '"oil" is none of air, water, soil'),
        (["add", "upper-3", "upper", "--kind", "air", "--at", "2020-01-01"], "sent nothing within 30 minutes"),
        (["add", "upper-3", "upper", "--kind", "air", "--at", "soon"], '"soon" is no date'),
        (["add", "upper-3", "upper", "--kind", "air", "--raw", "7"], "7 is no count of a probe"),
        (["add", "upper-3", "upper", "--kind", "air", "--raw", "nan"], "nan is no count of a probe"),
        (["add", "upper-3", "upper", "--raw", "0.5"], "a core needs tin_g"),
        (["add", "upper-3", "upper", "--raw", "0.5", "--moisture", "0.2", "--tin-g", "5"], "not both"),
        (["add", "upper-3", "upper", "--raw", "0.5", "--moisture", "20"], "20 m3/m3 is no water content"),
        (["add", "upper-3", "upper", "--raw", "0.5", "--moisture", "0.2", "--temperature-c", "-1"], "frozen"),
        (["add", "upper-3", "upper", "--csv", "missing.csv"], "missing.csv: No such file"),
        (["add", "upper-3", "upper", "--csv", "missing.csv", "--temperature-c", "5"], "give no others beside it"),
        (["add", "upper-3", "upper", "--raw", "0.5", "--label", "a\nb"], r'--label "a\nb": write it on one line'),
        (["add", "upper-3", "upper", "--kind", "air", "--raw", "0.5", "--wet-g", "90"], "those of soil, not of air"),
        (["weigh", "upper-3", "upper", "1", "100"], 'no core "1"'),
        (["fit", "upper-3", "upper"], "0 points of known water content"),
        (["fit", "upper-3", "upper", "--per-kelvin", "0.5"], "0.5 per kelvin"),
        (["fit", "upper-3", "upper", "--reference-c", "1000"], "from 1000 degC"),
        (["temperature", "upper-3", "lower"], "0 days with"),
        (["use", "upper-3", "upper", "--coefficients", "a,b"], "write them as 0.02,0.61"),
        (["use", "upper-3", "upper", "--coefficients", "0.1"], "1 coefficients: a curve has 2 to 6"),
        (["use", "upper-3", "upper", "--coefficients", "0,1", "--soil", "a\x01"], r'--soil "a\x01"'),
        (["use", "upper-3", "upper", "--coefficients", "0,inf"], "look at the coefficients"),
        (["use", "upper-3", "upper", "--coefficients", "3,1"], "gives 3 to 4 m3/m3"),
        (["use", "upper-3", "upper", "--coefficients", "0,1", "--field", "oil"], '"oil" is none of'),
        (["use", "upper-3", "upper", "--coefficients", "0,1", "--reference-c", "nan"], "from nan degC"),
        (["use", "upper-3", "upper", "--coefficients", "0,1", "--air", "1"], "no probe is like that"),
        (["show", "upper-3", "upper", "--version", "3"], "upper-3, upper has 0"),
        (["show", "upper-3", "upper", "--svg", "x.svg"], "upper-3, upper has no curve in use"),
        (["drop", "upper-3", "upper"], "give --version N or --point LABEL"),
        (["drop", "upper-3", "upper", "--point", "4"], 'has no point "4"'),
    ],
)
def test_a_slip_is_one_line(site: Site, arguments: list[str], said: str) -> None:
    assert said in site.suat("calibrate", *arguments, status=2).err


def test_the_configuration_stands_behind_the_command(site: Site) -> None:
    """In front of it, the command would quietly take the default one."""
    done = subprocess.run(
        [sys.executable, "-m", "suat.cli", "calibrate", "--config", str(site.config), "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and "suat calibrate list --config" in done.stderr


def test_points_that_lie_far_off_are_not_kept_by_mistake(site: Site) -> None:
    site.calibrate("add", "--kind", "air", "--at", iso(0.5))
    site.calibrate("add", "--kind", "water", "--at", iso(1.5))
    for hours, error in zip(CORES, (0.05, -0.05, 0.05, -0.05, 0.06, -0.06, 0.05), strict=True):
        site.calibrate("add", "--at", iso(hours), *options(core(hours, error)))
    refused = site.calibrate("fit", "--keep", status=2)
    assert "--poor" in refused.err
    assert "no curve in use" in site.calibrate("show").out
    site.calibrate("fit", "--keep", "--poor")
    assert "version 1" in site.calibrate("show").out


def test_a_point_that_was_dropped_is_not_fitted(site: Site) -> None:
    take_points(site)
    wrong = core(400.0, 0.12)
    site.calibrate("add", "--label", "wrong", "--at", iso(400), *options(wrong))
    found = json.loads(site.calibrate("fit", "--json", "--degree", "1").out)
    assert found["suspects"] == ["wrong"]
    site.calibrate("drop", "--point", "wrong")
    found = json.loads(site.calibrate("fit", "--json", "--degree", "1").out)
    assert (found["suspects"], len(found["points"])) == ([], 7)


# The guided way


@pytest.mark.slow
def test_the_guide_takes_a_campaign_up_again_wherever_it_was_left(site: Site) -> None:
    said = site.guide("upper", "", iso(0.5), "", iso(1.5), status=1)  # and the technician is called away
    assert "kept: air-1: air, count 0.82" in said and "kept: water-1: water, count 0.3" in said
    answers = []
    for number, hours in enumerate(CORES, 1):
        masses = core(hours)
        tin, ring = ("", "") if number > 1 else (str(TIN_G), "100")
        if number == 3:  # a slip of the pen, and a tin that is in the oven: asked again, for the same reading
            answers += ["3", iso(hours), "T3", "", "", "20", "T2", "", "", str(masses["wet-g"]), "T3"]
        else:
            answers += ["3", iso(hours), f"T{number}"]
        answers += [tin, ring, str(masses["wet-g"])]
    said = site.guide("upper", *answers, "0")
    assert "next: weigh the cores when they are dry" in said
    dry = [str(core(hours)["dry-g"]) for hours in CORES]
    said = site.guide("upper", "4", "nonsense", "4", dry[0], "", *dry[2:], "0")
    assert '"nonsense" is no number' in said
    said = site.guide("upper", "4", dry[1], "5", "loam", "y")
    assert "standard deviation 0.00" in said
    values = site.moistures()
    assert values[iso(200)][0] == pytest.approx(truth(200), abs=0.012)
    assert json.loads(site.suat("calibrate", "list", "--json").out)["soil"] == "loam"


@pytest.mark.slow
def test_the_guide_takes_numbers_from_the_console_and_asks_again_where_they_are_none(site: Site) -> None:
    air = ["", "=0,82", "", "15"]
    said = site.guide("uper", "upper", "7", "2.5", "x", *air, "2", f"={WATER}", "count", "15", "6", iso(100), "n", "0")
    assert 'there is no "uper" (did you mean "upper"?)' in said
    assert '"x" is no number' in said
    assert "kept: air-1: air, count 0.82 at 15.0 degC" in said
    assert "+0.000" in said and "per kelvin" in said  # what the journal tells of the temperature
    assert f"kept: water-1: water, count {WATER}" in said


def test_the_guide_shows_the_next_reading_as_it_comes(site: Site) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "suat.cli", "calibrate", "--config", str(site.config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("upper\n1\n\n")
        process.stdin.flush()
        said = ""
        while "waiting for the node" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        with Journal(site.journal) as journal:
            row = Row(99_999, time.time_ns() // 1000 + 60_000_000, pack({("probe1", "count"): 0.8123}))
            journal.commit(Batch((Admitted(NODE, None, row.time_us, 0, None, None, (row,), None),)))
        said, _ = process.communicate("y\n0\n", timeout=30)
    finally:
        process.kill()
        process.wait()
    assert "count 0.8123" in said and "kept: air-1" in said
    assert process.returncode == 0
