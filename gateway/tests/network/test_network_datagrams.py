"""Datagrams through real sockets: each whole, with a way back to its sender, and never a wait."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from suat_samples import datagrams


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    family, host = request.param
    with socket.socket(family, socket.SOCK_DGRAM) as here, socket.socket(family, socket.SOCK_DGRAM) as there:
        try:
            here.bind((host, 0))
        except OSError:
            pytest.skip(f"no {host} on this machine")
        there.connect(here.getsockname())
        there.settimeout(5.0)
        yield here, there


def test_each_datagram_comes_whole_and_can_be_answered(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    sent = [b"", b"\0", bytes(range(256)), b"x" * 60_000]
    for data in sent:
        there.send(data)
    found = datagrams.receive(here.fileno())
    assert [data for data, _ in found] == sent
    for _, address in found:
        datagrams.send(here.fileno(), b"answer", address)
        assert there.recv(100) == b"answer"


def test_a_burst_is_read_in_pieces_and_nothing_is_not_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    for number in range(100):
        there.send(b"%d" % number)
    first, second = datagrams.receive(here.fileno()), datagrams.receive(here.fileno())
    assert (len(first), len(second)) == (64, 36)
    assert [data for data, _ in first + second] == [b"%d" % number for number in range(100)]
    assert datagrams.receive(here.fileno()) == []


def test_an_answer_to_one_who_is_gone_harms_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    there.send(b"1")
    ((_, address),) = datagrams.receive(here.fileno())
    there.close()
    for _ in range(3):
        datagrams.send(here.fileno(), b"answer", address)
        assert datagrams.receive(here.fileno()) == []
    datagrams.send(here.fileno(), b"answer", b"no address")
    assert datagrams.receive(-1) == []
