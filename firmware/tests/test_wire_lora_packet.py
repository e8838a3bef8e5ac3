"""Frames against `lora-packet` 0.9.3 of npm, an independent implementation: each side reads what the other built."""

import random
from collections.abc import Callable
from typing import Any

from suat_wire import lorawan
from suat_wire.aes import Aes

Node = Callable[[list[dict[str, Any]]], list[Any]]


def random_frame(rng: random.Random) -> dict[str, Any]:
    """Fields of a data frame with a counter of up to 32 bits."""
    mtype = rng.randint(2, 5)
    fport = rng.choice((0, 1, 2, 3, 4, 5, 223))
    flags = {"ADR": rng.random() < 0.5, "ACK": rng.random() < 0.5}
    flags["ADRACKReq" if mtype % 2 == 0 else "FPending"] = rng.random() < 0.5
    return {
        "nwk_skey": rng.randbytes(16).hex(),
        "app_skey": rng.randbytes(16).hex(),
        "mtype": mtype,
        "dev_addr": rng.randbytes(4).hex(),
        "fcnt": rng.choice((rng.randrange(1 << 16), rng.randrange(1 << 32), 0x00010005)),
        "fport": fport,
        "payload": rng.randbytes(rng.randint(1, 51)).hex(),
        "fopts": rng.randbytes(rng.randint(0, 15)).hex() if fport else "",
        "fctrl": flags,
    }


def sealed(frame: dict[str, Any]) -> bytes:
    flags = frame["fctrl"]
    return lorawan.seal(
        Aes(bytes.fromhex(frame["nwk_skey"])),
        Aes(bytes.fromhex(frame["app_skey"])),
        frame["mtype"],
        int(frame["dev_addr"], 16),
        frame["fcnt"],
        frame["fport"],
        bytes.fromhex(frame["payload"]),
        bytes.fromhex(frame["fopts"]),
        adr=flags["ADR"],
        adr_ack_req=flags.get("ADRACKReq", False),
        ack=flags["ACK"],
        pending=flags.get("FPending", False),
    )


def test_random_data_frames_are_the_same_bytes(node: Node) -> None:
    rng = random.Random(1)
    frames = [random_frame(rng) for _ in range(300)]
    built = node([{"do": "build_data", **frame} for frame in frames])
    assert built == [sealed(frame).hex() for frame in frames]


def test_lora_packet_reads_our_golden_data_frames(node: Node, vectors: dict[str, Any]) -> None:
    frames = vectors["data"]
    for got, frame in zip(node([{"do": "read_data", **frame} for frame in frames]), frames, strict=True):
        assert got["mic"], frame["name"]
        assert got["fcnt16"] == frame["fcnt"] & 0xFFFF
        for field in ("mtype", "dev_addr", "fopts", "fport", "payload", "adr", "ack"):
            assert got[field] == frame[field], (frame["name"], field)


def test_we_read_frames_of_lora_packet(node: Node) -> None:
    rng = random.Random(2)
    frames = [random_frame(rng) for _ in range(100)]
    for phy, fields in zip(node([{"do": "build_data", **frame} for frame in frames]), frames, strict=True):
        nwk, app = Aes(bytes.fromhex(fields["nwk_skey"])), Aes(bytes.fromhex(fields["app_skey"]))
        frame = lorawan.parse_data(bytes.fromhex(phy))
        fcnt = lorawan.infer_fcnt(frame.fcnt16, max(0, fields["fcnt"] - rng.randrange(1 << 16)))
        assert fcnt == fields["fcnt"]
        assert lorawan.mic_ok(nwk, frame, fcnt)
        assert lorawan.open_payload(nwk, app, frame, fcnt).hex() == fields["payload"]
        assert (frame.dev_addr, frame.fport, frame.fopts.hex()) == (
            int(fields["dev_addr"], 16),
            fields["fport"],
            fields["fopts"],
        )


def test_join_requests_are_the_same_bytes(node: Node, vectors: dict[str, Any]) -> None:
    rng = random.Random(3)
    joins = [
        {"app_key": rng.randbytes(16).hex(), "join_eui": rng.randbytes(8).hex(), "dev_eui": rng.randbytes(8).hex()}
        | {"dev_nonce": rng.randrange(1 << 16)}
        for _ in range(50)
    ] + vectors["join"]
    built = node([{"do": "build_join_request", **join, "dev_nonce": f"{join['dev_nonce']:04x}"} for join in joins])
    for phy, join in zip(built, joins, strict=True):
        key = Aes(bytes.fromhex(join["app_key"]))
        euis = bytes.fromhex(join["join_eui"]), bytes.fromhex(join["dev_eui"])
        assert lorawan.join_request(key, *euis, join["dev_nonce"]).hex() == phy
        assert lorawan.parse_join_request(bytes.fromhex(phy)) == (*euis, join["dev_nonce"])


def test_join_accepts_and_session_keys_agree(node: Node, vectors: dict[str, Any]) -> None:
    joins = vectors["join"]
    written = [
        {**join, "join_nonce": f"{join['join_nonce']:06x}", "net_id": f"{join['net_id']:06x}"}
        | {"dev_nonce": f"{join['dev_nonce']:04x}"}
        for join in joins
    ]
    built = node([{"do": "build_join_accept", **join} for join in written])
    assert built == [join["accept"] for join in joins]
    read = node([{"do": "read_join_accept", "phy": join["accept"], **join} for join in written])
    for got, join in zip(read, written, strict=True):
        assert got["mic"]
        assert {field: join[field] for field in ("join_nonce", "net_id", "dev_addr", "cflist")} | {"mic": True} == got
    keys = node([{"do": "session_keys", **join} for join in written])
    assert keys == [[join["nwk_skey"], join["app_skey"]] for join in joins]
