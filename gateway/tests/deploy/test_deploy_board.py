"""HTTPS and the PIN as a tablet meets them: the running station, with openssl and Python's TLS client as the judges."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import ssl
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from suat.config import ConfigError, parse
from suat.errors import SuatError, UsageError
from suat.show import guard, tls
from suat.show.serve import MAX_HANDSHAKES, REQUEST_S, serve

PIN = "402871"
NOW_US = 1_780_000_000_000_000
DAY_US = 86_400_000_000


def config(folder: Path, name: str = "Asy", **board: Any) -> Any:
    table = {"bind": "127.0.0.1:8443", "tls": True, "names": ["127.0.0.1", "suat.local"]} | board
    return parse({"station": {"name": name, "data_dir": str(folder)}, "board": table})


def openssl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, timeout=30, check=False)


# -- certificates


def test_openssl_takes_the_certificate_and_it_is_made_once(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert tls.ensure(config(tmp_path), NOW_US)
    finally:
        os.umask(before)
    folder = tmp_path / "tls"
    assert {path.name for path in folder.iterdir()} == {"ca.key", "ca.pem", "board.key", "board.pem"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    ca, leaf = str(folder / "ca.pem"), str(folder / "board.pem")
    when = ["-attime", str(NOW_US // 1_000_000), "-x509_strict", "-purpose", "sslserver", "-CAfile", ca]
    for name in (["-verify_hostname", "suat.local"], ["-verify_ip", "127.0.0.1"]):
        done = openssl("verify", *when, *name, leaf)
        assert done.returncode == 0, done.stderr
    assert openssl("verify", *when, "-verify_hostname", "bank.kz", leaf).returncode != 0
    old = {path: path.read_bytes() for path in folder.iterdir()}
    assert not tls.ensure(config(tmp_path), NOW_US + 300 * DAY_US)
    assert {path: path.read_bytes() for path in folder.iterdir()} == old
    said = openssl("x509", "-in", ca, "-noout", "-fingerprint", "-sha256").stdout.strip()
    assert said.partition("=")[2] == tls.fingerprint(config(tmp_path))


@pytest.mark.parametrize(
    ("days", "changed"),
    [(370, {}), (397 * 3, {}), (-900, {}), (0, {"names": ["192.168.50.1"]})],
    ids=["nearly outlived", "long outlived", "made by a clock years ahead", "another name"],
)
def test_a_certificate_that_no_longer_serves_is_made_anew_and_the_ca_stays(
    tmp_path: Path, days: int, changed: dict[str, Any]
) -> None:
    start = NOW_US + 1000 * DAY_US
    tls.ensure(config(tmp_path), start)
    authority, leaf = (tmp_path / "tls/ca.pem").read_bytes(), (tmp_path / "tls/board.pem").read_bytes()
    assert tls.ensure(config(tmp_path, **changed), start + days * DAY_US)
    assert (tmp_path / "tls/ca.pem").read_bytes() == authority and (tmp_path / "tls/board.pem").read_bytes() != leaf
    fresh = tls.certificate(config(tmp_path), "board.pem")
    now = datetime.fromtimestamp((start + days * DAY_US) / 1e6, UTC)
    assert fresh.not_valid_before_utc < now < fresh.not_valid_after_utc - timedelta(days=300)


def test_a_station_without_a_clock_makes_one_that_holds_today(tmp_path: Path) -> None:
    tls.ensure(config(tmp_path), 0)
    leaf = tls.certificate(config(tmp_path), "board.pem")
    assert leaf.not_valid_before_utc.year >= 2025 and leaf.not_valid_after_utc.year >= 2027


def test_a_station_that_forgot_the_time_keeps_the_certificate_it_made_when_it_knew_it(tmp_path: Path) -> None:
    """Two years on, after a night without supply and without a clock chip: the tablet that is to confirm the time
    would take a certificate of 2026 for outlived."""
    later = NOW_US + 730 * DAY_US
    assert tls.ensure(config(tmp_path), later)
    assert not tls.ensure(config(tmp_path), 5_000_000)  # 1970
    assert tls.ensure(config(tmp_path, names=["192.168.50.1"]), 5_000_000)  # other names: it must
    assert tls.ensure(config(tmp_path), later + DAY_US)


@pytest.mark.parametrize("name", ["Ж" * 60, "x" * 60, "Асы жайлауы"], ids=["120 bytes", "60 bytes", "a real one"])
def test_a_station_of_any_name_has_certificates(tmp_path: Path, name: str) -> None:
    """60 letters are allowed, 64 bytes fit into a name of X.509."""
    tls.ensure(config(tmp_path, name), NOW_US)
    common = tls.certificate(config(tmp_path)).subject.rfc4514_string()
    assert common.startswith(f"CN=Suat {name[:20]}") and common.endswith(" CA")
    assert len(common.encode()) - len("CN=") <= 64
    when = ["-attime", str(NOW_US // 1_000_000), "-x509_strict", "-CAfile", str(tmp_path / "tls/ca.pem")]
    done = openssl("verify", *when, str(tmp_path / "tls/board.pem"))
    assert done.returncode == 0, done.stderr


def test_a_power_cut_between_key_and_certificate_is_mended(tmp_path: Path) -> None:
    tls.ensure(config(tmp_path), NOW_US)
    old = (tmp_path / "tls/board.pem").read_bytes()
    (tmp_path / "tls/board.pem").unlink()
    tls.ensure(config(tmp_path), NOW_US)
    (tmp_path / "tls/board.pem").write_bytes(old)  # the new key, the old certificate
    assert tls.ensure(config(tmp_path), NOW_US)
    tls.context(config(tmp_path), NOW_US)


def test_a_damaged_file_is_one_line_without_its_content(tmp_path: Path) -> None:
    tls.ensure(config(tmp_path), NOW_US)
    (tmp_path / "tls/board.key").write_text("-----BEGIN PRIVATE KEY-----\nsecretsecret\n-----END PRIVATE KEY-----\n")
    with pytest.raises(SuatError, match="damaged") as caught:
        tls.ensure(config(tmp_path), NOW_US)
    assert "secret" not in str(caught.value) and caught.value.__cause__ is None


def test_a_stolen_ca_can_not_pose_as_anyone_else(tmp_path: Path) -> None:
    """openssl signs a certificate for a bank with the station's CA; openssl, judging as a tablet, refuses it."""
    tls.ensure(config(tmp_path), NOW_US)
    folder = tmp_path / "tls"
    for name, good in (("DNS:bank.kz", False), ("IP:8.8.8.8", False), ("DNS:suat.local", True), ("IP:10.0.0.1", True)):
        key, request, forged, extension = (tmp_path / part for part in ("k", "csr", "crt", "ext"))
        extension.write_text(f"subjectAltName={name}\nextendedKeyUsage=serverAuth\n")
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/O=x"]
        assert openssl("req", *new, "-keyout", str(key), "-out", str(request)).returncode == 0
        ca = ["-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial"]
        signed = openssl("x509", "-req", "-in", str(request), *ca, "-extfile", str(extension), "-out", str(forged))
        assert signed.returncode == 0, signed.stderr
        done = openssl("verify", "-CAfile", str(folder / "ca.pem"), str(forged))
        assert (done.returncode == 0) == good, (name, done.stderr)
        assert good or "permitted subtree violation" in done.stderr


