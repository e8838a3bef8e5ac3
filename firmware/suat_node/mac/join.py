"""Over-the-air activation (TS001-1.0.4 6.2), with the back-off of TS001 7 and TR007.

DevNonce counts up and is on flash before the request leaves; a JoinNonce that was seen before is refused. Air time of
join requests: 36 s in the first hour, 36 s in the next ten, 8.7 s in each day after that; the pause after each request
is its air time divided by that share, times 1 to 2 at random, so that a fleet after a power cut spreads by itself.
"""

import random

from suat_wire import lorawan
from suat_wire.aes import Aes
from suat_wire.airtime import time_on_air_us

from suat_node import power
from suat_node.keep.counters import NONE
from suat_node.mac import link

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.keep.counters import Counters
    from suat_node.mac.session import Session
    from suat_node.radio.sx126x import Sx126x

_HOUR = 3600
_REQUEST_SIZE = 23


def attempt(radio: "Sx126x", session: "Session", counters: "Counters") -> bool:
    """One join request and its windows; True when joined, else `counters.next_join` says when to try again."""
    config = session.config
    session.reset_radio()  # a network that forgot the node knows nothing of the old session's settings
    now = power.clock()
    if not counters.join_tries:
        counters.join_since = now
    dr = _data_rate(config.dr, counters.join_tries)
    counters.join_tries += 1
    counters.next_join = now + _pause(session, counters, dr, now)
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

    answer, _ = link.exchange(radio, session, counters, request, dr, session.region.join_delays, accept)
    if answer is None:
        return False
    session.accept(answer, lorawan.session_keys(key, answer.join_nonce, answer.net_id, nonce))
    session.dr = dr  # what was heard
    counters.join_nonce = answer.join_nonce
    counters.fcnt_up = counters.fcnt_top = counters.fcnt_down = 0
    counters.join_tries = 0
    counters.save(session)
    return True


def _data_rate(first: int, tries: int) -> int:
    """Two requests at each data rate, from the configured one down to DR0, then again."""
    return first - tries // 2 % (first + 1)


def _pause(session: "Session", counters: "Counters", dr: int, now: int) -> int:
    """Seconds until the next request."""
    sf, bw_hz = session.region.data_rates[dr]
    air_us = time_on_air_us(sf, bw_hz, _REQUEST_SIZE)
    age = now - counters.join_since
    share = 100 if age < _HOUR else 1000 if age < 11 * _HOUR else 9932  # 1/100, 1/1000, 8.7 s of 86,400 s
    return air_us * share // 1000000 * (1000 + random.getrandbits(10)) // 1000 + 1
