"""The network's side of one node: says what goes into its windows, frame by frame, and reports all that was on the air.

The node is the program that is flashed, on the small bench of tests/node_fakes. Each frame of either direction is
printed as one JSON line behind \\x02; tests/test_conformance.py has `lora-packet` read it.
"""

import json
import time
from binascii import hexlify

import bench
import flash
import machine
import network
from suat_node import power, sample, uplink
from suat_node.mac import join
from suat_wire import lorawan
from suat_wire.lorawan import UNCONFIRMED_DOWN
from suat_wire.region import REGIONS


def hexed(data):
    return hexlify(data).decode()


def witness(**fields):
    print("\x02" + json.dumps(fields))


def link_adr(dr=15, power=15, mask=0b111, control=0, nb=1):
    """LinkADRReq by the layout of TS001 5.2: DataRate_TXPower, ChMask, Redundancy."""
    return bytes((3, dr << 4 | power, mask & 255, mask >> 8, control << 4 | nb))


class Sent:
    """One transmission of the node."""

    def __init__(self, phy, hz, sf, end_us):
        self.phy, self.hz, self.sf, self.end_us = phy, hz, sf, end_us
        self.fport = self.payload = self.fopts = self.frame = None

    def hz_of(self, channels):
        """The channel that was meant: the chip's frequency has steps of 0.95 Hz."""
        for hz in channels:
            if abs(hz - self.hz) < 2:
                return hz
        raise AssertionError("%d Hz is no channel" % self.hz)


