"""``python -m dashboard --store DIR [--port 8501]``: serve the dashboard on this machine."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from dashboard.settings import parser
from storage.media.files import is_url

ROOT = Path(__file__).resolve().parent.parent


def command(store: Path | str, address: str, port: int, options: Sequence[str] = ()) -> list[str]:
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
        *options,
    ]


def main() -> None:
    """Replace this process by the server."""
    given = ArgumentParser(
        prog="python -m dashboard", description="Serve the dashboard of an audit store.", parents=[parser()]
    )
    given.add_argument("--port", type=int, default=8501)
    given.add_argument("--address", default="127.0.0.1", help="default: reachable from this machine only")
    options = given.parse_args()
    store = options.store if is_url(options.store) else str(Path(options.store).expanduser().absolute())
    people = [
        f"--auth={options.auth}",
        f"--auth-header={options.auth_header}",
        f"--default-role={options.default_role}",
    ]
    people += [f"--admin={name}" for name in options.admin]
    os.chdir(ROOT)  # .streamlit/config.toml is read from the working directory
    arguments = command(store, options.address, options.port, people)
    os.execv(arguments[0], arguments)


if __name__ == "__main__":
    main()
