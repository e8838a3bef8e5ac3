"""The bridge role: a real node's network over a simulated bridge, and the real program on a real pty."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from suat_wire import bridge
from suat_wire.region import REGIONS

clock = pytest.importorskip("suat.clock")
fleet_module = pytest.importorskip("suat_sim.fleet")
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


class BridgeServer(simulator.Server):  # type: ignore[name-defined,misc]
    """The small network server of the simulator's tests, behind a bridge instead of a packet forwarder."""

    def __init__(self, fleet: Any, devices: list[Any], station: Station, rx2: bool) -> None:
        super().__init__(fleet, devices, rx2)
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
    device = simulator.Device("behind the bridge")
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
