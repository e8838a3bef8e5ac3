"""A node on littlefs whose supply goes at random flash operations: `cuts.py SEED CUTS BOARD [BREAK]`, prints JSON.

The network sees every frame that leaves, heard or not, and raises `WrongError` when a DevNonce, a frame counter or a
record number comes twice, when a node does not come back, or when a sample that flash had taken does not arrive. BREAK
damages the firmware in one of the ways below, to see that this is noticed.
"""

import json
import random
import sys
import time

import bench
import flash
import machine
import network
from suat_node import node as program
from suat_node.keep import backlog, counters, delivery, settings
from suat_node.mac import join
from suat_wire import commands, lorawan, payload

EPOCH_S = 1609459200  # what an RP2040 shows after power-on
PROVE_EVERY = 25  # lives between two that end by themselves, in which the node must be heard
HEARD_WITHIN = 60  # wakes
REMEMBERED = 200  # records


class WrongError(Exception):
    """A promise is broken."""


class Session:
    def __init__(self, keys):
        self.keys = keys
        self.fcnt_down = 0
        self.next = 0
        self.newest = b""


class Witness(network.Network):
    """Hears two frames of three, is heard two times of three."""

    def __init__(self):
        super().__init__()
        self.sessions = {}
        self.nonce = -1
        self.sent = {}  # record -> body, of all frames that left
        self.heard = 0
        self.arrived = 0
        self.frames_sent = 0
        self.perfect = False

    def chance(self):
        return self.perfect or random.getrandbits(8) < 170

    def __call__(self, phy, hz, sf, end_us):
        self.frames_sent += 1
        if phy[0] >> 5 == lorawan.JOIN_REQUEST:
            nonce = lorawan.parse_join_request(phy).dev_nonce
            if nonce <= self.nonce:
                raise WrongError("DevNonce %d after %d" % (nonce, self.nonce))
            self.nonce = nonce
            if not self.chance():
                return []
            self.dev_addr += 1
            frames = self.join(phy, hz, sf)
            self.sessions[self.dev_addr] = Session(self.keys)
            return frames if self.chance() else []
        frame = lorawan.parse_data(phy)
        session = self.sessions[frame.dev_addr]
        if phy != session.newest:
            fcnt = lorawan.infer_fcnt(frame.fcnt16, session.next)
            if not lorawan.mic_ok(session.keys[0], frame, fcnt):
                raise WrongError("FCnt %d after %d, or a wrong MIC" % (frame.fcnt16, session.next - 1))
            session.next, session.newest = fcnt + 1, phy
        return self.data(session, frame, hz, sf, end_us)

    def data(self, session, frame, hz, sf, end_us):
        plain = lorawan.open_payload(session.keys[0], session.keys[1], frame, session.next - 1)
        asked = None
        heard = self.chance()
        if frame.fport:
            near = max(self.committed) if self.committed else 0
            asked, samples = payload.split(plain, frame.fport, near)
            for record, _age, body in samples:
                if self.sent.setdefault(record, body) != body:
                    raise WrongError("record %d is two samples" % record)
                if heard:
                    self.committed[record] = body
                    self.arrived += taken.pop(record, None) is not None
        if not heard:
            return []
        self.heard += 1
        for table in (self.sent, self.committed):
            if len(table) > 2 * REMEMBERED:
                for record in sorted(table)[:-REMEMBERED]:
                    del table[record]
        fopts = b""
        for cid, _args in commands.parse(frame.fopts, lorawan.UP):
            if cid == commands.DEVICE_TIME:
                fopts = commands.device_time_ans(network.UTC_S * 1000000 + end_us)
        port, down = None, b""
        lot = random.getrandbits(4)
        if lot < 2:
            port, down = 5, payload.encode_config({"interval_s": 600 + random.getrandbits(9)})
        elif lot < 4:
            port, down = 5, payload.encode_config({"rejoin": 1})
        elif asked is not None:
            port, down = 4, payload.encode_ack(*payload.ack_of(asked, list(self.committed)))
        if port is None and not fopts:
            return []
        self.keys, self.fcnt_down, self.dev_addr_of = session.keys, session.fcnt_down, frame.dev_addr
        current, self.dev_addr = self.dev_addr, frame.dev_addr
        phy = self.down(port, down, fopts)
        self.dev_addr = current
        session.fcnt_down = self.fcnt_down
        return self.frames(phy, hz, sf) if self.chance() else []


inside = []  # what is under way
where = {}  # what was under way when the supply went -> how often
taken = {}  # record -> body, of the samples that flash took and that have not arrived


