"""One HTTP request to an API, with the standard library: what came back, or why nothing did.

Redirects are not followed: they would carry the key to another host. Clients of an API's maker are not needed for two
kinds of request, and httpx comes with some releases of huggingface-hub only.
"""

import email.utils
import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from mematlas.version import __version__


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server sent. status: of HTTP; text: its body; retry_after: seconds that it asks to wait, if it does."""

    status: int
    text: str
    retry_after: float | None = None

    def json(self) -> Any:
        """The body as JSON; None if it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


class NoReply(Exception):
    """The connection failed, was cut, or was silent for too long. refused: nothing listens at this address."""

    def __init__(self, reason: str, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Transport:
    """Sends requests to one server. key: for its Authorization header; proxies: whether the environment's are used."""

    def __init__(self, key: str | None, timeout: float, proxies: bool) -> None:
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if not proxies:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener, self._timeout = urllib.request.build_opener(*handlers), timeout
        self._headers = {"Content-Type": "application/json", "User-Agent": f"mematlas/{__version__}"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"

    def post(self, url: str, body: dict[str, Any]) -> Reply:
        """Send `body` as JSON.

        Raises:
            NoReply: no whole reply came.
        """
        return self._send(urllib.request.Request(url, json.dumps(body).encode(), self._headers, method="POST"))

    def get(self, url: str) -> Reply:
        """As `post`, without a body."""
        return self._send(urllib.request.Request(url, headers=self._headers))

    def _send(self, request: urllib.request.Request) -> Reply:
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return Reply(response.status, response.read().decode("utf-8", "replace"))
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode("utf-8", "replace")
            return Reply(error.code, text, _seconds(error.headers.get("Retry-After")))
        except TimeoutError:
            raise NoReply(f"no answer within {self._timeout:g} s") from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise NoReply(f"no connection within {self._timeout:g} s") from None
            raise NoReply(str(error.reason), isinstance(error.reason, ConnectionRefusedError)) from None
        except (http.client.HTTPException, OSError) as error:
            raise NoReply(f"the connection was cut ({type(error).__name__})") from None


def _seconds(text: str | None) -> float | None:
    """The seconds of a Retry-After header, which has a number or a date; None without a readable one."""
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
