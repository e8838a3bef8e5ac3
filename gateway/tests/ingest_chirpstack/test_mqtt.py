"""The session with a real broker: what is not acknowledged comes again, whoever was restarted meanwhile."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from suat.errors import SuatError
from suat.metrics import REGISTRY
from suat.mqtt import LARGEST, WINDOW, BrokerSession, BrokerTable

TOPIC = "application/a/device/{}/event/up"
SUBSCRIBED = "application/+/device/+/event/up"


class End:
    """The station's end: a session and what came by it."""

    def __init__(self, broker: str, **options: Any) -> None:
        self.heard: list[bytes] = []
        self.numbers: list[int] = []
        self.lost = 0
        self.keep = True  # whether what comes is acknowledged
        self.session = BrokerSession(BrokerTable(broker=broker, **options), SUBSCRIBED, self._receive, self._lost)

    def _receive(self, _topic: str, payload: bytes, number: int, qos: int) -> None:
        self.heard.append(payload)
        self.numbers.append(number)
        if self.keep:
            self.session.acknowledge(number, qos)

    def _lost(self) -> None:
        self.lost += 1

    async def until(self, true: Callable[[], Any], timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < deadline, f"it did not come in time; heard {len(self.heard)}"
            await asyncio.sleep(0.02)

    async def start(self) -> None:
        await self.session.start()
        await self.until(lambda: self.session.connected)


def messages(first: int, count: int) -> list[tuple[str, bytes]]:
    return [(TOPIC.format(number), b"%d" % number) for number in range(first, first + count)]


def numbers(first: int, count: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def connected_by_metrics(address: str) -> float | None:
    return REGISTRY.get_sample_value("suat_broker_connected", {"broker": address})


async def away(call: Callable[..., Any], *arguments: Any) -> Any:
    """Something that blocks, off the loop."""
    return await asyncio.to_thread(call, *arguments)


async def test_what_is_not_acknowledged_comes_again_and_the_rest_does_not(broker: Any) -> None:
    end = End(broker.address)
    await end.start()
    await away(broker.publish, *messages(0, 5))
    await end.until(lambda: len(end.heard) == 5)
    end.keep = False
    await away(broker.publish, *messages(5, 5))
    await end.until(lambda: len(end.heard) == 10)
    await end.session.stop()
    await away(broker.publish, *messages(10, 5))  # while the station is down
    after = End(broker.address)
    await after.start()
    await after.until(lambda: len(after.heard) >= 10)
    await asyncio.sleep(0.2)
    assert after.heard == numbers(5, 10)
    await after.session.stop()


async def test_a_restart_of_the_broker_loses_nothing(broker: Any, caplog: pytest.LogCaptureFixture) -> None:
    end = End(broker.address)
    await end.start()
    end.keep = False
    await away(broker.publish, *messages(0, 3))
    await end.until(lambda: len(end.heard) == 3)
    await away(broker.stop)
    await end.until(lambda: end.lost == 1)
    assert not end.session.connected
    assert connected_by_metrics(broker.address) == 0
    assert not end.session.publish("application/a/device/b/command/down", b"{}")
    end.keep = True
    await away(broker.start)
    await end.until(lambda: end.session.connected)
    await away(broker.publish, *messages(3, 3))
    await end.until(lambda: len(end.heard) == 9)
    assert end.heard == numbers(0, 3) + numbers(0, 6)
    assert connected_by_metrics(broker.address) == 1
    assert end.session.publish("application/a/device/b/command/down", b"{}")
    await end.until(lambda: broker.heard)
    assert broker.heard == [("application/a/device/b/command/down", b"{}")]
    await end.session.stop()
    assert 1 <= len([line for line in caplog.messages if broker.address in line and "goes on trying" in line]) <= 2


async def test_a_broker_that_is_not_there_yet_is_no_fault(make_broker: Callable[..., Any]) -> None:
    broker = make_broker()
    await away(broker.stop)
    end = End(broker.address)
    await end.session.start()
    await asyncio.sleep(0.3)
    await away(broker.start)
    await end.until(lambda: end.session.connected)
    await end.session.stop()


async def test_a_message_too_large_is_dropped_by_the_broker_alone(broker: Any) -> None:
    end = End(broker.address)
    await end.start()
    await away(broker.publish, *messages(0, 1), (TOPIC.format("x"), b"x" * (LARGEST + 1)), *messages(1, 1))
    await end.until(lambda: len(end.heard) == 2)
    assert (end.heard, end.lost) == (numbers(0, 2), 0)
    await end.session.stop()


async def test_the_broker_holds_what_the_station_cannot_keep_yet(make_broker: Callable[..., Any]) -> None:
    from_docs_and = """
listener {port} 127.0.0.1
allow_anonymous true
user {user}
max_inflight_messages 0
max_queued_messages 100000
"""
    broker = make_broker(from_docs_and)
    end = End(broker.address)
    await end.start()
    end.keep = False  # the disk is full
    await away(broker.publish, *messages(0, 2 * WINDOW))
    await end.until(lambda: len(end.heard) >= WINDOW)
    await asyncio.sleep(0.3)
    assert end.heard == numbers(0, WINDOW)
    end.keep = True
    for number in end.numbers[:]:
        end.session.acknowledge(number, 1)
    await end.until(lambda: len(end.heard) == 2 * WINDOW)
    assert end.heard == numbers(0, 2 * WINDOW)
    await end.session.stop()


GUIDE = Path(__file__).parents[3] / "docs" / "chirpstack.md"


def guarded(make_broker: Callable[..., Any], folder: Path) -> Any:
    """A broker as docs/chirpstack.md sets it up, with the passwords "sesame" and "poppy"."""
    settings, access = [block for block in GUIDE.read_text().split("```\n") if block.startswith(("listener", "user"))]
    for user, password in (("station", "sesame"), ("chirpstack", "poppy")):
        new = [] if (folder / "passwords").exists() else ["-c"]
        subprocess.run(["mosquitto_passwd", *new, "-b", folder / "passwords", user, password], check=True, timeout=20)
    (folder / "acl").write_text(access)
    settings = settings.replace("listener 1883 127.0.0.1", "listener {port} 127.0.0.1\nuser {user}")
    settings = settings.replace("/var/lib/mosquitto/", "{folder}/").replace("/etc/mosquitto/", f"{folder}/")
    return make_broker(settings)


async def test_the_guides_broker_lets_the_station_read_and_command_and_no_one_else(
    make_broker: Callable[..., Any], tmp_path: Path
) -> None:
    broker = await away(guarded, make_broker, tmp_path)
    broker.login = ("chirpstack", "poppy")
    secret = tmp_path / "secret"
    secret.write_text("sesame\n")
    end = End(broker.address, username="station", password_file=secret)
    await end.start()
    await away(broker.publish, *messages(0, 3))
    await end.until(lambda: len(end.heard) == 3)
    assert end.session.publish("application/a/device/b/command/down", b"{}")
    assert end.session.publish(TOPIC.format("b"), b"forged")
    await end.until(lambda: broker.heard)
    await asyncio.sleep(0.3)
    assert (broker.heard, end.heard) == ([("application/a/device/b/command/down", b"{}")], numbers(0, 3))
    await end.session.stop()
    nobody = End(broker.address, client_id="nobody")
    await nobody.session.start()
    await asyncio.sleep(0.5)
    assert not nobody.session.connected
    await nobody.session.stop()


async def test_a_wrong_password_is_told_once_and_never_shown(
    make_broker: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await away(guarded, make_broker, tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("open-barley\n")
    with caplog.at_level(logging.DEBUG):
        end = End(broker.address, username="station", password_file=secret)
        await end.session.start()
        await end.until(lambda: any("refuses the station" in line for line in caplog.messages))
        await asyncio.sleep(2.5)  # two more attempts
        await end.session.stop()
        secret.write_text("sesame\n")
        right = End(broker.address, username="station", password_file=secret)
        await right.start()
        await right.session.stop()
    told = [line for line in caplog.messages if broker.address in line and "connected" not in line]
    assert len(told) == 1 and "password_file" in told[0]
    assert "barley" not in caplog.text and "sesame" not in caplog.text
    with pytest.raises(SuatError, match=r"password_file .*: No such file"):
        await End(broker.address, username="station", password_file=tmp_path / "none").session.start()


TLS = """
listener {port} 127.0.0.1
allow_anonymous true
user {user}
cafile TMP/ca.pem
certfile TMP/broker.pem
keyfile TMP/broker.key
"""


def certificates(folder: Path) -> None:
    """A CA, and a certificate of it for 127.0.0.1."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    for name in ("ca", "other"):
        openssl("req", "-x509", *new, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    openssl("req", *new[:4], "-nodes", "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=broker")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "30"]
    openssl("x509", "-req", "-in", "broker.csr", "-out", "broker.pem", *signed)


# paho leaves the socket of a failed handshake to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_tls_lets_only_the_right_broker_in(
    make_broker: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await away(certificates, tmp_path)
    broker = await away(make_broker, TLS.replace("TMP", str(tmp_path)))
    end = End(broker.address, tls=True, ca_file=tmp_path / "ca.pem")
    await end.start()
    await end.session.stop()
    for options in ({"tls": True, "ca_file": tmp_path / "other.pem"}, {"tls": True}, {}):
        stranger = End(broker.address, client_id="stranger", **options)
        await stranger.session.start()
        await asyncio.sleep(1.0)
        assert not stranger.session.connected
        await stranger.session.stop()
    assert sum("self-signed certificate" in line for line in caplog.messages) == 2
    (tmp_path / "broken.pem").write_text("no certificate")
    with pytest.raises(SuatError, match=r"broken\.pem: .*PEM"):
        await End(broker.address, tls=True, ca_file=tmp_path / "broken.pem").session.start()


async def timed(what: Awaitable[None]) -> float:
    started = time.monotonic()
    await what
    return time.monotonic() - started


async def test_stopping_does_not_wait_for_a_broker_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        end = End(f"127.0.0.1:{silent.getsockname()[1]}")
        await end.session.start()
        await asyncio.sleep(0.3)
        assert await timed(end.session.stop()) < 4.0
        assert await timed(end.session.stop()) < 0.5  # a second time does nothing


NONSENSE = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\xf0\x00",
    b"\x20\x00",  # a CONNACK that says nothing
    b"\x20\x03\x00\x63\x00",  # a reason that there is not
    # a CONNACK, and then
    b"\x20\x03\x00\x00\x00\x30\x02\xff\xff",  # a topic longer than its packet
    b"\x20\x03\x00\x00\x00\x30\x05\x00\x02\xff\xfe\x00",  # a topic that is not UTF-8
    b"\x20\x03\x00\x00\x00\x30\xff\xff\xff\xff\x7f",  # a length that no packet may have
    b"\x20\x03\x00\x00\x00\x90\x01\x00",  # a SUBACK cut short
    b"\x20\x03\x00\x00\x00\x40\x01\x00",  # a PUBACK cut short
]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_broker_that_talks_nonsense_does_not_deafen_the_station(broker: Any) -> None:
    """Each nonsense, and then the real broker behind the same address: the station comes back by itself."""
    talk = {number: nonsense for number, nonsense in enumerate(NONSENSE)}
    ends: list[End] = []
    ports: list[asyncio.Server] = []
    talks: list[Any] = []

    def met(number: int) -> Callable[..., Any]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talks.append(asyncio.current_task())
            nonsense = talk.pop(number, None)
            if nonsense is None:
                await relayed(reader, writer, broker.port)
                return
            writer.write(nonsense)
            await asyncio.sleep(0.1)
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

        return answer

    for number in range(len(NONSENSE)):
        ports.append(await asyncio.start_server(met(number), "127.0.0.1", 0))
        ends.append(End(f"127.0.0.1:{ports[-1].sockets[0].getsockname()[1]}", client_id=f"suat{number}"))
        await ends[-1].session.start()
    for end in ends:
        await end.until(lambda end=end: end.session.connected)  # type: ignore[misc]
    await away(broker.publish, *messages(0, 1))
    for end in ends:
        await end.until(lambda end=end: end.heard[-1:] == numbers(0, 1))  # type: ignore[misc]
        await end.session.stop()
    assert not talk
    for port in ports:
        port.close()
    await asyncio.wait_for(asyncio.gather(*talks), 10)


async def relayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    there, back = await asyncio.open_connection("127.0.0.1", port)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(4096):
            sink.write(data)
        sink.close()
        await sink.wait_closed()

    await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)
