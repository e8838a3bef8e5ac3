"""The console as a technician meets it: the real interpreter on a real terminal, littlefs in memory, fake radio."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FIRMWARE = Path(__file__).parents[1]
MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or "micropython"
KEY = bytes(range(32, 48)).hex()  # the one of node_fakes/network.py
OTAA = {"dev_eui": "0102030405060708", "join_eui": "1112131415161718", "app_key": KEY}
GOOD: dict[str, Any] = {
    "board": "pico_waveshare",
    "kind": "soil",
    "otaa": OTAA,
    "sensors": [
        {"kind": "capacitive", "at": "probe1", "adc": 27},
        {"kind": "capacitive", "at": "probe2", "adc": 28},
        {"kind": "battery"},
    ],
}


class Terminal:
    """What a terminal program on the other end of the cable does."""

    def __init__(self, config: object = GOOD, factor: float = 10.0, lives: int = 1) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        text = config if isinstance(config, str) else json.dumps(config) if config else ""
        self.process = subprocess.Popen(
            [MICROPYTHON, "-X", "heapsize=4M", "tests/node_fakes/console_board.py", str(factor), str(lives)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=FIRMWARE,
            env={"MICROPYPATH": "tests/node_fakes:.:.frozen", "PWD": str(FIRMWARE), "SUAT_JSON": text},
        )
        os.close(slave)
        self.seen = ""  # everything so far
        self.read = 0  # how much of it `until` has gone past

    def type(self, data: bytes | str) -> None:
        os.write(self.master, data.encode() if isinstance(data, str) else data)

    def until(self, pattern: str, seconds: float = 20.0) -> str:
        """Wait for it; what came up to its end."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.seen[self.read :])
            if found:
                text = self.seen[self.read : self.read + found.end()]
                self.read += found.end()
                return text
            ready = select.select([self.master], [], [], max(0.0, end - time.monotonic()))[0]
            try:
                data = os.read(self.master, 4096) if ready else b""
            except OSError:  # the other end has closed
                data = b""
            assert data, f"no {pattern!r} after {self.seen[self.read :]!r}"
            self.seen += data.decode(errors="replace")

    def ask(self, line: str) -> str:
        """Type a line; the answer, without the echo."""
        self.type(line + "\r")
        text = self.until(r"\n> $")
        return text.split("\n", 1)[1][:-3] if "\n" in text[:-3] else ""

    def told(self, what: str) -> str:
        """The last thing that the board told the test of this."""
        return re.findall(rf"\x01 {re.escape(what)} ?(.*)\n", self.seen)[-1]

    def leave(self) -> None:
        """`exit`, and to the end of the program's life."""
        self.type("exit\r")
        self.until(r"\x01 fcnts.*\n")
        self.rest()

    def rest(self) -> None:
        """To the end of the process."""
        with contextlib.suppress(AssertionError):
            self.until("never", 5.0)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self.master)


@contextlib.contextmanager
def terminal(*args: Any, opened: bool = True, **more: Any) -> Iterator[Terminal]:
    end = Terminal(*args, **more)
    try:
        if opened:
            end.type("\r")
            end.until(r"\n> $")
        yield end
    finally:
        end.close()


def test_enter_opens_it_and_show_tells_everything_but_keys() -> None:
    with terminal() as console:
        assert "suat: Enter opens the console" in console.seen
        shown = console.ask("show")
        assert re.search(r"firmware +\d+\.\d+", shown)
        for line in (
            r"node +soil node pico_waveshare",
            r"address +DevEUI 0102030405060708",
            r"radio +IN865 DR3 ADR, not joined",
            r"link +nothing heard yet",
            r"counts +up 0 down 0 DevNonce 0",
            r"clock +not known",
            r"sensor +1 capacitive probe2",
            r"setting +interval_s 900 s",
            r"setting +ack_after 4 samples",
        ):
            assert re.search(line, shown), (line, shown)
        assert KEY not in console.seen


