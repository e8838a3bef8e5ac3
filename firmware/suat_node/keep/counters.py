"""Everything small that must survive: counters, session, what was acknowledged.

On flash: two files, each with generation and CRC-32, written in turn (tmp, then rename), so that the newest good copy
is never touched by the next write. FCntUp and record numbers are reserved ahead in chunks: flash holds the end of the
chunk, and after a power cut counting goes on from there; a number is skipped, never used twice. DevNonce is saved
before each join request. Where one copy is damaged, the other may be the older one, at most a chunk behind. On an
ESP32 the same bytes travel through deep sleep in RTC memory with the exact counters; they count only when their
generation is that of the flash copy.
"""

import os
import struct
from binascii import crc32

from micropython import const

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Callable

    from suat_node.keep.times import Anchor
    from suat_node.mac.session import Session

FCNT_CHUNK = 32
RECORD_CHUNK = 16
NONE = 0xFFFFFFFF
ENOSPC = 28
EVENTS_TOLD = 0x100  # in `events`: the network was told of one, and is yet to hear that none is left
_REPORTS = 0xC0  # of `events`: what happens once, with no state behind it

_MAGIC = b"SUAT2"
_HOUR_MS = const(36000)  # 1 %
_LONGEST_MS = const(2800)  # 64 bytes at SF12
_ANCHOR = "<HIIH"
_HEAD = "<5sIH"  # magic, generation, length of what follows
_NAMES = (  # new ones go to the end: a version before this reads its own from the front (docs/updates.md)
    "identity",  # CRC of the keys that the counters belong to
    "boots",  # starts that were not a wake from deep sleep
    "started",  # node clock of the last of them
    "false_starts",  # of them, those in a row in which no frame was sent whole
    "dev_nonce",  # next to use
    "join_nonce",  # last seen, NONE before the first join
    "fcnt_up",  # next to use
    "fcnt_top",  # reserved up to here
    "fcnt_down",  # lowest still acceptable
    "record",  # next to use
    "record_top",
    "oldest",  # records below are acknowledged
    "known",  # highest that was ever acknowledged
    "logger_next",  # first row of the data logger that was not taken over
    "pulses",  # of the water meter, since the first start
    "pulse_last",  # the counter's value when they were added
    "utc_offset",  # UTC - node clock when it was last told, 0: unknown since this start
    "synced_at",  # node clock
    "refused",  # step of the time that was not believed, s, modulo 2^32
    "next_sense",  # node clock; 0: at once
    "next_join",
    "join_tries",
    "join_period",  # of the join back-off (mac/join.py) in which ...
    "quiet_until",  # node clock: the duty cycle allows nothing before
    "health_at",  # node clock of the last health sample
    "lost",  # samples dropped from a full ring or for want of flash
    "radio_errors",
    "rejoin_at",  # node clock of the next attempt to join anew while the network is silent
    "air_ms",  # sent since the last health sample
    "extra_at",  # node clock: all air time has been paid for, an extra frame may go
    "unheard",  # frames in a row that asked and got no answer
    "flash_errors",
    "drift",  # by how much the node's clock runs fast, 0.1 ppm, modulo 2^32
    "battery_mv",  # last reading
    "battery_state",  # power.py
    "events",  # bits of suat_wire.document.EVENTS; above them what events.py remembers
    "event_hour",  # node clock where the hour of the cap began
    "event_count",
    "flow_since",  # node clock since when the water has run without a pause, 0: it stands
    "flow_last",  # volume when the meter was last judged, L, and ...
    "flow_at",  # ... when, 0: never
    "night_mm",  # depth at the first sample of the night, 0: none
    "night_at",
    "join_ms",  # ... so much air time of requests was used
)
_FORGOTTEN = (
    "utc_offset",
    "synced_at",
    "refused",
    "next_sense",
    "next_join",
    "join_tries",
    "join_period",
    "quiet_until",
    "health_at",
    "rejoin_at",
    "extra_at",
    "unheard",
    "event_hour",
    "event_count",
    "flow_since",
    "flow_at",
    "night_mm",
    "night_at",
)


