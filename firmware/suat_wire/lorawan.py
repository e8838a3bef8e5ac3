"""LoRaWAN 1.0.4 frames (TS001-1.0.4 sections 4 and 6): data both ways, join request, join accept, session keys.

    data   MHDR(1) | DevAddr(4) FCtrl(1) FCnt(2) FOpts(0..15) | FPort(0..1) | FRMPayload | MIC(4)     little-endian
    FCtrl  up: ADR ADRACKReq ACK ClassB FOptsLen(4)      down: ADR - ACK FPending FOptsLen(4)

EUIs are 8 bytes as printed (the wire reverses them), DevAddr and counters are integers, keys are `Aes` objects.
"""

import struct
from collections import namedtuple

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import NamedTuple

    from suat_wire.aes import Aes

UP, DOWN = 0, 1
JOIN_REQUEST, JOIN_ACCEPT = 0, 1
UNCONFIRMED_UP, UNCONFIRMED_DOWN, CONFIRMED_UP, CONFIRMED_DOWN = 2, 3, 4, 5

LIMIT32 = 0xFFFFFFFF


class FrameError(ValueError):
    """Bytes that are no LoRaWAN 1.0.4 frame, or a frame that cannot be built."""


if __debug__ and TYPE_CHECKING:

    class DataFrame(NamedTuple):
        """A data frame as received: `payload` is still encrypted, `fcnt16` is the low half of the counter."""

        mtype: int
        dev_addr: int
        adr: bool
        adr_ack_req: bool
        ack: bool
        pending: bool
        fcnt16: int
        fopts: bytes
        fport: int | None
        payload: bytes
        phy: bytes

    class JoinAccept(NamedTuple):
        join_nonce: int
        net_id: int
        dev_addr: int
        dl_settings: int
        rx_delay: int
        cflist: bytes
else:
    DataFrame = namedtuple(
        "DataFrame",
        ("mtype", "dev_addr", "adr", "adr_ack_req", "ack", "pending", "fcnt16", "fopts", "fport", "payload", "phy"),
    )
    JoinAccept = namedtuple("JoinAccept", ("join_nonce", "net_id", "dev_addr", "dl_settings", "rx_delay", "cflist"))


def parse_data(phy: bytes) -> DataFrame:
    """Take a data frame apart. FrameError: not one, cut short, or MAC commands both in FOpts and on FPort 0."""
    size = len(phy)
    if not 12 <= size <= 255:
        raise FrameError("a data frame has 12 to 255 bytes, not %d" % size)
    mhdr, dev_addr, fctrl, fcnt16 = struct.unpack_from("<BIBH", phy, 0)
    mtype = mhdr >> 5
    if not 2 <= mtype <= 5 or mhdr & 3:
        raise FrameError("MHDR %02x is no LoRaWAN R1 data frame" % mhdr)
    start = 8 + (fctrl & 15)
    end = size - 4
    if start > end:
        raise FrameError("FOptsLen %d is longer than the frame" % (fctrl & 15))
    fport = phy[start] if start < end else None
    if fport == 0 and start > 8:
        raise FrameError("MAC commands both in FOpts and on FPort 0")
    up = not mtype & 1  # the odd types travel down
    return DataFrame(
        mtype,
        dev_addr,
        fctrl & 0x80 != 0,
        up and fctrl & 0x40 != 0,
        fctrl & 0x20 != 0,
        not up and fctrl & 0x10 != 0,
        fcnt16,
        phy[8:start],
        fport,
        phy[start + 1 : end],
        phy,
    )


def _crypt(key: "Aes", direction: int, dev_addr: int, fcnt: int, data: bytes) -> bytes:
    """XOR with the key stream of the blocks A_i (TS001 4.3.3); the same both ways."""
    size = len(data)
    if size <= 16:
        blocks = struct.pack("<BIBIIBB", 1, 0, direction, dev_addr, fcnt, 0, 1)
    else:
        blocks = b"".join(
            [struct.pack("<BIBIIBB", 1, 0, direction, dev_addr, fcnt, 0, i) for i in range(1, (size + 15) // 16 + 1)]
        )
    stream = key.encrypt(blocks)
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream[:size], "big")).to_bytes(size, "big")


def _mic(nwk: "Aes", direction: int, dev_addr: int, fcnt: int, message: bytes) -> bytes:
    """First four bytes of the CMAC over B0 and the message (TS001 4.4)."""
    return nwk.cmac(struct.pack("<BIBIIBB", 0x49, 0, direction, dev_addr, fcnt, 0, len(message)) + message)[:4]


