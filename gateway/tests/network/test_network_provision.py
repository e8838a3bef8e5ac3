"""Registering nodes: one clear line for each fault, no key twice, none readable by others, none in a message."""

from __future__ import annotations

import json
import logging
import os
import secrets
import stat
from pathlib import Path
from typing import Any

import pytest
from suat.errors import SuatError, UsageError
from suat.network import provision
from suat.network.keys import RootKeys
from suat.network.provision import new_device
from suat.records import Probe
from suat.store.journal import Journal

KEY = "6f1c0a9be27d43585b7e31c4d2a8f690"
OTHER = "c2a4d7f10b3e965884ffab127d60e39c"
SOIL: dict[str, Any] = {"name": "soil-1", "kind": "soil", "dev_eui": "70b3d57ed0001a2b"}
OTAA = SOIL | {"join_eui": "70B3D57ED0000001", "app_key": KEY}
ABP = SOIL | {"dev_addr": "26011BDA", "nwk_skey": KEY, "app_skey": OTHER}


def test_what_is_taken_over() -> None:
    device = new_device(**OTAA, paddock="jailau-1", probes=["upper:10"])
    assert (device.dev_eui, device.join_eui) == ("70b3d57ed0001a2b", "70b3d57ed0000001")
    assert device.app_key == bytes.fromhex(KEY)
    assert new_device(**ABP).dev_addr == 0x26011BDA
    assert new_device(**OTAA | {"dev_eui": "70:B3:D5:7E:D0:00:1A:2B"}).dev_eui == "70b3d57ed0001a2b"
    assert new_device(**OTAA, probes=["upper:10", "lower:60"]).probes == (Probe("upper", 10, 1), Probe("lower", 60, 2))


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "short DevEUI": (OTAA | {"dev_eui": "70b3"}, "--dev-eui: 16 hex digits are needed, 4 characters"),
    "DevEUI not hex": (OTAA | {"dev_eui": "70b3d57ed0001a2g"}, "--dev-eui: 16 hex digits"),
    "short key": (OTAA | {"app_key": KEY[:-1]}, "--app-key: 32 hex digits are needed, 31 characters"),
    "long DevAddr": (ABP | {"dev_addr": "0026011bda"}, "--dev-addr: 8 hex digits are needed, 10"),
    "OTAA and ABP": (OTAA | {"dev_addr": "26011bda"}, "give either --join-eui and --app-key"),
    "neither": (SOIL, "give either --join-eui"),
    "half of OTAA": (SOIL | {"app_key": KEY}, "give either --join-eui"),
    "half of ABP": (SOIL | {"dev_addr": "26011bda", "nwk_skey": KEY}, "give either --join-eui"),
    "one session key": (ABP | {"app_skey": KEY}, "--nwk-skey and --app-skey must differ"),
    "Semtech's key": (OTAA | {"app_key": "2B7E151628AED2A6ABF7158809CF4F3C"}, "publicly known"),
    "zeros": (OTAA | {"app_key": "00" * 16}, "publicly known or a pattern"),
    "counting": (OTAA | {"app_key": "000102030405060708090a0b0c0d0e0f"}, "a pattern"),
    "by seventeens": (ABP | {"nwk_skey": "00112233445566778899aabbccddeeff"}, "--nwk-skey: .* a pattern"),
    "one half twice": (ABP | {"app_skey": KEY[:16] * 2}, "--app-skey: .* a pattern"),
    "kind": (OTAA | {"kind": "soill"}, r'--kind "soill" is not one of soil, water \(did you mean "soil"\?\)'),
    "empty name": (OTAA | {"name": ""}, '--name "": letters'),
    "name with a line": (OTAA | {"name": "a\nb"}, "--name"),
    "name too long": (OTAA | {"name": "x" * 41}, "at most 40"),
    "soil at a water point": (OTAA | {"water_point": "spring-1"}, "--water-point is for a water node"),
    "water in a paddock": (
        OTAA | {"kind": "water", "paddock": "jailau-1"},
        "--paddock and --probe are for a soil node",
    ),
    "water with a probe": (OTAA | {"kind": "water", "probes": ["a:1"]}, "--paddock and --probe are for a soil node"),
    "five probes": (OTAA | {"probes": [f"p{n}:10" for n in range(5)]}, "at most 4 probes, 5 were given"),
    "probe without depth": (OTAA | {"probes": ["upper"]}, '--probe "upper" is not NAME:DEPTH_CM'),
    "negative depth": (OTAA | {"probes": ["upper:-5"]}, "is not NAME:DEPTH_CM"),
    "depth in other digits": (OTAA | {"probes": ["upper:١٠"]}, "is not NAME:DEPTH_CM"),
    "too deep": (OTAA | {"probes": ["upper:301"]}, "deeper than 300 cm"),
    "probe twice": (OTAA | {"probes": ["a:10", "a:20"]}, "the name is given twice"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_one_line_without_a_key(case: str) -> None:
    options, message = FAULTS[case]
    with pytest.raises(UsageError, match=message) as caught:
        new_device(**options)
    text = str(caught.value)
    assert "\n" not in text.replace("a\nb", "")
    assert caught.value.exit_status == 2
    for key in (options.get("app_key"), options.get("nwk_skey"), options.get("app_skey")):
        assert not key or key.lower() not in text.lower()


class Store:
    def __init__(self, path: Path) -> None:
        self.path, self.journal, self.keys = path, Journal(path / "journal.db"), RootKeys(path)

    def add(self, **changes: Any) -> int:
        fresh = {"dev_eui": secrets.token_hex(8), "app_key": secrets.token_hex(16), "name": secrets.token_hex(4)}
        return provision.add(self.journal, self.keys, new_device(**OTAA | fresh | changes), 17)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = Store(tmp_path / "data")
    yield made
    made.journal.close()


def test_a_node_is_registered_with_all_that_is_known(store: Store) -> None:
    assert store.add(name="a", paddock="p1", probes=["x:10"]) == 1
    assert provision.add(store.journal, store.keys, new_device(**ABP), 18) == 2
    with store.journal.reader() as reader:
        one, two = reader.devices()
        (session,) = reader.sessions()
    assert (one.name, one.paddock, one.probes, one.added_us) == ("a", "p1", (Probe("x", 10, 1),), 17)
    assert (two.join_eui, session.registration, session.dev_addr, session.fcnt_up) == (None, 2, 0x26011BDA, 0)
    assert list(store.keys.read().app_keys()) == [one.dev_eui]


def test_name_and_dev_eui_are_taken_once(store: Store) -> None:
    store.add(name="a", dev_eui="11" * 7 + "12")
    held = store.keys.read().app_keys()
    with pytest.raises(UsageError, match='--dev-eui 1111111111111112: the node "a" has it'):
        store.add(dev_eui="11" * 7 + "12")
    with pytest.raises(UsageError, match='--name "a": another node has it'):
        store.add(name="a")
    assert store.keys.read().app_keys() == held


def test_a_key_is_given_once_in_the_stations_life(store: Store) -> None:
    store.add(name="a", app_key=KEY)
    with pytest.raises(UsageError, match="a key was given to a node before"):
        store.add(app_key=KEY)
    provision.revoke(store.journal, store.keys, "a", 20)
    with pytest.raises(UsageError, match="a key was given to a node before"):
        store.add(app_key=KEY)
    with pytest.raises(UsageError, match="a key was given to a node before"):
        provision.add(store.journal, store.keys, new_device(**ABP), 1)


def test_a_revoked_node_makes_room_for_a_new_registration(store: Store) -> None:
    store.add(name="a", dev_eui="70b3d57ed0001a2b")
    gone = provision.revoke(store.journal, store.keys, "a", 20)
    assert (gone.registration, store.keys.read().app_keys()) == (1, {})
    assert store.add(name="a", dev_eui="70b3d57ed0001a2b") == 2
    assert provision.revoke(store.journal, store.keys, "70b3d57ed0001a2b", 21).registration == 2
    with pytest.raises(UsageError, match='there is no node "a"; see: suat device list'):
        provision.revoke(store.journal, store.keys, "a", 22)
    store.add(name="soil-7")
    with pytest.raises(UsageError, match=r'no node "soil-8" \(did you mean "soil-7"\?\)'):
        provision.revoke(store.journal, store.keys, "soil-8", 22)


def test_a_registration_that_fails_leaves_the_keys_as_they_were(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add()
    before = (store.path / "keys.json").read_bytes()

    def full(*_: object) -> int:
        raise SuatError("the disk is full")

    monkeypatch.setattr(Journal, "add_device", full)
    with pytest.raises(SuatError, match="the disk is full"):
        store.add(app_key=KEY)
    assert (store.path / "keys.json").read_bytes() == before


# -- the key file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_station_reads_the_keys(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = RootKeys(tmp_path / "data")
    before = os.umask(0)
    try:
        with keys.changing() as held:
            held.add("aa" * 8, bytes.fromhex(KEY), [])
            held.save()
    finally:
        os.umask(before)
    file = tmp_path / "data" / "keys.json"
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert [entry.name for entry in file.parent.iterdir()] == ["keys.json"]
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert keys.read().app_keys() == {"aa" * 8: bytes.fromhex(KEY)}
    assert mode(file) == 0o600
    assert "could be read by others (mode 644)" in caplog.text
    assert KEY not in caplog.text


def test_fingerprints_tell_no_key(tmp_path: Path) -> None:
    keys = RootKeys(tmp_path)
    with keys.changing() as held:
        held.add("aa" * 8, None, [bytes.fromhex(KEY)])
        held.save()
    assert KEY not in (tmp_path / "keys.json").read_text()
    assert keys.read().was_used(bytes.fromhex(KEY))
    assert not keys.read().was_used(bytes.fromhex(OTHER))
    for shown in (repr(keys), repr(keys.read()), repr(new_device(**ABP))):
        assert KEY not in shown
        assert repr(bytes.fromhex(KEY)) not in shown


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = RootKeys(tmp_path)
    with keys.changing() as held:
        held.add("aa" * 8, bytes.fromhex(KEY), [])
        held.save()

    def full(*_: object, **__: object) -> Any:
        raise OSError(28, "No space left on device")

    owner, name = {"write": (os, "open"), "fsync": (os, "fsync"), "replace": (Path, "replace")}[step]
    with keys.changing() as held:
        held.add("bb" * 8, bytes.fromhex(OTHER), [])
        monkeypatch.setattr(owner, name, full)
        with pytest.raises(SuatError, match="can't be written: No space left on device"):
            held.save()
        monkeypatch.undo()
    assert list(keys.read().app_keys()) == ["aa" * 8]
    with keys.changing() as held:  # what was left half-written is in nobody's way
        held.add("bb" * 8, bytes.fromhex(OTHER), [])
        held.save()
    assert len(keys.read().app_keys()) == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"app_keys": [], "used": []}', '{"app_keys": {"a": "xx"}, "used": []}']
)
def test_a_damaged_file_says_so_without_its_content(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(SuatError, match=r"keys\.json: damaged; restore it from a backup") as caught:
        RootKeys(tmp_path).read()
    assert caught.value.__cause__ is None


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with (
        pytest.raises(SuatError, match="must be a folder that you may write to"),
        RootKeys(tmp_path / "data").changing(),
    ):
        pass
    with pytest.raises(SuatError, match=r"keys\.json: Not a directory"):
        RootKeys(tmp_path / "data").read()


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    keys = RootKeys(tmp_path)
    assert keys.read().app_keys() == {}
    with keys.changing() as held:
        held.add("aa" * 8, bytes.fromhex(KEY), [])
        held.remove("bb" * 8)
        held.save()
    assert json.loads((tmp_path / "keys.json").read_text())["app_keys"] == {"aa" * 8: KEY}
