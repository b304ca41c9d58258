"""The server of the explorer: reachable from this machine only, and only by who has the address that was printed.

A browser may be made to send requests to this machine by any page it shows, so that loopback alone protects nothing:

- the printed address has a token that is accepted once; it becomes a cookie that scripts cannot read and other sites'
  pages do not send (HttpOnly, SameSite=Strict);
- a request for another host's name (DNS rebinding) is refused with 421, one without the cookie with 403;
- requests only read (GET, HEAD), and no answer may be framed, sniffed, cached or sent on as a referrer;
- the page may load scripts, styles and data from this server only, and no inline script runs (content security policy).
"""

import secrets
import shutil
import sys
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from mematlas.errors import MematlasError, OptionError
from mematlas.explorer.routes import Answer, Explorer, refuse
from mematlas.version import __version__

HOST: Final = "127.0.0.1"
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_NO_COOKIE: Final = (
    b"<!doctype html><html lang=en><meta charset=utf-8><title>mematlas</title><p>Open the address that "
    b"<code>mematlas explore</code> printed: it lets one browser in. If you just did, "
    b'<a href="/">go on to the page</a>.</p></html>'
)


class ExplorerServer(ThreadingHTTPServer):
    """Serves one study on 127.0.0.1.

    Args:
        port: 0 for any that is free.

    Raises:
        OptionError: the port is taken, or may not be used.
    """

    daemon_threads = True

    def __init__(self, explorer: Explorer, port: int = 0) -> None:
        self.explorer = explorer
        self._token: str | None = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise OptionError(f"--port {port} cannot be used ({error}); give another one, or 0 for any.") from None
        self.address = f"http://{HOST}:{self.server_port}/?token={self._token}"
        self.hosts = (f"{HOST}:{self.server_port}", f"localhost:{self.server_port}")
        self.cookie_name = f"mematlas-{self.server_port}"  # cookies do not know ports

    def admit(self, token: str) -> str | None:
        """The cookie for who presents the token, the first time; None otherwise."""
        if self._token is None or not secrets.compare_digest(token.encode(), self._token.encode()):
            return None
        self._token = None
        return f"{self.cookie_name}={self._session}; HttpOnly; SameSite=Strict; Path=/"

    def is_admitted(self, headers: Message) -> bool:
        """Whether a request has the cookie."""
        for header in headers.get_all("Cookie", []):
            for part in header.split(";"):
                name, _, value = part.strip().partition("=")
                if name == self.cookie_name and secrets.compare_digest(value.encode(), self._session.encode()):
                    return True
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that closes a connection early is no error."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"mematlas: a request failed ({type(error).__name__}: {error})", file=sys.stderr)


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: ExplorerServer
    server_version = f"mematlas/{__version__}"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds without a request

    def do_GET(self) -> None:
        self._send(self._answer())

    do_HEAD = do_GET  # noqa: N815

    def _answer(self) -> Answer:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            return refuse(421, f"This server answers to {self.server.hosts[0]} only.")
        if self.command not in ("GET", "HEAD"):
            return Answer(405, "text/plain; charset=utf-8", b"Requests only read.\n", {"Allow": "GET, HEAD"})
        address = urlsplit(self.path)
        if address.path == "/" and address.query and (admitted := self._admit(address.query)) is not None:
            return admitted
        if not self.server.is_admitted(self.headers):
            if address.path == "/":
                return Answer(403, "text/html; charset=utf-8", _NO_COOKIE)
            return refuse(403, "Open the address that `mematlas explore` printed: it lets one browser in.")
        try:
            return self.server.explorer.answer(address.path, address.query)
        except MematlasError as error:
            return refuse(500, str(error))
        except Exception as error:  # noqa: BLE001  one request must not end the server
            print(f"mematlas: {address.path}?{address.query}: {type(error).__name__}: {error}", file=sys.stderr)
            return refuse(500, f"The request failed ({type(error).__name__}); the terminal says why.")

    def _admit(self, query: str) -> Answer | None:
        """The answer to the printed address: the cookie, and the page without the token; None if it is no such."""
        tokens = parse_qs(query).get("token", [])
        cookie = self.server.admit(tokens[0]) if len(tokens) == 1 else None
        if cookie is None and not (tokens and self.server.is_admitted(self.headers)):
            return None
        return Answer(303, "text/plain", b"", {"Location": "/", **({"Set-Cookie": cookie} if cookie else {})})

    def _send(self, answer: Answer) -> None:
        try:
            with answer.body.open("rb") if isinstance(answer.body, Path) else BytesIO(answer.body) as body:
                self._send_headers(answer, body.seek(0, SEEK_END))
                body.seek(0)
                if self.command != "HEAD":
                    shutil.copyfileobj(body, self.wfile)
        finally:
            if isinstance(answer.body, Path):
                answer.body.unlink(missing_ok=True)

    def _send_headers(self, answer: Answer, length: int) -> None:
        self.send_response(answer.status)
        for name, value in {**_HEADERS, "Content-Type": answer.type, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        if self.command not in ("GET", "HEAD"):
            self.send_header("Connection", "close")  # the request's body was not read
        self.end_headers()

    def __getattr__(self, name: str) -> Any:
        """Every other method is refused in `_answer`, whatever it is called."""
        if name.startswith("do_"):
            return self.do_GET
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Nothing: addresses have what is searched for, and the token."""
