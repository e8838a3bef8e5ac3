"""`suat readings` and `suat status`: what the station knows."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Annotated, Any

import typer

from suat.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, instant_us, iso_utc, load, station_us
from suat.errors import UsageError, did_you_mean
from suat.records import DeviceRecord, flag_names

_EVER = 1 << 62  # [us]


def readings(
    config: ConfigOption = DEFAULT_CONFIG,
    node: Annotated[str | None, typer.Option(metavar="NAME", help="Of this node alone.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="ISO", help="From this instant on (ISO 8601; UTC unless it says else).")
    ] = None,
    episodes: Annotated[
        bool,
        typer.Option("--episodes", help="Instead: from when to when probes were broken and not used."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """The readings in the journal, by time: raw as sent, and cleaned with the flags that explain it."""
    from suat.store.journal import Reader

    settings = load(config)
    since_us = 0 if since is None else instant_us(since, "--since")
    with Reader(settings.journal_path) as reader:
        devices = {record.registration: record for record in reader.devices()}
        chosen = _chosen(devices, node)
        if episodes:
            for number, device in devices.items():
                if chosen == [None] or number in chosen:
                    lasting = reader.lasting_episodes(number, _EVER)
                    for episode in reader.episodes(number, since_us):
                        _print_episode(episode, device, episode in lasting, as_json)
            return
        for registration in chosen:
            for reading in reader.readings(registration, since_us):
                _print(reading, devices[reading.registration], as_json)


def _chosen(devices: dict[int, DeviceRecord], node: str | None) -> list[int | None]:
    """The registrations to show: all in one walk, or every one that ever had the name."""
    return [None] if node is None else [record.registration for record in named(devices.values(), node)]


def named(devices: Collection[DeviceRecord], node: str | None) -> list[DeviceRecord]:
    """Every node that ever had the name (or the DevEUI); all if none is given. UsageError: there was none."""
    found = [record for record in devices if node in (None, record.name, record.dev_eui)]
    if node is not None and not found:
        names = sorted({record.name for record in devices})
        raise UsageError(f'--node: there is no node "{node}"{did_you_mean(node, names)}; see: suat device list')
    return found


def _print(reading: Any, device: DeviceRecord, as_json: bool) -> None:
    probe = device.probe_name(reading.group)
    flags = flag_names(reading.flags)
    if as_json:
        row = {
            "time": iso_utc(reading.time_us),
            "node": device.name,
            "record": reading.record,
            "probe": probe,
            "channel": reading.channel,
            "value": reading.value,
            "unit": reading.unit,
            "raw": reading.raw,
            "flags": flags,
        }
        print(json.dumps(row, ensure_ascii=False))
        return
    value = "-" if reading.value is None else f"{reading.value:.4g}"
    print(
        f"{iso_utc(reading.time_us)[:19]}Z  {device.name:16} {reading.record:8} {probe:10} {reading.channel:14}"
        f" {value:>10} {reading.unit:6} raw {reading.raw:<10.6g} {' '.join(flags)}".rstrip()
    )


def _print_episode(episode: Any, device: DeviceRecord, lasts: bool, as_json: bool) -> None:
    from suat.store.channels import BY_CODE

    channel = BY_CODE[episode.code]
    probe = device.probe_name(channel.group)
    since, until = iso_utc(episode.since_us), iso_utc(episode.until_us)
    if as_json:
        row = {"node": device.name, "probe": probe, "channel": channel.name, "since": since, "until": until}
        print(json.dumps({**row, "lasts": lasts}, ensure_ascii=False))
        return
    end = "lasts" if lasts else f"{until[:19]}Z"
    print(f"{since[:19]}Z  {end:20}  {device.name:16} {probe:10} {channel.name}")


def status(
    config: ConfigOption = DEFAULT_CONFIG,
    at: Annotated[
        str | None, typer.Option(metavar="ISO", help="As it was at this instant; needed for a replay of the past.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Each paddock's status and why, the water left, the nodes and the link."""
    from suat.pasture.status import station_status
    from suat.store.journal import Reader

    settings = load(config)
    at_us = station_us(settings) if at is None else instant_us(at, "--at")
    with Reader(settings.journal_path) as reader:
        found = station_status(settings, reader, at_us)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    print_status(found)


def print_status(found: dict[str, Any]) -> None:
    """The status as text."""
    from suat.pasture.wording import rounded_down

    for paddock in found["paddocks"]:
        first = paddock["reasons"][0]["text"] if paddock["reasons"] else ""
        print(f"{paddock['id']:20} {paddock['status']:12} {first}")
    for point in found["water_points"]:
        level = "level unknown" if point["level_pct"] is None else f"{point['level_pct']:.0f} %"
        days = "" if point["days_left"] is None else f", {rounded_down(point['days_left']):g} days left"
        alerts = ", ".join(alert["kind"] for alert in point["alerts"])
        print(f"{point['id']:20} {level}{days}{'  ' + alerts if alerts else ''}")
    for node in found["nodes"]:
        seen = "never heard" if node["last_seen"] is None else f"last seen {node['last_seen']}"
        battery = "" if node["battery_v"] is None else f"  {node['battery_v']:.2f} V"
        print(f"{node['name']:20} {seen}{battery}")
        for broken in node["broken"]:
            print(f"{'':20} {broken['probe']}: {broken['channel']} is broken since {broken['since']}, and not used")
    print("link: " + ", ".join(f"{name} {count}" for name, count in found["link"].items()))
