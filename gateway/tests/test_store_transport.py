"""One connection to a server: kept while it lasts, and no request outlives its time, whatever the other side does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import IncompleteRead

import pytest
from suat.store.transport import ANSWER_BYTES, NewConnectionError, Transport

DONE = b"HTTP/1.1 204 No Content\r\n\r\n"
Serve = Callable[[socket.socket], None]


@contextmanager
def server(*serve: Serve) -> Iterator[str]:
    """Each connection is served by the next of these, the last one by all that come after."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def run() -> None:
            for number in range(100):
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    serve[min(number, len(serve) - 1)](connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/write"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def request(connection: socket.socket) -> bytes:
    """A whole request with a body of a few bytes, b"" when there is none any more."""
    taken = b""
    while not taken.endswith(b"m v=1i 5"):
        more = connection.recv(4096)
        if not more:
            return b""
        taken += more
    return taken


def answering(answer: bytes, times: int) -> Serve:
    def serve(connection: socket.socket) -> None:
        for _ in range(times):
            if request(connection):
                connection.sendall(answer)

    return serve


def post(transport: Transport, url: str, body: bytes = b"m v=1i 5") -> int:
    return transport.request("POST", url, body=body, headers={"Content-Type": "text/plain"}).status


def test_a_connection_is_kept_and_replaced_once_the_server_has_closed_it() -> None:
    served: list[int] = []

    def twice(connection: socket.socket) -> None:
        served.append(0)
        answering(DONE, 2)(connection)

    with server(twice) as url:
        transport = Transport(5.0, None)
        for _ in range(6):
            assert post(transport, url) == 204
            time.sleep(0.05)  # the close has come
        transport.clear()
    assert len(served) == 3


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 10**6, b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"z" * 10**6],
)
def test_no_more_of_an_answer_is_read_than_anybody_needs(answer: bytes) -> None:
    with server(answering(answer, 1), answering(DONE, 1)) as url:
        transport = Transport(5.0, None)
        reply = transport.request("POST", url, body=b"m v=1i 5", headers={})
        assert reply.status == 200 and len(reply.data) == ANSWER_BYTES
        assert post(transport, url) == 204  # the rest of it is taken for no answer of the next
        transport.clear()


def test_an_answer_that_ends_early_is_none() -> None:
    cut_off = answering(b"HTTP/1.1 400 Bad\r\nContent-Length: 20\r\n\r\n{}", 1)
    with server(cut_off) as url, pytest.raises(IncompleteRead, match="2 bytes read, 18 more expected"):
        post(Transport(5.0, None), url)


def test_a_body_that_is_taken_by_drops_is_given_up_in_time() -> None:
    def drops(connection: socket.socket) -> None:
        for _ in range(80):
            connection.recv(2048)
            time.sleep(0.01)

    with server(drops) as url:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            post(Transport(0.5, None), url, bytes(50_000_000))
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 9\r\n\r\n"])
def test_a_request_under_way_can_be_ended_from_another_thread(beginning: bytes) -> None:
    asked = threading.Event()

    def silent(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(beginning)
        asked.set()
        connection.recv(1)

    transport = Transport(60.0, None)

    def end() -> None:
        asked.wait(10)
        time.sleep(0.1)  # the beginning is read
        transport.hang_up()

    with server(silent) as url:
        ending = threading.Thread(target=end)
        ending.start()
        began = time.monotonic()
        with pytest.raises((OSError, IncompleteRead), match=r"closed|reset|IncompleteRead"):
            post(transport, url)
        ending.join()
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://:8086/", "http://a..b/", "http://127.0.0.1:9/"])
def test_a_server_that_cannot_be_reached_is_told_from_one_that_does_not_answer(url: str) -> None:
    with pytest.raises(NewConnectionError):
        post(Transport(2.0, None), url)
