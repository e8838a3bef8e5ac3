"""The bench names the boards on USB."""

from __future__ import annotations

import json

import pytest
from serial.tools.list_ports_common import ListPortInfo
from suat_bench.cli import main
from suat_bench.verbs import list as verb


def port(device: str, vid: int | None = None, pid: int | None = None, serial_number: str | None = None) -> ListPortInfo:
    info = ListPortInfo(device)
    info.vid, info.pid, info.serial_number = vid, pid, serial_number
    return info


def test_known_boards_are_named_unknown_ones_numbered_and_what_is_not_usb_left_out() -> None:
    found = verb.boards(
        [
            port("/dev/ttyUSB0", 0x10C4, 0xEA60),
            port("/dev/ttyS0"),
            port("/dev/ttyACM0", 0x2E8A, 0x0005, "e660583883"),
            port("/dev/ttyACM1", 0x1234, 0x00AB),
        ]
    )
    assert [board.port for board in found] == ["/dev/ttyACM0", "/dev/ttyACM1", "/dev/ttyUSB0"]
    assert "RP2040 with MicroPython" in found[0].what
    assert found[0].serial_number == "e660583883"
    assert "1234:00ab" in found[1].what
    assert "Heltec" in found[2].what


def test_the_command_prints_one_object_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [port("/dev/ttyACM0", 0x303A, 0x4001)])
    with pytest.raises(SystemExit) as left:
        main(["list", "--json"])
    assert left.value.code == 0
    assert json.loads(capsys.readouterr().out)["what"] == "ESP32-S3 with MicroPython"


def test_an_unknown_verb_is_bad_usage_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["lst"])
    assert left.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
