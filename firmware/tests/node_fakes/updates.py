"""Updates on a board: loader, bundle and firmware on a littlefs that is the root, as on a board. Run by runner.py.

SUAT_BUNDLES is a folder of the host with bundles: `old` and `new` (whole firmware, versions 0.1 and 0.2), and of a
small firmware, `tiny.py` as its main program, `tiny_old`, `tiny_new` and variants of that.
"""

import gc
import json
import os
import sys
import time

import chip
import flash
import machine
import network
import vfs
from suat_wire import payload_host

HOST = "/host"
BUNDLES = HOST + os.getenv("SUAT_BUNDLES")
LOADER = HOST + os.getenv("SUAT_LOADER")
BLOCKS = 352  # the Pico's flash: 1,408 KB
STARTS = 3
HOURS = 24

vfs.mount(vfs.VfsPosix("/"), HOST)
sys.path[:] = [""] + [HOST + path for path in sys.path if path.startswith("/")] + [".frozen"]
PATH = list(sys.path)
PROGRAM = ("suat_node", "suat_wire", "suat_boot", "main")
WIRING = {
    name: __import__("suat_node.boards." + name, None, None, ("CHIP",)) for name in ("pico_waveshare", "heltec_v3")
}


class Collector:
    """`gc` of a board; a collection of this process's large heap every few kilobytes would take all the time."""

    def collect(self):
        pass

    def threshold(self, amount):
        pass

    def mem_free(self):
        return 100000


sys.modules["gc"] = Collector()


class Enough(BaseException):
    """The life has been seen."""


class Bench:
    """One board: its flash, and what it used and what became of it."""

    def __init__(self, blocks=BLOCKS):
        gc.collect()
        self.flash = flash.Flash(blocks)
        self.flash.mount("/")
        machine.cause = machine.PWRON_RESET
        machine.rtc = b""
        write("/main.py", read(LOADER))

    def plug(self, board, net):
        """Radio and sensors."""
        machine.wiring = WIRING[board]
        machine.chip = chip.Chip(net)
        machine.analog = {27: [30000], 4: [30000], 26: [25000], 1: [20000]}
        config = {
            "board": board,
            "kind": "soil",
            "interval_s": 900,
            "radio": {"dr": 3},
            "sensors": [
                {"kind": "capacitive", "at": "probe1", "adc": 4 if board == "heltec_v3" else 27},
                {"kind": "battery"},
            ],
            "otaa": {
                "dev_eui": "0102030405060708",
                "join_eui": "1112131415161718",
                "app_key": "".join(["%02x" % byte for byte in network.APP_KEY]),
            },
        }
        write("/suat.json", json.dumps(config).encode())

    def start(self):
        """One start of the program; why it ended."""
        for name in list(sys.modules):
            if name.split(".")[0] in PROGRAM:
                del sys.modules[name]
        sys.path[:] = PATH
        time.watchdog_us = 0
        try:
            __import__("main")
        except machine.DeepSleep:
            machine.cause = machine.DEEPSLEEP_RESET
            return "sleep"
        except machine.Reset:
            machine.cause = machine.SOFT_RESET
            return "reset"
        except time.WatchdogReset:
            machine.cause = machine.WDT_RESET
            return "watchdog"
        except flash.PowerCut:
            self.power()
            return "cut"
        except Enough:
            self.power()
            return "enough"
        return "prompt"

    def power(self):
        """Off and on; a cut that is set and was not met yet still comes."""
        machine.cause = machine.PWRON_RESET
        machine.rtc = b""
        cut_at = self.flash.cut_at
        self.flash.mount("/")
        self.flash.cut_at = cut_at

    def version(self):
        """Of the firmware that ran last."""
        return sys.modules["suat_node"].VERSION

    def slots(self):
        """What /slot says: active, trial, starts, since, rolled back."""
        return read("/slot").decode().split()[:5]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def copy(source, target):
    """A folder of the host onto the board, as `mpremote cp -r` does."""
    os.mkdir(target)
    for entry in os.ilistdir(source):
        if entry[1] == 0x4000:
            copy(source + "/" + entry[0], target + "/" + entry[0])
        else:
            write(target + "/" + entry[0], read(source + "/" + entry[0]))


