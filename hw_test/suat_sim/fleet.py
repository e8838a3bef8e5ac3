"""The bench as a whole: nodes, air and gateways on one virtual time.

Each node is a process of its own that runs ahead in virtual time. An event (a frame's begin or end, a receiver's
window, a timer of the gateway) is processed only when no node can still do anything before it: conservative
discrete-event simulation. Events of one instant have a fixed order, so a seed gives one run.
"""

from __future__ import annotations

import heapq
import select
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suat.clock import VirtualScheduler
from suat_wire.region import REGIONS

from suat_sim import rom
from suat_sim.air import Air, AirSettings, Ear, Frame, Look, Window
from suat_sim.forwarder import Forwarder
from suat_sim.node_process import FOREVER, Incident, NodeProcess, NodeSpec

# What can happen to a node. Bad: a rule of the hardware was broken, the program raised or ended, its process left, the
# chip locked up, the simulator itself is at fault. Not bad in themselves: a reset by watchdog, power or the program.
BAD = ("fault", "crash", "dead", "locked", "simulator")
KINDS = (*BAD, "watchdog", "power", "reset")
HUNG_S = 60.0  # a node that says nothing for so long runs in a circle in which no time passes
# The order of events of one instant.
_UP_ENDS, _UP_BEGINS, _DOWN_BEGINS, _OPENS, _CLOSES, _LOOKED = range(6)

Event = tuple[int, int, int, int, Any]  # when [us], kind, index of its maker, its number, what
Address = tuple[str, int]


class FleetError(RuntimeError):
    """A node broke a rule of the hardware, crashed or hung; the message says which one and how."""


@dataclass(frozen=True)
class GatewaySpec:
    """Where a gateway stands and how it is reached."""

    eui: str = "ac1f09fffe000001"
    x_m: float = 0.0
    y_m: float = 0.0
    keepalive_s: float = 10.0
    delay_s: float = 0.02


