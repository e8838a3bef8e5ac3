"""The daemon and the commands as processes; a packet forwarder and a node's keys that share no code with the station.

Every process is ended by its own handle, with a time limit, whatever the test does.
"""

from __future__ import annotations

import json
import re
import secrets
import select
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from suat.records import DeviceRecord, Probe, SessionUpdate
from suat.store.journal import Journal
from suat_sim import witness

PEERS = Path(__file__).parents[3] / "firmware" / "tests"  # where npm lora-packet is installed
READY_S = 30.0  # a busy machine is not a failure
STOP_S = 5.0
COMMAND_S = 60.0
SO_TIMESTAMPNS = 35  # Linux, asm-generic/socket.h; Python has no name for it
LOG_LINE = re.compile(
    r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(debug|info|warning|error) from=[\w.]+ msg=.+"
)

CONFIG = """
[station]
name = "Asy"
timezone = "Asia/Almaty"
region = "IN865"
data_dir = "data"

[[ingest]]
kind = "semtech_udp"
bind = "127.0.0.1:{udp}"

[board]
bind = "127.0.0.1:{board}"

[[paddock]]
id = "jailau-1"
name = {{ en = "Jailau 1", ru = "Джайляу 1", kk = "Жайлау 1" }}
area_ha = 120
kind = "summer"
soil = "loam"
alternative = "river"
"""


def free_port(kind: socket.SocketKind) -> int:
    """A port that nobody has at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class AbpNode:
    """A registered node that never joins."""

    name: str
    dev_addr: int
    nwk: bytes
    app: bytes

    def frame(self, fcnt: int, vwc: float = 0.25, ack_from: int | None = None) -> bytes:
        """PHY bytes of an uplink whose one sample has the frame's number as its record."""
        sample = witness.soil_sample(fcnt, [{"vwc": vwc, "temperature": 12.5}], 3.3, ack_from=ack_from)
        return witness.data_up(self.nwk, self.app, self.dev_addr, fcnt, sample)


