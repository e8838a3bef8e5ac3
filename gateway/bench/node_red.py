"""The same frames through a Node-RED flow, for comparison: UDP in -> parse -> LoRaWAN by lora-packet -> a file.

    python gateway/bench/node_red.py --node-red DIR [--rates 500,1000,2000,5000] [--seconds 5] [--nodes 200] [--json]

DIR (or the environment's NODE_RED) is a folder with `npm install node-red@3 lora-packet`; without it the bench says
"skipped". The flow does what such flows do: PUSH_ACK, JSON, MIC check and decryption by lora-packet with the node's
keys out of a table, a line of text into a file. It checks no counter, filters nothing, has no durable store, sums
nothing up and forwards nothing to InfluxDB; the station does all of that. Its process has one core, as the station has.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from running import Key, packets

READY_S = 60.0
QUIET_S = 3.0
WARM = 500

FUNCTION = """
const packet = msg.payload;
if (packet.length < 12 || packet[0] !== 2 || packet[3] !== 0) return null;
const ack = {payload: Buffer.from([2, packet[1], packet[2], 1]), ip: msg.ip, port: msg.port};
const lines = [];
for (const entry of JSON.parse(packet.subarray(12).toString()).rxpk || []) {
    const frame = lora.fromWire(Buffer.from(entry.data, 'base64'));
    const keys = table[frame.DevAddr.toString('hex')];
    if (!keys || !lora.verifyMIC(frame, keys[0])) continue;
    const data = lora.decrypt(frame, keys[1], keys[0]);
    lines.push({payload: Date.now() + ' ' + frame.DevAddr.toString('hex') + ' ' + frame.FCnt.readUInt16BE(0)
        + ' ' + entry.rssi + ' ' + data.toString('hex')});
}
return [[ack], lines];
"""


def flow(port: int, out: Path) -> list[dict[str, Any]]:
    """The nodes of the flow and their wires."""
    return [
        {"id": "tab", "type": "tab", "label": "bench"},
        {
            "id": "in",
            "type": "udp in",
            "z": "tab",
            "iface": "127.0.0.1",
            "port": str(port),
            "ipv": "udp4",
            "multicast": "false",
            "group": "",
            "datatype": "buffer",
            "wires": [["parse"]],
        },
        {
            "id": "parse",
            "type": "function",
            "z": "tab",
            "outputs": 2,
            "func": FUNCTION,
            "initialize": "",
            "finalize": "",
            "libs": [],
            "wires": [["ack"], ["out"]],
        },
        {
            "id": "ack",
            "type": "udp out",
            "z": "tab",
            "iface": "127.0.0.1",
            "addr": "",
            "port": "",
            "ipv": "udp4",
            "outport": "",
            "base64": False,
            "multicast": "false",
            "wires": [],
        },
        {
            "id": "out",
            "type": "file",
            "z": "tab",
            "filename": str(out),
            "filenameType": "str",
            "appendNewline": True,
            "createDir": False,
            "overwriteFile": "false",
            "wires": [[]],
        },
    ]


def settings(where: Path, keys: list[Key]) -> str:
    """Node-RED's settings: no editor's extras, the keys and lora-packet at hand of the function."""
    table = {f"{dev_addr:08x}": (nwk.hex(), app.hex()) for dev_addr, nwk, app in keys}
    found = json.dumps(table)
    return f"""
