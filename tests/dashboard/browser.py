"""A real dashboard server and a real Chromium for tests: start, wait for health, look, stop."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from dashboard.__main__ import ROOT, command

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Opening the address of a page makes Streamlit's own front end ask for these below that page first.
PROBES = ("/_stcore/health", "/_stcore/host-config")


def chromium() -> str | None:
    """The Chromium of the system; Playwright's own download is not used."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(
    store: Path,
    log: Path,
    *options: str,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Serve a store on a free port, with options of the dashboard; yields the URL once the server is healthy."""
    port = port or free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(store, "127.0.0.1", port, options),
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        )
        try:
            wait_healthy(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def server_process(url: str) -> psutil.Process:
    """The server that listens at an address: a child of this process."""
    option = f"--server.port={url.rsplit(':', 1)[1]}"
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # others end meanwhile
            if option in child.cmdline():
                return child
    raise RuntimeError(f"no server of ours listens at {url}")


def wait_healthy(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the dashboard ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            with urlopen(f"{url}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the dashboard was not healthy after {seconds} s: {log.read_text()[-2000:]}")


def watch(page: Any) -> list[str]:
    """Errors of the console and of scripts, as they come; Streamlit's own probing is left out."""
    said: list[str] = []

    def console(message: Any) -> None:
        address = str(message.location.get("url", ""))
        # the page's icon, dropped by the server while the browser still asked for it: pictures have no address
        superseded = "/media/" in address and address.endswith(".png")
        if message.type == "error" and not address.endswith(PROBES) and not superseded:
            said.append(f"{message.text} ({address})")

    page.on("console", console)
    page.on("pageerror", lambda error: said.append(f"pageerror: {error}"))
    return said


def opened(browser: Any, address: str) -> tuple[Any, list[str]]:
    """A new page at an address, settled, and what its console says from now on."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    said = watch(page)
    page.goto(address)
    settle(page)
    return page, said


def settle(page: Any, seconds: float = 90) -> None:
    """Wait until the script has ended and everything it sent is drawn."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=seconds * 1000)
    page.wait_for_function(
        """() => !document.querySelector('[data-testid="stSkeleton"]')
             && [...document.images].every(i => i.complete && i.naturalWidth > 0)
             && [...document.querySelectorAll('[data-testid="stPlotlyChart"]')]
                    .every(chart => chart.querySelector('.main-svg'))""",
        timeout=seconds * 1000,
    )


def press(page: Any, key: str, seconds: float = 90) -> None:
    """Press a key that stands for a button, once the button is drawn: a key that comes before it is lost."""
    settle(page, seconds)
    page.keyboard.press(key)


def exceptions(page: Any) -> list[str]:
    """Texts of exception boxes on the page."""
    return list(page.locator('[data-testid="stException"]').all_inner_texts())


def shoot(
    url: str, out: Path, *, width: int = 1440, height: int = 900, dark: bool = False, full: bool = True
) -> list[str]:
    """A picture of a page; returns what went wrong on it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
        said = watch(page)
        page.goto(url)
        settle(page)
        if full:  # Streamlit scrolls an inner box: make the window as tall as what is in it
            tall = page.evaluate("document.querySelector('[data-testid=\"stMain\"]').scrollHeight")
            page.set_viewport_size({"width": width, "height": max(height, int(tall) + 10)})
            settle(page)
        page.wait_for_timeout(400)
        page.screenshot(path=str(out))
        said += exceptions(page)
        browser.close()
    return said


if __name__ == "__main__":  # python -m tests.dashboard.browser URL OUT.png [WIDTH] [dark]
    address, target, *more = sys.argv[1:]
    print(
        *shoot(address, Path(target), width=int(next((w for w in more if w.isdigit()), 1440)), dark="dark" in more),
        sep="\n",
    )