class Station:
    """A folder with a configuration, and the programs run on it."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.udp = free_port(socket.SOCK_DGRAM)
        self.board = free_port(socket.SOCK_STREAM)
        self.config = folder / "suat.toml"
        self.config.write_text(CONFIG.format(udp=self.udp, board=self.board) + more, encoding="utf-8")
        self.journal_path = folder / "data" / "journal.db"
        self.log_path = folder / "run.log"
        self.process: subprocess.Popen[str] | None = None

    # -- commands

    def suat(self, *arguments: str, status: int = 0) -> str:
        """Run a command on this station; what it printed. Its exit status must be `status`."""
        done = subprocess.run(
            [sys.executable, "-m", "suat.cli", *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            cwd=self.folder,
            check=False,
        )
        assert done.returncode == status, done.stdout[-2000:] + done.stderr[-2000:]
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout if status == 0 else done.stderr

    def readings(self, *more: str) -> list[dict[str, Any]]:
        """`suat readings --json`."""
        return [json.loads(line) for line in self.suat("readings", "--json", *more).splitlines()]

    def status(self) -> dict[str, Any]:
        """`suat status --json`."""
        found: dict[str, Any] = json.loads(self.suat("status", "--json"))
        return found

    # -- the daemon

    def launch(self) -> subprocess.Popen[str]:
        """`suat run`, not waited for."""
        assert self.process is None
        with self.log_path.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "suat.cli", "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
            )
        return self.process

    def start(self) -> None:
        """`suat run`, until its ready line."""
        output = self.launch().stdout
        assert output is not None
        line = output.readline() if select.select([output], [], [], READY_S)[0] else ""
        if f"semtech_udp on 127.0.0.1:{self.udp}" not in line:
            self.kill()
            pytest.fail(f"the station did not come up: {line!r}\n{self.log()}")

    def stop(self) -> None:
        """SIGTERM: it must end well, soon, and have logged nothing but log lines."""
        process = self._take()
        process.terminate()
        started = time.monotonic()
        try:
            rest, _ = process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            pytest.fail(f"the station did not stop within {STOP_S} s of SIGTERM\n{self.log()}")
        print(f"stopped in {time.monotonic() - started:.2f} s")
        assert (process.returncode, rest) == (0, ""), self.log()
        self.check_log()

    def kill(self) -> None:
        """kill -9."""
        process = self._take()
        process.kill()
        process.communicate()

    def _take(self) -> subprocess.Popen[str]:
        assert self.process is not None, "the station does not run"
        process, self.process = self.process, None
        return process

    def log(self) -> str:
        """What it wrote to standard error."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def check_log(self) -> None:
        """Log lines alone: no traceback, no warning of the interpreter."""
        strange = [line for line in self.log().splitlines() if not LOG_LINE.fullmatch(line)]
        assert not strange, "\n".join(strange)

    @staticmethod
    def wait_for(call: Callable[[], Any], timeout_s: float = 20.0) -> Any:
        """The first true answer; it must come in time."""
        deadline = time.monotonic() + timeout_s
        while not (found := call()):
            assert time.monotonic() < deadline, "it did not come in time"
            time.sleep(0.05)
        return found

    def memory_mb(self) -> float:
        """Resident memory of the running daemon."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024

    def metrics(self) -> dict[str, float]:
        """The samples of `/metrics`, by name with labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.board}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}

    # -- the journal, beside the station's own code

    def query(self, text: str, *arguments: object) -> list[Any]:
        """Rows of the journal."""
        connection = sqlite3.connect(self.journal_path, timeout=10)
        try:
            return connection.execute(text, arguments).fetchall()
        finally:
            connection.close()

    def records(self) -> list[tuple[str, int]]:
        """(node, record) of every sample in the journal, in the order of their commit."""
        return self.query("SELECT d.name, s.record FROM sample s JOIN device d ON d.id = s.registration ORDER BY s.id")

    def register(self, count: int, first: int = 1) -> list[AbpNode]:
        """Register nodes directly in the journal: a process each would take minutes."""
        nodes = []
        with Journal(self.journal_path, durable=False) as journal:
            for number in range(first, first + count):
                nwk, app = secrets.token_bytes(16), secrets.token_bytes(16)
                device = DeviceRecord(
                    registration=0,
                    name=f"n{number}",
                    kind="soil",
                    dev_eui=f"{number:016x}",
                    join_eui=None,
                    paddock="jailau-1",
                    water_point=None,
                    probes=(Probe("upper", 10, 1),),
                    added_us=time.time_ns() // 1000,
                )
                journal.add_device(device, SessionUpdate(0, 0, 0, False, number, nwk, app))
                nodes.append(AbpNode(device.name, number, nwk, app))
        return nodes

    def cleaned_up(self) -> None:
        """End what still runs."""
        if self.process is not None:
            self.kill()
        assert "Traceback" not in self.log(), self.log()


