"""Requests to one HTTP server: tried once, no redirect followed, a bounded answer, an end in time whatever comes.

The time limit of a socket is one of silence: an answer that drips would take for ever. So each step of a request gets
what is left of the time of the whole. The connection is kept for the next request.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
import string
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPMessage, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

DIAL_S = 5.0  # of a request's time for one address of the host
ANSWER_BYTES = 65536  # more of an answer is not read: InfluxDB says less
PIECE = 65536  # of a body: a server that takes it by drops is looked at this often


class NewConnectionError(OSError):
    """No address of the host took a connection."""


class Reply(NamedTuple):
    """An answer as it came, cut to `ANSWER_BYTES` and to valid UTF-8; named as influxdb-client expects it."""

    status: int
    reason: str
    data: bytes
    headers: HTTPMessage


class Transport:
    """One connection, opened when it is first needed. One thread at a time, but for `hang_up`."""

    def __init__(self, timeout_s: float, ca_file: Path | None) -> None:
        self.timeout_s = timeout_s
        self._ca_file = ca_file
        self._server: tuple[str, str] | None = None  # scheme and place of the connection
        self._connection: _Connection | None = None

    def request(self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str], **_: Any) -> Reply:
        """Send and read. OSError, HTTPException; NewConnectionError when nothing was sent."""
        deadline = time.monotonic() + self.timeout_s
        parts = urlsplit(url)
        if self._connection is None or self._server != parts[:2]:
            self.clear()
            try:
                host, port = parts.hostname, parts.port
            except ValueError as error:
                raise NewConnectionError(f"{parts.netloc}: {error}") from error
            if not host:
                raise NewConnectionError(f"{url}: it names no host")
            self._connection = _Connection(host, port, _context(self._ca_file) if parts.scheme == "https" else None)
            self._server = parts[:2]
        connection = self._connection
        connection.deadline = deadline
        target = quote(f"{parts.path or '/'}?{parts.query}", safe=string.punctuation)  # what no request line can hold
        try:
            if connection.is_stale():
                connection.close()
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            data = b""
            while len(data) < ANSWER_BYTES and (more := response.read(ANSWER_BYTES - len(data))):
                data += more
            if response.length and len(data) < ANSWER_BYTES:
                raise IncompleteRead(data, response.length)
            if not response.isclosed():
                connection.close()
        except BaseException:
            connection.close()
            raise
        text = data.decode("utf-8", "replace")
        return Reply(response.status, response.reason or "", text.encode(), response.headers)

    def hang_up(self) -> None:
        """End the request that is under way on another thread."""
        sock = None if self._connection is None else self._connection.open_socket
        if sock is not None:
            with contextlib.suppress(OSError):  # it is closed already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not TLS's own, which another thread is using

    def clear(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Connection(HTTPConnection):
    """Plain or, with a context, within TLS. `deadline` is the present request's [monotonic s]."""

    deadline = 0.0
    open_socket: socket.socket | None = None  # `sock` is gone already while the last answer is read

    def __init__(self, host: str, port: int | None, context: ssl.SSLContext | None) -> None:
        if context is not None:
            self.default_port = 443
        super().__init__(host, port or self.default_port)
        self._context = context
        # Made with a socket, of which it wants nothing but what it can read from.
        self.response_class = lambda _sock, **options: HTTPResponse(self, **options)  # type: ignore[assignment, arg-type]

    def left(self) -> float:
        """What is left of the request's time [s]; TimeoutError when that is nothing."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def connect(self) -> None:
        """Open the socket, TLS within it."""
        dialled = _dial(self.host, self.port, self.left)
        try:
            dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                dialled.settimeout(self.left())
                dialled = self._context.wrap_socket(dialled, server_hostname=self.host)
        except BaseException:
            dialled.close()
            raise
        self.sock = self.open_socket = dialled

    def send(self, data: Any) -> None:
        """Bytes in pieces, each within the time that is left."""
        if self.sock is None:
            self.connect()
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            self.sock.settimeout(self.left())
            self.sock.sendall(view[start : start + PIECE])

    def is_stale(self) -> bool:
        """Whether the other side has closed the connection, or said something that nobody asked for."""
        if self.sock is None:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What the response is read from."""
        return io.BufferedReader(_Incoming(self.sock, self.left))


class _Incoming(io.RawIOBase):
    """What a socket brings, each piece of it within the time that is left."""

    def __init__(self, sock: socket.socket, left: Callable[[], float]) -> None:
        super().__init__()
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _context(ca_file: Path | None) -> ssl.SSLContext:
    """The public authorities, or the one in a file. SSLError when that can't be read."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except FileNotFoundError as error:
        raise ssl.SSLError(f"{ca_file}: {error.strerror}") from error


def _dial(host: str, port: int, left: Callable[[], float]) -> socket.socket:
    """The first address of a host that answers, all of them within the time that is left."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NewConnectionError(f"{host}: {getattr(error, 'strerror', None) or error}") from error
    reason = "it took too long to find its address"
    for family, kind, protocol, _, address in found:
        dialled = socket.socket(family, kind, protocol)
        try:
            dialled.settimeout(min(left(), DIAL_S))
            dialled.connect(address)
        except OSError as error:
            dialled.close()
            reason = error.strerror or str(error)
        else:
            return dialled
    raise NewConnectionError(f"{host}: {reason}")
