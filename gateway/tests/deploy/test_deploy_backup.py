"""`suat backup` under load, `suat restore`, and the nodes go on; a sealed file opens to its passphrase alone."""

from __future__ import annotations

import base64
import io
import os
import secrets
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from suat.backup import BESIDE, SKIPPED
from suat.errors import SuatError, UsageError
from suat.sealed import MAGIC, PIECE, TAG, Sealer, Unsealer

PASSPHRASE = "the mare drinks at dawn"
NODES, FRAMES, RATE = 50, 6_000, 1_000


def seal(content: bytes, passphrase: str = PASSPHRASE) -> bytes:
    file = io.BytesIO()
    sealer = Sealer(file, passphrase)
    sealer.write(content)
    sealer.finish()
    return file.getvalue()


def unseal(sealed: bytes, passphrase: str = PASSPHRASE) -> bytes:
    return io.BufferedReader(Unsealer(io.BytesIO(sealed), passphrase, "it")).read()


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7])
def test_what_was_sealed_comes_out_whole(size: int) -> None:
    content = os.urandom(size)
    sealed = seal(content)
    pieces = max(1, -(-size // PIECE))
    assert len(sealed) == len(MAGIC) + 24 + size + pieces * TAG
    assert unseal(sealed) == content
    assert content[:16] not in sealed or size < 16


def test_the_same_content_is_never_sealed_alike() -> None:
    assert seal(b"x" * 100)[len(MAGIC) :] != seal(b"x" * 100)[len(MAGIC) :]


@pytest.mark.slow
def test_no_change_of_a_sealed_file_passes() -> None:
    sealed = seal(os.urandom(2 * PIECE + 100))
    begin = len(MAGIC) + 24
    first, second = sealed[begin : begin + PIECE + TAG], sealed[begin + PIECE + TAG : begin + 2 * (PIECE + TAG)]
    rest = sealed[begin + 2 * (PIECE + TAG) :]
    changed = {
        "cut in a piece": sealed[:-1],
        "cut at a piece's end": sealed[: -len(rest)],
        "cut to the first piece": sealed[: begin + PIECE + TAG],
        "nothing but its head": sealed[:begin],
        "pieces swapped": sealed[:begin] + second + first + rest,
        "a piece left out": sealed[:begin] + first + rest,
        "a piece twice": sealed[:begin] + first + first + second + rest,
        "something added": sealed + b"\0",
        "another's piece": seal(os.urandom(2 * PIECE + 100))[:begin] + sealed[begin:],
    }
    log2_n, salt, prefix = len(MAGIC), len(MAGIC) + 9, begin - 3
    for place in (log2_n, salt, prefix, begin, begin + PIECE, len(sealed) - 1, len(sealed) // 2):
        changed[f"bit of byte {place}"] = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
    for what, data in changed.items():
        with pytest.raises(SuatError):
            unseal(data)
            pytest.fail(what)
    print(f"{len(changed)} changes, none passed")


def test_another_passphrase_opens_nothing_and_a_short_one_seals_nothing() -> None:
    with pytest.raises(SuatError, match="another passphrase"):
        unseal(seal(b"content"), PASSPHRASE + "!")
    with pytest.raises(UsageError, match="at least 10"):
        seal(b"content", "short")
    with pytest.raises(UsageError, match="no backup"):
        unseal(b"PK\3\4" + bytes(100))


# -- the commands


@pytest.fixture
def passphrase(tmp_path: Path) -> list[str]:
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    return ["--passphrase-file", str(path)]


@pytest.fixture
def asy(tmp_path: Path, bench: dict[str, Any]) -> Iterator[Any]:
    """A station that does not run yet."""
    station = bench["Station"](tmp_path / "asy")
    yield station
    station.cleaned_up()


@pytest.fixture
def forwarder(asy: Any, bench: dict[str, Any]) -> Iterator[Any]:
    made = bench["Concentrator"](asy.udp)
    yield made
    made.close()


def modes(folder: Path) -> set[str]:
    return {oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_backup_under_load_is_one_instant_of_the_station(
    asy: Any, forwarder: Any, passphrase: list[str], tmp_path: Path
) -> None:
    nodes = asy.register(NODES)
    bodies = [forwarder.body(nodes[i % NODES].frame(i // NODES)) for i in range(FRAMES)]
    out = tmp_path / "asy.suatbackup"
    asy.start()
    stream = threading.Thread(target=forwarder.stream, args=(bodies, RATE))
    stream.start()
    asy.wait_for(lambda: asy.query("SELECT count(*) FROM sample")[0][0] > 500)
    said = asy.suat("backup", "--out", str(out), *passphrase)
    during = asy.query("SELECT count(*) FROM sample")[0][0]
    stream.join()
    asy.wait_for(lambda: asy.query("SELECT count(*) FROM sample")[0][0] == FRAMES)  # it held nothing up
    asy.stop()
    assert oct(out.stat().st_mode) == "0o100600" and sorted(p.name for p in tmp_path.glob("*.part")) == []
    assert not (asy.journal_path.parent / ".backup").exists()
    used = dict(asy.query("SELECT registration, fcnt_down FROM session"))

    print(said.strip(), f"; {during} when it was done")
    assert "give --force" in asy.suat("restore", str(out), *passphrase, status=2)
    asy.suat("restore", str(out), *passphrase, "--force")
    kept = asy.records()
    assert 500 < len(kept) <= during < FRAMES
    assert sorted(kept) == sorted((f"n{i % NODES + 1}", i // NODES) for i in range(len(kept)))
    for registration, counter, down in asy.query("SELECT registration, fcnt_up, fcnt_down FROM session"):
        assert counter == len(range(registration - 1, len(kept), NODES))  # the counters are of the same instant
        assert down > used[registration] and down >= SKIPPED
    assert modes(asy.journal_path.parent) == {"0o600"}
    aside = next(asy.journal_path.parent.glob("replaced-*"))
    with sqlite3.connect(aside / "journal.db") as old:
        assert old.execute("SELECT count(*) FROM sample").fetchone() == (FRAMES,)  # put aside, not lost
    old.close()

    asy.start()  # the nodes go on from where they are: what was lost comes from their flash, what was kept is refused
    forwarder.stream(bodies, 2 * RATE)
    asy.wait_for(lambda: asy.query("SELECT count(*) FROM sample")[0][0] == FRAMES)
    forwarder.pull()
    forwarder.push(nodes[0].frame(FRAMES, ack_from=0))
    answer = forwarder.downlink()
    counter = int.from_bytes(base64.b64decode(answer["data"])[6:8], "little")
    assert counter == SKIPPED  # FCnt of the first downlink after it: none before can have had this one
    asy.stop()


@pytest.mark.slow
def test_a_restored_node_that_joins_gets_a_nonce_it_has_not_seen(
    asy: Any, passphrase: list[str], tmp_path: Path
) -> None:
    asy.suat(
        *("device", "add", "--name", "upper-3", "--kind", "soil", "--paddock", "jailau-1", "--probe", "upper:10"),
        *("--dev-eui", "70b3d57ed005a1b2", "--join-eui", "0000000000000001", "--app-key", secrets.token_hex(16)),
    )
    out = tmp_path / "asy.suatbackup"
    asy.suat("backup", "--out", str(out), *passphrase)
    asy.suat("restore", str(out), *passphrase, "--force")
    assert asy.query("SELECT join_nonce FROM device") == [(SKIPPED,)]
    assert "upper-3" in asy.suat("device", "list")


@pytest.mark.slow
def test_no_key_can_be_read_in_a_backup_and_every_key_comes_back(
    asy: Any, passphrase: list[str], tmp_path: Path
) -> None:
    asy.register(3)
    app_key = secrets.token_hex(16)
    asy.suat(
        *("device", "add", "--name", "upper-3", "--kind", "soil", "--paddock", "jailau-1", "--probe", "upper:10"),
        *("--dev-eui", "70b3d57ed005a1b2", "--join-eui", "0000000000000001", "--app-key", app_key),
    )
    data = asy.journal_path.parent
    (data / "tls").mkdir()
    for name in BESIDE[1:]:
        (data / name).write_text(f"secret of {name}")
    keys = [key for row in asy.query("SELECT nwk_skey, app_skey FROM session") for key in row]
    out = tmp_path / "asy.suatbackup"
    before = os.umask(0)
    try:
        asy.suat("backup", "--out", str(out), *passphrase)
    finally:
        os.umask(before)
    sealed = out.read_bytes()
    assert not [key for key in keys if key in sealed] and app_key.encode() not in sealed
    assert b"secret of" not in sealed and b"Jailau" not in sealed
    assert oct(out.stat().st_mode) == "0o100600"

    # A new machine: nothing but the file and its passphrase.
    asy.folder.rename(tmp_path / "burnt")
    asy.folder.mkdir()
    before = os.umask(0)
    try:
        said = asy.suat("restore", str(out), *passphrase)
    finally:
        os.umask(before)
    assert "written as the backup has it" in said
    assert [key for row in asy.query("SELECT nwk_skey, app_skey FROM session") for key in row] == keys
    assert app_key in (data / "keys.json").read_text()
    assert [(data / name).read_text() for name in BESIDE[1:]] == [f"secret of {name}" for name in BESIDE[1:]]
    assert modes(data) == {"0o600"} and oct(data.stat().st_mode) == "0o40700"


@pytest.mark.slow
def test_what_stands_in_the_way_is_one_line_and_nothing_is_touched(
    asy: Any, passphrase: list[str], tmp_path: Path
) -> None:
    out, other = tmp_path / "asy.suatbackup", tmp_path / "other"
    other.write_text("another passphrase\n")
    assert "nothing to back up" in asy.suat("backup", "--out", str(out), *passphrase, status=1)
    asy.register(1)
    assert "give the secret with --passphrase-file" in asy.suat("backup", "--out", str(out), status=2)
    assert "No such file" in asy.suat("backup", "--out", str(out), "--passphrase-file", "nowhere", status=2)
    assert "No such file" in asy.suat("backup", "--out", str(tmp_path / "no" / "such"), *passphrase, status=1)
    asy.suat("backup", "--out", str(out), *passphrase)
    assert "give --force" in asy.suat("backup", "--out", str(out), *passphrase, status=2)
    journal = asy.journal_path.read_bytes()
    asy.start()
    assert "a station runs on it already" in asy.suat("restore", str(out), *passphrase, "--force", status=1)
    asy.stop()
    wrong = asy.suat("restore", str(out), "--passphrase-file", str(other), "--force", status=1)
    assert "another passphrase, or damaged" in wrong
    out.write_bytes(out.read_bytes()[:-1])
    assert "damaged" in asy.suat("restore", str(out), *passphrase, "--force", status=1)
    assert asy.query("SELECT count(*) FROM session") == [(1,)]
    assert len(journal) == asy.journal_path.stat().st_size and not list(asy.journal_path.parent.glob("replaced-*"))
    assert not (asy.journal_path.parent / ".restore").exists()


@pytest.mark.slow
def test_a_power_cut_amid_a_restore_is_mended_by_restoring_again(
    asy: Any, passphrase: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever rename is the last that happens, restoring again gives the whole station."""
    from suat import backup
    from suat.config import load

    asy.register(2)
    out = tmp_path / "asy.suatbackup"
    asy.suat("backup", "--out", str(out), *passphrase)
    config = load(asy.config)
    real, cuts = Path.replace, 0
    for last in range(20):
        left = last

        def replace(self: Path, target: Path) -> Path:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt  # the power is gone
            left -= 1
            return real(self, target)

        monkeypatch.setattr(Path, "replace", replace)
        try:
            backup.restore(config, out, PASSPHRASE, force=True)
        except KeyboardInterrupt:
            cuts += 1
        else:
            break
        finally:
            monkeypatch.setattr(Path, "replace", real)
        backup.restore(config, out, PASSPHRASE, force=True)
        assert asy.query("SELECT count(*) FROM session") == [(2,)]
    assert cuts >= 2


def test_of_two_backups_at_once_the_second_waits_its_turn(
    asy: Any, passphrase: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer's and the installer's: the second would empty the folder that the first is packing."""
    from suat import backup
    from suat.config import load
    from suat.errors import SuatError

    asy.register(1)
    out, config = tmp_path / "first", load(asy.config)
    real = backup._pack

    def pack(folder: Path, target: Any) -> None:
        with pytest.raises(SuatError, match="another suat backup is at work"):
            backup.make(config, asy.config, tmp_path / "second", PASSPHRASE, 1)
        real(folder, target)

    monkeypatch.setattr(backup, "_pack", pack)
    backup.make(config, asy.config, out, PASSPHRASE, 1)
    monkeypatch.undo()
    backup.restore(config, out, PASSPHRASE, force=True)
    assert asy.query("SELECT count(*) FROM session") == [(1,)]
    assert not (tmp_path / "second").exists()
    backup.make(config, asy.config, tmp_path / "second", PASSPHRASE, 1)


def test_a_configuration_that_is_there_stays_and_the_backups_own_lies_beside_the_data(
    asy: Any, passphrase: list[str], tmp_path: Path
) -> None:
    asy.register(1)
    out, example = tmp_path / "asy.suatbackup", asy.config.read_text()
    asy.suat("backup", "--out", str(out), *passphrase)
    assert "left as it is" not in asy.suat("restore", str(out), *passphrase, "--force")
    asy.config.write_text(example + "# of the new machine\n")
    said = asy.suat("restore", str(out), *passphrase, "--force")
    kept = asy.journal_path.parent / "suat.toml.restored"
    assert f"left as it is; the backup's own, which differs, lies in {kept}" in said
    assert kept.read_text() == example and asy.config.read_text().endswith("# of the new machine\n")
    (tmp_path / "file").write_text("")
    asy.config = tmp_path / "file" / "suat.toml"
    said = asy.suat("restore", str(out), *passphrase, status=1)
    assert "give --config with a place that you may write to" in said


def test_a_power_cut_while_the_old_data_are_put_aside_takes_no_transaction_from_them(
    asy: Any, passphrase: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A station that was killed has its newest transactions in the WAL alone, and may start before it is restored."""
    from suat import backup
    from suat.config import load

    asy.register(1)
    out, folder = tmp_path / "asy.suatbackup", asy.journal_path.parent
    asy.suat("backup", "--out", str(out), *passphrase)
    with closing(sqlite3.connect(asy.journal_path)) as connection:
        connection.execute("UPDATE session SET fcnt_down = 4711")
        connection.commit()
        shutil.copytree(folder, tmp_path / "killed")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "killed", folder)
    assert (folder / "journal.db-wal").stat().st_size
    real = Path.replace
    cut = False

    def replace(self: Path, target: Path) -> Path:
        nonlocal cut
        if cut:
            raise KeyboardInterrupt  # the power is gone
        cut = self.parent == folder and self.name.startswith("journal.db")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        backup.restore(load(asy.config), out, PASSPHRASE, force=True)
    monkeypatch.undo()
    (left,) = [path for path in folder.rglob("journal.db") if path.parent.name != ".restore"]
    with closing(sqlite3.connect(left)) as connection:
        assert connection.execute("SELECT fcnt_down FROM session").fetchall() == [(4711,)]


def test_a_backup_that_is_not_there_is_bad_usage_before_any_passphrase_is_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "suat.cli", "restore", str(tmp_path / "none.sealed"), "--config"]
    done = subprocess.run([*command, str(tmp_path / "suat.toml")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path / 'none.sealed'}: no such file; give one that suat backup wrote\n"
    assert list(tmp_path.iterdir()) == []
