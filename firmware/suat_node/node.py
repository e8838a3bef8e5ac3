"""The node: wake -> sense -> pack -> seal -> send -> listen -> sleep.

`run` is the whole life. On an ESP32 each sleep ends the program and the next wake begins at `main` again; on an RP2040
`run` loops.
"""

import gc
import io
import sys
from binascii import crc32

import machine
from suat_wire.control import PORT_ACK, PORT_CONFIG, decode_config
from suat_wire.fields import GROUPS, PayloadError, raw_of
from suat_wire.payload import encode, pack

from suat_node import VERSION, config, power, sensors
from suat_node.keep import delivery, meter, times
from suat_node.keep.backlog import Backlog, Entry
from suat_node.keep.counters import Counters
from suat_node.mac import adr, commands, join, link
from suat_node.mac.session import Session
from suat_node.radio.sx126x import RadioError, Sx126x
from suat_node.sensors import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from suat_wire.payload import Sample

    from suat_node.config import Board, Options, Readings
    from suat_node.mac.session import Downlink
    from suat_node.sensors.logger import Row

FOLDER = "/suat"
CRASH_FILE = "/suat/crash.txt"
ACK_AFTER = 4  # unacknowledged samples before the node asks
HEALTH_H = 24
BODY_MAX = 29  # with header, age and 15 bytes of FOpts this fits into 51 bytes; a larger sample is split
DAY_S = 86400


class Node:
    """Everything that belongs together while the program runs."""

    def __init__(self, settings: "config.Config", board: "config.Board", folder: str = FOLDER) -> None:
        self.config = settings
        self.board = board
        self.session = Session(settings)
        self.counters = Counters(folder)
        _make_folder(folder)
        self.cold = self.counters.load(power.recall(board), self.session)
        self.backlog = Backlog(folder + "/samples", self.counters.oldest)
        self._own_keys()
        if self.cold:
            self.counters.boots += 1
            self.counters.started = power.clock()
        self.counters.logger_next = max(self.counters.logger_next, self.backlog.source_next)
        self.ask_now = self.cold
        meter.bind(self.counters, not self.cold)
        self.radio = Sx126x(board)
        for sensor in settings.sensors:
            if sensor["kind"] == "flow":
                sensors.driver("flow").start(sensor)

    def _own_keys(self) -> None:
        """Counters belong to keys: with others the node is a new registration and begins anew."""
        identity = crc32(self.config.identity())
        if self.counters.identity != identity:
            if self.counters.generation:
                generation = self.counters.generation
                self.counters = Counters(self.counters.folder)
                self.counters.generation = generation
                self.session = Session(self.config)
            self.backlog.clear()
            self.counters.identity = identity

    def setting(self, name: str, configured: int) -> int:
        """A setting that a downlink may have changed."""
        return int(getattr(self.counters, name)) or configured


def main(folder: str = FOLDER, path: str = "/suat.json") -> None:
    """Life of the node; returns only when the configuration cannot be used."""
    try:
        settings = config.load(path)
        board = config.board(settings.board)
    except config.ConfigError as error:
        print("suat:", error)
        return
    power.start(board)
    run(Node(settings, board, folder))


def run(node: Node) -> None:
    """Wake and sleep for ever."""
    while True:
        wake(node)
        sleep(node)


def wake(node: Node) -> None:
    """All that is due now. A radio that fails costs this exchange, never a sample."""
    now = power.clock()
    counters = node.counters
    if now >= counters.next_sense:
        sense(node, now)
    try:
        if not node.session.joined and now >= counters.next_join:
            join.attempt(node.radio, node.session, counters)
        if node.session.joined:
            deliver(node)
    except RadioError as error:
        _radio_failed(node, error)


def _radio_failed(node: Node, error: RadioError) -> None:
    """Count it; the next use sets the chip up from its reset."""
    print("suat: radio:", error)
    node.counters.radio_errors += 1
    node.radio.ready = False


