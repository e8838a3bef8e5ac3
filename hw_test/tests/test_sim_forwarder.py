"""The packet forwarder's side of the Semtech UDP protocol, and what its queue refuses."""

from __future__ import annotations

import base64
import json
import socket
import threading
from typing import Any

import pytest
from suat.clock import VirtualScheduler
from suat_sim.air import CRC_ON, IQ_INVERTED, PUBLIC_SYNC, Frame, Heard
from suat_sim.forwarder import PULL_ACK, PULL_RESP, PUSH_ACK, TX_ACK, Forwarder, UdpForwarder, header

EUI = "ac1f09fffe000001"


class Site:
    """A forwarder with a server that only keeps what it gets."""

    def __init__(self) -> None:
        self.scheduler = VirtualScheduler(1_780_000_000_000_000)
        self.got: list[bytes] = []
        self.sent: list[Frame] = []
        self.forwarder = Forwarder(
            self.scheduler, EUI, to_server=self.got.append, transmit=self.sent.append,
            start_us=self.scheduler.wall_us(), delay_s=0.01,
        )  # fmt: skip

    def respond(self, **changes: Any) -> str:
        """Ask for a downlink; the verdict of its TX_ACK."""
        packet: dict[str, Any] = {
            "tmst": (self.forwarder.now_us() + 1_000_000) % (1 << 32), "freq": 865.0625, "rfch": 0, "powe": 14,
            "modu": "LORA", "datr": "SF9BW125", "codr": "4/5", "ipol": True, "ncrc": True, "size": 4,
            "data": base64.b64encode(b"down").decode(), **changes,
        }  # fmt: skip
        self.got.clear()
        self.forwarder.datagram(header(PULL_RESP, 0x1234) + json.dumps({"txpk": packet}).encode())
        self.scheduler.run_until(self.scheduler.monotonic() + 0.03)
        ack = self.got[-1]
        assert (ack[:4], ack[4:12].hex()) == (bytes((2, 0x12, 0x34, TX_ACK)), EUI)
        return str(json.loads(ack[12:])["txpk_ack"]["error"]) if len(ack) > 12 else "NONE"


def test_it_calls_at_once_and_every_ten_seconds() -> None:
    site = Site()
    site.forwarder.start()
    site.scheduler.run_until(35.0)
    assert [data[3] for data in site.got] == [2, 2, 2, 2]
    assert site.got[0] == bytes((2, 0, 1, 2)) + bytes.fromhex(EUI)


def test_a_frame_becomes_push_data_with_the_protocols_fields() -> None:
    site = Site()
    frame = Frame("n", 0, 0, (1 << 32) + 7, 865_402_500, 10, 125_000, 14, PUBLIC_SYNC, 8, b"up")
    site.forwarder.heard(Heard(frame, -101.6, -3.44, b"up", 2))
    site.scheduler.run_until(1.0)
    assert len(site.got) == 2  # delivered twice
    packet = json.loads(site.got[0][12:])["rxpk"][0]
    assert packet == {
        "tmst": 7, "chan": 0, "rfch": 0, "freq": 865.4025, "stat": 1, "modu": "LORA", "datr": "SF10BW125",
        "codr": "4/5", "rssi": -102, "lsnr": -3.4, "size": 2, "data": "dXA=",
    }  # fmt: skip


def test_a_downlink_goes_on_the_air_at_its_instant() -> None:
    site = Site()
    assert site.respond() == "NONE"
    frame = site.sent[0]
    assert frame.start_us == 1_000_000
    assert (frame.hz, frame.sf, frame.payload) == (865_062_500, 9, b"down")
    assert frame.flags & (IQ_INVERTED | CRC_ON | PUBLIC_SYNC) == IQ_INVERTED | PUBLIC_SYNC


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"tmst": 20_000}, "TOO_LATE"),
        ({"tmst": (1 << 32) - 5}, "TOO_LATE"),
        ({"tmst": 500_000_000}, "TOO_EARLY"),
        ({"freq": 915.0}, "TX_FREQ"),
        ({"powe": 30}, "TX_POWER"),
        ({"imme": True}, "NONE"),
    ],
)
def test_what_the_queue_says(changes: dict[str, Any], verdict: str) -> None:
    assert Site().respond(**changes) == verdict


def test_two_downlinks_that_overlap_collide() -> None:
    site = Site()
    assert site.respond(tmst=1_000_000) == "NONE"
    assert site.respond(tmst=1_050_000) == "COLLISION_PACKET"
    assert site.respond(tmst=1_500_000) == "NONE"


def test_the_counter_wraps_with_the_concentrators() -> None:
    site = Site()
    site.scheduler.run_until(4294.9)
    assert site.respond() == "NONE"
    assert site.sent[0].start_us == 4_295_900_000


def test_the_real_client_talks_to_a_real_socket() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5.0)
        heard: list[bytes] = []

        def serve() -> None:
            for kind in (PUSH_ACK, PULL_ACK):
                data, peer = server.recvfrom(4096)
                heard.append(data)
                server.sendto(data[:3] + bytes((kind,)), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        with UdpForwarder(server.getsockname()) as client:
            client.push(b"frame", rssi=-70)
            client.pull()
        thread.join()
    assert json.loads(heard[0][12:])["rxpk"][0]["rssi"] == -70
    assert heard[1][3] == 2
