"""Where the dashboard finds its store: ``--store`` after ``--``, then the environment, then ./audits."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

ENVIRONMENT = "RELEVANCY_AUDIT_STORE"
DEFAULT = "audits"


def store_path(arguments: Sequence[str] | None = None) -> Path:
    """The folder of the store, absolute; it need not exist."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--store")
    known, _ = parser.parse_known_args(sys.argv[1:] if arguments is None else list(arguments))
    return Path(known.store or os.environ.get(ENVIRONMENT) or DEFAULT).expanduser().absolute()
