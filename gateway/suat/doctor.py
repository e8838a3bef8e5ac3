"""What is wrong with a station and what to do about it, found without stopping it."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections.abc import Iterator
from typing import Literal, NamedTuple

from suat import hardware, preflight, running, timekeeping
from suat.config import Config
from suat.ingest.bus.condition import wired_condition
from suat.network.wired import is_wired
from suat.records import Flag
from suat.show.condition import board_condition, own_page
from suat.store.channels import BY_CODE
from suat.store.condition import condition
from suat.store.journal import JournalError, Reader
from suat.store.tables import InfluxTable

Level = Literal["good", "look", "bad"]

LOW_DISK = 0.10  # of the disk
OFF_US = 60_000_000  # the machine's clock may be off by so much before somebody should know
WORN_PCT = (80, 100)  # of a card's life: see to another; it may fail any day
HOT_C = 80.0  # a Raspberry Pi slows down from here on
ANSWER_S = 10.0  # for the running station's own word
SILENCE_US = 6 * 3_600_000_000  # no frame at all for so long
FEW_FRAMES = 100  # fewer say nothing about shares
FORGED_SHARE = 0.05  # of all frames: more than stray neighbours would explain


class Finding(NamedTuple):
    """One thing that was looked at."""

    level: Level
    what: str
    todo: str = ""


def examine(config: Config, now_us: int) -> list[Finding]:
    """Everything that can be looked at from outside, the worst first."""
    findings = [
        *_clock(config),
        *_machine(config),
        *_running(config),
        *itertools.starmap(Finding, board_condition(config, now_us)),
        *_journal(config, now_us),
        *_sinks(config),
    ]
    return sorted(findings, key=lambda finding: ("bad", "look", "good").index(finding.level))


def _clock(config: Config) -> Iterator[Finding]:
    """Where the time comes from. Without any source readings are kept, but have no date."""
    table = config.time
    told, monotonic_us = timekeeping.examine(table, config.station.data_dir)
    for chip in hardware.clock_chips():
        if hardware.kept_by_battery(chip) and (chip.seconds is None or chip.seconds * 1_000_000 < table.floor_us):
            yield Finding(
                "bad",
                f"the clock chip {chip.name} ({chip.place}) has lost the time",
                "change its battery, then, with the machine's clock right: hwclock --systohc",
            )
    if not told:
        yield Finding(
            "bad",
            f"nothing tells the time ({', '.join(table.sources)}): readings are kept but have no date",
            "confirm the time with the PIN, let NTP reach the machine, or fit a clock chip (DS3231)",
        )
        return
    best = told[0]
    yield Finding("good", f"it is {timekeeping.iso(best.offset_us + monotonic_us)}, by {best.source}")
    for other in told[1:]:
        by_s = (other.offset_us - best.offset_us) / 1e6
        if abs(by_s) * 1e6 > timekeeping.AGREE_US:
            yield Finding(
                "bad",
                f"{other.source} says {timekeeping.iso(other.offset_us + monotonic_us)}, {best.source} another time",
                "find out which is wrong: set it, or leave it out of [time] sources",
            )
    off_us = timekeeping.machine_us() - best.offset_us - monotonic_us
    if abs(off_us) > OFF_US:
        yield Finding(
            "look",
            f"the machine's own clock is off by {off_us / 1e6:+.0f} s; the station does not go by it",
            "set it: timedatectl set-time, or let it reach NTP; Grafana and other programs do go by it",
        )


def _machine(config: Config) -> Iterator[Finding]:
    for line in preflight.secrets(config) + preflight.data_dir(config.station.data_dir) + preflight.devices(config):
        yield Finding("bad", *line.split("; ", 1))
    station = running.seen(config)
    if station is None:
        yield Finding("look", "the station does not run", "start it: systemctl start suat")
    else:
        yield Finding("good", f"the station runs (process {station.pid})")
    for line in preflight.ports(config):
        yield Finding("bad", *line.split("; ", 1))
    for line in preflight.idle_limits(config):
        yield Finding("look", *line.split("; ", 1))
    if config.station.data_dir.exists():
        disk = shutil.disk_usage(config.station.data_dir)
        level: Level = "bad" if disk.free < LOW_DISK * disk.total else "good"
        yield Finding(level, f"{disk.free / 1e9:.1f} GB of disk are free", "make room" if level == "bad" else "")
    for card in hardware.card_wear():
        worn: Level = "bad" if card.used_pct >= WORN_PCT[1] else "look" if card.used_pct >= WORN_PCT[0] else "good"
        todo = "" if worn == "good" else "back up (suat backup) and put in another card"
        yield Finding(worn, f"the card {card.name} has used up to {card.used_pct} % of its life", todo)
    weak = hardware.low_voltage()
    if weak is not None:
        yield Finding("bad", weak, "use a supply of 5 V and 3 A and short, thick leads; a card dies of it")
    warm_c = hardware.temperature_c()
    if warm_c is not None and warm_c >= HOT_C:
        yield Finding("look", f"the processor is at {warm_c:.0f} degC", "give the box shade and air")


def _running(config: Config) -> Iterator[Finding]:
    """What the running station says of itself."""
    if running.seen(config) is None:
        return
    from urllib import error, request

    try:
        page, context = own_page(config)
        with request.urlopen(f"{page}/healthz", timeout=ANSWER_S, context=context) as answer:
            answer.read()
            return
    except error.HTTPError as refused:
        try:
            reasons = json.load(refused)["reasons"]
        except (ValueError, KeyError, TypeError):
            reasons = [f"/healthz answers {refused.code}"]
    except (OSError, ValueError):
        return  # it is served otherwise, or to others: what follows is seen from outside
    for reason in reasons:
        yield Finding("bad", f"the station says: {reason}", "see its log: journalctl -u suat")


def _journal(config: Config, now_us: int) -> Iterator[Finding]:
    if not config.journal_path.exists():
        yield Finding(
            "look", "there is no journal yet", "register nodes: suat device add --help; then start the station"
        )
        return
    try:
        with Reader(config.journal_path) as reader:
            yield from _nodes(reader, now_us)
            yield from _probes(reader, now_us)
            yield from _link(reader.counters())
            yield from itertools.starmap(Finding, condition(reader, now_us))
            yield from itertools.starmap(Finding, wired_condition(config, reader, now_us))
    except JournalError as error:
        yield Finding("bad", str(error), "see the line itself")


def _nodes(reader: Reader, now_us: int) -> Iterator[Finding]:
    devices = reader.devices(revoked=False)
    if not devices:
        yield Finding("look", "no node is registered", "register one: suat device add --help")
        return
    by_radio = [device for device in devices if not is_wired(device.dev_eui)]  # of the others `wired_condition` tells
    if not by_radio:
        yield Finding("good", f"{len(devices)} wired devices are registered, no node")
        return
    seen = {device.name: reader.last_seen(device.registration) for device in by_radio}
    heard = [entry.received_us for entry in seen.values() if entry is not None]
    yield Finding("good", f"{len(by_radio)} nodes are registered, {len(heard)} were heard")
    if not heard:
        yield Finding("bad", "no node was ever heard", "check the antenna, the packet forwarder and the region")
    elif now_us - max(heard) > SILENCE_US:
        hours = (now_us - max(heard)) / 3.6e9
        yield Finding("bad", f"no node was heard for {hours:.0f} h", "check the antenna and the packet forwarder")
    silent = sorted(name for name, entry in seen.items() if entry is None)
    if heard and silent:
        yield Finding("look", f"never heard: {', '.join(silent)}", "check its keys, its battery and how far it stands")


def _probes(reader: Reader, now_us: int) -> Iterator[Finding]:
    for device in reader.devices(revoked=False):
        for episode in reader.lasting_episodes(device.registration, now_us):
            channel = BY_CODE[episode.code]
            whose = f"{device.name}, {device.probe_name(channel.group)}"
            yield Finding(
                "look",
                f"{whose}: {channel.name} is broken since {timekeeping.iso(episode.since_us)}, and not used",
                "check the probe, its plug and its cable; it is believed again when it is sound",
            )
        for reading in reader.latest(device.registration):
            if reading.flags & Flag.UNCALIBRATED:
                whose = f"{device.name}, {device.probe_name(reading.group)}"
                todo = "suat calibrate" if reading.channel == "moisture" else "give the water point its sensor_height_m"
                yield Finding("look", f"{whose}: {reading.channel} is not calibrated, and no number", todo)


def _link(counters: dict[str, int]) -> Iterator[Finding]:
    received = counters.get("received", 0)
    for name, meaning in (
        ("bad_mic", "were not signed by any node of ours with that address"),
        ("unknown_device", "came from nodes that are not registered"),
        ("malformed", "were damaged"),
    ):
        count = counters.get(name, 0)
        if received >= FEW_FRAMES and count / received > FORGED_SHARE:
            yield Finding(
                "look",
                f"{count} of {received} frames {meaning}",
                "register the node, or look for a neighbour's network",
            )


def _sinks(config: Config) -> Iterator[Finding]:
    if not config.sinks:
        yield Finding("good", "no InfluxDB is configured: the journal and the board page stand alone")
    for name, table in config.sinks.items():
        yield from _sink("InfluxDB" if len(config.sinks) == 1 else f"InfluxDB ({name})", table)
    if config.journal_path.exists():
        yield from _letters(config)


def _sink(name: str, table: InfluxTable) -> Iterator[Finding]:
    from suat.store.influx_http import Verdict, open_writer, places

    writer = open_writer(table)
    failed: dict[tuple[str, Verdict], list[str]] = {}
    try:
        for place in places(table.buckets).values():
            answer = writer.write(place, [])
            # An empty write asks for the same rights as a full one; what it has to say of the lines is no matter.
            if answer.verdict in (Verdict.DONE, Verdict.BAD_LINES, Verdict.DOUBTFUL):
                yield Finding("good", f"{name} takes points into {place}")
            else:
                failed.setdefault((answer.reason, answer.verdict), []).append(place)
    finally:
        writer.close()
    for (reason, verdict), told in failed.items():
        todo = "see docs/forwarding.md" if verdict is Verdict.REFUSED else "is it running?"
        yield Finding("bad", f"{name} at {table.url}, {', '.join(told)}: {reason}", todo)


def _letters(config: Config) -> Iterator[Finding]:
    with contextlib.suppress(JournalError), Reader(config.journal_path) as reader:  # told of already
        count = len(reader.dead_letters())
        if count:
            yield Finding("look", f"{count} points were refused by InfluxDB", "see why: suat dead-letters list")
