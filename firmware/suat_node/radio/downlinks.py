"""Downlinks that a bridge has to send: which it takes, and when each is due. Times are microseconds since its start."""

from micropython import const
from suat_wire.airtime import time_on_air_us
from suat_wire.bridge import COLLISION, FREQUENCY, POWER, QUEUED, TOO_EARLY, TOO_LATE

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Mapping

    from suat_wire.bridge import Message
    from suat_wire.region import Region

_SETUP_US = const(20000)  # to stop listening, load a frame and be early
_LATEST_US = const(45000)  # ahead: the radio may be busy with another frame's set-up
_EARLIEST_US = const(60000000)  # class A: at most 16 s after an uplink
_APART_US = const(25000)  # between the end of one frame and the next
_MOST = const(4)


class Queue:
    """(begin, end, request), rising."""

    def __init__(self, region: "Region") -> None:
        self.region = region
        self.waiting: "list[tuple[int, int, Message]]" = []

    def limits(self) -> "tuple[int, int, int]":
        """Lowest and highest frequency, and how many requests wait at most."""
        return self.region.bands[0][0], self.region.bands[-1][1], _MOST

    def allowed(self, fields: "Mapping[str, int]") -> bool:
        """Whether the region has this frequency, and the radio this rate."""
        return 7 <= fields["sf"] <= 12 and fields["khz"] in (125, 250, 500) and self.region.duty_cycle(fields["hz"]) > 0

    def judge(self, request: "Message", now: int, busy_until: int, most_dbm: int) -> int:
        """Take a request, QUEUED, or say why not."""
        fields = request.fields
        ahead = fields["tmst"] - now & 0xFFFFFFFF
        if not self.allowed(fields):
            return FREQUENCY
        if fields["dbm"] > most_dbm:
            return POWER
        if ahead < _LATEST_US or ahead >= 0x80000000:
            return TOO_LATE
        if ahead > _EARLIEST_US:
            return TOO_EARLY
        begin = now + ahead
        end = begin + time_on_air_us(fields["sf"], fields["khz"] * 1000, len(request.data), False)
        if len(self.waiting) >= _MOST or begin < busy_until + _APART_US:
            return COLLISION
        for other, until, _ in self.waiting:
            if begin < until + _APART_US and other < end + _APART_US:
                return COLLISION
        self.waiting.append((begin, end, request))
        self.waiting.sort(key=lambda row: row[0])
        return QUEUED

    def due(self, now: int) -> bool:
        """Whether the first is to be set up now."""
        return len(self.waiting) > 0 and self.waiting[0][0] - now < _SETUP_US

    def take(self) -> "tuple[int, int, Message]":
        """The first."""
        return self.waiting.pop(0)
