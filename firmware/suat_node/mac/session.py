"""The LoRaWAN session: keys, channels and what the network has set; seals uplinks, opens downlinks.

Counters are in keep/counters.py. Everything here travels with them to flash and RTC memory, so that a node that
restarts still knows the network's settings (TS001-1.0.4 4.2.2 asks this of every device that keeps its session).
"""

import struct
from binascii import crc32

from suat_wire import commands, lorawan
from suat_wire.aes import Aes
from suat_wire.region import REGIONS, decode_cflist

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from suat_node.config import Config
    from suat_node.keep.counters import Counters

MAX_CHANNELS = 16
_FIXED = "<BI16s16sBBBBBIBHBHBbhBBI"
_CHANNEL = "<IIB"


def whole(answers: bytes, limit: int) -> bytes:
    """The commands from the front that `limit` bytes take whole."""
    return commands.join([bytes((cid,)) + args for cid, args in commands.parse(answers, lorawan.UP)], limit)


class Downlink:
    """A genuine downlink: `fport` None when it has no payload, `commands` the MAC commands as (CID, arguments)."""

    def __init__(self, fport: "int | None", payload: bytes, mac: "list[tuple[int, bytes]]") -> None:
        self.fport = fport
        self.payload = payload
        self.commands = mac


class Session:
    """State of one activation."""

    def __init__(self, config: "Config") -> None:
        self.region = REGIONS[config.region]
        self.config = config
        self.adr = config.adr  # a downlink may change it
        self.joined = False
        self.dev_addr = 0
        self._nwk = self._app = bytes(16)
        self._keys: "tuple[Aes, Aes] | None" = None
        self.sticky = b""  # answers repeated until a downlink shows that they arrived (TS001 5.4, 5.7, 5.10)
        self.answers = b""  # answers sent once
        self.ack = False  # the last downlink was a confirmed one
        self.snr = 0  # of the last downlink, dB
        self.rssi = 0  # dBm, 0: none was heard
        self.reset_radio()
        if not config.otaa:
            self.activate(config.dev_addr, config.nwk_skey, config.app_skey)

    def reset_radio(self) -> None:
        """What the region says before the network says anything else."""
        region = self.region
        self.dr = self.config.dr
        self.power = 0  # TXPower index
        self.nb_trans = 1
        self.rx1_offset = 0
        self.rx2_dr = region.rx2_dr
        self.rx2_hz = region.rx2_hz
        self.rx1_delay = region.rx1_delay_s
        self.max_duty = 0  # share 1 / 2^n
        self.adr_count = 0
        self.channels = [[hz, hz, 0x50] for hz in region.channels_hz]  # uplink, downlink, data rates max << 4 | min
        self.mask = (1 << len(self.channels)) - 1

    def activate(self, dev_addr: int, nwk: bytes, app: bytes) -> None:
        """Begin a session with these keys."""
        self.joined = True
        self.dev_addr = dev_addr
        self._nwk, self._app = nwk, app
        self._keys = None
        self.sticky = self.answers = b""
        self.ack = False

    def accept(self, answer: "lorawan.JoinAccept", keys: "tuple[bytes, bytes]") -> None:
        """Take over a join accept (TS001 6.2.6)."""
        self.reset_radio()
        self.activate(answer.dev_addr, keys[0], keys[1])
        offset = answer.dl_settings >> 4 & 7
        if offset <= self.region.last_rx1_offset:
            self.rx1_offset = offset
        if answer.dl_settings & 15 in self.region.data_rates:
            self.rx2_dr = answer.dl_settings & 15
        self.rx1_delay = max(1, answer.rx_delay)
        if answer.cflist and answer.cflist[15] == 0:
            for hz in decode_cflist(answer.cflist):
                if self.region.duty_cycle(hz) > 0 and len(self.channels) < MAX_CHANNELS:
                    self.mask |= 1 << len(self.channels)
                    self.channels.append([hz, hz, 0x50])

    def keys(self) -> "tuple[Aes, Aes]":
        """(network, application) key schedules, made once."""
        if self._keys is None:
            self._keys = (Aes(self._nwk), Aes(self._app))
        return self._keys

    def pack(self) -> bytes:
        """For flash and RTC memory."""
        out = struct.pack(
            _FIXED,
            1 if self.joined else 0,
            self.dev_addr,
            self._nwk,
            self._app,
            self.dr,
            self.power,
            self.nb_trans,
            self.rx1_offset,
            self.rx2_dr,
            self.rx2_hz,
            self.rx1_delay,
            self.mask,
            self.max_duty,
            min(self.adr_count, 0xFFFF),
            1 if self.ack else 0,
            self.snr,
            self.rssi,
            len(self.channels),
            1 if self.adr else 0,
            self._configured(),
        )
        for up, down, rates in self.channels:
            out += struct.pack(_CHANNEL, up, down, rates)
        return out + bytes((len(self.sticky),)) + self.sticky + bytes((len(self.answers),)) + self.answers

    def unpack(self, blob: bytes) -> None:
        """Take over what `pack` made, but not radio settings that belong to another configuration."""
        values = struct.unpack_from(_FIXED, blob, 0)
        self.joined = values[0] != 0
        self.dev_addr, self._nwk, self._app = values[1:4]
        self._keys = None
        self.dr, self.power, self.nb_trans, self.rx1_offset, self.rx2_dr, self.rx2_hz = values[4:10]
        self.rx1_delay, self.mask, self.max_duty, self.adr_count = values[10:14]
        self.ack = values[14] != 0
        self.snr, self.rssi = values[15:17]
        pos = struct.calcsize(_FIXED)
        self.channels = []
        for _ in range(values[17]):
            self.channels.append(list(struct.unpack_from(_CHANNEL, blob, pos)))
            pos += struct.calcsize(_CHANNEL)
        end = pos + 1 + blob[pos]
        self.sticky = blob[pos + 1 : end]
        self.answers = blob[end + 1 : end + 1 + blob[end]]
        if values[19] == self._configured():
            self.adr = values[18] != 0
        else:
            self.reset_radio()
            self.joined = self.joined and not self.config.otaa  # by a join the network starts over too

    def _configured(self) -> int:
        """Stands for what the configuration says of the radio."""
        config = self.config
        return int(crc32(b"%s %d %d %d" % (config.region.encode(), config.dr, config.adr, config.channel)))

    def uplink(self, fcnt: int, fport: int, payload: bytes, fopts: bytes, adr_ack_req: bool) -> bytes:
        """Seal one unconfirmed uplink. FrameError when it is larger than the data rate carries."""
        limit = self.region.max_payload[self.dr]
        if len(payload) + len(fopts) > limit:
            raise lorawan.FrameError("%d bytes, DR%d carries %d" % (len(payload) + len(fopts), self.dr, limit))
        nwk, app = self.keys()
        phy = lorawan.seal(
            nwk,
            app,
            lorawan.UNCONFIRMED_UP,
            self.dev_addr,
            fcnt,
            fport,
            payload,
            fopts,
            self.adr,
            adr_ack_req,
            self.ack,
        )
        self.ack = False
        if fopts:  # else they wait
            self.answers = b""
        return phy

    def fopts(self, want_time: bool, limit: int) -> bytes:
        """Answers and requests for the next uplink, cut at a command boundary (TS001 4.3.1.6)."""
        request = bytes((commands.DEVICE_TIME,)) if want_time else b""
        return whole(request + self.sticky + self.answers, min(15, limit))

    def open(self, phy: bytes, counters: "Counters") -> "Downlink | None":
        """A downlink that is for this session, genuine and new, else None. Its counter is used up at once."""
        try:
            frame = lorawan.parse_data(phy)
        except lorawan.FrameError:
            return None
        if not frame.mtype & 1 or frame.dev_addr != self.dev_addr:
            return None
        nwk, app = self.keys()
        fcnt = lorawan.infer_fcnt(frame.fcnt16, counters.fcnt_down)
        if not lorawan.mic_ok(nwk, frame, fcnt):
            return None
        counters.fcnt_down = fcnt + 1
        payload = lorawan.open_payload(nwk, app, frame, fcnt)
        self.ack = frame.mtype == lorawan.CONFIRMED_DOWN
        self.adr_count = 0
        self.sticky = b""
        mac = payload if frame.fport == 0 else frame.fopts
        return Downlink(frame.fport, b"" if frame.fport == 0 else payload, commands.parse(mac, lorawan.DOWN))
