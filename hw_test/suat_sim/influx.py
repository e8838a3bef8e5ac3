"""A faulty server before a real InfluxDB: of the writes it relays some, and answers the others as networks do.

What it answers is drawn from `FAULTS` by a seed. Some faults come after the write was relayed: InfluxDB has the points,
and whoever sent them is told otherwise. A client that follows the redirects lands on a page that says 204 and keeps
nothing.

    with faulty(server.url, seed=1) as between:
        ...  # between.url takes the writes
        between.counts  # how often each was answered
"""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

CLEAN = "relayed"
RELAY_S = 30.0


class Fault(NamedTuple):
    """An answer: its share, its bytes, whether the write was relayed before."""

    weight: float
    answer: bytes
    relayed: bool = False


def _http(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {size}", *headers, "", ""]).encode() + body


_PAGE = b"<!DOCTYPE html><html><h1>%s</h1></html>"
_CYRILLIC = "<html><h1>Сервис недоступен</h1></html>".encode("cp1251")
HANG, DRIP, ENDLESS, RESET = b"hang", b"drip", b"endless", b"reset"  # what is no answer

FAULTS: dict[str, Fault] = {
    CLEAN: Fault(40, b""),
    "401": Fault(4, _http("401 Unauthorized", b'{"code":"unauthorized","message":"unauthorized access"}')),
    "403": Fault(4, _http("403 Forbidden", b'{"error":"\\"suat\\" user is not authorized to write"}')),
    "404": Fault(3, _http("404 Not Found", b'{"error":"database not found: \\"pasture\\""}')),
    "413": Fault(5, _http("413 Request Entity Too Large", _PAGE % b"413")),
    "429": Fault(4, _http("429 Too Many Requests", b"", "Retry-After: 7")),
    "503 with a date": Fault(3, _http("503 Unavailable", b"", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT")),
    "503 with nonsense": Fault(3, _http("503 Unavailable", b"", "Retry-After: soon")),
    "500": Fault(4, _http("500 Internal Server Error", b'{"error":"timeout"}')),
    "502 in cp1251": Fault(3, _http("502 Bad Gateway", _CYRILLIC, "Content-Type: text/html; charset=windows-1251")),
    "504": Fault(2, _http("504 Gateway Timeout", _PAGE % b"504")),
    "400 of a proxy": Fault(4, _http("400 Bad Request", _PAGE % b"400 Bad Request")),
    "400 cut off": Fault(2, _http("400 Bad Request", b'{"error":"unable to par', length=200)),
    "200 of a portal": Fault(4, _http("200 OK", _PAGE % b"Welcome to the hotel")),
    "302": Fault(2, _http("302 Found", b"", "Location: /elsewhere")),
    "307": Fault(2, _http("307 Temporary Redirect", b"", "Location: /elsewhere")),
    "308": Fault(2, _http("308 Permanent Redirect", b"", "Location: /elsewhere")),
    "nonsense": Fault(2, b"\x00\xff\xfe nonsense\r\n\r\n"),
    "a closed connection": Fault(2, b""),
    "taken, then a closed connection": Fault(4, b"", relayed=True),
    "taken, then 500": Fault(4, _http("500 Internal Server Error", b'{"error":"timeout"}'), relayed=True),
    "taken, then cut off": Fault(4, b"HTTP/1.1 20", relayed=True),
    "a reset": Fault(2, RESET),
    "silence": Fault(1, HANG),
    "taken, then silence": Fault(1, HANG, relayed=True),
    "an answer that drips": Fault(1, DRIP),
    "an answer without an end": Fault(1, ENDLESS),
}


class Between(socketserver.ThreadingTCPServer):
    """The faulty server; `counts`: how often it gave each answer."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, upstream: str, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.upstream = urlsplit(upstream)
        self.counts: Counter[str] = Counter()
        self.faulty = True
        self.ended = threading.Event()
        self._chance = random.Random(seed)
        self._lock = threading.Lock()

    def draw(self) -> str:
        """What the next write is answered with."""
        with self._lock:
            names = list(FAULTS)
            name = self._chance.choices(names, [fault.weight for fault in FAULTS.values()])[0] if self.faulty else CLEAN
            self.counts[name] += 1
            return name

    def handle_error(self, request: object, client_address: object) -> None:
        """The other side has gone: that is what it shall do."""


class _Handler(socketserver.StreamRequestHandler):
    server: Between

    def handle(self) -> None:
        while self._one():
            pass

    def _one(self) -> bool:
        """One request; whether the connection stays."""
        first = self.rfile.readline(65536).decode("latin-1").split()
        if len(first) != 3:
            return False
        headers: dict[str, str] = {}
        while line := self.rfile.readline(65536).decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", "0")))
        if first[1].startswith("/elsewhere"):
            self.server.counts["followed a redirect"] += 1
            self.wfile.write(_http("204 No Content"))
            return True
        name = self.server.draw()
        fault = FAULTS[name]
        if fault.relayed or name == CLEAN:
            answer = self._relay(first[0], first[1], headers, body)
            if name == CLEAN:
                self.wfile.write(answer)
                return True
        self._answer(fault.answer)
        return False

    def _relay(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        upstream = self.server.upstream
        connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=RELAY_S)
        try:
            passed = {key: value for key, value in headers.items() if key not in ("host", "connection")}
            connection.request(method, target, body, passed)
            response = connection.getresponse()
            more = [f"{key}: {value}" for key, value in response.getheaders() if key.lower() == "content-type"]
            return _http(f"{response.status} {response.reason}", response.read(), *more)
        finally:
            connection.close()

    def _answer(self, answer: bytes) -> None:
        """Answer, after which the connection is closed."""
        ended = self.server.ended
        if answer is HANG:
            self.connection.settimeout(RELAY_S)
            with contextlib.suppress(OSError):
                self.connection.recv(1)  # until the other side has had enough
        elif answer is DRIP:
            for letter in _http("204 No Content", b"", "X-Slow: " + "z" * 1000):
                self.wfile.write(bytes([letter]))
                if ended.wait(0.02):
                    break
        elif answer is ENDLESS:
            self.wfile.write(b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n")
            until = time.monotonic() + RELAY_S
            with contextlib.suppress(OSError):
                while time.monotonic() < until and not ended.is_set():
                    self.wfile.write(b"2000\r\n" + bytes(0x2000) + b"\r\n")
        elif answer is RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.wfile.write(answer)


@contextmanager
def faulty(upstream: str, *, seed: int = 0) -> Iterator[Between]:
    """The server, running; `faulty` False on it: it relays everything."""
    with Between(upstream, seed) as between:
        thread = threading.Thread(target=between.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield between
        finally:
            between.ended.set()
            between.shutdown()
            thread.join()
