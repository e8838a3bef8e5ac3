"""What is wrong with a station and what to do about it, found without stopping it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Literal, NamedTuple

from suat import preflight, running
from suat.config import Config
from suat.store.journal import JournalError, Reader

Level = Literal["good", "look", "bad"]

EARLIEST_US = 1_767_225_600_000_000  # 2026-01-01: a clock before it was never set
LOW_DISK = 0.10  # of the disk
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
    findings = [*_machine(config, now_us), *_journal(config, now_us), *_influx(config)]
    return sorted(findings, key=lambda finding: ("bad", "look", "good").index(finding.level))


def _machine(config: Config, now_us: int) -> Iterator[Finding]:
    if now_us < EARLIEST_US:
        yield Finding("bad", "the clock was never set", "set it: timedatectl set-time, or let it reach NTP")
    else:
        yield Finding("good", "the clock is plausible")
    for line in preflight.secrets(config) + preflight.data_dir(config.station.data_dir):
        yield Finding("bad", *line.split("; ", 1))
    station = running.seen(config)
    if station is None:
        yield Finding("look", "the station does not run", "start it: systemctl start suat")
    else:
        yield Finding("good", f"the station runs (process {station.pid})")
    for line in preflight.ports(config):
        yield Finding("bad", *line.split("; ", 1))
    if config.station.data_dir.exists():
        disk = shutil.disk_usage(config.station.data_dir)
        level: Level = "bad" if disk.free < LOW_DISK * disk.total else "good"
        yield Finding(level, f"{disk.free / 1e9:.1f} GB of disk are free", "make room" if level == "bad" else "")


def _journal(config: Config, now_us: int) -> Iterator[Finding]:
    if not config.journal_path.exists():
        yield Finding(
            "look", "there is no journal yet", "register nodes: suat device add --help; then start the station"
        )
        return
    try:
        with Reader(config.journal_path) as reader:
            yield from _nodes(reader, now_us)
            yield from _link(reader.counters())
    except JournalError as error:
        yield Finding("bad", str(error), "see the line itself")


def _nodes(reader: Reader, now_us: int) -> Iterator[Finding]:
    devices = reader.devices(revoked=False)
    if not devices:
        yield Finding("look", "no node is registered", "register one: suat device add --help")
        return
    seen = {device.name: reader.last_seen(device.registration) for device in devices}
    heard = [entry.received_us for entry in seen.values() if entry is not None]
    yield Finding("good", f"{len(devices)} nodes are registered, {len(heard)} were heard")
    if not heard:
        yield Finding("bad", "no node was ever heard", "check the antenna, the packet forwarder and the region")
    elif now_us - max(heard) > SILENCE_US:
        hours = (now_us - max(heard)) / 3.6e9
        yield Finding("bad", f"no node was heard for {hours:.0f} h", "check the antenna and the packet forwarder")
    silent = sorted(name for name, entry in seen.items() if entry is None)
    if heard and silent:
        yield Finding("look", f"never heard: {', '.join(silent)}", "check its keys, its battery and how far it stands")


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


def _influx(config: Config) -> Iterator[Finding]:
    if config.influx is None:
        yield Finding("good", "no InfluxDB is configured: the journal and the board page stand alone")
        return
    from suat.store.influx_http import Verdict, open_writer, places

    writer = open_writer(config.influx)
    try:
        for place in places(config.influx.buckets).values():
            answer = writer.write(place, [])
            # An empty write asks for the same rights as a full one; what it has to say of the lines is no matter.
            if answer.verdict in (Verdict.DONE, Verdict.BAD_LINES):
                yield Finding("good", f"InfluxDB takes points into {place}")
            else:
                todo = "see docs/operator.md, InfluxDB" if answer.verdict is Verdict.REFUSED else "is it running?"
                yield Finding("bad", f"InfluxDB at {config.influx.url}, {place}: {answer.reason}", todo)
    finally:
        writer.close()
