"""Hostile input at each door of the station: nothing but the station's own errors may come out.

    python tools/fuzz.py --cases 100000 [--seed 1] [--target udp ...] [--json]
    nice -n 19 python tools/fuzz.py --cases 10000000

The cases are shared out by what one costs; each door is the code that ships, from the bytes on (`tools/fuzzing/`). A
crash is any other exception, a traceback in the log, a station that would stop, an answer that never comes, or more
than 1 kB held for a link. A long run goes in rounds, each on fresh stations; ^C or SIGTERM ends it with the figures of
its whole rounds. Each kind of crash is printed once, with an input that made it; a seed makes the same cases again.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.target import LINK_LIMIT, Target

# Of 1,000 cases, by door
SHARES = {"udp": 650, "mqtt": 170, "serial": 120, "http": 25, "config": 25, "journal": 5, "modbus": 5}
SHOWN = 600  # characters of an input
ROUND = 100_000  # cases before every door has had its turn again, on a fresh station


@dataclass
class Tally:
    """What became of one door's cases."""

    name: str
    cases: int = 0
    refused: int = 0
    held: int | None = None  # most bytes for one link
    seconds: float = 0.0
    crashes: Counter[str] = field(default_factory=Counter)
    samples: dict[str, str] = field(default_factory=dict)  # an input of each kind of crash
    reached: dict[str, int] = field(default_factory=dict)  # how far the cases came, in the door's own words

    def crash(self, error: BaseException, case: Any) -> None:
        """Count a crash under where it came from."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {str(error)[:160]}"
        where = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        known = next((name for name in self.crashes if name.startswith(where)), kind)
        if known not in self.crashes:
            print(f"{self.name}: {known}\n  {case!r:.{SHOWN}}", file=sys.stderr, flush=True)
        self.crashes[known] += 1
        self.samples.setdefault(known, repr(case)[:SHOWN])

    def add(self, other: Tally) -> None:
        """Count another round of the same door."""
        self.cases += other.cases
        self.refused += other.refused
        self.seconds += other.seconds
        self.held = max((held for held in (self.held, other.held) if held is not None), default=None)
        self.crashes.update(other.crashes)
        self.samples = other.samples | self.samples
        for what, count in other.reached.items():
            self.reached[what] = self.reached.get(what, 0) + count

    def line(self) -> str:
        held = "" if self.held is None else f", at most {self.held} bytes held for a link"
        pace = f"{self.cases / self.seconds:,.0f}/s" if self.seconds else ""
        crashes = sum(self.crashes.values())
        return f"{self.name:8} {self.cases:>10,} cases, {crashes} crashes, {self.refused:,} refused, {pace}{held}"


def load(name: str) -> type[Target]:
    """A door's class."""
    found: type[Target] = importlib.import_module(f"fuzzing.{name}").Target
    return found


def run(name: str, cases: int, seed: int, folder: Path) -> Tally:
    """Feed one door."""
    chance = Random(f"{seed} {name}")
    target = load(name)(folder, chance)
    tally = Tally(name)
    started = time.monotonic()
    try:
        while tally.cases < cases:
            case: Any = None
            for _ in range(min(target.chunk, cases - tally.cases)):
                case = target.make(chance)
                tally.cases += 1
                try:
                    target.feed(case)
                except target.refusals:
                    tally.refused += 1
                except Exception as error:
                    tally.crash(error, case)
            try:
                held = target.look()
                if held is not None:
                    tally.held = max(tally.held or 0, held)
                    assert held <= LINK_LIMIT, f"{held} bytes are held for a link"
            except Exception as error:
                tally.crash(error, case)
            tally.seconds = time.monotonic() - started
        tally.reached = target.reached()
    finally:
        target.close()
    return tally


def rounds(tallies: dict[str, Tally], cases: int, seed: int) -> None:
    """Feed each door its share, in rounds; a line after each round but the last."""
    whole = sum(SHARES[name] for name in tallies)
    for number, first in enumerate(range(0, cases, ROUND)):
        size = min(ROUND, cases - first)
        for name, tally in tallies.items():
            with tempfile.TemporaryDirectory(prefix=f"suat-fuzz-{name}-") as folder:
                tally.add(run(name, size * SHARES[name] // whole, seed + number, Path(folder)))
        if first + size < cases:
            done = sum(tally.cases for tally in tallies.values())
            kinds = sum(len(tally.crashes) for tally in tallies.values())
            print(f"{done:,} cases, {kinds} kinds of crash", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Hostile input at each door of the station")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", nargs="+", choices=sorted(SHARES), default=list(SHARES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    tallies = {name: Tally(name) for name in options.target}
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):  # what was counted until then is told
        rounds(tallies, options.cases, options.seed)
    for tally in () if options.json else tallies.values():
        print(tally.line())
        print("  " + ", ".join(f"{what} {count:,}" for what, count in sorted(tally.reached.items())))
        for kind, count in tally.crashes.items():
            print(f"  {count} x {kind}\n    {tally.samples[kind]}")
    crashes = sum(sum(tally.crashes.values()) for tally in tallies.values())
    cases = sum(tally.cases for tally in tallies.values())
    if options.json:
        print(json.dumps({"cases": cases, "crashes": crashes, "doors": [vars(tally) for tally in tallies.values()]}))
    else:
        seconds = sum(tally.seconds for tally in tallies.values())
        print(f"{cases:,} cases, {crashes} crashes, {seconds:.0f} s, seed {options.seed}")
    return int(crashes > 0)


if __name__ == "__main__":
    sys.exit(main())