def test_words_may_be_cut_short_and_a_wrong_one_is_answered() -> None:
    with terminal() as console:
        assert "DevEUI" in console.ask("sh")
        assert "DevEUI" in console.ask("SHOW")
        assert console.ask("s") == "show or set or send?"
        assert console.ask("go") == "no such word; help lists them"
        assert "factory-reset" in console.ask("help")
        assert console.ask("log") == "nothing went wrong"
        assert console.ask("   ") == ""


def test_sensors_are_read_with_units_or_the_fault_in_words() -> None:
    with terminal() as console:
        answer = console.ask("test all").splitlines()
        assert len(answer) == 3
        # 30000 of 65535 counts; 25000 of 65535 of 3.3 V behind the board's divider of 3
        assert answer[0].startswith("0 capacitive probe1 count 0.457")
        assert answer[1].startswith("1 capacitive probe2 short: ")
        assert re.match(r"2 battery node battery 3\.77\d* V", answer[2])
        assert console.ask("te probe2").splitlines() == [answer[1]]
        assert console.ask("test 2").splitlines() == [answer[2]]
        assert console.ask("test cap").splitlines() == answer[:2]
        assert console.ask("test camera") == "no such sensor; show lists them"


def test_join_and_send_reach_the_network() -> None:
    with terminal() as console:
        assert console.ask("send") == "not joined: join"
        assert re.search(r"joined, heard at -\d+ dBm, SNR -?\d+ dB", console.ask("join"))
        assert "the air is shared: again in" in console.ask("join")
        assert re.search(r"acknowledged, heard at -\d+ dBm", console.ask("send"))
        shown = console.ask("show")
        assert re.search(r"joined\n", shown) and "counts   up 1 down 1 DevNonce 1" in shown
        assert re.search(r"clock +2026-01-01 00:\d\d:\d\d UTC", shown)
        console.leave()
        assert console.told("nonces") == "0" and console.told("fcnts") == "0"


def test_set_is_checked_as_a_whole_and_written_at_once() -> None:
    with terminal() as console:
        assert console.ask("set interval 600") == "saved; holds after exit"
        assert console.ask("set interval 5") == "refused: interval_s must be a whole number 60..86400, is 5"
        assert console.ask("set region MARS").startswith("refused: region: 'MARS' is none of IN865")
        assert console.ask("set battery_low 3500") == "saved; holds after exit"
        assert console.ask("set battery_floor 3600").startswith("refused: settings.battery_floor must be below")
        assert console.ask("set sensors.1 -") == "saved; holds after exit"
        assert console.ask('set sensors.2 {"kind": "ds18b20", "at": "node", "pin": 5}') == "saved; holds after exit"
        assert console.ask("set sensors.2.pin 99").startswith("refused: sensors[2].pin must be 0..48")
        assert console.ask("set sensors.9.pin 5").startswith("no such name")
        assert console.ask("set radio.dr 2") == "saved; holds after exit"
        assert console.ask("set board moon") == "refused: board: no file suat_node/boards/moon.py"
        assert console.ask("set colour red").startswith("no such name")
        assert console.ask("set d 5").startswith("no such name, or more than one")
        assert "otaa.app_key" in console.ask("set")
        assert re.search(r"interval_s 600 s", console.ask("show"))
        console.leave()
        written = json.loads(json.loads(console.told("suat.json")))
        assert written["interval_s"] == 600 and written["settings"] == {"battery_low": 3500}
        assert [sensor["kind"] for sensor in written["sensors"]] == ["capacitive", "battery", "ds18b20"]
        assert written["otaa"] == OTAA and written["radio"] == {"dr": 2}
        assert "/suat.json.tmp" not in console.told("files")


def test_a_key_is_taken_but_never_shown() -> None:
    new = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
    digits = "0123456789" * 3 + "01"
    with terminal() as console:
        for line in (f"set otaa.app_key {new}", f"set app {digits}", f"set  otaa.app_key {new}", f"s app_key {new}"):
            console.ask(line)
        assert console.ask(f"set otaa.app_key {new}zz").startswith("refused: otaa.app_key must be 32 hexadecimal")
        console.ask(f"set otaa.app_kee {new}")
        console.ask(f"otaa.app_key {new}")
        console.ask("show")
        assert console.ask(f"set app_key {new}") == "saved; holds after exit"
        shown = console.seen
        console.leave()
        for secret in (new, digits, KEY):
            assert secret not in shown
            assert secret[:8] not in shown
        assert json.loads(json.loads(console.told("suat.json")))["otaa"]["app_key"] == new