def plain(bundle):
    """A bundle's files beside /main.py, as a board is set up."""
    for package in ("suat_node", "suat_wire"):
        copy(BUNDLES + "/" + bundle + "/" + package, "/" + package)


def expect(got, wanted):
    assert got == wanted, (got, wanted)


# the whole firmware


class Watched(network.Network):
    """The network of a node that runs for so many frames; its own asserts hold counters and nonces to their rules."""

    def __init__(self, frames):
        super().__init__()
        self.left = frames
        self.every_fcnt = []
        self.mute_until = 0

    def __call__(self, phy, hz, sf, end_us):
        if self.left <= 0:
            raise Enough()
        self.left -= 1
        self.answers = end_us // 1000000 >= self.mute_until
        out = super().__call__(phy, hz, sf, end_us)
        if phy[0] >> 5:
            self.every_fcnt.append(self.fcnts[-1])
        return out

    def check(self):
        assert self.nonces and self.nonces == sorted(set(self.nonces)), self.nonces
        falls = [i for i in range(1, len(self.every_fcnt)) if self.every_fcnt[i] <= self.every_fcnt[i - 1]]
        assert len(falls) < len(self.nonces), (self.every_fcnt, self.nonces)  # only a new session begins anew


def run_to(bench, net, frames, most=200):
    """Starts until so many frames were sent; their ends."""
    net.left = frames
    ends = []
    for _ in range(most):
        ends.append(bench.start())
        if net.left <= 0 and ends[-1] in ("enough", "sleep"):
            return ends
    raise AssertionError(ends[-20:])


def updated(board):
    bench = Bench()
    net = Watched(0)
    bench.plug(board, net)
    plain("old")
    run_to(bench, net, 4)
    expect(bench.version(), (0, 1))
    copied = len(net.committed)
    copy(BUNDLES + "/new", "/update")
    bench.power()
    return bench, net, copied


def test_an_update_is_confirmed_by_the_first_acknowledged_uplink():
    for board in WIRING:
        bench, net, before = updated(board)
        expect(bench.start(), "reset")
        expect(bench.slots()[:3], ["-", "a", str(STARTS)])
        assert "update" not in os.listdir("/")
        run_to(bench, net, 3)
        expect(bench.version(), (0, 2))
        expect(bench.slots()[:2], ["a", "-"])
        net.check()
        assert len(net.nonces) == 1, "the session is kept: no new join"
        assert len(net.committed) > before, "numbers of a reserved chunk are skipped, samples are not lost"


def test_an_update_that_gets_no_acknowledgement_is_rolled_back_after_its_hours():
    for board in WIRING:
        bench, net, _ = updated(board)
        expect(bench.start(), "reset")
        began = time.now_us
        net.mute_until = time.now_us // 1000000 + 40 * 3600
        for _ in range(400):
            net.left = 1000
            end = bench.start()
            assert end in ("sleep", "reset"), end
            if bench.slots()[1] == "-":
                break
        hours = (time.now_us - began) / 3.6e9
        assert HOURS - 1 / 3600 < hours < HOURS + 1, hours  # the node clock shows whole seconds
        net.mute_until = 0
        run_to(bench, net, 8)
        expect(bench.version(), (0, 1))
        expect(bench.slots(), ["-", "-"] + bench.slots()[2:4] + ["0"])
        net.check()
        told = [body for _, body in net.committed.values() if event_of(body) & 128]
        expect(len(told), 1)


def test_the_whole_firmware_cut_at_every_flash_operation_of_its_installation():
    bench, net, _ = updated("heltec_v3")
    begun = bench.flash.operations
    expect(bench.start(), "reset")
    run_to(bench, net, 3)
    count = bench.flash.operations - begun
    for at in range(count):
        bench, net, _ = updated("heltec_v3")
        bench.flash.cut_after(at, at & 1)
        ends = run_to(bench, net, 6)
        assert "cut" in ends, (at, ends)
        expect(bench.version(), (0, 2))
        expect(bench.slots()[:2], ["a", "-"])
        net.check()
    assert count > 20, count


def event_of(body):
    return payload_host.unpack(body).get(("node", "events"), 0)


