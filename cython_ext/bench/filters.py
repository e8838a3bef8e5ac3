"""How long the filters take beside everything else that computes the same, in one run.

    python cython_ext/bench/filters.py [--only GROUP ...] [--samples N ...] [--growth] [--json | --write DIR]

Each figure is the least of several runs, in turn with its peers'. What to read are the ratios; nanoseconds are those
of the machine at hand. A peer that is too slow for the whole series gets a part of it. Before it is timed, each peer's
answer is compared with ours. `--only median hampel --samples 1000000` takes a minute, everything a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import suat_filters
from measure import cost_s, ratio_of, rounds_of, same
from ours import OURS
from peers import PEERS, Peer
from report import tables
from tasks import GROUPS, Task, growth, tasks

TRIAL = 20_000  # samples on which answers are compared and costs are guessed
PATHS = ("baseline", "v3", "v4", "neon")
PATHS_N = 1_000_000
PATH_GROUPS = ("median", "hampel", "ewma", "kalman", "resample", "resample, median")


@dataclass(frozen=True)
class Figure:
    """Nanoseconds a sample of one contender; `ratio` is how many times dearer than ours it is."""

    group: str
    case: str
    n: int
    name: str
    ns: float
    samples: int
    """it was measured on, of the n"""
    rounds: int
    ratio: float | None = None
    spread: float | None = None
    """of the ratio, as a part of it: see `ratio_of`"""
    same: bool | None = None
    """whether its answer is ours"""
    note: str = ""


def contenders(task: Task, alone: bool) -> list[Peer]:
    """Ours first."""
    every = [*OURS[task.group], *(peer for peer in PEERS.get(task.group, ()) if not alone and peer.installed)]
    return [peer for peer in every if task.only is None or peer.name in task.only]


def measure(task: Task, rounds: int, budget_s: float, alone: bool) -> Iterator[Figure]:
    """The figures of a row, ours first."""
    trial = min(task.n, TRIAL)
    given = {trial: task.arguments(trial)}
    calls, samples, alike = [], [], []
    answers: dict[bool, Any] = {}
    peers = contenders(task, alone)
    for peer in peers:
        call = peer.prepare(*given[trial])
        answer = peer.answer(call())
        ours = answers.setdefault(peer.centred, answer)
        alike.append(ours is answer or same(ours, answer))
        affordable = int(budget_s / 2 / max(cost_s(call) / trial, 1e-12))
        n = task.n if affordable >= task.n else max(trial, affordable)
        if n not in given:
            given[n] = task.arguments(n)
        samples.append(n)
        calls.append(peer.prepare(*given[n]))
    costs = [[t / n for t in times] for times, n in zip(rounds_of(calls, rounds, budget_s), samples, strict=True)]
    for i, (peer, cost) in enumerate(zip(peers, costs, strict=True)):
        beside = (*ratio_of(cost, costs[0]), alike[i]) if i else ()
        of = (task.group, task.case, task.n, peer.name, min(cost) * 1e9, samples[i], len(cost))
        yield Figure(*of, *beside, note=peer.note)


def by_path(groups: Sequence[str], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Our figures on each CPU path that this machine can run; a path is chosen when we are imported."""
    found = {}
    command = [
        sys.executable,
        __file__,
        "--json",
        "--alone",
        "--rounds",
        f"{rounds}",
        "--samples",
        f"{PATHS_N}",
        "--only",
    ]
    for path in PATHS:
        environment = {**os.environ, "SUAT_FILTERS_CPU": path}
        probe = [sys.executable, "-c", "import suat_filters"]
        if subprocess.run(probe, env=environment, capture_output=True, check=False).returncode == 0:
            run = subprocess.run([*command, *groups], env=environment, capture_output=True, check=True)
            found[path] = json.loads(run.stdout)["figures"]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--samples", nargs="+", type=int, default=[1_000_000, 10_000_000], help="lengths of the series")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each, of which the fastest counts")
    parser.add_argument("--budget", type=float, default=1.5, help="CPU seconds after which one has run enough")
    parser.add_argument("--alone", action="store_true", help="without peers")
    parser.add_argument("--growth", action="store_true", help="also over many windows, lengths and CPU paths")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the tables")
    parser.add_argument("--write", type=Path, metavar="DIR", help="--growth, and its plots and JSON into this folder")
    options = parser.parse_args(arguments)
    if min(options.samples) < 1000 or options.rounds < 1:
        parser.error("--samples from 1000 on, --rounds from 1 on")

    def figures(chosen: Iterator[Task], rounds: int, budget_s: float) -> list[dict[str, Any]]:
        return [asdict(figure) for task in chosen for figure in measure(task, rounds, budget_s, options.alone)]

    listed = (task for group in options.only for task in tasks(group, options.samples))
    found: dict[str, Any] = {
        "machine": platform.machine(),
        "path": suat_filters.cpu_path(),
        "figures": figures(listed, options.rounds, options.budget),
    }
    if options.growth or options.write:
        growing = (task for group in options.only for task in growth(group, max(options.samples)))
        found["growth"] = figures(growing, 3, 0.3)
        found["paths"] = by_path([group for group in options.only if group in PATH_GROUPS], options.rounds)
    if options.write:
        from plots import draw

        options.write.mkdir(parents=True, exist_ok=True)
        (options.write / "filters.json").write_text(json.dumps(found, indent=0) + "\n")
        draw(found, options.write)
    print(json.dumps(found) if options.json else tables(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
