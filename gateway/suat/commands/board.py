"""`suat board-certificate` and `suat board-pin`: what tablets trust, and who may change something from one."""

from __future__ import annotations

import sys
import time
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer

from suat.commands.options import DEFAULT_CONFIG, ConfigOption, load
from suat.errors import SuatError, UsageError


def certificate(
    config: ConfigOption = DEFAULT_CONFIG,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="PATH", help="Write the CA's certificate there, for a tablet.")
    ] = None,
) -> None:
    """Show the station's CA, and make it and the board's certificate if they are not there or outlived."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from suat.show import tls

    settings = load(config)
    if not settings.board.tls:
        raise UsageError(f"{config}: [board] has no tls = true: the board page is served without a certificate")
    tls.ensure(settings, time.time_ns() // 1000)
    authority, leaf = tls.certificate(settings), tls.certificate(settings, "board.pem")
    print(f"{settings.board.url} for {', '.join(settings.board.hosts)}")
    print(f"the board's certificate holds until {leaf.not_valid_after_utc:%Y-%m-%d} and is renewed by the station")
    print(f"the CA's holds until {authority.not_valid_after_utc:%Y-%m-%d}; tablets fetch it at")
    print(f"  {settings.board.url}station-ca.crt")
    print(f"and show its SHA-256 fingerprint, which must be\n  {tls.fingerprint(settings)}")
    if out is not None:
        try:
            out.write_bytes(authority.public_bytes(Encoding.PEM))
        except OSError as error:
            raise SuatError(f"{out}: {error.strerror}; write it where you may") from error
        print(f"{out}: the CA's certificate")


def pin(
    config: ConfigOption = DEFAULT_CONFIG,
    pin_file: Annotated[
        str | None, typer.Option("--pin-file", metavar="FILE", help="Its first line is the PIN; - is standard input.")
    ] = None,
) -> None:
    """Set the PIN with which a tablet may change something; the station keeps its hash alone."""
    from suat.commands.backup import secret
    from suat.show.guard import set_pin

    settings = load(config)
    typed = secret("--pin-file", pin_file) if pin_file is not None or not sys.stdin.isatty() else getpass("PIN: ")
    set_pin(settings.station.data_dir, typed)
    print("the PIN is set; it holds from now on")
