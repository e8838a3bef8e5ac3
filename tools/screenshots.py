"""Pictures of the board page, for looking at it: tablet, phone and paper in every language.

    python tools/screenshots.py [--out screenshots] [--url http://127.0.0.1:8080]

Without --url it serves a made-up station itself.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import board_example
import uvicorn
from playwright.sync_api import ConsoleMessage, sync_playwright
from suat.locales import LANGUAGES
from suat.pasture.status import describe
from suat.show.app import application
from suat.show.serve import listen

SCREENS = {"tablet": (1280, 800), "phone": (390, 844)}
BROWSER = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


@contextlib.contextmanager
def example() -> Iterator[str]:
    """The example's board page, served; gives its address."""
    config = board_example.config()
    status = describe(config, board_example.snapshot())
    listener = listen("127.0.0.1:0")
    app = application(config, lambda: status, lambda: board_example.AT_US)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def shoot(url: str, out: Path) -> list[str]:
    """Take all the pictures; gives the faults found on the way."""
    faults: list[str] = []
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        for language in LANGUAGES:
            for screen, (width, height) in SCREENS.items():
                page = browser.new_page(viewport={"width": width, "height": height}, java_script_enabled=True)
                page.on("console", partial(_note, faults))
                page.goto(f"{url}/?lang={language}")
                name = f"{screen}-{language}"
                page.screenshot(path=out / f"{name}.png")
                page.screenshot(path=out / f"{name}-whole.png", full_page=True)
                wide = page.evaluate("document.documentElement.scrollWidth")
                if wide > width:
                    faults.append(f"{name}: {wide} px wide, {width} fit")
                faults += [f"{name}: text is cut off in {place}" for place in page.evaluate(CUT_OFF)]
                page.close()
            page = browser.new_page()
            page.goto(f"{url}/?lang={language}")
            page.pdf(path=out / f"paper-{language}.pdf", format="A4")
            page.close()
        browser.close()
    return faults


def _note(faults: list[str], message: ConsoleMessage) -> None:
    faults.append(f"console: {message.text}")


# Elements whose text is wider than they are
CUT_OFF = """() => [...document.querySelectorAll('p,h1,h2,h3,b,span,th,td,a,li')]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline')
    .map(e => e.className + ': ' + e.textContent.trim().slice(0, 40))"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("screenshots"))
    parser.add_argument("--url")
    options = parser.parse_args()
    with contextlib.nullcontext(options.url) if options.url else example() as url:
        faults = shoot(url, options.out)
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"pictures are in {options.out}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
