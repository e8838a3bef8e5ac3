"""Who may change something from a tablet: whoever knows the PIN. Reading needs none.

The PIN opens a session (a cookie that scripts can't read, 12 h, gone with the process or with a new PIN). A change
needs the session and its CSRF token in a header that no form can set, from a page of the station's own: the Host must
be one of its names (a foreign name that was pointed at our address is refused) and the Origin the same. The PIN
itself is taken over HTTPS or on the machine itself only, and as seldom as a person who mistypes needs: ten at once,
then one in five minutes, all tablets together. Six digits then last years, and those who have a session are not
locked out by those who guess.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import itertools
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from suat.config import Config
from suat.errors import SuatError, UsageError
from suat.private_file import replacing

FILE = "pin.json"
SHORTEST = 6
COOKIE = "suat_session"
CSRF_HEADER = "x-csrf-token"
SESSION_S = 12 * 3600
BURST, REFILL_S = 10, 300.0
MOST_BODY = 1024
_COST = {"n": 1 << 14, "r": 8, "p": 1}  # 16 MiB, 0.1 s on a Raspberry Pi

Action = Callable[[Any], None]  # takes the body's JSON; UsageError when it can't be meant so


class RefusedError(Exception):
    """A request that is not let through; the body says why in one word, for the page to put into words."""

    def __init__(self, status: int, reason: str, retry_s: float = 0.0) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry_s = status, reason, retry_s


def set_pin(data_dir: Path, pin: str) -> None:
    """Keep the PIN's hash (0600); UsageError when it is too easy."""
    if not pin.isdecimal() or not pin.isascii() or len(pin) < SHORTEST:
        raise UsageError(f"a PIN has at least {SHORTEST} digits and nothing else")
    steps = {(int(b) - int(a)) % 10 for a, b in itertools.pairwise(pin)}
    if len(steps) == 1:
        raise UsageError("this PIN is the first that anyone tries (all alike, or counting); choose another")
    salt = os.urandom(16)
    content = {"salt": salt.hex(), "hash": _hash(pin, salt).hex()}
    path = data_dir / FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(json.dumps(content).encode())
    except OSError as error:
        raise SuatError(f"{path}: {error.strerror}; check data_dir and its owner") from error


def pin_fits(data_dir: Path, pin: str) -> bool:
    """Whether this is the PIN; RefusedError when none was set. Takes a tenth of a second, on purpose."""
    try:
        content = json.loads((data_dir / FILE).read_bytes())
        salt, wanted = bytes.fromhex(content["salt"]), bytes.fromhex(content["hash"])
    except (OSError, ValueError, KeyError, TypeError):
        raise RefusedError(409, "no_pin_set") from None
    return hmac.compare_digest(_hash(pin, salt), wanted)


def _hash(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, dklen=32, **_COST)


class Guard:
    """Sessions and the pace of guesses; `monotonic` in seconds."""

    def __init__(self, config: Config, monotonic: Callable[[], float]) -> None:
        self._config = config
        self._monotonic = monotonic
        self._secret = secrets.token_bytes(32)
        self._tries, self._counted_at = float(BURST), monotonic()
        self._one = asyncio.Lock()  # each look at the PIN takes 16 MiB
        self._hosts = {*config.board.hosts, "localhost"}

    def __repr__(self) -> str:
        return "Guard()"

    def routes(self, actions: Mapping[str, Action]) -> list[Route]:
        """`/session`, and a path for each action."""

        def route(path: str, work: Callable[[Request], Awaitable[Response]]) -> Route:
            async def answer(request: Request) -> Response:
                return await self._answer(request, work)

            return Route(path, answer, methods=["POST"])

        return [
            route("/session", self._session),
            *(route(path, partial(self._act, action)) for path, action in actions.items()),
        ]

    async def _answer(self, request: Request, work: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            self._check_origin(request)
            return await work(request)
        except RefusedError as refused:
            headers = {"Retry-After": str(round(refused.retry_s + 0.5))} if refused.retry_s else {}
            return _json({"error": refused.reason}, refused.status, headers)
        except UsageError as error:
            return _json({"error": "not_so", "text": str(error)}, 400)

    def _check_origin(self, request: Request) -> None:
        """From a page of ours, over a line that nobody reads."""
        origin = request.headers.get("origin")
        try:
            host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
            from_host = None if origin is None else urlsplit(origin).netloc
        except ValueError:  # such as "[", half an IPv6 address
            raise RefusedError(400, "malformed") from None
        if host not in self._hosts and not _is_address(host):
            raise RefusedError(403, "foreign_host")
        if origin is not None and from_host != request.headers.get("host"):
            raise RefusedError(403, "foreign_origin")
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise RefusedError(403, "foreign_origin")
        client = request.client.host if request.client else ""
        if request.url.scheme != "https" and not (_is_address(client) and ipaddress.ip_address(client).is_loopback):
            raise RefusedError(403, "https_needed")

    async def _session(self, request: Request) -> Response:
        body = await _body(request)
        pin = body.get("pin") if isinstance(body, dict) else None
        if not isinstance(pin, str):
            raise RefusedError(400, "malformed")
        self._count_try()
        async with self._one:
            fits = await run_in_threadpool(pin_fits, self._config.station.data_dir, pin)
        if not fits:
            raise RefusedError(403, "pin_wrong")
        self._tries = min(BURST, self._tries + 1)  # the right one costs nothing
        name = f"{secrets.token_hex(16)}.{int(self._monotonic() + SESSION_S)}"
        response = _json({"csrf": self._sign("csrf", name)})
        response.set_cookie(
            COOKIE,
            f"{name}.{self._sign('session', name)}",
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    def _count_try(self) -> None:
        """Counted before the PIN is looked at: a thousand at once are no more tries than one after another."""
        now = self._monotonic()
        self._tries = min(BURST, self._tries + (now - self._counted_at) / REFILL_S)
        self._counted_at = now
        if self._tries < 1:
            raise RefusedError(429, "too_many_tries", (1 - self._tries) * REFILL_S)
        self._tries -= 1

    async def _act(self, action: Action, request: Request) -> Response:
        name, _, signature = request.cookies.get(COOKIE, "").rpartition(".")
        until = name.rpartition(".")[2]
        if not hmac.compare_digest(signature.encode(), self._sign("session", name).encode()):
            raise RefusedError(401, "pin_needed")
        if not until.isdecimal() or int(until) < self._monotonic():
            raise RefusedError(401, "pin_needed")
        token = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(token.encode(), self._sign("csrf", name).encode()):
            raise RefusedError(403, "csrf")
        action(await _body(request))
        return _json({"done": True})

    def _sign(self, what: str, name: str) -> str:
        """Valid while the process runs and the PIN is the same: a new PIN ends every session of the old one."""
        try:
            pin = (self._config.station.data_dir / FILE).read_bytes()
        except OSError:
            pin = b""
        return hmac.new(self._secret + pin, f"{what}.{name}".encode(), hashlib.sha256).hexdigest()


async def _body(request: Request) -> Any:
    data = b""
    try:
        async for piece in request.stream():
            data += piece
            if len(data) > MOST_BODY:
                raise RefusedError(413, "too_long")
    except ClientDisconnect:
        raise RefusedError(400, "malformed") from None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise RefusedError(400, "malformed") from None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json")
