"""Look at the dashboards without a Grafana: `python dashboards/preview/preview.py --out DIR`.

A demo of some days fills a private influxd; Grafana's own components (npm @grafana/ui) draw what the queries give, in
Debian's Chromium, one picture a language. It is a preview with Grafana's components, not Grafana.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from suat.locales import LANGUAGES
from suat_sim.demo import Demo, scenario_for
from suat_sim.servers import Influxd, influxd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from suat_dashboards import grafana  # noqa: E402  beside this folder
from suat_dashboards.look import names_in  # noqa: E402
from suat_dashboards.write import DASHBOARDS, as_json  # noqa: E402

DATABASE = "suat"
STEPS = ("15m", "30m", "1h", "3h", "6h", "12h", "1d")
POINTS = 600  # a chart asks for about as many as it has pixels
PAGE = """<!doctype html><meta charset="utf-8"><div id="root"></div>
<script>window.PREVIEW = %s</script><script src="%s"></script>"""


def bundle(folder: Path) -> Path:
    """panels.jsx and all it needs in one file."""
    if not (HERE / "node_modules" / "@grafana" / "ui").exists():
        command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(command, cwd=HERE, check=True, capture_output=True)
    out = folder / "panels.js"
    flags = ["--bundle", "--format=iife", "--log-level=error", "--loader:.css=text"]
    flags += ['--define:process.env.NODE_ENV="production"', f"--outfile={out}"]
    subprocess.run(["node_modules/.bin/esbuild", "panels.jsx", *flags], cwd=HERE, check=True)
    return out


def answers(server: Influxd, dashboard: dict[str, Any], shown: grafana.Range) -> dict[int, list[Any]]:
    """What each panel's query gives, by the panel's id."""
    variable = dashboard["templating"]["list"][0]
    values = [row[1] for series in server.query(variable["query"], DATABASE) for row in series["values"]]
    found: dict[int, list[Any]] = {}
    for panel in dashboard["panels"]:
        (target,) = panel["targets"]
        span = grafana.panel_range(panel, shown)
        query = grafana.replaced(target["query"], span, step_of(span, panel), {variable["name"]: values})
        answer = server.query(query, DATABASE, epoch="ms")
        table = target["resultFormat"] == "table"
        found[panel["id"]] = (
            grafana.rows(answer) if table else [frame._asdict() for frame in grafana.frames(answer, target["alias"])]
        )
    return found


def step_of(span: grafana.Range, panel: dict[str, Any]) -> str:
    """The step of a chart: no finer than its pixels, and than the panel wants it."""
    fine = (step for step in STEPS if span.end_ms - span.start_ms <= POINTS * grafana.duration_ms(step))
    least: str = panel.get("interval", STEPS[0])
    return max(next(fine, STEPS[-1]), least, key=grafana.duration_ms)


def pictures(folder: Path, out: Path, days: int, theme: str) -> None:
    script = bundle(folder)
    with influxd(folder) as server:
        server.query(f'CREATE DATABASE "{DATABASE}" WITH NAME "pasture"')
        for policy in ("pasture_15m", "pasture_1h", "pasture_1d"):
            server.query(f'CREATE RETENTION POLICY "{policy}" ON "{DATABASE}" DURATION INF REPLICATION 1')
        scenario = scenario_for(6, 3, days, 7, None)
        scenario["config"]["influx"] = {"url": server.url, "api": "v1", "database": DATABASE}
        with Demo(scenario, folder / "station", seed=7, interval_s=1800) as demo:
            demo.run()
            config, end_ms = demo.config, demo.scheduler.wall_us() // 1000
        shown = grafana.Range(end_ms - 7 * 86_400_000, end_ms)
        for language in LANGUAGES:
            for name, build in DASHBOARDS.items():
                dashboard = json.loads(as_json(build(language, names_in(config, language))))
                data = {
                    "dashboard": dashboard,
                    "panels": answers(server, dashboard, shown),
                    "from": shown.start_ms,
                    "to": shown.end_ms,
                }
                page = folder / f"{name}-{language}.html"
                page.write_text(PAGE % (json.dumps(data).replace("</", "<\\/"), script.name), encoding="utf-8")
                take(page, out / f"{name}-{language}.png", theme)


def take(page: Path, target: Path, theme: str) -> None:
    """A picture of a page, all of it; what went wrong in it is printed."""
    chromium = shutil.which("chromium") or "chromium"
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.on("pageerror", lambda error: print(f"{page.name}: {error}", file=sys.stderr))
        tab.goto(f"{page.as_uri()}?theme={theme}")
        tab.wait_for_selector("body[data-ready]", state="attached", timeout=30_000)
        tab.screenshot(path=target, full_page=True)
        browser.close()
    print(target)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the dashboards with Grafana's components.")
    parser.add_argument("--out", type=Path, default=Path("screenshots"))
    parser.add_argument("--days", type=int, default=8)
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        pictures(Path(folder), arguments.out, arguments.days, arguments.theme)


if __name__ == "__main__":
    main()
