"""Ask the model hub politely: no minute of retries without a network, and no log lines of three libraries. And run no
code that came with a model."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any
from urllib.parse import urlparse

from huggingface_hub import constants

from engine.errors import EngineError

_REFUSING: ContextVar[bool] = ContextVar("refusing", default=False)


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


@contextmanager
def library_code_only() -> Iterator[None]:
    """Within the block, transformers runs no Python file that lies beside a model, whatever configuration files say.

    ``trust_remote_code=False`` alone does not hold: open_clip hands the settings of its ``open_clip_config.json`` on to
    transformers, this one included. So the function that would import such a file refuses. Raises EngineError then.
    """
    from transformers import dynamic_module_utils as modules

    if not getattr(modules.get_class_in_module, "refuses", False):
        modules.get_class_in_module = _refusing(modules.get_class_in_module)
    token, seconds = _REFUSING.set(True), modules.TIME_OUT_REMOTE_CODE
    try:
        modules.TIME_OUT_REMOTE_CODE = 0  # nobody is asked on the terminal whether it may run
        yield
    finally:
        modules.TIME_OUT_REMOTE_CODE = seconds
        _REFUSING.reset(token)


def _refusing(imported: Any) -> Any:
    """The library's function that imports a model's own file, made to refuse within `library_code_only`."""

    @wraps(imported)
    def importing(class_name: str, *rest: Any, **options: Any) -> Any:
        if _REFUSING.get():
            raise EngineError(f"the model brings Python code of its own ({class_name}); such code is never run")
        return imported(class_name, *rest, **options)

    importing.refuses = True  # type: ignore[attr-defined]
    return importing
