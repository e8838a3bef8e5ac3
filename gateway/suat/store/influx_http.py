"""One request to InfluxDB, and what its answer means. v2 goes through influxdb-client, v1 to `/write`.

Both send by the same `Transport`: influxdb-client alone would take the page of a captive portal (200) for a success,
raise on a page that is not UTF-8, read an answer without an end into memory, and wait for ever for one that drips. It
also packs with gzip's slowest level.

Secrets are read from their files when they are first needed, and again after a refusal; they are in no message.
"""

from __future__ import annotations

import gzip
import ipaddress
import json
import math
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from enum import Enum
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

from suat.store.tables import BucketsTable, InfluxTable
from suat.store.transport import NewConnectionError, Reply, Transport

TIMEOUT_S = 10.0  # of a whole request, from the connection to the last byte of the answer
RETRY_AFTER_MAX_S = 3600.0
GZIP_LEVEL = 1  # bench/forward.py: the higher ones cost a multiple for a tenth less
GZIP_BYTES = 1000  # less is not worth it: it goes in one packet

# Messages of InfluxDB 1, 2 and 3 that are about single lines; what else it says with 400 may be about all of them.
_LINE_FAULT = re.compile(
    r"dropped=\d|partial write|(unable to|cannot|could not) parse|field type conflict|beyond retention|outside range"
    r"|missing (fields|tag|field)|invalid (field|tag|number|boolean|point|timestamp|float|integer)|max-(values|series)"
)
_DROPPED = re.compile(r"dropped=(\d+)")


class Verdict(Enum):
    """What to do after an answer."""

    DONE = "written"
    BAD_LINES = "some lines are not accepted: find them"
    DOUBTFUL = "not accepted, and whether it is the lines was not said"
    REFUSED = "nothing is accepted until somebody acts"
    TOO_LARGE = "send less at once"
    BUSY = "later, when the server says"
    BROKEN = "there was no whole answer: later, and less at once"
    DOWN = "later"


class Answer(NamedTuple):
    """A verdict with its reason. `dropped`: of a partial write, how many lines the server left out, if it says so."""

    verdict: Verdict
    reason: str = ""
    retry_after_s: float | None = None
    dropped: int | None = None


class Writer(Protocol):
    """Something that takes lines; blocking, never raises for what the other side does."""

    def write(self, place: str, lines: Sequence[str]) -> Answer:
        """Write lines to a bucket (v2) or retention policy (v1)."""

    def hang_up(self) -> None:
        """End a request that is under way on another thread."""

    def close(self) -> None: ...


def classify(status: int, body: str, retry_after: str | None = None, location: str | None = None) -> Answer:
    """The answers of InfluxDB 1.x, 2.x, 3 and of proxies before them."""
    reason = f"{status} {_printable(body)}".strip()
    if status == 204:
        return Answer(Verdict.DONE)
    if status in (400, 422):
        return _of_the_lines(reason, body)
    if status == 413:
        return Answer(Verdict.TOO_LARGE, reason)
    if status in (429, 503):
        return Answer(Verdict.BUSY, reason, _seconds(retry_after))
    if status >= 500 or status == 408:
        return Answer(Verdict.DOWN, reason)
    if 300 <= status < 400:
        return Answer(Verdict.REFUSED, f"{status} leads to {(location or '')[:200]!r}; write the real address as url")
    if status < 300:
        return Answer(Verdict.REFUSED, f"no InfluxDB, which says 204: a portal or another server answers: {reason}")
    return Answer(Verdict.REFUSED, reason)


def _printable(text: str) -> str:
    """The beginning of what a server says, on one line."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text[:1000]).split())[:300]


def _of_the_lines(reason: str, body: str) -> Answer:
    """InfluxDB says 400 and 422 in JSON; what is none was said by a proxy, of the request and not of its lines."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not {"error", "message"} & said.keys():
        return Answer(Verdict.DOWN, reason)
    if not _LINE_FAULT.search(body):
        return Answer(Verdict.DOUBTFUL, reason)
    dropped = _DROPPED.search(body)
    return Answer(Verdict.BAD_LINES, reason, dropped=int(dropped[1]) if dropped else None)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds, given as seconds or as a date."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S) if math.isfinite(seconds) else None


def _answer_to(reply: Reply) -> Answer:
    """What a whole answer means."""
    return classify(reply.status, reply.data.decode(), reply.headers.get("Retry-After"), reply.headers.get("Location"))


def _no_answer(error: Exception, timeout_s: float) -> Answer:
    """What it means that there was none."""
    if isinstance(error, TimeoutError):
        return Answer(Verdict.BROKEN, f"no whole answer within {timeout_s:g} s")
    if isinstance(error, HTTPException):
        return Answer(Verdict.BROKEN, f"no whole answer: {_printable(repr(error))}")
    reason = f"{type(error).__name__}: {_printable(str(error))}"
    if isinstance(error, ssl.SSLError) and not re.search(r"EOF|timed out", reason):
        return Answer(Verdict.REFUSED, f"{reason}; check url, ca_file and this machine's clock")
    return Answer(Verdict.DOWN if isinstance(error, NewConnectionError) else Verdict.BROKEN, reason)


