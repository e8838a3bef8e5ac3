"""A node's own program joins the station's own network server through a board's own program: nothing between them is a
stand-in but the waves, the clock and the line's cable."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from suat.clock import VirtualScheduler
from suat.ingest.base import Ingress
from suat.ingest.serial_bridge import SerialBridge, SerialBridgeTable
from suat.network import provision
from suat.network.keys import RootKeys
from suat.network.server import NetworkServer
from suat.records import Admitted, Batch
from suat.store.journal import Journal
from suat_sim.fleet import Fleet
from suat_sim.network import Device
from suat_sim.node_process import NodeSpec
from suat_wire import payload

FIRMWARE_TESTS = Path(__file__).parents[3] / "firmware" / "tests"
COMMIT_S = 0.05


def neighbour(name: str) -> Any:
    """A test module of the firmware."""
    spec = importlib.util.spec_from_file_location(name, FIRMWARE_TESTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Station:
    """Source, network server and journal; what it writes leaves when the board looks next."""

    def __init__(self, scheduler: VirtualScheduler, folder: Path, device: Device) -> None:
        self.journal = Journal(folder / "journal.db", durable=False)
        keys = RootKeys(folder)
        node = provision.new_device(
            name="soil-1",
            kind="soil",
            dev_eui=device.dev_eui.hex(),
            join_eui=device.otaa()["join_eui"],
            app_key=device.app_key.hex(),
        )
        provision.add(self.journal, keys, node, scheduler.wall_us())
        self.reader = self.journal.reader()
        self.scheduler = scheduler
        self.outbox = b""
        self.results: list[int] = []
        self.server = NetworkServer(
            scheduler, "IN865", self.reader, keys, self.keep, lambda downlink: self.source.send_downlink(downlink)
        )

        def told(downlink: Any, result: int) -> None:
            self.results.append(result)
            self.server.downlink_result(downlink, result)  # type: ignore[arg-type]

        ingress = Ingress(scheduler, self.server.receive, told, self.server.counters)
        table = SerialBridgeTable(kind="serial_bridge", port="/dev/ttyACM0", channel=0, dr=3)
        self.source = SerialBridge(ingress, table, self)  # type: ignore[arg-type]

    # the port
    def start(self) -> None: ...
    async def stop(self) -> None: ...
    def proved(self) -> None: ...
    def drop(self, why: str) -> None:
        raise AssertionError(why)

    def write(self, data: bytes) -> bool:
        self.outbox += data
        return True

    # the board's surroundings
    def at(self, t_unix: float) -> dict[str, float | None]:
        return {"node.battery": 5.0}

    def ask(self, t_unix: float, data: bytes) -> bytes:
        if data:
            self.source.data_received(data)
        out, self.outbox = self.outbox, b""
        return out

    # the journal
    def keep(self, admitted: Admitted) -> None:
        batch = Batch((admitted,))
        self.scheduler.call_later(COMMIT_S, lambda: self.server.committed(batch, self.journal.commit(batch)))


@pytest.mark.slow
def test_a_node_joins_and_is_acknowledged_by_the_station_itself(tmp_path: Path, record_property: Any) -> None:
    simulator = neighbour("test_node_in_simulator")
    device = Device("behind the bridge")
    node = simulator.spec(device, "heltec_v3", simulator.SOIL, ppm=-20)
    node.config.update(radio={"channel": 0, "dr": 3, "adr": False}, interval_s=60)
    scheduler = VirtualScheduler(simulator.START_US)
    station = Station(scheduler, tmp_path, device)
    board = NodeSpec(
        "bridge",
        {"board": "pico_waveshare", "role": "bridge", "region": "IN865", "radio": {"channel": 2, "dr": 0}},
        station,
        main="bridge_in_simulator",
        programs=(str(FIRMWARE_TESTS / "bridge_in_simulator.py"),),
        ppm=20,
        ticks_offset_us=(1 << 30) - 100_000_000,  # time.ticks_us() soon wraps
    )
    frames: list[Any] = []
    with Fleet(scheduler, [board, node], gateways=(), seed=3) as fleet:
        fleet.witness = frames.append
        station.source.opened()
        fleet.run(310)
        assert fleet.incidents == []
    ups = [frame for frame in frames if frame.sender != "bridge"]
    downs = [frame for frame in frames if frame.sender == "bridge"]
    rows = station.journal._connection.execute("SELECT record, time_us, body FROM sample ORDER BY id").fetchall()
    assert len(rows) >= 5 and len({record for record, _, _ in rows}) == len(rows)
    world = simulator.World()
    moist = [(time_us, payload.unpack(body).get(("probe1", "vwc"))) for _, time_us, body in rows]
    errors = [value - world.at(time_us / 1e6)["probe1.vwc"] for time_us, value in moist if value is not None]
    assert len(errors) >= 4 and max(map(abs, errors)) < 0.0011, "the rest is the node's health"
    assert station.server.counters["received"] == len(ups), "its own configuration said another channel: ours counts"
    assert station.server.counters["accepted"] >= 5
    assert len(downs) >= 2 and station.results == [0] * len(downs), "join accept and acknowledgements, all sent"
    errors = []
    for down in downs:
        before = max((up for up in ups if up.end_us < down.start_us), key=lambda up: up.end_us)
        errors.append(down.start_us - before.end_us - (5 if before.payload[0] >> 5 == 0 else 1) * 1_000_000)
    record_property("downlink_error_us", max(map(abs, errors)))
    assert max(map(abs, errors)) < 200, errors  # 20 ppm of 6 s are 120 us
    station.reader.close()
    station.journal.close()
