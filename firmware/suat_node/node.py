"""The node: wake -> sense -> pack -> seal -> send -> listen -> sleep.

`run` is the whole life. On an ESP32 each sleep ends the program and the next wake begins at `main` again; on an RP2040
`run` loops.
"""

from binascii import crc32

from micropython import const

import suat_node
from suat_node import config, crash, power, sample, sensors, uplink
from suat_node.keep import meter
from suat_node.keep.backlog import Backlog, make_folder
from suat_node.keep.counters import Counters
from suat_node.keep.settings import Settings
from suat_node.mac import join
from suat_node.mac.session import Session
from suat_node.radio.sx126x import RadioError, Sx126x

FOLDER = "/suat"
_SETTLE_MS = const(2000)  # waves that a herd makes


class Node:
    """Everything that belongs together while the program runs."""

    def __init__(self, settings: "config.Config", board: "config.Board", folder: str = FOLDER) -> None:
        self.config = settings
        self.board = board
        self.session = Session(settings)
        self.counters = Counters(folder)
        make_folder(folder)
        self.cold = self.counters.load(power.recall(board), self.session)
        self.backlog = Backlog(folder + "/samples", self.counters.oldest)
        self.settings = Settings(folder)
        self._own_keys()
        self.counters.make_room = self.backlog.drop_oldest
        crash.counters = self.counters
        if self.cold:
            if self.settings.trial:
                from suat_node import configure

                configure.restarted(self)
            self.counters.boots += 1
            self.counters.started = power.clock()
            self._brake()
        self.counters.logger_next = max(self.counters.logger_next, self.backlog.source_next)
        self.ask_now = self.cold
        self.urgent = False  # the next uplink is to be confirmed
        meter.bind(self.counters)
        self.radio = Sx126x(board)
        for sensor in settings.sensors:
            if sensor["kind"] == "flow":
                sensors.driver("flow").start(sensor, board)

    def _brake(self) -> None:
        """After false starts in a row: lie still before sensors or radio load the battery again."""
        counters = self.counters
        counters.false_starts += 1
        rest = power.rest(counters.false_starts)
        if rest:
            counters.next_sense = counters.quiet_until = power.clock() + rest
        try:
            counters.save(self.session)
        except OSError:  # a full flash counts no false starts
            pass

    def _own_keys(self) -> None:
        """Counters belong to keys: with others the node is a new registration and begins anew."""
        identity = crc32(self.config.identity())
        if self.counters.identity != identity:
            if self.counters.generation:
                before = self.counters
                self.counters = Counters(before.folder)
                for name in ("generation", "dev_nonce", "fcnt_up", "fcnt_top"):  # the same keys may come back one day
                    setattr(self.counters, name, getattr(before, name))
                self.session = Session(self.config)
            self.settings.forget()
            self.backlog.clear()
            self.backlog.source_next = 0
            self.counters.identity = identity
            self.cold = True

    def setting(self, name: str) -> int:
        """A setting that a downlink may have changed."""
        return self.settings.value(name, self.config.settings)


def main(folder: str = FOLDER, path: str = "/suat.json") -> None:
    """Life of the node; returns only when the configuration cannot be used."""
    try:
        settings = config.load(path)
        board = config.board(settings.board)
    except config.ConfigError as error:
        print("suat:", error)
        return
    power.start(board)
    if settings.role == "bridge":
        from suat_node import bridge

        bridge.run(settings, board)
    run(Node(settings, board, folder))


def run(node: Node) -> None:
    """Wake and sleep for ever."""
    while True:
        wake(node)
        sleep(node)


def wake(node: Node) -> None:
    """All that is due now. A radio or flash that fails costs this exchange, never a sample."""
    if suat_node.boot:
        from suat_node.keep import slots

        slots.watch(node)
    now = power.clock()
    counters = node.counters
    if now >= counters.next_sense:
        sample.sense(node, now)
    elif power.woken_by_pin():
        _out_of_turn(node, now)
    try:
        if join.due(node.session, counters):
            join.attempt(node.radio, node.session, counters)
        if node.session.joined:
            uplink.deliver(node)
    except RadioError as error:
        _radio_failed(node, error)
    except OSError:  # flash took no DevNonce: counted, and the next request has its time
        pass


def _out_of_turn(node: Node, now: int) -> None:
    """A switch moved: one sample more once its water is still, as often as `events_per_h` allows."""
    from suat_node import events

    due = node.counters.next_sense
    if events.allowed(node, now):
        power.wait_ms(_SETTLE_MS)
        sample.sense(node, power.clock())
        node.counters.next_sense = due


def _radio_failed(node: Node, error: RadioError) -> None:
    """Count it; the next use sets the chip up from its reset."""
    print("suat: radio:", error)
    node.counters.radio_errors += 1
    node.radio.ready = False


def sleep(node: Node) -> None:
    """Sleep until the next thing is due or a switch moves."""
    counters = node.counters
    now = power.clock()
    due = counters.next_sense
    if not node.session.joined:
        due = min(due, max(counters.next_join, counters.quiet_until))
    elif counters.waiting and counters.quiet_until > now:
        due = min(due, counters.quiet_until)  # the band is closed until then; without this, new samples would fill it
    extra = uplink.next_extra(node)
    if extra:
        due = min(due, extra)
    pins = sensors.wake_pins(node.config.sensors)
    if pins:
        from suat_node import events

        spent = events.spent_until(node, now)
        if spent > now:
            pins = []
            due = min(due, spent)
    try:
        node.radio.sleep(not power.restarts(node.board))
    except RadioError as error:
        _radio_failed(node, error)
    blob = counters.pack(node.session) if power.restarts(node.board) else b""
    power.sleep(node.board, max(1, due - power.clock()), blob, pins)
