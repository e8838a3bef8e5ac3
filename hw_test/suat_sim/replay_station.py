"""A station for real logger files: one paddock a plot, one node a logger, the texture from the soil pits."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path
from typing import Any

from suat_sim.logger_replay import PLAUSIBLE_SPAN, ReplayError, load_loggers


def replay_station(folder: Path, span: tuple[str, str] = PLAUSIBLE_SPAN) -> dict[str, Any]:
    """A scenario for the loggers of a folder, in the shape of `scenario.demo_station` without weather and herds: one
    paddock a plot, one node a logger. `loggers` holds the files by node name; start and end span all their rows."""
    loggers = load_loggers(folder, span)
    start = min(logger.rows[0].time for logger in loggers)
    end = max(logger.rows[-1].time for logger in loggers)
    texture = station_texture(folder)
    plots = sorted({logger.plot for logger in loggers})
    return {
        "start": _iso(start),
        "end": _iso(end),
        "days": -(-(end - start + 1) // 86400),
        "config": {
            "station": {"name": "USSES Dubois", "timezone": "UTC", "region": "IN865"},
            "paddock": [
                {
                    "id": plot.lower(),
                    "name": {"en": f"Plot {plot}", "ru": f"Участок {plot}", "kk": f"{plot} телімі"},
                    "area_ha": 1.0,
                    "kind": "spring_autumn",
                    "soil": texture,
                    "alternative": "river",
                }
                for plot in plots
            ],
            "water_point": [],
            "herd": [],
        },
        "nodes": [
            {
                "name": logger.name,
                "kind": "soil",
                "paddock": logger.plot.lower(),
                "probes": [{"name": name, "depth_cm": cm, "position": place} for name, cm, place in logger.probes],
                "x_km": 1.0 + 0.7 * i,
                "y_km": 0.5 * i - 0.7,
            }
            for i, logger in enumerate(loggers)
        ],
        "moves": [],
        "events": [],
        "loggers": {logger.name: logger for logger in loggers},
    }


def _iso(t: int) -> str:
    return dt.datetime.fromtimestamp(t, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def station_texture(folder: Path) -> str:
    """Texture class of the top layer in `soil_texture.csv`; loam where the file is not there."""
    path = folder / "soil_texture.csv"
    if not path.exists():
        return "loam"
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(("#", '"#'))]
        first = next(csv.DictReader(lines))
        return texture_class(float(first["clay"]), float(first["silt"]), float(first["sand"]))
    except (OSError, KeyError, ValueError, TypeError, StopIteration) as error:
        raise ReplayError(f"{path}: no depth with clay, silt and sand in percent: {error!r}") from error


def texture_class(clay: float, silt: float, sand: float) -> str:
    """USDA texture class of percent clay, silt, sand; classes without figures in the station's table go to the one
    nearest by clay (sandy clay loam -> clay loam; sandy and silty clay -> clay; silt -> silt loam)."""
    if abs(clay + silt + sand - 100) > 2:
        raise ValueError(f"clay {clay}, silt {silt} and sand {sand} % do not make 100")
    classes = (
        ("sand", silt + 1.5 * clay < 15),
        ("loamy_sand", silt + 2 * clay < 30),
        ("clay", clay >= 40 or (clay >= 35 and sand > 45)),
        ("clay_loam", clay >= 27 and sand > 20),
        ("silty_clay_loam", clay >= 27),
        ("clay_loam", clay >= 20 and silt < 28 and sand > 45),
        ("silt_loam", silt >= 50),
        ("loam", clay >= 7 and silt >= 28 and sand <= 52),
        ("sandy_loam", True),
    )
    return next(name for name, holds in classes if holds)