def test_an_update_that_fails_is_given_up_after_three_starts_or_at_once():
    """Programs that raise, that do nothing until the watchdog bites, that reset, and one that can't be imported."""
    for board in WIRING:
        for variant, starts in (("raises", STARTS), ("hangs", STARTS), ("resets", STARTS), ("lacks", 1)):
            bench, net, _ = updated(board)
            flash.remove_tree("/update")
            copy(BUNDLES + "/" + variant, "/update")
            expect(bench.start(), "reset")
            ends = []
            while bench.slots()[1] != "-":
                net.left = 1
                ends.append(bench.start())
                assert len(ends) < 9, (variant, ends)
            if starts > 1:  # the start that finds the count used up already runs the old firmware
                assert ends.pop() in ("enough", "sleep"), (variant, ends)
            expect(ends, ["watchdog" if variant == "hangs" else "reset"] * starts)
            run_to(bench, net, 6)
            expect(bench.version(), (0, 1))
            net.check()


# a small firmware whose main program is tiny.py: every flash operation


class Ledger:
    """What the small firmware used up and how it ended."""

    def __init__(self):
        self.fcnt = [-1]
        self.nonce = [-1]
        self.events = 0
        self.ran = None

    def used(self, version, fcnt, nonce, events):
        assert fcnt > self.fcnt[-1], ("FCnt", self.fcnt[-3:], fcnt)
        assert nonce > self.nonce[-1], ("DevNonce", self.nonce[-3:], nonce)
        self.fcnt.append(fcnt)
        self.nonce.append(nonce)
        self.events |= events
        self.ran = version

    def end(self):
        raise Enough()


def small():
    """A board that runs the small firmware, version 0.1, from slot a, and has had it in slot b: after three updates."""
    bench = Bench(72)
    machine.wiring = WIRING["pico_waveshare"]
    plain("tiny_first")
    sys.modules["ledger"] = Ledger()
    for slot in ("a", "b", "a"):
        copy(BUNDLES + "/tiny_old", "/update")
        bench.power()
        expect([bench.start() for _ in range(3)], ["reset", "enough", "enough"])
        expect(bench.slots()[:2], [slot, "-"])
    return bench


def settle(bench):
    """Starts until nothing is on trial and nothing waits; the version that runs then."""
    for _ in range(12):
        end = bench.start()
        assert end in ("enough", "reset", "watchdog", "cut"), end
        if end == "enough" and sys.modules["suat_node"].boot is None:
            return bench.version()
    raise AssertionError("it never comes to rest")


def offer(bench, bundle):
    """A technician copies a bundle; power off and on."""
    flash.remove_tree("/update")
    copy(BUNDLES + "/" + bundle, "/update")
    bench.power()
    return settle(bench)


def cut_everywhere(bundle, becomes):
    """Offer a bundle with a cut at each of its flash operations in turn, clean and torn: always one firmware whole."""
    bench = small()
    before = bytes(bench.flash.data)
    begun = bench.flash.operations
    ledger = sys.modules["ledger"]
    used = (list(ledger.fcnt), list(ledger.nonce))
    expect(offer(bench, bundle), becomes)
    count = bench.flash.operations - begun
    seen = set()
    for torn in (False, True):
        for at in range(count):
            bench.flash.data[:] = before
            ledger.fcnt, ledger.nonce = list(used[0]), list(used[1])
            bench.power()
            bench.flash.cut_after(at, torn)
            try:
                version = offer(bench, bundle)
            except flash.PowerCut:  # while the bundle was copied
                bench.power()
                version = settle(bench)
            seen.add(version)
            bench.flash.cut_at = -1
            expect(offer(bench, bundle), becomes)
    expect(seen, {(0, 1), becomes})
    assert count > 60, count


def test_an_update_cut_at_every_flash_operation():
    cut_everywhere("tiny_new", (0, 2))


def test_a_roll_back_cut_at_every_flash_operation():
    cut_everywhere("tiny_resets", (0, 1))
    assert sys.modules["ledger"].events & 128


# what is refused


def refused(source, spoil=None, *arguments):
    bench = small()
    copy(BUNDLES + "/" + source, "/update")
    if spoil is not None:
        spoil(*arguments)
    bench.power()
    expect(settle(bench), (0, 1))
    expect(bench.slots()[:2], ["a", "-"])
    assert "update" not in os.listdir("/")


