"""Texts of the user's own, in the formats that corpora have."""

import json
from pathlib import Path

import numpy as np
import pytest

from mematlas.errors import CorpusError
from mematlas.experiments.data.documents import text_documents


def test_a_folder_of_texts_is_one_document_a_file(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number:02d}.txt").write_text(f"text {number:02d}\n")
    documents = text_documents(tmp_path)
    assert [document.source for document in documents] == [f"{number:02d}.txt" for number in range(60)]
    assert documents[7].text == "text 07\n"


def test_lines_of_jsonl_are_documents_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    texts = [f"ticket {number} is open\n" for number in range(80)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, "  "]))
    documents = text_documents(path)
    assert [document.text for document in documents] == texts
    assert len({document.source for document in documents}) == 80


def test_a_book_becomes_parts_that_add_up_to_it(tmp_path: Path) -> None:
    book = "".join(f"Line {number} of the book is short.\n" for number in range(2000)) + "the end without a line end"
    (tmp_path / "book.txt").write_text(book)
    documents = text_documents(tmp_path / "book.txt")
    assert "".join(document.text for document in documents) == book
    assert 45 <= len(documents) <= 51
    assert [document.source for document in documents[:3]] == ["book.txt", "book.txt#2", "book.txt#3"]
    assert max(len(document.text) for document in documents) <= len(book) / 50 + 40


def test_token_ids_and_files_without_text_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((4, 8), np.uint16))
    with pytest.raises(CorpusError, match="has token ids, and texts are needed here; name the texts that they come"):
        text_documents(tmp_path / "rows.npy")
    (tmp_path / "rows.jsonl").write_text('{"tokens": [1, 2, 3]}\n')
    with pytest.raises(CorpusError, match="has token ids, and texts are needed"):
        text_documents(tmp_path / "rows.jsonl")
    (tmp_path / "blank.txt").write_text("  \n")
    with pytest.raises(CorpusError, match=r"blank\.txt has no text; an experiment needs texts to train on"):
        text_documents(tmp_path / "blank.txt")
    with pytest.raises(CorpusError, match="There is no file or folder"):
        text_documents(tmp_path / "absent.txt")
