"""How many bytes the card takes for a sample: `python gateway/bench/card.py [--quick] [--json]`; needs root.

The journal lies on an ext4 of its own on a loop device, and the device's own counter of written sectors is read, so
that the file system's journal, the checkpoints and the last flush all count. Samples of 50 nodes come in turn, two
probes and a battery each (7 readings), and each commit is followed by that of its cleaned values, as in the station.

The table is of samples a second against the seconds between two commits; all that matters of both is how many samples
share a commit. Variants, at one sample a commit and at a hundred:

  plain         without auto_vacuum
  page 1024     pages of 1 kB instead of 4 kB
  checkpoint    the WAL is copied back every 16 MB instead of every 4 MB
  raw           the samples alone, no cleaned values
  frames of 4   four samples a frame, a row each, against one row a frame with all four (raw, a bare table)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from suat.records import Admitted, Batch, Row, SessionUpdate
from suat.store import database
from suat_sim.kept import START_US, Kept, device, soil_rows

NODES = 50
RATES, WINDOWS_S = (1, 10, 100), (0.1, 1.0, 10.0)
SECTOR = 512
DISK_MB = 300
FRAME = 4


@contextlib.contextmanager
def card(folder: Path) -> Iterator[tuple[Path, Callable[[], int]]]:
    """A mounted ext4, and what gives the bytes written to its device up to its unmounting, which that does."""
    image, place = folder / "card.img", folder / "card"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK_MB << 20)
    _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
    loop = _run("losetup", "--find", "--show", str(image))
    mounted = False

    def written() -> int:
        nonlocal mounted
        _run("umount", str(place))
        mounted = False
        return _sectors(loop) * SECTOR - before

    try:
        _run("mount", loop, str(place))
        mounted = True
        before = _sectors(loop) * SECTOR
        yield place, written
    finally:
        if mounted:
            _run("umount", str(place))
        _run("losetup", "--detach", loop)
        image.unlink()
        place.rmdir()


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def _sectors(loop: str) -> int:
    return int(Path(f"/sys/block/{Path(loop).name}/stat").read_text().split()[6])


def samples(total: int) -> list[tuple[int, Row]]:
    """(node, sample) in the order in which they come."""
    rows = soil_rows(total // NODES, probes=2)
    return [(node, row) for row in rows for node in range(1, NODES + 1)]


def journal(place: Path, total: int, a_commit: int, *, pragma: str = "", clean: bool = True, frame: int = 1) -> None:
    """Write samples as the station does."""
    with Kept(place, durable=True) as kept:
        kept.journal._connection.execute(pragma or "SELECT 1")
        for number in range(1, NODES + 1):
            update = SessionUpdate(0, 0, 0, False, number, bytes(16), bytes(16))
            kept.journal.add_device(device(number, name=f"n{number}", probes=2), update)
        frames = [
            Admitted(node, SessionUpdate(node, n, 0), START_US, n, -90.0, 5.0, tuple(rows), None)
            for n, (node, rows) in enumerate(_frames(total, frame))
        ]
        step = max(1, a_commit // frame)
        for start in range(0, len(frames), step):
            kept_samples = kept.journal.commit(Batch(tuple(frames[start : start + step]))).samples
            if clean:
                kept.cleaner.clean(kept_samples)
                kept.cleaner.finish()  # a node's filters begin with its first sample


def _frames(total: int, size: int) -> list[tuple[int, list[Row]]]:
    by_node: dict[int, list[Row]] = {}
    found = []
    for node, row in samples(total):
        rows = by_node.setdefault(node, [])
        rows.append(row)
        if len(rows) == size:
            found.append((node, by_node.pop(node)))
    return found


def row_a_frame(place: Path, total: int, a_commit: int) -> None:
    """The same raw samples, all of a frame in one row."""
    with contextlib.closing(sqlite3.connect(place / "frames.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE session (id INTEGER PRIMARY KEY, up INTEGER, down INTEGER, keys BLOB)")
        connection.executemany("INSERT INTO session VALUES (?, 0, 0, ?)", [(n, bytes(32)) for n in range(1, NODES + 1)])
        connection.execute(
            "CREATE TABLE frame (id INTEGER PRIMARY KEY, registration INTEGER, record INTEGER, time_us INTEGER,"
            " received_us INTEGER, fcnt INTEGER, rssi REAL, snr REAL, body BLOB, UNIQUE (registration, record))"
        )
        connection.execute("CREATE INDEX frame_time ON frame (registration, time_us)")
        frames = _frames(total, FRAME)
        step = max(1, a_commit // FRAME)
        for start in range(0, len(frames), step):
            connection.execute("BEGIN IMMEDIATE")
            for n, (node, rows) in enumerate(frames[start : start + step], start):
                body = b"".join(bytes([len(row.body)]) + row.body for row in rows)
                connection.execute("UPDATE session SET up = ? WHERE id = ?", (n, node))
                connection.execute(
                    "INSERT INTO frame VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (node, rows[0].record, rows[0].time_us, START_US, n, -90.0, 5.0, body),
                )
            connection.execute("COMMIT")


def per_sample(folder: Path, total: int, write: Callable[[Path], None]) -> int:
    """Bytes written to the card for each sample."""
    with card(folder) as (place, written):
        write(place)
        return round(written() / total)


@contextlib.contextmanager
def opened_with(before: str) -> Iterator[None]:
    """New files are opened with these pragmas first."""
    connect = sqlite3.connect

    def opened(*arguments: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]
        if Path(str(arguments[0])).name == "journal.db":
            connection.executescript(before)
        return connection

    database.sqlite3.connect = opened  # type: ignore[assignment]
    try:
        yield
    finally:
        database.sqlite3.connect = connect  # type: ignore[assignment]


def measure(folder: Path, total: int) -> dict[str, int]:
    """Every figure: bytes a sample."""
    figures: dict[str, int] = {}
    counts = sorted({max(1, round(rate * window)) for rate in RATES for window in WINDOWS_S})
    for count in counts:
        size = max(total, 4 * count)
        figures[f"commits_of_{count}"] = per_sample(folder, size, lambda place: journal(place, size, count))  # noqa: B023
    for count in (1, 100):

        def one(**options: object) -> int:
            return per_sample(folder, total, lambda place: journal(place, total, count, **options))  # type: ignore[arg-type]  # noqa: B023

        with opened_with("PRAGMA auto_vacuum = NONE; VACUUM"):
            figures[f"plain_{count}"] = one()
        with opened_with("PRAGMA page_size = 1024"):
            figures[f"page_1024_{count}"] = one(pragma="PRAGMA wal_autocheckpoint = 4000")
        figures[f"checkpoint_{count}"] = one(pragma="PRAGMA wal_autocheckpoint = 4000")
        figures[f"raw_{count}"] = one(clean=False)
        figures[f"frames_of_{FRAME}_a_row_a_sample_{count}"] = one(clean=False, frame=FRAME)
        figures[f"frames_of_{FRAME}_a_row_a_frame_{count}"] = per_sample(
            folder,
            total,
            lambda place: row_a_frame(place, total, count),  # noqa: B023
        )
    return figures


def table(figures: dict[str, int]) -> Iterator[str]:
    """The figures by rate and window."""
    yield f"{'bytes a sample':16}" + "".join(f"{f'{window:g} s':>10}" for window in WINDOWS_S)
    for rate in RATES:
        found = [figures[f"commits_of_{max(1, round(rate * window))}"] for window in WINDOWS_S]
        yield f"{f'{rate} samples/s':16}" + "".join(f"{value:10,}" for value in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--dir", type=Path, help="where the card's image lies (default: the temporary folder)")
    arguments = parser.parse_args()
    if os.geteuid():
        print("mounting a card needs root", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
            figures = measure(Path(folder), 500 if arguments.quick else 2000)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no card can be mounted here: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(figures))
        return 0
    print("\n".join(table(figures)))
    for name, value in figures.items():
        print(f"{name:36} {value:8,} bytes/sample")
    return 0


if __name__ == "__main__":
    sys.exit(main())
