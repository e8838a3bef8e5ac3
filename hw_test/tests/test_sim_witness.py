"""The witness against RFC 4493, the known answer of npm's lora-packet, and the example in docs/payload.md."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from Crypto.Cipher import AES
from Crypto.Hash import CMAC
from suat_sim import witness
from suat_wire import lorawan, payload
from suat_wire.aes import Aes

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ],
)
def test_cmac_is_that_of_rfc_4493(length: int, expected: str) -> None:
    assert witness.cmac(KEY, MESSAGE[:length]).hex() == expected


def test_cmac_is_that_of_pycryptodome_at_every_length() -> None:
    for length in range(64):
        message = MESSAGE[:length]
        assert witness.cmac(KEY, message) == CMAC.new(KEY, message, AES).digest()


def test_the_known_frame() -> None:
    """NwkSKey and AppSKey of lora-packet's own documentation; four implementations agree on the bytes."""
    nwk, app = bytes.fromhex("44024241ed4ce9a68c6a8bc055233fd3"), bytes.fromhex("ec925802ae430ca77fd3dd73cb2cc588")
    phy = witness.data_up(nwk, app, 0x01020304, 3, b"Hello steppe!", flags=0x80)
    assert phy.hex() == "400403020180030002a4a93023b19be532fa8ea5eb5f9715980c"


def test_the_first_sample_of_the_documentation() -> None:
    """The example of docs/payload.md up to its second sample."""
    probe = {"vwc": 0.2137, "temperature": 14.25}
    made = witness.soil_sample(70_000, [probe], 3.6, age_s=904, ack_from=69_990)
    assert made.hex() == "210a0070118807210c015908910590"


def test_the_station_reads_what_the_witness_sends() -> None:
    probes = [{"vwc": 0.21 + n / 100, "temperature": -3.25, "ec": 0.4} for n in range(4)]
    read, fport = payload.encode(
        [
            payload.Sample(
                7,
                3,
                {("node", "battery"): 3.3}
                | {(f"probe{n + 1}", name): value for n, probe in enumerate(probes) for name, value in probe.items()},
            )
        ],
        51,
    )
    assert (witness.soil_sample(7, probes, 3.3, age_s=3), 2) == (read, fport)
    nwk, app = bytes(range(16)), bytes(range(16, 32))
    ours = lorawan.seal(Aes(nwk), Aes(app), lorawan.UNCONFIRMED_UP, 0x26011BDA, 70_001, fport, read)
    assert witness.data_up(nwk, app, 0x26011BDA, 70_001, read) == ours


def test_it_shares_no_code_with_the_station() -> None:
    tree = ast.parse(Path(witness.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(name.partition(".")[0] in {"suat", "suat_wire", "suat_node"} for name in names)
