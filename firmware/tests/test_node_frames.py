"""Every frame that a node sends in thirty days, heard or not, is read by `lora-packet` and by `tshark`: the MIC is good
and the payload is what the network took in. The network changes what it can change by MAC commands; a trough runs dry.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suat.clock import VirtualScheduler
from suat_sim.air import AirSettings, Frame
from suat_sim.fleet import Fleet, GatewaySpec
from suat_sim.network import JOIN_EUI, Device, Network
from suat_sim.node_process import NodeSpec
from suat_wire import commands, lorawan, payload
from suat_wire.region import REGIONS

START_US = 1_767_225_600_000_000  # 2026-01-01
DAYS = 30
DAY_S = 86400
EXTRA_HZ = 866_185_000
EVERY = 9  # downlinks between two with commands

REQUESTS = [
    commands.build(cid, lorawan.DOWN, **values)
    for cid, values in (
        (commands.LINK_ADR, {"tx_power": 1, "data_rate": 3, "channel_mask": 7, "nb_trans": 2, "mask_control": 0}),
        (commands.DEV_STATUS, {}),
        (commands.RX_PARAM_SETUP, {"rx2_data_rate": 2, "rx1_offset": 0, "frequency_hz": 866_550_000}),
        (commands.NEW_CHANNEL, {"index": 3, "frequency_hz": EXTRA_HZ, "min_data_rate": 0, "max_data_rate": 5}),
        (commands.LINK_ADR, {"tx_power": 15, "data_rate": 15, "channel_mask": 15, "nb_trans": 1, "mask_control": 0}),
        (commands.DL_CHANNEL, {"index": 3, "frequency_hz": EXTRA_HZ}),
        (commands.RX_TIMING_SETUP, {"delay_s": 1}),
        (commands.DUTY_CYCLE, {"max_duty_cycle": 6}),
        (commands.LINK_ADR, {"tx_power": 0, "data_rate": 5, "channel_mask": 0xF0, "nb_trans": 1, "mask_control": 0}),
        (commands.LINK_ADR, {"tx_power": 2, "data_rate": 4, "channel_mask": 15, "nb_trans": 3, "mask_control": 0}),
        (commands.TX_PARAM_SETUP, {"max_eirp": 5, "uplink_dwell": 0, "downlink_dwell": 0}),
        (commands.DUTY_CYCLE, {"max_duty_cycle": 0}),
    )
]
ANSWERED = {
    commands.LINK_ADR,
    commands.DEV_STATUS,
    commands.RX_PARAM_SETUP,
    commands.NEW_CHANNEL,
    commands.DL_CHANNEL,
    commands.RX_TIMING_SETUP,
    commands.DUTY_CYCLE,
}
DATA = ["mhdr.mtype", "fhdr.devaddr", "fhdr.fcnt", "fport", "mic.status", "frmpayload_decrypted"]
JOIN = ["mhdr.mtype", "join_request.deveui", "join_request.devnonce", "mic.status"]


class Spring:
    """A trough that is empty each fifth day."""

    def at(self, t: float) -> dict[str, float | None]:
        day = (t - START_US / 1e6) / DAY_S
        swing = math.sin(2 * math.pi * day)
        return {
            "water.depth": 0.0 if 0.4 < day % 5 < 0.6 else 0.8 + 0.1 * swing,
            "water.temperature": 8 + 3 * swing,
            "node.air_temperature": 12 + 6 * swing,
            "node.battery": 3.7,
        }


def thirty_days(device: Device) -> list[bytes]:
    """All frames on the air."""
    config = {
        "board": "pico_waveshare",
        "kind": "water",
        "interval_s": 900,
        "otaa": device.otaa(),
        "sensors": [
            {"kind": "pressure", "at": "water", "adc": 27, "power": 22},
            {"kind": "ds18b20", "at": "water", "pin": 6, "power": 22},
            {"kind": "battery", "at": "node"},
        ],
    }
    turn, count = itertools.cycle(REQUESTS), itertools.count(1)

    def mac(_: Device) -> bytes:
        return next(turn) if next(count) % EVERY == 0 else b""

    frames: list[bytes] = []

    def witness(frame: Frame) -> None:
        frames.append(frame.payload)

    with Fleet(
        VirtualScheduler(START_US),
        [NodeSpec("node", config, Spring(), x_m=400.0, ppm=-15)],
        gateways=(GatewaySpec(keepalive_s=3600.0),),
        channels_hz=(*REGIONS["IN865"].channels_hz, EXTRA_HZ),
        air=AirSettings(loss=0.1),
    ) as fleet:
        fleet.witness = witness
        Network(fleet, [device], mac=mac, same_sample_s=15.0)
        fleet.run(DAYS * DAY_S)
        assert fleet.incidents == []
    return frames


@pytest.mark.slow
def test_each_frame_of_thirty_days_is_valid_to_lora_packet_and_to_tshark(
    node: Callable[[list[dict[str, Any]]], list[Any]],
    tshark: Callable[..., list[list[str]]],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    device = Device("thirty days")
    frames = thirty_days(device)
    requests = [phy for phy in frames if phy[0] >> 5 == lorawan.JOIN_REQUEST]
    data = [phy for phy in frames if phy[0] >> 5 != lorawan.JOIN_REQUEST]
    assert len(data) > 2500
    keys = {f"{session.dev_addr:08x}": session.raw_keys for session in device.sessions}

    read = node(
        [{"do": "read_join_request", "phy": phy.hex(), "app_key": device.app_key.hex()} for phy in requests]
        + [
            {"do": "read_data", "phy": phy.hex(), "fcnt": 0, "nwk_skey": nwk.hex(), "app_skey": app.hex()}
            for phy in (*data, damage(data[-1]))
            for nwk, app in (keys[phy[4:0:-1].hex()],)
        ]
    )
    nonces = [int(one["dev_nonce"], 16) for one in read[: len(requests)]]
    assert all(one["mic"] and one["dev_eui"] == device.dev_eui.hex() for one in read[: len(requests)])
    assert nonces == sorted(set(nonces)), "a DevNonce came twice"
    *opened, damaged = read[len(requests) :]
    assert not damaged["mic"], "lora-packet takes anything"
    bad = [phy.hex() for phy, one in zip(data, opened, strict=True) if not one["mic"]]
    assert bad == [], f"{len(bad)} frames with a wrong MIC"
    seen: dict[tuple[str, int], bytes] = {}
    for phy, one in zip(data, opened, strict=True):
        assert seen.setdefault((one["dev_addr"], one["fcnt16"]), phy) == phy, "a frame counter with two frames"
        if one["fport"] in (payload.PORT_READINGS, payload.PORT_HEALTH):
            samples = payload.split(bytes.fromhex(one["payload"]), one["fport"], device.newest)[1]
            assert all(device.held[record][1] == body for record, _, body in samples if record in device.held)

    *rows, damaged = tshark(tmp_path, [*data, damage(data[-1])], tshark_keys(keys), DATA)
    assert damaged[4] == "0", "tshark takes anything"
    for row, one in zip(rows, opened, strict=True):
        mtype, addr, fcnt, fport, status, plain = row
        assert (int(mtype), addr, int(fcnt)) == (one["mtype"], "0x" + one["dev_addr"], one["fcnt16"])
        assert status == "1", f"{row}: MIC"
        if one["fport"]:
            assert (int(fport, 16), plain) == (one["fport"], one["payload"])
    key = device.app_key.hex()
    rows = tshark(tmp_path, requests, [("0" * 8, key, key, bytes.fromhex(JOIN_EUI)[::-1].hex())], JOIN)
    assert rows == [["0", device.dev_eui.hex(":"), nonce.to_bytes(2, "little").hex(), "1"] for nonce in nonces]

    answered = {cid for cid, _ in device.answers}
    kinds = Counter(("join", "", "unconfirmed", "", "confirmed")[phy[0] >> 5] for phy in frames)
    ports = Counter(one["fport"] for one in opened)
    figures = {**kinds, **{f"FPort {port}": count for port, count in ports.items()}, "answers": len(device.answers)}
    for name, figure in figures.items():
        record_property(name, figure)
    print(f"{len(frames)} frames: " + ", ".join(f"{name} {figure}" for name, figure in figures.items()))
    assert kinds["confirmed"] >= 3
    assert answered == ANSWERED
    assert device.missing(device.newest - 8) == []


def damage(phy: bytes) -> bytes:
    """One bit of the payload is another."""
    return phy[:10] + bytes((phy[10] ^ 1,)) + phy[11:]


def tshark_keys(keys: dict[str, tuple[bytes, bytes]]) -> list[tuple[str, ...]]:
    return [(bytes.fromhex(addr)[::-1].hex(), nwk.hex(), app.hex(), "0" * 16) for addr, (nwk, app) in keys.items()]
