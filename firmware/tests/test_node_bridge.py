"""The bridge role: a real node's network over a simulated bridge, and the real program on a real pty."""

import fcntl
import importlib.util
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from suat_wire import bridge
from suat_wire.region import REGIONS

clock = pytest.importorskip("suat.clock")
fleet_module = pytest.importorskip("suat_sim.fleet")
network = pytest.importorskip("suat_sim.network")
node_process = pytest.importorskip("suat_sim.node_process")

HERE = Path(__file__).parent
REGION = REGIONS["IN865"]


def neighbour(name: str) -> Any:
    """A test module beside this one."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simulator = neighbour("test_node_in_simulator")


class Station:
    """A gateway's end of the line, as the simulated bridge's environment; what it says is in `outbox`."""

    def __init__(self) -> None:
        self.reader = bridge.Reader()
        self.outbox = b""
        self.sequence = 0
        self.seen: list[bridge.Message] = []
        self.received = lambda message: None

    def at(self, t_unix: float) -> dict[str, float | None]:
        return {"node.battery": 5.0}

    def ask(self, t_unix: float, data: bytes) -> bytes:
        for message in self.reader.feed(data):
            self.seen.append(message)
            if message.kind == "received":
                self.received(message)
        out, self.outbox = self.outbox, b""
        return out

    def say(self, kind: str, data: bytes = b"", **fields: int) -> None:
        self.sequence = self.sequence + 1 & 255
        self.outbox += bridge.encode(kind, self.sequence, fields, data)

    def all(self, kind: str) -> list[bridge.Message]:
        return [message for message in self.seen if message.kind == kind]


class BridgeServer(network.Network):  # type: ignore[name-defined,misc]
    """The small network server of the simulator's tests, behind a bridge instead of a packet forwarder."""

    def __init__(self, fleet: Any, devices: list[Any], station: Station, rx2: bool) -> None:
        super().__init__(fleet, devices, rx2=rx2)
        self.station = station
        station.received = self.heard

    def heard(self, message: bridge.Message) -> None:
        fields = message.fields
        assert fields["whole"]
        datr = f"SF{fields['sf']}BW{fields['khz']}"
        self.frame(message.data, {"freq": fields["hz"] / 1e6, "datr": datr, "tmst": fields["tmst"]}, None)

    def answer(self, phy: bytes, rxpk: dict[str, Any], address: Any, delay_s: int) -> None:
        if self.rx2:
            hz, dr, delay_s = REGION.rx2_hz, REGION.rx2_dr, delay_s + 1
        else:
            hz, dr = round(rxpk["freq"] * 1e6), REGION.dr_from_datr(rxpk["datr"])
        sf, bw_hz = REGION.data_rates[dr]
        tmst = (rxpk["tmst"] + delay_s * 1_000_000) % 2**32
        self.station.say("send", phy, tmst=tmst, hz=hz, sf=sf, khz=bw_hz // 1000, dbm=14)


@pytest.mark.slow
@pytest.mark.parametrize("rx2", [False, True], ids=["rx1", "rx2"])
def test_a_node_joins_and_is_acknowledged_through_a_bridge(rx2: bool, record_property: Any) -> None:
    """One bridge instead of a gateway, crystals 40 ppm apart; each downlink goes out in the window and is heard."""
    station = Station()
    device = network.Device("behind the bridge")
    pinned = {"channel": 0, "dr": 3, "adr": False}
    node = simulator.spec(device, "heltec_v3", simulator.SOIL, ppm=-20)
    node.config.update(radio=pinned, interval_s=60)
    radio = node_process.NodeSpec(
        "bridge",
        {"board": "pico_waveshare", "role": "bridge", "region": "IN865", "radio": {"channel": 0, "dr": 3}},
        station,
        main="bridge_in_simulator",
        programs=(str(HERE / "bridge_in_simulator.py"),),
        ppm=20,
        ticks_offset_us=(1 << 30) - 100_000_000,  # time.ticks_us() soon wraps
    )
    frames: list[Any] = []
    with fleet_module.Fleet(clock.VirtualScheduler(simulator.START_US), [radio, node], gateways=(), seed=3) as fleet:
        fleet.witness = frames.append
        BridgeServer(fleet, [device], station, rx2)
        station.say("hello")
        fleet.run(310)
        counters = fleet.counters()
        assert fleet.incidents == []
    assert len(device.nonces) == 1, "the first join accept was heard"
    assert len(device.held) >= 5 and device.copies == len(device.held)
    assert simulator.check_values(device) > 20
    ups = [frame for frame in frames if frame.sender != "bridge"]
    downs = [frame for frame in frames if frame.sender == "bridge"]
    assert len(station.all("received")) == len(ups), "each uplink was heard"
    assert [message.data for message in station.all("received")] == [frame.payload for frame in ups]
    assert counters["downlinks_heard"] == counters["downlinks"] == len(downs) >= 2
    codes = [message.fields["code"] for message in station.all("result")]
    assert codes == [bridge.QUEUED, bridge.SENT] * len(downs)
    errors = []
    for down in downs:
        before = max((up for up in ups if up.end_us < down.start_us), key=lambda up: up.end_us)
        delay_s = (5 if before.payload[0] >> 5 == 0 else 1) + rx2
        errors.append(down.start_us - before.end_us - delay_s * 1_000_000)
    record_property("downlink_error_us", max(map(abs, errors)))
    assert max(map(abs, errors)) < 200, errors  # 20 ppm of 6 s are 120 us
    assert station.all("caps")[0].fields["low"] == 865_000_000


# the real program on a real pty, in real time

MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or "micropython"
HZ, SF, KHZ = 865_402_500, 7, 125
HERE_PLACE = {"hz": HZ, "sf": SF, "khz": KHZ}
IQ_INVERTED, CRC_ON, PUBLIC_SYNC = 1, 2, 8  # flags of suat_sim.air
NASTY = bytes((0xC0, 3, 0xDB, 0xDC, 0xDD, 0xDE, 10, 13, 4, 0)) * 5
PATIENCE_S = 20.0


class Cable:
    """A bridge's process, the host's end of its line, and the hand on its air."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        attributes = termios.tcgetattr(slave)
        attributes[3] |= termios.ISIG  # ^C interrupts the program, as on a board, and nothing else does
        for other in (termios.VQUIT, termios.VSUSP):
            attributes[6][other] = b"\0"
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE_S)
        self.socket, self.control = ours, ours.makefile("rwb", buffering=0)

        def own_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [MICROPYTHON, "-X", "heapsize=240K", str(HERE / "bridge_on_pty.py"), str(theirs.fileno())],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            pass_fds=[theirs.fileno()],
            preexec_fn=own_terminal,
            env={"MICROPYPATH": f"{HERE.parent}:{HERE.parents[1] / 'hw_test'}:.frozen"},
        )
        os.close(slave)
        theirs.close()
        os.set_blocking(self.master, False)
        self.reader = bridge.Reader()
        self.raw = b""  # the last of what came
        self.waiting: list[bridge.Message] = []
        self.sequence = 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.control.close()
        self.socket.close()
        os.close(self.master)

    def frame(self, kind: str, data: bytes = b"", **fields: int) -> bytes:
        self.sequence = self.sequence + 1 & 255
        return bridge.encode(kind, self.sequence, fields, data)

    def say(self, kind: str, data: bytes = b"", **fields: int) -> None:
        self.write(self.frame(kind, data, **fields))

    def write(self, data: bytes) -> None:
        until = time.monotonic() + PATIENCE_S
        while data:
            assert time.monotonic() < until, self.raw
            try:
                data = data[os.write(self.master, data) :]
            except BlockingIOError:
                time.sleep(0.001)

    def read(self) -> None:
        """What has come."""
        try:
            data = os.read(self.master, 4096)
            self.raw = (self.raw + data)[-2000:]
            self.waiting += self.reader.feed(data)
        except BlockingIOError:
            time.sleep(0.001)
        except OSError as error:  # the program has ended
            raise AssertionError(self.raw.decode(errors="replace")) from error

    def next(self, kind: str) -> bridge.Message:
        """The next message of a kind; others are kept."""
        until = time.monotonic() + PATIENCE_S
        while True:
            for message in self.waiting:
                if message.kind == kind:
                    self.waiting.remove(message)
                    return message
            assert time.monotonic() < until, f"no {kind}\n{self.raw}"
            self.read()

    def order(self, **what: Any) -> None:
        self.control.write(json.dumps(what).encode() + b"\n")

    def note(self, key: str) -> dict[str, Any]:
        """The next note of the air that has this."""
        while True:
            found: dict[str, Any] = json.loads(self.control.readline())
            assert "fault" not in found, found
            if key in found:
                return found


@pytest.fixture
def cable() -> Iterator[Cable]:
    cable = Cable()
    yield cable
    cable.close()


def test_it_says_what_it_is_and_keeps_time(cable: Cable) -> None:
    cable.say("hello")
    caps = cable.next("caps").fields
    assert (caps["low"], caps["high"], caps["dbm"], caps["queue"]) == (865_000_000, 867_000_000, 14, 4)
    assert cable.note("confirmed"), "an update on trial that a gateway has greeted stays"
    offsets = []
    for _ in range(20):
        sent = time.monotonic_ns() // 1000
        cable.say("ping", host_us=sent)
        pong = cable.next("pong")
        back = time.monotonic_ns() // 1000
        assert pong.fields["host_us"] == sent
        offsets.append((back - sent, (pong.fields["tmst"] - sent) % 2**32))
        time.sleep(0.01)
    best = sorted(offsets)[:5]
    assert max(offset for _, offset in best) - min(offset for _, offset in best) < 20_000


def test_frames_are_heard_whole_and_broken_ones_told(cable: Cable) -> None:
    phys = [NASTY, b"", bytes(range(255)), b"\xc0" * 255]
    for number, phy in enumerate(phys):
        cable.order(phy=phy.hex(), whole=number != 1)
        note = cable.note("heard")
        assert (note["hz"], note["sf"], note["bw"]) == (HZ, SF, KHZ * 1000)
        assert note["flags"] == CRC_ON | PUBLIC_SYNC, "an uplink: IQ as it is, with a CRC"
        got = cable.next("received")
        assert got.data == phy
        wanted = {**HERE_PLACE, "rssi": -97, "snr": -13, "whole": int(number != 1)}
        assert {name: got.fields[name] for name in wanted} == wanted
    cable.say("stat")
    status = cable.next("status").fields
    assert (status["received"], status["broken"], status["dropped"], status["garbled"]) == (3, 1, 0, 0)


def test_a_downlink_leaves_at_its_time_and_listening_goes_on(cable: Cable) -> None:
    cable.say("hello")
    cable.next("caps")
    sent = 0
    for number in range(40):
        cable.order(phy="40" * 20, whole=True)
        heard = cable.note("heard")["heard"]
        uplink = cable.next("received")
        at = (uplink.fields["tmst"] + 300_000) % 2**32
        phy = NASTY + bytes((number,))
        cable.say("send", phy, tmst=at, hz=866_550_000, sf=10, khz=125, dbm=11)
        codes = []
        while not codes or codes == [bridge.QUEUED]:
            result = cable.next("result").fields
            assert (result["of"], result["tmst"]) == (cable.sequence, at)
            codes.append(result["code"])
        if codes[-1] == bridge.TOO_LATE:  # this host was busy; the test of the next frame's bytes shows that it stayed
            continue
        assert codes == [bridge.QUEUED, bridge.SENT]
        note = cable.note("start")
        assert (note["hz"], note["sf"], note["bw"], note["dbm"]) == (866_550_000, 10, 125_000, 11)
        assert note["flags"] == IQ_INVERTED | PUBLIC_SYNC, "a downlink: IQ inverted, no CRC"
        assert bytes.fromhex(note["phy"]) == phy
        # here the edge of DIO1 is noticed when the loop looks: a busy host makes it late
        assert abs(note["start"] - heard - 300_000) < 100_000
        sent += 1
        if sent == 3:
            return
    raise AssertionError("none left in time")


def test_what_cannot_be_sent_is_refused_with_its_reason(cable: Cable) -> None:
    def verdict(data: bytes = b"x", ahead_us: int = 0, **change: int) -> int:
        cable.say("ping", host_us=0)
        tmst = (cable.next("pong").fields["tmst"] + ahead_us) % 2**32
        cable.say("send", data, **{"tmst": tmst, **HERE_PLACE, "dbm": 14, **change})
        return cable.next("result").fields["code"]

    assert verdict(ahead_us=-1_000_000) == bridge.TOO_LATE
    assert verdict(ahead_us=10_000) == bridge.TOO_LATE
    assert verdict(ahead_us=61_000_000) == bridge.TOO_EARLY
    for change in ({"hz": 868_100_000}, {"sf": 6}, {"sf": 13}, {"khz": 200}):
        assert verdict(ahead_us=2_000_000, **change) == bridge.FREQUENCY
    assert verdict(ahead_us=2_000_000, dbm=15) == bridge.POWER
    assert verdict(ahead_us=30_000_000) == bridge.QUEUED
    assert verdict(ahead_us=30_020_000) == bridge.COLLISION
    for i in range(1, 4):
        assert verdict(ahead_us=30_000_000 + i * 5_000_000) == bridge.QUEUED
    assert verdict(ahead_us=55_000_000) == bridge.COLLISION, "four wait already"


def test_it_listens_where_it_is_told(cable: Cable) -> None:
    there = {"hz": 865_985_000, "sf": 12, "khz": 125, "dbm": 10}
    cable.say("config", **there)
    assert cable.next("configured").fields == there
    time.sleep(0.1)
    cable.order(phy="00", whole=True)
    assert cable.next("received").fields["sf"] == 12
    for change in ({"hz": 869_525_000}, {"sf": 5}, {"khz": 1}, {"dbm": 20}):
        cable.say("config", **{**there, **change})
        error = cable.next("error")
        assert (error.fields["of"], error.fields["code"]) == (cable.sequence, bridge.REFUSED)
    cable.order(phy="01", whole=True)
    assert cable.next("received").fields["hz"] == 865_985_000, "as before"
    cable.write(bridge.encode("pong", 77, {"host_us": 0, "tmst": 0}))
    assert cable.next("error").fields == {"of": 77, "code": bridge.UNKNOWN}


def test_noise_and_pieces_on_the_line_do_no_harm(cable: Cable) -> None:
    cable.say("hello")
    cable.next("caps")
    noise = os.urandom(3000).replace(b"\3", b"")
    for start in range(0, 3000, 300):
        cable.write(noise[start : start + 300] + b"AT\r\n" + cable.frame("hello")[:-3])
        for byte in b"\xc0" + cable.frame("ping", host_us=start):
            cable.write(bytes((byte,)))
        assert cable.next("pong").fields["host_us"] == start
    cable.say("stat")
    assert cable.next("status").fields["garbled"] >= 10


def test_a_host_that_is_away_is_neither_waited_for_nor_remembered_without_end(cable: Cable) -> None:
    cable.say("hello")
    cable.next("caps")
    for number in range(120):  # 33 kB
        cable.order(phy=(bytes((number,)) * 255).hex(), whole=True)
        cable.note("heard")
    cable.say("stat")
    status = cable.next("status").fields  # behind everything that waited
    numbers = [message.data[0] for message in cable.waiting if message.kind == "received"]
    assert numbers == sorted(set(numbers)), "in their order, each once"
    assert 16 < len(numbers) < 110, "16 frames wait in the bridge, the others in the kernel"
    assert len(numbers) == status["received"] - status["dropped"] and status["received"] > 110
    assert cable.reader.garbled == 0, "what was half on its way was not torn"


def test_a_radio_that_hangs_is_told_and_set_up_again(cable: Cable) -> None:
    cable.say("hello")
    cable.next("caps")
    cable.order(stuck=True)
    cable.say("config", **HERE_PLACE, dbm=14)
    error = cable.next("error")
    assert (error.fields["code"], error.data) == (bridge.RADIO, b"BUSY stays high")
    cable.order(stuck=False)
    time.sleep(1.5)
    cable.order(phy="05", whole=True)
    assert cable.next("received").data == b"\x05"


def test_control_c_gets_through(cable: Cable) -> None:
    """A technician's mpremote gets through; the protocol itself never sends that byte."""
    cable.say("hello")
    cable.next("caps")
    cable.write(b"\x03")
    with pytest.raises(AssertionError, match="KeyboardInterrupt"):
        while True:
            cable.read()
