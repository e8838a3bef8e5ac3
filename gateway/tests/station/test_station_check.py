"""`suat check` on broken configurations: one clear line a fault on standard error, exit 2, no traceback."""

from __future__ import annotations

import copy
import os
import runpy
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tomli_w

TABLE = runpy.run_path(str(Path(__file__).parents[1] / "test_config.py"))
GOOD: dict[str, Any] = tomllib.loads(TABLE["GOOD"])
INFLUX = {"url": "http://127.0.0.1:8086", "org": "upu", "token_file": "token"}


def check(path: Path) -> tuple[int, str, list[str]]:
    """(exit status, standard output, lines of standard error) of `suat check`."""
    done = subprocess.run(
        [sys.executable, "-m", "suat.cli", "check", "--config", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=path.parent,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.splitlines()


def write(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "suat.toml"
    path.write_text(tomli_w.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def free() -> dict[str, Any]:
    """A good configuration on ports that are free, also when many look at once."""
    content = copy.deepcopy(GOOD)
    content["ingest"][0]["bind"] = content["board"]["bind"] = "127.0.0.1:0"
    return content


def broken(content: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    content = copy.deepcopy(content)
    if value is None:
        TABLE["drop"](content, *path)
    else:
        TABLE["put"](content, path, value)
    return content


def test_a_good_configuration_passes(tmp_path: Path, free: dict[str, Any]) -> None:
    path = write(tmp_path, free)
    status, said, faults = check(path)
    assert (status, faults) == (0, [])
    assert said == f"{path}: good: Asy, IN865, 2 paddocks, 1 water point, 1 herd\n"
    assert list(tmp_path.iterdir()) == [path]  # looking leaves nothing behind


def test_each_broken_configuration_gets_its_one_line(tmp_path: Path, free: dict[str, Any]) -> None:
    cases = TABLE["BROKEN"]
    assert len(cases) >= 20
    paths = [write(tmp_path / str(i), broken(free, where, value)) for i, (_, where, value, _) in enumerate(cases)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = list(pool.map(check, paths))
    for path, (name, _, _, words), (status, said, faults) in zip(paths, cases, answers, strict=True):
        assert (status, said) == (2, ""), name
        assert all(fault.startswith(f"{path}: ") for fault in faults), (name, faults)
        assert len(faults) == 1, (name, faults)
        assert all(word in faults[0] for word in words), (name, faults)


def test_several_faults_are_several_lines(tmp_path: Path, free: dict[str, Any]) -> None:
    content = broken(broken(free, ("station", "region"), "XX"), ("herd", 0, "head"), -1)
    content["padock"] = []
    status, _, faults = check(write(tmp_path, content))
    assert (status, len(faults)) == (2, 3)


Fault = Callable[[Path, dict[str, Any]], None]


def token_missing(folder: Path, content: dict[str, Any]) -> None:
    content["influx"] = dict(INFLUX)


def token_is_a_folder(folder: Path, content: dict[str, Any]) -> None:
    content["influx"] = dict(INFLUX)
    (folder / "token").mkdir()


def token_is_empty(folder: Path, content: dict[str, Any]) -> None:
    content["influx"] = dict(INFLUX)
    (folder / "token").touch(0o600)


def token_is_binary(folder: Path, content: dict[str, Any]) -> None:
    content["influx"] = dict(INFLUX)
    (folder / "token").write_bytes(b"\xff\xfe")


def token_is_open_to_all(folder: Path, content: dict[str, Any]) -> None:
    content["influx"] = dict(INFLUX)
    (folder / "token").write_text("t0p-s3cr3t")
    (folder / "token").chmod(0o644)


def password_missing(folder: Path, content: dict[str, Any]) -> None:
    content["influx"] = {"url": "http://127.0.0.1:8086", "api": "v1", "database": "pasture"}
    content["influx"] |= {"username": "suat", "password_file": "password"}


def data_dir_is_a_file(folder: Path, content: dict[str, Any]) -> None:
    (folder / "data").touch()


def data_dir_is_below_a_file(folder: Path, content: dict[str, Any]) -> None:
    (folder / "data").touch()
    content["station"]["data_dir"] = "data/more"


def data_dir_cannot_be_written(folder: Path, content: dict[str, Any]) -> None:
    content["station"]["data_dir"] = "/proc/suat"  # not even by root


def no_such_address(folder: Path, content: dict[str, Any]) -> None:
    content["board"]["bind"] = "192.0.2.7:8080"  # RFC 5737: nobody's


def no_such_name(folder: Path, content: dict[str, Any]) -> None:
    content["board"]["bind"] = "no-such-host.invalid:8080"


MACHINE: list[tuple[Fault, list[str]]] = [
    (token_missing, ["influx.token_file", "No such file"]),
    (token_is_a_folder, ["influx.token_file", "Is a directory"]),
    (token_is_empty, ["influx.token_file", "is empty"]),
    (token_is_binary, ["influx.token_file", "not text"]),
    (token_is_open_to_all, ["influx.token_file", "chmod 600"]),
    (password_missing, ["influx.password_file", "No such file"]),
    (data_dir_is_a_file, ["station.data_dir", "is a file"]),
    (data_dir_is_below_a_file, ["station.data_dir", "is a file"]),
    (data_dir_cannot_be_written, ["station.data_dir", "/proc", "choose another folder"]),
    (no_such_address, ["board.bind", "192.0.2.7:8080"]),
    (no_such_name, ["board.bind", "no-such-host.invalid"]),
]


def test_what_the_machine_lacks_is_one_line_each(tmp_path: Path, free: dict[str, Any]) -> None:
    paths = []
    for fault, _ in MACHINE:
        folder, content = tmp_path / fault.__name__, copy.deepcopy(free)
        folder.mkdir()
        fault(folder, content)
        paths.append(write(folder, content))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = list(pool.map(check, paths))
    for path, (fault, words), (status, said, faults) in zip(paths, MACHINE, answers, strict=True):
        assert (status, said, len(faults)) == (2, "", 1), (fault.__name__, faults)
        assert faults[0].startswith(f"{path}: "), faults
        assert all(word in faults[0] for word in words), faults
        assert "t0p-s3cr3t" not in faults[0]


@pytest.fixture
def held() -> Iterator[Callable[[socket.SocketKind], int]]:
    """Ports that another program holds."""
    sockets: list[socket.socket] = []

    def hold(kind: socket.SocketKind) -> int:
        sockets.append(socket.socket(socket.AF_INET, kind))
        sockets[-1].bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            sockets[-1].listen()
        return int(sockets[-1].getsockname()[1])

    yield hold
    for each in sockets:
        each.close()


def test_ports_of_another_program_are_faults(tmp_path: Path, free: dict[str, Any], held: Any) -> None:
    free["ingest"][0]["bind"] = f"127.0.0.1:{held(socket.SOCK_DGRAM)}"
    free["board"]["bind"] = f"127.0.0.1:{held(socket.SOCK_STREAM)}"
    status, _, faults = check(write(tmp_path, free))
    assert (status, len(faults)) == (2, 2)
    assert 'ingest "semtech_udp".bind' in faults[0] and "board.bind" in faults[1]
    assert all("in use; stop the program that holds it" in fault for fault in faults)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"[station\n", "not TOML"), (b"\xff\xfe", "not UTF-8"), (None, "No such file"), (b"", "station: missing")],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "suat.toml"
    if content is not None:
        path.write_bytes(content)
    status, said, faults = check(path)
    assert (status, said, len(faults)) == (2, "", 1)
    assert words in faults[0]


def test_a_running_station_is_no_fault_and_a_second_one_is(make_station: Any, held: Any) -> None:
    station = make_station()
    station.start()
    assert station.suat("check").endswith("good: Asy, IN865, 1 paddock, 0 water points, 0 herds\n")
    assert f"the station runs (process {station.process.pid})" in station.suat("doctor")
    text = station.config.read_text()
    for port, kind in ((station.udp, socket.SOCK_DGRAM), (station.board, socket.SOCK_STREAM)):
        text = text.replace(f":{port}", f":{held(kind)}")
    station.config.write_text(text)
    assert len(station.suat("check", status=2).splitlines()) == 2  # it holds its own ports, not these
    said = station.suat("run", status=1)
    assert len(said.splitlines()) == 1
    assert f"a station runs on it already (process {station.process.pid})" in said
    station.stop()
    said = station.suat("run", status=1)
    assert len(said.splitlines()) == 1
    assert "can't listen on" in said
