"""The host's end of one node: its process, its messages, its lives and deaths."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from suat_node import config as node_config

from suat_sim import link, rom
from suat_sim.supply import Supply

FOREVER = link.NEVER_US
_HEAD = struct.Struct(link.HEAD_FORMAT)
_TIME = struct.Struct("<Q")
_TX = struct.Struct(link.TX_FORMAT)
_RX = struct.Struct(link.RX_FORMAT)
_HEARD = struct.Struct(link.HEARD_FORMAT)
_STOP = struct.Struct(link.STOP_FORMAT)


class Environment(Protocol):
    """What a node's sensors would measure."""

    def at(self, t_unix: float) -> dict[str, float | None]:
        """Values by name at an instant: a pure function of time."""


@dataclass(frozen=True)
class NodeSpec:
    """One node: what it is, where it stands, what befalls it."""

    name: str
    config: dict[str, Any]  # suat.json
    environment: Environment
    x_m: float = 0.0
    y_m: float = 0.0
    ppm: int = 0  # how much its crystal runs fast
    start_us: int = 0  # when it is switched on
    power_cuts: tuple[tuple[int, int], ...] = ()  # (when, for how long) [us]
    supply: Supply | None = None  # a battery that can run flat
    flash_cut: int = 0  # the power goes, for a second, at this change of the flash in its first life
    ticks_offset_us: int = 0  # what its tick counter shows at the start: near 2**30 ms it soon wraps
    boot_us: int = 250_000
    main: str = "suat_node.main"
    programs: tuple[str, ...] = ()  # more source files for the top of its ROM
    fresh_every: int = 32  # modules are imported anew in every n-th life, else put back as they were (see modules.py)
    heap: str = "2M"
    metered: bool = False  # lines `meter {...}` in its log count what it spends its time on (meter.py)
    files: dict[str, bytes] = field(default_factory=dict)  # more files on its flash


@dataclass(frozen=True)
class Incident:
    """Something that went wrong in a node."""

    node: str
    at_us: int
    kind: str  # one of KINDS in fleet.py
    text: str

    def __str__(self) -> str:
        return f"{self.node} at {self.at_us / 1e6:.6f} s: {self.kind}: {self.text}"


