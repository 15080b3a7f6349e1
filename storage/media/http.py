"""Files of web servers, with the standard library alone: ranges where the server gives them, no threads, no state.

fsspec's own needs aiohttp, and a thread per process that does not survive a fork.
"""

from __future__ import annotations

import io
import re
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO, BinaryIO, TypeVar, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from storage.media.errors import MediaError
from storage.media.secrets import has_password

SCHEMES = ("http", "https")
SECONDS = 30.0  # without a byte, after which a server counts as gone
TRIES, PAUSE = 3, 0.5  # a busy server is asked again after 0.5 and 1 s
BUSY = (429, 500, 502, 503, 504)
MOST_BYTES = 4 * 2**30  # of one answer: a server may send without end
BLOCK = 1 << 20  # bytes that a walk through a file asks for at once
AGENT = {"User-Agent": "relevancy-audit"}
Taken = TypeVar("Taken")


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Redirects within a host only: what is read is what the dataset names, wherever its server points."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if after.scheme not in SCHEMES or after.netloc != before.netloc:
            raise MediaError(f"redirected to {after.scheme}://{after.netloc}: give that address itself")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_SameHost)


def fetch(url: str, offset: int = 0, size: int | None = None) -> bytes:
    """`size` bytes from `offset` on, or all; fewer where the file ends earlier.

    A server that knows no ranges sends all, and the rest is thrown away. Raises FileNotFoundError or OSError.
    """
    if size == 0:
        return b""
    span = {} if size is None else {"Range": f"bytes={offset}-{offset + size - 1}"}

    def take(answer: HTTPResponse) -> bytes:
        if answer.status != 206 and offset:
            _skip(answer, offset)
        return answer.read(MOST_BYTES if size is None else size)

    return _tried(url, span, take, b"")


def size_and_stamp(url: str) -> tuple[int, tuple[str, ...]]:
    """Bytes of the file (-1: the server does not say), and its ETag or time. Raises FileNotFoundError or OSError."""
    size, mark, _ = _about(url)
    return size, (mark, str(size))


def open_url(url: str) -> BinaryIO:
    """The file, seekable and read block by block; at once where the server knows no ranges."""
    size, _, ranges = _about(url)
    if not ranges:
        return io.BytesIO(fetch(url))
    return cast("BinaryIO", io.BufferedReader(_Ranges(url, size), BLOCK))


def _about(url: str) -> tuple[int, str, bool]:
    """Bytes, mark of the version, and whether ranges are known: asked with a range, since signed URLs refuse HEAD."""

    def take(answer: HTTPResponse) -> tuple[int, str, bool]:
        mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        whole = re.fullmatch(r"bytes 0-0/(\d+)", answer.headers.get("Content-Range") or "")
        if answer.status == 206 and whole is not None:
            return int(whole[1]), mark, True
        return int(answer.headers.get("Content-Length") or -1), mark, False

    return _tried(url, {"Range": "bytes=0-0"}, take, (0, "", False))


def _tried(url: str, headers: dict[str, str], take: Callable[[HTTPResponse], Taken], beyond: Taken) -> Taken:
    """What `take` makes of the answer, asked again where the server is busy; `beyond` for a range after the end."""
    for left in reversed(range(TRIES)):
        try:
            with _ask(url, headers) as answer:
                return take(answer)
        except HTTPError as error:
            if error.code == 416:
                return beyond
            if error.code not in BUSY or not left:
                raise _told(url, error) from error
        except (HTTPException, URLError, ConnectionError, TimeoutError) as error:
            if not left:
                raise MediaError(f"the server cannot be reached ({_line(error)})") from error
        time.sleep(PAUSE * (TRIES - left))
    raise AssertionError


class _Ranges(io.RawIOBase):
    """A file of `size` bytes that is read range by range."""

    def __init__(self, url: str, size: int) -> None:
        self._url, self._size, self._at = url, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), max(self._size - self._at, 0))
        found = fetch(self._url, self._at, wanted)
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def _ask(url: str, headers: dict[str, str]) -> HTTPResponse:
    if re.search(r"[\x00-\x20]", url):
        raise OSError("the address holds a space or control character")
    if has_password(url):
        raise MediaError("an address with a password is not read: it would stand in the store")
    try:
        request = urllib.request.Request(url, headers={**AGENT, **headers})
        return cast("HTTPResponse", _OPENER.open(request, timeout=SECONDS))
    except ValueError as error:  # of this address, or of one that it redirects to
        raise MediaError(f"no address of a web server ({_line(error)})") from error


def _skip(answer: HTTPResponse, count: int) -> None:
    while count > 0:
        got = len(answer.read(min(count, BLOCK)))
        if not got:
            return
        count -= got


def _line(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return " ".join(str(reason).split())[:80] or type(error).__name__


def _told(url: str, error: HTTPError) -> Exception:
    if error.code in (404, 410):
        return FileNotFoundError(f"{url}: not found")
    if error.code in (401, 403):
        return PermissionError(f"{url}: not allowed")
    return MediaError(f"the server answered {error.code} ({error.reason})")
