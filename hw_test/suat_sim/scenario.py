"""The demo's pasture as plain data: places, herds, nodes, what goes wrong and when.

`demo_station` gives a dict of:
  config   the station's configuration as in its TOML file, without data_dir and ingest
  nodes    name, kind, paddock or water_point, probes (name, depth_cm, position), x_km/y_km from the gateway, power
  moves    herd, paddock, at (ISO 8601, UTC)
  grounds, waters   what the simulator knows of a paddock or water point and the station does not
  events   water_point, kind (leak, meter_leak, pump_failed, dry_run), start, end, rate_l_h
  start (ISO 8601, UTC), days, seed

The places are made up around the Asy plateau; they stand for no union's real paddocks.
"""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any

DEMO_START = "2026-05-15T00:00:00Z"
DEMO_DAYS = 30

Plain = dict[str, Any]

# id, (en, ru, kk), area ha, kind, texture, forage kg/ha, and the ground: elevation m, rain, sun, seep.
_PADDOCKS: tuple[Plain, ...] = (
    {
        "id": "asy-terrace",
        "name": {"en": "Asy upper terrace", "ru": "Верхняя терраса Ассы", "kk": "Асы жоғарғы жазығы"},
        "area_ha": 180.0,
        "kind": "summer",
        "soil": "loam",
        "forage_kg_ha": 700.0,
        "ground": {"elevation_m": 2350.0, "rain_factor": 0.9, "sun_factor": 1.0},
    },
    {
        "id": "kungei",
        "name": {"en": "Sunny slope", "ru": "Солнечный склон (кунгей)", "kk": "Күнгей беткей"},
        "area_ha": 150.0,
        "kind": "spring_autumn",
        "soil": "sandy_loam",
        "forage_kg_ha": 250.0,
        "forage_age_days": 40,  # nobody has looked since April: too old to graze a dry slope on
        "ground": {"elevation_m": 1150.0, "rain_factor": 0.3, "sun_factor": 1.15, "kcb": 0.85},
    },
    {
        "id": "sazdy",
        "name": {"en": "Sazdy wet meadow", "ru": "Сырой луг Сазды", "kk": "Сазды шалғын"},
        "area_ha": 60.0,
        "kind": "summer",
        "soil": "loam",
        "forage_kg_ha": 1100.0,
        "ground": {"elevation_m": 2300.0, "rain_factor": 0.95, "seep_mm_day": 9.0},
    },
    {
        "id": "teriskei",
        "name": {"en": "Shady slope", "ru": "Теневой склон (терискей)", "kk": "Теріскей беткей"},
        "area_ha": 140.0,
        "kind": "summer",
        "soil": "loam",
        "forage_kg_ha": 650.0,
        "ground": {"elevation_m": 2200.0, "rain_factor": 0.85, "sun_factor": 0.85},
    },
    {
        "id": "batan",
        "name": {"en": "Batan", "ru": "Батан", "kk": "Батан"},
        "area_ha": 200.0,
        "kind": "summer",
        "soil": "silt_loam",
        "forage_kg_ha": 600.0,
        "ground": {"elevation_m": 2100.0, "rain_factor": 0.8, "sun_factor": 1.0},
    },
    {
        "id": "qystau",
        "name": {"en": "By the winter quarters", "ru": "У зимовки", "kk": "Қыстау маңы"},
        "area_ha": 90.0,
        "kind": "spring_autumn",
        "soil": "loam",
        "forage_kg_ha": 500.0,
        "alternative": "river",
        "ground": {"elevation_m": 1700.0, "rain_factor": 0.65, "sun_factor": 1.0},
    },
)

