"""Real servers for tests: Debian's influxd 1.6 on a private configuration, and nginx that makes it answer as v2 does.

Each is a context manager: a free port on 127.0.0.1, a folder of its own, a time limit to come up, and it is ended by
its own process handle. `stop` and `start` in between keep the folder, so that a database can go down and come back.

    with influxd(folder) as server:
        server.query('CREATE DATABASE "pasture"')
        with influx_v2_proxy(folder, server, token="secret") as proxy:
            ...  # proxy.url takes influxdb-client; bucket "pasture/autogen"
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

START_S = 20.0
STOP_S = 10.0


class ServerError(Exception):
    """The server is not installed, or did not come up."""


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str, package: str) -> str:
    """Path of a program, /usr/sbin included; ServerError that says which Debian package has it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise ServerError(f"{name} is not installed; run: apt-get install {package}")
    return found


class Server:
    """A process with a port; comes up within `START_S` or raises ServerError."""

    def __init__(self, folder: Path, command: Sequence[str], port: int, alive: str) -> None:
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._command = list(command)
        self._alive = self.url + alive
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, or start it again."""
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with suppress(OSError), urllib.request.urlopen(self._alive, timeout=1):
                return
            time.sleep(0.05)
        self.kill()
        raise ServerError(f"{self._command[0]} did not come up:\n{log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """End it in its own way, by force after `STOP_S`."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Influxd(Server):
    """InfluxDB 1.x with its query language."""

    user: tuple[str, str] | None = None

    def query(self, text: str, database: str | None = None, *, epoch: str = "u") -> list[dict[str, Any]]:
        """The series of an InfluxQL query: dicts with name, tags, columns, values. ServerError when it fails."""
        fields = {"q": text, "epoch": epoch, **({"db": database} if database else {})}
        request = urllib.request.Request(f"{self.url}/query", urllib.parse.urlencode(fields).encode())
        if self.user is not None:
            request.add_header("Authorization", "Basic " + b64encode(":".join(self.user).encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise ServerError(f"{text}: {error.read().decode(errors='replace')}") from error
        found: list[dict[str, Any]] = []
        for result in [answer, *answer.get("results", [])]:
            if "error" in result:
                raise ServerError(f"{text}: {result['error']}")
            found += result.get("series", [])
        return found

    def rows(self, text: str, database: str | None = None) -> list[dict[str, Any]]:
        """The same as a flat list: one dict a row, tags among the columns, fields that are not there left out."""
        return [
            series.get("tags", {})
            | {key: value for key, value in zip(series["columns"], values, strict=True) if value is not None}
            for series in self.query(text, database)
            for values in series.get("values", [])
        ]


_INFLUXD = """\
reporting-disabled = true
bind-address = "127.0.0.1:{backup_port}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  index-version = "tsi1"
  query-log-enabled = false
[coordinator]
  query-timeout = "60s"
[retention]
  check-interval = "24h"
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[continuous_queries]
  enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  auth-enabled = {auth}
  log-enabled = false
  {more}
[logging]
  level = "error"
"""


class Disk:
    """A disk of its own size, seen by the programs that are started on it: a tmpfs in a mount namespace."""

    def __init__(self, folder: Path, size_mb: int, holder: subprocess.Popen[bytes]) -> None:
        self.enter = ["nsenter", "-U", "-m", "--preserve-credentials", "-t", str(holder.pid)]
        self.size_mb = size_mb
        self._seen = Path(f"/proc/{holder.pid}/root") / folder.relative_to("/")

    def fill(self, but_kb: int = 0) -> None:
        """Leave only `but_kb` free."""
        with (self._seen / "ballast").open("ab", buffering=0) as ballast:
            with suppress(OSError):
                while ballast.write(bytes(65536)):
                    pass
            ballast.truncate(max(0, ballast.tell() - but_kb * 1024))

    def free(self) -> None:
        """What filled it is gone."""
        (self._seen / "ballast").unlink()


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Disk]:
    """A disk of `size_mb` at `folder`, which is made; ServerError where the kernel does not give one."""
    folder.mkdir(parents=True)
    mount = 'mount -t tmpfs -o size="$1" suat "$0" && echo ready && exec sleep infinity'
    command = ["unshare", "-r", "-m", "sh", "-c", mount, str(folder), f"{size_mb}m"]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert holder.stdout is not None and holder.stderr is not None
    try:
        if holder.stdout.readline() != b"ready\n":
            raise ServerError(f"no disk of its own can be had here: {holder.stderr.read().decode()}")
        yield Disk(folder, size_mb, holder)
    finally:
        holder.kill()
        holder.communicate()


@contextmanager
def influxd(
    folder: Path, *, auth: tuple[str, str] | None = None, http: str = "", disk: Disk | None = None
) -> Iterator[Influxd]:
    """A private influxd in `folder`. `auth`: a name and password that must be given; `http`: more lines of [http].

    `disk`: it lies at `folder/influxd`, and all that influxd keeps lies on it.
    """
    settings = folder / "influxdb.conf"
    folder = folder / "influxd"
    folder.mkdir(parents=True, exist_ok=disk is not None)
    port = free_port()
    text = _INFLUXD.format(
        folder=folder, port=port, backup_port=free_port(), auth=str(auth is not None).lower(), more=http
    )
    settings.write_text(text, encoding="utf-8")
    command = [*(disk.enter if disk else ()), program("influxd", "influxdb"), "-config", str(settings)]
    server = Influxd(folder, command, port, "/ping")
    server.start()
    try:
        if auth is not None:
            server.query(f"CREATE USER \"{auth[0]}\" WITH PASSWORD '{auth[1]}' WITH ALL PRIVILEGES")
            server.user = auth
        yield server
    finally:
        server.stop()


_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_max_body_size {max_body};
  client_body_buffer_size {max_body};
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $arg_bucket $database {{ "~^(?<d>[^/%]+)(?:%2F|/)(?<r>.+)$" $d; default ""; }}
  map $arg_bucket $policy {{ "~^(?<d>[^/%]+)(?:%2F|/)(?<r>.+)$" $r; default ""; }}
  map $arg_precision $unit {{ us u; ns n; ms ms; s s; default n; }}
  server {{
    listen 127.0.0.1:{port};
    location = /ping {{ proxy_pass http://127.0.0.1:{behind}; }}
    location = /query {{ proxy_pass http://127.0.0.1:{behind}; }}
    location = /api/v2/write {{
      default_type application/json;
      if ($http_authorization != "Token {token}") {{
        return 401 '{{"code":"unauthorized","message":"unauthorized access"}}';
      }}
      if ($database = "") {{ return 404 '{{"code":"not found","message":"bucket not found"}}'; }}
      proxy_set_header Authorization "";
      proxy_pass http://127.0.0.1:{behind}/write?db=$database&rp=$policy&precision=$unit;
    }}
  }}
}}
"""


@contextmanager
def influx_v2_proxy(folder: Path, behind: Influxd, *, token: str, max_body: str = "25m") -> Iterator[Server]:
    """nginx before `behind`: `/api/v2/write?bucket=DATABASE/POLICY`, `Authorization: Token`, as InfluxDB 2 has it."""
    folder = folder / "nginx"
    folder.mkdir(parents=True)
    port = free_port()
    settings = folder / "nginx.conf"
    settings.write_text(
        _NGINX.format(folder=folder, port=port, behind=behind.port, token=token, max_body=max_body), encoding="utf-8"
    )
    nginx = [program("nginx", "nginx-light"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(settings)]
    server = Server(folder, nginx, port, "/ping")
    server.start()
    try:
        yield server
    finally:
        server.stop()
