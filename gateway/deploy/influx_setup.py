"""Set InfluxDB 2 up for the station: buckets, a token that may write them, one that may read them. No token is shown.

Called by install.sh; Python's standard library alone. What exists stays as it is: run again, it changes nothing.
The API: docs.influxdata.com/influxdb/v2/api (setup, buckets, authorizations, dbrps).
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sys
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

WAIT_S = 60.0  # for a database that is just starting
DATABASE = "suat"  # as the dashboards' data source calls it
# token file -> (what it may do with the buckets, its description, whose file it is: user, group, mode)
TOKENS = {
    "influx.token": ("write", "suat: the station writes", ("suat", "suat", 0o600)),
    "grafana.token": ("read", "suat: the dashboards read", ("root", "grafana", 0o640)),
}


class SetupError(Exception):
    """It failed; the message says what to do."""


class Influx:
    """The database's HTTP interface."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self.token = ""

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """The answer's JSON; SetupError with the database's own words."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Token {self.token}"
        address = f"{self._url}/api/v2/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            reason = error.read().decode(errors="replace")[:200]
            raise SetupError(f"InfluxDB: {method} {path}: {error.code} {reason}") from None
        except OSError as error:
            raise SetupError(f"InfluxDB at {self._url}: {error}; is it running? systemctl status influxdb") from None

    def wait(self) -> bool:
        """Whether it still has to be set up, as soon as it answers; SetupError when it does not."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                return bool(self.ask("GET", "setup")["allowed"])
            except SetupError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)


def prepare(influx: Influx, table: dict[str, Any], folder: Path, renew: bool) -> list[str]:
    """Bring the database to where the station needs it; what was changed, a line each."""
    done = []
    first = table["buckets"]["raw"]
    admin = folder / "influx.admin"
    if influx.wait():
        given = {"password": secrets.token_urlsafe(24), "token": secrets.token_urlsafe(48)}
        keep(admin, json.dumps({"username": "admin", **given}, indent=1), ("root", "root", 0o600))
        influx.ask("POST", "setup", {"username": "admin", "org": table["org"], "bucket": first, **given})
        done.append(f"InfluxDB set up; its administrator is in {admin}")
    try:
        influx.token = json.loads(admin.read_text())["token"]
    except (OSError, ValueError, KeyError):
        raise SetupError(
            f"{admin}: this InfluxDB was set up by someone else;"
            ' write {"token": "..."} with an all-access token into it (0600),'
            " or make the buckets and tokens by hand: docs/operator.md"
        ) from None
    org = influx.ask("GET", "orgs", org=table["org"])["orgs"][0]["id"]
    known = {entry["name"]: entry["id"] for entry in influx.ask("GET", "buckets", orgID=org, limit="100")["buckets"]}
    for name in table["buckets"].values():
        if name not in known:
            known[name] = influx.ask("POST", "buckets", {"orgID": org, "name": name, "retentionRules": []})["id"]
            done.append(f"bucket {name} made")
    buckets = {name: known[name] for name in table["buckets"].values()}
    done += map_buckets(influx, org, buckets, first)
    for name, (right, description, owner) in TOKENS.items():
        if exists(owner[0]) and exists(owner[1], group=True):
            done += give_token(influx, org, list(buckets.values()), right, description, folder / name, owner, renew)
    return done


def map_buckets(influx: Influx, org: str, buckets: dict[str, str], first: str) -> list[str]:
    """Each bucket under its own name as retention policy of one database: the dashboards ask in InfluxQL."""
    known = {entry["retention_policy"] for entry in influx.ask("GET", "dbrps", orgID=org, db=DATABASE)["content"]}
    for name, bucket in buckets.items():
        if name not in known:
            mapping = {"orgID": org, "bucketID": bucket, "database": DATABASE, "retention_policy": name}
            influx.ask("POST", "dbrps", {**mapping, "default": name == first})
    return [f"bucket {name} mapped to {DATABASE}.{name}" for name in buckets if name not in known]


def give_token(
    influx: Influx,
    org: str,
    buckets: list[str],
    right: str,
    description: str,
    path: Path,
    owner: tuple[str, str, int],
    renew: bool,
) -> list[str]:
    """A token for these buckets alone in a file, unless there is one; the ones before it are taken back."""
    if path.exists() and not renew:
        return []
    old = influx.ask("GET", "authorizations", orgID=org)["authorizations"]
    permissions = [{"action": right, "resource": {"type": "buckets", "id": bucket, "orgID": org}} for bucket in buckets]
    made = influx.ask("POST", "authorizations", {"orgID": org, "description": description, "permissions": permissions})
    keep(path, made["token"], owner)
    for entry in old:
        if entry.get("description") == description:
            influx.ask("DELETE", f"authorizations/{entry['id']}")
    return [f"{path}: a token that may {right} {len(buckets)} buckets and nothing else"]


def exists(name: str, group: bool = False) -> bool:
    """Whether there is such a user or group: no Grafana, no token for it."""
    import grp
    import pwd

    try:
        grp.getgrnam(name) if group else pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def keep(path: Path, text: str, owner: tuple[str, str, int]) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    user, group, mode = owner
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    shutil.chown(fresh, user, group)
    fresh.chmod(mode)
    fresh.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="the station's configuration")
    parser.add_argument("--folder", type=Path, required=True, help="where the tokens are kept")
    parser.add_argument("--tokens", choices=("keep", "new"), default="keep", help="new: replace the tokens there are")
    options = parser.parse_args()
    try:
        table = tomllib.loads(options.config.read_text()).get("influx")
        if table is None or table.get("api", "v2") != "v2":
            raise SetupError(f'{options.config}: [influx] with api = "v2" is missing; docs/operator.md shows it')
        for line in prepare(Influx(table["url"]), table, options.folder, options.tokens == "new"):
            print(f"suat: {line}")
    except (SetupError, OSError, KeyError, IndexError, tomllib.TOMLDecodeError) as error:
        sys.exit(f"influx_setup.py: {error if isinstance(error, SetupError) else repr(error)}")


if __name__ == "__main__":
    main()
