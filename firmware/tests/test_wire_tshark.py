"""Frames against Debian's `tshark`, whose LoRaWAN dissector is a third implementation.

It assumes that the counter's high half is 0, reads the MIC's first byte as FPort where there is no FPort, and finds the
key of a join request by the AppEUI in wire order; so only such frames and keys are asked of it.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suat_wire import commands, lorawan
from suat_wire.aes import Aes

Dissect = Callable[..., list[list[str]]]
GOOD = "1"  # lorawan.mic.status


def wire_order(text: str) -> str:
    return bytes.fromhex(text)[::-1].hex()


def keys_of(frames: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [(wire_order(f["dev_addr"]), f["nwk_skey"], f["app_skey"], "0" * 16) for f in frames]


DATA = ["mhdr.mtype", "fhdr.devaddr", "fhdr.fctrl", "fhdr.fcnt", "fport", "mic.status", "frmpayload_decrypted"]


def expected(frame: dict[str, Any]) -> list[str]:
    fctrl = bytes.fromhex(frame["phy"])[5]
    empty = "<MISSING>" if frame["fport"] else ""  # of FPort 0 it shows the MAC commands instead
    plain = frame["payload"] if frame["fport"] else ""
    return [
        str(frame["mtype"]),
        "0x" + frame["dev_addr"],
        f"0x{fctrl:02x}",
        str(frame["fcnt"]),
        f"0x{frame['fport']:02x}",
        GOOD,
        plain or empty,
    ]


def test_golden_data_frames(tshark: Dissect, tmp_path: Path, vectors: dict[str, Any]) -> None:
    frames = [frame for frame in vectors["data"] if frame["fcnt"] < 1 << 16 and frame["fport"] is not None]
    assert len(frames) >= 8
    rows = tshark(tmp_path, [bytes.fromhex(f["phy"]) for f in frames], keys_of(frames), DATA)
    assert rows == [expected(frame) for frame in frames]


def test_random_data_frames(tshark: Dissect, tmp_path: Path) -> None:
    rng = random.Random(4)
    frames = []
    for number in range(60):
        frame: dict[str, Any] = {
            "nwk_skey": rng.randbytes(16).hex(),
            "app_skey": rng.randbytes(16).hex(),
            "mtype": rng.randint(2, 5),
            "dev_addr": f"{number:02x}" + rng.randbytes(3).hex(),
            "fcnt": rng.randrange(1 << 16),
            "fport": rng.randint(1, 223),
            "payload": rng.randbytes(rng.randint(1, 222)).hex(),
        }
        nwk, app = Aes(bytes.fromhex(frame["nwk_skey"])), Aes(bytes.fromhex(frame["app_skey"]))
        plain = bytes.fromhex(frame["payload"])
        phy = lorawan.seal(nwk, app, frame["mtype"], int(frame["dev_addr"], 16), frame["fcnt"], frame["fport"], plain)
        frames.append({**frame, "phy": phy.hex()})
    rows = tshark(tmp_path, [bytes.fromhex(f["phy"]) for f in frames], keys_of(frames), DATA)
    assert rows == [expected(frame) for frame in frames]


def test_joins(tshark: Dissect, tmp_path: Path, vectors: dict[str, Any]) -> None:
    joins = vectors["join"]
    fields = ["mhdr.mtype", "join_request.appeui", "join_request.deveui", "join_request.devnonce", "mic.status"]
    keys = [("0" * 8, join["app_key"], join["app_key"], wire_order(join["join_eui"])) for join in joins]
    rows = tshark(tmp_path, [bytes.fromhex(join["request"]) for join in joins], keys, fields)
    for row, join in zip(rows, joins, strict=True):
        euis = [bytes.fromhex(join[eui]).hex(":") for eui in ("join_eui", "dev_eui")]
        assert row == ["0", *euis, join["dev_nonce"].to_bytes(2, "little").hex(), GOOD]


UPLINKS = [
    (commands.LINK_ADR, {"channel_mask_ack": 1, "data_rate_ack": 0, "power_ack": 1}),
    (commands.RX_PARAM_SETUP, {"channel_ack": 0, "rx2_data_rate_ack": 1, "rx1_offset_ack": 1}),
    (commands.DEV_STATUS, {"battery": 254, "margin_db": 17}),
    (commands.NEW_CHANNEL, {"frequency_ack": 1, "data_rate_ack": 0}),
]
DOWNLINKS = [
    (commands.LINK_CHECK, {"margin_db": 20, "gateways": 3}),
    (commands.LINK_ADR, {"tx_power": 2, "data_rate": 5, "channel_mask": 0xF00F, "nb_trans": 3, "mask_control": 6}),
    (commands.RX_PARAM_SETUP, {"rx2_data_rate": 2, "rx1_offset": 5, "frequency_hz": 866550000}),
    (commands.NEW_CHANNEL, {"index": 3, "frequency_hz": 866185000, "min_data_rate": 1, "max_data_rate": 5}),
    (commands.RX_TIMING_SETUP, {"delay_s": 5}),
]
# what tshark calls our fields
NAMES = {
    (lorawan.UP, commands.LINK_ADR): {
        "link_adr_response.channelmask": "channel_mask_ack",
        "link_adr_response.datarate": "data_rate_ack",
        "link_adr_response.txpower": "power_ack",
    },
    (lorawan.UP, commands.RX_PARAM_SETUP): {
        "rx_setup_response.frequency": "channel_ack",
        "rx_setup_response.rx2datarate": "rx2_data_rate_ack",
        "rx_setup_response.rx1droffset": "rx1_offset_ack",
    },
    (lorawan.UP, commands.DEV_STATUS): {
        "device_status_response.battery": "battery",
        "device_status_response.margin": "margin_db",
    },
    (lorawan.UP, commands.NEW_CHANNEL): {
        "new_channel_response.frequency": "frequency_ack",
        "new_channel_response.datarate": "data_rate_ack",
    },
    (lorawan.DOWN, commands.LINK_CHECK): {
        "link_check_answer.margin": "margin_db",
        "link_check_answer.gwcnt": "gateways",
    },
    (lorawan.DOWN, commands.LINK_ADR): {
        "link_adr_request.txpower": "tx_power",
        "link_adr_request.datarate": "data_rate",
        "link_adr_request.channel": "channel_mask",
        "link_adr_request.nbrep": "nb_trans",
        "link_adr_request.chmaskctl": "mask_control",
    },
    (lorawan.DOWN, commands.RX_PARAM_SETUP): {
        "rx_setup_request.rx2datarate": "rx2_data_rate",
        "rx_setup_request.rx1droffset": "rx1_offset",
        "rx_setup_request.frequency": "frequency_hz",
    },
    (lorawan.DOWN, commands.NEW_CHANNEL): {
        "new_channel_request.index": "index",
        "new_channel_request.frequency": "frequency_hz",
        "new_channel_request.drrange_min": "min_data_rate",
        "new_channel_request.drrange_max": "max_data_rate",
    },
    (lorawan.DOWN, commands.RX_TIMING_SETUP): {"rx_timing_request.delay": "delay_s"},
}


@pytest.mark.parametrize(("direction", "asked"), [(lorawan.UP, UPLINKS), (lorawan.DOWN, DOWNLINKS)], ids=["up", "down"])
def test_mac_commands(tshark: Dissect, tmp_path: Path, direction: int, asked: list[tuple[int, dict[str, int]]]) -> None:
    """Each command alone in the FOpts of a frame: tshark names the same values."""
    key = Aes(bytes(16))
    mtype = (lorawan.UNCONFIRMED_UP, lorawan.UNCONFIRMED_DOWN)[direction]
    frames = [
        lorawan.seal(key, key, mtype, 1, 1, 1, b"x", fopts=commands.build(cid, direction, **values))
        for cid, values in asked
    ]
    fields = [field for cid, _ in asked for field in NAMES[direction, cid]]
    rows = tshark(tmp_path, frames, [("01000000", "0" * 32, "0" * 32, "0" * 16)], fields)
    for row, (cid, values) in zip(rows, asked, strict=True):
        shown = {ours: row[fields.index(theirs)] for theirs, ours in NAMES[direction, cid].items()}
        for name, text in shown.items():
            number = int({"True": "1", "False": "0"}.get(text, text), 0)
            assert number * (100 if name == "frequency_hz" else 1) == values[name], (cid, name, text)
