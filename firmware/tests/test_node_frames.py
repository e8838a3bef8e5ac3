"""Every frame that a node sends in thirty days, as two foreign implementations read it: `lora-packet` and `tshark`."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from suat.clock import VirtualScheduler
from suat_sim.air import AirSettings
from suat_sim.fleet import Fleet
from suat_sim.network import JOIN_EUI, Device, Network
from suat_sim.node_process import NodeProcess, NodeSpec
from suat_wire import commands, payload
from suat_wire.lorawan import CONFIRMED_UP, DOWN, JOIN_REQUEST, UNCONFIRMED_UP

from firmware.tests.test_wire_tshark import dissect, wire_order

Witness = Callable[[list[dict[str, Any]]], list[Any]]

START_US = 1_767_225_600_000_000  # 2026-01-01
DAYS = 30
EXTRA_HZ = 866_185_000
MAX_PHY = {
    12: 51 + 13,
    11: 51 + 13,
    10: 51 + 13,
    9: 115 + 13,
    8: 222 + 13,
    7: 222 + 13,
}  # RP002-1.0.4, repeater compatible
# one after the other, in an answer now and then
ASKED = [
    commands.build(commands.DEV_STATUS, DOWN),
    commands.build(commands.LINK_ADR, DOWN, tx_power=1, data_rate=4, channel_mask=7, nb_trans=2, mask_control=0),
    commands.build(commands.RX_PARAM_SETUP, DOWN, rx1_offset=0, rx2_data_rate=2, frequency_hz=866_550_000),
    commands.build(commands.NEW_CHANNEL, DOWN, index=3, frequency_hz=EXTRA_HZ, min_data_rate=0, max_data_rate=5),
    commands.build(commands.LINK_ADR, DOWN, tx_power=15, data_rate=2, channel_mask=15, nb_trans=1, mask_control=0),
    commands.build(commands.RX_TIMING_SETUP, DOWN, delay_s=1),
    commands.build(commands.DUTY_CYCLE, DOWN, max_duty_cycle=0),
    commands.build(commands.DL_CHANNEL, DOWN, index=1, frequency_hz=865_402_500),
    commands.build(commands.TX_PARAM_SETUP, DOWN, max_eirp=5, uplink_dwell=0, downlink_dwell=0),
]


class Well:
    """A water point whose float falls for an hour on each third day."""

    def at(self, t: float) -> dict[str, float | None]:
        day, into = divmod(t - START_US / 1e6, 86400)
        low = day % 3 == 1 and 40_000 <= into < 43_600
        return {
            "node.battery": 3.7,
            "water.depth": 1.2 + 0.1 * (into < 43_200),
            "water.temperature": 8.0,
            "water.float": 0.0 if low else 1.0,
        }


def asked_now_and_then() -> Callable[[Device], bytes]:
    turns = iter(range(1 << 30))

    def mac(_device: Device) -> bytes:
        turn = next(turns)
        return ASKED[turn // 20 % len(ASKED)] if turn % 20 == 7 else b""

    return mac


def counted(phys: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """(32-bit counter, frame) of one session's data frames, in the order in which they were sent."""
    newest = 0
    for phy in phys:
        fcnt16 = struct.unpack_from("<H", phy, 6)[0]
        newest += (fcnt16 - newest) & 0xFFFF
        yield newest, phy