def sense(node: Node, now: int) -> None:
    """Read all sensors and keep one sample of them, and one of each new row of a data logger."""
    counters = node.counters
    interval = node.setting("interval_s", node.config.interval_s)
    counters.next_sense = times.next_wake(counters, now, interval, counters.identity % interval)
    readings = sensors.read_all(node.config.sensors, node.board)
    for sensor in node.config.sensors:
        if sensor["kind"] == "logger":
            readings.update(_take_rows(node, sensor))
    if not counters.health_at or now - counters.health_at >= node.setting("health_h", HEALTH_H) * 3600:
        readings.update(_health(node, now))
        counters.health_at = now
    keep(node, readings, now, 0)


def _take_rows(node: Node, sensor: "Options") -> "Readings":
    """Keep a data logger's new rows; what it costs the node's own sample is at most a fault."""
    try:
        rows = sensors.powered(sensor, node.board, _rows_since(node))
    except Exception as error:
        return {("node", "fault"): sensors.fault_code(error)}
    now = power.clock()
    for number, age, readings in rows:
        power.feed()
        keep(node, readings, now - age, number + 1)
        node.counters.logger_next = number + 1
    return {}


def _rows_since(node: Node) -> "Callable[[Options, Board], list[Row]]":
    return lambda sensor, board: logger.rows(sensor, board, node.counters.logger_next)


def keep(node: Node, readings: "Readings", taken: int, source: int) -> None:
    """Pack readings and keep them on flash: one record, or more when they are too large for the slowest data rate."""
    counters = node.counters
    stamp, boot = times.stamp(counters, taken)
    for body in bodies(readings):
        record = counters.next_record(node.session)
        if node.backlog.append(Entry(record, stamp, boot, source, body)):
            delivery.waits(counters, record)
    counters.lost += node.backlog.lost
    node.backlog.lost = 0


def bodies(readings: "Readings") -> "list[bytes]":
    """Packed bodies of at most BODY_MAX bytes, split between groups. A value that no field carries becomes a fault."""
    out: "list[bytes]" = []
    part: "Readings" = {}
    packed = b""
    for group, fields in GROUPS:
        mine: "Readings" = {}
        bad = False
        for name, kind, divisor, _unit in fields:
            value = readings.get((group, name))
            if value is None:
                continue
            try:
                raw_of(value, kind, divisor)
                mine[(group, name)] = value
            except PayloadError:
                bad = True
        if bad and (group, "fault") not in mine and group != "health":
            mine[(group, "fault")] = sensors.OUT_OF_RANGE
        if not mine:
            continue
        both = dict(part)
        both.update(mine)
        body = pack(both)
        if len(body) > BODY_MAX and part:
            out.append(packed)
            part, packed = mine, pack(mine)
        else:
            part, packed = both, body
    if part:
        out.append(packed)
    return out


