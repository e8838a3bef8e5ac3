"""A limit of one node set between a stop and a start of the real daemon: its past readings follow, by themselves."""

from __future__ import annotations

import math
from typing import Any

import pytest
from suat.records import Flag
from suat.store.reader import Reader

DRY = """
[[limits]]
node = "{node}"
channel = "upper.moisture"
maximum = 0.215
reason = "no soil of this terrace holds more"
"""
SENT = [0.2, 0.21, 0.22, 0.23]


def numbers(station: Any) -> dict[str, int]:
    with Reader(station.journal_path) as reader:
        return {device.name: device.registration for device in reader.devices()}


def moistures(station: Any, name: str) -> list[tuple[float | None, Flag]]:
    with Reader(station.journal_path) as reader:
        _, values, flags = reader.series(numbers(station)[name], "probe1", "moisture")
    found = zip(values.tolist(), flags.tolist(), strict=True)
    return [(None if math.isnan(value) else round(value, 6), Flag(flag)) for value, flag in found]


def bodies(station: Any, name: str) -> list[bytes | None]:
    with Reader(station.journal_path) as reader:
        return [row.cleaned for row in reader.samples(numbers(station)[name])]


@pytest.mark.slow
def test_a_limit_judges_the_past_of_its_node_at_the_next_start(station: Any, concentrator: Any) -> None:
    changed, other = station.register(2)
    station.start()
    concentrator.pull()
    for number, vwc in enumerate(SENT):
        for node in (changed, other):
            concentrator.push(node.frame(number, vwc=vwc))
    sound = [(vwc, Flag(0)) for vwc in SENT]
    station.wait_for(lambda: [moistures(station, node.name) for node in (changed, other)] == [sound, sound])
    station.stop()
    before = bodies(station, other.name)

    station.config.write_text(station.config.read_text() + DRY.format(node=changed.name))
    station.start()
    refused = (None, Flag.RANGE)
    station.wait_for(lambda: moistures(station, changed.name) == [*sound[:2], refused, refused])
    concentrator.pull()
    for node in (changed, other):
        concentrator.push(node.frame(4, vwc=0.24))
    station.wait_for(lambda: moistures(station, changed.name)[4:] == [refused])
    station.wait_for(lambda: moistures(station, other.name)[4:] == [(0.24, Flag(0))])
    station.stop()
    assert bodies(station, other.name)[:4] == before
