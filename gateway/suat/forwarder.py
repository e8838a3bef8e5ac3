"""global_conf.json for Semtech's packet forwarder (sx1302_hal 2.x) on an SX1302 concentrator, from the region table.

Two radios of 1.6 MHz each feed eight receivers that hear all spreading factors of one channel; a channel lies at its
radio's centre plus `if`. The values of a board (gains, offsets) are those of Semtech's own reference files, commit
2c14708 of github.com/Lora-net/sx1302_hal, packet_forwarder/global_conf.json.sx1250.*: a vendor's HAT follows the
reference design, or comes with a file whose values belong in a table below.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from suat_wire.region import REGIONS, Region

from suat.config import Config
from suat.errors import SuatError, UsageError
from suat.tables import host_port

MOST_IF_HZ = 400_000  # as in Semtech's files: the radio's filter is flat there; the HAL refuses more than 737,500
RECEIVERS = 8
CHANNEL_HZ = 125_000
SOURCE = "semtech_udp"
INTERFACES = ("eth0", "end0", "wlan0")


class Hat(NamedTuple):
    """One design of board."""

    low_hz: int
    high_hz: int
    rssi_offset: float
    gains: tuple[tuple[int, int, int], ...]  # (dBm, pa_gain, pwr_idx), rising
    single_input: bool = False


_868 = (
    *((12, 0, 15), (13, 0, 16), (14, 0, 17), (15, 0, 19), (16, 0, 20), (17, 0, 22), (18, 1, 1), (19, 1, 2)),
    *((20, 1, 3), (21, 1, 4), (22, 1, 5), (23, 1, 6), (24, 1, 7), (25, 1, 9), (26, 1, 11), (27, 1, 14)),
)
_490 = (
    *((-6, 0, 0), (-3, 0, 1), (0, 0, 2), (3, 1, 3), (6, 1, 4), (10, 1, 5), (11, 1, 6), (12, 2, 7), (13, 1, 8)),
    *((14, 2, 9), (16, 2, 10), (20, 3, 11), (23, 3, 12), (25, 3, 13), (26, 3, 14), (27, 3, 15)),
)
HATS = {
    "sx1302": Hat(863_000_000, 928_000_000, -215.4, _868),
    "sx1302-490": Hat(430_000_000, 510_000_000, -207.0, _490, single_input=True),
}
_COMPENSATION = {"coeff_a": 0, "coeff_b": 0, "coeff_c": 20.41, "coeff_d": 2162.56, "coeff_e": 0}


def global_conf(config: Config, hat: str, gateway_id: str, antenna_dbi: int = 0, gps: str | None = None) -> Any:
    """The file's content; UsageError where this board, antenna and region don't go together."""
    server = next((table for table in config.ingest if table.kind == SOURCE), None)
    if server is None:
        raise UsageError(f'there is no [[ingest]] with kind = "{SOURCE}": the forwarder would have nobody to send to')
    host, port = host_port(server.bind)
    region = REGIONS[config.station.region]
    board = HATS[hat]
    if not all(board.low_hz <= hz <= board.high_hz for hz in region.channels_hz):
        fitting = [name for name, other in HATS.items() if other.low_hz <= region.channels_hz[0] <= other.high_hz]
        raise UsageError(f"--hat {hat}: not made for {region.name}; give --hat {fitting[0]}")
    channels = (*region.channels_hz, *config.network.extra_channels_hz)
    gateway: dict[str, Any] = {
        "gateway_ID": gateway_id.upper(),
        "server_address": "127.0.0.1" if host in ("0.0.0.0", "::") else host,
        "serv_port_up": port,
        "serv_port_down": port,
        "keepalive_interval": 10,
        "stat_interval": 30,
        "push_timeout_ms": 100,
        "forward_crc_valid": True,
        "forward_crc_error": False,
        "forward_crc_disabled": False,
    }
    if gps is not None:
        gateway["gps_tty_path"] = gps
    return {"SX130x_conf": _concentrator(region, board, channels, antenna_dbi), "gateway_conf": gateway}


def _concentrator(region: Region, board: Hat, channels: Sequence[int], antenna_dbi: int) -> dict[str, Any]:
    centres = split(channels)
    radios = [_radio(board, centre) for centre in centres] + [{"enable": False}] * (2 - len(centres))
    radios[0] |= {
        "tx_enable": True,
        "tx_freq_min": min(low for low, _, _ in region.bands),
        "tx_freq_max": max(high for _, high, _ in region.bands),
        "tx_gain_lut": [
            {"rf_power": dbm, "pa_gain": gain, "pwr_idx": index}
            for dbm, gain, index in _lawful(region, board, antenna_dbi)
        ],
    }
    receivers: list[dict[str, Any]] = [{"enable": False} for _ in range(RECEIVERS)]
    for receiver, hz in zip(receivers, channels, strict=False):
        radio = min(range(len(centres)), key=lambda n: abs(hz - centres[n]))
        receiver |= {"enable": True, "radio": radio, "if": hz - centres[radio]}
    return {
        "com_type": "SPI",
        "com_path": "/dev/spidev0.0",
        "lorawan_public": True,
        "clksrc": 0,
        "antenna_gain": antenna_dbi,
        "full_duplex": False,
        "fine_timestamp": {"enable": False, "mode": "all_sf"},
        "radio_0": radios[0],
        "radio_1": radios[1],
        "chan_multiSF_All": {"spreading_factor_enable": sorted({sf for sf, _ in region.data_rates.values()})},
        **{f"chan_multiSF_{number}": receiver for number, receiver in enumerate(receivers)},
        "chan_Lora_std": {"enable": False},
        "chan_FSK": {"enable": False},
    }


def _radio(board: Hat, centre: int) -> dict[str, Any]:
    radio: dict[str, Any] = {"enable": True, "type": "SX1250"}
    if board.single_input:
        radio["single_input_mode"] = True
    return radio | {
        "freq": centre,
        "rssi_offset": board.rssi_offset,
        "rssi_tcomp": dict(_COMPENSATION),
        "tx_enable": False,
    }


def _lawful(region: Region, board: Hat, antenna_dbi: int) -> list[tuple[int, int, int]]:
    """The gains whose power, with the antenna's, stays lawful: the forwarder can't send louder, whatever it is asked.

    It takes its weakest gain for what is weaker still: that one must be lawful, too.
    """
    most = region.max_eirp_dbm - antenna_dbi
    lawful = [gain for gain in board.gains if gain[0] <= most]
    if not lawful:
        raise UsageError(
            f"--antenna-gain {antenna_dbi}: the board's weakest setting is {board.gains[0][0]} dBm, which makes"
            f" {board.gains[0][0] + antenna_dbi} dBm EIRP; {region.name} allows {region.max_eirp_dbm} here:"
            " take a smaller antenna, or count its cable's loss"
        )
    return lawful


def split(channels: Sequence[int]) -> list[int]:
    """The radios' centres, one or two, such that the channel farthest from its centre is as near as can be [Hz]."""
    if len(channels) > RECEIVERS:
        raise UsageError(f"{len(channels)} channels; the concentrator has {RECEIVERS} receivers")
    rising = sorted(channels)
    groups = [(rising,)] + [(rising[:cut], rising[cut:]) for cut in range(1, len(rising))]
    best = min(
        groups, key=lambda parts: (max(part[-1] - part[0] for part in parts) > 2 * MOST_IF_HZ, len(parts), _far(parts))
    )
    if _far(best) > MOST_IF_HZ:
        raise UsageError(
            f"channels from {rising[0] / 1e6:g} to {rising[-1] / 1e6:g} MHz: two radios hear"
            f" {2 * MOST_IF_HZ / 1e6:g} MHz each; choose extra_channels_mhz nearer to each other"
        )
    return [(part[0] + part[-1]) // 200 * 100 for part in best]


def _far(parts: Sequence[Sequence[int]]) -> int:
    return max((part[-1] - part[0] + 1) // 2 for part in parts)


def own_gateway_id(folder: Path = Path("/sys/class/net")) -> str:
    """This machine's EUI-64 of its first network card's address, as Semtech's update_gwid.sh makes it; SuatError."""
    for name in INTERFACES:
        try:
            mac = bytes.fromhex((folder / name / "address").read_text().strip().replace(":", ""))
        except (OSError, ValueError):
            continue
        if len(mac) == 6 and any(mac):
            return (mac[:3] + b"\xff\xfe" + mac[3:]).hex()
    raise SuatError(f"{folder}: no {', '.join(INTERFACES)}; give --gateway-id, 16 hex digits that no other gateway has")