class Concentrator:
    """An independent packet forwarder: Semtech's UDP protocol by hand."""

    def __init__(self, port: int, eui: str = witness.GATEWAY) -> None:
        self.eui = bytes.fromhex(eui)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.connect(("127.0.0.1", port))
        self.token = 0

    def close(self) -> None:
        self.socket.close()

    def raw(self, data: bytes) -> None:
        """Any datagram."""
        self.socket.send(data)

    def datagram(self, kind: int, body: bytes = b"", token: bytes | None = None) -> bytes:
        """A datagram of the protocol; its token."""
        if token is None:
            self.token = (self.token + 1) & 0xFFFF
            token = struct.pack(">H", self.token)
        self.socket.send(b"\x02" + token + bytes([kind]) + self.eui + body)
        return token

    @staticmethod
    def body(phy: bytes, **fields: Any) -> bytes:
        """The JSON of a PUSH_DATA with one frame."""
        return json.dumps({"rxpk": [witness.rxpk(phy, **fields)]}).encode()

    def push(self, phy: bytes, **fields: Any) -> None:
        """Deliver a frame; it must be acknowledged at once."""
        token = self.datagram(0, self.body(phy, **fields))
        kind, answer, _ = self.receive()
        assert (kind, answer) == (1, token)

    def pull(self) -> None:
        """Show where downlinks go."""
        token = self.datagram(2)
        assert self.receive()[:2] == (4, token)

    def receive(self, timeout_s: float = 10.0) -> tuple[int, bytes, bytes]:
        """(kind, token, body) of the next datagram."""
        self.socket.settimeout(timeout_s)
        data = self.socket.recv(65536)
        assert data[0] == 2
        return data[3], data[1:3], data[4:]

    def downlink(self, timeout_s: float = 10.0) -> dict[str, Any]:
        """The txpk of the next PULL_RESP, confirmed by TX_ACK."""
        kind, token, body = self.receive(timeout_s)
        assert kind == 3
        self.datagram(5, b"", token)
        found: dict[str, Any] = json.loads(body)["txpk"]
        return found

    def stream(self, packets: Sequence[bytes], rate: float, until: float | None = None) -> list[Passage]:
        """Send PUSH_DATA packets at `rate` a second (their tokens are their numbers), up to `until` (monotonic).

        When each left, and when the kernel had its PUSH_ACK (None: never).
        """
        passages: list[Passage] = []
        self.socket.settimeout(0.0)
        started = time.monotonic()
        while len(passages) < len(packets):
            now = time.monotonic()
            if until is not None and now >= until:
                return passages
            due = min(len(packets), int((now - started) * rate) + 1)
            for number in range(len(passages), due):
                passages.append(Passage(time.clock_gettime(time.CLOCK_REALTIME)))
                self.socket.send(b"\x02" + struct.pack(">H", number) + b"\x00" + self.eui + packets[number])
            self.take_acks(passages)
            time.sleep(max(0.0, started + len(passages) / rate - time.monotonic()))
        deadline = time.monotonic() + 2.0
        while passages[-1].acked is None and time.monotonic() < deadline:
            time.sleep(0.005)
            self.take_acks(passages)
        return passages

    def take_acks(self, passages: list[Passage]) -> None:
        """Note what has been acknowledged meanwhile."""
        while True:
            try:
                data, extra, _, _ = self.socket.recvmsg(2048, 64)
            except (BlockingIOError, ConnectionRefusedError):
                return
            if data[3] == 1:
                seconds, nanoseconds = struct.unpack("qq", extra[0][2])
                passages[struct.unpack(">H", data[1:3])[0]].acked = seconds + nanoseconds / 1e9


@dataclass
class Passage:
    """A PUSH_DATA on its way [UTC, s]."""

    sent: float
    acked: float | None = None


@pytest.fixture
def make_station(tmp_path: Path) -> Iterator[Callable[..., Station]]:
    made: list[Station] = []

    def make(more: str = "") -> Station:
        made.append(Station(tmp_path / f"station{len(made)}", more))
        return made[-1]

    yield make
    for station in made:
        station.cleaned_up()


@pytest.fixture
def station(make_station: Callable[..., Station]) -> Station:
    """A station that does not run yet."""
    return make_station()


@pytest.fixture
def make_concentrator() -> Iterator[Callable[[Station], Concentrator]]:
    made: list[Concentrator] = []

    def make(station: Station) -> Concentrator:
        made.append(Concentrator(station.udp))
        return made[-1]

    yield make
    for concentrator in made:
        concentrator.close()


@pytest.fixture
def concentrator(station: Station, make_concentrator: Callable[[Station], Concentrator]) -> Concentrator:
    """A packet forwarder of that station."""
    return make_concentrator(station)


@pytest.fixture(scope="session")
def lora_packet() -> Callable[..., Any]:
    """run(job, **fields) -> what npm's lora-packet makes of it (firmware/tests/witness.js)."""
    interpreter = shutil.which("node")
    if interpreter is None or not (PEERS / "node_modules" / "lora-packet").exists():
        pytest.fail("lora-packet is missing; run: make test (or npm install in firmware/tests)", pytrace=False)

    def run(job: str, **fields: Any) -> Any:
        done = subprocess.run(
            [str(interpreter), "witness.js"],
            cwd=PEERS,
            input=json.dumps([{"do": job, **fields}]),
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)[0]

    return run
