"""What is told to the package index: a README whose links lead somewhere, URLs from one key, and how to cite."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

import mematlas

ROOT = Path(__file__).parents[1]
URL = "https://example.org/mematlas"
README = """# Title

Read [the guide](docs/guide.md#part), [this](#here) and [that](https://example.org).

![A picture](docs/pictures/a.svg)

```
mematlas count [not](a-link)
```
"""


@pytest.fixture(scope="module")
def hook():
    """hatch_build.py, with a stand-in for the interface of hatchling, which only builds need."""
    interface = ModuleType("hatchling.metadata.plugin.interface")
    interface.MetadataHookInterface = object
    names = ("hatchling", "hatchling.metadata", "hatchling.metadata.plugin")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setitem(sys.modules, name, ModuleType(name))
        patch.setitem(sys.modules, interface.__name__, interface)
        spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def test_without_a_repository_links_are_text_and_pictures_are_left_out(hook):
    assert hook.long_description(README, "") == (
        "# Title\n\nRead the guide, [this](#here) and [that](https://example.org).\n\n"
        "```\nmematlas count [not](a-link)\n```\n"
    )
    assert hook.urls("") == {}


def test_with_a_repository_links_and_pictures_are_absolute(hook):
    text = hook.long_description(README, URL)
    assert f"[the guide]({URL}/blob/main/docs/guide.md#part), [this](#here)" in text
    assert f"![A picture]({URL}/raw/main/docs/pictures/a.svg)" in text
    assert "[not](a-link)" in text
    assert hook.urls(URL)["Changelog"] == f"{URL}/blob/main/CHANGELOG.md"


@pytest.mark.parametrize("repository", ["", URL])
def test_no_link_of_the_readme_leads_nowhere(hook, repository):
    text = hook.long_description((ROOT / "README.md").read_text(encoding="utf-8"), repository)
    outside_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)]*)\)", outside_code)
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    assert bool(targets) == bool(repository)
    assert len(text) > 10_000


def test_pyproject_leaves_readme_and_urls_to_the_hook(hook):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["dynamic"]) == {"version", "readme", "urls"}
    metadata = {}
    hook.MematlasMetadata.update(SimpleNamespace(root=str(ROOT)), metadata)
    assert metadata["readme"]["text"].startswith("# mematlas\n")
    assert set(metadata) == {"readme", "urls"}


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "license"} <= set(citation)
    assert citation["version"] == mematlas.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    assert citation["keywords"] == project["keywords"]
