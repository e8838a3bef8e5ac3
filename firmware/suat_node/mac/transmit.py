"""One uplink, as often as NbTrans says: the same frame, each time on another channel, until a downlink answers."""

import random

from micropython import const

from suat_node import power
from suat_node.mac import link

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Callable

    from suat_node.keep.counters import Counters
    from suat_node.mac.session import Downlink, Session
    from suat_node.radio.sx126x import Sx126x

_PATIENCE_S = const(10)  # to wait awake for a band; then the other copies are given up
_WARY = const(16)  # uplinks that listen before they talk after an answer was missed


def transmit(
    radio: "Sx126x",
    session: "Session",
    counters: "Counters",
    phy: bytes,
    accept: "Callable[[bytes], Downlink | None]",
    left: "Callable[[], None]",
    confirmed: bool,
) -> "tuple[Downlink | None, int]":
    """Send a sealed frame; (the downlink that `accept` took or None, node clock, ms, at the end of the last uplink).

    Confirmed frames are sent NbTrans times as all others (TS001-1.0.4 4.3.1.3), with RETRANSMIT_TIMEOUT, 1 to 3 s,
    after each that was not acknowledged; the caller may send their content again as a new frame.
    `left` is called once, when the frame has been on the air. RadioError: it never was.
    """
    delays = (session.rx1_delay, session.rx1_delay + 1)
    down = None
    sent_at = 0
    for turn in range(session.nb_trans):
        if turn:
            power.wait_ms(random.getrandbits(8))  # TR007 4.7.2
            rest_s = counters.quiet_until - power.clock()
            if rest_s > _PATIENCE_S:
                break
            power.wait_ms(rest_s * 1000)
        down, sent_at = link.exchange(radio, session, counters, phy, session.dr, delays, accept)
        if not turn:
            left()
        if confirmed and (down is None or not down.ack):
            session.wary = _WARY
            power.wait_ms(1000 + random.getrandbits(11) * 1000 // 1024)
        if down is not None:
            break
    return down, sent_at
