"""What stands before a dashboard in real life: a reverse proxy that names people, and an OpenID Connect provider."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.dashboard.browser import free_port

ENOUGH = 65_536


class Proxy:
    """Puts `header: name` in place of whatever the browser sent; without a name the header is only taken away."""

    def __init__(self, server: str, header: str) -> None:
        self.name = ""
        self._to = (urlparse(server).hostname or "", urlparse(server).port or 80)
        self._header = header
        self._listen = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listen.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listen.close()

    def _accept(self) -> None:
        while True:
            try:
                browser, _ = self._listen.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(browser,), daemon=True).start()

    def _serve(self, browser: socket.socket) -> None:
        """One request, or one WebSocket, per connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = browser.recv(ENOUGH)
            if not more:
                browser.close()
                return
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        try:
            server = socket.create_connection(self._to)
        except OSError:  # the dashboard has ended, and a page still asks
            browser.close()
            return
        server.sendall(self._named(head.decode("latin-1")).encode("latin-1") + b"\r\n\r\n" + body)
        threading.Thread(target=pump, args=(browser, server), daemon=True).start()
        pump(server, browser)

    def _named(self, head: str) -> str:
        first, *lines = head.split("\r\n")
        kept = [line for line in lines if not line.lower().startswith(f"{self._header.lower()}:")]
        if not any(line.lower().startswith("upgrade:") for line in kept):
            kept = [line for line in kept if not line.lower().startswith("connection:")] + ["Connection: close"]
        return "\r\n".join([first, *kept, *([f"{self._header}: {self.name}"] if self.name else [])])


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(ENOUGH):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


class Provider(ThreadingHTTPServer):
    """Logs in whoever `email` is, without asking."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", free_port()), Answers)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.email = "ana@example.org"
        self.key = RSAKey.generate_key(2048, parameters={"kid": "one"})
        self.nonces: dict[str, str] = {}

    def token(self, code: str, client: str) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": "1",
            "aud": client,
            "iat": now,
            "exp": now + 600,
            "email": self.email,
            "nonce": self.nonces.pop(code),
        }
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)
        return {"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": signed}


class Answers(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        asked, url = urlparse(self.path), self.server.url
        given = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if asked.path == "/.well-known/openid-configuration":
            self.say(
                {
                    "issuer": url,
                    "authorization_endpoint": f"{url}/authorize",
                    "token_endpoint": f"{url}/token",
                    "jwks_uri": f"{url}/keys",
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            )
        elif asked.path == "/keys":
            self.say({"keys": [self.server.key.as_dict(private=False)]})
        elif asked.path == "/authorize":
            code = secrets.token_hex(8)
            self.server.nonces[code] = given.get("nonce", "")
            self.send_response(302)
            back = urlencode({"code": code, "state": given.get("state", "")})
            self.send_header("Location", f"{given['redirect_uri']}?{back}")
            self.end_headers()
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.say(self.server.token(form["code"][0], "audits"))

    def say(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def proxy(server: str, header: str = "X-Forwarded-User") -> Iterator[Proxy]:
    opened = Proxy(server, header)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def provider() -> Iterator[Provider]:
    opened = Provider()
    threading.Thread(target=opened.serve_forever, daemon=True).start()
    try:
        yield opened
    finally:
        opened.shutdown()
        opened.server_close()


def secrets_toml(provider_url: str, dashboard_url: str) -> str:
    """The [auth] section of Streamlit's secrets."""
    return "\n".join(
        [
            "[auth]",
            f'redirect_uri = "{dashboard_url}/oauth2callback"',
            f'cookie_secret = "{secrets.token_hex(16)}"',
            'client_id = "audits"',
            'client_secret = "not so secret"',
            f'server_metadata_url = "{provider_url}/.well-known/openid-configuration"',
        ]
    )
