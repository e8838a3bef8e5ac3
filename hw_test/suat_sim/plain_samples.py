"""The hot loops of `suat_samples` in plain Python: the oracle that the compiled ones must equal, bit for bit."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from suat.quality.calibrate import NO_CALIBRATION, NodeCalibration, plan
from suat.quality.settings import SETTINGS
from suat.store.channels import BY_CODE, BY_FIELD, BY_NAME, PROBES
from suat.store.packed import STATISTICS, Summary, pack_cleaned, pack_window, unpack_cleaned, unpack_window
from suat.store.rows import SampleRow, WindowRow
from suat_filters import BROKEN, CLOCK, FROZEN, RANGE, RATE, SPIKE, STUCK, FilterBank
from suat_wire.payload import GROUPS, unpack

_DIVISORS = {(group, field): divisor for group, fields in GROUPS for field, _, divisor, _ in fields}


def calibrate(
    sent: Mapping[tuple[str, str], float], calibration: NodeCalibration = NO_CALIBRATION
) -> list[tuple[int, int, float]]:
    """(channel code, flags, value) of each cleaned channel, before the filters."""
    return [
        (code, 0, sent[key])
        if convert is None
        else (code, *convert(sent[key], sent.get((key[0], "temperature"), math.nan), calibration, key[0]))
        for code, key, convert in plan(tuple(sent))
    ]


class PlainFilters:
    """The filters of one node, and all that they have made of its samples so far."""

    def __init__(self, calibration: NodeCalibration = NO_CALIBRATION) -> None:
        self._calibration = calibration
        self._banks: dict[int, FilterBank] = {}
        self._record: list[tuple[float, dict[int, tuple[int, float]], dict[int, tuple[int, float]]]] = []

    def clean(self, body: bytes, time: float) -> bytes:
        """The cleaned body of one sample; temperatures go first, because frost takes a probe's moisture away."""
        sent = {code: (flags, value) for code, flags, value in calibrate(unpack(body), self._calibration)}
        entries = dict(sent)
        for code in sorted(entries, key=lambda code: code in _TEMPERATURE_OF):
            flags, value = entries[code]
            if entries.get(_TEMPERATURE_OF.get(code, -1), (0, math.nan))[1] <= 0.0:
                entries[code] = flags | FROZEN, math.nan
            elif value == value:
                bank = self._banks.setdefault(code, FilterBank(1, SETTINGS[code]))
                value, more = bank.push(0, time, value)
                entries[code] = flags | more, value
                for _, since, until, put, gone in bank.revisions():
                    self._revise(code, since, until, put, gone)
            if entries.get(_TEMPERATURE_OF.get(code, -1), (0, math.nan))[0] & CLOCK:
                entries[code] = entries[code][0] | CLOCK, math.nan
        self._record.append((time, sent, entries))
        return _packed(entries)

    def bodies(self) -> list[bytes]:
        """The cleaned bodies of all samples, as they stand by now."""
        return [_packed(entries) for _, _, entries in self._record]

    def _revise(self, code: int, since: float, until: float, put: int, gone: int) -> None:
        for time, sent, entries in self._record:
            if since <= time <= until and code in entries:
                entries[code] = _flagged(entries[code], sent[code], put, gone)
                for other in entries:
                    if _TEMPERATURE_OF.get(other) == code:
                        frost = FROZEN if entries[code][1] <= 0.0 else 0
                        entries[other] = _flagged(entries[other], sent[other], put & CLOCK | frost, gone & CLOCK)


def _flagged(entry: tuple[int, float], sent: tuple[int, float], put: int, gone: int) -> tuple[int, float]:
    flags = entry[0] & ~gone | put | sent[0]
    return flags, math.nan if flags & _UNUSABLE else entry[1] if flags & SPIKE else sent[1]


_TEMPERATURE_OF = {BY_NAME[probe, "moisture"].code: BY_NAME[probe, "temperature"].code for probe in PROBES}
_UNUSABLE = RANGE | RATE | STUCK | CLOCK | FROZEN | BROKEN


def _packed(entries: Mapping[int, tuple[int, float]]) -> bytes:
    return pack_cleaned((code, *entries[code]) for code in sorted(entries))


def summarise(rows: Sequence[tuple[int, bytes]], edges: Sequence[int]) -> dict[int, bytes]:
    """The windows between the edges that hold a sample, by start; the mean is exact and rounded once."""
    found: dict[int, dict[int, list[float]]] = {}
    for time_us, body in rows:
        start = max(edge for edge in edges if edge <= time_us)
        for code, _, value in unpack_cleaned(body):
            found.setdefault(start, {}).setdefault(code, []).extend([value] if value == value else [])
        found.setdefault(start, {})
    return {
        start: pack_window(
            Summary(
                code,
                len(values),
                *(
                    (min(values), max(values), math.fsum(values) / len(values), values[-1], statistics.median(values))
                    if values
                    else (math.nan,) * 5
                ),
            )
            for code, values in sorted(channels.items())
        )
        for start, channels in found.items()
    }


def parts(fields: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """The fields on air of each point of a sample; every sample gives one of its node."""
    found: dict[str, list[str]] = {"node": []}
    for group, field in fields:
        found.setdefault("node" if group == "health" else group, []).append(field)
    return found


def lines(row: SampleRow, heads: Mapping[str, str]) -> list[str]:
    """The points of a cleaned sample as line protocol; `heads` are measurement and tags by group."""
    sent = unpack(row.body)
    cleaned = {entry.code: entry for entry in unpack_cleaned(row.cleaned or b"")}
    chosen = {step.key: step.code for step in plan(tuple(sent))}
    found = []
    for group, head in heads.items():
        mine = [key for key in sent if key[0] == group or (group == "node" and key[0] == "health")]
        every, ok, out = 0, 1, head
        for key, code in chosen.items():
            if key not in mine:
                continue
            channel = BY_FIELD[key]
            flags, value = cleaned[code][1:] if code in cleaned else (0, math.nan)
            every |= flags
            if value == value:
                out += f"{channel.name}={value!r},"
            else:
                ok = 0
                out += f"{channel.name}={float(sent[key])!r}," if channel.fields[0] == key[1] else ""
            out += f"{channel.name}_raw={float(sent[key])!r},{channel.name}_flags={flags}i,"
            out += f"{channel.name}_ok={1 if value == value else 0}i,"
        for key in mine:
            if key not in BY_FIELD:
                out += f"{key[1]}={sent[key]}i," if _DIVISORS[key] == 1 else f"{key[1]}={sent[key]!r},"
        if group == "node":
            out += "" if row.rssi is None else f"rssi={row.rssi!r},"
            out += "" if row.snr is None else f"snr={row.snr!r},"
        found.append(f"{out}record={row.record}i,flags={every}i,ok={ok}i {row.time_us}")
    return found


def window_lines(row: WindowRow, heads: Mapping[str, str]) -> list[str]:
    """The points of a window as line protocol; `heads` are measurement and tags by group."""
    channels = [(BY_CODE[code], count, figures) for code, count, *figures in unpack_window(row.body)]
    found = []
    for group, head in heads.items():
        every, out = 1, head
        for channel, count, figures in channels:
            if channel.group == group:
                if count:
                    out += "".join(f"{channel.name}_{n}={v!r}," for n, v in zip(STATISTICS, figures, strict=True))
                every &= count > 0
                out += f"{channel.name}_count={count}i,{channel.name}_ok={int(count > 0)}i,"
        found.append(f"{out}ok={every}i {row.start_us}")
    return found
