"""Pack, seal, send, listen: one exchange with the network, and what its answer changes."""

import machine
from suat_wire.control import PORT_ACK, PORT_CONFIG, decode_config
from suat_wire.fields import PayloadError
from suat_wire.payload import encode

from suat_node import power
from suat_node.keep import delivery, times
from suat_node.mac import adr, commands, link, transmit

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    ask = delivery.ask_from(counters, node.backlog, 1 if node.ask_now else node.setting("ack_after"))
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
    return True


def heard(node: "Node", down: "Downlink", sent_at: int, samples: "list[Sample]") -> None:
    """Act on a genuine downlink. Its counter and all it changes are on flash before the next uplink."""
    counters, session = node.counters, node.session
    commands.obey(session, counters, down.commands, sent_at)
    rejoin = restart = False
    if down.fport == PORT_ACK and delivery.acknowledge(counters, node.backlog, down.payload, samples):
        node.ask_now = False
    elif down.fport == PORT_CONFIG:
        rejoin, restart = configure(node, down.payload)
    if rejoin and node.config.otaa:
        session.joined = False
    try:
        counters.save(session)
    except OSError:  # flash is full of samples: the oldest makes room
        node.backlog.drop_oldest()
        counters.save(session)
    node.backlog.free(counters.oldest)  # after the save: what is freed must never be asked for again
    if restart:
        machine.reset()


def configure(node: "Node", data: bytes) -> "tuple[bool, bool]":
    """Settings from the network (FPort 5), all or none of them; (rejoin, restart) for the caller."""
    try:
        settings = decode_config(data)
    except PayloadError:
        return False, False
    counters = node.counters
    for name in ("interval_s", "ack_after", "health_h"):
        if name in settings:
            setattr(counters, name, settings[name])
    if "interval_s" in settings:
        counters.next_sense = times.next_wake(
            counters, power.clock(), counters.interval_s, counters.identity % counters.interval_s
        )
    node.session.adr = settings.get("adr", node.session.adr) == 1
    if "data_rate" in settings:
        node.session.dr = settings["data_rate"]
    if "resend_from" in settings:
        for record in node.backlog.held[-64:]:  # no more can wait
            if record >= settings["resend_from"]:
                delivery.waits(counters, record)
    return settings.get("rejoin", 0) == 1, settings.get("restart", 0) == 1
