"""Settings that people order for a node (`suat device configure`), until the node shows that it has taken them.

One FPort 5 payload is on its way to a node at a time. That a gateway sent it proves nothing: it counts as taken when
`config` of the node's health is the CRC-32 of the settings it accepted before with these (docs/payload.md). Until then
it is sent again, at most `MOST_SENT` times. The acknowledgement of samples goes first; a node that asks for one with
each frame is told its settings with the second. While a node tries settings it asks each time, and is not disturbed.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from suat_wire.control import SETTINGS, decode_config, encode_config
from suat_wire.payload import PayloadError, unpack

from suat.records import Row
from suat.store.downlinks import CONFIRMED, PENDING, REFUSED, ROLLED_BACK, SENT, Order

log = logging.getLogger(__name__)

MOST_WAITING = 16  # payloads for one node
MOST_BYTES = 36  # fits at any data rate, beside 15 bytes of MAC commands
MOST_SENT = 8
AGAIN_AFTER = 4  # uplinks without a trace of it; a node that tries settings asks with each of its uplinks, ...
TRIAL_UPLINKS = 12  # ... at most 8 of them
MOST_TRIED = 10  # settings of which each part is tried: 1,024 parts, some ms
ACTIONS = ("resend_from", "rejoin", "restart")  # carried out and not kept
ROLLED_BACK_BIT = 64  # of `node.events`
_TOGETHER = (("adr", "data_rate"), ("battery_low", "battery_floor"))  # of no use, or at odds, one without the other


def payloads(settings: Mapping[str, int]) -> list[bytes]:
    """FPort 5 payloads, each valid alone; what is carried out and not kept comes last. PayloadError names the fault."""
    encode_config(dict(settings))  # the whole first: a slip must not travel halfway
    kept = {name: value for name, value in settings.items() if name not in ACTIONS}
    low, floor = kept.get("battery_low", 0), kept.get("battery_floor", 0)
    if 0 < low <= floor:
        raise PayloadError(f"battery_floor: {floor} is not below battery_low, {low}")
    out: list[dict[str, int]] = []
    for group in _groups(kept):
        if out and len(encode_config(out[-1] | group)) <= MOST_BYTES:
            out[-1] |= group
        else:
            out.append(group)
    actions = {name: settings[name] for name in ACTIONS if name in settings}
    return [encode_config(part) for part in [*out, *([actions] if actions else [])]]


def _groups(kept: Mapping[str, int]) -> list[dict[str, int]]:
    """The settings in the order of their ids, those together that must not be parted."""
    groups: list[dict[str, int]] = []
    done: set[str] = set()
    for _, name, *_ in SETTINGS:
        if name in kept and name not in done:
            names = next((pair for pair in _TOGETHER if name in pair), (name,))
            groups.append({each: kept[each] for each in names if each in kept})
            done.update(names)
    return groups


def digest(settings: Mapping[str, int]) -> int:
    """What health tells of a node that accepted these."""
    return crc32(encode_config(dict(settings))) if settings else 0


def accepted(orders: Iterable[Order], told: int | None) -> dict[str, int] | None:
    """What a node has accepted, by its orders and the `config` it told last; None when that can't be known.

    Settings that were set by hand at the node since are missing from it, so that each part of them is tried.
    """
    certain: dict[str, int] = {}
    possible: dict[str, int] = {}
    for order in sorted(orders, key=lambda order: order.settled_us or 0):
        settings = _kept(order.payload)
        if order.state == CONFIRMED:
            certain |= settings
        if order.state == CONFIRMED or order.sent:
            possible |= settings
    if told is None or digest(certain) == told:
        return certain
    for known in (certain, possible):
        if len(known) > MOST_TRIED:
            continue
        for size in range(len(known), -1, -1):
            for names in itertools.combinations(known, size):
                part = {name: known[name] for name in names}
                if digest(part) == told:
                    return part
    return None


def _kept(payload: bytes) -> dict[str, int]:
    return {name: value for name, value in decode_config(payload).items() if name not in ACTIONS}


def _is_whole(order: Order, name: str) -> bool:
    try:
        decode_config(order.payload)
    except PayloadError as error:
        log.error("%s: settings that were ordered are damaged in the journal (%s); order them again", name, error)
        return False
    return True


@dataclass(slots=True)
class Waiting:
    """An order that is not settled."""

    order: Order
    uplinks: int = 0  # heard since it waits, or since it was last sent
    asking: int = 0  # of these, how many asked for an acknowledgement

    @property
    def kept(self) -> dict[str, int]:
        return _kept(self.order.payload)


@dataclass(slots=True)
class _Node:
    """The orders of one node, and what it is known to have accepted."""

    name: str
    queue: deque[Waiting]
    accepted: dict[str, int] | None
    told: int | None  # `config` of its last health


class Orders:
    """All orders that wait. `note` is told of each change, to keep it."""

    def __init__(self, wall_us: Callable[[], int], note: Callable[[Order], None]) -> None:
        self._wall_us = wall_us
        self._note = note
        self._nodes: dict[int, _Node] = {}
        self._settled: set[int] = set()  # in this run: the journal may not know yet

    def load(self, orders: Iterable[Order], names: Mapping[int, str], told: Mapping[int, int | None]) -> None:
        """Take over the journal's orders of all nodes; what is known better here stays."""
        found: dict[int, list[Order]] = {}
        for order in orders:
            if order.registration in names and _is_whole(order, names[order.registration]):
                found.setdefault(order.registration, []).append(order)
        running = {w.order.id: w for node in self._nodes.values() for w in node.queue}
        before, self._nodes = self._nodes, {}
        for registration, all_of_it in found.items():
            pending = [order for order in all_of_it if order.state == PENDING and order.id not in self._settled]
            if not pending:
                continue
            queue = deque(running.get(order.id) or Waiting(order) for order in pending)
            known = before.get(registration)
            if known is None:
                last = told.get(registration)
                known = _Node(names[registration], queue, accepted(all_of_it, last), last)
            known.queue = queue
            self._nodes[registration] = known

    def waiting(self, registration: int) -> int:
        """How many payloads wait for a node."""
        node = self._nodes.get(registration)
        return 0 if node is None else len(node.queue)

    def forget(self, registration: int) -> None:
        """The node was revoked."""
        self._nodes.pop(registration, None)

    # -- what a node's uplink tells

    def heard(self, registration: int, rows: Sequence[Row], asks: bool) -> None:
        """One more uplink of a node, with its samples."""
        node = self._nodes.get(registration)
        if node is None:
            return
        for row in sorted(rows, key=lambda row: row.time_us):
            values = unpack(row.body)
            config, events = values.get(("health", "config")), values.get(("node", "events"))
            if events is not None and int(events) & ROLLED_BACK_BIT:
                self._went_back(registration, node, row.time_us)
            if config is not None and node.queue:  # else the last order was settled by what came before
                self._told(registration, node, int(config), row.time_us)
        if registration in self._nodes:
            head = node.queue[0]
            head.uplinks += 1
            head.asking += asks

    def _told(self, registration: int, node: _Node, config: int, at_us: int) -> None:
        """The node says what it has accepted."""
        head = node.queue[0]
        kept = head.kept
        if kept and _since(head, at_us):
            with_it = None if node.accepted is None else node.accepted | kept
            if config == digest(with_it) if with_it is not None else config != node.told:
                node.accepted = with_it
                self._settle(registration, node, CONFIRMED)
            elif head.order.sent >= MOST_SENT:
                self._settle(registration, node, REFUSED)
        node.told = config

    def _went_back(self, registration: int, node: _Node, at_us: int) -> None:
        if node.queue and node.queue[0].kept and _since(node.queue[0], at_us):
            self._settle(registration, node, ROLLED_BACK)

    # -- what goes out

    def due(self, registration: int, asks: bool) -> Waiting | None:
        """The order that goes out now, in the place of an acknowledgement too."""
        node = self._nodes.get(registration)
        if node is None:
            return None
        head = node.queue[0]
        if not head.order.sent:
            return head if not asks or head.asking > 1 else None
        if head.uplinks < AGAIN_AFTER or (asks and head.uplinks < TRIAL_UPLINKS):
            return None
        if head.order.sent >= MOST_SENT:
            self._settle(registration, node, REFUSED)
            return self.due(registration, asks)
        return head

    def sent(self, waiting: Waiting) -> None:
        """A gateway has sent it."""
        order = waiting.order
        node = self._nodes.get(order.registration)
        if node is None or not node.queue or node.queue[0] is not waiting:
            return  # cancelled meanwhile
        now_us = self._wall_us()
        waiting.order = order._replace(sent=order.sent + 1, sent_us=now_us)
        waiting.uplinks = waiting.asking = 0
        if waiting.kept:
            self._note(waiting.order)
        else:
            self._settle(order.registration, node, SENT)

    def _settle(self, registration: int, node: _Node, state: str) -> None:
        waiting = node.queue.popleft()
        settled = waiting.order._replace(state=state, settled_us=self._wall_us())
        self._settled.add(settled.id)
        self._note(settled)
        if not node.queue:
            del self._nodes[registration]
        level = logging.INFO if state in (CONFIRMED, SENT) else logging.WARNING
        log.log(level, "settings of %s: %s", node.name, state)


def _since(waiting: Waiting, at_us: int) -> bool:
    """Whether a sample was taken after the order was last sent."""
    sent_us = waiting.order.sent_us
    return sent_us is not None and at_us > sent_us


def summary(orders: Sequence[Order], told: int | None) -> dict[str, Any] | None:
    """For people: how the orders of a node stand; None when it never had any."""
    if not orders:
        return None
    pending: dict[str, int] = {}
    for order in orders:
        if order.state == PENDING:
            pending |= decode_config(order.payload)
    last = max(orders, key=lambda order: (order.state == PENDING, order.settled_us or order.ordered_us, order.id))
    return {
        "state": last.state,
        "pending": pending,
        "accepted": accepted(orders, told),
        "last": decode_config(last.payload),
        "sent": last.sent,
        "ordered_us": last.ordered_us,
        "settled_us": last.settled_us,
    }
