"""The log: one line an event, a few of each kind, and never a key (promise 16)."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import re
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from suat.logs import BURST, EVERY_S, MAX_KINDS, Rate, configure
from suat_sim.witness import Node

log = logging.getLogger("suat.tests")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_of_each_kind_a_few_pass_in_a_minute_and_the_next_says_how_many_were_held() -> None:
    clock = Clock()
    rate = Rate(clock, burst=3)
    assert [rate.passes("a") for _ in range(10)] == [0, 0, 0] + [None] * 7
    assert rate.passes("b") == 0
    clock.now = EVERY_S - 0.001
    assert rate.passes("a") is None
    clock.now = EVERY_S
    assert [rate.passes("a") for _ in range(4)] == [8, 0, 0, None]


def test_however_many_kinds_there_are_memory_is_bounded() -> None:
    rate = Rate(Clock(), burst=1)
    for number in range(10 * MAX_KINDS):
        rate.passes(number)
    assert len(rate._kinds) == MAX_KINDS


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged inside."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^\s"=]+)')


def test_a_line_is_key_and_value_whatever_the_text(written: io.StringIO) -> None:
    configure(logging.INFO, "text", written)
    log.info("plain")
    log.warning('a "quoted" word, a=b,\n%s', "two lines of кириллица\x1b[31m")
    log.debug("not this")
    first, second = written.getvalue().splitlines()
    assert re.fullmatch(r"time=\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z level=info from=suat\.tests msg=plain", first)
    found = dict(PAIR.findall(second))
    assert PAIR.sub("", second).strip() == ""
    assert found["level"] == "warning"
    assert json.loads(found["msg"]) == 'a "quoted" word, a=b,\ntwo lines of кириллица\x1b[31m'
    assert "\x1b" not in second


def test_or_a_json_object(written: io.StringIO) -> None:
    configure(logging.INFO, "json", written)
    log.error('"%s"\n', "x")
    found = json.loads(written.getvalue())
    assert found | {"time": ""} == {"time": "", "level": "error", "from": "suat.tests", "msg": '"x"\n'}


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_is_one_line_too(written: io.StringIO, form: Any) -> None:
    configure(logging.INFO, form, written)
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        log.exception("it broke")
    (line,) = written.getvalue().splitlines()
    assert "ZeroDivisionError" in line and "it broke" in line


def test_a_kind_is_held_back_whatever_its_values(written: io.StringIO) -> None:
    configure(logging.INFO, "json", written)
    for number in range(1000):
        log.warning("node %d is silent", number)
        log.info("node %d is silent", number)
    assert len(written.getvalue().splitlines()) == 2 * BURST


def test_the_journal_gets_priorities_and_keeps_the_time_itself(tmp_path: Path, written: io.StringIO) -> None:
    with (tmp_path / "journal").open("w") as stream:
        found = os.fstat(stream.fileno())
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
            configure(logging.INFO, "text", stream)
        for level in (logging.INFO, logging.WARNING, logging.ERROR):
            log.log(level, "at level %d", level)
    assert (tmp_path / "journal").read_text().splitlines() == [
        f'<{priority}>level={name} from=suat.tests msg="at level {level}"'
        for priority, name, level in ((6, "info", 20), (4, "warning", 30), (3, "error", 40))
    ]


# -- promise 16


def forms(secret: str) -> list[str]:
    """How a secret could look in an output."""
    found = [secret, secret.upper(), base64.b64encode(secret.encode()).decode()]
    if re.fullmatch("[0-9a-f]{32}", secret):
        raw = bytes.fromhex(secret)
        found += [repr(raw)[2:-1], base64.b64encode(raw).decode(), raw.hex(" "), str(list(raw)), str(int(secret, 16))]
        found += [raw[::-1].hex()]
    return found


def get(station: Any, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{station.board}{path}", timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())


@pytest.mark.slow
def test_no_secret_is_in_any_output_however_much_is_logged(
    make_station: Callable[..., Any], make_concentrator: Callable[..., Any], tmp_path: Path
) -> None:
    token, password, app_key = secrets.token_urlsafe(32), secrets.token_urlsafe(24), secrets.token_hex(16)
    for name, content in (("token", token), ("password", password)):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    more = f"""
[[ingest]]
kind = "chirpstack"
broker = "127.0.0.1:9"
username = "suat"
password_file = "{tmp_path}/password"

[influx]
url = "http://127.0.0.1:9"
org = "upu"
token_file = "{tmp_path}/token"

[[sink]]
name = "district"
url = "http://127.0.0.1:9"
api = "v1"
database = "pasture"
username = "suat"
password_file = "{tmp_path}/password"
"""
    station = make_station(more)
    said = []
    eui = ["--dev-eui", "70b3d57ed005a1b2", "--join-eui", "0000000000000001"]
    node = ["--kind", "soil", "--paddock", "jailau-1", "--probe", "upper:10"]

    def suat(*arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "suat.cli", "--debug", *arguments, "--config", str(station.config)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=station.folder,
            check=False,
        )
        said.append(done.stdout + done.stderr)

    suat("device", "add", "--name", "joins", *node, *eui, "--app-key", app_key)
    suat("device", "add", "--name", "again", *node, *eui, "--app-key", app_key)  # refused, with a traceback
    suat("device", "add", "--name", "short", *node, *eui, "--app-key", app_key + "0")
    (abp,) = station.register(1, first=7)
    command = [sys.executable, "-m", "suat.cli", "run", "--config", str(station.config), "-vv"]
    with station.log_path.open("a") as errors:
        station.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=station.folder, umask=0
        )
        assert "Asy" in station.process.stdout.readline()
    concentrator = make_concentrator(station)
    concentrator.pull()
    for number, key in enumerate((app_key, secrets.token_hex(16))):  # one that is genuine, one that is forged
        joins = Node("70b3d57ed005a1b2", 0, b"", b"", bytes.fromhex(key))
        concentrator.push(joins.join_request(number + 1, "0000000000000001"))
    concentrator.push(abp.frame(1))
    concentrator.push(abp.frame(2)[:-1] + b"\0")
    concentrator.raw(b"\x02")
    station.wait_for(lambda: len(station.query("SELECT 1 FROM session")) == 2)
    station.wait_for(lambda: "bad_mic" in station.log())
    keys = [key.hex() for row in station.query("SELECT nwk_skey, app_skey FROM session") for key in row]
    said += [get(station, path) for path in ("/", "/status.json", "/metrics", "/healthz", "/nothing")]
    for arguments in (["device", "list", "--json"], ["doctor", "--json"], ["status"], ["readings"], ["check"]):
        suat(*arguments)
    station.process.terminate()
    said += [station.process.communicate(timeout=20)[0], station.log()]
    station.process = None
    assert sum("Traceback" in output for output in said) >= 2
    assert len(station.log().splitlines()) > 5
    assert len(keys) == 4
    everything = "\n".join(said)
    for secret in (token, password, app_key, *keys):
        for shape in forms(secret):
            assert shape not in everything, f"a secret is told as {shape[:6]}..."
    for path in (station.folder / "data").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (station.folder / "data").stat().st_mode & 0o777 == 0o700
