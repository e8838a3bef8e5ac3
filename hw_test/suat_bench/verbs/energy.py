"""`suat-bench energy`: what a node draws, and how long a battery lasts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from suat.errors import UsageError

HELP = """What a node draws, and how long a battery lasts.

The node's own program runs for two days on the simulated bench; how long it did what is counted in the second one.
Currents and batteries: hw_test/suat_bench/energy_data.py, each with its source."""


def energy(
    board: Annotated[str, typer.Argument(help="Board, as in suat.json.", show_default=False)],
    config: Annotated[Path, typer.Argument(help="The node's suat.json.", show_default=False)],
    data_rate: Annotated[int | None, typer.Option(help="LoRaWAN data rate, 0 (SF12) to 5 (SF7).")] = None,
    sf: Annotated[int | None, typer.Option(help="The same as a spreading factor, 12 to 7.")] = None,
    interval: Annotated[int | None, typer.Option(help="Seconds between samples.")] = None,
    battery: Annotated[str, typer.Option(help="Battery; `--battery list` names them.")] = "d-lisocl2",
    warm: Annotated[bool, typer.Option("--warm", help="At 20 degC, not at -30.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """What a node draws, and how long a battery lasts."""
    from suat_bench import energy_budget, energy_data, energy_run

    if battery == "list":
        for name, cells in energy_data.BATTERIES.items():
            print(f"{name:12} {cells.name}")
        return
    cells = _of(energy_data.BATTERIES, battery, "battery")
    power = _of(energy_data.POWER, board, "board with known currents")
    raw, sensors, wiring = _configuration(board, config, _rate(data_rate, sf), interval)
    counted = energy_run.count(raw)
    rows = energy_budget.activities(counted, power, wiring, sensors, cells.volts)
    result: dict[str, Any] = {
        "board": board,
        "interval_s": raw["interval_s"],
        "spreading_factor": 12 - raw["radio"]["dr"],
        "frames_a_day": round(counted.frames, 1),
        "activities": [row._asdict() for row in rows],
        "mah_a_day": (spent := sum(row.mah for row in rows)),
        "average_ua": spent / 24 * 1000,
        "peak_ma": energy_budget.peak_ma(rows, power),
        "battery": {"name": battery, "what": cells.name, "source": cells.source},
        "celsius": 20 if warm else -30,
        **energy_budget.life(spent, cells, not warm)._asdict(),
        "pulse_capacitor": not cells.sun_mah and energy_budget.peak_ma(rows, power) > cells.pulse_ma,
    }
    print(json.dumps(result)) if as_json else _show(result)


def _of(table: dict[str, Any], name: str, what: str) -> Any:
    if name not in table:
        raise UsageError(f"no {what} of the name {name!r}; there are: {', '.join(table)}")
    return table[name]


def _rate(data_rate: int | None, sf: int | None) -> int | None:
    if data_rate is not None and sf is not None:
        raise UsageError("give either --data-rate or --sf")
    if sf is not None:
        if not 7 <= sf <= 12:
            raise UsageError(f"--sf must be 7..12, is {sf}")
        return 12 - sf
    if data_rate is not None and not 0 <= data_rate <= 5:
        raise UsageError(f"--data-rate must be 0..5, is {data_rate}")
    return data_rate


def _configuration(
    board: str, path: Path, data_rate: int | None, interval: int | None
) -> tuple[dict[str, Any], list[dict[str, Any]], Any]:
    """suat.json with what the command line says instead, its sensors with all options, and the board's module.

    The data rate is the configured one, whatever the network would make of it.
    """
    from suat_node import config

    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path} is not JSON") from None
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: one table is expected, as in docs/wiring.md")
    raw["board"] = board
    if interval is not None:
        raw["interval_s"] = interval
    radio = raw["radio"] = {**raw.get("radio", {}), "adr": False}
    if data_rate is not None:
        radio["dr"] = data_rate
    try:
        checked = config.check(raw)
        wiring = config.board(board)
    except config.ConfigError as error:
        raise UsageError(f"{path}: {error}") from None
    radio["dr"], raw["interval_s"] = checked.dr, checked.interval_s
    return raw, checked.sensors, wiring


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f"[bold]{result['board']}[/bold], every {result['interval_s']} s, SF{result['spreading_factor']}, "
        f"{result['frames_a_day']:.0f} frames a day"
    )
    table = Table(box=None, pad_edge=False)
    for name, side in (("", "left"), ("a day", "right"), ("mA", "right"), ("mAh/day", "right"), ("share", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    table.add_column("")
    most = max(row["mah"] for row in result["activities"])
    for row in result["activities"]:
        share = row["mah"] / result["mah_a_day"]
        bar = "█" * round(24 * row["mah"] / most) or "▏"
        table.add_row(row["name"], _time(row["seconds"]), f"{row['ma']:.3g}", f"{row['mah']:.3f}", f"{share:.0%}", bar)
    console.print(table)
    console.print(f"{result['mah_a_day']:.2f} mAh a day, {result['average_ua']:.0f} uA on average")
    for line in _battery(result):
        console.print(line, soft_wrap=True)
    console.print("\nSources", style="bold")
    for row in [*result["activities"], {"name": "battery", **result["battery"]}]:
        console.print(f"  {row['name']}: {row['source']}", soft_wrap=True)


def _battery(result: dict[str, Any]) -> list[str]:
    what = result["battery"]["what"]
    head = f"{what} at {result['celsius']} degC, {result['ah']:.1f} Ah: "
    if result["days_without_sun"] is None:
        out = [f"{head}[bold]{result['years']:.1f} years[/bold]"]
    else:
        out = [f"{head}[bold]{result['days_without_sun']:.0f} days[/bold] without sun"]
        out.append(
            f"in December the panel brings {result['sun_covers']:.1f} times what is needed, when it is not freezing"
        )
    first, second = result["activities"][:2]
    out.append(f"what limits it: {first['name']} ({first['mah'] / result['mah_a_day']:.0%}), then {second['name']}")
    if result["pulse_capacitor"]:
        out.append(f"needs a pulse capacitor: up to {result['peak_ma']:.0f} mA while it sends (docs/power.md)")
    return out


def _time(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.1f} s"
