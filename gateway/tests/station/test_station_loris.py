"""Promise 15: sockets that only sit there neither keep a herder out nor hold up a reading.

The attackers are real sockets on a running station: 500 that send a byte a second, never a whole request.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from suat.show.serve import MAX_CONNECTIONS, REQUEST_S

FRAMES = 300
SLOW = b"GET / HTTP/1.1\r\nHost: station\r\nX-Slow: " + b"a" * 10_000


class Attack:
    """Sockets that each send `what` a byte a second, and come back when they are closed."""

    def __init__(self, port: int, count: int, what: bytes = SLOW) -> None:
        self.longest_s = 0.0  # that one was borne
        self.closed = 0
        self._port, self._count, self._what = port, count, what
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Attack:
        self._thread.start()
        return self

    def __exit__(self, *_arguments: Any) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        held: dict[socket.socket, tuple[float, int]] = {}  # since when, bytes sent
        while not self._stop.is_set():
            began = time.monotonic()
            while len(held) < self._count:
                try:
                    found = socket.create_connection(("127.0.0.1", self._port), 1)
                except OSError:
                    break
                found.setblocking(False)
                held[found] = time.monotonic(), 0
            for found, (since, sent) in list(held.items()):
                try:
                    found.send(self._what[sent : sent + 1])
                    held[found] = since, sent + 1
                    gone = found.recv(1) == b""
                except BlockingIOError:
                    gone = False
                except OSError:
                    gone = True
                if gone:
                    self.longest_s = max(self.longest_s, time.monotonic() - since)
                    self.closed += 1
                    found.close()
                    del held[found]
            self._stop.wait(max(0.0, 1.0 - (time.monotonic() - began)))
        for found in held:
            found.close()


def descriptors(station: Any) -> int:
    return len(list(Path(f"/proc/{station.process.pid}/fd").iterdir()))


def page(port: int) -> bool:
    """Whether the board page came."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.request("GET", "/")
        with client.getresponse() as answer:
            return answer.status == 200 and len(answer.read()) > 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()


@pytest.fixture
def running(station: Any) -> Iterator[Any]:
    station.nodes = station.register(1)
    station.start()
    yield station
    station.stop()


@pytest.mark.slow
def test_five_hundred_slow_sockets_hold_up_neither_a_herder_nor_a_reading(
    running: Any, make_concentrator: Callable[..., Any]
) -> None:
    (node,) = running.nodes
    concentrator = make_concentrator(running)
    packets = [concentrator.body(node.frame(number)) for number in range(1, FRAMES + 1)]
    before = descriptors(running)
    pages: list[float] = []
    most = 0
    with Attack(running.board, 500) as attack:
        time.sleep(2)
        for start in range(0, FRAMES, 30):
            concentrator.stream(packets[start : start + 30], 30)
            most = max(most, descriptors(running))
            asked = time.monotonic()
            for _ in range(20):
                if page(running.board):
                    pages.append(time.monotonic() - asked)
                    break
    running.wait_for(lambda: len(running.records()) == FRAMES)
    assert sorted(record for _, record in running.records()) == list(range(1, FRAMES + 1))  # none lost, none twice
    counts = running.metrics()
    late = (
        counts['suat_receive_to_commit_seconds_bucket{le="+Inf"}']
        - counts['suat_receive_to_commit_seconds_bucket{le="1.0"}']
    )
    print(
        f"{attack.closed} slow sockets closed, the longest after {attack.longest_s:.1f} s; {len(pages)} of"
        f" {FRAMES // 30} pages, the slowest {max(pages):.2f} s; descriptors {before} -> {most} at most;"
        f" {late:.0f} of {FRAMES} readings later than 1 s"
    )
    assert len(pages) == FRAMES // 30
    assert most <= before + 2 * MAX_CONNECTIONS + 8  # as many again may be about to be turned away
    assert attack.closed > 500
    assert attack.longest_s < REQUEST_S + 3  # the attacker itself looks once a second
    assert late <= FRAMES * 0.01


@pytest.mark.slow
def test_a_request_that_does_not_come_to_an_end_is_cut_off_after_the_deadline(running: Any) -> None:
    began = time.monotonic()
    slow = [socket.create_connection(("127.0.0.1", running.board), 10) for _ in range(3)]
    for found, opening in zip(slow, (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"), strict=True):
        found.sendall(opening)
    for found in slow:
        with contextlib.suppress(ConnectionResetError):
            assert found.recv(4096) == b""
        assert REQUEST_S - 0.5 < time.monotonic() - began < REQUEST_S + 2
        found.close()


@pytest.mark.slow
def test_a_client_that_asks_on_is_kept_and_one_that_is_idle_is_not(running: Any) -> None:
    client = http.client.HTTPConnection("127.0.0.1", running.board, timeout=10)
    for _ in range(3):
        client.request("GET", "/healthz")
        assert client.getresponse().read().startswith(b"{")
        kept = client.sock
        time.sleep(1)
    assert kept is client.sock
    assert kept is not None
    assert kept.recv(1) == b""  # closed by the station
    client.close()


def test_pipelined_requests_are_each_answered(running: Any) -> None:
    with socket.create_connection(("127.0.0.1", running.board), 10) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
        got = b""
        while got.count(b"HTTP/1.1 200") < 5:
            part = client.recv(65536)
            assert part, got
            got += part
