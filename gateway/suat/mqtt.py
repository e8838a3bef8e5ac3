"""A session with an MQTT broker that outlives both ends.

The broker keeps the session (MQTT 5, QoS 1) and in it what came while the station was down; a message is acknowledged
by `acknowledge`, when it is on disk, so that what a power cut took is delivered again. At most WINDOW messages of at
most LARGEST bytes are under way: the broker holds the rest. paho-mqtt's own thread reads, writes and connects again
after 1 to 60 s; all calls to the owner are on the loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator, model_validator

from suat.errors import SuatError
from suat.metrics import BROKER_CONNECTED
from suat.tables import Table, host_port

if TYPE_CHECKING:
    from paho.mqtt.client import Client

log = logging.getLogger(__name__)

WINDOW = 256  # messages that are not acknowledged yet
LARGEST = 64 << 10  # of a packet [bytes]; the broker drops larger ones
KEPT_S = 30 * 86_400  # the broker keeps the session this long after the station was last there
KEEPALIVE_S = 30
CONNECT_S = 3.0  # then the address counts as out of reach
BACK_OFF_S = (1, 60)
STOP_S = 2.0  # for the farewell to the broker
MAX_QUEUED = 256  # messages of ours that the broker has not confirmed


class BrokerTable(Table):
    """How to reach an MQTT broker: part of the table of each source that needs one."""

    broker: str = "127.0.0.1:1883"
    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "suat"  # what the broker keeps the session by
    username: str | None = None
    password_file: Path | None = None
    tls: bool = False
    ca_file: Path | None = None  # of the broker's certificate; without it the machine's own list
    cert_file: Path | None = None  # the station's certificate, where the broker wants one
    key_file: Path | None = None

    @property
    def place(self) -> str:
        """Where it is found, for people."""
        return self.broker

    @field_validator("broker")
    @classmethod
    def _is_address(cls, broker: str) -> str:
        host_port(broker)
        return broker

    @model_validator(mode="after")
    def _hangs_together(self) -> BrokerTable:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs username")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        if not self.tls and (self.ca_file is not None or self.cert_file is not None):
            raise ValueError("ca_file, cert_file and key_file need tls = true")
        return self


Receive = Callable[[str, bytes, int, int], None]  # topic, payload, packet number, QoS


class BrokerSession:
    """One subscription, at one broker. `on_lost` is called when a connection ends: its packet numbers are void."""

    def __init__(self, table: BrokerTable, topic: str, on_message: Receive, on_lost: Callable[[], None]) -> None:
        self.connected = False
        self._table = table
        self._topic = topic
        self._on_message = on_message
        self._on_lost = on_lost
        self._client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = ""  # the last state that was logged: a broker that is away costs one line

    async def start(self) -> None:
        """Connect in the background; SuatError when a file of the table can't be used."""
        self._loop = asyncio.get_running_loop()
        self._client = client = _client(self._table)
        BROKER_CONNECTED.labels(self._table.broker).set(0)
        client.on_connect = self._connected
        client.on_connect_fail = self._unreached
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = self._received
        client.loop_start()

    async def stop(self) -> None:
        """Say farewell; the broker keeps what comes from now on, and what was not acknowledged."""
        client, self._client = self._client, None
        if client is None:
            return
        self.connected = False
        client.disconnect()
        end = threading.Thread(target=client.loop_stop, name="mqtt-stop", daemon=True)
        end.start()
        deadline = asyncio.get_running_loop().time() + STOP_S
        while end.is_alive() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)

    def acknowledge(self, number: int, qos: int) -> None:
        """The message is kept, or needs no keeping: the broker may forget it."""
        if self._client is not None:
            self._client.ack(number, qos)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand a message to the broker; False when it is not there, or takes no more."""
        from paho.mqtt.enums import MQTTErrorCode

        if self._client is None or not self.connected:
            return False
        return self._client.publish(topic, payload, qos=1).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    # -- on paho's thread

    def _call(self, call: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: the station has ended
            self._loop.call_soon_threadsafe(call, *arguments)

    def _connected(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._call(self._state, f'refuses the station: "{reason}"; check client_id, username and password_file')
            return
        client.subscribe(self._topic, qos=1)

    def _unreached(self, _client: Client, _data: Any) -> None:
        error = sys.exception()  # paho calls this while it handles the error
        reason = getattr(error, "verify_message", "") or getattr(error, "strerror", "") or error
        self._call(self._state, f"can't be reached: {reason}")

    def _subscribed(self, _client: Client, _data: Any, _number: int, reasons: list[Any], _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._call(self._state, f"does not let the station read {self._topic}; check the broker's access list")
        else:
            self._call(self._here)

    def _disconnected(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._call(self._lost, f'is gone: "{reason}"')

    def _received(self, _client: Client, _data: Any, message: Any) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._call(self._deliver, topic, message.payload, message.mid, message.qos)

    # -- on the loop's thread

    def _deliver(self, topic: str, payload: bytes, number: int, qos: int) -> None:
        if self._client is not None:
            self._on_message(topic, payload, number, qos)

    def _here(self) -> None:
        self.connected = True
        BROKER_CONNECTED.labels(self._table.broker).set(1)
        self._told = ""
        log.info("broker %s: connected", self._table.broker)

    def _lost(self, why: str) -> None:
        if self._client is None:
            return
        self.connected = False
        BROKER_CONNECTED.labels(self._table.broker).set(0)
        if not self._told:
            self._state(why)
        self._on_lost()

    def _state(self, what: str) -> None:
        if self._client is not None and what != self._told:
            self._told = what
            log.warning("broker %s %s; the station goes on trying", self._table.broker, what)


def _client(table: BrokerTable) -> Client:
    """A client that has not connected yet; SuatError when a file of the table can't be used."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    client = Client(
        CallbackAPIVersion.VERSION2, client_id=table.client_id, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True
    )
    client.reconnect_delay_set(*BACK_OFF_S)
    client.max_queued_messages_set(MAX_QUEUED)
    client.connect_timeout = CONNECT_S
    if table.username is not None:
        client.username_pw_set(table.username, None if table.password_file is None else _password(table.password_file))
    if table.tls:
        client.tls_set_context(_tls(table))
    terms = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    terms.SessionExpiryInterval = KEPT_S
    terms.ReceiveMaximum = WINDOW
    terms.MaximumPacketSize = LARGEST
    host, port = host_port(table.broker)
    client.connect_async(host, port, KEEPALIVE_S, clean_start=False, properties=terms)
    return client


def _password(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SuatError(f"MQTT: password_file {path}: {reason}; write the broker's password into it") from error


def _tls(table: BrokerTable) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=table.ca_file)
        if table.cert_file is not None and table.key_file is not None:
            context.load_cert_chain(table.cert_file, table.key_file)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(str(path) for path in (table.ca_file, table.cert_file, table.key_file) if path is not None)
        raise SuatError(
            f"MQTT: {files or 'tls'}: {error.strerror or error}; give certificates and key as PEM"
        ) from error
    return context
