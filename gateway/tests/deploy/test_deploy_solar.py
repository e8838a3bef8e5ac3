"""The sun's figures behind the operator's guide, held against FAO-56's own worked example and plain geometry."""

from __future__ import annotations

import math
import operator
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "gateway" / "deploy" / "solar.py"
SOLAR = runpy.run_path(str(SCRIPT))


def test_the_sun_above_the_air_is_that_of_fao_56() -> None:
    assert SOLAR["above_the_air"](-20.0, 246) == pytest.approx(32.2, abs=0.05)  # FAO-56 example 8: 3 September, 20 S


def test_the_direct_light_is_the_suns_way_added_up_minute_by_minute() -> None:
    """By vectors: the sun's direction each minute, and what of it falls on a level and on a tilted square metre."""
    latitude, tilt, day = 43.0, 65.0, SOLAR["DECEMBER"]
    declination = 0.409 * math.sin(2 * math.pi * day / 365 - 1.39)
    phi = math.radians(latitude)
    ground = (0.0, 0.0, 1.0)  # east, north, up
    panel = (0.0, -math.sin(math.radians(tilt)), math.cos(math.radians(tilt)))
    level = tilted = 0.0
    for minute in range(1440):
        hour = math.pi * (minute + 0.5 - 720) / 720
        sun = (
            -math.cos(declination) * math.sin(hour),
            math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(declination) * math.cos(hour),
            math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour),
        )
        if sun[2] > 0:
            level += sum(map(operator.mul, sun, ground))
            tilted += max(0.0, sum(map(operator.mul, sun, panel)))
    constant = 0.0820 * (1 + 0.033 * math.cos(2 * math.pi * day / 365))  # MJ a minute
    assert SOLAR["above_the_air"](latitude, day) == pytest.approx(level * constant, rel=1e-4)
    clear = SOLAR["Site"](latitude, tilt, 0.45)
    scattered = 1.391 - 3.560 * 0.45 + 4.189 * 0.45**2 - 2.137 * 0.45**3
    rest = scattered * (1 + math.cos(math.radians(tilt))) / 2 + 0.6 * (1 - math.cos(math.radians(tilt))) / 2
    wanted = 0.45 * level * constant / 3.6 * ((1 - scattered) * tilted / level + rest)
    assert SOLAR["on_the_panel"](clear) == pytest.approx(wanted, rel=2e-3)


def test_a_level_panel_gets_what_the_ground_gets_and_a_steep_one_more() -> None:
    level = SOLAR["Site"](43.0, 0.0, 0.45)
    ground = 0.45 * SOLAR["above_the_air"](43.0, SOLAR["DECEMBER"]) / 3.6
    assert SOLAR["on_the_panel"](level) == pytest.approx(ground, rel=1e-9)
    gains = {tilt: SOLAR["on_the_panel"](level._replace(tilt=tilt)) / ground for tilt in (30.0, 65.0, 90.0)}
    assert 1.3 < gains[30.0] < gains[65.0] < 2.6
    assert gains[65.0] > gains[90.0] > 1.5


def test_the_guides_table_is_the_scripts() -> None:
    printed = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=30, check=True).stdout
    assert printed in (ROOT / "docs" / "operator.md").read_text()
