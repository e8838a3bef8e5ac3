"""A made-up evening on a jailau, for looking at the board page: every status and every trouble once."""

from __future__ import annotations

from datetime import UTC, date, datetime

from suat.config import Config, parse
from suat.pasture.model import DAY_US, HOUR_US, Layer, Node, Snapshot, Soil, SoilDay, Stay, Water
from suat.pasture.soil_water import TEXTURES

AT_US = int(datetime(2026, 7, 4, 12, 40, tzinfo=UTC).timestamp()) * 1_000_000
MINUTE_US = HOUR_US // 60

PADDOCKS = (
    # id, kk, ru, en, ha, kind, soil, kg/ha, date of the estimate
    ("asy-1", "Асы 1", "Асы 1", "Asy 1", 120, "summer", "loam", 270, date(2026, 6, 20)),
    (
        "asy-2",
        "Асы 2, жоғарғы жайлау",
        "Асы 2, верхний джайляу",
        "Asy 2, upper jailau",
        160,
        "summer",
        "loam",
        700,
        date(2026, 6, 22),
    ),
    ("bulaq", "Бұлақбасы", "Булакбасы", "Bulaqbasy", 90, "summer", "silt_loam", 650, date(2026, 6, 18)),
    ("saz", "Саз", "Саз (низина)", "Saz bottomland", 60, "summer", "clay_loam", 900, date(2026, 6, 18)),
    ("qyrqa", "Қырқа", "Кырка", "Qyrqa ridge", 140, "spring_autumn", "sandy_loam", 300, date(2026, 5, 2)),
    ("auyl", "Ауыл маңы", "Присельский участок", "Village side", 45, "near_village", "loam", 350, date(2026, 6, 25)),
    ("shili", "Шилі", "Шили", "Shili", 80, "summer", "loam", 500, date(2026, 5, 20)),
    ("tau", "Тау бөктері", "Предгорье", "Foothill", 200, "spring_autumn", "loam", 0, None),
)
POINTS = (
    # id, kk, ru, en, paddocks, km, L, m
    ("bulaq-su", "Бұлақ", "Родник Булак", "Bulaq spring", ["asy-1", "asy-2", "bulaq", "shili"], 1.2, 25000, 2.0),
    ("qudyq", "Қырқа құдығы", "Колодец Кырка", "Qyrqa well", ["qyrqa", "saz"], 1.8, 20000, 1.6),
    ("auyl-su", "Ауыл науасы", "Сельская поилка", "Village trough", ["auyl"], 0.6, 5000, 1.0),
    ("tau-su", "Тау бөгеті", "Горный пруд", "Foothill pond", ["tau"], 2.4, 40000, 2.5),
)  # fmt: skip


def config() -> Config:
    """The station of the example."""
    paddocks = [
        {
            "id": name, "name": {"kk": kk, "ru": ru, "en": en}, "area_ha": area, "kind": kind, "soil": soil,
            **({"forage_kg_ha": forage, "forage_date": made} if made else {}),
        }
        for name, kk, ru, en, area, kind, soil, forage, made in PADDOCKS
    ]  # fmt: skip
    points = [
        {
            "id": name, "name": {"kk": kk, "ru": ru, "en": en}, "paddocks": near, "distance_km": km, "tank_l": litres,
            "depth_m": depth, "dead_l": litres / 20,
        }
        for name, kk, ru, en, near, km, litres, depth in POINTS
    ]  # fmt: skip
    herds = [
        {
            "id": "otar-1", "name": {"kk": "Бірінші отар", "ru": "Первая отара", "en": "First flock"},
            "species": "sheep", "head": 600, "live_weight_kg": 50,
        },
        {
            "id": "siyr", "name": {"kk": "Сиыр табыны", "ru": "Стадо коров", "en": "Cow herd"},
            "species": "cow_with_calf", "head": 45, "live_weight_kg": 450,
        },
    ]  # fmt: skip
    return parse(
        {
            "station": {"name": "Асы", "timezone": "Asia/Almaty", "data_dir": "/nowhere"},
            "paddock": paddocks,
            "water_point": points,
            "herd": herds,
        }
    )