class NodeProcess:
    """One node's MicroPython process and what the host knows of it.

    `bound`: nothing that concerns others comes from this node before that instant. `window` is set while it waits for
    the verdict of its receiver.
    """

    def __init__(
        self,
        index: int,
        spec: NodeSpec,
        folder: Path,
        start_unix: float,
        seed: int,
        *,
        on_frame: Callable[[NodeProcess, tuple[Any, ...], bytes], None],
        on_window: Callable[[NodeProcess, tuple[Any, ...]], None],
        on_look: Callable[[NodeProcess, tuple[Any, ...]], None],
        on_incident: Callable[[Incident], None],
        on_started: Callable[[NodeProcess], None],
    ) -> None:
        self.index = index
        self.spec = spec
        self.folder = folder
        self.flash = folder / "flash"
        self.start_unix = start_unix
        self.seed = seed
        self.on_frame, self.on_window, self.on_look = on_frame, on_window, on_look
        self.on_incident, self.on_started = on_incident, on_started
        self.sensors = node_config.check(spec.config).sensors  # with the defaults of all options
        self.names = sorted(spec.environment.at(start_unix + spec.start_us / 1e6))
        self.pack_values = struct.Struct(f"<{len(self.names)}d").pack
        self.bound = spec.start_us
        self.waiting = False  # for the verdict of its receiver
        self.horizon = spec.start_us  # the end of the run
        self.held_until = 0  # it waits for a later end of the run
        self.alive = False
        self.lives = 0
        self.log_read = 0
        self.messages = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.socket: socket.socket | None = None
        self.pending = b""
        self.flash.mkdir(parents=True, exist_ok=True)
        (self.flash / "suat.json").write_text(json.dumps(spec.config))
        for name, data in spec.files.items():
            path = self.flash / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    # -- lives ----------------------------------------------------------------------------------------------------

    def start(self, now_us: int, cause: str = "power", rtc: bytes = b"", rtc_us: int = 0) -> None:
        """Switch the node on."""
        next_cut = self._next_cut(now_us)
        firmware = rom.build()
        setup: dict[str, Any] = {
            "rom": str(firmware),
            "programs": str(rom.build_programs(self.spec.programs)) if self.spec.programs else "",
            "flash": str(self.flash),
            "now": now_us,
            "cause": cause,
            "rtc": rtc.hex(),
            "rtc_us": rtc_us,
            "ppm": self.spec.ppm,
            "ticks_offset": self.spec.ticks_offset_us,
            "boot_us": self.spec.boot_us,
            "horizon": self.horizon,
            "power_cut": next_cut,
            "supply": self._sag(),
            "fresh_every": self.spec.fresh_every,
            "metered": self.spec.metered,
            "flash_cut": self.spec.flash_cut if self.lives == 0 else 0,
            "seed": zlib.crc32(f"{self.seed}/{self.spec.name}/{self.lives}".encode()),
            "names": self.names,
            "config": {**self.spec.config, "sensors": self.sensors},
            "main": self.spec.main,
            "unique_id": list(b"SUAT" + struct.pack(">H", self.index)),
        }
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        setup["fd"] = theirs.fileno()
        path = self.folder / "setup.json"
        path.write_text(json.dumps(setup))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [rom.tool("micropython"), "-X", f"heapsize={self.spec.heap}", "-m", "suat_sim.boot", str(path)],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"MICROPYPATH": f"{firmware}:.frozen", "HOME": str(self.folder)},
            )
        theirs.close()
        _no_preemption(self.process.pid)
        self.socket = ours
        self.pending = b""
        self.bound = now_us
        self.waiting = False
        self.held_until = 0
        self.alive = True
        self.lives += 1
        self.on_started(self)

    def _next_cut(self, now_us: int) -> int:
        """When its power goes next; 0: never."""
        cuts = [at for at, _ in self.spec.power_cuts if at > now_us]
        if self.spec.supply is not None:
            flat = self.spec.supply.falls(self._battery, now_us / 1e6)
            if flat is not None:
                cuts.append(max(now_us + 1, round(flat * 1e6)))
        return min(cuts, default=0)

    def _battery(self, t_s: float) -> float | None:
        return self.spec.environment.at(self.start_unix + t_s).get("node.battery")

    def _sag(self) -> list[float]:
        """What the node's own hardware needs to know of its battery: the least voltage, what sending takes off."""
        supply = self.spec.supply
        return [] if supply is None else [supply.brownout_v, supply.ohm * supply.sending_a]

    def _off_us(self, at_us: int) -> int | None:
        """How long the power that went at `at_us` stays away; None: for good."""
        for at, length in self.spec.power_cuts:
            if at == at_us:
                return length
        if self.spec.supply is None:
            return 1_000_000
        back = self.spec.supply.rises(self._battery, at_us / 1e6 + 1.0)
        return None if back is None else round(back * 1e6) - at_us

    def stop(self) -> None:
        """End the process, wherever it is."""
        self.alive = False
        self.bound = FOREVER
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def log(self, start: int | None = None) -> str:
        """What the node printed from byte `start` on; by default the end of it."""
        path = self.folder / "log"
        data = path.read_bytes() if path.exists() else b""
        return (data[-4000:] if start is None else data[start:]).decode(errors="replace")

    # -- messages -------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Take in what has arrived."""
        assert self.socket is not None
        with contextlib.suppress(ConnectionResetError):
            data = self.pending + os.read(self.socket.fileno(), 65536)
            if len(data) > len(self.pending):
                self._messages(data)
                return
        status = self.process.wait() if self.process else None
        self.on_incident(Incident(self.spec.name, self.bound, "dead", f"the process left ({status})\n{self.log()}"))
        self.stop()

    def _messages(self, data: bytes) -> None:
        place, end = 0, len(data)
        while place + 3 <= end:
            kind, size = _HEAD.unpack_from(data, place)
            body = place + 3
            if body + size > end:
                break
            place = body + size
            self.messages += 1
            _MESSAGES[kind](self, data, body, place)
            if not self.alive or self.lives_changed:
                self.lives_changed = False
                return
        self.pending = data[place:]

    lives_changed = False

    def _frame(self, data: bytes, body: int, end: int) -> None:
        fields = _TX.unpack_from(data, body)
        self.bound = max(self.bound, fields[0])
        self.on_frame(self, fields, data[body + _TX.size : end])

    def _listens(self, data: bytes, body: int, end: int) -> None:
        fields = _RX.unpack_from(data, body)
        self.waiting = True
        self.bound = FOREVER
        self.on_window(self, fields)

    def _looks(self, data: bytes, body: int, end: int) -> None:
        fields = _RX.unpack_from(data, body)
        self.waiting = True
        self.bound = FOREVER
        self.on_look(self, fields)

    def looked(self, end_us: int, busy: bool) -> None:
        """What it found there."""
        self.waiting = False
        self.bound = end_us
        self._write(b"\x01" if busy else b"\x00")

    def heard(self, end_us: int, kind: int, payload: bytes, rssi: float, snr: float) -> None:
        """The verdict that the node waits for."""
        self.waiting = False
        self.bound = end_us
        self._write(_HEARD.pack(end_us, kind, round(rssi * 10), round(snr * 10), len(payload)) + payload)

    def _probe(self, data: bytes, body: int, end: int) -> None:
        self._values(_TIME.unpack_from(data, body)[0])

    def _values(self, at_us: int) -> None:
        values = self.spec.environment.at(self.start_unix + at_us / 1e6)
        numbers = [values[name] for name in self.names]
        self._write(self.pack_values(*[float("nan") if number is None else number for number in numbers]))

    def _sleeps(self, data: bytes, body: int, end: int) -> None:
        self.bound = _TIME.unpack_from(data, body)[0]

    def _sleeps_and_probes(self, data: bytes, body: int, end: int) -> None:
        self.bound = _TIME.unpack_from(data, body)[0]
        self._values(self.bound)

    def _holds(self, data: bytes, body: int, end: int) -> None:
        self.held_until = self.bound = _TIME.unpack_from(data, body)[0]
        self.extend(self.horizon)

    def extend(self, horizon: int) -> None:
        """Let the node run on to a later end of the run."""
        self.horizon = horizon
        if self.held_until and self.held_until <= horizon:
            self.held_until = 0
            self._write(_TIME.pack(horizon))

    def _asks(self, data: bytes, body: int, end: int) -> None:
        at_us = _TIME.unpack_from(data, body)[0]
        ask: Callable[[float, bytes], bytes] = self.spec.environment.ask  # type: ignore[attr-defined]
        answer = ask(self.start_unix + at_us / 1e6, data[body + 8 : end])
        self._write(struct.pack("<H", len(answer)) + answer)

    def _fault(self, data: bytes, body: int, end: int) -> None:
        at_us = _TIME.unpack_from(data, body)[0]
        self.on_incident(Incident(self.spec.name, at_us, "fault", data[body + 8 : end].decode()))

    def _ended(self, data: bytes, body: int, end: int) -> None:
        at_us = _TIME.unpack_from(data, body)[0]
        self.on_incident(Incident(self.spec.name, at_us, "crash", data[body + 8 : end].decode()))

    def _broken(self, data: bytes, body: int, end: int) -> None:
        at_us = _TIME.unpack_from(data, body)[0]
        self.on_incident(Incident(self.spec.name, at_us, "simulator", data[body + 8 : end].decode()))

    def _resets(self, data: bytes, body: int, end: int) -> None:
        """A reset that the program asked for; when it printed a traceback before, that is a crash."""
        at_us = _TIME.unpack_from(data, body)[0]
        printed = self.log(self.log_read)
        self.log_read += len(printed.encode())
        crashed = "Traceback" in printed
        self.on_incident(Incident(self.spec.name, at_us, "crash" if crashed else "reset", printed.strip()))

    def _stopped(self, data: bytes, body: int, end: int) -> None:
        at_us, why, rtc_us = _STOP.unpack_from(data, body)
        rtc = data[body + _STOP.size : end]
        self.stop()
        self.lives_changed = True
        name = self.spec.name
        if why == link.OFF_POWER:
            off_us = self._off_us(at_us)
            if off_us is None:
                self.on_incident(Incident(name, at_us, "power", "flat for good"))
            else:
                self.on_incident(Incident(name, at_us, "power", f"cut for {off_us / 1e6} s"))
                self.start(at_us + off_us)
        elif why == link.OFF_WATCHDOG:
            self.on_incident(Incident(name, at_us, "watchdog", "it was not fed"))
            self.start(at_us, "watchdog", rtc, rtc_us)
        elif why == link.OFF_LOCKED:
            self.on_incident(Incident(name, at_us, "locked", "until its power is cut"))
            cut = next((item for item in sorted(self.spec.power_cuts) if item[0] > at_us), None)
            if cut is not None:
                self.start(sum(cut))

    def _write(self, data: bytes) -> None:
        assert self.socket is not None
        with contextlib.suppress(BrokenPipeError):  # its end is noticed where it is read
            self.socket.sendall(data)


def _no_preemption(pid: int) -> None:
    """A node that is woken must not take the host's core at once: an answer would cost the host what the node does."""
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))


_MESSAGES: dict[int, Callable[[NodeProcess, bytes, int, int], None]] = {
    ord("T"): NodeProcess._frame,
    ord("R"): NodeProcess._listens,
    ord("C"): NodeProcess._looks,
    ord("P"): NodeProcess._probe,
    ord("Q"): NodeProcess._asks,
    ord("s"): NodeProcess._sleeps,
    ord("S"): NodeProcess._sleeps_and_probes,
    ord("H"): NodeProcess._holds,
    ord("F"): NodeProcess._fault,
    ord("E"): NodeProcess._ended,
    ord("B"): NodeProcess._broken,
    ord("Z"): NodeProcess._resets,
    ord("X"): NodeProcess._stopped,
}
