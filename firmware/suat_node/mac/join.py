"""Over-the-air activation (TS001-1.0.4 6.2), with the back-off of TS001 7 and TR007 4.8.

DevNonce counts up and is on flash before the request leaves; a JoinNonce that was seen before is refused. Air time of
join requests after power-on: 36 s in the first hour, 36 s in the next ten, 8.7 s in each day after that. What was used
is on flash with the DevNonce, so that a battery that breaks down at each request gets no new share. The pause after
each request spreads what is left over the time that is left, times 0.5 to 1.5 at random: a fleet spreads by itself.

A node that the network has not answered for so long that the ADR back-off is over tries to join anew now and then; its
session goes on until a join accept comes. A station that was restored from an old copy gets its nodes back like this.
"""

import random

from micropython import const
from suat_wire import lorawan
from suat_wire.aes import Aes
from suat_wire.airtime import time_on_air_us

from suat_node import power
from suat_node.keep.counters import NONE
from suat_node.mac import adr, link
from suat_node.mac.session import Session

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.keep.counters import Counters
    from suat_node.radio.sx126x import Sx126x

_HOUR = const(3600)
_DAY = const(86400)
_FIRST_HOURS = const(39600)  # 1 + 10
_SHARE_MS = const(36000)
_DAILY_MS = const(8700)
_REQUEST_SIZE = const(23)
_REJOIN_PAUSE = const(14400)  # at least, s: each attempt costs as much as a day's wakes
_LAST_FCNT = const(0xFFFFF000)


def due(session: "Session", counters: "Counters") -> bool:
    """Whether to try now: not joined, or out of touch for long (TR007 4.4), or short of frame counters."""
    now = power.clock()
    if now < max(counters.rejoin_at if session.joined else counters.next_join, counters.quiet_until):
        return False
    over = adr.lost(session) or counters.fcnt_up >= _LAST_FCNT
    return not session.joined or (over and session.config.otaa and counters.dev_nonce <= 0xFFFF)


def attempt(radio: "Sx126x", session: "Session", counters: "Counters") -> bool:
    """One join request and its windows; True when joined, else `counters.next_join` says when to try again."""
    config = session.config
    plan = Session(config)  # as the region says: the network may know nothing of the old session
    plan.quiet = session.quiet
    plan.wary = min(counters.join_tries, 1)
    if not counters.join_tries:
        power.wait_ms(random.getrandbits(13))  # a fleet gets its power at once
    dr = _data_rate(config.dr, counters.join_tries)
    now = power.clock()
    if not _allowed(session, counters, dr, now):
        return False
    key = Aes(config.app_key)
    nonce = counters.next_dev_nonce(session)
    request = lorawan.join_request(key, config.join_eui, config.dev_eui, nonce)

    def accept(phy: bytes) -> "lorawan.JoinAccept | None":
        try:
            answer = lorawan.parse_join_accept(key, phy)
        except lorawan.FrameError:
            return None
        if counters.join_nonce != NONE and answer.join_nonce <= counters.join_nonce:
            return None  # used before: a replay
        return answer

    answer, _ = link.exchange(radio, plan, counters, request, dr, plan.region.join_delays, accept)
    session.busy = session.busy + plan.busy & 0xFFFF
    if answer is not None:
        session.accept(answer, lorawan.session_keys(key, answer.join_nonce, answer.net_id, nonce))
        session.dr = dr  # what was heard
        session.snr, session.rssi = plan.snr, plan.rssi
        counters.join_nonce = answer.join_nonce
        counters.fcnt_up = counters.fcnt_top = counters.fcnt_down = 0
        counters.join_tries = counters.rejoin_at = 0
        left = counters.next_sense - power.clock()
        if left > 0 and not counters.utc_offset:  # no more in step with all that got their power then (TR007 4.7.2)
            counters.next_sense -= random.getrandbits(16) % left
        counters.save(session)
    counters.quiet_until = link.free_at(session, session.dr)
    return answer is not None


def _data_rate(first: int, tries: int) -> int:
    """Two requests at each data rate, from the configured one down to DR0, then again."""
    return first - tries // 2 % (first + 1)


def _allowed(session: "Session", counters: "Counters", dr: int, now: int) -> bool:
    """Whether the share of the running period has room for this request; books it, and sets the time of the next."""
    sf, bw_hz = session.region.data_rates[dr]
    air_ms = time_on_air_us(sf, bw_hz, _REQUEST_SIZE) // 1000 + 1
    age = now - counters.started
    period, end, share = 1, _HOUR, _SHARE_MS
    if age >= _FIRST_HOURS:
        day = (age - _FIRST_HOURS) // _DAY
        period, end, share = day + 3, _FIRST_HOURS + (day + 1) * _DAY, _DAILY_MS
    elif age >= _HOUR:
        period, end = 2, _FIRST_HOURS
    if counters.join_period and counters.join_period != period:
        counters.join_ms = 0
    counters.join_period = period  # 0 after power-on: what was used before counts on
    room = share - counters.join_ms - air_ms
    pause = end - age + random.getrandbits(9)  # the period is used up
    if room >= air_ms:
        pause = (end - age) * air_ms // room * (512 + random.getrandbits(10)) // 1024 + 1
    if session.joined:
        pause += _REJOIN_PAUSE
    counters.next_join = counters.rejoin_at = now + pause
    if room < 0:
        return False
    counters.join_ms += air_ms
    counters.join_tries += 1
    return True
