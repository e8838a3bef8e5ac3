"""What `suat doctor` finds of the board page: its certificate, its PIN, and who can read the station's files."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from suat.config import Config
from suat.show import guard
from suat.tables import host_port

SOON_DAYS = 20  # the station renews 30 days before the end: by then it should have

Told = tuple[Literal["good", "look", "bad"], str, str]


def own_page(config: Config) -> tuple[str, ssl.SSLContext | None]:
    """Where the board page of this machine's station answers, and how to know that it is ours; OSError."""
    if not config.board.tls:
        return f"http://{config.board.bind}", None
    context = ssl.create_default_context(cafile=str(config.station.data_dir / "tls" / "ca.pem"))
    context.check_hostname = False  # by its address on this machine, whatever tablets call it
    return f"https://{config.board.bind}", context


def board_condition(config: Config, now_us: int) -> Iterator[Told]:
    """(level, what, what to do)."""
    folder = config.station.data_dir
    if folder.exists():
        names = ("journal.db*", "keys.json", guard.FILE, "tls/*", "backups/*")
        open_to_all = [path for name in names for path in folder.glob(name) if path.stat().st_mode & 0o077]
        for path in sorted(open_to_all):
            yield "bad", f"{path} can be read by others", f"chmod 600 {path}, and take what it held for known"
    if _seen_from_outside(config) and not config.board.tls:
        yield "look", "tablets read the board page without HTTPS, and can change nothing", "docs/operator.md, Tablets"
    if config.board.tls:
        yield from _certificate(config, now_us)
        if not (folder / guard.FILE).exists():
            yield "look", "no PIN is set: nothing can be changed from a tablet", "suat board-pin"


def _seen_from_outside(config: Config) -> bool:
    host, _ = host_port(config.board.bind)
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _certificate(config: Config, now_us: int) -> Iterator[Told]:
    from suat.show import tls

    try:
        leaf = tls.certificate(config, "board.pem")
    except FileNotFoundError:
        yield "look", "the board page has no certificate yet", "start the station, or: suat board-certificate"
        return
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "damaged"
        yield "bad", f"{tls.folder(config)}: {reason}", "restore it from a backup, or check its owner"
        return
    days = (leaf.not_valid_after_utc - datetime.fromtimestamp(now_us / 1e6, UTC)).days
    if days < SOON_DAYS:
        yield (
            "bad",
            f"the board's certificate holds {days} days more",
            "suat board-certificate, then restart the station",
        )
    else:
        yield "good", f"the board's certificate holds {days} days more", ""
