"""One uplink, as often as NbTrans says: the same frame, each time on another channel, until a downlink answers."""

from suat_node import power
from suat_node.mac import link

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Callable

    from suat_node.keep.counters import Counters
    from suat_node.mac.session import Downlink, Session
    from suat_node.radio.sx126x import Sx126x


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

    `left` is called once, when the frame has been on the air. RadioError: it never was.
    """
    delays = (session.rx1_delay, session.rx1_delay + 1)
    told = False
    sent_at = 0
    for _ in range(session.nb_trans):
        down, sent_at = link.exchange(radio, session, counters, phy, session.dr, delays, accept)
        if not told:
            left()
            told = True
        if down is not None:
            return down, sent_at
        if power.clock() < counters.quiet_until:
            break
    return None, sent_at
