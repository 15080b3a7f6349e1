"""Ask the model hub politely: no minute of retries without a network, and no log lines of three libraries."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlparse

from huggingface_hub import constants


@contextmanager
def hub_access() -> Iterator[None]:
    """Within the block, use the hub's cache alone when the hub cannot be reached; library logs are held back.

    The libraries report a failure by an exception, which callers turn into one clear line.
    """
    offline = constants.HF_HUB_OFFLINE
    disabled = logging.root.manager.disable
    try:
        constants.HF_HUB_OFFLINE = offline or not _reachable()
        logging.disable(logging.ERROR)
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.disable(disabled)


def _reachable() -> bool:
    """Whether the hub's name resolves and it takes a connection; a proxy is trusted without asking."""
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or os.environ.get("ALL_PROXY"):
        return True
    address = urlparse(constants.ENDPOINT)
    try:
        with socket.create_connection((address.hostname or "", address.port or 443), timeout=3):
            return True
    except OSError:
        return False
