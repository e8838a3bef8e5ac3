"""`suat device configure`: settings for a node in the field, which travel with the answers to its uplinks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suat.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, existing_journal, iso_utc, load, station_us
from suat.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from suat.store.reader import Reader

_UNITS = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86_400}
_WORDS = {"true": 1, "on": 1, "false": 0, "off": 0}


def configure(
    name: Annotated[str, typer.Argument(help="The node's name or DevEUI.")],
    config: ConfigOption = DEFAULT_CONFIG,
    interval: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time between samples, such as 900s, 30min or 2h.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of docs/payload.md, whole number."),
    ] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Take back what is pending.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Order settings for a node, take them back, or see how they stand.

    They are sent with the answers to the node's next uplinks and are pending until its health shows that it has taken
    them. A node that hears nothing more under new settings goes back to the old ones by itself.
    """
    from suat_wire.payload import PayloadError

    from suat.network import orders, provision
    from suat.network.wired import is_wired
    from suat.store import downlinks as kept
    from suat.store.journal import Journal

    wanted = _wanted(interval, setting or ())
    if cancel and wanted:
        raise UsageError("--cancel: give it alone; then order anew")
    try:
        payloads = orders.payloads(wanted) if wanted else []
    except PayloadError as error:
        raise UsageError(f"--set: {error}; the settings are listed in docs/payload.md") from error
    station = load(config)
    with Journal(existing_journal(station)) as journal, journal.reader() as reader:
        device = provision.find(reader, name)
        if is_wired(device.dev_eui):
            raise UsageError(f'"{device.name}" is wired: it takes no settings; its table in the configuration has them')
        if cancel:
            count = kept.cancel_orders(journal, device.registration, station_us(station))
            _say(as_json, {"name": device.name, "cancelled": count}, f'took back {count} orders for "{device.name}"')
            return
        if payloads:
            pending = [order for order in _orders(reader, device.registration) if order.state == kept.PENDING]
            if len(pending) + len(payloads) > orders.MOST_WAITING:
                raise UsageError(
                    f'{len(pending)} payloads wait for "{device.name}" already, {orders.MOST_WAITING} may;'
                    f" it must be heard first, or: suat device configure {name} --cancel"
                )
            kept.add_orders(journal, device.registration, payloads, station_us(station))
        found = standing(reader).get(device.registration)
    _say(as_json, {"name": device.name, "settings": found}, f"{device.name}: {described(found)}")


def _wanted(interval: str | None, settings: Sequence[str]) -> dict[str, int]:
    """{name: whole number} of the options; UsageError."""
    from suat_wire.control import SETTINGS

    known = {name: (low, high) for _, name, _, low, high, _ in SETTINGS}
    wanted: dict[str, int] = {}
    if interval is not None:
        found = re.fullmatch(r"(\d{1,7})\s*(s|min|h|d|)", interval.strip())
        if not found:
            raise UsageError(f'--interval "{interval}": write it as 900s, 30min, 2h or 1d')
        wanted["interval_s"] = int(found[1]) * _UNITS[found[2]]
    for text in settings:
        name, equals, value = text.partition("=")
        number = _WORDS.get(value.lower(), value)
        if not equals or (isinstance(number, str) and not re.fullmatch(r"-?\d{1,10}", number)):
            raise UsageError(f'--set "{text}" is not NAME=VALUE with a whole number, such as leak_fall=5')
        if name not in known:
            raise UsageError(
                f'--set: there is no setting "{name}"{did_you_mean(name, list(known))}; see docs/payload.md'
            )
        if name in wanted:
            raise UsageError(f"--set: {name} is given twice")
        wanted[name] = int(number)
    for name, whole in wanted.items():
        low, high = known[name]
        if not low <= whole <= high:
            option = "--interval" if name == "interval_s" and interval is not None else "--set"
            raise UsageError(
                f"{option}: {name}: {whole} is not a whole number within {low}..{high}; the settings: docs/payload.md"
            )
    return wanted


def _orders(reader: Reader, registration: int) -> list[Any]:
    from suat.store import downlinks as kept

    return [order for order in reader.read(kept.orders) if order.registration == registration]


def standing(reader: Reader) -> dict[int, dict[str, Any]]:
    """How the orders of each node stand, for people and JSON; nodes that never had any are left out."""
    from suat.network import orders
    from suat.store import downlinks as kept

    links = reader.read(kept.links)
    by_node: dict[int, list[kept.Order]] = {}
    for order in reader.read(kept.orders):
        by_node.setdefault(order.registration, []).append(order)
    out = {}
    for registration, found in by_node.items():
        link = links.get(registration)
        told = orders.summary(found, None if link is None else link.config)
        if told is not None:
            times = {name: told.pop(f"{name}_us") for name in ("ordered", "settled")}
            out[registration] = told | {
                name: None if at_us is None else iso_utc(at_us) for name, at_us in times.items()
            }
    return out


def described(found: dict[str, Any] | None) -> str:
    """One line for people."""
    if found is None:
        return "no settings were ordered"
    settings = ", ".join(f"{name} {value}" for name, value in (found["pending"] or found["last"]).items())
    times = f" (sent {found['sent']} times)" if found["sent"] else ""
    return f"{found['state']}: {settings}{times}"


def _say(as_json: bool, content: dict[str, Any], text: str) -> None:
    print(json.dumps(content, ensure_ascii=False) if as_json else text)