class Side:
    """A node and the network that answers it as each test says."""

    def __init__(self, region="IN865", otaa=False, board="pico_waveshare", **radio):
        flash.remove_tree(bench.FOLDER)
        radio.setdefault("dr", 3)
        self.config = bench.settings(board, otaa, region=region, radio=radio, settings={"ack_after": 60})
        self.region = REGIONS[region]
        self.board = bench.hardware(board, self)
        self.chip = machine.chip
        self.keys = (network.ServerAes(network.NWK), network.ServerAes(network.APP))
        self.raw_keys = (network.NWK, network.APP)
        self.root = network.ServerAes(network.APP_KEY)
        self.dev_addr = network.DEV_ADDR
        self.fcnt_down = 0
        self.fcnt_up = 0  # expected next
        self.join_nonce = 0
        self.sent = []
        self.nonces = []
        self.queue = []  # what each coming uplink finds in its windows: list of (window, phy, changes) or None
        self.delay_s = 1
        self.accept_joins = True
        self.settings = 0x00 | self.region.rx2_dr  # DLSettings of a join accept
        self.cflist = b""
        self.start()

    def start(self):
        """Boot the node; it knows the time, so that it asks for nothing by itself."""
        self.node = bench.start(self.config, self.board)
        self.session, self.counters = self.node.session, self.node.counters
        self.tell_time()

    def tell_time(self):
        self.counters.utc_offset = 1700000000
        self.counters.synced_at = power.clock()
        self.node.ask_now = False

    # what the network sends

    def down(self, fopts=b"", port=None, data=b"", mtype=UNCONFIRMED_DOWN, fcnt=None, ack=False, dev_addr=None):
        """Seal one downlink with the next counter."""
        if fcnt is None:
            fcnt = self.fcnt_down
            self.fcnt_down += 1
        dev_addr = self.dev_addr if dev_addr is None else dev_addr
        phy = lorawan.seal(self.keys[0], self.keys[1], mtype, dev_addr, fcnt, port, data, fopts, ack=ack)
        self.report("down", phy, fcnt, mtype, dev_addr, port, data, fopts, ack)
        return phy

    def report(self, way, phy, fcnt, mtype, dev_addr, port, data, fopts, ack):
        witness(
            way=way,
            phy=hexed(phy),
            fcnt=fcnt,
            nwk_skey=hexed(self.raw_keys[0]),
            app_skey=hexed(self.raw_keys[1]),
            expect={
                "mic": True,
                "mtype": mtype,
                "dev_addr": "%08x" % dev_addr,
                "fcnt16": fcnt & 0xFFFF,
                "fopts": hexed(fopts),
                "fport": port,
                "payload": hexed(data),
                "ack": ack,
            },
        )

    def answer(self, fopts=b"", window=1, late_us=0, **fields):
        """The next uplink is answered with this."""
        self.queue.append([(window, self.down(fopts, **fields), late_us)])

    def answer_raw(self, *frames):
        """The next uplink finds these in its windows: (window, phy, us late), or (Hz, SF, us after its end, phy)."""
        self.queue.append(list(frames))

    def silence(self, uplinks=1):
        for _ in range(uplinks):
            self.queue.append(None)

    # the air

    def __call__(self, phy, hz, sf, end_us):
        sent = Sent(phy, hz, sf, end_us)
        self.sent.append(sent)
        if phy[0] >> 5 == lorawan.JOIN_REQUEST:
            return self.joining(sent)
        frame = lorawan.parse_data(phy)
        fcnt = lorawan.infer_fcnt(frame.fcnt16, max(0, self.fcnt_up - 1))
        assert lorawan.mic_ok(self.keys[0], frame, fcnt), "MIC of an uplink"
        self.fcnt_up = fcnt + 1
        sent.frame, sent.fcnt = frame, fcnt
        sent.fport, sent.fopts = frame.fport, frame.fopts
        sent.payload = lorawan.open_payload(self.keys[0], self.keys[1], frame, fcnt)
        dr = 12 - sf
        assert len(sent.payload) + len(sent.fopts) <= self.region.max_payload[dr], "larger than the data rate carries"
        self.report("up", phy, fcnt, frame.mtype, frame.dev_addr, frame.fport, sent.payload, frame.fopts, frame.ack)
        return self.windows(sent, self.queue.pop(0) if self.queue else None, self.delay_s)

    def windows(self, sent, frames, delay_s):
        """[(hz, sf, us after the end, phy)] as the chip's model wants them, by the region's rules for RX1 and RX2."""
        out = []
        session = self.session
        for entry in frames or ():
            if len(entry) == 4:
                out.append(entry)
                continue
            window, phy, late_us = entry
            if window == 1:
                channels = [up for up, _down, _rates in session.channels]
                index = channels.index(sent.hz_of(channels))
                sf = self.region.data_rates[self.region.rx1_dr(12 - sent.sf, session.rx1_offset)][0]
                out.append((session.channels[index][1], sf, delay_s * 1000000 + late_us, phy))
            else:
                sf = self.region.data_rates[session.rx2_dr][0]
                out.append((session.rx2_hz, sf, (delay_s + 1) * 1000000 + late_us, phy))
        return out

    def joining(self, sent):
        request = lorawan.parse_join_request(sent.phy)
        assert lorawan.join_request_mic_ok(self.root, sent.phy), "MIC of a join request"
        self.nonces.append(request.dev_nonce)
        witness(
            way="join",
            phy=hexed(sent.phy),
            join_eui=hexed(request.join_eui),
            dev_eui=hexed(request.dev_eui),
            dev_nonce="%04x" % request.dev_nonce,
            app_key=hexed(network.APP_KEY),
        )
        if not self.accept_joins:
            return []
        self.join_nonce += 1
        return [self.accept(sent, self.join_nonce, request.dev_nonce)]

    def accept(self, sent, join_nonce, dev_nonce, window=1):
        """A join accept in RX1 or RX2 of a request, 5 or 6 s after it (RP002: JOIN_ACCEPT_DELAY1 and 2)."""
        phy = lorawan.join_accept(self.root, join_nonce, 0x13, self.dev_addr, self.settings, self.delay_s, self.cflist)
        nwk, app = lorawan.session_keys(self.root, join_nonce, 0x13, dev_nonce)
        self.raw_keys = (nwk, app)
        self.keys = (network.ServerAes(nwk), network.ServerAes(app))
        self.fcnt_down = self.fcnt_up = 0
        witness(
            way="accept",
            phy=hexed(phy),
            app_key=hexed(network.APP_KEY),
            dev_nonce="%04x" % dev_nonce,
            keys=[hexed(nwk), hexed(app)],
            expect={
                "mic": True,
                "join_nonce": "%06x" % join_nonce,
                "net_id": "000013",
                "dev_addr": "%08x" % self.dev_addr,
                "cflist": hexed(self.cflist),
            },
        )
        if window == 1:
            return (sent.hz_of(self.region.channels_hz), sent.sf, 5000000, phy)
        return (self.region.rx2_hz, self.region.data_rates[self.region.rx2_dr][0], 6000000, phy)

    # what the node does

    def uplink(self, times=1):
        """The node takes a sample and sends it; the last transmission."""
        for _ in range(times):
            before = len(self.sent)
            sample.keep(self.node, {("node", "battery"): 3.7}, power.clock(), 0)
            uplink.send(self.node)
            assert len(self.sent) > before, "nothing was sent"
            del self.sent[:-64]
        return self.sent[-1]

    def command(self, *commands):
        """Have the node carry out MAC commands; the FOpts of its next uplink."""
        self.answer(b"".join(commands))
        self.uplink()
        return self.uplink().fopts

    def join(self):
        return join.attempt(self.node.radio, self.session, self.counters)

    def wait(self, seconds):
        """Time passes; the node does nothing."""
        armed = time.watchdog_us
        time.watchdog_us = 0
        time.advance(int(seconds * 1000000))
        time.fed_us = time.now_us
        time.watchdog_us = armed

    def opened(self):
        """[(us after the end of the uplink, hz, sf, symbols)] of the windows since the last call."""
        windows = list(self.chip.windows)
        self.chip.windows.clear()
        return windows
