"""`suat forwarder-config`: held against Semtech's own files and against the checks of Semtech's own HAL.

The figures are those of github.com/Lora-net/sx1302_hal at 2c14708 (V2.1.0): packet_forwarder/global_conf.json.sx1250.*
and the checks of lgw_rxif_setconf in libloragw/src/loragw_hal.c.
"""

from __future__ import annotations

import json
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest
from suat import forwarder
from suat.cli import _run, app
from suat.config import parse
from suat.errors import SuatError, UsageError
from suat_wire.region import REGIONS

EUI = "b827ebfffe123456"
HAL_BANDWIDTH_HZ = 1_600_000  # LGW_RF_RX_BANDWIDTH_125KHZ
# Semtech's file: (centre of each radio, (radio, if) of each channel that is on)
SEMTECH = {
    "IN865": ((865_200_000, 866_385_000), ((0, -137_500), (0, 202_500), (1, -400_000))),
    "EU868": (
        (867_500_000, 868_500_000),
        ((1, -400_000), (1, -200_000), (1, 0), (0, -400_000), (0, -200_000), (0, 0), (0, 200_000), (0, 400_000)),
    ),
}
EXTRA = {"IN865": [], "EU868": [867.1, 867.3, 867.5, 867.7, 867.9]}


def config(region: str, extra: list[float] | None = None, bind: str = "127.0.0.1:1700") -> Any:
    content = {
        "station": {"name": "Asy", "region": region, "data_dir": "/var/lib/suat"},
        "ingest": [{"kind": "semtech_udp", "bind": bind}],
        "network": {"extra_channels_mhz": extra or []},
    }
    return parse(content)


def hears(content: Any) -> set[int]:
    """The channels that the concentrator would hear, if the HAL takes the file; AssertionError where it would not."""
    board = content["SX130x_conf"]
    found = set()
    for number in range(8):
        receiver = board[f"chan_multiSF_{number}"]
        if receiver["enable"]:
            radio = board[f"radio_{receiver['radio']}"]
            assert radio["enable"]
            assert abs(receiver["if"]) + 125_000 // 2 <= HAL_BANDWIDTH_HZ // 2  # lgw_rxif_setconf
            found.add(radio["freq"] + receiver["if"])
    return found


@pytest.mark.parametrize("region", SEMTECH)
def test_the_channels_are_those_of_semtechs_own_file(region: str) -> None:
    centres, chains = SEMTECH[region]
    wanted = {centres[radio] + offset for radio, offset in chains}
    content = forwarder.global_conf(config(region, EXTRA[region]), "sx1302", EUI)
    assert hears(content) == wanted


def test_the_file_has_the_keys_that_the_forwarder_reads() -> None:
    content = forwarder.global_conf(config("IN865"), "sx1302", EUI, gps="/dev/ttyS0")
    board, gateway = content["SX130x_conf"], content["gateway_conf"]
    assert (board["com_type"], board["com_path"], board["lorawan_public"]) == ("SPI", "/dev/spidev0.0", True)
    assert board["chan_multiSF_All"]["spreading_factor_enable"] == [7, 8, 9, 10, 11, 12]
    assert (board["radio_0"]["type"], board["radio_0"]["tx_enable"], board["radio_1"]["tx_enable"]) == (
        "SX1250",
        True,
        False,
    )
    assert (board["radio_0"]["tx_freq_min"], board["radio_0"]["tx_freq_max"]) == (865_000_000, 867_000_000)
    assert gateway["gateway_ID"] == EUI.upper()
    assert (gateway["server_address"], gateway["serv_port_up"], gateway["serv_port_down"]) == ("127.0.0.1", 1700, 1700)
    assert gateway["gps_tty_path"] == "/dev/ttyS0"
    assert gateway["forward_crc_valid"] and not gateway["forward_crc_error"] and not gateway["forward_crc_disabled"]


def test_a_server_that_listens_everywhere_is_reached_on_this_machine() -> None:
    content = forwarder.global_conf(config("IN865", bind="0.0.0.0:1701"), "sx1302", EUI)
    gateway = content["gateway_conf"]
    assert (gateway["server_address"], gateway["serv_port_up"]) == ("127.0.0.1", 1701)


