"""Joins as the server sees them: the part of `lorawan.py` that no node carries. Only that file imports this one."""

import struct
from collections import namedtuple

from suat_wire.lorawan import LIMIT32, FrameError, backwards

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from suat_wire.aes import Aes

    class JoinRequest(NamedTuple):
        join_eui: bytes
        dev_eui: bytes
        dev_nonce: int
else:
    JoinRequest = namedtuple("JoinRequest", ("join_eui", "dev_eui", "dev_nonce"))


def parse_join_request(phy: bytes) -> JoinRequest:
    """Take a join request apart; its MIC is checked by `join_request_mic_ok`."""
    if len(phy) != 23 or phy[0] & 0xE3 != 0:
        raise FrameError("not a join request")
    return JoinRequest(backwards(phy[1:9]), backwards(phy[9:17]), struct.unpack_from("<H", phy, 17)[0])


def join_request_mic_ok(app_key: "Aes", phy: bytes) -> bool:
    """Whether the join request was signed with this root key."""
    return app_key.cmac(phy[:-4])[:4] == phy[-4:]


def join_accept(
    app_key: "Aes",
    join_nonce: int,
    net_id: int,
    dev_addr: int,
    dl_settings: int,
    rx_delay: int,
    cflist: bytes = b"",
) -> bytes:
    """Join accept (17 or 33 bytes), CPython only: it is made with AES *decrypt*, so that nodes need only encrypt."""
    if not 0 <= join_nonce <= 0xFFFFFF or not 0 <= net_id <= 0xFFFFFF or not 0 <= dev_addr <= LIMIT32:
        raise FrameError("JoinNonce and NetID have 24 bits, DevAddr 32")
    if not 0 <= dl_settings <= 255 or not 0 <= rx_delay <= 15 or len(cflist) not in (0, 16):
        raise FrameError("DLSettings has 8 bits, RxDelay 4, a CFList 16 bytes")
    message = b"\x20" + join_nonce.to_bytes(3, "little") + net_id.to_bytes(3, "little")
    message += struct.pack("<IBB", dev_addr, dl_settings, rx_delay) + cflist
    return message[:1] + app_key.decrypt(message[1:] + app_key.cmac(message)[:4])
