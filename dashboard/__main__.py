"""``python -m dashboard --store DIR [--port 8501]``: serve the dashboard on this machine."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path

from dashboard.settings import DEFAULT, ENVIRONMENT

ROOT = Path(__file__).resolve().parent.parent


def command(store: Path, address: str, port: int) -> list[str]:
    """The command that serves ``store``; telemetry stays off wherever it is started from."""
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(ROOT / "dashboard" / "app.py"),
        f"--server.port={port}",
        f"--server.address={address}",
        "--server.headless=true",
        "--browser.gatherUsageStats=false",
        "--",
        "--store",
        str(store),
    ]


def main() -> None:
    """Replace this process by the server."""
    parser = ArgumentParser(prog="python -m dashboard", description="Serve the dashboard of an audit store.")
    parser.add_argument("--store", default=os.environ.get(ENVIRONMENT) or DEFAULT, help="folder of the store")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--address", default="127.0.0.1", help="default: reachable from this machine only")
    options = parser.parse_args()
    store = Path(options.store).expanduser().absolute()
    os.chdir(ROOT)  # .streamlit/config.toml is read from the working directory
    arguments = command(store, options.address, options.port)
    os.execv(arguments[0], arguments)


if __name__ == "__main__":
    main()
