"""`suat forwarder-config`: what the concentrator's packet forwarder needs to know."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from suat.commands.options import DEFAULT_CONFIG, ConfigOption, load
from suat.errors import SuatError, UsageError


def forwarder_config(
    config: ConfigOption = DEFAULT_CONFIG,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="PATH", help="Write it there; standard output if not given.")
    ] = None,
    hat: Annotated[str, typer.Option("--hat", help="The board: sx1302 (868 MHz) or sx1302-490.")] = "sx1302",
    gateway_id: Annotated[
        str | None, typer.Option("--gateway-id", metavar="HEX", help="Its EUI-64; from the network card if not given.")
    ] = None,
    antenna_gain: Annotated[
        int, typer.Option("--antenna-gain", metavar="DBI", help="Of the antenna, less the cable's loss.")
    ] = 2,
    gps: Annotated[
        str | None, typer.Option("--gps", metavar="TTY", help="The board's GPS, such as /dev/ttyS0.")
    ] = None,
) -> None:
    """Write global_conf.json for an SX1302 HAT's packet forwarder: the station's channels, and no unlawful power."""
    from suat import forwarder

    if hat not in forwarder.HATS:
        raise UsageError(f'--hat: "{hat}" is not one of {", ".join(forwarder.HATS)}')
    if gateway_id is not None and not re.fullmatch(r"[0-9a-fA-F]{16}", gateway_id):
        raise UsageError(f'--gateway-id: "{gateway_id}" is not 16 hex digits')
    identity = gateway_id or forwarder.own_gateway_id()
    content = forwarder.global_conf(load(config), hat, identity, antenna_gain, gps)
    text = json.dumps(content, indent=4) + "\n"
    if out is None:
        sys.stdout.write(text)
        return
    try:
        fresh = out.with_name(f"{out.name}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o644)  # no secret in it, and the forwarder has a user of its own
        fresh.replace(out)
    except OSError as error:
        raise SuatError(f"{out}: {error.strerror}; write it elsewhere, then: sudo install -m 644 FILE {out}") from error
    print(f"{out}: gateway {identity}; then: systemctl restart suat-forwarder")
