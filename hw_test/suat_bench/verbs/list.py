"""`suat-bench list`: the boards on USB and what they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, NamedTuple, Protocol

import typer

# (vendor, product) -> what answers there. USB-IF and the makers' own lists: Raspberry Pi "usb-pid",
# Espressif "usb-pids", Silicon Labs AN721, WCH CH340 datasheet.
KNOWN: dict[tuple[int, int], str] = {
    (0x2E8A, 0x0003): "RP2040 in its boot loader: ready for a UF2 file",
    (0x2E8A, 0x0005): "RP2040 with MicroPython",
    (0x303A, 0x1001): "ESP32-S3 (USB serial/JTAG)",
    (0x303A, 0x4001): "ESP32-S3 with MicroPython",
    (0x10C4, 0xEA60): "USB-serial bridge CP210x: Heltec V3 and other ESP32 boards",
    (0x1A86, 0x7523): "USB-serial bridge CH340: ESP32 boards, RS-485 sticks",
    (0x1A86, 0x55D4): "USB-serial bridge CH9102: LilyGO and other ESP32 boards",
    (0x0403, 0x6001): "USB-serial bridge FT232: RS-485 sticks",
}


class Port(Protocol):
    """A serial port as pyserial describes it."""

    device: str
    vid: int | None
    pid: int | None
    serial_number: str | None


class Board(NamedTuple):
    """A port and what is likely behind it."""

    port: str
    what: str
    serial_number: str | None


def boards(ports: Iterable[Port]) -> list[Board]:
    """The USB ports among `ports`, by name; those of an unknown maker are told as such."""
    return sorted(
        Board(
            port.device,
            KNOWN.get((port.vid, port.pid or 0), f"unknown USB device {port.vid:04x}:{port.pid or 0:04x}"),
            port.serial_number,
        )
        for port in ports
        if port.vid is not None
    )


def list_boards(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """The boards on USB and what they are."""
    from serial.tools.list_ports import comports

    found = boards(comports())
    if not found and not as_json:
        print("no board on USB: plug one in with a data cable (many cables only charge)")
    for board in found:
        if as_json:
            print(json.dumps(board._asdict()))
        else:
            print(f"{board.port:16} {board.what}{f'  no. {board.serial_number}' if board.serial_number else ''}")
