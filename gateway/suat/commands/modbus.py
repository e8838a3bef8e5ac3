"""`suat modbus`: what a wired device answers, for the technician at the tank."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from suat.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, load
from suat.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from suat.config import Config
    from suat.ingest.bus.tables import DeviceTable, ModbusTable


def read(
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="As the configuration names it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Ask a device once: each register raw, as the number in it, and as the reading. Nothing is kept."""
    from suat.ingest.bus.client import OUTCOMES, Bus
    from suat.serial_line import port_fault

    table, row = _find(load(config), device)
    if table.port is not None and (fault := port_fault(table.port)) is not None:
        raise UsageError(fault)
    bus = Bus(table)
    try:
        found = bus.read(row, table.retries)
    finally:
        bus.close()
    for register in found:
        entry = register.entry
        words = " ".join(f"{word:04x}" for word in register.words)
        if as_json:
            line = {
                "field": entry.field,
                "address": entry.address,
                "words": list(register.words),
                "number": register.number if register.value is not None else None,  # JSON has no NaN
                "value": register.value,
                "fault": OUTCOMES[register.fault] if register.fault else None,
                "why": register.text,
            }
            print(json.dumps(line, ensure_ascii=False))
            continue
        number = "-" if register.number is None else f"{register.number:.7g}"
        value = f"= {register.value:.7g}" if register.value is not None else OUTCOMES[register.fault]
        print(
            f"{entry.field:18} function {entry.function} at {entry.address:5}  {words or '-':9}  {number:>12}  {value}"
            f"{f' ({register.text})' if register.text else ''}"
        )
    if any(register.fault for register in found):
        raise typer.Exit(1)


def _find(settings: Config, name: str) -> tuple[ModbusTable, DeviceTable]:
    """The line and the device of that name."""
    known = [(table, row) for table in settings.ingest if table.kind == "modbus" for row in table.devices]
    names = [row.device for _, row in known]
    if name not in names:
        listed = ", ".join(names) or "none"
        raise UsageError(f'--device: the configuration has no "{name}"{did_you_mean(name, names)}; it has {listed}')
    return known[names.index(name)]
