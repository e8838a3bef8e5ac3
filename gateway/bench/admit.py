"""What admission costs: UDP datagram bytes -> PUSH_ACK -> judged -> `Admitted`, on one core, step by step.

    python gateway/bench/admit.py [--frames 20000] [--nodes 200] [--rate 10000] [--json]

The frames are a soil node's usual ones (4 probes, battery) of as many nodes, one frame a datagram, made beforehand.
First without a socket, in virtual time, then through a real one with another process sending at `--rate`: CPU time of
the receiving process and frames lost. Nothing goes to disk. The steps are measured one by one on the same frames; what
they leave of the whole is the calls between them and the records that carry the result.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

import orjson
from suat.clock import LoopScheduler, VirtualScheduler
from suat.ingest.base import Ingress
from suat.ingest.semtech_udp import SemtechUdp, _uplink, serve_udp
from suat.network.admit import Admission
from suat.network.cipher import mic_ok, open_payload
from suat.network.devices import Devices
from suat.network.downlink import Downlinks
from suat.network.join import Joins
from suat.records import Admitted, DeviceRecord, SessionUpdate
from suat_sim import witness
from suat_wire import lorawan, payload
from suat_wire.region import REGIONS

START_US = 1_780_000_000_000_000


def _key(number: int, salt: int) -> bytes:
    return bytes((number * 7 + salt * 31 + i * 13) % 256 for i in range(16))


def registry(nodes: int) -> Devices:
    """Nodes activated by personalisation, DevAddr 1..nodes."""
    devices = Devices()
    devices.load(
        [
            DeviceRecord(n, f"node-{n}", "soil", f"{n:016x}", None, "jailau-1", None, (), START_US)
            for n in range(1, nodes + 1)
        ],
        [SessionUpdate(n, 0, 0, False, n, _key(n, 1), _key(n, 2)) for n in range(1, nodes + 1)],
        {},
    )
    return devices


def datagrams(devices: Devices, frames: int) -> list[bytes]:
    """PUSH_DATA packets, one frame each, the nodes in turn: 4 probes with all they have, and the battery."""
    probes = [{"vwc": 0.2 + probe / 100, "temperature": 12.5, "ec": 0.4} for probe in range(1, 5)]
    nodes = sorted(devices.by_addr)
    out = []
    for number in range(frames):
        node, fcnt = nodes[number % len(nodes)], number // len(nodes)
        sample = witness.soil_sample(fcnt, probes, 3.3)
        phy = witness.data_up(_key(node, 1), _key(node, 2), node, fcnt, sample)
        entry = witness.rxpk(phy, tmst=number * 100 % 2**32, lsnr=7.25, rssi=-96)
        out.append(witness.push_data(entry, token=number))
    return out


def whole(packets: list[bytes], nodes: int, rate: int) -> tuple[float, int]:
    """(us a frame, frames admitted) of the whole way, the frames coming at `rate` a second of virtual time."""
    scheduler = VirtualScheduler(START_US)
    admitted: list[Admitted] = []
    devices = registry(nodes)
    region = REGIONS["IN865"]
    downlinks = Downlinks(scheduler, region, lambda _downlink: True)
    admission = Admission(scheduler, devices, Joins(devices, region, downlinks), downlinks, admitted.append)
    ingress = Ingress(scheduler, admission.receive, downlinks.on_result, admission.counters)
    source = SemtechUdp(ingress, send=lambda _data, _address: None)
    address = ("127.0.0.1", 40000)
    chunk = max(rate // 100, 1)
    started = time.perf_counter()
    for first in range(0, len(packets), chunk):
        for packet in packets[first : first + chunk]:
            source.datagram_received(packet, address)
        scheduler.run_until((first + chunk) / rate)
    scheduler.run_until(scheduler.monotonic() + 1)
    elapsed = time.perf_counter() - started
    return elapsed / len(packets) * 1e6, len(admitted)


async def _through_socket(packets: list[bytes], nodes: int, rate: int) -> tuple[float, int]:
    """(us of CPU a frame, frames admitted) with the frames coming from another process."""
    loop = asyncio.get_running_loop()
    scheduler = LoopScheduler(loop)
    admitted: list[Admitted] = []
    devices = registry(nodes)
    region = REGIONS["IN865"]
    downlinks = Downlinks(scheduler, region, lambda _downlink: True)
    admission = Admission(scheduler, devices, Joins(devices, region, downlinks), downlinks, admitted.append)
    source = SemtechUdp(Ingress(scheduler, admission.receive, downlinks.on_result, admission.counters))
    endpoint = await serve_udp(source, "127.0.0.1:0")
    gc.collect()
    gc.freeze()
    before = time.process_time()
    sender = os.fork()
    if sender == 0:
        _send(packets, rate, endpoint.address)
    while len(admitted) < len(packets) and os.waitpid(sender, os.WNOHANG) == (0, 0):
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    used = time.process_time() - before
    endpoint.close()
    scheduler.close()
    return used / max(len(admitted), 1) * 1e6, len(admitted)


def _send(packets: list[bytes], rate: int, address: tuple[str, int]) -> NoReturn:
    """The sending process: bursts of a millisecond."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        started = time.perf_counter()
        burst = max(rate // 1000, 1)
        for first in range(0, len(packets), burst):
            time.sleep(max(0.0, started + first / rate - time.perf_counter()))
            for packet in packets[first : first + burst]:
                sock.sendto(packet, address)
    os._exit(0)


def _cost(call: Callable[[Any], Any], items: list[Any]) -> float:
    """us a call, the best of three rounds."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        for item in items:
            call(item)
        best = min(best, time.perf_counter() - started)
    return best / len(items) * 1e6


def steps(packets: list[bytes], nodes: int) -> dict[str, float]:
    """us a frame of each step alone."""
    devices = registry(nodes)
    entries = [orjson.loads(packet[12:])["rxpk"][0] for packet in packets]
    uplinks = [_uplink(entry, witness.GATEWAY, "semtech_udp", START_US) for entry in entries]
    frames = [lorawan.parse_data(uplink.phy) for uplink in uplinks]
    judged = [(devices.by_addr[f.dev_addr][0], f, i // nodes) for i, f in enumerate(frames)]
    opened = [open_payload(s.nwk, s.app, f, n) for s, f, n in judged]
    return {
        "JSON": _cost(lambda packet: orjson.loads(packet[12:]), packets),
        "rxpk -> Uplink": _cost(lambda entry: _uplink(entry, witness.GATEWAY, "semtech_udp", START_US), entries),
        "parse_data": _cost(lambda uplink: lorawan.parse_data(uplink.phy), uplinks),
        "MIC": _cost(lambda item: mic_ok(item[0].nwk, item[1], item[2]), judged),
        "decrypt": _cost(lambda item: open_payload(item[0].nwk, item[0].app, item[1], item[2]), judged),
        "split payload": _cost(lambda data: payload.split(data, 2, 0), opened),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of admission, a frame")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    packets = datagrams(registry(options.nodes), options.frames)
    best, kept = min(whole(packets, options.nodes, options.rate) for _ in range(3))
    cpu, heard = asyncio.run(_through_socket(packets, options.nodes, options.rate))
    result = {
        "us_a_frame": round(best, 2),
        "frames_s": round(1e6 / best),
        "admitted": kept,
        "of": len(packets),
        "socket": {"rate": options.rate, "cpu_us_a_frame": round(cpu, 2), "admitted": heard},
    }
    parts = {name: round(cost, 2) for name, cost in steps(packets, options.nodes).items()}
    if options.json:
        print(json.dumps(result | {"steps_us": parts}))
        return
    print(f"{best:.1f} us a frame, {1e6 / best:,.0f} frames/s; {kept} of {len(packets)} admitted")
    print(f"{cpu:.1f} us of CPU a frame through a socket at {options.rate:,} frames/s; {heard} admitted")
    for name, cost in parts.items():
        print(f"  {name:16} {cost:6.2f} us")
    print(f"  {'the rest':16} {best - sum(parts.values()):6.2f} us")


if __name__ == "__main__":
    main()
