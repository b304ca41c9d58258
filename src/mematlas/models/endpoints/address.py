"""Where a model behind an API is: `URL#MODEL`, such as http://127.0.0.1:8000/v1#my-model."""

import hashlib
import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from mematlas.errors import ModelError


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """url: without a slash at its end, to which /completions is added; model: as the server calls it."""

    url: str
    model: str

    @property
    def spec(self) -> str:
        """The name that a user gives: api:URL#MODEL."""
        return f"api:{self.url}#{self.model}"

    @property
    def label(self) -> str:
        """A short name for tables and folders: the last part of the model's name."""
        return re.sub(r"[^\w.@+-]+", "-", self.model.rstrip("/").rpartition("/")[2]).strip("-") or "model"

    @property
    def fingerprint(self) -> str:
        """A hash of URL and model: the weights behind an API cannot be hashed."""
        return hashlib.blake2b(f"{self.url}#{self.model}".encode(), digest_size=16).hexdigest()

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine, so that no proxy is asked."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def is_encrypted(self) -> bool:
        return self.url.startswith("https://")


def parse_address(text: str) -> EndpointAddress:
    """The address in `URL#MODEL`, with or without `api:` before it.

    Raises:
        ModelError: it is none, or contains a secret.
    """
    url, separator, model = text.removeprefix("api:").partition("#")
    example = "write it as api:http://127.0.0.1:8000/v1#MODEL"
    try:
        parts = urlsplit(url)
        has_host = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is no number
        has_host = False
    if not has_host:
        raise ModelError(f"{_without_user(url)!r} is not the URL of an API; {example}.")
    if "@" in parts.netloc or parts.query:
        raise ModelError(
            f"The URL of {parts.hostname} contains a user, password or query, which would be written to the study; "
            "give the key in an environment variable (--key-variable)."
        )
    if not separator or not model.strip():
        raise ModelError(f"{url!r} names no model behind the API; {example}, with the name that the server gives it.")
    return EndpointAddress(url.rstrip("/"), model.strip())


def _without_user(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)
