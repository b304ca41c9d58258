"""Whether two tokenizers turn every text into the same ids, whatever else their files say.

Saving a tokenizer after training changes its file but not its ids: `tokenizer(..., truncation=True)` is stored in it,
and newer releases write merges and defaults in another form. The rules are therefore compared as the `tokenizers`
library reads and writes them, without what mematlas switches off (truncation, padding) or never asks for (special
tokens that are added at a text's ends).
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

#: Parts of tokenizer.json that do not affect the ids of a text without added special tokens, or only state a format.
_IRRELEVANT: Final = ("version", "truncation", "padding", "post_processor")
_known: dict[str, str | None] = {}  # rules by fingerprint of the files, in this process


def tokenizer_rules(folder: Path, fingerprint: str | None) -> str | None:
    """A blake2b hash of the rules in `folder`'s tokenizer.json; None if it has none or it cannot be read.

    Args:
        fingerprint: of the tokenizer's files; the checkpoints of a family share one tokenizer, which is read once.
    """
    path = folder / "tokenizer.json"
    if fingerprint is None or not path.is_file():
        return None
    if fingerprint not in _known:
        _known[fingerprint] = _digest(path)
    return _known[fingerprint]


def rules_of(tokenizer: Any) -> str | None:
    """The hash of the rules of a tokenizer that transformers has loaded; None if it has no fast one.

    Its class may replace rules of the file by its own, and saves those: then files differ, though the ids are equal.
    """
    fast = getattr(tokenizer, "backend_tokenizer", None)
    return None if fast is None else _hash(json.loads(fast.to_str()))


def _digest(path: Path) -> str | None:
    settings = _read(path)
    return None if settings is None else _hash(settings)


def _hash(settings: dict[str, Any]) -> str:
    relevant = {name: value for name, value in settings.items() if name not in _IRRELEVANT}
    return hashlib.blake2b(json.dumps(relevant, sort_keys=True).encode(), digest_size=16).hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    """The settings as the installed release of `tokenizers` writes them."""
    try:
        from tokenizers import Tokenizer

        settings = json.loads(Tokenizer.from_file(str(path)).to_str())
    except Exception:  # noqa: BLE001  the library raises no narrower type; what is broken is reported when it is needed
        return None
    return settings if isinstance(settings, dict) else None
