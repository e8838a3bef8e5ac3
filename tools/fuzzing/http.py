"""The board page's door: requests over real sockets to the server as the station runs it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from suat.config import parse
from suat.show.serve import serve
from suat_sim.kept import START_US, Kept, device, soil_rows
from suat_sim.servers import free_port

from fuzzing import mutate
from fuzzing.target import BrokenError, Complaints

METHODS = (*("GET",) * 6, "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "get", "G\0T", "")
VERSIONS = (*("1.1",) * 8, "1.0", "2", "9.9")
TARGETS = (
    *("/session", "/session"),
    *("/", "/", "/status.json", "/healthz", "/metrics", "/static/board.css", "/static/", "/static/../app.py"),
    *("/?lang=kk", "/?lang=%00", "/?lang=" + "k" * 3000, "/%2e%2e/%2e%2e/etc/passwd", "//", "*", "http://a/"),
    *("/static/%2e%2e/%2e%2e/app.py", "/static/board.css/", "/%ff%fe", "/move", "/\u0441", "/a" * 2000),
)
HEADERS = {
    "Host": ("suat.local", "127.0.0.1", "", "a" * 3000, "a b", "[::1]:8080", "["),
    "Accept-Language": ("kk", "ru-RU,ru;q=0.9", "en;q=x", ",,,;;;", "*", "kk;q=" + "9" * 400, "\xff\xfe"),
    "Cookie": ("lang=ru", "lang=", "lang=\x01", "=;=;=", "a" * 4000, "lang=kk; lang=ru", "suat_session=a.9.%00"),
    "Content-Length": ("0", "5", "-1", "99999999999999999999", "0x5", "5, 6", " 5"),
    "Transfer-Encoding": ("chunked", "gzip, chunked", "identity", "chunked, chunked"),
    "Connection": ("close", "keep-alive", "upgrade", "\t"),
    "Upgrade": ("websocket", "h2c"),
    "Range": ("bytes=0-1", "bytes=-1", "bytes=9-1", "bytes=0-0,1-1", "bytes=a-b", "bytes=0-" + "9" * 50),
    "If-None-Match": ('"x"', "*", "W/", ""),
    "If-Modified-Since": ("Mon, 01 Jun 2026 00:00:00 GMT", "yesterday", "Thu, 99 Xxx 99999 99:99:99 GMT"),
    "Expect": ("100-continue", "200"),
    "Content-Type": ("application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=", ";"),
    "Origin": ("http://evil.example", "null", "http://[", "http://127.0.0.1"),
    "Authorization": ("Basic AAAA", "Basic", "Bearer " + "a" * 500),
    "X-Forwarded-For": ("127.0.0.1", "evil"),
}
BODIES = (
    b"",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\n",
    b"pin=0&a=b",
    b'{"a":',
    b"\0" * 2000,
)
ANSWER_S = 5.0
MORE_S = 0.003  # an answer to half a request is not waited for


class Target:
    refusals: tuple[type[Exception], ...] = ()
    chunk = 100

    def __init__(self, folder: Path, chance: Random) -> None:
        self.complaints = Complaints("suat", "uvicorn", "uvicorn.error", "asyncio")
        self.loop = asyncio.new_event_loop()
        self.stack = contextlib.AsyncExitStack()
        self.problems: list[str] = []
        self.answers: Counter[str] = Counter()
        self.loop.set_exception_handler(lambda _loop, context: self.problems.append(str(context)))
        self.kept = Kept(folder)
        self.kept.fill(self.kept.journal.add_device(device(1, probes=2)), soil_rows(100, probes=2))
        self.port = free_port()
        self.loop.run_until_complete(self._start(folder))

    async def _start(self, folder: Path) -> None:
        paddock: dict[str, Any] = {"id": "p1", "name": {"en": "Paddock 1"}, "alternative": "river"}
        config = parse(
            {
                "station": {"name": "Fuzz", "data_dir": str(folder)},
                "board": {"bind": f"127.0.0.1:{self.port}"},
                "paddock": [paddock | {"area_ha": 120, "kind": "summer", "soil": "loam"}],
            }
        )
        await serve(config, self.kept.reader, lambda: START_US + 86_400_000_000, self.stack)
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(0.02)

    def make(self, chance: Random) -> bytes:
        if chance.random() < 0.02:
            return chance.randbytes(chance.choice((1, 100, 5000)))
        head = f"{chance.choice(METHODS)} {chance.choice(TARGETS)} HTTP/{chance.choice(VERSIONS)}\r\n"
        for name in ("Host", *chance.sample(list(HEADERS), chance.randrange(5))):
            value = chance.choice(HEADERS[name])
            head += f"{name}: {mutate.text(chance, value) if chance.random() < 0.1 else value}\r\n"
        said = (head + "\r\n").encode("utf-8", "surrogateescape") + chance.choice(BODIES)
        return mutate.raw(chance, said) if chance.random() < 0.4 else said

    def feed(self, case: bytes) -> None:
        self.loop.run_until_complete(self._exchange(case))

    async def _exchange(self, case: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(case)
            answer = b""
            with contextlib.suppress(TimeoutError):
                answer = await asyncio.wait_for(reader.read(65_536), ANSWER_S if _whole(case) else MORE_S)
            with contextlib.suppress(OSError):
                writer.write_eof()
            try:
                answer += await asyncio.wait_for(reader.read(), ANSWER_S)
            except TimeoutError:
                raise BrokenError(f"no end within {ANSWER_S} s") from None
            except OSError:
                pass  # it closed before it had read all of it
        except OSError:
            return
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        self.answers[answer[9:12].decode("latin-1") or "none"] += 1
        if answer[9:10] == b"5" and answer[9:12] not in (b"501", b"505"):
            raise BrokenError(f"answered {answer[:60]!r}")
        if _whole(case) and not answer:
            raise BrokenError("a whole request was not answered")

    def look(self) -> None:
        self.complaints.check()
        problems, self.problems = self.problems, []
        if problems:
            raise BrokenError(problems[0])

    def reached(self) -> dict[str, int]:
        return dict(self.answers)

    def close(self) -> None:
        self.complaints.stop()
        self.loop.run_until_complete(self.stack.aclose())
        self.loop.close()
        self.kept.close()


def _whole(case: bytes) -> bool:
    """Whether this is a request that any server answers."""
    return case.startswith(b"GET / HTTP/1.1\r\nHost: suat.local\r\n\r\n")
