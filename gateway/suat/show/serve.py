"""Serving the application inside the station's own event loop, to tablets and to whoever means harm.

A request has `REQUEST_S` from the connection, or from its first byte, to its own last; an answer that has begun must be
taken as soon, and a connection without a request is closed as soon. The time that the station itself thinks does not
count. There are never more than `MAX_CONNECTIONS`: the next one takes the place of that which has kept us waiting
longest, so that sockets which only sit there can't keep a herder out, whose page is answered in milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from suat.config import Config
from suat.errors import SuatError
from suat.pasture.probes import Readings
from suat.show.app import create_app
from suat.show.guard import Action, Guard
from suat.tables import host_port

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 32
MAX_HANDSHAKES = 64  # TLS connections that are only being made; asyncio sets 256 kB aside for each
REQUEST_S = 5.0
STOP_S = 2


class Connection(H11Protocol):
    """A client's connection, with a deadline."""

    deadline: asyncio.TimerHandle | None = None
    waiting_since = 0.0  # loop time of the connection, or of the last answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.waiting_since = self.loop.time()
        if len(self.connections) >= MAX_CONNECTIONS and not self._make_room():
            transport.abort()
            return
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        if self in self.connections:  # else it was turned away
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self in self.connections:
            if self.deadline is None:
                self._begin()
            super().data_received(data)

    def on_response_complete(self) -> None:
        self._end()
        self.waiting_since = self.loop.time()
        super().on_response_complete()
        if self.is_answered:  # the next request of a pipeline
            self._begin()

    def send_400_response(self, msg: str) -> None:
        """After what is no HTTP the connection ends; a request before it that is still being judged gets no answer."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # the answer before it has begun or ended the connection, or can't have a body
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Nobody asks any more, or nobody takes the answer."""
        self.transport.abort()

    @property
    def is_answered(self) -> bool:
        """Whether a whole request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _begin(self) -> None:
        self._end()
        self.deadline = self.loop.call_later(REQUEST_S, self._overdue)

    def _overdue(self) -> None:
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.response_started or not self.is_answered:
            self.transport.abort()
        else:
            self._begin()

    def _end(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _make_room(self) -> bool:
        """Close the connection that has kept us waiting longest; False when all of them are being answered."""
        waiting = [other for other in self.connections if isinstance(other, Connection) and not other.is_answered]
        if not waiting:
            return False
        longest = min(waiting, key=lambda other: other.waiting_since)
        self.connections.discard(longest)
        longest.transport.abort()
        return True


class _Server(uvicorn.Server):
    """The station handles the signals itself, and takes connections in itself.

    asyncio's own server would hold any number of TLS handshakes that don't come to an end.
    """

    doors: Sequence[asyncio.Task[None]] = ()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        self.servers = []
        self.doors = [asyncio.create_task(self._take_in(found), name="door") for found in sockets or []]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for door in self.doors:
            door.cancel()
        await asyncio.gather(*self.doors, return_exceptions=True)
        await super().shutdown(sockets)

    async def _take_in(self, listener: socket.socket) -> None:
        """Connections as they come; of the handshakes under way the oldest gives way to the next."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        opening: dict[asyncio.Task[None], None] = {}
        try:
            while True:
                try:
                    found, _ = await loop.sock_accept(listener)
                except ConnectionError:  # the client is gone already
                    continue
                except OSError as error:  # no descriptor is left
                    log.warning("board: a connection could not be taken in: %s", error.strerror)
                    await asyncio.sleep(1)
                    continue
                if len(opening) >= MAX_HANDSHAKES:
                    oldest = next(iter(opening))
                    del opening[oldest]
                    oldest.cancel()
                task = asyncio.create_task(self._open(found), name="handshake")
                opening[task] = None
                task.add_done_callback(partial(_opened, opening, found))
                await asyncio.sleep(0)  # the oldest goes, and readings come first
        finally:
            for task in opening:
                task.cancel()

    async def _open(self, found: socket.socket) -> None:
        secure = self.config.ssl
        limit = None if secure is None else REQUEST_S
        with contextlib.suppress(OSError):  # what is no TLS, or came to no end
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self.config, self.server_state, self.lifespan.state),
                found,
                ssl=secure,
                ssl_handshake_timeout=limit,
                ssl_shutdown_timeout=limit,
            )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _opened(opening: dict[asyncio.Task[None], None], found: socket.socket, task: asyncio.Task[None]) -> None:
    """A handshake is done with; who was turned away before it began is closed here."""
    opening.pop(task, None)
    if task.cancelled():
        found.close()


async def serve(
    config: Config,
    journal: Readings,
    now: Callable[[], int],
    cleanup: contextlib.AsyncExitStack,
    troubles: Callable[[], list[str]] = list,
    actions: Mapping[str, Action] | None = None,
) -> asyncio.Task[None]:
    """Serve the board page where the configuration says; SuatError when the address is taken.

    `actions`: what a tablet with the PIN may do, by path.

    The task ends when the server does; `cleanup` stops it.
    """
    listener = listen(config.board.bind)
    settings = uvicorn.Config(
        create_app(config, journal, now, troubles, Guard(config, time.monotonic).routes(actions or {})),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        ws="none",
        http=Connection,
        timeout_keep_alive=int(REQUEST_S),
        timeout_graceful_shutdown=STOP_S,
    )
    if config.board.tls:
        from suat.show import tls

        settings.load()
        settings.ssl = await asyncio.to_thread(tls.context, config, now())
        renewal = asyncio.create_task(tls.renew(settings.ssl, config, now), name="certificate")
        cleanup.callback(renewal.cancel)
    server = _Server(settings)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="board")

    async def stop() -> None:
        server.should_exit = True
        await asyncio.wait([task])

    cleanup.push_async_callback(stop)
    return task


def listen(bind: str) -> socket.socket:
    """A listening socket at HOST:PORT; SuatError when it can't be had."""
    host, port = host_port(bind)
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SuatError(
            f"board: {bind}: {error.strerror}; choose another bind under [board], or stop the program that holds it"
        ) from error
