"""Settings of other people's libraries, to be made before they are imported."""

from __future__ import annotations

import logging
import os
import warnings


def share_cores() -> None:
    """Let torch's idle threads sleep instead of spinning.

    They spin by default, which takes the cores from the decoding processes; on two busy cores that made small models
    twenty to fifty times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def quieten() -> None:
    """Keep libraries from writing between our lines: what matters reaches the user as an error of ours."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def private() -> None:
    """An audit tool phones nobody: no usage statistics, no look for newer versions."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_UPDATE_CHECK", "1")
