"""Rows in which bits have flipped count as empty: one of them must not hold up all that comes behind it.

SQLite has no checksums for what lies in a row; what can be seen is that a body is no longer of a form that we write.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from suat_samples import masks
from suat_wire.payload import PayloadError, layout_of

from suat.store.channels import BY_CODE
from suat.store.packed import CLEANED, WINDOW
from suat.store.rows import SampleRow, WindowRow

log = logging.getLogger(__name__)

_CODES = frozenset(BY_CODE)
_FORMS = 256  # kinds of bodies remembered
_TOLD = 10_000

_forms: dict[bytes, tuple[int, tuple[int, ...]]] = {}  # masks -> length of a body, where its switches are
_told: set[tuple[str, int, int]] = set()


def sound_sample(row: Sequence[Any]) -> SampleRow:
    """A sample as it was kept, or one without readings: its body is empty, as none is that was kept."""
    sample = SampleRow._make(row)
    if _is_body(row[4]) and (row[5] is None or _is_packed(row[5], CLEANED)):
        return sample
    _tell("sample", sample.registration, sample.record)
    return sample._replace(body=b"", cleaned=None if sample.cleaned is None else b"")


def sound_window(row: Sequence[Any]) -> WindowRow:
    """A window as it was kept, or one without summaries."""
    registration, width_s, start_us, body = row
    return WindowRow(registration, width_s, start_us, sound_packed(body, WINDOW, registration, start_us))


def sound_packed(body: Any, form: np.dtype[Any], registration: int, time_us: int) -> bytes:
    """Cleaned values or summaries (`store/packed.py`) as they were kept, or none."""
    if _is_packed(body, form):
        return cast(bytes, body)
    _tell("window" if form is WINDOW else "sample", registration, time_us)
    return b""


def _is_body(body: Any) -> bool:
    try:
        head = masks(body)
        form = _forms.get(head)
        if form is None:
            layout = layout_of(body)
            if len(_forms) >= _FORMS:
                _forms.clear()
            start = len(layout.prefix)
            form = _forms[head] = len(body), tuple(start + switch for switch in layout.switches)
    except (TypeError, PayloadError, ValueError):
        return False
    size, switches = form
    return len(body) == size and not (switches and any(body[place] > 1 for place in switches))


def _is_packed(body: Any, form: np.dtype[Any]) -> bool:
    return isinstance(body, bytes) and len(body) % form.itemsize == 0 and _CODES.issuperset(body[:: form.itemsize])


def _tell(kind: str, registration: int, number: int) -> None:
    """Once for each row."""
    if (kind, registration, number) not in _told and len(_told) < _TOLD:
        _told.add((kind, registration, number))
        log.error("journal: %s %s of node %s is damaged and counts as empty", kind, number, registration)
