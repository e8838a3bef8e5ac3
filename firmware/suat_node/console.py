"""The console on USB: what a technician asks of a node at the water point. Loaded only when somebody presses Enter.

Words may be cut short as long as they are unique; an answer is one line. Keys go in and never come out. docs/console.md
"""

import json
import os
import select
import sys
import time

from micropython import const
from suat_wire.control import SETTINGS
from suat_wire.fields import GROUPS

from suat_node import VERSION, config, crash, power, sensors

TYPE_CHECKING = False
if __debug__ and TYPE_CHECKING:
    from typing import Any

    from suat_node.mac.session import Session
    from suat_node.node import Node

_IDLE_MS = const(120000)
_STEP_MS = const(20)
_LONGEST = const(240)
_ETX = const(3)
_BACKSPACE = const(8)
_LF = const(10)
_CR = const(13)
_ESCAPE = const(27)
_DELETE = const(127)
_WORDS = ("show", "set", "test", "join", "send", "log", "help", "exit", "factory-reset")
_HELP = """show           this node
set NAME VALUE configure; VALUE - takes it out; set alone: the names
test SENSOR    read it; test all
join           enter the network
send           read, send, listen
log            what went wrong
exit           the node goes on
factory-reset  wipe all but the counters
Words may be cut short: sh, te a"""
_SHOW = """firmware %d.%d
node     %s %s %s
address  %s
radio    %s DR%d %sADR, %sjoined
link     %s
counts   up %d down %d DevNonce %d starts %d radio errors %d
samples  %d on flash, acknowledged below %d, lost %d, flash errors %d
battery  %d mV at the last sample
clock    %s"""
_FAULTS = (  # by the codes of suat_node.sensors
    "?",
    "no answer: plugged in? powered? data wires swapped?",
    "garbled: loose plug? other baud or address?",
    "impossible value: in air? too near or far?",
    "open: a wire is off",
    "short: wet plug? wires touch?",
    "supply too low: charge or change the battery",
    "unsteady: loose wire? waves? a motor nearby?",
)


def run(path: str = "/suat.json", folder: str = "/suat") -> bool:
    """Until `exit` or two minutes without a key; whether a line was typed. KeyboardInterrupt: ^C on an empty line."""
    console = Console(path, folder)
    print("suat %d.%d, help lists the words" % VERSION, console.fault)
    used = False
    while True:
        text = console.line("> ")
        if text is None:
            return used
        used = True
        words = text.split()
        if not words:
            continue
        found = [word for word in _WORDS if word.startswith(words[0].lower())]
        if len(found) != 1:
            print(" or ".join(found) + "?" if found else "no such word; help lists them")
        elif found[0] == "exit":
            if not console.draft:
                return True
            console.draft = False
            print("not saved:", console.fault, "- exit again drops it")
        else:
            try:
                getattr(console, found[0][:4])(words[1:])
            except Exception as error:  # whatever it is, the next word works
                print("failed:", error.__class__.__name__, error)