def seal(
    nwk: "Aes",
    app: "Aes",
    mtype: int,
    dev_addr: int,
    fcnt: int,
    fport: int | None,
    payload: bytes,
    fopts: bytes = b"",
    adr: bool = False,
    adr_ack_req: bool = False,
    ack: bool = False,
    pending: bool = False,
) -> bytes:
    """Build, encrypt and sign a data frame with the 32-bit counter `fcnt`; FPort 0 is encrypted with the network key.

    The region's size limit is the caller's: len(fopts) + len(payload) <= region.max_payload[dr].
    """
    if not 2 <= mtype <= 5:
        raise FrameError("MType %d is no data frame" % mtype)
    if not 0 <= dev_addr <= LIMIT32 or not 0 <= fcnt <= LIMIT32:
        raise FrameError("DevAddr and FCnt have 32 bits")
    if fport is None and payload:
        raise FrameError("a payload needs an FPort")
    if fport is not None and not 0 <= fport <= 255:
        raise FrameError("FPort %d is not within 0..255" % fport)
    if len(fopts) > 15 or (fopts and fport == 0):
        raise FrameError("MAC commands: at most 15 bytes in FOpts, or on FPort 0, never both")
    if len(payload) + len(fopts) > 242:
        raise FrameError("%d bytes are more than any data rate carries" % (len(payload) + len(fopts)))
    direction = mtype & 1
    flags = (0x80 if adr else 0) | (0x20 if ack else 0) | len(fopts)
    if adr_ack_req and direction == UP:
        flags |= 0x40
    if pending and direction == DOWN:
        flags |= 0x10
    message = struct.pack("<BIBH", mtype << 5, dev_addr, flags, fcnt & 0xFFFF) + fopts
    if fport is not None:
        message += bytes((fport,)) + _crypt(app if fport else nwk, direction, dev_addr, fcnt, payload)
    return message + _mic(nwk, direction, dev_addr, fcnt, message)


def infer_fcnt(fcnt16: int, expected: int) -> int:
    """The smallest 32-bit counter not below `expected` whose low 16 bits were received (TS001 4.3.1.5)."""
    return expected + ((fcnt16 - expected) & 0xFFFF)


def mic_ok(nwk: "Aes", frame: DataFrame, fcnt: int) -> bool:
    """Whether the frame was signed with this key and this 32-bit counter."""
    if fcnt > LIMIT32:
        return False
    phy = frame.phy
    return _mic(nwk, frame.mtype & 1, frame.dev_addr, fcnt, phy[:-4]) == phy[-4:]


def open_payload(nwk: "Aes", app: "Aes", frame: DataFrame, fcnt: int) -> bytes:
    """Decrypt the payload of a frame whose MIC was found good."""
    data = frame.payload
    if not data:
        return b""
    return _crypt(app if frame.fport else nwk, frame.mtype & 1, frame.dev_addr, fcnt, data)


def backwards(data: bytes) -> bytes:
    """Byte order of the wire; MicroPython slices bytes with step 1 only."""
    return bytes(reversed(data))


def join_request(app_key: "Aes", join_eui: bytes, dev_eui: bytes, dev_nonce: int) -> bytes:
    """Join request (23 bytes). `dev_nonce` counts up with each request and is never used again."""
    if len(join_eui) != 8 or len(dev_eui) != 8 or not 0 <= dev_nonce <= 0xFFFF:
        raise FrameError("an EUI has 8 bytes, a DevNonce 16 bits")
    message = b"\x00" + backwards(join_eui) + backwards(dev_eui) + struct.pack("<H", dev_nonce)
    return message + app_key.cmac(message)[:4]


def parse_join_accept(app_key: "Aes", phy: bytes) -> JoinAccept:
    """Decrypt and check a join accept. FrameError: not one, or not for this root key."""
    if len(phy) not in (17, 33) or phy[0] & 0xE3 != 0x20:
        raise FrameError("not a join accept")
    body = app_key.encrypt(phy[1:])
    message = phy[:1] + body[:-4]
    if app_key.cmac(message)[:4] != body[-4:]:
        raise FrameError("the join accept's MIC is wrong")
    dev_addr, dl_settings, rx_delay = struct.unpack_from("<IBB", body, 6)
    return JoinAccept(
        int.from_bytes(body[:3], "little"),
        int.from_bytes(body[3:6], "little"),
        dev_addr,
        dl_settings,
        rx_delay & 15,
        body[12:-4],
    )


def session_keys(app_key: "Aes", join_nonce: int, net_id: int, dev_nonce: int) -> tuple[bytes, bytes]:
    """(NwkSKey, AppSKey) of a join (TS001 6.2.5)."""
    tail = join_nonce.to_bytes(3, "little") + net_id.to_bytes(3, "little") + dev_nonce.to_bytes(2, "little") + bytes(7)
    return app_key.encrypt(b"\x01" + tail), app_key.encrypt(b"\x02" + tail)


try:
    from suat_wire.lorawan_host import *  # noqa: F403
except ImportError:  # a node
    pass
