"""ADR back-off (TS001-1.0.4 4.3.1.1): a node that is no longer heard asks, then climbs back to where it began.

A node whose data rate is not the network's to set asks by LinkCheckReq instead (TR007 4.3.2) and changes nothing.
"""

from micropython import const

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.mac.session import Session

_LIMIT = const(64)  # ADR_ACK_LIMIT: uplinks without any downlink before ADRACKReq
_DELAY = const(32)  # ADR_ACK_DELAY: further uplinks before each step
_LOST = const(320)  # power, five data rates, channels: after so many even the longest way back has come to its end


def before_uplink(session: "Session") -> bool:
    """Count one new uplink, take the step that is due, and say whether the frame carries ADRACKReq."""
    count = session.adr_count
    session.adr_count = min(count + 1, 0xFFFF)
    if not session.adr:
        if count >= _LIMIT and count % _DELAY == 0:
            session.ask_link_check()
        return False
    if count >= _LIMIT + _DELAY and (count - _LIMIT) % _DELAY == 0:
        _step(session)
    return count >= _LIMIT


def lost(session: "Session") -> bool:
    """Whether the network hears nothing of this session, or knows nothing of it."""
    return session.adr_count >= _LOST


def give_up(session: "Session") -> None:
    """Count as lost until the next downlink."""
    session.adr_count = 0xFFFF


def _step(session: "Session") -> None:
    """First default power, then one data rate down each time, at last the default channels and one transmission."""
    if session.power:
        session.power = 0
    elif session.dr:
        session.dr -= 1
    else:
        session.mask |= (1 << len(session.region.channels_hz)) - 1
        session.nb_trans = 1
