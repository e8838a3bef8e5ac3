"""From seconds a day and currents to charge a day and years on a battery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from suat_bench.energy_data import RADIO_READY, RX, SENSORS, TX_MA, TX_SOURCE, Battery, Figure, Power
from suat_bench.energy_run import DAY_S, Counted

HOURS_A_YEAR = 365.25 * 24


class Activity(NamedTuple):
    """One line of the budget: what, how long a day, at which current, what that takes out of the battery."""

    name: str
    seconds: float
    ma: float
    mah: float
    source: str


class Life(NamedTuple):
    """How long a battery lasts: years for a primary cell, days without sun for one that is charged."""

    ah: float
    years: float
    days_without_sun: float | None
    sun_covers: float | None


def activities(
    counted: Counted, power: Power, board: Any, sensors: Iterable[Mapping[str, Any]], volts: float
) -> list[Activity]:
    """The budget, the costliest first."""
    board_scale = power.supply_v / volts if power.supply_v else 1.0
    rail_scale = 3.3 / (power.efficiency * volts) if power.supply_v else 1.0
    started = counted.wakes * power.start_s if not power.supply_v else 0.0  # a board that stays in its program
    computed = counted.wakes * power.compute_s.value
    sent = sum(counted.tx.values())
    awake = counted.awake + computed
    rows = [
        ("asleep", DAY_S - awake, power.asleep, board_scale),
        ("starting", started, power.busy, board_scale),
        (
            "computing",
            computed,
            Figure(power.busy.value, f"{power.busy.source}; {power.compute_s.source}"),
            board_scale,
        ),
        ("waiting", counted.awake - started, power.waiting, board_scale),
        ("radio ready", max(0.0, counted.radio - sent - counted.rx), RADIO_READY, rail_scale),
        ("receiving", counted.rx, RX, rail_scale),
    ]
    rows += [(f"sending {dbm:g} dBm", s, Figure(tx_ma(dbm), TX_SOURCE), rail_scale) for dbm, s in counted.tx.items()]
    for sensor in sensors:
        figure = SENSORS.get(sensor["kind"], Figure(0.0, "not in the table"))
        if figure.value:
            rows.append((f"{sensor['kind']} {sensor['at']}", fed(sensor, counted, board), figure, rail_scale))
    out = [
        Activity(name, seconds, figure.value * scale, seconds / 3600 * figure.value * scale, figure.source)
        for name, seconds, figure, scale in rows
        if seconds
    ]
    return sorted(out, key=lambda row: -row.mah)


def tx_ma(dbm: float) -> float:
    """Current of the output stage that the driver chooses for a power (sx126x.py, table 13-21)."""
    return next((ma for top, ma in TX_MA if dbm <= top), TX_MA[-1][1])


def fed(sensor: Mapping[str, Any], counted: Counted, board: Any) -> float:
    """Seconds a day that a sensor has its supply: always, where nothing switches it."""
    pin = sensor["power"] if sensor["power"] is not None else board.VEXT
    return DAY_S if pin is None else counted.on.get(pin, 0.0)


def peak_ma(rows: Iterable[Activity], power: Power) -> float:
    """The largest current: the processor and the output stage together."""
    return max(row.ma for row in rows if row.name.startswith("sending")) + power.busy.value


def life(mah_a_day: float, battery: Battery, cold: bool) -> Life:
    """What the battery gives: its own losses run beside the node's."""
    ah = battery.ah * (battery.cold if cold else 1.0)
    lost_ma = battery.ah * 1000 * battery.lost_a_year / HOURS_A_YEAR
    years = ah * 1000 / (mah_a_day / 24 + lost_ma) / HOURS_A_YEAR
    if not battery.sun_mah:
        return Life(ah, years, None, None)
    return Life(ah, years, years * 365.25, battery.sun_mah / (mah_a_day + lost_ma * 24))
