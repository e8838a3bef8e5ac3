"""Salinity: the class and the trend that the simulated probes were given, and silence where nothing can be known."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
from suat.cli import app, run_app
from suat.pasture.soil_salinity import Salinity, judged, station_salinity
from suat.pasture.tables import PaddockTable
from suat.quality.clean import Cleaner
from suat.records import Admitted, Batch, DeviceRecord, Probe, Row
from suat.store.calibration import add_curve
from suat.store.journal import Journal
from suat.store.rows import Curve, ProbeCurve
from suat.tables import Names
from suat_sim import probes
from suat_wire.payload import pack

START_US = 1_777_593_600_000_000  # 2026-05-01
DAY_US = 86_400_000_000
LOAM = PaddockTable(id="p1", name=Names(en="P"), area_ha=1, kind="summer", soil="loam", alternative="river")
SATURATION = 0.46  # of loam: AquaCrop


def site(
    folder: Path, days: int, pore: tuple[float, float], moisture: float = 0.30, field: str = "permittivity"
) -> Path:
    """The journal of a probe in loam whose pore water goes from one conductivity to another [dS/m]."""
    path = folder / "data" / "journal.db"
    chance = random.Random(3)
    rows = []
    for record in range(days * 4):
        temperature = 15 + 6 * math.sin(record / 4 * 2 * math.pi)
        eps = probes.inverse_topp(moisture + chance.gauss(0, 0.004))
        bulk = probes.bulk_ec(eps, temperature, pore[0] + (pore[1] - pore[0]) * record / (days * 4))
        given = eps if field == "permittivity" else probes.topp(eps)
        readings = {("probe1", field): given, ("probe1", "temperature"): temperature, ("probe1", "ec"): bulk}
        rows.append(Row(record, START_US + record * DAY_US // 4, pack(readings)))
    with Journal(path) as journal, journal.reader() as reader:
        node = DeviceRecord(0, "n", "soil", "00" * 8, None, "p1", None, (Probe("upper", 10, 1), Probe("dry", 30, 2)), 0)
        number = journal.add_device(node)
        journal.commit(Batch((Admitted(number, None, START_US, 0, None, None, tuple(rows), None),)))
        cleaner = Cleaner(journal, reader, {})
        cleaner.start()
        cleaner.finish()
    return path


def found(path: Path) -> list[tuple[str, Salinity]]:
    with Journal(path) as journal, journal.reader() as reader:
        return [(probe.name, one) for _, probe, one in station_salinity([LOAM], reader, reader.devices(), 0)]


@pytest.mark.parametrize("field", ["permittivity", "vwc"])
@pytest.mark.parametrize(
    ("extract", "name"),
    [(1.0, "non_saline"), (3.0, "very_slight"), (6.0, "slight"), (12.0, "moderate"), (20.0, "strong")],
)
def test_the_class_is_that_of_the_water_in_the_soil(tmp_path: Path, extract: float, name: str, field: str) -> None:
    """ECe = pore water x theta / saturation (Decagon 5TE manual), so the pore water is ECe x 0.46 / 0.30."""
    pore = extract * SATURATION / 0.30
    assert found(site(tmp_path, 30, (pore, pore), field=field)) == [("upper", Salinity(name, "steady", 30))]


@pytest.mark.parametrize(("end", "trend"), [(9.0, "rising"), (3.0, "falling"), (6.3, "steady")])
def test_the_trend_is_that_of_the_water_in_the_soil(tmp_path: Path, end: float, trend: str) -> None:
    assert found(site(tmp_path, 60, (6.0, end)))[0][1].trend == trend


def test_weighed_cores_go_before_the_texture(tmp_path: Path) -> None:
    """A denser soil has less room: 1.75 g/cm3 leaves 0.34 of pores, and 3.6 dS/m in the extract of loam are 4.9."""
    path = site(tmp_path, 5, (5.5, 5.5))
    assert found(path)[0][1].salinity == "very_slight"
    with Journal(path) as journal:
        add_curve(journal, Curve(1, "probe1", ProbeCurve((0.0, 1.0), "vwc"), 0.01, 1, bulk_density=1.75))
    assert found(path)[0][1].salinity == "slight"


def test_dry_soil_says_nothing(tmp_path: Path) -> None:
    """fPAW of loam at 0.20: (0.20 - 0.15) / (0.31 - 0.15) = 0.31."""
    assert found(site(tmp_path, 30, (6.0, 6.0), moisture=0.20)) == [("upper", Salinity(None, None, 0))]


def test_a_few_days_are_no_trend() -> None:
    assert judged({n * DAY_US: 5.0 + n for n in range(19)}) == Salinity("moderate", None, 19)
    assert judged({n * DAY_US: 5.0 + n for n in range(20)}) == Salinity("moderate", "rising", 20)


def test_the_command_tells_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    site(tmp_path, 30, (9.0, 9.0))
    config = tmp_path / "suat.toml"
    config.write_text(
        '[station]\nname = "Asy"\ntimezone = "Asia/Almaty"\nregion = "IN865"\ndata_dir = "data"\n'
        '[[ingest]]\nkind = "semtech_udp"\nbind = "127.0.0.1:1700"\n'
        '[[paddock]]\nid = "p1"\nname = { en = "P" }\narea_ha = 1\nkind = "summer"\nsoil = "loam"\n'
        'alternative = "river"\n'
    )

    def suat(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as left:
            run_app(app, ["salinity", *arguments, "--config", str(config)])
        return (left.value.code, *capfd.readouterr())

    status, out, _ = suat("--since", "2026-05-01", "--json")
    row = {"node": "n", "probe": "upper", "depth_cm": 10, "salinity": "slight", "trend": "steady", "days": 30}
    assert (status, json.loads(out)) == (0, row)
    assert "slightly salty (4 to 8 dS/m), steady, from 30 days" in suat("--since", "2026-05-01")[1]
    status, _, err = suat("--node", "m")
    assert status == 2 and 'no node "m"' in err
