"""Rows are read from whatever trainers hold, without padding, and the same ones are drawn every time."""

import datasets
import numpy as np
import pytest
import torch
from transformers import BatchEncoding

from mematlas.errors import CorpusError, OptionError
from mematlas.integrations.token_rows import choose_rows

ROWS = [[5, 6, 7, 8], [1, 2, 3], [9, 8, 7, 6]]


class MapDataset(torch.utils.data.Dataset):
    """As users write them: items are dictionaries of tensors."""

    def __len__(self) -> int:
        return len(ROWS)

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.tensor(ROWS[place]), "labels": torch.tensor(ROWS[place])}


@pytest.mark.parametrize(
    "given",
    [
        ROWS,
        [np.array(row, np.uint16) for row in ROWS],
        [{"input_ids": row, "labels": row} for row in ROWS],
        {"input_ids": ROWS},
        BatchEncoding({"input_ids": ROWS}),
        datasets.Dataset.from_dict({"text": ["a", "b", "c"], "input_ids": ROWS}),
        datasets.Dataset.from_dict({"input_ids": ROWS}).with_format("torch"),
        MapDataset(),
        torch.utils.data.Subset(MapDataset(), [0, 1, 2]),
    ],
)
def test_every_form_gives_the_same_rows(given):
    chosen = choose_rows(given, 4, None, "rows")
    assert [row.tolist() for row in chosen.tokens] == [ROWS[0], ROWS[2]]
    assert chosen.index.tolist() == [0, 2]
    assert chosen.short_rows_line(4) == "1 of 3 rows have fewer than 4 tokens and are not measured."
    assert chosen.starts(3).ids.tolist() == [[5, 6, 7], [9, 8, 7]]


@pytest.mark.parametrize("given", [np.array([[5, 6], [7, 8]]), torch.tensor([[5, 6], [7, 8]])])
def test_arrays_and_tensors(given):
    assert choose_rows(given, 2, None, "rows").starts(2).ids.tolist() == [[5, 6], [7, 8]]


@pytest.mark.parametrize("mask", [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]])
def test_padding_is_cut_off_on_either_side(mask):
    ids = [7 if kept else 0 for kept in mask]
    for given in ([{"input_ids": ids, "attention_mask": mask}], {"input_ids": [ids], "attention_mask": [mask]}):
        assert [row.tolist() for row in choose_rows(given, 2, None, "rows").tokens] == [[7, 7, 7]]
    with pytest.raises(CorpusError, match="at most 3 tokens"):
        choose_rows({"input_ids": [ids], "attention_mask": [mask]}, 4, None, "rows")


def test_drawn_rows_are_spread_distinct_and_in_order():
    given = np.arange(1000)[:, None] + np.zeros(4, int)
    chosen = choose_rows(given, 4, 50, "rows")
    assert len(set(chosen.index)) == 50
    assert (np.diff(chosen.index) > 0).all()
    assert chosen.index.mean() == pytest.approx(500, abs=120)  # not the first ones
    assert choose_rows(given, 4, 50, "rows").index.tolist() == chosen.index.tolist()
    assert [row[0] for row in chosen.tokens] == chosen.index.tolist()


def test_short_rows_are_replaced_by_others():
    given = [[1] * (2 if place % 2 else 8) for place in range(40)]
    chosen = choose_rows(given, 8, 10, "rows")
    assert len(chosen.tokens) == 10
    assert (chosen.index % 2 == 0).all()
    assert chosen.short > 0


def test_a_stream_is_refused():
    stream = datasets.Dataset.from_dict({"input_ids": ROWS}).to_iterable_dataset()
    with pytest.raises(OptionError, match="rows has no length"):
        choose_rows(stream, 2, None, "rows")