def _soil(texture: str, top: float, low: float, minutes: int, growth: int = 0) -> Soil:
    wilting, capacity, _ = TEXTURES[texture]
    layers = tuple(
        Layer(depth, wilting + fraction * (capacity - wilting), AT_US - minutes * MINUTE_US)
        for depth, fraction in ((10.0, top), (30.0, low))
    )
    days = tuple(SoilDay(AT_US - (growth - i) * DAY_US, 14.0, 0.6) for i in range(growth))
    return Soil(layers=layers, days=days, temperature_c=17.0)


def _node(name: str, paddock: str | None, point: str | None, minutes: int | None, volts: float, rssi: float) -> Node:
    seen = None if minutes is None else AT_US - minutes * MINUTE_US
    return Node(name, "soil" if paddock else "water", paddock, point, seen, 900.0, volts, rssi, 6.5)


def snapshot() -> Snapshot:
    """What the station knows in the example."""
    return Snapshot(
        at_us=AT_US,
        soils={
            "asy-1": _soil("loam", 0.55, 0.70, 9),
            "asy-2": _soil("loam", 0.62, 0.80, 14, 50),
            "bulaq": _soil("silt_loam", 0.45, 0.60, 4, 21),
            "saz": _soil("clay_loam", 1.10, 1.05, 12, 60),
            "qyrqa": _soil("sandy_loam", 0.06, 0.12, 3, 60),
            "shili": _soil("loam", 0.38, 0.52, 17, 60),
            "auyl": _soil("loam", 0.42, 0.52, 11),
            "tau": Soil((Layer(10.0, 0.22, AT_US - 31 * HOUR_US), Layer(30.0, 0.24, AT_US - 31 * HOUR_US))),
        },
        waters={
            "bulaq-su": Water(0.82, AT_US - 8 * MINUTE_US, use_l_day=3400),
            "qudyq": Water(0.28, AT_US - 15 * MINUTE_US, use_l_day=300),
            "auyl-su": Water(0.02, AT_US - 6 * MINUTE_US, empty_since_us=AT_US - 5 * HOUR_US, use_l_day=2600),
            "tau-su": Water(0.61, AT_US - 9 * HOUR_US),
        },
        stays=(
            Stay("otar-1", "saz", AT_US - 110 * DAY_US, AT_US - 95 * DAY_US),
            Stay("otar-1", "shili", AT_US - 130 * DAY_US, AT_US - 110 * DAY_US),
            Stay("otar-1", "asy-2", AT_US - 95 * DAY_US, AT_US - 60 * DAY_US),
            Stay("otar-1", "qyrqa", AT_US - 60 * DAY_US, AT_US - 47 * DAY_US),
            Stay("otar-1", "bulaq", AT_US - 47 * DAY_US, AT_US - 21 * DAY_US),
            Stay("otar-1", "asy-1", AT_US - 12 * DAY_US, None),
            Stay("siyr", "auyl", AT_US - 4 * DAY_US, None),
        ),
        nodes=(
            _node("topyraq-1", "asy-1", None, 9, 3.92, -88),
            _node("topyraq-2", "asy-2", None, 14, 3.88, -101),
            _node("topyraq-3", "bulaq", None, 4, 4.01, -93),
            _node("topyraq-4", "saz", None, 12, 3.70, -109),
            _node("topyraq-5", "qyrqa", None, 3, 3.95, -97),
            _node("topyraq-6", "auyl", None, 11, 3.97, -71),
            _node("topyraq-7", "tau", None, 31 * 60, 3.35, -118),
            _node("topyraq-8", "shili", None, 17, 3.90, -95),
            _node("su-1", None, "bulaq-su", 8, 3.98, -84),
            _node("su-2", None, "qudyq", 15, 3.91, -99),
            _node("su-3", None, "auyl-su", 6, 3.99, -69),
            _node("su-4", None, "tau-su", 9 * 60, 3.61, -115),
        ),
        air_max_c=27.0,
        counters={"received": 48211, "accepted": 47903, "duplicate": 288, "bad_mic": 3, "unknown_device": 17},
    )
