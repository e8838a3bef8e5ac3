"""Which clock a file may look at: waits are monotonic, and only one place asks the machine for the date."""

from __future__ import annotations

import ast
from pathlib import Path

import suat

PACKAGE = Path(suat.__file__).parent

# What reads the machine's own date, and why it may.
MAY = {
    "clock.py": "until Timekeeping steers it",
    "timekeeping.py": "it judges that clock",
    "store/influx_http.py": "Retry-After may be a date; the wait is bounded",
    "backup.py": "the names of backups go by the machine that makes them",
    "commands/backup.py": "a backup is dated by the machine that makes it",
    "commands/board.py": "a certificate is valid by the clocks of others",
}
WALL = {("time", "time"), ("time", "time_ns"), ("time", "localtime"), ("time", "gmtime"), ("date", "today")}
WALL |= {("datetime", name) for name in ("now", "utcnow", "today")}


def wall_clock_reads(source: str) -> list[int]:
    """Lines that ask the machine what time it is."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if (owner, node.attr) in WALL:
                found.append(node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [node.lineno for name in node.names if ("time", name.name) in WALL]
    return found


def test_the_search_finds_each_way_of_asking() -> None:
    for line in ("time.time()", "time.time_ns()", "datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()"):
        assert wall_clock_reads(f"x = {line}\n") == [1]
    assert wall_clock_reads("from time import time\n") == [1]
    assert wall_clock_reads("time.monotonic()\nscheduler.time()\n") == []


def test_nothing_but_the_timekeeper_goes_by_the_machines_date() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in sorted(PACKAGE.rglob("*.py"))
        if (lines := wall_clock_reads(path.read_text()))
    }
    assert {name: lines for name, lines in found.items() if name not in MAY} == {}
    assert len(found) > 1
