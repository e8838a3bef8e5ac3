"""Pack, seal, send, listen: one exchange with the network, and what its answer changes."""

import machine
from micropython import const
from suat_wire.airtime import time_on_air_us
from suat_wire.control import PORT_ACK, PORT_CONFIG
from suat_wire.payload import encode

import suat_node
from suat_node import power
from suat_node.keep import delivery
from suat_node.mac import adr, commands, transmit
from suat_node.mac.session import FOPTS

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any

    from suat_wire.payload import Sample

    from suat_node.mac.session import Downlink
    from suat_node.node import Node

DAY_S = 86400
_TRIES = const(3)  # new frames for an event that the network does not confirm
_SILENT = const(4)  # requests without an answer: the network is gone, only the samples' own frames go on asking
_PAUSE_S = const(60)  # doubled with each of them: a busy channel is given room
_LATER_S = const(3600)
_NEAR_MS = const(300)
_ROOM_S = const(10)  # what a frame with its windows takes


def deliver(node: "Node") -> None:
    """Send the newest sample if it has not been sent, else one extra frame if it is time for it.

    At the battery's floor nothing leaves. Flash that takes no counter costs the frame, not the sample.
    """
    counters = node.counters
    for _ in range(_TRIES if node.urgent else 1):
        now = power.clock()
        if counters.battery_state >= power.FLOOR or now < counters.quiet_until:
            return
        if not delivery.news(counters) and not 0 < next_extra(node) <= now:
            break
        try:
            send(node)
        except OSError:  # counted where it happened
            break
        finally:
            if counters.extra_at <= now:  # nothing was sent
                counters.extra_at = now + _LATER_S
        if not node.urgent:
            break
    node.urgent = False


def next_extra(node: "Node") -> int:
    """Node clock at which a frame between the samples may go; 0: none is wanted, or none before the next sample's own.

    It goes when the air time of all frames before it is paid for, so that any hour stays below 1 % (`Counters.pay`).
    A weak battery gets none, nor does a network that does not answer.
    """
    counters = node.counters
    unheard = counters.unheard
    if counters.battery_state or unheard >= _SILENT or not node.session.joined:
        return 0
    if not counters.waiting and not (unheard and delivery.behind(counters, node.backlog)):
        return 0
    at = max(1, counters.quiet_until, counters.extra_at + (_PAUSE_S << unheard if unheard else 0))
    return at if at + _ROOM_S * node.session.nb_trans <= counters.next_sense else 0


def send(node: "Node") -> bool:
    """One uplink (NbTrans times the same frame) with its windows; False when there was nothing to send.

    OSError: flash took no frame counter. RadioError: nothing left.
    """
    counters, session = node.counters, node.session
    ack_req = adr.before_uplink(session)
    now_ms = power.clock_ms()
    at_once = node.ask_now or node.settings.trial
    ask = delivery.ask_from(counters, node.backlog, 1 if at_once else node.setting("ack_after"))
    # when an answer comes anyway, the time comes with it
    want_time = ask is not None or not counters.utc_offset or now_ms // 1000 - counters.synced_at >= DAY_S
    fopts = session.fopts(want_time, session.region.max_payload[session.dr])
    filled = _fill(node, now_ms, fopts, ask) if len(fopts) <= FOPTS else None
    if filled is None and session.answers:  # they go before samples, and alone where both do not fit (TS001 5)
        filled, fopts, ask = ([], fopts, 0), b"", None
    elif filled is None:  # a request may wait
        fopts = b""
        filled = _fill(node, now_ms, fopts, ask)
    if filled is None:
        return False
    samples, payload, fport = filled
    confirmed = node.urgent and fport != 0
    phy = session.uplink(counters.next_fcnt(session), fport, payload, fopts, ack_req, confirmed)

    def accept(frame: bytes) -> "Downlink | None":
        return session.open(frame, counters)

    if ask is not None:
        counters.unheard = min(counters.unheard + 1, 255)
    down, sent_at = transmit.transmit(
        node.radio, session, counters, phy, accept, lambda: delivery.sent(counters, samples), confirmed
    )
    if down is not None:
        counters.unheard = 0
        node.urgent = node.urgent and not (confirmed and down.ack)
        heard(node, down, sent_at, samples)
    elif node.settings.trial:
        _configure().unheard(node)
    if node.urgent and confirmed:
        delivery.waits(counters, samples[0].record)
    return True


def _fill(node: "Node", now_ms: int, fopts: bytes, ask: "int | None") -> "tuple[list[Sample], bytes, int] | None":
    """(samples, payload, FPort) of the next frame; None when there is nothing, or nothing that fits.

    Ages count to the end of the frame, whose length is guessed at first.
    """
    counters, session = node.counters, node.session
    limit = session.region.max_payload[session.dr] - len(fopts)
    sf, bw_hz = session.region.data_rates[session.dr]
    air_ms = time_on_air_us(sf, bw_hz, min(limit, 12 + 8 * len(counters.waiting)) + 13) // 1000
    filled = None
    for _ in range(2):
        samples = delivery.choose(counters, node.backlog, now_ms + air_ms, limit, ask)
        if not samples:
            return None
        from_record = None if ask is None else min(ask, samples[0].record)
        payload, fport = encode(samples, limit, from_record, delivery.wide(counters))
        filled = samples, payload, fport
        guess, air_ms = air_ms, time_on_air_us(sf, bw_hz, len(payload) + len(fopts) + 13) // 1000
        if abs(air_ms - guess) < _NEAR_MS:
            break
    return filled


def heard(node: "Node", down: "Downlink", sent_at: int, samples: "list[Sample]") -> None:
    """Act on a genuine downlink. Its counter and all it changes are on flash before the next uplink."""
    counters, session = node.counters, node.session
    commands.obey(session, counters, down.commands, sent_at)
    if node.settings.trial:
        _configure().heard(node)
    rejoin = restart = False
    if down.fport == PORT_ACK and delivery.acknowledge(counters, node.backlog, down.payload, samples):
        node.ask_now = False
        if suat_node.boot:
            from suat_node.keep import slots

            slots.confirm()
    elif down.fport == PORT_CONFIG:
        rejoin, restart = _configure().change(node, down.payload)
    if rejoin:  # as after a long silence: this session goes on until another one is there
        adr.give_up(session)
        counters.rejoin_at = 0
    try:
        counters.save(session)
        node.backlog.free(counters.oldest)  # after the save: what is freed must never be asked for again
    except OSError:  # counted; a start from flash would ask for it all once more
        pass
    if restart:
        machine.reset()


def _configure() -> "Any":
    """Settings change a few times in a node's life: what they need is loaded then."""
    from suat_node import configure

    return configure
