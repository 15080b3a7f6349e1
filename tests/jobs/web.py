"""A web server of files for tests, with ranges or without."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass
class Web:
    """Files below `root`; `redirects` by path, `busy` counts down answers of 503. `log` holds (path, bytes sent)."""

    root: Path
    ranges: bool = True
    redirects: dict[str, str] = field(default_factory=dict)
    busy: int = 0
    log: list[tuple[str, int]] = field(default_factory=list)
    url: str = ""


@contextmanager
def served(web: Web) -> Iterator[Web]:
    """Serve on a free port of this machine until the block ends; `web.url` is the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if web.busy:
                web.busy -= 1
                return self.send_error(503)
            if self.path in web.redirects:
                self.send_response(302)
                self.send_header("Location", web.redirects[self.path])
                return self.end_headers()
            file = web.root / unquote(self.path.partition("?")[0]).lstrip("/")
            if not file.is_file():
                return self.send_error(404)
            self._send(file.read_bytes())

        def _send(self, content: bytes) -> None:
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
            size = len(content)
            if match and web.ranges:
                if int(match[1]) >= size:
                    return self.send_error(416)
                content = content[int(match[1]) : int(match[2]) + 1]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {match[1]}-{int(match[1]) + len(content) - 1}/{size}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            web.log.append((self.path, len(content)))
            with suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