@pytest.mark.slow
@pytest.mark.parametrize("board", ["heltec_v3", "pico_waveshare"])
def test_every_frame_of_thirty_days_is_valid(
    board: str, node: Witness, tshark: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    device = Device(f"frames of {board}")
    config = {
        "board": board,
        "kind": "water",
        "interval_s": 900,
        "otaa": device.otaa(),
        "sensors": [
            {"kind": "pressure", "at": "water", "adc": 27 if board == "pico_waveshare" else 4},
            {"kind": "switch", "at": "water", "pin": 6, "wake": True},
            {"kind": "battery", "at": "node"},
        ],
    }
    sent: list[tuple[int, bytes]] = []  # (spreading factor, frame)
    with Fleet(
        VirtualScheduler(START_US),
        [NodeSpec("node", config, Well(), x_m=400.0, ppm=20)],
        channels_hz=(865_062_500, 865_402_500, 865_985_000, EXTRA_HZ),
        air=AirSettings(loss=0.05),
    ) as fleet:
        Network(fleet, [device], mac=asked_now_and_then())
        pass_on = fleet.nodes[0].on_frame

        def on_frame(process: NodeProcess, fields: tuple[Any, ...], phy: bytes) -> None:
            sent.append((fields[5], phy))
            pass_on(process, fields, phy)

        fleet.nodes[0].on_frame = on_frame
        fleet.run(DAYS * 86400)
        assert fleet.incidents == []

    joins = [phy for _, phy in sent if phy[0] >> 5 == JOIN_REQUEST]
    data = [phy for _, phy in sent if phy[0] >> 5 != JOIN_REQUEST]
    assert {phy[0] >> 5 for phy in data} == {UNCONFIRMED_UP, CONFIRMED_UP}, "events travel confirmed, samples do not"
    assert all(len(phy) <= MAX_PHY[sf] for sf, phy in sent)
    assert len(data) > 0.9 * DAYS * 96 and joins

    jobs: list[dict[str, Any]] = []
    for session in device.sessions:
        address = struct.pack("<I", session.dev_addr)
        keys = {"nwk_skey": session.raw_keys[0].hex(), "app_skey": session.raw_keys[1].hex()}
        for fcnt, phy in counted([phy for phy in data if phy[1:5] == address]):
            jobs.append({"do": "read_data", "phy": phy.hex(), "fcnt": fcnt, "dev_addr": address[::-1].hex(), **keys})
    assert len(jobs) == len(data)
    read = node(jobs)
    assert all(row["mic"] and row["fcnt16"] == job["fcnt"] & 0xFFFF for row, job in zip(read, jobs, strict=True))
    newest = 0
    for row in read:
        if row["fport"]:  # 0 or none: MAC commands alone
            newest = payload.decode(bytes.fromhex(row["payload"]), row["fport"], newest)[0].record
    said = {cid for row in read for cid, _ in commands.parse(bytes.fromhex(row["fopts"]), 0)}
    assert said >= {2 + place for place in range(1, 7)} - {2}, f"answers seen: {sorted(said)}"
    built = node(
        [
            {
                "do": "build_join_request",
                "app_key": device.app_key.hex(),
                "join_eui": JOIN_EUI,
                "dev_eui": device.dev_eui.hex(),
                "dev_nonce": f"{nonce:04x}",
            }
            for nonce in range(len(joins))
        ]
    )
    assert [phy.hex() for phy in joins] == built

    keyring = [
        (session.dev_addr.to_bytes(4, "little").hex(), *(key.hex() for key in session.raw_keys), "0" * 16)
        for session in device.sessions
    ]
    keyring.append(("0" * 8, device.app_key.hex(), device.app_key.hex(), wire_order(JOIN_EUI)))
    rows = dissect(
        tshark, tmp_path, data + joins, keyring, ["mhdr.mtype", "mic.status", "fport", "frmpayload_decrypted"]
    )
    for row, told in zip(rows, [*read, *[None] * len(joins)], strict=True):
        assert row[1] == "1", row
        if told is not None and told["fport"]:
            assert (int(row[0]), row[3]) == (told["mtype"], told["payload"])

    figures = {"frames": len(data), "joins": len(joins), "confirmed": sum(phy[0] >> 5 == CONFIRMED_UP for phy in data)}
    for name, figure in figures.items():
        record_property(f"{board}_{name}", figure)
    print(f"{board}: {DAYS} days, " + ", ".join(f"{name} {figure}" for name, figure in figures.items()))
