"""`suat backup` and `suat restore`: the whole station in one sealed file, and back."""

from __future__ import annotations

import sys
import time
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer

from suat.commands.options import DEFAULT_CONFIG, ConfigOption, iso_utc, load
from suat.errors import SuatError, UsageError
from suat.private_file import replacing

PassphraseOption = Annotated[
    str | None,
    typer.Option("--passphrase-file", metavar="FILE", help="Its first line is the passphrase; - is standard input."),
]
DAY_US = 86_400_000_000


def backup(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PATH", help="Where to write the sealed file.")],
    config: ConfigOption = DEFAULT_CONFIG,
    passphrase_file: PassphraseOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Seal journal, keys and configuration into one file; the station may run meanwhile."""
    from suat.backup import make

    settings = load(config)
    passphrase = _passphrase(passphrase_file, twice=True)
    about = make(settings, config, out, passphrase, time.time_ns() // 1000, force=force)
    size = out.stat().st_size / 1e6
    print(f"{out}: {about.samples} samples of {about.station}, {size:.2f} MB; without the passphrase it is lost")


def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="The file that suat backup wrote.")],
    config: ConfigOption = DEFAULT_CONFIG,
    passphrase_file: PassphraseOption = None,
    force: Annotated[bool, typer.Option("--force", help="Put aside the station's data that are there.")] = False,
) -> None:
    """Make the station of a backup; it must not run. Its counters skip ahead, so that nothing is used twice."""
    from suat import backup as backups

    if not source.is_file():
        raise UsageError(f"{source}: no such file; give one that suat backup wrote")
    passphrase = _passphrase(passphrase_file, twice=False)
    theirs = backups.configuration(source, passphrase)
    if not config.exists():
        _write(config, theirs)
        print(f"{config}: written as the backup has it")
    settings = load(config)
    restored = backups.restore(settings, source, passphrase, force=force)
    if config.read_bytes() != theirs:
        other = settings.station.data_dir / "suat.toml.restored"
        _write(other, theirs)
        print(f"{config}: left as it is; the backup's own, which differs, lies in {other}")
    made = restored.about.made_us
    print(f"{restored.about.station} as of {iso_utc(made - made % 1_000_000)}: {restored.about.samples} samples")
    if restored.aside is not None:
        print(f"what was there before lies in {restored.aside}; delete it when all is well")
    days = (time.time_ns() // 1000 - made) / DAY_US
    if days > backups.SAFE_DAYS:
        print(
            f"the backup is {days:.0f} days old: register the nodes that never join anew, and let the others join"
            " again, since more downlinks may have been sent than the counters skip"
        )


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise SuatError(f"{path}: {error.strerror}; give --config with a place that you may write to") from error


def _passphrase(source: str | None, *, twice: bool) -> str:
    """The passphrase from a file, standard input or the terminal; UsageError when there is none."""
    if source is not None or not sys.stdin.isatty():
        return secret("--passphrase-file", source)
    typed = getpass("Passphrase: ")
    if twice and getpass("Once more: ") != typed:
        raise UsageError("the two are not the same; nothing was written")
    return typed


def secret(option: str, source: str | None) -> str:
    """The first line of a file, or of standard input ("-"); UsageError when there is none. It is never an argument."""
    if source is None:
        raise UsageError(f"give the secret with {option} FILE (- is standard input)")
    try:
        text = sys.stdin.readline() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UsageError(f"{option} {source}: {reason}") from error
    line = text.split("\n", 1)[0].strip()
    if not line:
        raise UsageError(f"{option} {source}: its first line is empty; write the secret there")
    return line
