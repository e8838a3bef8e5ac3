"""`suat device`: the register of nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suat.commands.configure import described, standing
from suat.commands.key_options import given_keys, keys_of_file
from suat.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, existing_journal, iso_utc, load, station_us
from suat.errors import UsageError, did_you_mean
from suat.network.wired import is_wired
from suat.records import DeviceRecord

if TYPE_CHECKING:
    from suat.store.downlinks import Link


def add(
    name: Annotated[str, typer.Option(metavar="NAME", help="The node's name, as on its label.")],
    kind: Annotated[str, typer.Option(metavar="KIND", help="soil or water.")],
    config: ConfigOption = DEFAULT_CONFIG,
    dev_eui: Annotated[str | None, typer.Option(metavar="HEX", help="DevEUI, 16 hex digits.")] = None,
    join_eui: Annotated[str | None, typer.Option(metavar="HEX", help="OTAA: JoinEUI, 16 hex digits.")] = None,
    app_key: Annotated[str | None, typer.Option(metavar="HEX", help="OTAA: AppKey, 32 hex digits; - asks.")] = None,
    dev_addr: Annotated[str | None, typer.Option(metavar="HEX", help="ABP: DevAddr, 8 hex digits.")] = None,
    nwk_skey: Annotated[str | None, typer.Option(metavar="HEX", help="ABP: NwkSKey, 32 hex digits; - asks.")] = None,
    app_skey: Annotated[str | None, typer.Option(metavar="HEX", help="ABP: AppSKey, 32 hex digits; - asks.")] = None,
    keys_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take the keys from this JSON file, such as the node's suat.json."),
    ] = None,
    paddock: Annotated[str | None, typer.Option(metavar="ID", help="The paddock a soil node stands in.")] = None,
    water_point: Annotated[str | None, typer.Option(metavar="ID", help="The water point a water node watches.")] = None,
    probe: Annotated[
        list[str] | None, typer.Option(metavar="NAME:DEPTH_CM", help="Once for each probe, in order.")
    ] = None,
    relayed: Annotated[
        bool, typer.Option("--relayed", help="Another network server (ChirpStack) has the node's keys.")
    ] = False,
    wired: Annotated[bool, typer.Option("--wired", help="A device on a Modbus line: no radio, no DevEUI.")] = False,
) -> None:
    """Register a node. A node whose flash was erased is revoked and registered anew."""
    from suat.network import provision
    from suat.network.keys import RootKeys
    from suat.store.journal import Journal

    settings = load(config)
    keys = {"app_key": app_key, "nwk_skey": nwk_skey, "app_skey": app_skey}
    keys = given_keys(keys) if keys_file is None else keys_of_file(keys_file, keys)
    _known("--paddock", paddock, [entry.id for entry in settings.paddock])
    _known("--water-point", water_point, [entry.id for entry in settings.water_point])
    device = provision.new_device(
        name=name,
        kind=kind,
        dev_eui=dev_eui,
        join_eui=join_eui,
        dev_addr=dev_addr,
        **keys,
        paddock=paddock,
        water_point=water_point,
        probes=probe or (),
        relayed=relayed,
        wired=wired,
    )
    with Journal(settings.journal_path) as journal:
        number = provision.add(journal, RootKeys(settings.station.data_dir), device, station_us(settings))
    print(f'registered "{name}" as number {number}')


def list_devices(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """The nodes of the station; never a key."""
    from suat.store import downlinks as kept
    from suat.store.journal import Reader

    settings = load(config)
    if not settings.journal_path.exists():
        records, keyed, ordered, links = [], set(), {}, {}
    else:
        with Reader(settings.journal_path) as reader:
            records = reader.devices()
            ordered = standing(reader)
            links = reader.read(kept.links)
            keyed = {session.registration for session in reader.sessions()}
    if as_json:
        for record in records:
            print(
                json.dumps(
                    {
                        "registration": record.registration,
                        "name": record.name,
                        "kind": record.kind,
                        "dev_eui": record.dev_eui,
                        "activation": _activation(record, record.registration in keyed),
                        "paddock": record.paddock,
                        "water_point": record.water_point,
                        "probes": [{"name": probe.name, "depth_cm": probe.depth_cm} for probe in record.probes],
                        "added": iso_utc(record.added_us),
                        "revoked": None if record.revoked_us is None else iso_utc(record.revoked_us),
                        "settings": ordered.get(record.registration),
                        "link": _link(links.get(record.registration)),
                    },
                    ensure_ascii=False,
                )
            )
        return
    if not records:
        print("no nodes yet; register one: suat device add --help")
    for record in records:
        place = record.paddock or record.water_point or "nowhere yet"
        state = "in use" if record.revoked_us is None else f"revoked {iso_utc(record.revoked_us)[:10]}"
        address = "wired" if is_wired(record.dev_eui) else record.dev_eui
        print(f"{record.registration:4}  {record.name:20} {record.kind:6} {address:16}  {place:20} {state}")
        if record.registration in ordered:
            print(f"      settings {described(ordered[record.registration])}")


def revoke(
    name: Annotated[str, typer.Argument(help="The node's name or DevEUI.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take a node out of use: its frames are refused within seconds, its readings stay."""
    from suat.network import provision
    from suat.network.keys import RootKeys
    from suat.store.journal import Journal

    settings = load(config)
    with Journal(existing_journal(settings)) as journal:
        record = provision.revoke(journal, RootKeys(settings.station.data_dir), name, station_us(settings))
    print(f'revoked "{record.name}" (number {record.registration})')


def _link(link: Link | None) -> dict[str, object] | None:
    """What the node's radio was set to, and what it told of itself when it was last asked (DevStatusAns)."""
    if link is None:
        return None
    return {
        "tx_power": link.tx_power,
        "nb_trans": link.nb_trans,
        "battery_254": link.battery,  # 0 external supply, 1 empty to 254 full, 255 unknown (TS001 5.5)
        "margin_db": link.margin_db,
        "told": None if link.status_us is None else iso_utc(link.status_us),
    }


def _activation(record: DeviceRecord, keyed: bool) -> str:
    """How a node got its session; one that is revoked has none any more."""
    if record.join_eui is not None:
        return "OTAA"
    if is_wired(record.dev_eui):
        return "wired"
    return "ABP" if keyed or record.revoked_us is not None else "relayed"


def _known(option: str, name: str | None, known: list[str]) -> None:
    if name is not None and name not in known:
        listed = ", ".join(known) or "none"
        raise UsageError(f'{option}: the configuration has no "{name}"{did_you_mean(name, known)}; it has {listed}')
