"""What the package index is told beyond pyproject.toml: a README whose links lead somewhere, and the project's URLs.

The index shows the README alone, where a link to docs/studies.md leads nowhere. `repository` in [tool.mematlas] of
pyproject.toml is the one place where the repository's URL stands: with it, links become absolute and the project's URLs
are stated; while it is empty, links become plain text and pictures are left out.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"^!\[[^\]]*\]\((?!https?://|#)[^)]*\)\n\n?", re.MULTILINE)
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>(?!https?://|#)[^)]*)\)")


class MematlasMetadata(MetadataHookInterface):
    """The metadata that pyproject.toml names as dynamic: readme and urls."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        root = Path(self.root)
        pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        repository = pyproject["tool"]["mematlas"]["repository"].rstrip("/")
        text = (root / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": long_description(text, repository)}
        metadata["urls"] = urls(repository)


def long_description(readme: str, repository: str) -> str:
    """The README for readers who do not have the repository; code blocks stay as they are.

    Args:
        repository: its URL, without a slash at the end, or "" while there is none.
    """
    return "".join(part if part.startswith("```") else _with_links(part, repository) for part in _FENCE.split(readme))


def _with_links(text: str, repository: str) -> str:
    if not repository:
        return _LINK.sub(lambda link: link["text"], _PICTURE.sub("", text))
    kind = {"": "blob", "!": "raw"}

    def absolute(link: re.Match[str]) -> str:
        return f"{link['picture']}[{link['text']}]({repository}/{kind[link['picture']]}/main/{link['target']})"

    return _LINK.sub(absolute, text)


def urls(repository: str) -> dict[str, str]:
    """The project's URLs; {} while the repository has none."""
    if not repository:
        return {}
    pages = {"Repository": "", "Documentation": "/tree/main/docs", "Changelog": "/blob/main/CHANGELOG.md"}
    return {name: f"{repository}{page}" for name, page in (pages | {"Issues": "/issues"}).items()}
