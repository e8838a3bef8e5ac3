"""A district's database over HTTPS: its certificate is checked, and a server that hangs inside TLS is cut off too."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from suat.store.influx_http import V1Writer, V2Writer, Verdict
from suat.store.tables import InfluxTable

TOKEN = "t0p-secret-token"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signed by itself, for 127.0.0.1; the key is in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "district")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "district.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@contextmanager
def serving(certificate: Path, answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    class Server(HTTPServer):
        def handle_error(self, *_: object) -> None:
            """The other side has gone."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def written(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(204)
    handler.end_headers()


def dripping(handler: BaseHTTPRequestHandler) -> None:
    for letter in b"HTTP/1.1 204 No Content\r\nX-Slow: " + b"z" * 100:
        handler.wfile.write(bytes([letter]))
        time.sleep(0.05)


def writer(api: str, url: str, folder: Path, ca_file: Path | None, timeout_s: float = 5.0) -> V1Writer | V2Writer:
    (folder / "token").write_text(TOKEN)
    if api == "v1":
        return V1Writer(InfluxTable(url=url, api="v1", database="pasture", ca_file=ca_file), timeout_s)
    return V2Writer(InfluxTable(url=url, org="o", token_file=folder / "token", ca_file=ca_file), timeout_s)


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_only_a_certificate_of_the_authority_is_accepted(api: str, tmp_path: Path, certificate: Path) -> None:
    with serving(certificate, written) as url:
        known = writer(api, url, tmp_path, certificate)
        assert known.write("raw", ["m v=1i 5"]).verdict is Verdict.DONE
        known.close()
        stranger = writer(api, url, tmp_path, None)
        answer = stranger.write("raw", ["m v=1i 5"])
        stranger.close()
    assert answer.verdict is Verdict.REFUSED and "check url, ca_file and this machine's clock" in answer.reason
    assert "certificate" in answer.reason.lower() and TOKEN not in answer.reason


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_an_answer_that_drips_inside_tls_is_cut_off(api: str, tmp_path: Path, certificate: Path) -> None:
    with serving(certificate, dripping) as url:
        slow = writer(api, url, tmp_path, certificate, 0.5)
        began = time.monotonic()
        answer = slow.write("raw", ["m v=1i 5"])
        slow.close()
        assert answer.verdict is Verdict.BROKEN and time.monotonic() - began < 3
        assert answer.reason == "no whole answer within 0.5 s"


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_an_authority_that_cannot_be_read_is_told(api: str, tmp_path: Path, certificate: Path) -> None:
    with serving(certificate, written) as url:
        lost = writer(api, url, tmp_path, tmp_path / "nowhere.pem")
        answer = lost.write("raw", ["m v=1i 5"])
        lost.close()
    assert answer.verdict is Verdict.REFUSED and "No such file" in answer.reason and "ca_file" in answer.reason


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_a_server_without_tls_is_no_link_that_failed(api: str, tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        plain = writer(api, f"https://127.0.0.1:{server.server_address[1]}", tmp_path, None)
        answer = plain.write("raw", ["m v=1i 5"])
        plain.close()
        thread.join()
    assert answer.verdict is Verdict.REFUSED and "check url" in answer.reason
