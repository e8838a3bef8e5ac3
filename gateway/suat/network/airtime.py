"""Air time of the gateways: a band's duty cycle binds downlinks as it binds nodes (EN 300 220; RP002-1.0.4).

Counted in a sliding hour for each gateway and band; bands without a limit are not counted. What was sent before a
restart counts on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from suat_wire.region import Region

from suat.clock import Scheduler
from suat.store.downlinks import Spent

PERIOD_S = 3600.0


class Airtime:
    """The account of all gateways. `note` is told of each entry, to keep it."""

    def __init__(self, scheduler: Scheduler, region: Region, note: Callable[[Spent], None]) -> None:
        self._scheduler = scheduler
        self._region = region
        self._note = note
        self._spent: dict[tuple[str, int], deque[tuple[float, int]]] = {}  # (gateway, band) -> (monotonic s, us) ...

    def take_over(self, entries: Iterable[Spent]) -> None:
        """What an earlier run has used; one that seems to lie ahead of the clock counts as used just now."""
        now_s, now_us = self._scheduler.monotonic(), self._scheduler.wall_us()
        for spent in entries:
            age_s = max(0.0, (now_us - spent.at_us) / 1e6)
            if age_s < PERIOD_S:
                self._spent.setdefault((spent.gateway, spent.band), deque()).append((now_s - age_s, spent.air_us))

    def used_us(self, gateway: str, band: int) -> int:
        """Air time of the last hour [us]."""
        entries = self._spent.get((gateway, band))
        if entries is None:
            return 0
        since = self._scheduler.monotonic() - PERIOD_S
        while entries and entries[0][0] <= since:
            entries.popleft()
        return sum([air_us for _, air_us in entries])

    def take(self, gateway: str, hz: int, air_us: int) -> bool:
        """Book a frame; False when the gateway may not send it now: its band is used up, or is none of the plan."""
        band = self._region.band(hz)
        share = self._region.duty_cycle(hz)
        if share >= 1.0:
            return True
        if self.used_us(gateway, band) + air_us > share * PERIOD_S * 1e6:
            return False
        self._spent.setdefault((gateway, band), deque()).append((self._scheduler.monotonic(), air_us))
        self._note(Spent(gateway, band, self._scheduler.wall_us(), air_us))
        return True

    def give_back(self, gateway: str, hz: int, air_us: int) -> None:
        """The frame that was booked last with so much air time never left."""
        band = self._region.band(hz)
        entries = self._spent.get((gateway, band), deque())
        for index in range(len(entries) - 1, -1, -1):
            if entries[index][1] == air_us:
                del entries[index]
                self._note(Spent(gateway, band, self._scheduler.wall_us(), -air_us))
                return
