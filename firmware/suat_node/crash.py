"""The last exception, kept for the health frame: one small file that cannot fill the flash."""

import io
import sys
from binascii import crc32

FILE = "/suat/crash.txt"


def last() -> int:
    """CRC of the last exception's lines, 0 for none."""
    try:
        with open(FILE, "rb") as file:
            return int(crc32(file.read()))
    except OSError:
        return 0


def note(error: Exception) -> None:
    """Keep it; the file is written only when it is another exception than before."""
    text = io.StringIO()
    sys.print_exception(error, text)
    data = text.getvalue().encode()
    if crc32(data) == last():
        return
    try:
        with open(FILE, "wb") as file:
            file.write(data)
    except OSError:
        pass  # flash is full or broken; the console has it