const lora = require({json.dumps(str(where / "node_modules" / "lora-packet"))});
const table = {found};
for (const name in table) table[name] = table[name].map(key => Buffer.from(key, 'hex'));
module.exports = {{
    uiHost: '127.0.0.1', flowFile: 'flows.json', credentialSecret: false, logging: {{console: {{level: 'warn'}}}},
    functionGlobalContext: {{lora, table}},
    diagnostics: {{enabled: false, ui: false}}, editorTheme: {{tours: false}},
}};
"""


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(where: Path, rate: int, seconds: float, nodes: int) -> dict[str, Any]:
    """One rate on a Node-RED of its own."""
    keys: list[Key] = [(number, os.urandom(16), os.urandom(16)) for number in range(1, nodes + 1)]
    frames = int(rate * seconds)
    made = packets(keys, WARM + frames)
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="suat-node-red-") as name:
        folder = Path(name)
        out = folder / "out.txt"
        udp, http = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
        (folder / "settings.js").write_text(settings(where, keys))
        nodes_of_flow = flow(udp, out)
        (function,) = [node for node in nodes_of_flow if node["type"] == "function"]
        function["func"] = "const lora = global.get('lora'), table = global.get('table');" + FUNCTION
        (folder / "flows.json").write_text(json.dumps(nodes_of_flow))
        program = where / "node_modules" / "node-red" / "red.js"
        command = ["node", str(program), "-u", str(folder), "-p", str(http), "-s", str(folder / "settings.js")]
        os.sched_setaffinity(0, {cores[0]})
        try:
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        finally:
            os.sched_setaffinity(0, set(cores[1:] or cores))
        try:
            _await(http, process)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(("127.0.0.1", udp))
                _send(sock, made[:WARM], 500)
                _settled(out, WARM)
                before = _cpu_s(process.pid)
                sent = _send(sock, made[WARM:], rate)
                _settled(out, WARM + frames)
            used = _cpu_s(process.pid) - before
            memory = re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[0]
        finally:
            process.terminate()
            process.wait(15)
            os.sched_setaffinity(0, set(cores))
        lines = [line.split() for line in out.read_text().splitlines()]
    at = {(int(line[1], 16), int(line[2])): int(line[0]) / 1e3 for line in lines}
    waits = sorted(
        at[key] - when
        for number, when in enumerate(sent, WARM)
        if (key := (keys[number % nodes][0], number // nodes)) in at
    )
    kept = max(len(waits), 1)
    return {
        "rate": rate,
        "sent": frames,
        "lost": frames - len(waits),
        "cpu_us": round(used / kept * 1e6, 1),
        "p50_ms": round(waits[len(waits) // 2] * 1e3, 1) if waits else None,
        "p99_ms": round(waits[int(len(waits) * 0.99)] * 1e3, 1) if waits else None,
        "rss_mb": round(int(memory) / 1024, 1),
    }


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/flows", timeout=2):
                time.sleep(1.0)
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("Node-RED did not come up")


def _send(sock: socket.socket, what: list[bytes], rate: int) -> list[float]:
    """In bursts of a millisecond; when each left [UTC s]."""
    burst, sent, started = max(rate // 1000, 1), [], time.perf_counter()
    for first in range(0, len(what), burst):
        wait = started + first / rate - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        for packet in what[first : first + burst]:
            sent.append(time.time())
            sock.send(packet)
    return sent


def _settled(out: Path, wanted: int) -> None:
    """Until so many lines are written, or no more come."""
    seen, changed = -1, time.monotonic()
    while time.monotonic() < changed + QUIET_S:
        now = out.read_bytes().count(b"\n") if out.exists() else 0
        if now != seen:
            seen, changed = now, time.monotonic()
        if now >= wanted:
            return
        time.sleep(0.1)


def _cpu_s(pid: int) -> float:
    text = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, text[11:13])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description="The same frames through a Node-RED flow")
    parser.add_argument("--node-red", type=Path, default=os.environ.get("NODE_RED"), help="folder of its node_modules")
    parser.add_argument("--rates", default="500,1000,2000,5000", help="frames/s, in turn until frames are lost")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    where = Path(options.node_red).absolute() if options.node_red else None
    wanted = ("node-red", "lora-packet")
    if (
        where is None
        or not all((where / "node_modules" / name).is_dir() for name in wanted)
        or not shutil.which("node")
    ):
        reason = "Node-RED is not here; npm install node-red@3 lora-packet in a folder, and name it in NODE_RED"
        print(json.dumps({"skipped": reason}) if options.json else f"skipped: {reason}")
        return
    found = []
    for rate in map(int, options.rates.split(",")):
        found.append(measure(where, rate, options.seconds, options.nodes))
        if not options.json:
            print(found[-1], flush=True)
        if found[-1]["lost"]:
            break
    if options.json:
        print(json.dumps({"rates": found}))


if __name__ == "__main__":
    main()