def packed(table: InfluxTable) -> bool:
    """Whether bodies are sent as gzip: as configured, else wherever they leave this machine."""
    if table.gzip is not None:
        return table.gzip
    host = urlsplit(table.url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _body(lines: Sequence[str], pack: bool) -> tuple[bytes, dict[str, str]]:
    """A request's body and the header that goes with it."""
    plain = "\n".join(lines).encode()
    if pack and len(plain) >= GZIP_BYTES:
        return gzip.compress(plain, GZIP_LEVEL, mtime=0), {"Content-Encoding": "gzip"}
    return plain, {}


def _secret(path: Path, what: str) -> str | Answer:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        fault = getattr(error, "strerror", None) or "not UTF-8"
        return Answer(Verdict.REFUSED, f"{path}: {fault}; it must hold the {what} and be readable by the station")
    if not text.isprintable():  # a line break inside would end the header
        return Answer(Verdict.REFUSED, f"{path}: more than one line; it must hold the {what} alone")
    return text or Answer(Verdict.REFUSED, f"{path}: it is empty; write the {what} into it")


class V1Writer:
    """InfluxDB 1.x: `/write?db=&rp=&precision=u`."""

    def __init__(self, table: InfluxTable, timeout_s: float = TIMEOUT_S) -> None:
        self._url = f"{table.url.rstrip('/')}/write"
        self._table = table
        self._pack = packed(table)
        self._headers: dict[str, str] | None = None
        self._transport = Transport(timeout_s, table.ca_file)

    def write(self, place: str, lines: Sequence[str]) -> Answer:
        if self._headers is None:
            headers = {"Content-Type": "text/plain; charset=utf-8"}
            if self._table.username is not None and self._table.password_file is not None:
                password = _secret(self._table.password_file, "password of the InfluxDB user")
                if isinstance(password, Answer):
                    return password
                user = f"{self._table.username}:{password}"
                headers["Authorization"] = f"Basic {b64encode(user.encode()).decode()}"
            self._headers = headers
        query = f"?db={quote(self._table.database or '', safe='')}&rp={quote(place, safe='')}&precision=u"
        body, encoding = _body(lines, self._pack)
        try:
            reply = self._transport.request("POST", self._url + query, body=body, headers=self._headers | encoding)
        except (HTTPException, OSError) as error:
            return _no_answer(error, self._transport.timeout_s)
        answer = _answer_to(reply)
        if answer.verdict is Verdict.REFUSED:
            self._headers = None  # the password may have been changed meanwhile
        return answer

    def hang_up(self) -> None:
        self._transport.hang_up()

    def close(self) -> None:
        self._transport.clear()


class V2Writer:
    """InfluxDB 1.8+, 2.x, 3: `/api/v2/write` by influxdb-client, synchronously."""

    def __init__(self, table: InfluxTable, timeout_s: float = TIMEOUT_S) -> None:
        self._table = table
        self._pack = packed(table)
        self._transport = Transport(timeout_s, table.ca_file)
        self._client: Any = None
        self._service: Any = None

    def write(self, place: str, lines: Sequence[str]) -> Answer:
        if self._client is None:
            fault = self._connect()
            if fault is not None:
                return fault
        from influxdb_client.domain.write_precision import WritePrecision
        from influxdb_client.rest import ApiException

        body, encoding = _body(lines, self._pack)
        pack = {"content_encoding": "gzip"} if encoding else {}
        try:
            # What influxdb-client's WriteApi with SYNCHRONOUS calls, which has no way to give the encoding.
            self._service.post_write(
                self._table.org, place, body, precision=WritePrecision.US, content_type="text/plain", **pack
            )
            reply: Reply = self._client.api_client.last_response.urllib3_response
        except ApiException as error:
            response: Any = error.response
            reply = response.urllib3_response
        except (HTTPException, OSError) as error:
            return _no_answer(error, self._transport.timeout_s)
        answer = _answer_to(reply)
        if answer.verdict is Verdict.REFUSED:
            self.close()  # the token may have been changed meanwhile
        return answer

    def _connect(self) -> Answer | None:
        from influxdb_client.client.influxdb_client import InfluxDBClient  # slow to import, and not needed by v1
        from influxdb_client.service import write_service

        if self._table.token_file is None or self._table.org is None:
            return Answer(Verdict.REFUSED, "token_file or org is missing; api v2 needs both")
        token = _secret(self._table.token_file, "InfluxDB token")
        if isinstance(token, Answer):
            return token
        if not token.isascii():
            return Answer(Verdict.REFUSED, f"{self._table.token_file}: it holds letters that no InfluxDB token has")
        self._client = InfluxDBClient(self._table.url.rstrip("/"), token, org=self._table.org)
        self._client.api_client.rest_client.pool_manager = self._transport
        kind: Any = write_service.WriteService
        self._service = kind(self._client.api_client)
        return None

    def hang_up(self) -> None:
        self._transport.hang_up()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = self._service = None
        self._transport.clear()


def open_writer(table: InfluxTable) -> Writer:
    """The writer for the configured API."""
    return V1Writer(table) if table.api == "v1" else V2Writer(table)


def places(buckets: BucketsTable) -> dict[int, str]:
    """Bucket or retention policy by the width of a window [s]; 0: all that is no window."""
    return {0: buckets.raw, 900: buckets.m15, 3600: buckets.h1, 86400: buckets.d1}
