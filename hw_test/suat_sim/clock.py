"""A node's time: virtual, moved on by whatever the program does, and what happens to the node as it passes.

True time is microseconds of virtual UTC since the run's start. The node's own crystal runs `ppm` fast against it.
Runs on MicroPython, inside the node's process.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NEVER = 1 << 60
TICKS_PERIOD = 1 << 30  # as on the boards


class Clock:
    """`now` is true time [us]; `pass_until` lets time pass and runs what is due on the way."""

    def __init__(self, now: int, ppm: int = 0, ticks_offset_us: int = 0) -> None:
        self.now = now
        self.ppm = ppm
        self.offset = ticks_offset_us
        self.booted = now
        self.limit = NEVER  # the first instant at which anything below is due
        self.other_limit = NEVER  # ... but for the watchdog
        self.watchdog_at = NEVER
        self.watchdog_us = 0
        self.power_cut_at = NEVER
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.order = 0
        self.on_watchdog: Callable[[], None] = _nothing
        self.on_power_cut: Callable[[], None] = _nothing

    def elapsed(self) -> int:
        """The node's own microseconds since it started."""
        gone = self.now - self.booted
        return gone + gone * self.ppm // 1000000

    def local(self) -> int:
        """What its tick counter shows [us], not yet wrapped."""
        return self.elapsed() + self.offset

    def true_us(self, local_us: int) -> int:
        """How much true time passes while the node counts `local_us`."""
        return local_us - local_us * self.ppm // 1000000

    def spend(self, us: int) -> None:
        """Let true time pass."""
        t = self.now + us
        if t < self.limit:
            self.now = t
        else:
            self.pass_until(t)

    def pass_until(self, t: int, wake: "Callable[[], bool] | None" = None) -> bool:
        """Let time pass until `t`; True when `wake` ended it early."""
        while self.limit <= t:
            due = self.limit
            self.now = max(self.now, due)
            if self.power_cut_at <= due:
                self.power_cut_at = NEVER
                self.on_power_cut()
            elif self.watchdog_at <= due:
                self.watchdog_at = NEVER
                self.on_watchdog()
            else:
                self.events.pop(0)[2]()
            self.schedule()
            if wake is not None and wake():
                return True
        self.now = max(self.now, t)
        return False

    def schedule(self) -> None:
        """Find anew what is due first."""
        first = self.events[0][0] if self.events else NEVER
        self.other_limit = min(self.power_cut_at, first)
        self.limit = min(self.watchdog_at, self.other_limit)

    def call_at(self, t: int, call: "Callable[[], None]") -> None:
        """Run `call` when true time reaches `t`."""
        self.order += 1
        entry = (t, self.order, call)
        place = len(self.events)
        while place and self.events[place - 1][0] > t:
            place -= 1
        self.events.insert(place, entry)
        self.schedule()

    def arm_watchdog(self, us: int) -> None:
        """Start the watchdog with a time of the node's own microseconds."""
        self.watchdog_us = self.true_us(us)
        self.feed()

    def feed(self) -> None:
        """Not yet."""
        at = self.now + self.watchdog_us
        self.watchdog_at = at
        self.limit = at if at < self.other_limit else self.other_limit


def _nothing() -> None:
    """Until the board says what happens."""


def ticks_add(ticks: int, delta: int) -> int:
    """As time.ticks_add on the boards."""
    return (ticks + delta) % TICKS_PERIOD


def ticks_diff(end: int, start: int) -> int:
    """As time.ticks_diff on the boards: -2**29 .. 2**29 - 1."""
    half = TICKS_PERIOD >> 1
    return ((end - start + half) % TICKS_PERIOD) - half
