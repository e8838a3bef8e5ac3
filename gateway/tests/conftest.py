"""Peers that share no code with the station: a real MQTT broker (Debian's mosquitto), ChirpStack's events as its own
API library writes them, and Modbus devices (pymodbus's server)."""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import select
import shutil
import socket
import subprocess
import threading
import time
import tty
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion

os.environ.setdefault("SUAT_TIME_SOURCES", "system")  # the machine that tests run on knows the time
APPLICATION = "52f14cd4-c6f1-4fbd-8f87-4025e1d49242"

# What docs/chirpstack.md asks for: sessions outlive a restart, and hold more than the 1,000 messages of the default.
MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
user {user}
persistence true
persistence_location {folder}/
max_queued_messages 100000
"""


class Broker:
    """mosquitto on a port of its own, and a client beside it that shares no code with the station."""

    def __init__(self, folder: Path, settings: str = MOSQUITTO) -> None:
        folder.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self.heard: list[tuple[str, bytes]] = []
        self.login: tuple[str, str] | None = None  # of the client beside it
        self._config = folder / "mosquitto.conf"
        self._config.write_text(settings.format(port=self.port, folder=folder, user=getpass.getuser()))
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None

    def start(self) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        if program is None:
            pytest.fail("mosquitto is missing; run: make test (or apt-get install mosquitto)", pytrace=False)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline and self._process.poll() is None, self._log.read_text()
                time.sleep(0.02)

    def stop(self) -> None:
        """SIGTERM: mosquitto writes its sessions to disk and ends."""
        self.leave()
        if self._process is not None:
            process, self._process = self._process, None
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def client(self) -> Client:
        """The other end: publishes events, hears commands."""
        if self._client is None:
            client = Client(CallbackAPIVersion.VERSION2)
            client.on_message = lambda _client, _data, message: self.heard.append((message.topic, message.payload))
            client.on_connect = lambda client, *_: client.subscribe("application/+/device/+/command/down", 1)
            client.max_inflight_messages_set(1000)
            if self.login is not None:
                client.username_pw_set(*self.login)
            client.connect("127.0.0.1", self.port)
            client.loop_start()
            self._client = client
        return self._client

    def publish(self, *messages: tuple[str, bytes], qos: int = 1) -> None:
        """Publish (topic, payload) pairs; all of them are with the broker afterwards."""
        sent: list[MQTTMessageInfo] = [self.client().publish(topic, payload, qos) for topic, payload in messages]
        for info in sent:
            info.wait_for_publish(20)
            assert info.is_published()

    def leave(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            client.disconnect()
            client.loop_stop()


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    made: list[Broker] = []

    def make(settings: str = MOSQUITTO) -> Broker:
        made.append(Broker(tmp_path / f"broker{len(made)}", settings))
        made[-1].start()
        return made[-1]

    yield make
    for broker in made:
        broker.stop()


@pytest.fixture
def broker(make_broker: Callable[..., Broker]) -> Broker:
    return make_broker()


@pytest.fixture(scope="session")
def uplink_event() -> Callable[..., tuple[str, bytes]]:
    """make(dev_eui, fport, data, ...) -> (topic, JSON) of an uplink event, written by chirpstack-api."""
    from chirpstack_api import integration
    from google.protobuf.json_format import MessageToJson

    def make(
        dev_eui: str,
        fport: int,
        data: bytes,
        *,
        at: datetime | None = None,
        fcnt: int = 7,
        profile: str = "node",
        identity: str | None = None,
        levels: tuple[tuple[int, float], ...] = ((-117, -4.5), (-98, 3.25)),
        zeros: bool = False,  # whether fields that are zero or empty are written
        **fields: Any,
    ) -> tuple[str, bytes]:
        event = integration.UplinkEvent(
            deduplication_id=identity or str(uuid.uuid4()),
            f_port=fport,
            f_cnt=fcnt,
            data=data,
            dr=3,
            dev_addr="01fa8ad4",
        )
        event.time.FromDatetime((at or datetime.now(UTC)).replace(tzinfo=None))
        about = event.device_info
        about.dev_eui, about.application_id, about.device_profile_name = dev_eui, APPLICATION, profile
        about.device_name, about.tenant_name = "a node", "upu"
        for number, (rssi, snr) in enumerate(levels):
            heard = event.rx_info.add()
            heard.gateway_id, heard.uplink_id, heard.rssi, heard.snr = f"{number:016x}", 4217, rssi, snr
        event.tx_info.frequency = 865_062_500
        event.tx_info.modulation.lora.bandwidth = 125_000
        text = MessageToJson(event, always_print_fields_with_no_presence=zeros)
        return f"application/{APPLICATION}/device/{dev_eui}/event/up", text.encode()

    return make


class Cable:
    """Two ptys joined back to back: what is written into `near` comes out of `far`."""

    def __init__(self) -> None:
        self._masters: list[int] = []
        paths = []
        for _ in range(2):
            master, slave = os.openpty()
            os.set_blocking(master, False)
            tty.setraw(slave)
            paths.append(os.ttyname(slave))
            os.close(slave)
            self._masters.append(master)
        self.near, self.far = paths
        self._cut = threading.Event()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def _carry(self) -> None:
        while not self._cut.is_set():
            for master in select.select(self._masters, [], [], 0.05)[0]:
                other = self._masters[1 - self._masters.index(master)]
                try:
                    os.write(other, os.read(master, 4096))
                except OSError:  # nobody has opened that end
                    time.sleep(0.005)

    def cut(self) -> None:
        if not self._cut.is_set():
            self._cut.set()
            self._thread.join()
            for master in self._masters:
                os.close(master)


class ModbusLine:
    """Devices on a line: pymodbus's own server in a thread, over TCP or on the far end of a cable."""

    def __init__(self, units: Sequence[int], *, rtu: bool = False, framer: str | None = None) -> None:
        self.words: dict[tuple[int, int, int], int] = {}  # (unit, function, register) -> what is in it
        self.refuses: dict[int, int] = {}  # unit -> code of the exception that it answers
        self.bend: Callable[[bytes], bytes] = bytes  # what becomes of an answer on its way
        self.asked: list[tuple[float, int, int, int]] = []  # monotonic [s], unit, function, register
        self.cable = Cable() if rtu else None
        self.host = ""
        self._units, self._framer = units, framer
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(20)

    def put(self, unit: int, register: int, *words: int, function: int = 3) -> None:
        for place, word in enumerate(words):
            self.words[unit, function, register + place] = word

    async def _serve(self) -> None:
        from pymodbus import FramerType
        from pymodbus.server import ModbusSerialServer, ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()

        def device(unit: int) -> Any:
            async def look(
                function: int, start: int, address: int, count: int, registers: list[int], _written: Any
            ) -> Any:
                from pymodbus.constants import ExcCodes

                self.asked.append((time.monotonic(), unit, function, address))
                for place in range(address, address + count):
                    registers[place - start] = self.words.get((unit, function, place), 0)
                return ExcCodes(self.refuses[unit]) if unit in self.refuses else None

            data = SimData(0, count=65_536, values=0, datatype=DataType.REGISTERS)
            return SimDevice(id=unit, simdata=data, action=look)

        options: dict[str, Any] = {
            "trace_packet": lambda sending, data: self._on_its_way(data) if sending else data,
        }
        devices = [device(unit) for unit in self._units]
        if self.cable is not None:
            server: Any = ModbusSerialServer(
                devices, framer=FramerType.RTU, port=self.cable.far, baudrate=9600, **options
            )
        else:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            self.host = f"127.0.0.1:{port}"
            framer = FramerType(self._framer or "socket")
            server = ModbusTcpServer(devices, framer=framer, address=("127.0.0.1", port), **options)
        await server.serve_forever(background=True)
        self._ready.set()
        await self._end.wait()
        await server.shutdown()

    def _on_its_way(self, data: bytes) -> bytes:
        """The server answers for devices that are not there, too: those answers are swallowed."""
        unit = data[0] if self.cable is not None or self._framer == "rtu" else data[6]
        return self.bend(data) if unit in self._units else b""

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(20)
        if self.cable is not None:
            self.cable.cut()


@pytest.fixture
def make_modbus_line() -> Iterator[Callable[..., ModbusLine]]:
    made: list[ModbusLine] = []

    def make(*units: int, **options: Any) -> ModbusLine:
        made.append(ModbusLine(units, **options))
        return made[-1]

    yield make
    for line in made:
        line.stop()
