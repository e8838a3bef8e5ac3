"""Every measurement in one table: `make bench`, or `python tools/bench.py [--only NAME ...] [--quick] [--json]`.

Each bench is a program of its own that can also be run alone; its docstring says what it measures and how. Figures are
those of the machine at hand, which is named above the table: run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
LIMIT_S = 1800.0

Json = dict[str, Any]


class Line(NamedTuple):
    """One figure."""

    name: str
    value: float
    unit: str
    note: str = ""


class Bench(NamedTuple):
    """A program that prints its figures as one JSON object, and how they are shown."""

    title: str
    script: str
    lines: Callable[[Json], Iterator[Line]]
    quick: tuple[str, ...] = ()


def filters(found: Json) -> Iterator[Line]:
    rows: dict[tuple[str, str, int], list[Json]] = {}
    for figure in found["figures"]:
        rows.setdefault((figure["group"], figure["case"], figure["n"]), []).append(figure)
    for (group, case, n), (ours, *peers) in rows.items():
        beside = (f"{peer['name']} {peer['ratio']:,.2f}x ±{peer['spread']:.0%}" for peer in peers)
        yield Line(f"{group} {case}", ours["ns"], "ns/sample", ", ".join((f"n = {n:,}", *beside)))


def admit(found: Json) -> Iterator[Line]:
    yield Line("admitted, no socket", found["frames_s"], "frames/s", f"{found['us_a_frame']} us a frame")
    through = found["socket"]
    note = f"{through['admitted']:,} admitted at {through['rate']:,} frames/s"
    yield Line("through a socket", through["cpu_us_a_frame"], "us/frame", note)
    for name, cost in found["steps_us"].items():
        yield Line(f"  {name}", cost, "us/frame")


def journal(found: Json) -> Iterator[Line]:
    for name, value in found.items():
        stage, _, unit = name.partition("_")
        unit = f"{stage}_s" if unit == "s" else unit
        words = unit.replace("_s", "/s").replace("cpu_us_", "us of CPU/").replace("slowest_ms", "ms, the slowest")
        yield Line(stage, value, words)


def card(found: Json) -> Iterator[Line]:
    for name, value in found.items():
        yield Line(name.replace("_", " "), value, "bytes/sample")


def throughput(found: Json) -> Iterator[Line]:
    yield Line("without loss", found["lossless_frames_s"], "frames/s", "the highest rate tried; aim 10,000")
    for rate in found["rates"]:
        lost = rate["sent"] - rate["committed"]
        note = f"aim <= 50; receiving {rate['loop_us']}, up to the cleaned value {rate['first_us']}; "
        note += f"p99 {rate['p99_ms']} ms to the commit, 200 of them for copies; "
        note += f"{rate['windows']:,} windows, "
        points = rate["points"]
        note += (
            "no influxd" if points is None else f"{points:,} points in influxd {rate['done_s']} s after the last frame"
        )
        yield Line(
            f"  at {rate['sent_s']:,} frames/s",
            rate["cpu_us"],
            "us/frame",
            note + f"; {rate['rss_mb']} MB" + f"; {lost:,} LOST" * bool(lost),
        )


STEADY = {  # key of the bench's figures -> (what people read, unit)
    "idle_mb": ("resident, idle", "MB"),
    "load_mb": ("resident, most", "MB"),
    "down_mb": ("growth, InfluxDB down", "MB"),
    "cpu_idle_percent": ("CPU, nothing heard", "% of one core"),
    "cpu_10_percent": ("CPU at 10 frames/s", "% of one core"),
    "cpu_1000_percent": ("CPU at 1,000 frames/s", "% of one core"),
    "p50_10_ms": ("to a query, 10/s, p50", "ms"),
    "p99_10_ms": ("to a query, 10/s, p99", "ms"),
    "p50_1000_ms": ("to a query, 1,000/s, p50", "ms"),
    "p99_1000_ms": ("to a query, 1,000/s, p99", "ms"),
    "again_s": ("all there after it", "s"),
}


def steady(found: Json) -> Iterator[Line]:
    for key, (name, unit) in STEADY.items():
        if key in found:
            aim = f"aim < {found['aims'][key]}" if key in found["aims"] else ""
            more = f"{found['down_frames']:,} frames meanwhile" if key == "down_mb" else ""
            yield Line(name, found[key], unit, "; ".join(filter(None, (aim, more))))


def node_red(found: Json) -> Iterator[Line]:
    for rate in found["rates"]:
        note = f"{rate['lost']:,} lost, p99 {rate['p99_ms']} ms to the decrypted payload, {rate['rss_mb']} MB"
        yield Line(f"Node-RED at {rate['rate']:,} frames/s", rate["cpu_us"], "us/frame", note)


def forward(found: Json) -> Iterator[Line]:
    for way in found["ways"]:
        name = f"{way['api']}, {'gzip ' + str(way['level']) if way['level'] else 'plain'}"
        note = (
            f"CPU {way['us_point']} us/point and influxd's {way['server_us_point']}; {way['bytes_point']} bytes/point"
        )
        yield Line(name, way["points_s"], "points/s", note)


BENCHES = {
    "filters": Bench(
        "Filter core",
        "cython_ext/bench/filters.py",
        filters,
        ("--samples", "100000", "--rounds", "2", "--budget", "0.2"),
    ),
    "admit": Bench("Admission", "gateway/bench/admit.py", admit, ("--frames", "5000")),
    "journal": Bench("Behind the journal", "gateway/bench/journal.py", journal),
    "card": Bench("What the card takes", "gateway/bench/card.py", card, ("--quick",)),
    "forward": Bench("Forwarding to a real influxd", "gateway/bench/forward.py", forward, ("--samples", "2000")),
    "throughput": Bench(
        "The running station, one core",
        "gateway/bench/throughput.py",
        throughput,
        ("--rates", "1000,5000", "--seconds", "2", "--no-summary"),
    ),
    "steady": Bench("The running station's day", "gateway/bench/steady.py", steady, ("--seconds", "6")),
    "node_red": Bench("A Node-RED flow, one core", "gateway/bench/node_red.py", node_red, ("--seconds", "2")),
}


def run(bench: Bench, quick: bool) -> Json | str:
    """What a bench measured, or why it could not."""
    command = [sys.executable, str(ROOT / bench.script), "--json", *(bench.quick if quick else ())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, cwd=ROOT, check=False)
    except subprocess.TimeoutExpired:
        return f"it took longer than {LIMIT_S:.0f} s"
    if done.returncode:
        return done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
    found: Json = json.loads(done.stdout)
    return found


def machine() -> Json:
    """What the figures are of."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(("model name", "Model"))]
    return {
        "processor": models[-1] if models else platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),  # of other programs, before the first bench
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Every measurement in one table")
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=list(BENCHES), help="these benches alone")
    parser.add_argument("--quick", action="store_true", help="smaller runs: whether it works, not how fast it is")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args()
    of = machine()
    if not options.json:
        print("{processor}, {cores} cores, Python {python}, load {load}".format(**of))
    found: Json = {}
    failed = 0
    for name in options.only:
        bench = BENCHES[name]
        result = run(bench, options.quick)
        found[name] = result if isinstance(result, dict) else {"error": result}
        failed += isinstance(result, str)
        if options.json:
            continue
        print(f"\n{bench.title} ({bench.script})")
        if isinstance(result, str):
            print(f"  not measured: {result}", flush=True)
            continue
        if "skipped" in result:
            print(f"  skipped: {result['skipped']}", flush=True)
            continue
        for line in bench.lines(result):
            value = f"{line.value:,.0f}" if line.value >= 1000 else f"{line.value:,.1f}"
            print(f"  {line.name:24}{value:>12} {line.unit:18} {line.note}".rstrip(), flush=True)
    if options.json:
        print(json.dumps({"machine": of, **found}))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