def change(path, position, bits=1):
    data = bytearray(read(path))
    data[position] ^= bits
    write(path, data)


def test_a_damaged_or_incomplete_bundle_is_refused():
    size = len(read(BUNDLES + "/tiny_new/manifest"))
    for position in range(0, size, 37):
        refused("tiny_new", change, "/update/manifest", position)
    for name in ("suat_node/main.mpy", "suat_wire/__init__.mpy"):
        refused("tiny_new", change, "/update/" + name, 20)
        refused("tiny_new", os.remove, "/update/" + name)
        refused("tiny_new", write, "/update/" + name, b"")
    refused("tiny_new", os.remove, "/update/manifest")
    refused("tiny_new", write, "/update/manifest", b"")
    refused("tiny_new", write, "/update/suat_node/main.py", b"print('not in the manifest')")


def test_another_form_or_interpreter_is_refused():
    for source in ("tiny_state", "tiny_form", "tiny_mpy"):
        refused(source)


def test_a_lower_version_is_refused_unless_a_technician_allows_it():
    bench = small()
    expect(offer(bench, "tiny_new"), (0, 2))
    expect(offer(bench, "tiny_old"), (0, 2))
    copy(BUNDLES + "/tiny_old", "/update")
    write("/update/older", b"")
    bench.power()
    expect(settle(bench), (0, 1))
    expect(offer(bench, "tiny_old"), (0, 1))


def test_a_damaged_slot_gives_way_to_the_other():
    bench = small()
    expect(offer(bench, "tiny_new"), (0, 2))
    write("/b/suat_node/main.mpy", b"M")
    expect(settle(bench), (0, 1))
    expect(bench.slots()[:2], ["a", "-"])
    write("/a/suat_node/__init__.mpy", b"")
    os.remove("/b/manifest")
    expect(settle(bench), (0, 0))
    expect(bench.slots()[:2], ["-", "-"])


def test_a_damaged_slot_file_starts_what_is_beside_the_loader():
    bench = small()
    expect(offer(bench, "tiny_new"), (0, 2))
    good = read("/slot")
    for position in range(len(good)):
        for bit in (4, 128):
            change("/slot", position, bit)
            expect(settle(bench), (0, 0))
            write("/slot", good)
    expect(settle(bench), (0, 2))


def test_a_board_is_set_up_with_a_bundle_as_slot_a():
    bench = Bench(72)
    machine.wiring = WIRING["pico_waveshare"]
    sys.modules["ledger"] = Ledger()
    copy(BUNDLES + "/tiny_old", "/a")
    bench.power()
    expect(settle(bench), (0, 1))
    assert "slot" not in os.listdir("/")
    expect(offer(bench, "tiny_new"), (0, 2))
    expect(bench.slots()[:2], ["b", "-"])
    expect(sys.modules["ledger"].events & 128, 0)
    change("/slot", 3)
    expect(settle(bench), (0, 1))


def test_an_update_with_a_full_backlog_fits_into_the_flash_of_a_pico():
    """Two slots, an update and 65 segments of samples: littlefs gives each file a block, statvfs counts some twice."""
    bench = Bench()
    net = Watched(0)
    bench.plug("pico_waveshare", net)
    copy(BUNDLES + "/old", "/a")
    os.mkdir("/suat")
    os.mkdir("/suat/samples")
    for first in range(65):
        write("/suat/samples/%08x" % (first * 32), bytes(32 * 49))
    for bundle in ("old", "new"):
        copy(BUNDLES + "/" + bundle, "/update")
        used = [bytes(bench.flash.data[i * 4096 : i * 4096 + 4096]).count(b"\xff") < 4096 for i in range(BLOCKS)]
        bench.power()
        expect(bench.start(), "reset")
        write("/slot", confirmed(bench.slots()))
    free = BLOCKS - sum(used)
    print("free with two slots, an update and a full backlog: %d KB" % (free * 4))
    assert free >= 64, free


def confirmed(slots):
    from binascii import crc32

    body = "%s - 0 0 0" % slots[1]
    return ("%s %d" % (body, crc32(body.encode()))).encode()
