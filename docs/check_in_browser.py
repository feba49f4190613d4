"""Look at a built site in Chromium: pictures of pages, errors of the console, accessibility, and the search.

``python docs/check_in_browser.py docs/_build pictures`` writes a picture of each page on a desktop and a phone, light
and dark. It fails if the console shows an error, if axe-core finds a serious fault, if a page is wider than the window,
or if the search does not find what it should. Requires ``pip install playwright axe-playwright-python`` and a Chromium,
such as that of ``playwright install chromium``; the variable ``CHROMIUM`` may hold the path of another one.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

PAGES = (
    "index",
    "start",
    "pretrained",
    "warnings",
    "benchmarks",
    "api",
    "course",
    "auto_examples/quickstart",
    "auto_examples/plot_augmentation",
    "generated/sktricks.FineTuneClassifier",
)
WINDOWS = {"desktop": (1280, 900), "phone": (390, 844)}
SEARCHES = {
    "FreezeLayers": "generated/sktricks.FreezeLayers.html",
    "freeze": "pretrained.html",
    "mixup": "generated/sktricks.MixUp.html",
}


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *args):
        """Write nothing."""


def serve(folder):
    """Serve a folder from another thread; return its address."""
    server = ThreadingHTTPServer(("localhost", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://localhost:{server.server_port}"


def watch(page, faults):
    """Collect errors of the console and of scripts."""
    page.on("console", lambda m: m.type == "error" and faults.append(f"{page.url}: console: {m.text}"))
    page.on("pageerror", lambda error: faults.append(f"{page.url}: script: {error}"))


def look_at(browser, address, folder, name, window, mode):
    """Take a picture of a page, and return its faults."""
    width, height = WINDOWS[window]
    heard = []
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=mode)
    watch(page, heard)
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    page.screenshot(path=folder / f"{name.rpartition('/')[2]}-{window}-{mode}.png")
    faults = heard[:]  # without those of axe-core, which looks for imported styles beside the page
    if page.evaluate("document.documentElement.scrollWidth") > width:
        faults.append(f"{name}: wider than a {window}")
    for fault in Axe().run(page).response["violations"]:
        if fault["impact"] in ("serious", "critical"):
            targets = [str(node["target"][0]) for node in fault["nodes"]]
            faults.append(f"{name}, {window}, {mode}: {fault['id']}: {len(targets)} elements, such as {targets[0]}")
    page.close()
    return faults


def search(browser, address, words, expected):
    """Return a list with a fault unless the search finds a page."""
    faults = []
    page = browser.new_page()
    watch(page, faults)
    page.goto(f"{address}/search.html?q={words}", wait_until="networkidle")
    page.wait_for_selector("#search-results li a", timeout=10_000)
    page.wait_for_timeout(1500)  # results arrive one after another
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.href)")
    if not any(expected in link for link in found):
        faults.append(f"search: {words!r} finds {len(found)} pages, and not {expected}")
    page.close()
    return faults


def main(site, folder):
    """Check the site; return the number of faults."""
    address, folder, faults = serve(site), Path(folder), []
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM"), args=["--no-sandbox"])
        for name in PAGES:
            for window in WINDOWS:
                for mode in ("light", "dark"):
                    faults += look_at(browser, address, folder, name, window, mode)
        for words, expected in SEARCHES.items():
            faults += search(browser, address, words, expected)
        browser.close()
    print(*dict.fromkeys(faults), sep="\n")
    print(f"{len(faults)} faults; pictures are in {folder}")
    return len(faults)


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))
