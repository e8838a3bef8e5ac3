"""What the machine tells of itself: clocks, supply, card and temperature, out of /sys and /proc.

`SUAT_SYSROOT` names another folder to find them in: a container that has the machine's /sys mounted elsewhere, a test.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# include/uapi/linux/timex.h
_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
_TIMEX_BYTES = 208  # struct timex of 64-bit Linux; `status` is at byte 40
_STATUS_AT = 40
_SYNCHRONISED = ("show", "--property=NTPSynchronized", "--value")

# Clock chips with a battery that keep time for months; a Pi 5's own may have no battery, so it is not among them.
CLOCK_CHIPS = ("ds3231", "ds3232", "ds1307", "ds1338", "pcf8523", "pcf85063", "pcf85363", "rv3028", "rv3032", "rv8803")
# What `vcgencmd get_throttled` means: bit 0 now, bit 16 since the start (Raspberry Pi documentation, vcgencmd).
_PROCESS = uuid.uuid4().hex

_LOW_VOLTAGE_BITS = 1 << 0 | 1 << 16


def root() -> Path:
    """Where /sys and /proc are."""
    return Path(os.environ.get("SUAT_SYSROOT", "/"))


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def boot_id() -> str:
    """Names this start of the machine: monotonic times of one boot can be compared, also of two processes.

    The unit hides /proc/sys and gives the name as `SUAT_BOOT_ID` (%b). Where nothing tells, each process is a boot.
    """
    return os.environ.get("SUAT_BOOT_ID") or _text(root() / "proc/sys/kernel/random/boot_id") or _PROCESS


class ClockChip(NamedTuple):
    """A real-time clock: where, what, and the UTC seconds it tells (None: it can't be read, or its battery failed)."""

    place: str
    name: str
    seconds: int | None


def clock_chips() -> list[ClockChip]:
    """Every real-time clock that the kernel knows."""
    found = []
    for folder in sorted((root() / "sys/class/rtc").glob("rtc*")):
        name = _text(folder / "name") or "unknown"
        told = _text(folder / "since_epoch")
        found.append(ClockChip(folder.name, name, int(told) if told and told.isdigit() else None))
    return found


def kept_by_battery(chip: ClockChip) -> bool:
    """Whether it is a chip that is put beside a Raspberry Pi for its time; a name is such as "rtc-ds1307 1-0068"."""
    return any(known in chip.name for known in CLOCK_CHIPS)


def synchronised() -> bool:
    """Whether something disciplines the machine's clock (NTP, PTP): what adjtimex(2) says.

    ProtectClock= of the unit forbids that call, also to readers: then systemd's own mark or its answer counts.
    """
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: only read
    state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    if state >= 0:
        status = int.from_bytes(buffer.raw[_STATUS_AT : _STATUS_AT + 4], "little")
        return state < _TIME_ERROR and not status & _STA_UNSYNC
    return (root() / "run/systemd/timesync/synchronized").exists() or _run("timedatectl", *_SYNCHRONISED) == "yes"


def _run(*command: str) -> str:
    """What a program of the machine prints, "" when it can't be asked."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def low_voltage() -> str | None:
    """Why the supply is too weak, None when it isn't or nothing can tell."""
    for alarm in sorted((root() / "sys/class/hwmon").glob("hwmon*/in0_lcrit_alarm")):
        if _text(alarm) == "1":
            return f"{alarm.parent.name} reports undervoltage"
    told = _run("vcgencmd", "get_throttled").partition("=")[2]
    bits = int(told, 16) if re.fullmatch("0x[0-9a-f]+", told) else 0
    if bits & _LOW_VOLTAGE_BITS:
        return f"the supply was too low (vcgencmd get_throttled: {bits:#x})"
    return None


class CardWear(NamedTuple):
    """What a card says of its own life: the share that is used up [%], in steps of ten; above 100 it is past it."""

    name: str
    used_pct: int


def card_wear() -> Iterator[CardWear]:
    """Cards that tell: JEDEC eMMC 5.0 life_time, two figures of 0x01 (0 to 10 %) to 0x0b (exceeded)."""
    for path in sorted((root() / "sys/class/mmc_host").glob("mmc*/mmc*:*/life_time")):
        told = (_text(path) or "").split()
        try:
            worst = max(int(figure, 16) for figure in told)
        except ValueError:
            continue
        if 1 <= worst <= 11:
            yield CardWear(_text(path.parent / "name") or path.parent.name, worst * 10)


def temperature_c() -> float | None:
    """The processor's temperature, None where none is told."""
    told = _text(root() / "sys/class/thermal/thermal_zone0/temp")
    try:
        return int(told) / 1000 if told else None
    except ValueError:
        return None


def resident_bytes() -> int:
    """This process's resident memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
