"""The pictures of the data loggers: the station's own judgement of what a file holds, drawn."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import logger_pictures as pictures  # noqa: E402
from suat_filters import FROZEN, RANGE  # noqa: E402

LIMIT = 300_000  # bytes of a picture in the repository


def write_logger(path: Path, broken_at: int = 30, cold_from: int = 60) -> None:
    """Two days of one position, a reading every hour: one moisture of 9 m3/m3, and frost at the end."""
    lines = ["time,plot,port,position,measure,value,curated"]
    for hour in range(72):
        time = f"2015-06-{1 + hour // 24:02}T{hour % 24:02}:00"
        moisture = 9.0 if hour == broken_at else 0.2 + 0.001 * (hour % 3)
        curated = "rejected" if hour == broken_at else "kept"
        celsius = 12.0 + hour % 4 - (30.0 if hour >= cold_from else 0.0)
        lines.append(f"{time},X1,2,5E,VWC,{moisture},{curated}")
        lines.append(f"{time},X1,2,5E,C,{celsius},kept")
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


def test_each_channel_is_judged_as_the_station_judges_it(tmp_path: Path) -> None:
    write_logger(tmp_path / "L1.csv.gz")
    moisture, temperature = pictures.channels(tmp_path / "L1.csv.gz")
    assert (moisture.measure, temperature.measure) == ("VWC", "C")
    assert moisture.flags[30] & RANGE and np.isnan(moisture.values[30])
    cold = temperature.values <= 0
    assert 0 < cold.sum() <= 12 and np.array_equal((moisture.flags & FROZEN) > 0, cold)
    assert np.isnan(moisture.values[cold]).all()
    assert not np.isnan(moisture.values[31:60]).any()


def test_a_picture_a_logger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_logger(tmp_path / "L1.csv.gz")
    monkeypatch.setattr(sys, "argv", ["logger_pictures.py", str(tmp_path), "--out", str(tmp_path / "out")])
    assert pictures.main() == 0
    drawn = tmp_path / "out" / "logger_L1.png"
    assert str(drawn) in capsys.readouterr().out
    colours = {colour for _, colour in Image.open(drawn).convert("RGB").getcolors(1 << 20) or ()}
    wanted = dict((label, colour) for label, _, colour in pictures.COLOURS)
    for name in ("range", "frozen"):
        near = tuple(int(wanted[name][i : i + 2], 16) for i in (1, 3, 5))
        assert any(max(abs(a - b) for a, b in zip(near, colour, strict=True)) < 12 for colour in colours), name


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda folder: None, 2),
        (lambda folder: (folder / "a.csv.gz").write_bytes(b"no gzip"), 1),
        (lambda folder: (folder / "a.csv.gz").write_bytes(gzip.compress(b"time,value\n1,2\n")), 1),
    ],
)
def test_what_is_no_logger_file_is_told_in_one_line(
    make: object, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(make)
    make(tmp_path)
    monkeypatch.setattr(sys, "argv", ["logger_pictures.py", str(tmp_path), "--out", str(tmp_path / "out")])
    assert pictures.main() == status
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(tmp_path) in said


def test_the_pictures_in_the_guide_are_small() -> None:
    drawn = sorted((ROOT / "docs" / "figures").glob("logger_*.png"))
    assert len(drawn) == 4
    assert all(path.stat().st_size < LIMIT for path in drawn)
