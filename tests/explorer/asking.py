"""Asks an explorer as the page does, without a server."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from mematlas.explorer.routes import Explorer


def ask(explorer: Explorer, path: str, **parameters: Any) -> Any:
    """The answer to a request that must succeed: JSON, or the bytes of a file."""
    status, body = try_to_ask(explorer, path, **parameters)
    assert status == 200, body
    return body


def refusal(explorer: Explorer, path: str, status: int = 400, **parameters: Any) -> str:
    """The error of a request that must fail."""
    found, body = try_to_ask(explorer, path, **parameters)
    assert found == status, body
    return str(body["error"])


def try_to_ask(explorer: Explorer, path: str, **parameters: Any) -> tuple[int, Any]:
    """Status and content; lists are repeated parameters."""
    answer = explorer.answer(path, urlencode(parameters, doseq=True))
    if isinstance(answer.body, Path):
        content = answer.body.read_bytes()
        answer.body.unlink()
        return answer.status, content
    return answer.status, json.loads(answer.body)
