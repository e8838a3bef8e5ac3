"""Pack, seal, send, listen: one exchange with the network, and what its answer changes."""

import machine
from suat_wire.control import PORT_ACK, PORT_CONFIG
from suat_wire.payload import encode

import suat_node
from suat_node import power
from suat_node.keep import delivery
from suat_node.mac import adr, commands, link, transmit

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any

    from suat_wire.payload import Sample

    from suat_node.mac.session import Downlink
    from suat_node.node import Node

DAY_S = 86400


def deliver(node: "Node") -> None:
    """Send what waits: at least the newest sample, more frames while older ones wait and the air is free."""
    for _ in range(node.config.frames):
        if power.clock() < node.counters.quiet_until:
            return
        if not node.counters.waiting or not send(node):
            return


def send(node: "Node") -> bool:
    """One uplink (NbTrans times the same frame) with its windows; False when there was nothing to send."""
    counters, session = node.counters, node.session
    ack_req = adr.before_uplink(session)
    now = power.clock()
    asks_at_once = node.ask_now or node.settings.trial
    ask = delivery.ask_from(counters, node.backlog, 1 if asks_at_once else node.setting("ack_after"))
    limit = session.region.max_payload[session.dr]
    # when an answer comes anyway, the time comes with it
    want_time = ask is not None or not counters.utc_offset or now - counters.synced_at >= DAY_S
    fopts = session.fopts(want_time, 15)
    heard_at = now + link.seconds_on_air(session)
    samples = delivery.choose(counters, node.backlog, heard_at, limit - len(fopts), ask)
    if not samples:  # answers to the network may wait, samples not
        fopts = b""
        samples = delivery.choose(counters, node.backlog, heard_at, limit, ask)
    if not samples:
        return False
    if ask is not None:
        ask = min(ask, samples[0].record)
    payload, fport = encode(samples, limit - len(fopts), ask, delivery.wide(counters))
    phy = session.uplink(counters.next_fcnt(session), fport, payload, fopts, ack_req)

    def accept(frame: bytes) -> "Downlink | None":
        return session.open(frame, counters)

    down, sent_at = transmit.transmit(
        node.radio, session, counters, phy, accept, lambda: delivery.sent(counters, samples), False
    )
    if down is not None:
        heard(node, down, sent_at, samples)
    elif node.settings.trial:
        _configure().unheard(node)
    return True


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
    if rejoin and node.config.otaa:
        session.joined = False
    counters.save(session)
    node.backlog.free(counters.oldest)  # after the save: what is freed must never be asked for again
    if restart:
        machine.reset()


def _configure() -> "Any":
    """Settings change a few times in a node's life: what they need is loaded then."""
    from suat_node import configure

    return configure
