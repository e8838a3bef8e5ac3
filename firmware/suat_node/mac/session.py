"""The LoRaWAN session: keys, channels and what the network has set; seals uplinks, opens downlinks.

Counters are in keep/counters.py. Everything here travels with them to flash and RTC memory, so that a node that
restarts still knows the network's settings (TS001-1.0.4 4.2.2 asks this of every device that keeps its session).

Answers to MAC commands stay in their order (TS001 5); those of _STICKY repeat until a class A downlink shows that they
arrived (5.4, 5.7, 5.10). Dwell time limits exist in none of the four regions.
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
FOPTS = 15  # bytes of MAC commands beside a payload
_STICKY = (commands.RX_PARAM_SETUP, commands.RX_TIMING_SETUP, commands.DL_CHANNEL)
_FIXED = "<BI16s16sBBBBBIBHBHBbhHBHBBI"
_CHANNEL = "<IIB"


def whole(answers: bytes, limit: int) -> bytes:
    """The commands from the front that `limit` bytes take whole."""
    return commands.join([bytes((cid,)) + args for cid, args in commands.parse(answers, lorawan.UP)], limit)


class Downlink:
    """A genuine downlink: `fport` None when it has no payload, `commands` the MAC commands as (CID, arguments).

    `ack`: it acknowledges a confirmed uplink.
    """

    def __init__(self, fport: "int | None", payload: bytes, mac: "list[tuple[int, bytes]]", ack: bool) -> None:
        self.fport = fport
        self.payload = payload
        self.commands = mac
        self.ack = ack


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
        self.answers = b""  # to MAC commands, for the next uplink
        self.link_check = False  # ask for one with the next uplink
        self.link: "tuple[int, int] | None" = None  # its answer: margin in dB, gateways
        self.ack = False  # the last downlink was a confirmed one
        self.snr = 0  # of the last downlink, dB
        self.rssi = 0  # dBm, 0: none was heard
        self.quiet = [0] * (len(self.region.bands) + 1)  # node clock: each band is closed until, at last all of them
        self.wary = 0  # so many more uplinks listen before they talk: an answer was missed
        self.busy = 0  # how often another was heard then, modulo 2^16
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
        self.used = 0  # channels that had their turn

    def activate(self, dev_addr: int, nwk: bytes, app: bytes) -> None:
        """Begin a session with these keys."""
        self.joined = True
        self.dev_addr = dev_addr
        self._nwk, self._app = nwk, app
        self._keys = None
        self.answers = b""
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
            self.used,
            self.wary,
            self.busy,
            len(self.channels),
            1 if self.adr else 0,
            self._configured(),
        )
        for up, down, rates in self.channels:
            out += struct.pack(_CHANNEL, up, down, rates)
        count = len(self.quiet)
        return out + struct.pack("<B%dIB" % count, count, *(self.quiet + [len(self.answers)])) + self.answers

    def unpack(self, blob: bytes) -> None:
        """Take over what `pack` made, but not radio settings that belong to another configuration."""
        values = struct.unpack_from(_FIXED, blob, 0)
        self.joined = values[0] != 0
        self.dev_addr, self._nwk, self._app = values[1:4]
        self._keys = None
        self.dr, self.power, self.nb_trans, self.rx1_offset, self.rx2_dr, self.rx2_hz = values[4:10]
        self.rx1_delay, self.mask, self.max_duty, self.adr_count = values[10:14]
        self.ack = values[14] != 0
        self.snr, self.rssi, self.used, self.wary, self.busy = values[15:20]
        pos = struct.calcsize(_FIXED)
        self.channels = []
        for _ in range(values[20]):
            self.channels.append(list(struct.unpack_from(_CHANNEL, blob, pos)))
            pos += struct.calcsize(_CHANNEL)
        if values[22] == self._configured():
            self.adr = values[21] != 0
            count = len(self.quiet)
            self.quiet = list(struct.unpack_from("<%dI" % count, blob, pos + 1))
            pos += 1 + 4 * count
            self.answers = blob[pos + 1 : pos + 1 + blob[pos]]
        else:
            self.reset_radio()
            self.joined = self.joined and not self.config.otaa  # by a join the network starts over too

    def _configured(self) -> int:
        """Stands for what the configuration says of the radio."""
        config = self.config
        return int(crc32(b"%s %d %d %d" % (config.region.encode(), config.dr, config.adr, config.channel)))

    def uplink(
        self, fcnt: int, fport: int, payload: bytes, fopts: bytes, adr_ack_req: bool, confirmed: bool = False
    ) -> bytes:
        """Seal one uplink. FrameError when it is larger than the data rate carries."""
        limit = self.region.max_payload[self.dr]
        if len(payload) + len(fopts) > limit:
            raise lorawan.FrameError("%d bytes, DR%d carries %d" % (len(payload) + len(fopts), self.dr, limit))
        nwk, app = self.keys()
        phy = lorawan.seal(
            nwk,
            app,
            lorawan.CONFIRMED_UP if confirmed else lorawan.UNCONFIRMED_UP,
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
        if fopts or not fport:  # else they wait
            self.link_check = False
            answers = commands.parse(self.answers, lorawan.UP)
            self.answers = b"".join([bytes((cid,)) + args for cid, args in answers if cid in _STICKY])
        return phy

    def ask_link_check(self) -> None:
        """Have the network say how well it hears the next uplink; `link` is None until it does (TS001 5.1)."""
        self.link_check = True
        self.link = None

    def fopts(self, want_time: bool, limit: int) -> bytes:
        """Answers, then requests for the next uplink, cut at a command boundary (TS001 5, table 15).

        More than FOPTS bytes travel without a payload, on FPort 0.
        """
        requests = bytes((commands.LINK_CHECK,)) if self.link_check else b""
        if want_time:
            requests += bytes((commands.DEVICE_TIME,))
        return whole(self.answers + requests, limit)

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
        self.answers = b""
        mac = payload if frame.fport == 0 else frame.fopts
        return Downlink(frame.fport, b"" if frame.fport == 0 else payload, commands.parse(mac, lorawan.DOWN), frame.ack)
