"""A small network server for the node's own tests: one device, OTAA or ABP, and our acknowledgements."""

import cryptolib
from suat_wire import commands, lorawan, payload
from suat_wire.aes import BoardAes
from suat_wire.region import REGIONS

NWK, APP = bytes(range(16)), bytes(range(16, 32))
APP_KEY = bytes(range(32, 48))
DEV_ADDR = 0x01020304
UTC_S = 1767225600  # 2026-01-01


class ServerAes(BoardAes):
    """The join server also decrypts."""

    def __init__(self, key):
        super().__init__(key)
        self.key = key

    def decrypt(self, blocks):
        return cryptolib.aes(self.key, 1).decrypt(blocks)


class Network:
    """Answers the frames that `hears(phy)` lets through; keeps what arrived."""

    def __init__(self, region="IN865"):
        self.region = REGIONS[region]
        self.hears = lambda phy: True
        self.answers = True
        self.reaches = lambda phy: True  # a downlink is heard
        self.acks = True
        self.utc_us = UTC_S * 1000000  # at the start of the bench; None: it does not tell the time
        self.rx = 1  # window of the answers
        self.rx1_offset = 0
        self.keys = (ServerAes(NWK), ServerAes(APP))
        self.dev_addr = DEV_ADDR
        self.fcnt_down = 0
        self.join_nonce = 0
        self.nonces = []
        self.fcnts = []  # of genuine uplinks heard
        self.committed = {}  # record -> (unix s of the sample, body)
        self.dated_us = {}  # record -> us since the start of the bench, as the ages say it
        self.copies = []  # records as they came, again and again
        self.asked = []
        self.mac = b""  # to be sent down once
        self.settings = None
        self.replies = []  # frames from the node as parsed
        self.foreign = None  # a frame put into RX1 that is not for the node
        self.delay_s = 1

    def __call__(self, phy, hz, sf, end_us):
        self.last = (hz, sf)
        if not self.hears(phy):
            return []
        if phy[0] >> 5 == lorawan.JOIN_REQUEST:
            return self.join(phy, hz, sf)
        frame = lorawan.parse_data(phy)
        if frame.dev_addr != self.dev_addr:
            return []
        fcnt = lorawan.infer_fcnt(frame.fcnt16, self.fcnts[-1] if self.fcnts else 0)
        assert lorawan.mic_ok(self.keys[0], frame, fcnt), "MIC"
        self.fcnts.append(fcnt)
        self.replies.append(frame)
        data = lorawan.open_payload(self.keys[0], self.keys[1], frame, fcnt)
        near = max(self.committed) if self.committed else 0
        asked, samples = payload.split(data, frame.fport, near)
        for record, age, body in samples:
            self.copies.append(record)
            if record not in self.committed:
                self.committed[record] = (UTC_S + end_us // 1000000 - age, body)
                self.dated_us[record] = end_us - age * 1000000
        if not self.answers:
            return []
        fopts = self.mac
        self.mac = b""
        for cid, _args in commands.parse(frame.fopts, lorawan.UP):
            if cid == commands.DEVICE_TIME and self.utc_us is not None:
                fopts += commands.device_time_ans(self.utc_us + end_us)
        port, down = None, b""
        if asked is not None:
            self.asked.append(asked)
            if self.acks:
                port, down = 4, payload.encode_ack(*payload.ack_of(asked, list(self.committed)))
        if port is None and self.settings is not None:
            port, down = 5, payload.encode_config(self.settings)
            self.settings = None
        ack = frame.mtype == lorawan.CONFIRMED_UP
        if port is None and not fopts and not ack:
            return []
        phy = self.down(port, down, fopts, ack=ack)
        return self.frames(phy, hz, sf) if self.reaches(phy) else []

    def down(self, port, data, fopts=b"", mtype=lorawan.UNCONFIRMED_DOWN, ack=False):
        """Seal one downlink with the next counter."""
        self.fcnt_down += 1
        fcnt = self.fcnt_down - 1
        return lorawan.seal(self.keys[0], self.keys[1], mtype, self.dev_addr, fcnt, port, data, fopts, ack=ack)

    def frames(self, phy, hz, sf, delay_s=None):
        """The answer in the window that this network uses, behind a foreign frame in RX1 if there is one."""
        delay_s = delay_s or self.delay_s
        dr = 12 - sf
        rx1_sf = self.region.data_rates[self.region.rx1_dr(dr, self.rx1_offset)][0]
        out = []
        if self.foreign is not None:
            out.append((hz, rx1_sf, delay_s * 1000000, self.foreign))
        if self.rx == 1 and self.foreign is None:
            out.append((hz, rx1_sf, delay_s * 1000000, phy))
        else:
            rx2_sf = self.region.data_rates[self.region.rx2_dr][0]
            out.append((self.region.rx2_hz, rx2_sf, (delay_s + 1) * 1000000, phy))
        return out

    def join(self, phy, hz, sf):
        key = ServerAes(APP_KEY)
        request = lorawan.parse_join_request(phy)
        assert lorawan.join_request_mic_ok(key, phy), "join MIC"
        self.nonces.append(request.dev_nonce)
        if not self.answers:
            return []
        self.join_nonce += 1
        nwk, app = lorawan.session_keys(key, self.join_nonce, 0x13, request.dev_nonce)
        self.keys = (ServerAes(nwk), ServerAes(app))
        self.fcnt_down = 0
        self.fcnts = []
        answer = lorawan.join_accept(key, self.join_nonce, 0x13, self.dev_addr, self.region.rx2_dr, self.delay_s)
        return self.frames(answer, hz, sf, 5)