def _health(node: Node, now: int) -> "Readings":
    """The node's own state, once a day and after each cold start."""
    counters = node.counters
    gc.collect()
    return {
        ("health", "firmware"): VERSION[0] << 16 | VERSION[1],
        ("health", "boots"): counters.boots,
        ("health", "reset_cause"): _reset_cause(),
        ("health", "backlog"): min(len(node.backlog.held), 65535),
        ("health", "uptime_h"): min((now - counters.started) // 3600, 65535),
        ("health", "crash"): last_crash(),
        ("health", "lost"): min(counters.lost, 65535),
        ("health", "heap_free"): min(gc.mem_free() // 1024, 65535),
    }


def _reset_cause() -> int:
    """Place in suat_wire.fields.RESET_CAUSES; ports differ in which constants they have."""
    cause = machine.reset_cause()
    names = ("", "PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET", "BROWNOUT_RESET")
    for i, name in enumerate(names):
        if name and cause == getattr(machine, name, None):
            return i
    return 0


def last_crash() -> int:
    """CRC of the last exception's lines as main.py left them, 0 for none."""
    try:
        with open(CRASH_FILE, "rb") as file:
            return int(crc32(file.read()))
    except OSError:
        return 0


def deliver(node: Node) -> None:
    """Send what waits: at least the newest sample, more frames while older ones wait and the air is free."""
    for _ in range(node.config.frames):
        if power.clock() < node.counters.quiet_until:
            return
        if not node.counters.waiting or not send(node):
            return


def send(node: Node) -> bool:
    """One uplink (NbTrans times the same frame) with its windows; False when there was nothing to send."""
    counters, session = node.counters, node.session
    ack_req = adr.before_uplink(session)
    now = power.clock()
    ask = delivery.ask_from(counters, node.backlog, 1 if node.ask_now else node.setting("ack_after", ACK_AFTER))
    limit = session.region.max_payload[session.dr]
    # when an answer comes anyway, the time comes with it
    want_time = ask is not None or not counters.utc_offset or now - counters.synced_at >= DAY_S
    fopts = session.fopts(want_time, 15)
    heard_at = now + link.seconds_on_air(session)
    samples = delivery.choose(counters, node.backlog, heard_at, limit - len(fopts), ask)
    if not samples:  # answers to the network may wait, samples not
        fopts = b""
        samples = delivery.choose(counters, node.backlog, heard_at, limit, ask)
    if not samples:
        return False
    if ask is not None:
        ask = min(ask, samples[0].record)
    payload, fport = encode(samples, limit - len(fopts), ask)
    phy = session.uplink(counters.next_fcnt(session), fport, payload, fopts, ack_req)

    def accept(frame: bytes) -> "Downlink | None":
        return session.open(frame, counters)

    delays = (session.rx1_delay, session.rx1_delay + 1)
    left = False
    for _ in range(session.nb_trans):
        down, sent_at = link.exchange(node.radio, session, counters, phy, session.dr, delays, accept)
        if not left:
            delivery.sent(counters, samples)
            left = True
        if down is not None:
            heard(node, down, sent_at, samples)
            break
        if power.clock() < counters.quiet_until:
            break
    return True


def heard(node: Node, down: "Downlink", sent_at: int, samples: "list[Sample]") -> None:
    """Act on a genuine downlink. Its counter and all it changes are on flash before the next uplink."""
    counters, session = node.counters, node.session
    commands.obey(session, counters, down.commands, sent_at)
    rejoin = restart = False
    if down.fport == PORT_ACK and delivery.acknowledge(counters, node.backlog, down.payload, samples):
        node.ask_now = False
    elif down.fport == PORT_CONFIG:
        rejoin, restart = configure(node, down.payload)
    if rejoin and node.config.otaa:
        session.joined = False
    counters.save(session)
    node.backlog.free(counters.oldest)  # after the save: what is freed must never be asked for again
    if restart:
        machine.reset()


def configure(node: Node, data: bytes) -> "tuple[bool, bool]":
    """Settings from the network (FPort 5), all or none of them; (rejoin, restart) for the caller."""
    try:
        settings = decode_config(data)
    except PayloadError:
        return False, False
    counters = node.counters
    for name in ("interval_s", "ack_after", "health_h"):
        if name in settings:
            setattr(counters, name, settings[name])
    if "interval_s" in settings:
        counters.next_sense = times.next_wake(
            counters, power.clock(), counters.interval_s, counters.identity % counters.interval_s
        )
    if "data_rate" in settings:
        node.session.dr = settings["data_rate"]
    if "resend_from" in settings:
        for record in node.backlog.held:
            if record >= settings["resend_from"]:
                delivery.waits(counters, record)
    return settings.get("rejoin", 0) == 1, settings.get("restart", 0) == 1


def sleep(node: Node) -> None:
    """Sleep until the next thing is due."""
    counters = node.counters
    due = counters.next_sense
    if not node.session.joined:
        due = min(due, max(counters.next_join, counters.quiet_until))
    try:
        node.radio.sleep(not power.restarts(node.board))
    except RadioError as error:
        _radio_failed(node, error)
    blob = counters.pack(node.session) if power.restarts(node.board) else b""
    power.sleep(node.board, max(1, due - power.clock()), blob)


def _make_folder(folder: str) -> None:
    import os

    try:
        os.mkdir(folder)
    except OSError:
        os.listdir(folder)


def note_crash(error: Exception) -> None:
    """Keep the last exception for the health frame: one small file, written only when it is another one."""
    text = io.StringIO()
    sys.print_exception(error, text)
    data = text.getvalue().encode()
    if crc32(data) == last_crash():
        return
    try:
        with open(CRASH_FILE, "wb") as file:
            file.write(data)
    except OSError:
        pass  # flash is full or broken; the console has it
