"""The chart library inside the file: packed, unpacked by the browser when somebody wants it, allowed by its hash."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import plotly.offline
from plotly.utils import PlotlyJSONEncoder

HERE = Path(__file__).resolve().parent


@cache
def library() -> str:
    """plotly.min.js of the installed package: gzip, base64."""
    return base64.b64encode(gzip.compress(_source(), 9, mtime=0)).decode()


@cache
def script() -> str:
    """Our own script."""
    return (HERE / "script.js").read_text("utf-8").strip()


def _source() -> bytes:
    return str(plotly.offline.get_plotlyjs()).encode()


@cache
def hashes() -> str:
    """What `script-src` of a Content-Security-Policy must allow: our script, and the library, and nothing else."""
    return " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(source).digest()).decode()}'"
        for source in (script().encode(), _source())
    )


def as_json(figures: Mapping[str, Any]) -> str:
    """Figures for a script element of type application/json: nothing in it can end the element."""
    told = json.dumps(dict(figures), cls=PlotlyJSONEncoder, separators=(",", ":"))
    return told.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