class Supply(flash.Supply):
    """Without supply littlefs goes on in a copy: torn out of its work it would leave open files in ruins.

    The program dies at the next moment in which time passes, before anything of it can be seen.
    """

    ghost = None
    copy = bytearray(flash.Flash.SIZE * 64)

    def _data(self):
        return self.flash.data if self.ghost is None else self.ghost

    def _change(self, at, new):
        """Put `new` there; of the last operation half or nothing reaches the flash."""
        if self.ghost is None:
            size = self._size(len(new))
            self.flash.data[at : at + size] = new[:size]
            if self.off:
                self.ghost = self.copy
                self.ghost[:] = self.flash.data
                key = " in ".join(reversed(inside)) or "elsewhere"
                where[key] = where.get(key, 0) + 1
        if self.ghost is not None:
            self.ghost[at : at + len(new)] = new

    def readblocks(self, block, buffer, offset=0):
        if self.flash.supply is self:
            start = block * flash.Flash.SIZE + offset
            buffer[:] = self._data()[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        if self.flash.supply is self:
            start = block * flash.Flash.SIZE + offset
            old = self._data()[start : start + len(buffer)]
            if old == b"\xff" * len(old):
                self._change(start, bytes(buffer))
            else:
                self._change(start, bytes([old[i] & buffer[i] for i in range(len(old))]))

    def ioctl(self, request, argument):
        if request == 6:
            if self.flash.supply is self:
                start = argument * flash.Flash.SIZE
                self._change(start, b"\xff" * flash.Flash.SIZE)
            return 0
        return {4: self.flash.blocks, 5: flash.Flash.SIZE}.get(request, 0)


flash.Supply = Supply
chip = flash.Flash(64)
_advance = time.advance


def advance(us):
    if chip.supply is not None and chip.supply.off:
        raise flash.PowerCut()
    _advance(us)


time.advance = advance


def watched(owner, name, what):
    inner = getattr(owner, name)

    def call(*arguments):
        inside.append(what)
        try:
            return inner(*arguments)
        finally:
            inside.pop()

    setattr(owner, name, call)


watched(backlog.Backlog, "append", "append")
watched(backlog.Backlog, "free", "free")
watched(counters.Counters, "save", "counters")
watched(settings.Settings, "save", "settings")
watched(join, "attempt", "join")
watched(program.Node, "__init__", "start")
_append = backlog.Backlog.append


def append(self, entry):
    done = _append(self, entry)
    if done and not chip.supply.off:
        taken[entry.record] = entry.body
    return done


backlog.Backlog.append = append

# -- ways to break the firmware -----------------------------------------------------------------------------------


def _used_before_saved(self, session):
    self.fcnt_up += 1
    self.fcnt_top = max(self.fcnt_top, self.fcnt_up)
    return self.fcnt_up - 1


def _record_not_reserved(self, session):
    self.record += 1
    self.record_top = max(self.record_top, self.record)
    return self.record - 1


def _nonce_not_saved(self, session):
    self.dev_nonce += 1
    return self.dev_nonce - 1


def _removed_before_written(folder, generation, blob):
    for name in ("/state.0", "/state.1"):
        try:
            counters.os.remove(folder + name)
        except OSError:
            pass
    with open("%s/state.%d" % (folder, generation & 1), "wb") as file:
        file.write(blob)


def _kept_in_memory(self, entry):
    self.held.append(entry.record)
    taken[entry.record] = entry.body
    return True


_acknowledge = delivery.acknowledge


def _all_freed(node_counters, node_backlog, data, just_sent):
    done = _acknowledge(node_counters, node_backlog, data, just_sent)
    node_counters.oldest = node_counters.record
    return done


BREAKS = {
    "fcnt": (counters.Counters, "next_fcnt", _used_before_saved),
    "record": (counters.Counters, "next_record", _record_not_reserved),
    "nonce": (counters.Counters, "next_dev_nonce", _nonce_not_saved),
    "replace": (counters, "write_copy", _removed_before_written),
    "append": (backlog.Backlog, "append", _kept_in_memory),
    "free": (delivery, "acknowledge", _all_freed),
}

# -- lives --------------------------------------------------------------------------------------------------------


def power_on(board_name, net):
    time.watchdog_us = 0
    _advance(random.getrandbits(8) * 1000000)
    time.epoch_s = EPOCH_S - time.now_us // 1000000
    return bench.hardware(board_name, net)


def live(conf, board, wakes, enough):
    """So many wakes at most, until `enough()`."""
    node = None
    while wakes and not enough():
        wakes -= 1
        machine.analog = {pin: [random.getrandbits(15) + 15000] for pin in (27, 2, 26, 1)}
        if node is None:
            node = bench.start(conf, board, "/flash/suat")
        try:
            program.wake(node)
            program.sleep(node)
        except machine.DeepSleep:
            machine.cause = machine.DEEPSLEEP_RESET
            node = None


def prove(conf, board, net):
    """Without a cut and with good air the node is heard."""
    goal = net.heard + 2
    net.perfect = True
    live(conf, board, HEARD_WITHIN, lambda: net.heard >= goal)
    net.perfect = False
    if net.heard < goal:
        raise WrongError("not heard within %d wakes" % HEARD_WITHIN)


def main(seed, cuts, board_name, broken=None):
    random.seed(seed)
    if broken:
        setattr(*BREAKS[broken])
    net = Witness()
    conf = bench.settings(board_name, otaa=True)
    done = torn = lives = 0
    while done < cuts:
        lives += 1
        board = power_on(board_name, net)
        chip.mount()
        if lives % PROVE_EVERY == 0:
            prove(conf, board, net)
            continue
        tear = random.getrandbits(1) == 1
        chip.cut_after(random.getrandbits((3, 4, 5, 6)[random.getrandbits(2)]), tear)
        try:
            live(conf, board, 12, lambda: False)
        except flash.PowerCut:
            chip.supply = None  # files that are still open have nothing to be closed on
            done += 1
            torn += tear
    net.perfect = True
    board = power_on(board_name, net)
    chip.mount()
    last = max(taken) if taken else -1
    live(conf, board, 300, lambda: not [record for record in taken if record <= last])
    lost = [record for record in taken if record <= last]
    if lost:
        raise WrongError("%d samples that were on flash did not arrive: %s" % (len(lost), lost[:5]))
    found = {"cuts": done, "torn": torn, "lives": lives, "joins": len(net.sessions), "nonces": net.nonce + 1}
    found.update({"frames": net.frames_sent, "samples": net.arrived, "operations": chip.operations, "where": where})
    print(json.dumps(found))


main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], *sys.argv[4:])
