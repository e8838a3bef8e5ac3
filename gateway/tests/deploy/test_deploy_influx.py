"""influx_setup.py against a server that answers as InfluxDB 2's API is documented (v2 itself can't be had here).

The server keeps buckets, mappings and tokens, asks for the token that the setup made, and refuses what the documented
API refuses: a second setup, a bucket twice, an unknown bucket, a call without rights.
"""

from __future__ import annotations

import itertools
import json
import os
import stat
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "gateway" / "deploy" / "influx_setup.py"
BUCKETS = {"raw": "pasture", "m15": "pasture_15m", "h1": "pasture_1h", "d1": "pasture_1d"}


class Database:
    """What InfluxDB 2 holds."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.admin = ""
        self.buckets: dict[str, str] = {}  # name -> id
        self.mappings: list[dict[str, Any]] = []
        self.tokens: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []

    def identity(self) -> str:
        return f"{next(self.numbers):016x}"

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, token: str) -> tuple[int, Any]:
        self.calls.append(f"{method} {path}")
        if (method, path) == ("GET", "setup"):
            return 200, {"allowed": not self.admin}
        if (method, path) == ("POST", "setup"):
            if self.admin:
                return 422, {"code": "conflict", "message": "onboarding has already been completed"}
            assert len(body["password"]) >= 8 and body["username"] == "admin" and body["org"] == "upu"
            self.admin = body["token"]
            self.buckets[body["bucket"]] = self.identity()
            return 201, {"auth": {"token": self.admin}}
        if not self.admin or token != f"Token {self.admin}":
            return 401, {"code": "unauthorized", "message": "unauthorized access"}
        if (method, path) == ("GET", "orgs"):
            return 200, {"orgs": [{"id": "0" * 15 + "9", "name": query["org"]}]}
        if (method, path) == ("GET", "buckets"):
            found = [{"id": i, "name": n} for n, i in self.buckets.items() if query.get("name", n) == n]
            return (200, {"buckets": found}) if found else (404, {"code": "not found", "message": "bucket not found"})
        if (method, path) == ("POST", "buckets"):
            if body["name"] in self.buckets:
                return 422, {"code": "conflict", "message": "bucket with that name already exists"}
            self.buckets[body["name"]] = self.identity()
            return 201, {"id": self.buckets[body["name"]], "name": body["name"]}
        if (method, path) == ("GET", "dbrps"):
            return 200, {"content": [m for m in self.mappings if m["database"] == query["db"]]}
        if (method, path) == ("POST", "dbrps"):
            assert body["bucketID"] in self.buckets.values()
            self.mappings.append(body)
            return 201, body
        if (method, path) == ("GET", "authorizations"):
            return 200, {"authorizations": [{"id": i, **t} for i, t in self.tokens.items()]}
        if (method, path) == ("POST", "authorizations"):
            identity = self.identity()
            self.tokens[identity] = {**body, "token": f"secret-{identity}"}
            return 201, {"id": identity, **self.tokens[identity]}
        if method == "DELETE" and path.startswith("authorizations/"):
            del self.tokens[path.rpartition("/")[2]]
            return 204, None
        return 404, {"code": "not found", "message": path}


@pytest.fixture
def database() -> Iterator[tuple[Database, str]]:
    held = Database()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            address = urllib.parse.urlsplit(self.path)
            assert address.path.startswith("/api/v2/")
            data = self.rfile.read(int(self.headers["Content-Length"] or 0))
            query = dict(urllib.parse.parse_qsl(address.query))
            status, content = held.answer(
                self.command,
                address.path.removeprefix("/api/v2/"),
                query,
                json.loads(data or b"null"),
                self.headers["Authorization"] or "",
            )
            body = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield held, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path, database: tuple[Database, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    buckets = ", ".join(f'{name} = "{bucket}"' for name, bucket in BUCKETS.items())
    (tmp_path / "suat.toml").write_text(
        f'[influx]\nurl = "{database[1]}"\napi = "v2"\norg = "upu"\ntoken_file = "influx.token"\n'
        f"buckets = {{ {buckets} }}\n"
    )
    return tmp_path


def run(folder: Path, *more: str, status: int = 0) -> str:
    """The script, with this user's own name in the place of suat and grafana, who are not on a test's machine."""
    code = (
        "import runpy, sys, os, pwd, grp\n"
        "me, mine = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name\n"
        f"module = runpy.run_path({str(SCRIPT)!r})\n"
        "real = module['shutil'].chown\n"
        "module['shutil'].chown = lambda path, user, group: real(path, me, mine)\n"
        "module['main'].__globals__['exists'] = lambda name, group=False: True\n"
        "module['main']()\n"
    )
    words = [sys.executable, "-c", code, "--config", str(folder / "suat.toml"), "--folder", str(folder), *more]
    before = os.umask(0)
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.umask(before)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_tokens_have_the_least_rights_and_are_never_shown(folder: Path, database: tuple[Database, str]) -> None:
    held, _ = database
    said = run(folder)
    assert set(held.buckets) == set(BUCKETS.values())
    defaults = {(m["retention_policy"], m["database"]): m["default"] for m in held.mappings}
    assert defaults == {(name, "suat"): name == "pasture" for name in BUCKETS.values()}
    written = (folder / "influx.token").read_text()
    read = (folder / "grafana.token").read_text()
    rights = {
        entry["token"]: {(p["action"], p["resource"]["type"], p["resource"]["id"]) for p in entry["permissions"]}
        for entry in held.tokens.values()
    }
    assert rights == {
        written: {("write", "buckets", identity) for identity in held.buckets.values()},
        read: {("read", "buckets", identity) for identity in held.buckets.values()},
    }
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in ("influx.token", "influx.admin")}
    assert modes == {"influx.token": 0o600, "influx.admin": 0o600}
    assert stat.S_IMODE((folder / "grafana.token").stat().st_mode) == 0o640
    for secret in (held.admin, written, read, json.loads((folder / "influx.admin").read_text())["password"]):
        assert secret not in said


def test_a_second_run_changes_nothing_and_new_tokens_take_the_old_back(
    folder: Path, database: tuple[Database, str]
) -> None:
    held, _ = database
    run(folder)
    old = {name: (folder / name).read_text() for name in ("influx.token", "grafana.token", "influx.admin")}
    held.calls.clear()
    assert run(folder) == ""
    assert {call.split()[0] for call in held.calls} == {"GET"}
    assert {name: (folder / name).read_text() for name in old} == old
    run(folder, "--tokens=new")
    assert (folder / "influx.token").read_text() != old["influx.token"]
    assert sorted(entry["token"] for entry in held.tokens.values()) == sorted(
        (folder / name).read_text() for name in ("influx.token", "grafana.token")
    )


def test_a_database_that_someone_else_set_up_is_left_alone(folder: Path, database: tuple[Database, str]) -> None:
    held, _ = database
    held.admin = "somebody's"
    said = run(folder, status=1)
    assert "was set up by someone else" in said and "Traceback" not in said and said.count("\n") == 1
    assert held.buckets == {} and not (folder / "influx.token").exists()


def test_a_refusal_is_one_line_without_a_secret(folder: Path, database: tuple[Database, str]) -> None:
    held, _ = database
    run(folder)
    secret = held.admin
    held.admin = "changed since"
    said = run(folder, "--tokens=new", status=1)
    assert "401" in said and secret not in said and "Traceback" not in said
