"""The station's log: one line an event on standard error, as key=value or JSON, at most a few a minute of each kind.

    time=2026-06-01T09:30:12.345Z level=warning from=suat.network.admit msg="bad_mic: DevAddr 01fa8ad4, ..." held=59

`held`: how many of this kind were held back since its last line. A kind is a place and a text before its values are
put in, so that neither a neighbour's network nor a card that fails can fill the disk. Under systemd each line opens
with its priority (sd-daemon(3)) and leaves the time to the journal. No key is ever handed to a log.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

Form = Literal["text", "json"]

EVERY_S = 60.0
BURST = 5  # lines of one kind in that time
MAX_KINDS = 500  # that are remembered; of more the one seen longest ago is forgotten
_PRIORITY = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
_BARE = re.compile(r"[^\s\"=\\]+")


class Rate:
    """How many of each kind may pass: `burst` in any stretch of `EVERY_S` that begins with one that passed."""

    def __init__(self, now: Callable[[], float], burst: int) -> None:
        self._now = now
        self._burst = burst
        self._kinds: OrderedDict[Hashable, list[float]] = OrderedDict()  # kind -> [since, passed, held]

    def passes(self, kind: Hashable) -> int | None:
        """None: hold it back. Else how many of its kind were held back since the last that passed."""
        now = self._now()
        state = self._kinds.get(kind)
        if state is None:
            state = self._kinds[kind] = [now, 0, 0]
            if len(self._kinds) > MAX_KINDS:
                self._kinds.popitem(last=False)
        self._kinds.move_to_end(kind)
        if now - state[0] >= EVERY_S:
            state[0], state[1] = now, 0
        if state[1] >= self._burst:
            state[2] += 1
            return None
        state[1] += 1
        held, state[2] = int(state[2]), 0
        return held


class _Limit(logging.Filter):
    def __init__(self, rate: Rate) -> None:
        super().__init__()
        self._rate = rate

    def filter(self, record: logging.LogRecord) -> bool:
        held = self._rate.passes((record.name, record.levelno, record.msg))
        record.held = held or 0
        return held is not None


class _Lines(logging.Formatter):
    """One line a record, whatever is in it."""

    def __init__(self, form: Form, journal: bool) -> None:
        super().__init__()
        self._form = form
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f"; {self.formatException(record.exc_info)}"
        fields: dict[str, Any] = {}
        if not self._journal:
            moment = datetime.fromtimestamp(record.created, UTC)
            fields["time"] = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
        fields |= {"level": record.levelname.lower(), "from": record.name, "msg": text}
        if getattr(record, "held", 0):
            fields["held"] = record.held  # type: ignore[attr-defined]
        if self._form == "json":
            line = json.dumps(fields, ensure_ascii=False)
        else:
            line = " ".join(f"{key}={_value(str(value))}" for key, value in fields.items())
        return f"<{_PRIORITY.get(record.levelname, 5)}>{line}" if self._journal else line


def _value(text: str) -> str:
    """As it is, or quoted as JSON quotes it."""
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def under_journal(stream: TextIO) -> bool:
    """Whether a stream goes to systemd's journal, which says so (JOURNAL_STREAM is its device:inode)."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def configure(level: int, form: Form, stream: TextIO = sys.stderr) -> None:
    """Everything that is logged from now on goes to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.addFilter(_Limit(Rate(time.monotonic, BURST)))
    handler.setFormatter(_Lines(form, under_journal(stream)))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("asyncio", "urllib3", "uvicorn"):  # they log what is sent, at DEBUG
        logging.getLogger(name).setLevel(max(level, logging.INFO))
