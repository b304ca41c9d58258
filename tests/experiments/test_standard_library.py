import sys
from pathlib import Path

import pytest

from mematlas.errors import CorpusError
from mematlas.experiments.data.standard_library import standard_library_documents


def test_the_running_python_has_sources_in_sorted_order() -> None:
    documents = standard_library_documents()
    sources = [document.source for document in documents]
    assert sources == sorted(set(sources))
    assert "json/decoder.py" in sources
    assert sum(len(document.text) for document in documents) > 3_000_000
    assert not any({"test", "tests", "site-packages"} & set(source.split("/")[:-1]) for source in sources)


def test_no_document_contains_a_path_of_this_machine() -> None:
    assert not any(document.source.startswith("_sysconfigdata") for document in standard_library_documents())
    assert not any(sys.base_prefix in document.source for document in standard_library_documents())


def test_only_sources_and_the_licence_are_read(tmp_path: Path) -> None:
    for name in ("b.py", "a/c.py", "test/t.py", "a/tests/t.py", "site-packages/s.py", "notes.txt", "LICENSE.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"caf\xe9\r\n")
    documents = standard_library_documents(tmp_path)
    assert [d.source for d in documents] == ["LICENSE.txt", "a/c.py", "b.py"]
    assert documents[0].text == "caf�\n"


def test_a_zipped_python_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no source files in .*zipped or stripped.*use a regular CPython"):
        standard_library_documents(tmp_path)
