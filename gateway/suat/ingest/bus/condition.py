"""What the journal says of the wired devices, for `suat doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from suat_wire.document import FAULTS
from suat_wire.payload import unpack

from suat.ingest.bus.tables import DeviceTable
from suat.network.wired import is_wired
from suat.records import DeviceRecord
from suat.store.reader import Reader

if TYPE_CHECKING:
    from suat.config import Config

LATE = 3  # intervals without a reading
LATE_S = 900.0  # but not sooner: a device that fails is asked seldom

Told = tuple[Literal["good", "look", "bad"], str, str]


def wired_condition(config: Config, reader: Reader, now_us: int) -> Iterator[Told]:
    """(level, what, what to do) for each device of each Modbus line; JournalError."""
    known = {device.name: device for device in reader.devices(revoked=False) if is_wired(device.dev_eui)}
    for table in config.ingest:
        for row in table.devices if table.kind == "modbus" else ():
            told = _device(row, known.get(row.device), reader, now_us)
            level, what, todo = told or ("good", "answers", "")
            yield level, f"{row.device} ({table.place}, unit {row.unit}) {what}", todo


def _device(row: DeviceTable, device: DeviceRecord | None, reader: Reader, now_us: int) -> Told | None:
    """What is wrong with one, None when nothing is."""
    if device is None:
        todo = f'suat device add --wired --name "{row.device}" --kind water'
        return "bad", "is not registered: what it measures is not kept", todo
    last = reader.last_seen(device.registration)
    if last is None:
        return "look", "was never read", f'start the station, then: suat modbus read --device "{row.device}"'
    age_s = (now_us - last.time_us) / 1e6
    if age_s > max(LATE * row.interval_s, LATE_S):
        return "bad", f"was last read {age_s / 60:.0f} min ago", "does the station run? see its log"
    for sample in reader.samples(device.registration, last.time_us):
        for (group, name), code in (unpack(sample.body) if sample.body else {}).items():
            if name == "fault" and code:
                reason = FAULTS[int(code)] if code < len(FAULTS) else f"fault {code}"
                return "bad", f"gave no {group} the last time: {reason}", f'suat modbus read --device "{row.device}"'
    return None