@pytest.mark.parametrize("region", REGIONS)
def test_it_never_sends_louder_than_the_region_allows(region: str) -> None:
    hat = "sx1302-490" if region == "EU433" else "sx1302"
    for gain in (-2, 0, 2):
        content = forwarder.global_conf(config(region), hat, EUI, gain)
        powers = [entry["rf_power"] for entry in content["SX130x_conf"]["radio_0"]["tx_gain_lut"]]
        assert powers and max(powers) + gain <= REGIONS[region].max_eirp_dbm
        assert content["SX130x_conf"]["antenna_gain"] == gain
        assert hears(content) == set(REGIONS[region].channels_hz)


def test_an_antenna_with_which_nothing_is_lawful_is_refused() -> None:
    with pytest.raises(UsageError, match=r"12 dBm, which makes 15 dBm EIRP; IN865 allows 14"):
        forwarder.global_conf(config("IN865"), "sx1302", EUI, 3)


def test_a_board_for_another_band_is_refused() -> None:
    with pytest.raises(UsageError, match="give --hat sx1302-490"):
        forwarder.global_conf(config("EU433"), "sx1302", EUI)


def test_channels_of_any_plan_are_heard_or_refused() -> None:
    """Random CFLists: whatever is not refused is heard, each channel once, within the flat part of its radio."""
    chance = random.Random(20_261_121)
    taken = refused = 0
    for _ in range(2_000):
        low, high = chance.choice([(865.0, 867.0), (863.0, 870.0)])
        count = chance.randint(1, 8)
        channels = sorted({round(chance.uniform(low, high) * 1e4) * 100 for _ in range(count)})
        try:
            centres = forwarder.split(channels)
        except UsageError:
            refused += 1
            # No two windows of 0.8 MHz hold them all: one that begins at the first, one at the first beyond it.
            rest = [hz for hz in channels if hz > channels[0] + 800_000]
            assert rest and rest[-1] - rest[0] > 800_000
            continue
        taken += 1
        assert all(min(abs(hz - centre) for centre in centres) <= 400_050 for hz in channels)
    assert taken > 500 and refused > 100


def test_the_gateways_identity_is_its_network_cards(tmp_path: Path) -> None:
    (tmp_path / "wlan0").mkdir()
    (tmp_path / "wlan0" / "address").write_text("b8:27:eb:12:34:56\n")
    assert forwarder.own_gateway_id(tmp_path) == EUI
    (tmp_path / "eth0").mkdir()
    (tmp_path / "eth0" / "address").write_text("dc:a6:32:00:00:01\n")
    assert forwarder.own_gateway_id(tmp_path) == "dca632fffe000001"
    with pytest.raises(SuatError, match="give --gateway-id"):
        forwarder.own_gateway_id(tmp_path / "nowhere")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "suat.toml", tmp_path / "global_conf.json"
    path.write_text(
        '[station]\nname = "Asy"\nregion = "IN865"\ndata_dir = "data"\n'
        '[[ingest]]\nkind = "semtech_udp"\nbind = "127.0.0.1:1700"\n'
    )
    words = ["forwarder-config", "--config", str(path), "--gateway-id", EUI]
    assert _run(app, words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert _run(app, [*words, "--out", str(out)]) == 0
    assert json.loads(out.read_text()) == printed and oct(out.stat().st_mode) == "0o100644"
    capsys.readouterr()
    for more, said in (
        (["--hat", "rak"], "is not one of sx1302, sx1302-490"),
        (["--gateway-id", "12"], "is not 16 hex digits"),
        (["--antenna-gain", "9"], "take a smaller antenna"),
    ):
        assert _run(app, [*words, *more]) == 2
        assert said in capsys.readouterr().err
    assert _run(app, [*words, "--out", str(tmp_path / "no" / "such")]) == 1
    path.write_text(path.read_text().split("[[ingest]]")[0])
    assert tomllib.loads(path.read_text()) and _run(app, words) == 2
    assert "nobody to send to" in capsys.readouterr().err
