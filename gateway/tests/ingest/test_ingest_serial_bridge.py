"""The station's end of the line to a radio on USB, in virtual time: a board that follows docs/bridge.md or not."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

import pytest
from suat.clock import VirtualScheduler
from suat.config import ConfigError, parse
from suat.ingest.base import Ingress
from suat.ingest.serial_bridge import GREET_S, SILENT_S, SerialBridge, SerialBridgeTable
from suat.records import Downlink, SendResult, Uplink
from suat_wire import bridge as wire

START_US = 1_780_000_000_000_000
PHY = bytes(range(64, 94))
CHANNEL_1 = {"hz": 865_402_500, "sf": 9, "khz": 125}  # of IN865 (RP002-1.0.4, 2.9), DR3


class Board:
    """A bridge: hears what is written to the port, answers when the test lets it; its clock is `ahead_us` off."""

    def __init__(self, bench: Bench, ahead_us: int = 4_294_000_000, boot: int = 7) -> None:
        self.bench, self.ahead_us, self.boot = bench, ahead_us, boot
        self.most_dbm = 14
        self.place: dict[str, int] = {}
        self.reader = wire.Reader()
        self.sequence = 0
        self.asked: list[wire.Message] = []
        self.verdicts: list[int] = [wire.QUEUED, wire.SENT]
        self.deaf = False

    def tmst(self) -> int:
        return (self.bench.now_us() + self.ahead_us) % 2**32

    def say(self, kind: str, data: bytes = b"", **fields: int) -> None:
        self.sequence += 1
        self.bench.source.data_received(wire.encode(kind, self.sequence, fields, data))

    def hear(self, phy: bytes = PHY, **fields: int) -> None:
        """A frame that ends now."""
        place = {name: self.place[name] for name in ("hz", "sf", "khz")}
        self.say("received", phy, **{"tmst": self.tmst(), **place, "rssi": -97, "snr": -13, "whole": 1} | fields)

    def obey(self, data: bytes) -> None:
        for message in self.reader.feed(data):
            self.asked.append(message)
            if self.deaf:
                continue
            if message.kind == "hello":
                limits = {"low": 865_000_000, "high": 867_000_000, "dbm": self.most_dbm, "queue": 4}
                self.say("caps", major=1, minor=2, boot=self.boot, **limits)
            elif message.kind == "config":
                self.place = dict(message.fields)
                self.say("configured", **message.fields)
            elif message.kind == "ping":
                self.say("pong", host_us=message.fields["host_us"], tmst=self.tmst())
            elif message.kind == "send":
                for code in self.verdicts:
                    self.say("result", of=message.sequence, code=code, tmst=message.fields["tmst"])

    def all(self, kind: str) -> list[wire.Message]:
        return [message for message in self.asked if message.kind == kind]


class Bench:
    """A source whose port is a list."""

    def __init__(self, **options: Any) -> None:
        self.scheduler = VirtualScheduler(START_US)
        self.uplinks: list[Uplink] = []
        self.results: list[tuple[Downlink, SendResult]] = []
        self.ingress = Ingress(self.scheduler, self.uplinks.append, lambda *what: self.results.append(what))
        self.board: Board | None = None
        self.late: list[bytes] = []  # on its way: written, not yet with the board
        self.dropped: list[str] = []
        table = SerialBridgeTable(kind="serial_bridge", port="/dev/ttyACM0", **{"channel": 1} | options)
        self.source = SerialBridge(self.ingress, table, self)  # type: ignore[arg-type]

    # what a Line does
    def start(self) -> None: ...
    async def stop(self) -> None: ...
    def proved(self) -> None: ...

    def write(self, data: bytes) -> bool:
        if self.board is None:
            return False
        self.scheduler.call_later(0.002, self.board.obey, data)
        return True

    def drop(self, why: str) -> None:
        self.dropped.append(why)
        self.unplug()

    # what a hand does
    def plug(self, board: Board) -> Board:
        self.board = board
        self.source.opened()
        self.run(0.1)
        return board

    def unplug(self) -> None:
        self.board = None
        self.source.lost()

    def run(self, seconds: float) -> None:
        self.scheduler.run_until(self.scheduler.monotonic() + seconds)

    def now_us(self) -> int:
        return round(self.scheduler.monotonic() * 1e6)

    def counted(self) -> dict[str, int]:
        return {name: count for name, count in self.ingress.counters.items() if count}

    def downlink(self, uplink: Uplink, **change: Any) -> Downlink:
        """The answer to an uplink in RX1."""
        fields = {
            "gateway": uplink.gateway,
            "source": uplink.source,
            "tmst": (uplink.tmst + 1_000_000) % 2**32,
            "freq_hz": uplink.freq_hz,
            "datr": uplink.datr,
            "power_dbm": 14,
            "phy": b"answer",
        }
        return Downlink(**fields | change)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def board(bench: Bench) -> Board:
    """A board that is plugged in and ready."""
    return bench.plug(Board(bench))


def test_the_board_listens_at_the_channel_and_rate_of_the_plan(board: Board) -> None:
    assert [message.kind for message in board.asked] == ["hello", "config", "ping"]
    assert board.place == {**CHANNEL_1, "dbm": 14}


@pytest.mark.parametrize(("table", "caps", "wanted"), [(None, 14, 14), (10, 14, 10), (20, 14, 14), (None, 9, 9)])
def test_power_is_the_least_of_region_table_and_board(table: int | None, caps: int, wanted: int) -> None:
    bench = Bench(power_dbm=table)
    board = Board(bench)
    board.most_dbm = caps
    bench.plug(board)
    assert board.place["dbm"] == wanted
    board.hear()
    assert bench.source.send_downlink(bench.downlink(bench.uplinks[0], power_dbm=30))
    bench.run(0.01)
    assert board.all("send")[0].fields["dbm"] == wanted


def test_a_frame_is_an_uplink_with_the_time_of_its_end(bench: Bench, board: Board) -> None:
    for _ in range(3):  # the third time the board's clock has passed 2^32 us
        bench.run(300.0)
        tmst, ended_us = board.tmst(), bench.scheduler.wall_us()
        bench.run(0.4)  # it lay in the line
        board.hear(tmst=tmst)
        uplink = bench.uplinks[-1]
        assert abs(uplink.received_us - ended_us) <= 1_000
        assert (uplink.tmst, uplink.freq_hz, uplink.datr) == (tmst, 865_402_500, "SF9BW125")
        assert (uplink.rssi, uplink.snr, uplink.phy) == (-97.0, -3.25, PHY)
        assert uplink.source == uplink.gateway == bench.source.name
    assert bench.counted() == {"received": 3}


def test_the_soonest_answer_maps_the_clocks(bench: Bench) -> None:
    """One answer is held up for 0.4 s in the line: half of that would be the error."""
    board = bench.plug(Board(bench))
    bench.run(30.0)
    board.deaf = True
    bench.run(10.0)
    ping = board.all("ping")[-1]
    at_us, tmst = bench.now_us(), board.tmst()
    bench.run(0.4)
    board.say("pong", host_us=ping.fields["host_us"], tmst=tmst)
    board.hear()
    assert at_us > 0 and abs(bench.uplinks[-1].received_us - bench.scheduler.wall_us()) <= 1_000


def test_what_was_heard_while_nobody_read_has_no_sure_time(bench: Bench) -> None:
    board = Board(bench)
    board.place = CHANNEL_1
    bench.board = board
    bench.source.opened()
    board.hear(tmst=5)
    bench.run(0.1)
    assert bench.uplinks == [] and bench.counted() == {}
    board.hear()
    assert len(bench.uplinks) == 1


@pytest.mark.parametrize(
    "change", [{"whole": 0}, {"hz": 865_062_500}, {"sf": 10}, {"khz": 250}, {"phy": b"x" * 11}, {"phy": b""}], ids=str
)
def test_what_is_no_frame_of_ours_is_counted(bench: Bench, board: Board, change: dict[str, Any]) -> None:
    board.hear(**change)
    assert bench.uplinks == []
    assert bench.counted() == {"received": 1, "malformed": 1}


@pytest.mark.parametrize(
    ("codes", "result"),
    [
        ((wire.QUEUED, wire.SENT), SendResult.SENT),
        ((wire.QUEUED, wire.FAILED), SendResult.REFUSED),
        ((wire.QUEUED, wire.TOO_LATE), SendResult.TOO_LATE),
        ((wire.TOO_LATE,), SendResult.TOO_LATE),
        ((wire.TOO_EARLY,), SendResult.TOO_EARLY),
        ((wire.COLLISION,), SendResult.COLLISION),
        ((wire.FREQUENCY,), SendResult.REFUSED),
        ((wire.POWER,), SendResult.REFUSED),
        ((wire.QUEUED, 200), SendResult.REFUSED),
    ],
)
def test_a_downlink_is_sent_and_its_fate_told(
    bench: Bench, board: Board, codes: tuple[int, ...], result: SendResult
) -> None:
    board.hear()
    downlink = bench.downlink(bench.uplinks[0])
    board.verdicts = list(codes)
    assert bench.source.send_downlink(downlink)
    assert bench.results == []
    bench.run(0.01)
    (request,) = board.all("send")
    assert request.data == b"answer"
    assert request.fields == {"tmst": downlink.tmst, **CHANNEL_1, "dbm": 14}
    assert bench.results == [(downlink, result)]
    board.say("result", of=request.sequence, code=wire.SENT, tmst=downlink.tmst)
    assert len(bench.results) == 1, "told once"


def test_what_is_queued_is_not_yet_sent(bench: Bench, board: Board) -> None:
    board.hear()
    board.verdicts = [wire.QUEUED]
    assert bench.source.send_downlink(bench.downlink(bench.uplinks[0]))
    bench.run(0.01)
    assert bench.results == []


def test_a_verdict_of_another_request_says_nothing(bench: Bench, board: Board) -> None:
    board.hear()
    board.verdicts = []
    downlink = bench.downlink(bench.uplinks[0])
    bench.source.send_downlink(downlink)
    bench.run(0.01)
    (request,) = board.all("send")
    board.say("result", of=request.sequence, code=wire.SENT, tmst=downlink.tmst ^ 1)
    board.say("result", of=request.sequence ^ 1, code=wire.SENT, tmst=downlink.tmst)
    assert bench.results == []


def test_an_unplugged_radio_gives_back_what_it_was_to_send(bench: Bench, board: Board) -> None:
    """So that RX2, or another gateway, is tried at once."""
    board.hear()
    board.verdicts = []
    downlink = bench.downlink(bench.uplinks[0])
    assert bench.source.send_downlink(downlink)
    bench.unplug()
    assert bench.results == [(downlink, SendResult.REFUSED)]
    assert not bench.source.send_downlink(downlink)


def test_a_downlink_only_answers_an_uplink_of_this_start(bench: Bench, board: Board) -> None:
    board.hear()
    uplink = bench.uplinks[0]
    assert not bench.source.send_downlink(bench.downlink(uplink, tmst=(uplink.tmst - 1) % 2**32))
    assert not bench.source.send_downlink(bench.downlink(uplink, tmst=(uplink.tmst + 20_000_000) % 2**32))
    assert bench.source.send_downlink(bench.downlink(uplink))
    bench.unplug()
    bench.plug(Board(bench, ahead_us=0, boot=8))
    assert not bench.source.send_downlink(bench.downlink(uplink))


def test_a_board_that_restarts_on_an_open_port_is_noticed(bench: Bench, board: Board) -> None:
    """A board with a serial chip of its own keeps the port when it restarts; clock and channel begin anew."""
    bench.run(500.0)
    again = bench.board = Board(bench, ahead_us=-bench.now_us(), boot=8)
    again.place = CHANNEL_1
    again.hear()  # its clock says 0 s, ours of it 500 s
    assert bench.uplinks == []
    bench.run(0.1)
    assert again.place == {**CHANNEL_1, "dbm": 14}
    again.hear()
    assert abs(bench.uplinks[0].received_us - bench.scheduler.wall_us()) <= 1_000


def test_a_lost_line_of_the_greeting_is_said_again(bench: Bench) -> None:
    board = Board(bench)
    board.deaf = True
    bench.plug(board)
    assert [message.kind for message in board.asked] == ["hello"]
    board.deaf = False
    bench.run(2.5)
    board.hear()
    assert len(bench.uplinks) == 1


def test_who_is_no_bridge_is_left_alone(bench: Bench) -> None:
    board = Board(bench)
    board.deaf = True
    bench.plug(board)
    bench.run(GREET_S + 2)
    assert bench.dropped == ["no bridge answers there"]


def test_a_silent_bridge_is_opened_anew(bench: Bench, board: Board) -> None:
    bench.run(3600.0)
    assert bench.dropped == [], "pings keep it"
    board.deaf = True
    bench.run(SILENT_S + 12)
    assert bench.dropped == ["the bridge is silent"]


def test_pings_and_counts_are_asked_in_moderation(bench: Bench, board: Board) -> None:
    bench.run(3600.0)
    assert 355 <= len(board.all("ping")) <= 365
    assert 58 <= len(board.all("stat")) <= 62


def test_its_counts_are_figures_of_the_station(board: Board) -> None:
    from suat.metrics import REGISTRY

    names = ("uptime", "received", "broken", "sent", "refused", "dropped", "garbled", "radio_errors")
    board.say("status", **{name: number for number, name in enumerate(names, 40)})
    labels = {"port": "/dev/ttyACM0", "what": "dropped"}
    assert REGISTRY.get_sample_value("suat_bridge_count", labels) == 45
    assert REGISTRY.get_sample_value("suat_bridge_ready", {"port": "/dev/ttyACM0"}) == 1


def test_a_channel_that_the_region_has_not_is_one_line() -> None:
    entry = {"kind": "serial_bridge", "port": "/dev/ttyACM0", "channel": 3}
    station = {"name": "Asy", "data_dir": "data"}
    with pytest.raises(ConfigError) as error:
        parse({"station": station, "ingest": [entry]})
    (line,) = error.value.faults
    assert 'ingest "serial_bridge".channel: IN865 has channels 0 to 2, not 3' in line
    parse({"station": station, "ingest": [entry | {"channel": 2}]})


def test_another_region_in_the_board_is_told_once(bench: Bench, board: Board, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            board.say("error", b"config", of=2, code=wire.REFUSED)
            board.say("error", b"", of=2, code=wire.UNKNOWN)
    (line,) = caplog.messages
    assert "region" in line and "suat.json" in line


def cases(count: int, seed: int) -> Any:
    """Pieces of a hostile line: whole messages of all kinds with wild fields, cut, joined, bent, or noise."""
    chance = random.Random(seed)
    bits = {
        "B": (0, 255),
        "b": (-128, 127),
        "H": (0, 65535),
        "h": (-32768, 32767),
        "I": (0, 2**32 - 1),
        "Q": (0, 2**64 - 1),
    }
    kinds = {kind: [field.split(":") for field in spec.split()] for kind, (_, spec) in wire.MESSAGES.items()}
    honest = {
        "caps": (7,),
        "hz": (865_402_500,),
        "sf": (9,),
        "khz": (125,),
        "whole": (1,),
        "of": tuple(range(16)),
        "boot": (7, 8),
    }

    def value(name: str, code: str) -> int:
        low, high = bits[code]
        if name in honest and chance.random() < 0.7:
            return chance.choice(honest[name])
        return chance.choice((low, high, 0, chance.randint(low, high)))

    for _ in range(count):
        kind = chance.choice(list(kinds))
        fields = {name: value(name, code) for name, code in kinds[kind]}
        piece = bytearray(
            wire.encode(kind, chance.randrange(256), fields, chance.randbytes(chance.choice((0, 5, 20, 255))))
        )
        what = chance.random()
        if what < 0.1:
            piece[chance.randrange(len(piece))] ^= 1 << chance.randrange(8)
        elif what < 0.2:
            del piece[chance.randrange(len(piece)) :]
        elif what < 0.25:
            piece = bytearray(chance.randbytes(chance.choice((1, 64, 1024))))
        elif what < 0.27:
            piece = bytearray(b"\xdb" * 700)
        yield bytes(piece)


CASES = 60_000


def test_no_line_is_too_hostile(record_property: Any) -> None:
    """Nothing but what is counted comes of it, and no more than 1 kB is held. The long run: CASES = 2_000_000."""
    bench = Bench()
    board = bench.plug(Board(bench))
    began = time.monotonic()
    for number, piece in enumerate(cases(CASES, 5)):
        bench.source.data_received(piece)
        assert len(bench.source._reader._held) <= 1024
        if bench.uplinks:
            downlink = bench.downlink(bench.uplinks.pop())
            bench.source.send_downlink(downlink)
        if number % 100 == 0:
            bench.run(0.05)
            if bench.board is None:
                bench.plug(board)
        assert len(bench.source._flying) <= 256
        bench.results.clear()
        board.asked.clear()
    record_property("cases", CASES)
    record_property("seconds", round(time.monotonic() - began, 1))
    counters = bench.ingress.counters
    assert counters["malformed"] > 1000
    bench.unplug()
    honest = bench.plug(Board(bench, boot=99))
    honest.hear()
    assert len(bench.uplinks) == 1, "and it still hears"
