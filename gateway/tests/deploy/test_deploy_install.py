"""install.sh: what it says it would do, and what it does in a Debian 12 of its own.

The whole run takes a Debian root (a minute to make, as root) and is asked for by name:

    debootstrap --variant=minbase --include=systemd,udev bookworm /var/tmp/suat-debian
    SUAT_DEBIAN_ROOT=/var/tmp/suat-debian pytest -s gateway/tests/deploy/test_deploy_install.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from suat.config import load

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "gateway" / "deploy"
SCRIPT = DEPLOY / "install.sh"
PLACES = [Path(name) for name in ("/opt/suat", "/etc/suat", "/var/lib/suat", "/usr/local/bin/suat")]
DEBIAN = os.environ.get("SUAT_DEBIAN_ROOT")


def install(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *words], capture_output=True, text=True, timeout=120, check=False)


def test_shellcheck_finds_nothing() -> None:
    program = shutil.which("shellcheck")
    if program is None:
        pytest.fail("shellcheck is missing; run: make test", pytrace=False)
    scripts = sorted(DEPLOY.rglob("*.sh"))
    assert len(scripts) == 2
    done = subprocess.run([program, *scripts], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_a_dry_run_tells_all_and_does_nothing() -> None:
    before = [path.exists() for path in PLACES]
    done = install("--dry-run", "--tablets", "192.168.50.0/24", "--with-influxdb", "--with-grafana", "--with-forwarder")
    assert done.returncode == 0, done.stderr
    assert [path.exists() for path in PLACES] == before
    for what in (
        "useradd --system --gid suat",
        "/etc/suat/suat.toml (0640, root:suat)",
        "/etc/suat/backup.passphrase (0600, suat:suat)",
        "/etc/udev/rules.d/60-suat.rules",
        "/etc/systemd/system/suat.service.d/50-network.conf",
        "influxdata-archive.key (fingerprint 24C975CBA61A024EE1B631787C3D57159FC2F927)",
        "/etc/apt/preferences.d/suat-influxdb2",
        "apt.grafana.com/gpg.key (fingerprint B53AE77BADB630A683046005963FA27710458545)",
        "/etc/systemd/system/suat-forwarder.service",
    ):
        assert what in done.stdout, (what, done.stdout)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--bogus"], 2, 'unknown word "--bogus"'),
        (["--tablets", "asy.local"], 2, "give an address or a network in numbers"),
        (["--tablets", "999.1.1.1/99"], 2, "give an address or a network in numbers"),
        (["--tablets", ""], 2, "give an address or a network in numbers"),
        (["--mail"], 2, "give an address or a network in numbers"),
        (["--from", "/nowhere"], 2, "give the folder of the sources"),
    ],
)
def test_a_slip_on_the_command_line_is_one_line(words: list[str], status: int, said: str) -> None:
    done = install("--dry-run", *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_the_example_configuration_is_a_good_one() -> None:
    config = load(DEPLOY / "suat.toml")
    assert str(config.station.data_dir) == "/var/lib/suat"
    influx = re.search(r"<<'TABLE'\n(.*?)\nTABLE\n", SCRIPT.read_text(), re.DOTALL)
    assert influx
    whole = tomllib.loads((DEPLOY / "suat.toml").read_text() + influx[1])
    assert whole["influx"]["token_file"] == "/etc/suat/influx.token"


# -- in a Debian of its own


class Debian:
    """A root folder with Debian 12 in it; PID 1 is not systemd there."""

    def __init__(self, root: Path, source: Path) -> None:
        self.root, self.source = root, source

    def run(self, *command: str, status: int = 0) -> str:
        words = ["chroot", str(self.root), "env", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=1800, check=False)
        assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def install(self, *words: str, status: int = 0) -> str:
        return self.run("bash", "/src/gateway/deploy/install.sh", *words, status=status)

    def mode(self, path: str) -> str:
        return self.run("stat", "-c", "%a %U:%G", path).strip()


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Debian]:
    if DEBIAN is None:
        pytest.skip("needs SUAT_DEBIAN_ROOT; see the top of this file")
    root, source = Path(DEBIAN), tmp_path / "src"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(".git", ".venv", "node_modules", "*.so", "build", "*.egg-info", "__pycache__"),
    )
    (root / "src").mkdir(exist_ok=True)
    with ExitStack() as stack:
        for kind, what in (("--rbind", "/dev"), ("--bind", "/proc")):
            subprocess.run(["mount", kind, what, root / what[1:]], check=True)
            subprocess.run(["mount", "--make-rslave", root / what[1:]], check=True)
            stack.callback(subprocess.run, ["umount", "-R", root / what[1:]], check=False)
        subprocess.run(["mount", "--bind", source, root / "src"], check=True)
        stack.callback(subprocess.run, ["umount", root / "src"], check=False)
        for name in ("resolv.conf", "hosts"):
            shutil.copy(f"/etc/{name}", root / "etc" / name)
        made = Debian(root, source)
        made.install("uninstall", "--purge")
        yield made
        made.install("uninstall", "--purge")


def test_install_again_upgrade_roll_back_uninstall(debian: Debian) -> None:
    first = debian.install("--tablets", "192.168.50.0/24")
    assert "wrote /etc/systemd/system/suat.service" in first and "done." in first
    assert "nothing to do" in debian.install("--tablets", "192.168.50.0/24")
    assert "nothing to do" in debian.install()  # what was allowed stays allowed
    assert debian.mode("/var/lib/suat") == "700 suat:suat"
    assert debian.mode("/etc/suat") == "751 root:suat"
    assert debian.mode("/etc/suat/suat.toml") == "640 root:suat"
    assert debian.mode("/etc/suat/backup.passphrase") == "600 suat:suat"
    passphrase = (debian.root / "etc/suat/backup.passphrase").read_text().strip()
    assert len(passphrase) == 32 and passphrase not in first  # never printed
    assert "good: My pasture" in debian.run("suat", "check")
    debian.run("bash", "-n", "/etc/bash_completion.d/suat")
    # As root, but written as the station's user: it must be able to read its own journal.
    debian.run(
        *(
            "suat",
            "device",
            "add",
            "--name",
            "upper-3",
            "--kind",
            "soil",
            "--paddock",
            "jailau-1",
            "--probe",
            "upper:10",
        ),
        *("--dev-eui", "70b3d57ed005a1b2", "--join-eui", "0000000000000001", "--app-key", os.urandom(16).hex()),
    )
    assert debian.mode("/var/lib/suat/journal.db") == debian.mode("/var/lib/suat/keys.json") == "600 suat:suat"

    before = (debian.root / "opt/suat/current").readlink()
    guide = debian.source / "docs" / "operator.md"
    guide.write_text(guide.read_text() + "\nA change.\n")
    debian.install()
    after = (debian.root / "opt/suat/current").readlink()
    assert after != before and (debian.root / "opt/suat/previous").readlink() == before
    kept = f"/var/lib/suat/backups/before-{after.name}.suatbackup"
    assert debian.mode(kept) == "600 suat:suat"  # the journal as it was before the upgrade
    assert "is /opt/suat/releases" in debian.install("roll-back")
    assert (debian.root / "opt/suat/current").readlink() == before
    restore = ["suat", "restore", "--passphrase-file", "/etc/suat/backup.passphrase", kept]
    assert "give --force" in debian.run(*restore, status=2)
    assert "My pasture as of" in debian.run(*restore, "--force")
    assert "upper-3" in debian.run("suat", "device", "list")

    debian.install("uninstall")
    assert not (debian.root / "opt/suat").exists() and (debian.root / "var/lib/suat/journal.db").exists()
    debian.install("uninstall", "--purge")
    assert not (debian.root / "var/lib/suat").exists() and not (debian.root / "etc/suat").exists()
