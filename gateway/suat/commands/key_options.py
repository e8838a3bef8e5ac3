"""Keys that are not to stand on a command line, where `ps` and the shell's history show them."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path

from suat.errors import UsageError

Keys = dict[str, str | None]


def given_keys(keys: Keys) -> Keys:
    """Keys as given by the options; "-" is asked for at a terminal, or is the next line of standard input."""
    return {name: _asked(name) if text == "-" else text for name, text in keys.items()}


def _asked(name: str) -> str:
    option = "--" + name.replace("_", "-")
    text = getpass.getpass(f"{option}: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not text.strip():
        raise UsageError(f"{option} -: nothing came on standard input; give it the key, one line")
    return text.strip()


def keys_of_file(path: Path, keys: Keys) -> Keys:
    """The keys in a JSON object, or in its tables `otaa` or `abp` as in a node's suat.json; UsageError."""
    if any(text is not None for text in keys.values()):
        raise UsageError("--keys-file: give the keys in the file or as options, not both")
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--keys-file {path}: {error.strerror}") from error
    except ValueError:
        # `from None`: the cause would carry the file's content into a traceback.
        raise UsageError(f'--keys-file {path}: not JSON; write {{"app_key": "..."}}') from None
    tables = [content, content.get("otaa"), content.get("abp")] if isinstance(content, dict) else []
    found: Keys = {}
    for name in keys:
        values = [table[name] for table in tables if isinstance(table, dict) and name in table]
        if values and not isinstance(values[0], str):
            raise UsageError(f"--keys-file {path}: {name} is not a text of hex digits")
        found[name] = values[0] if values else None
    if not any(found.values()):
        raise UsageError(f"--keys-file {path}: it holds none of {', '.join(keys)}")
    return found
