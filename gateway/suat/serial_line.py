"""A serial port that comes back: found by what it says of itself on USB, whatever name the kernel gives it.

Opening may block and is offloaded; bytes come and go on the loop by pyserial-asyncio-fast. A port that goes is closed,
whole, before it is tried again: no descriptor and no task is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import termios
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from suat.clock import Scheduler, Timer
from suat.errors import SuatError

if TYPE_CHECKING:
    from serial import Serial

log = logging.getLogger(__name__)

AGAIN_S = (0.1, 2.0)  # first and longest wait before a port is tried again
STOP_S = 2.0  # for a port that is just being opened or closed
MOST_UNSENT = 1024  # bytes that the port has not taken yet

_USB = re.compile(r"usb:(?:(?P<vid>[0-9a-fA-F]{4}):(?P<pid>[0-9a-fA-F]{4})(?::(?P<of>.+))?|(?P<serial>[^:]+))")


def _is_port(text: str) -> str:
    if not text.startswith("/") and not _USB.fullmatch(text):
        raise ValueError(
            f'"{text}" is no port: a path such as /dev/ttyACM0, or usb:VID:PID, usb:VID:PID:SERIAL or usb:SERIAL'
            " (pyserial-ports -v lists them)"
        )
    return text


PortName = Annotated[str, AfterValidator(_is_port)]


def locate(port: str, plugged: Callable[[], Iterable[Any]] | None = None) -> str:
    """The path of a port now; SuatError when it is not plugged in, or not the only one. `plugged`: what is there."""
    named = _USB.fullmatch(port)
    if named is None:
        return port
    if plugged is None:
        from serial.tools.list_ports import comports

        plugged = comports
    number = named["of"] or named["serial"]
    found = sorted(
        entry.device
        for entry in plugged()
        if (named["vid"] is None or (entry.vid, entry.pid) == (int(named["vid"], 16), int(named["pid"], 16)))
        and (number is None or entry.serial_number == number)
    )
    if not found:
        raise SuatError(f"{port} is not plugged in")
    if len(found) > 1:
        raise SuatError(f"{port} is any of {', '.join(found)}; add the serial number: usb:VID:PID:SERIAL")
    return str(found[0])


def port_fault(port: str) -> str | None:
    """Why a port can't be used now, with what to do; None when it can. It is not opened."""
    try:
        path = locate(port)
    except SuatError as error:
        return f"{error}; plug it in, or correct port (pyserial-ports -v)"
    if not os.path.exists(path):  # noqa: PTH110 - a device, not a file
        return f"{path} is not there; plug it in, or see: ls /dev/serial/by-id"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"{path}: no right to open it; add the user to the group dialout"
    return None


def open_port(port: str, **line: Any) -> Serial:
    """Open a port for this process alone, without waiting in reads and writes; SuatError when it can't be."""
    from serial import Serial

    path = locate(port)
    try:
        return Serial(path, timeout=0, write_timeout=0, exclusive=True, **line)
    except (OSError, ValueError) as error:  # SerialException is an OSError
        number = getattr(error, "errno", None)
        raise SuatError(f"{path}: {os.strerror(number) if number else error}") from error


class Line:
    """Keeps a port open. `on_open`, `on_data` and `on_lost` are called on the loop's thread."""

    def __init__(
        self,
        scheduler: Scheduler,
        port: str,
        opener: Callable[[], Serial],
        on_open: Callable[[], None],
        on_data: Callable[[bytes], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.path = ""  # of the port that is open
        self._scheduler = scheduler
        self._port = port
        self._opener = opener
        self._on_open, self._on_data, self._on_lost = on_open, on_data, on_lost
        self._transport: Any = None
        self._opening = False
        self._stopped = True
        self._timer: Timer | None = None
        self._wait_s = AGAIN_S[0]
        self._told = ""  # the last state that was logged: a port that is away costs one line

    def start(self) -> None:
        """Open the port in the background, and again whenever it goes."""
        self._stopped = False
        if not self._opening:  # from before a stop that did not wait so long
            self._open()

    async def stop(self) -> None:
        """Close it; afterwards nothing is called any more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._close()
        deadline = asyncio.get_running_loop().time() + STOP_S
        while (self._opening or self._transport is not None) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.005)

    def write(self, data: bytes) -> bool:
        """Hand bytes to the port; False when it is not there, or takes none."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > MOST_UNSENT:
            return False
        transport.write(data)
        return True

    def proved(self) -> None:
        """The right device answers: when it goes, it is tried again soon."""
        self._wait_s = AGAIN_S[0]
        self._told = ""

    def drop(self, why: str) -> None:
        """Close the port and try again: the wrong device is at it, or it fell silent."""
        self._state(why)
        self._close()

    # -- opening and closing

    def _open(self) -> None:
        self._timer = None
        self._opening = True
        self._scheduler.offload(self._opener, self._opened, lane=f"serial {self._port}")

    def _opened(self, port: Serial | None, error: BaseException | None) -> None:
        self._opening = False
        if port is None:
            self._state(str(error))
            self._again()
        elif self._stopped:
            port.close()
        else:
            self.path = str(port.port)
            self._transport = _transport(asyncio.get_running_loop(), _Ends(self), port)

    def _close(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            with contextlib.suppress(OSError, termios.error):  # the port may be gone already
                transport.serial.reset_output_buffer()  # or closing would wait for a device that reads nothing
            transport.abort()

    def _again(self) -> None:
        if not self._stopped:
            self._timer = self._scheduler.call_later(self._wait_s, self._open)
            self._wait_s = min(self._wait_s * 2, AGAIN_S[1])

    def _lost(self, error: Exception | None) -> None:
        self._transport = None
        if error is not None:
            self._state(f"{self.path} is gone")
        self._on_lost()
        self._again()

    def _state(self, what: str) -> None:
        if not self._stopped and what != self._told:
            self._told = what
            log.warning("port %s: %s; it is tried again every %.0f s", self._port, what, AGAIN_S[1])


class _Ends(asyncio.Protocol):
    """What the transport calls."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def connection_made(self, _transport: asyncio.BaseTransport) -> None:
        self._line._on_open()

    def data_received(self, data: bytes) -> None:
        self._line._on_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._line._lost(error)


def _transport(loop: asyncio.AbstractEventLoop, ends: _Ends, port: Serial) -> Any:
    from serial_asyncio_fast import SerialTransport

    class Quiet(SerialTransport):
        """A cable that was pulled out while we wrote is no fault of the program: no traceback."""

        def _fatal_error(self, exc: BaseException, message: str = "") -> None:
            self._abort(exc)

    return Quiet(loop, ends, port)
