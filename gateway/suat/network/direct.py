"""Admission of readings that come without a radio session of ours: measured by wire, or relayed by another server.

A relayed payload of one of our nodes carries its own record numbers, like any other frame of that node. What a wired
transmitter or a foreign node measured has none: it gets the next number of its registration, and what comes a second
time with the same instant is the same sample. The source is trusted to be who it says; it counts `received` itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from suat_wire.payload import PayloadError, pack, split

from suat.network.devices import Device, Devices
from suat.network.downlink import Downlinks
from suat.records import Admitted, Measured, Relayed, Row
from suat.store.database import JournalError
from suat.store.reader import Reader

log = logging.getLogger(__name__)


class Answer:
    """What waits for the commit: the node for its acknowledgement, the source for the word that it may forget."""

    __slots__ = ("device", "ours", "settled", "source")

    def __init__(self, device: Device, source: str, settled: Callable[[bool], None], ours: bool = False) -> None:
        self.device = device
        self.source = source
        self.settled = settled
        self.ours = ours  # it understands our settings; a vendor's node does not


class Direct:
    """The door beside `Admission`. `on_admitted` gets what is to be kept."""

    def __init__(
        self,
        devices: Devices,
        reader: Reader,
        on_admitted: Callable[[Admitted], None],
        counters: dict[str, int],
        downlinks: Downlinks,
    ) -> None:
        self.counters = counters
        self._devices = devices
        self._reader = reader
        self._on_admitted = on_admitted
        self._downlinks = downlinks
        self._newest: dict[int, int] = {}  # registration -> time of its newest measured sample [UTC us]

    def relayed(self, frame: Relayed) -> None:
        """A payload of one of our nodes that another network server received and opened."""
        device = self._devices.by_eui.get(frame.dev_eui)
        if device is None:
            self._refuse(frame, "unknown_device")
            return
        try:
            ack_from, samples = split(frame.payload, frame.fport, device.newest_record)
        except PayloadError:
            self._refuse(frame, "malformed")
            return
        device.newest_record = max(device.newest_record, samples[0][0])
        rows = tuple([Row(record, sample_us(frame.received_us, age, record), body) for record, age, body in samples])
        self._downlinks.heard(device, frame.fport, rows, b"", frame.received_us, ack_from is not None)
        answer = Answer(device, frame.source, frame.settled, ours=True)
        self._accept(Admitted(
            device.registration, None, frame.received_us, frame.fcnt, frame.rssi, frame.snr, rows, ack_from, answer
        ))  # fmt: skip

    def measured(self, sample: Measured) -> None:
        """Readings of a device that numbers nothing."""
        device = self._devices.by_eui.get(sample.dev_eui)
        if device is None:
            self._refuse(sample, "unknown_device")
            return
        try:
            body = pack(sample.readings)
        except PayloadError:
            self._refuse(sample, "malformed")
            return
        registration = device.registration
        taken_ms = sample.taken_us // 1000
        try:
            known = self._known(registration, taken_ms)
        except JournalError as error:
            log.error("%s: %s; what it measured is handed in again", device.name, error)
            self.counters["received"] -= 1  # it is counted when it comes again
            sample.settled(False)
            return
        if known:
            self._refuse(sample, "duplicate")
            return
        self._newest[registration] = max(self._newest[registration], taken_ms)
        device.newest_record += 1
        record = device.newest_record
        row = Row(record, taken_ms * 1000 + record % 1000, body)
        answer = Answer(device, sample.source, sample.settled)
        self._accept(
            Admitted(registration, None, sample.received_us, sample.fcnt, sample.rssi, sample.snr, (row,), None, answer)
        )

    def _known(self, registration: int, taken_ms: int) -> bool:
        """Whether the journal has a sample of that instant; JournalError."""
        newest = self._newest.get(registration)
        if newest is None:
            last = self._reader.last_seen(registration)
            newest = self._newest[registration] = -1 if last is None else last.time_us // 1000
        return taken_ms <= newest and self._reader.has_sample(registration, taken_ms * 1000, taken_ms * 1000 + 999)

    def _refuse(self, what: Relayed | Measured, outcome: str) -> None:
        self.counters[outcome] += 1
        what.settled(True)

    def _accept(self, admitted: Admitted) -> None:
        self.counters["accepted"] += 1
        self._on_admitted(admitted)


def sample_us(heard_us: int, age: int, record: int) -> int:
    """When a sample was taken [UTC us]: whole milliseconds, and below them the record, so that two samples of one
    instant stay two points in InfluxDB."""
    return (heard_us - age * 1_000_000) // 1000 * 1000 + record % 1000
