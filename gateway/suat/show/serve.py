"""Serving the application inside the station's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn

from suat.config import Config
from suat.errors import SuatError
from suat.pasture.probes import Readings
from suat.show.app import create_app
from suat.tables import host_port

MAX_CONNECTIONS = 32
IDLE_S = 5
STOP_S = 2


class _Server(uvicorn.Server):
    """The station handles the signals itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    config: Config,
    journal: Readings,
    now: Callable[[], int],
    cleanup: contextlib.AsyncExitStack,
    troubles: Callable[[], list[str]] = list,
) -> asyncio.Task[None]:
    """Serve the board page where the configuration says; SuatError when the address is taken.

    The task ends when the server does; `cleanup` stops it.
    """
    listener = listen(config.board.bind)
    settings = uvicorn.Config(
        create_app(config, journal, now, troubles),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=STOP_S,
    )
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