class Console:
    """A method for each word, named by its first four letters."""

    def __init__(self, path: str, folder: str) -> None:
        self.path = path
        self.folder = folder
        self.keys = select.poll()
        self.keys.register(sys.stdin, select.POLLIN)
        self.last = 0  # key
        self.made: "Node | None" = None
        self.raw: "Any" = {}  # the configuration as it would be,
        self.draft = False  # if this is not what the file says,
        self.fault = ""  # and what is wrong with it
        try:
            config.load(path)
        except config.ConfigError as error:
            self.fault = str(error)
        try:
            with open(path) as file:
                self.raw.update(json.load(file))
        except (OSError, ValueError, TypeError, AttributeError):  # not there, not JSON, no table
            pass

    def line(self, prompt: str) -> "str | None":
        """What is typed up to Enter; None: nobody is there any more."""
        out = sys.stdout.write
        out(prompt)
        text = lost = ""
        escape = False
        idle = 0
        while idle < _IDLE_MS:
            before = self.last
            try:
                if not self.keys.poll(0):
                    power.wait_ms(_STEP_MS)
                    idle += _STEP_MS
                    continue
                key = sys.stdin.buffer.read(1)
                if not key:
                    return None
                self.last = code = key[0]
            except KeyboardInterrupt:
                code = _ETX
            idle = 0
            if code in (_CR, _LF):
                if code == _LF and before == _CR:
                    continue
                print()
                if lost:
                    print(lost, "- nothing done")
                    return ""
                return text
            if code == _ETX:
                if not text:
                    raise KeyboardInterrupt
                text = ""
                out("\n" + prompt)
            elif code in (_BACKSPACE, _DELETE):
                if text:
                    text = text[:-1]
                    out("\b \b")
            elif escape:  # the rest of an arrow or function key
                escape = not chr(code).isalpha()
            elif code == _ESCAPE:
                escape = True
            elif code > _DELETE:
                lost = "Latin letters only: switch the keyboard"
            elif code >= 32 and len(text) == _LONGEST:
                lost = "too long"
            elif code >= 32:
                text += chr(code)
                out("*" if _hidden(text) else chr(code))
        return None

    def node(self) -> "Node":
        """The node as configured, made at first need."""
        if self.made is None:
            from suat_node import node

            checked = config.load(self.path)
            self.made = node.Node(checked, config.board(checked.board), self.folder)
            counters = self.made.counters
            counters.false_starts = counters.quiet_until = 0  # somebody is here: no brake
            counters.save(self.made.session)
        return self.made

    def set(self, words: "list[str]") -> None:
        if len(words) < 2:
            print(" ".join(_names()))
            return
        name = _name(words[0])
        path = name.split(".")
        raw = json.loads(json.dumps(self.raw))  # a copy, to be thrown away
        for one, other in (("otaa", "abp"), ("abp", "otaa")):
            if path[0] == one:
                raw.pop(other, None)
        try:
            _put(raw, path, " ".join(words[1:]))
        except (LookupError, TypeError, ValueError):
            print("no such name, or more than one: set alone lists them")
            return
        try:
            config.board(config.check(raw).board)
        except config.ConfigError as error:
            text = str(error)
            if text.startswith("sensors" if path[0] == "sensors" else name):
                print("refused:", text)
            else:
                self.raw, self.draft, self.fault = raw, True, text
                print("noted, not yet saved:", text)
            return
        with open(self.path + ".tmp", "w") as file:
            json.dump(raw, file)
        os.rename(self.path + ".tmp", self.path)
        self.raw, self.draft, self.fault, self.made = raw, False, "", None
        from suat_node.keep.settings import Settings

        setting = {"radio.adr": "adr", "radio.dr": "data_rate"}.get(name, path[-1])
        Settings(self.folder).forget((setting,))
        print("saved; holds after exit")

    def fact(self, words: "list[str]") -> None:
        if self.line("wipe all but the counters? yes or no: ") != "yes":
            print("nothing done")
            return
        samples = self.folder + "/samples"
        try:
            wiped = [samples + "/" + name for name in os.listdir(samples)]
        except OSError:
            wiped = []
        for path in [self.path, self.folder + "/settings", crash.FILE] + wiped:
            power.feed()
            try:
                os.remove(path)
            except OSError:  # it is not there
                pass
        self.__init__(self.path, self.folder)  # type: ignore[misc]
        print("wiped")

    def show(self, words: "list[str]") -> None:
        node = self.node()
        conf, counters, session = node.config, node.counters, node.session
        print(
            _SHOW
            % (
                VERSION[0],
                VERSION[1],
                conf.kind,
                conf.role,
                conf.board,
                "DevEUI " + conf.dev_eui.hex() if conf.otaa else "DevAddr %08x" % conf.dev_addr,
                conf.region,
                session.dr,
                "" if session.adr else "no ",
                "" if session.joined else "not ",
                _heard(session),
                counters.fcnt_up,
                counters.fcnt_down,
                counters.dev_nonce,
                counters.boots,
                counters.radio_errors,
                len(node.backlog.held),
                counters.oldest,
                counters.lost,
                counters.flash_errors,
                counters.battery_mv,
                _date(power.clock() + counters.utc_offset) if counters.utc_offset else "not known",
            )
        )
        for i, sensor in enumerate(conf.sensors):
            print("sensor  ", i, sensor["kind"], sensor["at"])
        told = node.settings
        for _, name, _, _, _, unit in SETTINGS:
            if name in conf.settings:
                mark = "on trial" if name in told.trial else "by the network" if name in told.accepted else ""
                print("setting ", name, node.setting(name), unit, mark)

    def test(self, words: "list[str]") -> None:
        conf = config.load(self.path)
        board = config.board(conf.board)
        which = words[0] if words else "all"
        units = {(group, row[0]): row[3] for group, fields in GROUPS for row in fields}
        found = False
        for i, sensor in enumerate(conf.sensors):
            title = "%d %s %s" % (i, sensor["kind"], sensor["at"])
            if "all".startswith(which) or any([word.startswith(which) for word in title.split()]):
                found = True
                readings = sensors.read_all([sensor], board)
                for at in sorted(readings):
                    value = readings[at]
                    if at[1] == "fault":
                        print(title, _FAULTS[int(value)])
                    else:
                        print(title, at[1], round(value, 4), units[at])
        if not found:
            print("no such sensor; show lists them")

    def join(self, words: "list[str]") -> None:
        node = self.node()
        if not node.config.otaa:
            print("ABP: nothing to join")
        elif _free(node.counters.next_join) and _free(node.counters.quiet_until):
            from suat_node.mac import join

            if join.attempt(node.radio, node.session, node.counters):
                print("joined,", _heard(node.session))
            else:
                print("no answer: gateway on and in reach? this DevEUI registered with this key?")

    def send(self, words: "list[str]") -> None:
        node = self.node()
        counters = node.counters
        if not node.session.joined:
            print("not joined: join")
        elif _free(counters.quiet_until):
            from suat_node import sample, uplink

            sample.sense(node, power.clock())
            node.ask_now = True
            heard = counters.fcnt_down
            if not uplink.send(node):
                print("nothing to send")
            elif counters.fcnt_down == heard:
                print("sent, no answer")
            else:
                print("answered," if node.ask_now else "acknowledged,", _heard(node.session))

    def log(self, words: "list[str]") -> None:
        known = crash.entries()
        for (times, _, utc, start, _), text in known:
            print(times, "times, last", _date(utc) if utc else "at an unknown time", "in start", start)
            print(text)
        if not known:
            print("nothing went wrong")

    def help(self, words: "list[str]") -> None:
        print(_HELP)


