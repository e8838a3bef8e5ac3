"""The station in virtual time, killed at the boundary that is asked for, then started again: test_station_boundaries.

Reads [folder, number of the fatal boundary] as JSON lines; answers [[exit status, boundaries passed], ...] of 2 lives.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from suat.clock import VirtualScheduler
from suat.config import parse
from suat.network import provision
from suat.network.keys import RootKeys
from suat.pipeline import Pace
from suat.station import Station
from suat.store.journal import Journal
from suat_sim.witness import JOIN_EUI, Node, datagram, push_data, rxpk, soil_sample

START_US = 1_780_272_000_000_000
FRAMES, ABP = int(sys.argv[2]), int(sys.argv[3])
JOINER_EUI = "00000000000000ff"
ADDRESS = ("127.0.0.1", 40000)


def key(number: int) -> bytes:
    return hashlib.sha256(bytes([number])).digest()[:16]


def nodes() -> list[Node]:
    return [Node(f"{n:016x}", n, key(2 * n), key(2 * n + 1)) for n in range(1, ABP + 1)]


def frame(node: Node, fcnt: int) -> bytes:
    """Its record has the number of the frame; the node asks what is kept of its last ones."""
    return node.uplink(fcnt, soil_sample(fcnt, [{"vwc": 0.25}], 3.3, ack_from=max(0, fcnt - 6)))


def joiner() -> Node:
    return Node(JOINER_EUI, 0, b"", b"", key(200))


def provisioned(folder: Path) -> None:
    keys = RootKeys(folder)
    with Journal(folder / "journal.db") as journal:
        for node in nodes():
            device = provision.new_device(
                name=f"n{node.dev_addr}",
                kind="soil",
                dev_eui=node.dev_eui,
                dev_addr=f"{node.dev_addr:08x}",
                nwk_skey=node.nwk.hex(),
                app_skey=node.app.hex(),
            )
            provision.add(journal, keys, device, START_US)
        device = provision.new_device(
            name="joiner", kind="soil", dev_eui=JOINER_EUI, join_eui=JOIN_EUI, app_key=key(200).hex()
        )
        provision.add(journal, keys, device, START_US)


class Boundaries(VirtualScheduler):
    """Counts every boundary, and dies at one."""

    def __init__(self, start_us: int, fatal: int) -> None:
        super().__init__(start_us)
        self.count, self.fatal = 0, fatal

    def boundary(self, *_: object) -> None:
        self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def call_at(self, when: float, call: Any, *args: Any) -> Any:
        def counted() -> None:
            self.boundary()
            call(*args)
            self.boundary()

        return super().call_at(when, counted)

    def offload(self, work: Any, done: Any, lane: str = "journal") -> None:
        def counted() -> Any:
            self.boundary()
            found = work()
            self.boundary()
            return found

        super().offload(counted, done, lane)


def life(folder: Path, number: int, fatal: int) -> int:
    """A life of the station: what is on air in it, and what leaves it, goes to the file `air`, a line each."""
    scheduler = Boundaries(START_US + number * 600_000_000, fatal)
    table = {"name": "Asy", "data_dir": str(folder)}
    ingest = [{"kind": "semtech_udp", "bind": "127.0.0.1:1700"}]
    station = Station(
        scheduler,
        parse({"station": table, "ingest": ingest}),
        pace=Pace(housekeeping=20.0, summary=60.0, decision=90.0, retention=60.0),
    )
    station.journal._connection.set_trace_callback(scheduler.boundary)
    source: Any = station.open(station.config.ingest[0])
    air = os.open(folder / "air", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(**what: Any) -> None:
        os.write(air, json.dumps({"life": number, **what}).encode() + b"\n")

    def send(data: bytes, _address: Any) -> None:
        if data[3] == 3:
            found = json.loads(data[4:])["txpk"]
            note(down=found["data"])
            source.datagram_received(datagram(5, token=int.from_bytes(data[1:3], "big")), ADDRESS)

    source.send = send

    def hear(phy: bytes) -> None:
        note(up=phy.hex())
        tmst = round(scheduler.monotonic() * 1e6)
        source.datagram_received(push_data(rxpk(phy, tmst=tmst)), ADDRESS)

    station.pipeline.start()
    source.datagram_received(datagram(2), ADDRESS)
    scheduler.run_until(1.5)
    first = FRAMES * number
    for fcnt in range(first):  # what was on air before, or would have been: sent again, or replayed by somebody
        for node in nodes():
            hear(frame(node, fcnt))
        if fcnt in (1, 3):
            hear(joiner().join_request(dev_nonce=fcnt))
        scheduler.run_until(scheduler.monotonic() + 0.5)
    for fcnt in range(first, first + FRAMES):
        for node in nodes():
            hear(frame(node, fcnt))
            scheduler.run_until(scheduler.monotonic() + 0.01)
        if fcnt - first in (1, 3):
            hear(joiner().join_request(dev_nonce=fcnt))
        scheduler.run_until(scheduler.monotonic() + 20)
    scheduler.run_until(130.0)
    station.pipeline.stop()
    scheduler.run_until(135.0)
    station.close()
    return scheduler.count


def main() -> None:
    template = Path(sys.argv[1])
    provisioned(template)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        folder, fatal = json.loads(line)
        shutil.copytree(template, folder)
        lives = []
        for number, at in ((0, fatal), (1, 0)):
            reading, writing = os.pipe()
            child = os.fork()
            if not child:
                try:
                    os.write(writing, str(life(Path(folder), number, at)).encode())
                    os._exit(0)
                except BaseException:
                    traceback.print_exc()
                    os._exit(3)
            os.close(writing)
            _, status = os.waitpid(child, 0)
            count = os.read(reading, 64)
            os.close(reading)
            lives.append([os.waitstatus_to_exitcode(status), int(count or 0)])
            if number == 0:
                shutil.copytree(folder, folder + ".killed")
        print(json.dumps(lives), flush=True)


if __name__ == "__main__":
    main()