@pytest.mark.parametrize(
    ("board", "said"),
    [
        ({"bind": "0.0.0.0:8443", "names": []}, "tls needs names"),
        ({"names": ["asy.kz"]}, "no name that ends in .local"),
        ({"names": ["local"]}, "no name that ends in .local"),
        ({"names": ["8.8.8.8"]}, "an address of the internet"),
        ({"bind": "8.8.8.8:8443", "names": []}, "an address of the internet"),
    ],
)
def test_names_that_the_ca_may_not_vouch_for_are_faults_of_the_configuration(
    tmp_path: Path, board: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        config(tmp_path, **board)


# -- a tablet


class Tablet:
    """A browser that trusts the station's CA, and keeps its cookies."""

    def __init__(self, port: int, ca: Path | None) -> None:
        self.port, self.cookie = port, ""
        self.context = None if ca is None else ssl.create_default_context(cafile=str(ca))

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        made: http.client.HTTPConnection
        if self.context is None:
            made = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        else:
            made = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self.context)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            given["Cookie"] = self.cookie
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        made.request(method, path, data, given)
        answer = made.getresponse()
        content = answer.read()
        if answer.headers["Set-Cookie"]:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        made.close()
        is_json = answer.headers["Content-Type"] == "application/json"
        return answer.status, json.loads(content) if is_json else content, dict(answer.headers)


