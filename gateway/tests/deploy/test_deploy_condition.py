"""What `suat doctor` says of certificate, PIN and file modes, and that it can ask a station behind HTTPS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from suat.config import parse
from suat.show import guard, tls
from suat.show.condition import board_condition

NOW_US = 1_780_000_000_000_000
DAY_US = 86_400_000_000


def config(folder: Path, **board: Any) -> Any:
    return parse({"station": {"name": "Asy", "data_dir": str(folder)}, "board": board})


def told(settings: Any, days: int = 0) -> dict[str, str]:
    return {what: level for level, what, _ in board_condition(settings, NOW_US + days * DAY_US)}


def test_a_page_on_this_machine_alone_needs_nothing(tmp_path: Path) -> None:
    assert told(config(tmp_path)) == told(config(tmp_path, bind="localhost:8080")) == {}


def test_tablets_without_https_are_told(tmp_path: Path) -> None:
    for bind in ("0.0.0.0:8080", "192.168.50.1:8080"):
        (what,) = told(config(tmp_path, bind=bind))
        assert what.startswith("tablets read the board page without HTTPS")


def test_the_certificates_life_is_told(tmp_path: Path) -> None:
    settings = config(tmp_path, bind="127.0.0.1:8443", tls=True)
    assert told(settings)["the board page has no certificate yet"] == "look"
    tls.ensure(settings, NOW_US)
    guard.set_pin(tmp_path, "402871")
    assert told(settings) == {"the board's certificate holds 396 days more": "good"}
    assert told(settings, 380) == {"the board's certificate holds 16 days more": "bad"}
    (tmp_path / "tls" / "board.pem").write_text("torn")
    assert "bad" in told(settings).values()


def test_a_file_that_others_can_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{}")
    (tmp_path / "keys.json").chmod(0o640)
    assert told(config(tmp_path)) == {f"{tmp_path / 'keys.json'} can be read by others": "bad"}
    (tmp_path / "keys.json").chmod(0o600)
    assert told(config(tmp_path)) == {}


@pytest.fixture
def asy(tmp_path: Path, bench: dict[str, Any]) -> Iterator[Any]:
    station = bench["Station"](tmp_path / "asy", '\n[time]\nsources = ["confirmed"]\n')
    text = station.config.read_text().replace("[board]\n", '[board]\ntls = true\nnames = ["suat.local"]\n')
    station.config.write_text(text)
    yield station
    station.cleaned_up()


def test_the_station_behind_https_is_asked_and_nothing_it_keeps_is_open_to_others(asy: Any) -> None:
    """Promise 16: whatever the umask, every file of a running station is 0600, every folder 0700."""
    before = os.umask(0)
    try:
        asy.register(1)
        asy.start()
        asy.suat("doctor", status=1)  # its clock is not known
        asy.stop()
    finally:
        os.umask(before)
    data = asy.folder / "data"
    modes = {path.relative_to(data).as_posix(): path.stat().st_mode & 0o777 for path in [data, *data.rglob("*")]}
    assert modes.pop(".") == modes.pop("tls") == 0o700
    assert {"journal.db", "tls/ca.key", "tls/board.key"} <= modes.keys()
    assert set(modes.values()) == {0o600}, modes


def test_doctor_hears_a_station_behind_https(asy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from suat.config import load
    from suat.doctor import examine

    asy.register(1)
    asy.start()
    found = [finding.what for finding in examine(load(asy.config), NOW_US)]
    assert any(what.startswith("the station says: the time is unknown") for what in found), found
    asy.stop()