def test_a_new_node_is_set_up_word_by_word() -> None:
    with terminal(None) as console:
        assert "is missing" in console.seen
        assert console.ask("set board pico_waveshare").startswith("noted, not yet saved: ")
        assert console.ask("set kind soil").startswith("noted, not yet saved: ")
        assert console.ask("set kind pump").startswith("refused: kind: 'pump'")
        assert console.ask("set dev_eui 0102030405060708").startswith("noted, not yet saved: otaa.")
        assert console.ask("set join_eui 1112131415161718").startswith("noted, not yet saved: otaa.app_key must be")
        assert console.ask("set dev_eui 01").startswith("refused: otaa.dev_eui must be 16 hexadecimal")
        assert console.ask(f"set app_key {KEY}").startswith("noted, not yet saved: sensors must be a list")
        assert console.ask("exit").startswith("not saved: sensors must be a list")
        assert console.ask('set sensors.0 {"kind": "battery"}') == "saved; holds after exit"
        assert "joined," in console.ask("join")
        assert console.ask("set dev_addr 01020304").startswith("noted, not yet saved: abp.nwk_skey")
        assert console.ask("set dev_eui 0102030405060708").startswith("noted"), "the other table is gone from the draft"
        console.ask("exit")
        console.leave()
        assert json.loads(json.loads(console.told("suat.json")))["otaa"] == OTAA


def test_what_cold_fingers_do() -> None:
    with terminal() as console:
        console.type("shpw\x7f\x7fow\x08w\r")  # backspace as either code
        assert "DevEUI" in console.until(r"\n> $")
        console.type("\x1b[A\x1b[D\x1bOPsh\r")  # arrows and F1; ESC O P leaves its P
        console.until(r"\n> $")
        console.type("help")
        time.sleep(0.2)
        console.type("\x03")  # ^C clears the line
        console.until(r"\n> $")
        console.type("log\r\n")  # both ends of line at once are one
        assert console.until(r"\n> $").count("> ") == 1
        assert console.ask("сет") == "Latin letters only: switch the keyboard - nothing done"
        assert console.ask("x" * 5000) == "too long - nothing done"
        assert console.seen.count("x") < 300
        console.type(bytes(range(128, 256)) + b"\x00\x01\x02\x04\x05\x16\x1c\x7f" + b"\r")
        console.until(r"Latin letters only.*\n> $")
        assert console.ask("log") == "nothing went wrong"


def test_noise_of_any_kind_does_not_hurt() -> None:
    import random

    rng = random.Random(7)
    with terminal() as console:
        for _ in range(30):
            noise = bytes(rng.choice([n for n in range(256) if n not in (3,)]) for _ in range(100))
            console.type(noise + b"\r")
            console.until(r"\n> $")
        console.type("\r")
        console.until(r"\n> $")
        while console.ask("log") != "nothing went wrong":
            pass
        console.leave()
        assert "suat.json" in console.told("files") and json.loads(json.loads(console.told("suat.json"))) == GOOD


def test_two_minutes_without_a_key_and_the_node_goes_on() -> None:
    with terminal(factor=100.0, lives=2) as console:
        console.type("half a li")
        console.until(r"\x01 reset unarmed")
        console.until(r"Enter opens the console")
        console.until(r"\x01 uplink 23", 30)  # its join request


def test_nobody_there_and_the_node_starts_by_itself() -> None:
    with terminal(opened=False, factor=100.0) as console:
        console.until("Enter opens the console")
        begin = time.monotonic()
        console.until(r"\x01 uplink 23", 30)
        assert time.monotonic() - begin > 5 / 100
        assert "> " not in console.seen


