"""Pictures of the dashboard, in light and dark, with the ranks of ``examples/dashboard.py``.

    python -m docs.screenshots.dashboard [--browser /usr/bin/chromium]

Needs playwright (pip) and a Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
from playwright.sync_api import sync_playwright
from tests.helpers.browser import OPTIONS

ROOT = Path(__file__).parent.parent.parent
TOKEN = "only-for-the-picture"  # noqa: S105 - it is
WIDTH, HEIGHT = 1280, 800


def free_port() -> int:
    """One that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def let_one_fail(url: str) -> None:
    """Have one rank killed, once all have run for a while, and another one send its failure."""
    run = {"ranks": []}
    while not run["ranks"] or min(rank["progress"]["done"] if rank["progress"] else 0 for rank in run["ranks"]) < 60:
        time.sleep(0.5)
        run = httpx.get(f"{url}/api/runs/ranks").json()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    httpx.post(f"{url}/api/runs/ranks/ranks/4/signal", json={"signal": "SIGKILL"}, headers=headers).raise_for_status()


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", default=shutil.which("chromium"))
    browser_path = parser.parse_args().browser
    port = free_port()
    url = f"http://127.0.0.1:{port}/ranks"
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(ROOT / "examples"), "--port", str(port)]
    service = subprocess.Popen(
        [*command, "--log-level", "warning", "dashboard:app"], env={**os.environ, "DASHBOARD_TOKEN": TOKEN}
    )
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=OPTIONS)
            pages = {}
            time.sleep(3)
            for scheme in ("light", "dark"):
                page = browser.new_page(
                    color_scheme="light" if scheme == "light" else "dark",
                    viewport={"width": WIDTH, "height": HEIGHT},
                )
                page.goto(f"{url}/")
                page.get_by_label("Streams").select_option("stdout")  # tracebacks have paths of this machine
                pages[scheme] = page
            let_one_fail(url)
            time.sleep(1.5)  # it is in its back-off
            for scheme, page in pages.items():
                page.screenshot(path=ROOT / "docs" / "screenshots" / f"dashboard-{scheme}.png")
            browser.close()
    finally:
        service.terminate()
        service.wait(30)


if __name__ == "__main__":
    main()