_POINTS: tuple[Plain, ...] = (
    {
        "id": "asy-spring",
        "name": {"en": "Asy spring", "ru": "Родник Ассы", "kk": "Асы бұлағы"},
        "paddocks": ("asy-terrace", "sazdy"),
        "distance_km": {"asy-terrace": 0.9, "sazdy": 0.4},
        "tank_l": 12000.0,
        "depth_m": 2.0,
        "dead_l": 500.0,
        "supply": {"elevation_m": 2320.0, "supply": "spring", "supply_l_h": 250.0, "ec_ds_m": 0.35},
    },
    {
        "id": "batan-well",
        "name": {"en": "Batan well", "ru": "Колодец Батан", "kk": "Батан құдығы"},
        "paddocks": ("batan", "qystau"),
        "distance_km": {"batan": 1.1, "qystau": 2.2},
        "tank_l": 20000.0,
        "depth_m": 2.0,
        "dead_l": 800.0,
        "supply": {"elevation_m": 1950.0, "supply": "solar_pump", "supply_l_h": 1300.0, "ec_ds_m": 1.1},
    },
    {
        "id": "slope-tank",
        "name": {"en": "Slope tank", "ru": "Резервуар на склоне", "kk": "Беткейдегі су қоймасы"},
        "paddocks": ("kungei", "teriskei"),
        "distance_km": {"kungei": 1.8, "teriskei": 1.0},
        "tank_l": 15000.0,
        "depth_m": 1.8,
        "dead_l": 500.0,
        "supply": {"elevation_m": 1800.0, "supply": "spring", "supply_l_h": 260.0, "ec_ds_m": 0.8},
    },
)

_HERDS: tuple[Plain, ...] = (
    {
        "id": "otar-1",
        "name": {"en": "Sheep, flock 1", "ru": "Отара 1", "kk": "1-отар"},
        "species": "sheep",
        "head": 600,
        "live_weight_kg": 50.0,
    },
    {
        "id": "tabyn-1",
        "name": {"en": "Cattle", "ru": "Гурт коров", "kk": "Сиыр табыны"},
        "species": "cattle",
        "head": 70,
        "live_weight_kg": 420.0,
    },
    {
        "id": "uiir-1",
        "name": {"en": "Horses", "ru": "Табун", "kk": "Жылқы үйірі"},
        "species": "horse",
        "head": 60,
        "live_weight_kg": 380.0,
    },
)

# herd, paddock, day of a run of 30. At the end the winter quarters rest, the cattle sit by a well whose pump has
# failed, the sheep by a tank that leaks.
_MOVES: tuple[tuple[str, str, float], ...] = (
    ("otar-1", "qystau", 0.1),
    ("tabyn-1", "batan", 0.1),
    ("uiir-1", "asy-terrace", 0.2),
    ("otar-1", "teriskei", 12.1),
)

# water point, kind, from day, to day counted from the END of the run, L/h: so a short run shows the same picture.
_EVENTS: tuple[tuple[str, str, float, float, float], ...] = (
    ("batan-well", "pump_failed", 5.3, -2.0, 0.0),
    ("slope-tank", "leak", 1.6, -2.0, 360.0),
)

# One place a node around the gateway, km east and north.
_SITES = ((1.2, 0.8), (-4.1, -2.6), (0.6, 1.9), (-2.3, 1.1), (3.8, -1.7), (5.2, -3.4))
_WATER_SITES = ((1.5, 1.4), (4.3, -2.4), (-3.0, -0.9))