def _names() -> "list[str]":
    out: "list[str]" = []
    for top in config.TOP:
        out += [top + "." + name for name in config.TABLES.get(top, ())] or [top]
    return out


def _name(text: str) -> str:
    """The full name that is meant, "" if none or several are; a sensor's option is sensors.0.adc."""
    names = _names()
    if text in names or text.startswith("sensors."):
        return text
    found = [name for name in names if name.startswith(text) or name.split(".")[-1].startswith(text)]
    return found[0] if len(found) == 1 else ""


def _hidden(text: str) -> bool:
    """Whether the character just typed is, or may be, one of a key."""
    words = text.split(" ", 2)
    name = words[0]
    if "set".startswith(name.lower()) and len(words) == 3:
        name = _name(words[1])
    return len(words) > 1 and (not name or "key" in name)


def _put(table: "Any", path: "list[str]", text: str) -> None:
    """Write a value into the configuration; LookupError, TypeError, ValueError: there is no such place."""
    value: "Any" = text
    if path[0] not in ("otaa", "abp"):  # where digits are hexadecimal
        try:
            value = json.loads(text)
        except ValueError:
            pass
    for key in path[:-1]:
        table = table[int(key)] if isinstance(table, list) else table.setdefault(key, [] if key == "sensors" else {})
    place: "Any" = path[-1]
    if isinstance(table, list):
        place = int(place)
        if place == len(table) and text != "-":
            table.append(value)
    elif not place:
        raise KeyError
    if text == "-":
        del table[place]
    else:
        table[place] = value


def _free(at: int) -> bool:
    wait = at - power.clock()
    if wait > 0:
        print("the air is shared: again in %d s" % wait)
    return wait <= 0


def _heard(session: "Session") -> str:
    return "heard at %d dBm, SNR %d dB" % (session.rssi, session.snr) if session.rssi else "nothing heard yet"


def _date(utc: int) -> str:
    epoch = 946684800 if time.gmtime(0)[0] == 2000 else 0  # ESP32 counts from 2000
    return "%d-%02d-%02d %02d:%02d:%02d UTC" % time.gmtime((utc & 0xFFFFFFFF) - epoch)[:6]