@pytest.fixture
async def board(tmp_path: Path, bench: dict[str, Any]) -> Any:
    """start(tls=...) -> (tablet, the times that were confirmed)."""
    import socket

    from suat.store.journal import Journal

    confirmed: list[Any] = []

    def act(body: Any) -> None:
        if body == "bad":
            raise UsageError("not this one")
        confirmed.append(body)

    async with AsyncExitStack() as cleanup:

        async def start(secure: bool = True) -> tuple[Tablet, list[Any]]:
            port = bench["free_port"](socket.SOCK_STREAM)
            settings = config(tmp_path / "data", bind=f"127.0.0.1:{port}", tls=secure)
            journal = cleanup.enter_context(Journal(settings.journal_path, durable=False))
            reader = journal.reader()
            cleanup.callback(reader.close)
            guard.set_pin(settings.station.data_dir, PIN)
            await serve(settings, reader, lambda: NOW_US, cleanup, list, {"/time": act})
            return Tablet(port, tls.folder(settings) / "ca.pem" if secure else None), confirmed

        yield start


@pytest.fixture
def tablet_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the guard's clock."""
    moved = [0.0]
    import time

    real = time.monotonic

    def later(seconds: float) -> None:
        moved[0] += seconds

    # The name in that module alone: the event loop's own timers must not jump.
    monkeypatch.setattr("suat.show.serve.time", SimpleNamespace(monotonic=lambda: real() + moved[0]))
    return later


async def in_thread(call: Callable[..., Any], *args: Any, **more: Any) -> Any:
    import asyncio

    return await asyncio.to_thread(call, *args, **more)


async def test_a_tablet_that_trusts_the_ca_reads_without_a_pin(board: Any) -> None:
    tablet, _ = await board()
    status, page, headers = await in_thread(tablet.ask, "GET", "/")
    assert status == 200 and b"<html" in page and "default-src 'none'" in headers["content-security-policy"]
    status, content, headers = await in_thread(tablet.ask, "GET", "/station-ca.crt")
    assert (status, headers["content-type"]) == (200, "application/x-x509-ca-cert")
    assert x509.load_pem_x509_certificate(content).extensions.get_extension_for_class(x509.NameConstraints)
    stranger = Tablet(tablet.port, None)
    stranger.context = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        await in_thread(stranger.ask, "GET", "/")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_handshakes_that_come_to_no_end_are_few_and_keep_nobody_out(board: Any) -> None:
    """400 sockets that say nothing: the oldest give way, a tablet's page comes, and all of them are closed at last."""
    tablet, _ = await board()
    before = descriptors()
    silent = [await asyncio.open_connection("127.0.0.1", tablet.port) for _ in range(400)]
    status, _, _ = await in_thread(tablet.ask, "GET", "/")
    assert status == 200
    assert descriptors() - before - len(silent) <= MAX_HANDSHAKES + 2
    async with asyncio.timeout(REQUEST_S + 3):
        for reader, writer in silent:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()