def test_other_bytes_do_not_open_it() -> None:
    with terminal(opened=False, factor=20.0) as console:
        console.type(b"\xa5\x0d\x0d\x0a")  # a frame for a bridge with an Enter in it
        console.until(r"\x01 uplink 23", 30)
        assert "> " not in console.seen


def test_a_terminal_that_goes_away_lets_the_node_go_on() -> None:
    done = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=4M", "tests/node_fakes/console_board.py", "1", "1"],
        input=b"\rshow\rte",  # and there the input ends
        capture_output=True,
        timeout=20,
        cwd=FIRMWARE,
        env={"MICROPYPATH": "tests/node_fakes:.:.frozen", "PWD": str(FIRMWARE), "SUAT_JSON": json.dumps(GOOD)},
        check=True,
    )
    assert b"DevEUI" in done.stdout and b"\x01 reset unarmed" in done.stdout


def test_control_c_leads_to_the_prompt_while_no_watchdog_runs() -> None:
    with terminal() as console:
        console.type("\x03")
        console.until(r"\x01 repl unarmed")
    with terminal(opened=False) as console:
        console.type("\r\x03")  # what mpremote sends first
        console.until(r"\x01 repl unarmed")


def test_control_c_into_the_running_node_opens_the_console_and_feeds_the_watchdog() -> None:
    with terminal(opened=False, factor=20.0) as console:
        console.until(r"\x01 uplink 23", 30)
        console.until(r"\x01 uplink", 30)
        time.sleep(0.7)  # its windows are over, it sleeps
        console.process.send_signal(signal.SIGINT)
        console.until(r"\n> $")
        time.sleep(1.5)  # 30 s of the board's, three times the watchdog's
        assert "DevEUI" in console.ask("show")
        console.type("\x03")
        console.until(r"\x01 reset armed")


def test_factory_reset_asks_and_leaves_the_counters() -> None:
    with terminal(lives=2) as console:
        assert "joined" in console.ask("join") and "acknowledged" in console.ask("send")
        console.type("fac\r")
        console.until(r"yes or no: $")
        assert "nothing done" in console.ask("n")
        assert "soil" in console.ask("show")
        console.type("factory\r")
        console.until(r"yes or no: $")
        assert "wiped" in console.ask("yes")
        assert "is missing" in console.ask("show")
        console.type("exit\r")
        console.until(r"\x01 fcnts.*\n")
        left = console.told("files").split()
        assert "/suat.json" not in left and not [name for name in left if "samples" in name or "settings" in name]
        assert {"/suat/state.0", "/suat/state.1"} & set(left)
        assert console.told("fcnts") == "0"
        # provisioned again with the same keys, it goes on counting where it was
        console.type("\r")
        console.until(r"\n> $")
        for line in ("board pico_waveshare", "kind soil", *(f"{name} {value}" for name, value in OTAA.items())):
            console.ask(f"set {line}")
        console.ask('set sensors.0 {"kind": "battery"}')
        shown = console.ask("show")
        assert "DevNonce 1 " in shown and re.search(r"up 3[23] ", shown), shown
        console.leave()


def test_an_unusable_configuration_is_told_and_left_alone() -> None:
    bad = {**GOOD, "interval_s": 1}
    with terminal(bad, opened=False, factor=1000.0) as console:
        console.until("suat: interval_s must be a whole number 60..86400, is 1")
        console.until(r"\n> ")  # whoever provisions it needs no hurry
        console.until(r"\x01 reset unarmed", 60)  # after two minutes it rests for an hour, then looks again
        console.until(r"\x01 fcnts")
        assert json.loads(json.loads(console.told("suat.json"))) == bad
    with terminal("{", opened=True) as console:
        assert "is not JSON" in console.seen
        assert console.ask("log") == "nothing went wrong"
        console.leave()
        assert json.loads(console.told("suat.json")) == "{", "a damaged file is evidence until it is replaced"


@pytest.mark.parametrize("word", ["show", "join", "send"])
def test_words_that_need_a_configuration_say_so(word: str) -> None:
    with terminal(None) as console:
        assert "suat.json is missing" in console.ask(word)
