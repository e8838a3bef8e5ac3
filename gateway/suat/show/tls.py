"""HTTPS for the tablets: the station's own CA, and the certificate that it gives the board page.

`data_dir/tls/`, all 0600: ca.key, ca.pem (20 years), board.key, board.pem (397 days, made anew while the station runs).
A tablet is told once to trust ca.pem. So that whoever steals ca.key can't pose as a bank before those tablets, the CA
is constrained (RFC 5280, 4.2.1.10) to private addresses and names under .local, and it may sign no other CA.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from suat.config import Config
from suat.errors import SuatError
from suat.private_file import replacing
from suat.show.tables import LOCAL, PRIVATE
from suat.timekeeping import FLOOR

log = logging.getLogger(__name__)

FOLDER = "tls"
CA_DAYS = 20 * 365
LEAF_DAYS = 397  # what browsers take at most of a public CA; a clock that is months wrong still lies within
RENEW_DAYS = 30
LOOK_S = 600.0  # soon after the time is known
_FLOOR = datetime(FLOOR.year, FLOOR.month, FLOOR.day, tzinfo=UTC)


def folder(config: Config) -> Path:
    """Where keys and certificates lie."""
    return config.station.data_dir / FOLDER


def ensure(config: Config, now_us: int) -> bool:
    """Make what is missing, outlived or made out to other names; whether the board's certificate is new. SuatError."""
    where = folder(config)
    now = datetime.fromtimestamp(now_us / 1e6, UTC)
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (where / "ca.pem").exists():
            _make_ca(config, where)
        ca = x509.load_pem_x509_certificate((where / "ca.pem").read_bytes())
        if not _serves(where, ca, config.board.hosts, now):
            _make_leaf(config, where, ca, max(now, _FLOOR))  # a station without a clock is not in 1970
            return True
    except OSError as error:
        raise SuatError(f"{where}: {error.strerror}; check data_dir and its owner") from error
    except ValueError:  # `from None`: what the file holds is nobody's business
        raise SuatError(
            f"{where}: damaged; restore it from a backup, or remove the folder and trust the new CA"
        ) from None
    return False


def context(config: Config, now_us: int) -> ssl.SSLContext:
    """What the board is served with; SuatError."""
    ensure(config, now_us)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(made, config)
    return made


async def renew(made: ssl.SSLContext, config: Config, now: Callable[[], int]) -> None:
    """Keep the certificate fresh for ever; connections from then on get the new one."""
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            if await asyncio.to_thread(ensure, config, now()):
                _load(made, config)
                log.info("board: a new certificate, for %s", ", ".join(config.board.hosts))
        except SuatError as error:
            log.error("board: %s", error)


def fingerprint(config: Config) -> str:
    """SHA-256 of the CA's certificate, as browsers and tablets show it."""
    digest = certificate(config).fingerprint(hashes.SHA256()).hex().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def certificate(config: Config, name: str = "ca.pem") -> x509.Certificate:
    """The CA's certificate, or the board's; it must be there."""
    return x509.load_pem_x509_certificate((folder(config) / name).read_bytes())


def _load(made: ssl.SSLContext, config: Config) -> None:
    made.load_cert_chain(folder(config) / "board.pem", folder(config) / "board.key")


def _serves(where: Path, ca: x509.Certificate, hosts: list[str], now: datetime) -> bool:
    """Whether the board's certificate is there, of this CA, for these names, and good for some time yet."""
    if not (where / "board.pem").exists() or not (where / "board.key").exists():
        return False
    leaf = x509.load_pem_x509_certificate((where / "board.pem").read_bytes())
    key = serialization.load_pem_private_key((where / "board.key").read_bytes(), None)
    if key.public_key() != leaf.public_key():  # the power went between the two
        return False
    try:
        leaf.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        return False
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    made_out = {
        str(name) for name in (*names.get_values_for_type(x509.DNSName), *names.get_values_for_type(x509.IPAddress))
    }
    until = leaf.not_valid_after_utc - timedelta(days=RENEW_DAYS)
    # A station that does not know the time leaves what it made when it did: tablets know it, and refuse an old one.
    return made_out == set(hosts) and (now < _FLOOR or leaf.not_valid_before_utc <= now <= until)


def _make_ca(config: Config, where: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Suat {_short(config.station.name)} CA")])
    permitted: list[x509.GeneralName] = [x509.DNSName(LOCAL), *(x509.IPAddress(network) for network in PRIVATE)]
    made = (
        _builder(name, name, key.public_key(), _FLOOR, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _keep(where / "ca.key", _pem(key))
    _keep(where / "ca.pem", made.public_bytes(serialization.Encoding.PEM))


def _make_leaf(config: Config, where: Path, ca: x509.Certificate, now: datetime) -> None:
    ca_key = serialization.load_pem_private_key((where / "ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Suat {_short(config.station.name)}")])
    made = (
        _builder(name, ca.subject, key.public_key(), now - timedelta(days=1), LEAF_DAYS)
        .add_extension(x509.SubjectAlternativeName([_general(host) for host in config.board.hosts]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _keep(where / "board.key", _pem(key))
    _keep(where / "board.pem", made.public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
    )


def _usage(sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _short(name: str) -> str:
    """What fits: a name in a certificate has 64 bytes at most (RFC 5280, A.1), 29 Cyrillic letters are 58."""
    return name.encode()[:56].decode(errors="ignore")


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _keep(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)
