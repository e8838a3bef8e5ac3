"""One request to InfluxDB, and what its answer means. v2 goes through influxdb-client, v1 to `/write`, both by urllib3.

Secrets are read from their files when they are first needed, and again after a refusal; they are in no message.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import urllib3

from suat.store.tables import BucketsTable, InfluxTable

TIMEOUT_S = 10.0
RETRY_AFTER_MAX_S = 3600.0


class Verdict(Enum):
    """What to do after an answer."""

    DONE = "written"
    BAD_LINES = "some lines are not accepted: find them"
    REFUSED = "nothing is accepted until somebody acts"
    TOO_LARGE = "send less at once"
    BUSY = "later, when the server says"
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

    def close(self) -> None: ...


def classify(status: int, body: str, retry_after: str | None) -> Answer:
    """The answers of InfluxDB 1.x, 2.x, 3 and of proxies before them."""
    reason = f"{status} {' '.join(body.split())[:300]}".strip()
    if status == 204:
        return Answer(Verdict.DONE)
    if status in (400, 422):
        dropped = re.search(r"dropped=(\d+)", body)
        return Answer(Verdict.BAD_LINES, reason, dropped=int(dropped[1]) if dropped else None)
    if status == 413:
        return Answer(Verdict.TOO_LARGE, reason)
    if status in (429, 503):
        return Answer(Verdict.BUSY, reason, _seconds(retry_after))
    if status >= 500 or status == 408:
        return Answer(Verdict.DOWN, reason)
    return Answer(Verdict.REFUSED, reason)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds, given as seconds or as a date."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S) if math.isfinite(seconds) else None


def _secret(path: Path, what: str) -> str | Answer:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        fault = getattr(error, "strerror", None) or "not UTF-8"
        return Answer(Verdict.REFUSED, f"{path}: {fault}; it must hold the {what} and be readable by the station")
    return text or Answer(Verdict.REFUSED, f"{path}: it is empty; write the {what} into it")


def _unreachable(error: Exception) -> Answer:
    text = re.sub(r"<[^>]*>:? ?|HTTPConnection\S*\([^)]*\):? ?", "", str(error))
    return Answer(Verdict.DOWN, f"{type(error).__name__}: {' '.join(text.split())[:200]}")


class V1Writer:
    """InfluxDB 1.x: `/write?db=&rp=&precision=u`."""

    def __init__(self, table: InfluxTable, timeout_s: float = TIMEOUT_S) -> None:
        self._url = f"{table.url.rstrip('/')}/write"
        self._table = table
        self._headers: dict[str, str] | None = None
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=timeout_s), maxsize=1)

    def write(self, place: str, lines: Sequence[str]) -> Answer:
        if self._headers is None:
            headers = {"Content-Type": "text/plain; charset=utf-8"}
            if self._table.username is not None and self._table.password_file is not None:
                password = _secret(self._table.password_file, "password of the InfluxDB user")
                if isinstance(password, Answer):
                    return password
                headers |= urllib3.make_headers(basic_auth=f"{self._table.username}:{password}")
            self._headers = headers
        query = f"?db={quote(self._table.database or '', safe='')}&rp={quote(place, safe='')}&precision=u"
        try:
            response = self._pool.request(
                "POST", self._url + query, body="\n".join(lines).encode(), headers=self._headers
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return _unreachable(error)
        answer = classify(
            response.status, response.data.decode("utf-8", "replace"), response.headers.get("Retry-After")
        )
        if answer.verdict is Verdict.REFUSED:
            self._headers = None  # the password may have been changed meanwhile
        return answer

    def close(self) -> None:
        self._pool.clear()


class V2Writer:
    """InfluxDB 1.8+, 2.x, 3: `/api/v2/write` by influxdb-client, synchronously."""

    def __init__(self, table: InfluxTable, timeout_s: float = TIMEOUT_S) -> None:
        self._table = table
        self._timeout_ms = int(timeout_s * 1000)
        self._client: Any = None
        self._api: Any = None

    def write(self, place: str, lines: Sequence[str]) -> Answer:
        from influxdb_client.client.write_api import SYNCHRONOUS  # slow to import, and not needed by v1
        from influxdb_client.domain.write_precision import WritePrecision
        from influxdb_client.rest import ApiException

        if self._client is None:
            fault = self._connect(SYNCHRONOUS)
            if fault is not None:
                return fault
        try:
            self._api.write(place, self._table.org, "\n".join(lines), WritePrecision.US)
        except ApiException as error:
            if not error.status:
                return _unreachable(error)
            body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else str(error.body or "")
            answer = classify(error.status, body, error.headers.get("Retry-After") if error.headers else None)
            if answer.verdict is Verdict.REFUSED:
                self.close()  # the token may have been changed meanwhile
            return answer
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return _unreachable(error)
        return Answer(Verdict.DONE)

    def _connect(self, options: Any) -> Answer | None:
        from influxdb_client.client.influxdb_client import InfluxDBClient

        if self._table.token_file is None or self._table.org is None:
            return Answer(Verdict.REFUSED, "influx.token_file or org is missing; api v2 needs both")
        token = _secret(self._table.token_file, "InfluxDB token")
        if isinstance(token, Answer):
            return token
        self._client = InfluxDBClient(self._table.url.rstrip("/"), token, org=self._table.org, timeout=self._timeout_ms)
        self._api = self._client.write_api(write_options=options)
        return None

    def close(self) -> None:
        if self._client is not None:
            self._api.close()
            self._client.close()
            self._client = self._api = None


def open_writer(table: InfluxTable) -> Writer:
    """The writer for the configured API."""
    return V1Writer(table) if table.api == "v1" else V2Writer(table)


def places(buckets: BucketsTable) -> dict[int, str]:
    """Bucket or retention policy by the width of a window [s]; 0: all that is no window."""
    return {0: buckets.raw, 900: buckets.m15, 3600: buckets.h1, 86400: buckets.d1}
