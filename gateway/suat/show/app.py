"""The HTTP application: board page at `/`, `/status.json`, `/healthz`, `/metrics`, and the files they need.

It only reads. The status is judged at most once in `FRESH_S` however many tablets ask, off the event loop's thread, so
that a page never holds up the readings.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from suat import __version__
from suat.config import Config
from suat.errors import SuatError
from suat.locales import LANGUAGES, text
from suat.pasture.probes import Readings
from suat.pasture.status import station_status
from suat.show import exposition
from suat.show.board import cards, language

log = logging.getLogger(__name__)

FRESH_S = 5.0
BOARD = Path(__file__).parent / "board"
HEADERS = {
    b"content-security-policy": b"default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    b"form-action 'self'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}

Status = Mapping[str, Any]
Judge = Callable[[], Status]


def create_app(
    config: Config,
    journal: Readings,
    now: Callable[[], int],
    troubles: Callable[[], list[str]] = list,
    guarded: Sequence[Route] = (),
) -> Starlette:
    """The application over a journal; `now` gives UTC in microseconds, `troubles` what is wrong with the station.

    `guarded`: what changes something (show/guard.py).
    """
    return application(config, lambda: station_status(config, journal, now()), now, troubles, guarded)


def application(
    config: Config,
    judge: Judge,
    now: Callable[[], int],
    troubles: Callable[[], list[str]] = list,
    guarded: Sequence[Route] = (),
) -> Starlette:
    """The application over any source of the status object."""
    pages = Environment(
        loader=FileSystemLoader(BOARD / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    status = _Remembered(judge, now)
    shown = partial(_Pages, config, pages)
    app = Starlette(
        routes=[
            Route("/", partial(_board, config, shown, status)),
            Route("/status.json", partial(_status, status)),
            Route("/healthz", partial(_health, status, troubles)),
            Route("/metrics", partial(_metrics, status)),
            *([Route("/station-ca.crt", partial(_authority, config))] if config.board.tls else []),
            *guarded,
            Mount("/static", StaticFiles(directory=BOARD / "static")),
        ],
        middleware=[Middleware(_SafeHeaders)],
        exception_handlers={HTTPException: partial(_refused, shown), SuatError: partial(_failed, shown)},
    )
    return app


class _Remembered:
    """The status, judged anew when it is older than `FRESH_S` of the station's own time."""

    def __init__(self, judge: Judge, now: Callable[[], int]) -> None:
        self._judge = judge
        self._now = now
        self._lock = asyncio.Lock()
        self._at_us: int | None = None
        self._status: Status = {}

    async def get(self) -> Status:
        """The status; SuatError when the journal can't be read."""
        async with self._lock:
            now_us = self._now()
            if self._at_us is None or not 0 <= now_us - self._at_us < FRESH_S * 1e6:
                self._status = await run_in_threadpool(self._judge)
                self._at_us = now_us
            return self._status


class _Pages:
    """The templates in one reader's language."""

    def __init__(self, config: Config, pages: Environment, request: Request) -> None:
        self.language = language.of(request)
        self._config = config
        self._pages = pages
        self._choice = language.chosen(request)

    def board(self, status: Status) -> Response:
        return self._answer("board.html", cards.page(self._config, status, self.language), 200)

    def message(self, key: str, status_code: int) -> Response:
        card = {
            "t": cards.Words(self._config, self.language),
            "language": self.language,
            "languages": [(code, text(code, f"language.{code}")) for code in LANGUAGES],
            "station": self._config.station.name,
            "message": text(self.language, key),
        }
        return self._answer("message.html", card, status_code)

    def _answer(self, template: str, card: dict[str, Any], status_code: int) -> Response:
        html = self._pages.get_template(template).render(card)
        headers = {
            "Content-Language": self.language,
            "Vary": "Accept-Language, Cookie",
            "Cache-Control": "no-cache",
        }
        response = HTMLResponse(html, status_code, headers)
        if self._choice is not None:
            response.set_cookie(
                language.COOKIE, self._choice, max_age=language.COOKIE_AGE_S, httponly=True, samesite="lax"
            )
        return response


Shown = Callable[[Request], _Pages]


async def _board(config: Config, shown: Shown, status: _Remembered, request: Request) -> Response:
    return shown(request).board(await status.get())


async def _status(status: _Remembered, request: Request) -> Response:
    return _json(await status.get())


async def _health(status: _Remembered, troubles: Callable[[], list[str]], request: Request) -> Response:
    """Whether the station does its work, 503 with the reasons when not; what is missing in the field is none."""
    reasons = troubles()
    time = None
    try:
        time = (await status.get())["time"]
    except SuatError as error:
        reasons = [*reasons, str(error)]
    answer = {"status": "failed" if reasons else "ok", "reasons": reasons, "time": time, "version": __version__}
    return _json(answer, 503 if reasons else 200)


async def _metrics(status: _Remembered, request: Request) -> Response:
    body = exposition.expose(await status.get())
    return Response(body, media_type=exposition.MEDIA_TYPE, headers={"Cache-Control": "no-cache"})


async def _authority(config: Config, request: Request) -> Response:
    """The certificate of the station's CA, for a tablet to trust; its fingerprint: suat board-certificate."""
    content = (config.station.data_dir / "tls" / "ca.pem").read_bytes()
    return Response(content, media_type="application/x-x509-ca-cert")


async def _refused(shown: Shown, request: Request, error: Exception) -> Response:
    status_code = error.status_code if isinstance(error, HTTPException) else 500
    headers = (error.headers if isinstance(error, HTTPException) else None) or {}
    response = shown(request).message("board.not_found", status_code)
    response.headers.update(headers)
    return response


async def _failed(shown: Shown, request: Request, error: Exception) -> Response:
    log.error("%s: %s", request.url.path, error)
    return shown(request).message("board.failed", 503)


def _json(content: Any, status_code: int = 200) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)
    return Response(body, status_code, {"Cache-Control": "no-cache"}, "application/json")


class _SafeHeaders:
    """Every answer forbids scripts, frames and anything from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS.items()]
            await send(message)

        wrapped: Callable[[Message], Awaitable[None]] = send_safely if scope["type"] == "http" else send
        await self._app(scope, receive, wrapped)