async def test_an_answer_that_the_station_thinks_about_for_long_still_comes(
    board: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tablet, _ = await board()
    monkeypatch.setattr("suat.show.serve.REQUEST_S", 0.2)
    fits = guard.pin_fits
    monkeypatch.setattr(guard, "pin_fits", lambda *given: (time.sleep(1), fits(*given))[1])
    assert (await in_thread(tablet.ask, "POST", "/session", {"pin": PIN}))[0] == 200


async def test_the_pin_opens_a_session_and_a_change_needs_it_and_its_token(board: Any) -> None:
    tablet, confirmed = await board()
    assert (await in_thread(tablet.ask, "POST", "/time", {"unix": 1}))[:2] == (401, {"error": "pin_needed"})
    status, body, headers = await in_thread(tablet.ask, "POST", "/session", {"pin": PIN})
    assert status == 200 and headers["cache-control"] == "no-store"
    for word in ("HttpOnly", "SameSite=strict", "Secure", "Path=/"):
        assert word.lower() in headers["set-cookie"].lower()
    assert (await in_thread(tablet.ask, "POST", "/time", {"unix": 1}))[:2] == (403, {"error": "csrf"})
    token = {"x_csrf_token": body["csrf"]}
    assert (await in_thread(tablet.ask, "POST", "/time", {"unix": 1}, **token))[:2] == (200, {"done": True})
    assert (await in_thread(tablet.ask, "POST", "/time", "bad", **token))[:2] == (
        400,
        {"error": "not_so", "text": "not this one"},
    )
    assert confirmed == [{"unix": 1}]

    foreign = [
        ({"Origin": "https://evil.example"}, "foreign_origin"),
        ({"Sec_Fetch_Site": "cross-site"}, "foreign_origin"),
        ({"Host": "evil.example:8443"}, "foreign_host"),  # its name was pointed at our address
        ({"Host": "["}, "malformed"),
        ({"Origin": "https://["}, "malformed"),
    ]
    for headers, reason in foreign:
        assert (await in_thread(tablet.ask, "POST", "/time", {"unix": 1}, **token, **headers))[:2] == (
            400 if reason == "malformed" else 403,
            {"error": reason},
        )
    assert (await in_thread(tablet.ask, "GET", "/time", **token))[0] == 405
    good = tablet.cookie
    for place in range(len("suat_session="), len(good), 7):
        tablet.cookie = good[:place] + ("0" if good[place] != "0" else "1") + good[place + 1 :]
        assert (await in_thread(tablet.ask, "POST", "/time", {"unix": 1}, **token))[0] == 401, place
    assert confirmed == [{"unix": 1}]


async def test_a_new_pin_ends_the_sessions_of_the_old_one(board: Any, tmp_path: Path) -> None:
    tablet, confirmed = await board()
    _, body, _ = await in_thread(tablet.ask, "POST", "/session", {"pin": PIN})
    guard.set_pin(tmp_path / "data", "918273")
    status, said, _ = await in_thread(tablet.ask, "POST", "/time", {"unix": 1}, x_csrf_token=body["csrf"])
    assert (status, said, confirmed) == (401, {"error": "pin_needed"}, [])
    _, body, _ = await in_thread(tablet.ask, "POST", "/session", {"pin": "918273"})
    assert (await in_thread(tablet.ask, "POST", "/time", {"unix": 1}, x_csrf_token=body["csrf"]))[0] == 200


async def test_what_no_page_of_ours_sends_gets_an_answer_and_changes_nothing(board: Any) -> None:
    tablet, confirmed = await board()
    for body, status in (
        (b"", 400),
        (b"pin=402871", 400),
        (b"[" * 1000, 400),
        (b"x" * 1025, 413),
        (b'{"pin": 402871}', 400),
        (b'{"pin": null}', 400),
        (b"\xff\xfe", 400),
    ):
        assert (await in_thread(tablet.ask, "POST", "/session", body))[0] == status, body[:20]
    assert confirmed == []


@pytest.mark.slow
async def test_guessing_is_slow_whoever_guesses_and_sessions_go_on(
    board: Any, tablet_time: Callable[[float], None]
) -> None:
    tablet, confirmed = await board()
    _, body, _ = await in_thread(tablet.ask, "POST", "/session", {"pin": PIN})
    guesser = Tablet(tablet.port, None)
    guesser.context = tablet.context
    answers = [(await in_thread(guesser.ask, "POST", "/session", {"pin": f"{n:06}"}))[0] for n in range(25)]
    assert answers == [403] * 10 + [429] * 15
    status, said, headers = await in_thread(guesser.ask, "POST", "/session", {"pin": PIN})
    assert (status, said) == (429, {"error": "too_many_tries"})  # the right one too: or it would be known by that
    assert 0 < int(headers["retry-after"]) <= 301
    assert (await in_thread(tablet.ask, "POST", "/time", {"unix": 1}, x_csrf_token=body["csrf"]))[0] == 200
    taken = 0
    for _hour in range(4):
        tablet_time(3600)
        taken += [(await in_thread(guesser.ask, "POST", "/session", {"pin": "000000"}))[0] for _ in range(15)].count(
            403
        )
    assert taken == 4 * 10  # never more than ten at once, however long nobody tried
    years = 10**6 / 2 / (86_400 / guard.REFILL_S) / 365
    print(f"half of all six-digit PINs take {years:.1f} years")
    tablet_time(guard.SESSION_S)  # the session is over
    assert (await in_thread(tablet.ask, "POST", "/time", {"unix": 1}, x_csrf_token=body["csrf"]))[0] == 401
    assert confirmed == [{"unix": 1}]


async def test_without_https_the_pin_is_taken_on_the_machine_itself_alone(
    board: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tablet, _ = await board(secure=False)
    status, _, headers = await in_thread(tablet.ask, "POST", "/session", {"pin": PIN})
    assert status == 200 and "secure" not in headers["set-cookie"].lower()
    from uvicorn.protocols.http import h11_impl

    monkeypatch.setattr(h11_impl, "get_remote_addr", lambda transport: ("192.168.50.7", 40_000))
    assert (await in_thread(tablet.ask, "POST", "/session", {"pin": PIN}))[:2] == (403, {"error": "https_needed"})


# -- the PIN


def test_the_pin_is_kept_as_a_hash_that_nobody_else_reads(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        guard.set_pin(tmp_path / "data", PIN)
    finally:
        os.umask(before)
    path = tmp_path / "data" / "pin.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert PIN not in path.read_text()
    assert guard.pin_fits(tmp_path / "data", PIN) and not guard.pin_fits(tmp_path / "data", PIN + "0")
    kept = path.read_text()
    guard.set_pin(tmp_path / "data", PIN)
    assert path.read_text() != kept  # another salt
    with pytest.raises(guard.RefusedError, match="no_pin_set"):
        guard.pin_fits(tmp_path, PIN)


@pytest.mark.parametrize(
    "pin", ["", "12345", "abcdef", "12345x", "１２３４５６", "111111", "123456", "987654", "135791"]
)
def test_a_pin_that_anyone_tries_first_is_refused(tmp_path: Path, pin: str) -> None:
    with pytest.raises(UsageError):
        guard.set_pin(tmp_path, pin)


@pytest.mark.slow
def test_the_commands(tmp_path: Path, bench: dict[str, Any]) -> None:
    station = bench["Station"](tmp_path / "asy")
    assert "no tls = true" in station.suat("board-certificate", status=2)
    text = station.config.read_text()
    station.config.write_text(
        text.replace("[board]\n", '[board]\ntls = true\nnames = ["192.168.50.1", "suat.local"]\n')
    )
    out = tmp_path / "ca.crt"
    said = station.suat("board-certificate", "--out", str(out))
    fingerprint = openssl("x509", "-in", str(out), "-noout", "-fingerprint", "-sha256").stdout.strip().partition("=")[2]
    assert fingerprint in said and "https://192.168.50.1:" in said
    assert "--pin-file" in station.suat("board-pin", status=2)
    (tmp_path / "pin").write_text(PIN + "\n")
    assert "the PIN is set" in station.suat("board-pin", "--pin-file", str(tmp_path / "pin"))
    assert guard.pin_fits(station.folder / "data", PIN)


@pytest.fixture
def confirmed_station(tmp_path: Path, bench: dict[str, Any]) -> Iterator[Any]:
    station = bench["Station"](tmp_path / "asy", '\n[time]\nsources = ["confirmed"]\n')
    text = station.config.read_text().replace("[board]\n", '[board]\ntls = true\nnames = ["127.0.0.1"]\n')
    station.config.write_text(text)
    yield station
    station.cleaned_up()


def test_a_time_confirmed_from_a_tablet_is_the_stations_time(confirmed_station: Any) -> None:
    station = confirmed_station
    guard.set_pin(station.folder / "data", PIN)
    station.start()
    tablet = Tablet(station.board, station.folder / "data/tls/ca.pem")
    assert "the time is unknown" in str(tablet.ask("GET", "/healthz")[1])
    _, body, _ = tablet.ask("POST", "/session", {"pin": PIN})
    for wrong in ({"unix": 0}, {"unix": 1e300}, {"unix": "now"}, [], {"unix": None}):
        assert tablet.ask("POST", "/time", wrong, x_csrf_token=body["csrf"])[0] == 400, wrong
    told = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp()
    assert tablet.ask("POST", "/time", {"unix": told}, x_csrf_token=body["csrf"])[0] == 200
    found = station.wait_for(
        lambda: (seen := tablet.ask("GET", "/healthz")[1]) and "the time is unknown" not in str(seen) and seen
    )
    assert found["time"].startswith("2031-05-06T07:08:")
    station.stop()
