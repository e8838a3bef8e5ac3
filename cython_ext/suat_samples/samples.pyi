from collections.abc import Callable, Sequence
from typing import Any

from suat_filters import FilterBank

# Where a body's values begin, their `struct` letters, their divisors (1: a whole number).
Form = tuple[int, str, Sequence[int]]
# (place of the field, channel code, (value, temperature, calibration, group) -> (flags, value) or None, group,
# step that freezes it, and whose raw value is that temperature)
Step = tuple[int, int, Callable[[float, float, Any, str], tuple[int, float]] | None, str, int]
# (place of the field, channel code, name, whether it is sent in the channel's own unit)
Quantity = tuple[int, int, str, bool]
# (place of the field, name)
Extra = tuple[int, str]
# (quantities, extras, whether it tells how the frame was heard)
Part = tuple[Sequence[Quantity], Sequence[Extra], bool]

def masks(body: bytes) -> bytes: ...
def flagged(cleaned: bytes, mask: int) -> bytes: ...
def flags_of(cleaned: bytes, code: int) -> int | None: ...

class Cleaning:
    news: bool
    def __init__(self, form: Form, steps: Sequence[Step]) -> None: ...
    def clean(
        self,
        body: bytes,
        time: float,
        bank: FilterBank,
        slots: dict[int, int],
        grow: Callable[[int], int],
        calibration: object,
    ) -> bytes: ...
    def revise(self, body: bytes, cleaned: bytes, code: int, set: int, clear: int, calibration: object) -> bytes: ...

class Lines:
    def __init__(self, form: Form, parts: Sequence[Part]) -> None: ...
    def write(
        self,
        heads: Sequence[str],
        body: bytes,
        cleaned: bytes,
        record: int,
        time_us: int,
        rssi: float | None,
        snr: float | None,
    ) -> list[str]: ...
