"""A station under the unit's restrictions; its packet forwarder and reader reach it through its own network."""

from __future__ import annotations

import ctypes
import http.client
import importlib.util
import json
import os
import pty
import runpy
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
UNIT = ROOT / "gateway" / "deploy" / "suat.service"
SANDBOX = HERE / "sandbox.py"
BENCH = runpy.run_path(str(HERE.parent / "station" / "conftest.py"))
KEEP = (ROOT, Path(sys.base_prefix), Path(sys.prefix))
NOBODY = 65534
CLONE_NEWNET = 1 << 30
READY_S = 40.0


def in_sandbox(state: Path, *command: str, devices: tuple[str, ...] = ()) -> list[str]:
    """The command line that runs `command` under the unit's restrictions."""
    keep = [word for path in KEEP for word in ("--keep", str(path))]
    shown = [word for entry in devices for word in ("--device", entry)]
    return [sys.executable, str(SANDBOX), str(UNIT), "--state", str(state), *keep, *shown, "--", *command]


def in_network_of(pid: int, make: Callable[[], Any]) -> Any:
    """What `make` gives when it is called in another process's network: a socket stays where it was made."""
    found: list[Any] = []

    def enter() -> None:
        with Path(f"/proc/{pid}/ns/net").open() as space:
            assert ctypes.CDLL(None).setns(space.fileno(), CLONE_NEWNET) == 0
        found.append(make())

    thread = threading.Thread(target=enter)  # its network alone changes, and it ends
    thread.start()
    thread.join(10)
    return found[0]


class Confined:
    """`suat run` under the unit, with the notify socket that systemd would give it."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.station = BENCH["Station"](folder, more)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))  # inside it is /var/lib/suat/notify
        (folder / "notify").chmod(0o666)
        self.notify.settimeout(READY_S)
        self.process: subprocess.Popen[bytes] | None = None
        self.told: list[str] = []

    def start(self, devices: tuple[str, ...] = (), watchdog_s: float = 30.0) -> None:
        """Until it is ready."""
        for path in self.station.folder.rglob("*"):
            os.chown(path, NOBODY, NOBODY)
        where = "/var/lib/suat"
        command = [sys.executable, "-m", "suat.cli", "run", "--config", f"{where}/suat.toml"]
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": f"{where}/notify",
            "WATCHDOG_USEC": str(round(watchdog_s * 1e6)),
        }
        with self.station.log_path.open("a") as log:
            self.process = subprocess.Popen(
                in_sandbox(self.station.folder, *command, devices=devices),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd="/",
            )
        output = self.process.stdout
        assert output is not None
        line = output.readline() if select.select([output], [], [], READY_S)[0] else b""
        assert b"Asy: " in line, self.station.log()

    def stands_for(self, name: str, path: str) -> str:
        """A device's entry for `start`: what is at `path` is shown as /dev/NAME, and its own user may use it."""
        os.chown(path, NOBODY, NOBODY)
        return f"{path}={name}"

    def hear(self, wanted: str, timeout_s: float) -> bool:
        """Whether systemd would be told `wanted` in time."""
        deadline = time.monotonic() + timeout_s
        while not any(wanted in line for line in self.told) and (left := deadline - time.monotonic()) > 0:
            self.notify.settimeout(left)
            try:
                self.told += self.notify.recv(4096).decode().splitlines()
            except TimeoutError:
                break
        return any(wanted in line for line in self.told)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def concentrator(self) -> Any:
        """A packet forwarder on the station's loopback."""
        return in_network_of(self.pid, lambda: BENCH["Concentrator"](self.station.udp))

    def get(self, path: str) -> tuple[int, bytes]:
        """(status, body) of a page of the board."""
        made = in_network_of(self.pid, lambda: socket.create_connection(("127.0.0.1", self.station.board), 10))
        with made:
            client = http.client.HTTPConnection("127.0.0.1", self.station.board)
            client.sock = made
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, answer.read()

    def stop(self) -> None:
        """SIGTERM: it must end well and soon."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(20) == 0, self.station.log()
        self.station.check_log()

    def close(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.communicate()
        self.notify.close()


@pytest.fixture
def bench() -> dict[str, Any]:
    """What tests/station is tested with."""
    return BENCH


@pytest.fixture
def confine() -> Callable[..., list[str]]:
    """`in_sandbox`, where its rights are to be had."""
    if os.geteuid() != 0:
        pytest.skip("the restrictions of a unit can be set by root alone")
    return in_sandbox


@pytest.fixture
def make_confined(tmp_path: Path, confine: Any) -> Iterator[Callable[..., Confined]]:
    made: list[Confined] = []
    tmp_path.chmod(0o755)

    def make(more: str = "") -> Confined:
        made.append(Confined(tmp_path / f"state{len(made)}", more))
        return made[-1]

    yield make
    for each in made:
        each.close()


class PtyRadio:
    """A board in the role "bridge" (the real program on a real MicroPython) at the far end of a pty.

    The board's own terminal is one pty, the station's port another; a thread is the cable between them.
    """

    def __init__(self) -> None:
        source = ROOT / "firmware" / "tests" / "test_node_bridge.py"
        spec = importlib.util.spec_from_file_location("test_node_bridge", source)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.board = module.Cable()
        self.master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._unplugged = threading.Event()
        self._cable = threading.Thread(target=self._carry)
        self._cable.start()

    def _carry(self) -> None:
        ends = {self.board.master: self.master, self.master: self.board.master}
        while not self._unplugged.is_set():
            for end in select.select(list(ends), [], [], 0.05)[0]:
                os.write(ends[end], os.read(end, 256))

    def send(self, phy: bytes) -> None:
        """A node's frame comes over the air."""
        self.board.order(phy=phy.hex(), whole=True)
        self.board.note("heard")

    def close(self) -> None:
        self._unplugged.set()
        self._cable.join()
        self.board.close()
        os.close(self.master)
        os.close(self._slave)


@pytest.fixture
def radio() -> Iterator[PtyRadio]:
    made = PtyRadio()
    yield made
    made.close()


@pytest.fixture
def systemd_analyze() -> Callable[..., Any]:
    """Run systemd-analyze and read its JSON."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.fail("systemd-analyze is missing; run: make test", pytrace=False)

    def run(*arguments: str) -> Any:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
        return json.loads(done.stdout) if "--json=short" in arguments else done

    return run