class CountersLost(Exception):
    """Both copies on flash are damaged: the node must be provisioned anew, or it would repeat counters."""


class Counters:
    """The numbers named above, with the lists `waiting` (records to send), `named` (acknowledged beyond oldest) and
    `anchors` (times.py)."""

    if __debug__ and TYPE_CHECKING:  # one name a line of the table above
        false_starts = 0
        identity = boots = started = dev_nonce = join_nonce = fcnt_up = fcnt_top = fcnt_down = record = record_top = 0
        oldest = known = logger_next = pulses = pulse_last = utc_offset = synced_at = refused = 0
        rejoin_at = air_ms = extra_at = unheard = flash_errors = drift = battery_mv = 0
        battery_state = events = event_hour = event_count = flow_since = flow_last = flow_at = night_mm = night_at = 0
        next_sense = next_join = join_tries = join_period = join_ms = quiet_until = health_at = lost = radio_errors = 0

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.generation = 0
        self.make_room: "Callable[[], bool]" = lambda: False  # gives up the oldest samples; False: there are none
        self.waiting: "list[int]" = []
        self.named: "list[int]" = []
        self.anchors: "list[Anchor]" = []
        for name in _NAMES:
            setattr(self, name, 0)
        self.join_nonce = NONE

    def pack(self, session: "Session") -> bytes:
        """All of it, for RTC memory or flash."""
        lists = struct.pack("<BBB", len(self.waiting), len(self.named), len(self.anchors))
        for record in self.waiting + self.named:
            lists += struct.pack("<I", record)
        for boot, at, utc_ms in self.anchors:
            lists += struct.pack(_ANCHOR, boot, at, utc_ms // 1000, utc_ms % 1000)
        numbers = [getattr(self, name) for name in _NAMES]
        body = struct.pack("<B%dI" % len(numbers), len(numbers), *numbers) + lists + session.pack()
        blob = struct.pack(_HEAD, _MAGIC, self.generation, len(body)) + body
        return blob + struct.pack("<I", crc32(blob))

    def unpack(self, blob: bytes, session: "Session") -> None:
        """Take over what `pack` made; `blob` has passed `generation_of`."""
        self.generation = struct.unpack_from(_HEAD, blob, 0)[1]
        pos = struct.calcsize(_HEAD)
        count = blob[pos]  # another version of the firmware may know fewer, or more at the end
        for name, value in zip(_NAMES, struct.unpack_from("<%dI" % count, blob, pos + 1)):  # noqa: B905
            setattr(self, name, value)
        pos += 1 + 4 * count
        waiting, named, anchors = struct.unpack_from("<BBB", blob, pos)
        pos += 3
        records = struct.unpack_from("<%dI" % (waiting + named), blob, pos)
        self.waiting = list(records[:waiting])
        self.named = list(records[waiting:])
        pos += 4 * (waiting + named)
        self.anchors = []
        for _ in range(anchors):
            boot, at, seconds, ms = struct.unpack_from(_ANCHOR, blob, pos)
            self.anchors.append((boot, at, seconds * 1000 + ms))
            pos += struct.calcsize(_ANCHOR)
        session.unpack(blob[pos:-4])

    def save(self, session: "Session") -> None:
        """Write the next generation; on a full flash the oldest samples make room. OSError: it was not written."""
        self.generation += 1
        try:
            while True:
                try:
                    return write_copy(self.folder, self.generation, self.pack(session))
                except OSError as error:
                    if error.errno != ENOSPC or not self.make_room():
                        raise
        except OSError:
            self.generation -= 1  # what sleeps in RTC memory still belongs to the copy on flash
            self.flash_errors += 1
            raise

    def load(self, remembered: bytes, session: "Session") -> bool:
        """Begin from RTC memory if that belongs to the flash copy, else from flash; True after a cold start.

        CountersLost: there are copies, but none is good.
        """
        newest, damaged = newest_copy(self.folder)
        generation = generation_of(newest)
        if remembered and generation_of(remembered) == generation and generation >= 0:
            self.unpack(remembered, session)
            return False
        if generation >= 0:
            self.unpack(newest, session)
            if damaged:
                self.fcnt_top += FCNT_CHUNK
                self.record_top += RECORD_CHUNK
                self.dev_nonce += 1
                self.boots += 1  # samples may bear the number of the start that this copy does not know
            self.cold()
            session.quiet = [0] * len(session.quiet)
        return True

    def cold(self) -> None:
        """What a start without RTC memory means: the rest of each chunk is skipped, the node clock began anew."""
        self.fcnt_up = min(self.fcnt_top, NONE)
        self.record = self.record_top
        self.waiting = []
        self.named = []
        self.events = self.events & _REPORTS | EVENTS_TOLD  # the first sample says how it is now
        for name in _FORGOTTEN:
            setattr(self, name, 0)

    def pay(self, air_ms: int, copies: int, now: int) -> None:
        """Count a frame's air time and put off extra frames until it is paid for, at most an hour.

        Of the 36 s of each hour two of the longest frames, with their copies, are left: an extra one that goes when
        all is paid, and the next sample's own, which never waits.
        """
        self.air_ms += air_ms
        rest_s = air_ms * 3600 // (_HOUR_MS - 2 * _LONGEST_MS * min(copies, 6)) + 1
        self.extra_at = min(max(self.extra_at, now) + rest_s, now + 3600)

    def next_fcnt(self, session: "Session") -> int:
        """A frame counter that was never used; the chunk is on flash before its first number is given out."""
        if self.fcnt_up >= self.fcnt_top:
            if self.fcnt_up >= NONE:
                raise CountersLost("all frame counters are used up: provision the node anew")
            self.fcnt_top = min(self.fcnt_up + FCNT_CHUNK, NONE)
            self.save(session)
        self.fcnt_up += 1
        return self.fcnt_up - 1

    def next_record(self, session: "Session") -> int:
        """A record number that was never used."""
        if self.record >= self.record_top:
            self.record_top = self.record + RECORD_CHUNK
            self.save(session)
        self.record += 1
        return self.record - 1

    def next_dev_nonce(self, session: "Session") -> int:
        """The DevNonce of one join request: counted up and saved before it is used (TS001 6.2.5)."""
        if self.dev_nonce > 0xFFFF:
            raise CountersLost("all 65,536 join requests are used up: provision the node anew")
        self.dev_nonce += 1
        self.save(session)
        return self.dev_nonce - 1


def generation_of(blob: bytes) -> int:
    """Generation of a good copy, -1 for anything else."""
    head = struct.calcsize(_HEAD)
    if len(blob) < head + 4:
        return -1
    magic, generation, size = struct.unpack_from(_HEAD, blob, 0)
    if magic != _MAGIC or len(blob) != head + size + 4:
        return -1
    if crc32(blob[:-4]) != struct.unpack_from("<I", blob, head + size)[0]:
        return -1
    return int(generation)


def write_copy(folder: str, generation: int, blob: bytes) -> None:
    """Replace the older of the two copies."""
    temporary = folder + "/state.tmp"
    with open(temporary, "wb") as file:
        file.write(blob)
    os.rename(temporary, "%s/state.%d" % (folder, generation & 1))


def newest_copy(folder: str) -> "tuple[bytes, bool]":
    """The good copy with the highest generation (b"" on a new node), and whether another is damaged."""
    best = b""
    found = good = 0
    for name in ("/state.0", "/state.1"):
        try:
            with open(folder + name, "rb") as file:
                blob = file.read()
        except OSError:
            continue
        found += 1
        if generation_of(blob) >= 0:
            good += 1
        if generation_of(blob) > generation_of(best):
            best = blob
    if found and not best:
        raise CountersLost("both copies of the counters are damaged: provision the node anew")
    return best, good < found
