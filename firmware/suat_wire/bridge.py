"""The serial line between a gateway and its USB radio: frames, messages, both ends (docs/bridge.md).

    C0 | version u8 | number u8 | sequence u8 | fields | data | CRC-32 of all since C0 | C0       little-endian

Within a frame the bytes C0, DB and 03 travel as DB DC, DB DD and DB DE: C0 is always a frame's border, so that reading
resumes behind any noise, and 03 (^C) keeps its meaning on a MicroPython console. Each side numbers its own frames
modulo 256.

Times: `tmst` are microseconds of the bridge's own clock modulo 2^32, at the end of a frame that was received and at the
start of one to be sent. `hz` Hz, `khz` the bandwidth, `dbm` at the antenna connector.
"""

import struct
from binascii import crc32

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
LIMIT = 640  # bytes of a frame as it travels: 255 of payload, all of them escaped, and what comes with it

# `result`: what became of a request to send
QUEUED, SENT, TOO_LATE, TOO_EARLY, COLLISION, FREQUENCY, POWER, FAILED = range(8)
# `error`: what the bridge could not take
UNKNOWN, REFUSED, RADIO = range(3)

_PLACE = "hz:I sf:B khz:H"
# name -> number, fields with their struct codes; what follows the fields is data
MESSAGES = {
    # gateway -> bridge
    "hello": (1, ""),  # asks for `caps`
    "config": (2, _PLACE + " dbm:b"),  # listen here, send with so much at most; asks for `configured`
    "send": (3, "tmst:I " + _PLACE + " dbm:b"),  # data: the frame; IQ inverted, no CRC: a downlink. Asks for `result`
    "ping": (4, "host_us:Q"),  # asks for `pong`
    "stat": (5, ""),  # asks for `status`
    # bridge -> gateway
    "caps": (16, "major:B minor:B boot:I low:I high:I dbm:b queue:B"),  # boot: other after each start
    "configured": (17, _PLACE + " dbm:b"),  # what is in force
    "result": (18, "of:B code:B tmst:I"),  # of: the request's sequence; first QUEUED or a refusal, then SENT or FAILED
    "pong": (19, "host_us:Q tmst:I"),  # tmst: when the ping was read
    "status": (20, "uptime:I received:I broken:I sent:I refused:I dropped:I garbled:I radio_errors:I"),
    "received": (21, "tmst:I " + _PLACE + " rssi:h snr:b whole:B"),  # data: the frame; snr in 0.25 dB; whole: CRC good
    "error": (22, "of:B code:B"),  # data: why, in words
}
_NAMES = {row[0]: name for name, row in MESSAGES.items()}


class FrameError(ValueError):
    """What was to be sent does not fit the message's fields."""


class Message:
    """One message: `kind` as in MESSAGES, `fields` by name, `data` behind them."""

    def __init__(self, kind: str, sequence: int, fields: "Mapping[str, int]", data: bytes) -> None:
        self.kind = kind
        self.sequence = sequence
        self.fields = fields
        self.data = data


def _fields(kind: str) -> "list[list[str]]":
    return [field.split(":") for field in MESSAGES[kind][1].split()]


def _format(kind: str) -> str:
    return "<BBB" + "".join([code for _, code in _fields(kind)])


def encode(kind: str, sequence: int, fields: "Mapping[str, int]", data: bytes = b"") -> bytes:
    """A frame as it travels. FrameError: a field is missing, unknown or out of range, or the data is too long."""
    table = _fields(kind)
    if len(fields) != len(table) or len(data) > 255:
        raise FrameError("%s with %s and %d bytes" % (kind, sorted(fields), len(data)))
    values = []
    for name, code in table:
        value = fields.get(name)
        bits = 8 * struct.calcsize(code)
        low = -(1 << bits - 1) if code > "Z" else 0
        if value is None or not low <= value < low + (1 << bits):
            raise FrameError("%s: %s %s" % (kind, name, value))
        values.append(value)
    body = struct.pack(_format(kind), VERSION, MESSAGES[kind][0], sequence & 255, *values) + data
    body += struct.pack("<I", crc32(body))
    body = body.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc").replace(b"\x03", b"\xdb\xde")
    return b"\xc0" + body + b"\xc0"


def decode(body: bytes) -> "Message | None":
    """What was between two borders; None unless it is a whole frame of this version."""
    body = body.replace(b"\xdb\xde", b"\x03").replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
    if len(body) < 7 or body[0] != VERSION or crc32(body[:-4]) != struct.unpack("<I", body[-4:])[0]:
        return None
    kind = _NAMES.get(body[1])
    if kind is None:
        return Message("", body[2], {}, b"")
    size = struct.calcsize(_format(kind))
    if len(body) < size + 4:
        return None
    values = struct.unpack_from(_format(kind), body, 0)
    fields = {field[0]: value for field, value in zip(_fields(kind), values[3:])}  # noqa: B905
    return Message(kind, body[2], fields, body[size:-4])


class Reader:
    """Messages from a stream of bytes; never raises, never holds more than LIMIT bytes. `garbled`: pieces thrown away.

    A message of a number that is not known has the kind "".
    """

    def __init__(self) -> None:
        self.garbled = 0
        self._held = b""

    def feed(self, data: bytes) -> "list[Message]":
        """The messages that are complete now."""
        pieces = (self._held + data).split(b"\xc0")
        self._held = pieces.pop()
        out = []
        for piece in pieces:
            message = decode(piece)
            if message is not None:
                out.append(message)
            elif piece:
                self.garbled += 1
        if len(self._held) > LIMIT:
            self._held = b""
            self.garbled += 1
        return out