def demo_station(
    n_soil: int = 6, n_water: int = 3, seed: int = 1, start: str = DEMO_START, days: int = DEMO_DAYS
) -> Plain:
    """The demo with any number of nodes: the six paddocks and three water points come again, numbered, beyond that.

    start: ISO 8601, UTC where no zone is given. Paddocks without a node are left out; a paddock that no water point
    serves has the river.
    """
    if n_soil < 0 or n_water < 0 or n_soil + n_water == 0 or days < 1:
        raise ValueError(f"a station of {n_soil} soil and {n_water} water nodes for {days} days has nothing to show")
    begin = dt.datetime.fromisoformat(start)
    begin = begin.astimezone(dt.UTC) if begin.tzinfo else begin.replace(tzinfo=dt.UTC)
    rounds = max(1, -(-n_soil // len(_PADDOCKS)), -(-n_water // len(_POINTS)))
    paddocks = [_numbered(entry, turn) for turn in range(rounds) for entry in _PADDOCKS][: max(n_soil, 1)]
    present = {paddock["id"] for paddock in paddocks}
    points = [_numbered(entry, turn) for turn in range(rounds) for entry in _POINTS][:n_water]
    for point in points:
        # A point whose own paddocks carry no node still waters somebody: the first paddock.
        point["paddocks"] = [name for name in point["paddocks"] if name in present] or [paddocks[0]["id"]]
        point["distance_km"] = {name: point["distance_km"].get(name, 2.5) for name in point["paddocks"]}
    watered = {name for point in points for name in point["paddocks"]}
    for paddock in paddocks:
        paddock["forage_date"] = (begin + dt.timedelta(days=days - paddock.pop("forage_age_days", 13))).date()
        if paddock["id"] not in watered:
            paddock["alternative"] = "river"
    herds, moves = _stock(begin, days, present, rounds)
    return {
        "seed": seed,
        "start": _iso(begin),
        "days": days,
        "config": {
            "station": {"name": "Asy", "timezone": "Asia/Almaty", "region": "IN865"},
            "paddock": [{key: value for key, value in paddock.items() if key != "ground"} for paddock in paddocks],
            "water_point": [{key: value for key, value in point.items() if key != "supply"} for point in points],
            "herd": herds,
        },
        "grounds": {paddock["id"]: paddock["ground"] for paddock in paddocks},
        "waters": {point["id"]: point["supply"] for point in points},
        "nodes": _nodes(paddocks[:n_soil], points),
        "moves": moves,
        "events": _events(begin, days, {point["id"] for point in points}, rounds),
    }


def _numbered(entry: Plain, turn: int) -> Plain:
    """A template, or its copy with " 2", " 3" behind every id and name."""
    out = copy.deepcopy(entry)
    if turn:
        out["id"] = _id(entry["id"], turn)
        out["name"] = {language: f"{name} {turn + 1}" for language, name in entry["name"].items()}
        if "paddocks" in out:
            out["paddocks"] = [_id(name, turn) for name in entry["paddocks"]]
            out["distance_km"] = {_id(name, turn): km for name, km in entry["distance_km"].items()}
        if "ground" in out:
            # The copies lie a little lower each, so that they are not the same field twice.
            out["ground"]["elevation_m"] -= 40.0 * turn
    elif "paddocks" in out:
        out["paddocks"] = list(out["paddocks"])
    return out


def _id(name: str, turn: int) -> str:
    return f"{name}-{turn + 1}" if turn else name


def _iso(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _stock(begin: dt.datetime, days: int, present: set[str], rounds: int) -> tuple[list[Plain], list[Plain]]:
    """The herds that find a paddock, and their moves; the calendar shrinks or grows with the run."""
    herds: list[Plain] = []
    moves: list[Plain] = []
    for turn in range(rounds):
        for herd in _HERDS:
            ident = _id(herd["id"], turn)
            own = [
                {"herd": ident, "paddock": _id(paddock, turn), "at": _iso(begin + dt.timedelta(days=day * days / 30))}
                for name, paddock, day in _MOVES
                if name == herd["id"] and _id(paddock, turn) in present
            ]
            if own:
                herds.append({**_numbered(herd, turn)})
                moves += own
    return herds, sorted(moves, key=lambda move: (move["at"], move["herd"]))


def _events(begin: dt.datetime, days: int, present: set[str], rounds: int) -> list[Plain]:
    end = begin + dt.timedelta(days=days)
    return [
        {
            "water_point": _id(name, turn),
            "kind": kind,
            "start": _iso(max(begin, end - dt.timedelta(days=first))),
            "end": _iso(end - dt.timedelta(days=last)),
            "rate_l_h": rate,
        }
        for turn in range(rounds)
        for name, kind, first, last, rate in _EVENTS
        if _id(name, turn) in present
    ]


def _nodes(paddocks: list[Plain], points: list[Plain]) -> list[Plain]:
    """One node a paddock with probes at 10 and 30 cm, one a water point."""
    out: list[Plain] = []
    for i, paddock in enumerate(paddocks):
        turn = i // len(_SITES)
        x, y = _SITES[i % len(_SITES)]
        # One node's panel lies in the shade: its battery goes down, and somebody should see it.
        power = {"panel_w": 0.002, "load_mw": 6.0, "start": 0.62} if i == 4 else {}
        probes = [{"name": "top", "depth_cm": 10, "position": 1}, {"name": "root", "depth_cm": 30, "position": 2}]
        out.append(
            {
                "name": f"soil-{i + 1}",
                "kind": "soil",
                "paddock": paddock["id"],
                "probes": probes,
                "x_km": round(x + 0.3 * turn, 2),
                "y_km": round(y - 0.4 * turn, 2),
                "power": power,
            }
        )
    for i, point in enumerate(points):
        turn = i // len(_WATER_SITES)
        x, y = _WATER_SITES[i % len(_WATER_SITES)]
        out.append(
            {
                "name": f"water-{i + 1}",
                "kind": "water",
                "water_point": point["id"],
                "probes": [],
                "x_km": round(x + 0.3 * turn, 2),
                "y_km": round(y - 0.4 * turn, 2),
                "power": {},
            }
        )
    return out