class Fleet:
    """Nodes, air and forwarders; `run` lets time pass. Use it as a context, or call `close`."""

    def __init__(
        self,
        scheduler: VirtualScheduler,
        nodes: Sequence[NodeSpec],
        *,
        gateways: Sequence[GatewaySpec] = (GatewaySpec(),),
        region: str = "IN865",
        channels_hz: Sequence[int] | None = None,
        seed: int = 1,
        air: AirSettings | None = None,
        folder: Path | None = None,
        strict: bool = True,
    ) -> None:
        """`folder` keeps the nodes' flash (default: a temporary one); `strict`: raise at the first fault or crash."""
        self.scheduler = scheduler
        self.start_us = scheduler.wall_us()
        self.start_s = scheduler.monotonic()
        self.strict = strict
        self.incidents: list[Incident] = []
        self.receive: Callable[[bytes, Address], None] = _to_nobody
        self.witness: Callable[[Frame], None] | None = None  # sees each frame that a node sends, whoever hears it
        self._temporary = None if folder else tempfile.mkdtemp(prefix="suat-fleet-", dir=rom.scratch())
        self.folder = folder or Path(str(self._temporary))
        self.events: list[Event] = []
        self._order = 0
        self._bound_stale = True
        self._poll = select.poll()
        self._by_fd: dict[int, NodeProcess] = {}
        self.air = Air(seed, air)
        self.forwarders: dict[Address, Forwarder] = {}
        plan = REGIONS[region]
        channels = frozenset(channels_hz if channels_hz is not None else plan.channels_hz)
        for number, spec in enumerate(gateways):
            self._add_gateway(number, spec, channels)
        self.nodes: list[NodeProcess] = []
        for index, node in enumerate(nodes):
            self.air.place(node.name, node.x_m, node.y_m)
            self.nodes.append(
                NodeProcess(
                    index,
                    node,
                    self.folder / node.name,
                    self.start_us / 1e6,
                    seed,
                    on_frame=self._frame,
                    on_window=self._window,
                    on_look=self._look,
                    on_incident=self._incident,
                    on_started=self._started,
                )
            )
        self._running = False

    def _add_gateway(self, number: int, spec: GatewaySpec, channels: frozenset[int]) -> None:
        address = (f"10.0.0.{number + 1}", 1700)
        forwarder = Forwarder(
            self.scheduler,
            spec.eui,
            to_server=lambda data: self.receive(data, address),
            transmit=self._transmit,
            start_us=self.start_us,
            delay_s=spec.delay_s,
            keepalive_s=spec.keepalive_s,
        )
        self.forwarders[address] = forwarder
        self.air.ears.append(Ear(spec.eui, spec.x_m, spec.y_m, channels, forwarder.heard))

    # -- the network server's side --------------------------------------------------------------------------------

    def attach(self, receive: Callable[[bytes, Address], None]) -> None:
        """Where the forwarders' datagrams go, e.g. SemtechUdp.datagram_received."""
        self.receive = receive

    def send(self, data: bytes, address: Address) -> None:
        """A datagram of the server to a forwarder, e.g. SemtechUdp(send=fleet.send)."""
        forwarder = self.forwarders.get(address)
        if forwarder is not None:
            forwarder.datagram(data)

    # -- time -----------------------------------------------------------------------------------------------------

    def now_us(self) -> int:
        """Virtual microseconds since the start."""
        return round((self.scheduler.monotonic() - self.start_s) * 1e6)

    def start(self) -> None:
        """Start forwarders and nodes."""
        self._running = True
        for forwarder in self.forwarders.values():
            forwarder.start()
        for node in self.nodes:
            node.start(node.spec.start_us)

    def run(self, until_s: float, progress: Callable[[float], None] | None = None) -> None:
        """Let time pass until `until_s` seconds after the start; `progress(seconds)` is called now and then.

        FleetError on the first fault or crash when `strict`.
        """
        until_us = round(until_s * 1e6)
        for node in self.nodes:
            node.extend(until_us)
        if not self._running:
            self.start()
        told = self.now_us()
        step = max(1, (until_us - told) // 200)
        scheduler, events, start_s = self.scheduler, self.events, self.start_s
        bound = min((node.bound for node in self.nodes), default=FOREVER)
        while True:
            if self._bound_stale:
                bound = min((node.bound for node in self.nodes), default=FOREVER)
                self._bound_stale = False
            due = scheduler.next_time()
            timer_us = FOREVER if due is None else (due - start_s) * 1e6
            event_us = events[0][0] if events else FOREVER
            first = min(timer_us, event_us)
            if first > until_us and bound > until_us:
                break
            if first >= bound:
                self._wait()
                continue
            if timer_us <= event_us:
                assert due is not None
                scheduler.run_until(due)
            else:
                when, kind, _, _, what = heapq.heappop(events)
                scheduler.run_until(start_s + when / 1e6)
                _EVENTS[kind](self.air, what)
            if progress is not None and first - told >= step:
                told = int(first)
                progress(told / 1e6)
        scheduler.run_until(start_s + until_s)
        if progress is not None:
            progress(until_s)

    def _wait(self) -> None:
        """Take in what the nodes say; wait when they say nothing."""
        ready = self._poll.poll(HUNG_S * 1000)
        if not ready:
            slow = min(self.nodes, key=lambda node: node.bound)
            raise FleetError(f"{slow.spec.name} says nothing since {slow.bound / 1e6:.3f} s\n{slow.log()}")
        self._bound_stale = True
        for fd, _ in ready:
            node = self._by_fd.get(fd)
            if node is None:
                self._poll.unregister(fd)
                continue
            node.read()
            if node.socket is None or node.socket.fileno() != fd:
                self._forget(fd, node)

    def _forget(self, fd: int, node: NodeProcess) -> None:
        if self._by_fd.get(fd) is node and (node.socket is None or node.socket.fileno() != fd):
            del self._by_fd[fd]
            self._poll.unregister(fd)

    def _started(self, node: NodeProcess) -> None:
        for fd in [fd for fd, other in self._by_fd.items() if other is node]:
            del self._by_fd[fd]
            self._poll.unregister(fd)
        assert node.socket is not None
        self._by_fd[node.socket.fileno()] = node
        self._poll.register(node.socket.fileno(), select.POLLIN)

    def _push(self, when: int, kind: int, index: int, what: Any) -> None:
        self._order += 1
        heapq.heappush(self.events, (when, kind, index, self._order, what))

    # -- what the nodes and gateways do ---------------------------------------------------------------------------

    def _frame(self, node: NodeProcess, fields: tuple[Any, ...], payload: bytes) -> None:
        start, hz, bw, airtime, preamble, sf, dbm, flags = fields
        name = node.spec.name
        if start < self.now_us():
            self._incident(Incident(name, start, "fault", "it sends while its receiver was still said to listen"))
            start = self.now_us()
        frame = Frame(name, self.air.number(name), start, start + airtime, hz, sf, bw, dbm, flags, preamble, payload)
        self.put(frame, node.index)

    def put(self, frame: Frame, index: int) -> None:
        """A frame on the air, of a node or of a guest that runs elsewhere; `index` orders events of one instant."""
        if self.witness is not None:
            self.witness(frame)
        self._push(frame.start_us, _UP_BEGINS, index, frame)
        self._push(frame.end_us, _UP_ENDS, index, frame)

    def open(self, window: Window, index: int) -> None:
        """A receiver opens, of a node or of a guest."""
        self._push(window.open_us, _OPENS, index, window)
        self._push(window.close_us, _CLOSES, index, window)

    def _window(self, node: NodeProcess, fields: tuple[Any, ...]) -> None:
        start, close, after, hz, bw, sf, flags, _ = fields

        def answer(end_us: int, kind: int, data: bytes, rssi: float, snr: float) -> None:
            self._bound_stale = True
            node.heard(end_us, kind, data, rssi, snr)

        self.open(Window(node.spec.name, start, close, hz, sf, bw, flags, after, answer), node.index)

    def _look(self, node: NodeProcess, fields: tuple[Any, ...]) -> None:
        start, close, _, hz, bw, sf, flags, _ = fields

        def answer(busy: bool) -> None:
            self._bound_stale = True
            node.looked(close, busy)

        self._push(close, _LOOKED, node.index, Look(node.spec.name, start, close, hz, sf, bw, flags, answer))

    def _transmit(self, frame: Frame) -> None:
        self._push(frame.start_us, _DOWN_BEGINS, -1, frame)

    def _incident(self, incident: Incident) -> None:
        self.incidents.append(incident)
        if self.strict and incident.kind in BAD:
            raise FleetError(str(incident))

    # -- the end --------------------------------------------------------------------------------------------------

    def counters(self) -> dict[str, int]:
        """What the air and the forwarders counted."""
        out = dict(self.air.counters)
        out.update({f"lost_{cause}": count for cause, count in self.air.lost.items()})
        out["lost"] = sum(self.air.lost.values())
        for forwarder in self.forwarders.values():
            for name, count in forwarder.counters.items():
                out[name] = out.get(name, 0) + count
        return out

    def close(self) -> None:
        """End all processes that were started; remove the temporary folder."""
        for node in self.nodes:
            node.stop()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _to_nobody(_data: bytes, _address: Address) -> None:
    """Until a server is attached."""


_EVENTS: dict[int, Callable[[Air, Any], None]] = {
    _UP_ENDS: Air.uplink_ends,
    _UP_BEGINS: Air.uplink_begins,
    _DOWN_BEGINS: Air.downlink_begins,
    _OPENS: Air.window_opens,
    _CLOSES: Air.window_closes,
    _LOOKED: Air.looked,
}
