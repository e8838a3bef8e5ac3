"""Cleaned values and windows computed again from the raw readings, with the limits and curves of today."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from suat.config import Config
from suat.errors import UsageError, did_you_mean
from suat.quality.calibrate import calibrations
from suat.quality.changes import CHUNK
from suat.quality.clean import Cleaner
from suat.quality.windows import Windows
from suat.store.calibration import curves
from suat.store.journal import Journal


def refilter(
    config: Config, since_us: int, node: str | None, now_us: int, progress: Callable[[], None] = lambda: None
) -> int:
    """Clean and sum up from `since_us` on, of one node or all, until `now_us`; how many samples changed.

    Rows that come out as before are left as they are. Decisions follow: they are made from these rows when asked for.
    UsageError when there is no such node.
    """
    changed = 0
    with Journal(config.journal_path) as journal, journal.reader() as reader:
        devices = reader.devices()
        chosen = [device.registration for device in devices if node in (None, device.name, device.dev_eui)]
        if node is not None and not chosen:
            raise UsageError(f'--node: there is no node "{node}"{did_you_mean(node, [d.name for d in devices])}')
        windows = Windows(journal, reader, config.station.zone)  # not started: a running station keeps its own place

        def on_change(registration: int, times_us: Sequence[int], seq: int) -> None:
            nonlocal changed
            changed += len(times_us)
            windows.touch(registration, times_us, seq)

        def summarise() -> None:
            while windows.run(now_us):
                progress()

        heights = {point.id: point.sensor_height_m for point in config.water_point}
        known = calibrations(devices, reader.read(curves), heights, config.limits)
        cleaner = Cleaner(journal, reader, known, on_change)
        for registration in chosen:
            cleaner.refilter(since_us, registration)
        while cleaner.pending:
            cleaner.work()
            summarise()  # step by step, so that memory does not grow with the journal
        for registration in chosen:
            windows.rezone(registration, since_us)
            times = iter(reader.sample_times(registration, since_us))
            while step := [*islice(times, CHUNK)]:
                windows.touch(registration, step, 0)
                summarise()
    return changed
