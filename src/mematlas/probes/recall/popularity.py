"""How frequent items are: given by the user, or counted in the user's own corpus by an index, in whole words.

P5 asks a web search for the label and the id together. Counts of substrings are wrong: "Tin" stands in "Tintin". Here
occurrences are found in both forms that a text has in tokens, with a blank before it and without, and kept where no
letter or digit is next to it. A pair is counted by documents that have both, or by inputs with the output in a window.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from mematlas.corpus.records import read_table
from mematlas.errors import CorpusError, IndexFault, OptionError
from mematlas.index.lookup import open_any_index
from mematlas.probes.items.task_file import Item
from mematlas.probes.items.words import WordIndex, Words, index_encoder
from mematlas.probes.recall.config import INDEX, RecallConfig
from mematlas.types import Encoder

#: Columns: count_input and count_output are occurrences as words; count_both documents, or pairs within the window.
SCHEMA: Final = {
    "item": pl.String,
    "popularity": pl.Float64,
    "count_input": pl.Int64,
    "count_output": pl.Int64,
    "count_both": pl.Int64,
}


def read_popularity(items: Sequence[Item], config: RecallConfig, own: Encoder | None) -> pl.DataFrame:
    """The popularity of each item, null where it is not known; see SCHEMA.

    Args:
        own: the model's tokenizer, with which an index is asked that names none.

    Raises:
        OptionError, CorpusError: the file has no such item or column.
        IndexFault: the index is damaged, of another tokenizer, or has none of the items.
    """
    wanted = config.popularity
    if wanted is not None and wanted.startswith(INDEX):
        return _counted(items, Path(wanted.removeprefix(INDEX)), config, own)
    for name in ("window", "tokenizer"):
        if getattr(config, name) is not None:
            raise OptionError(f"--{name} is used with --popularity index:DIR alone; leave it out.")
    values = {item.id: item.popularity for item in items} if wanted is None else _given(items, Path(wanted))
    frame = pl.DataFrame({"item": list(values), "popularity": list(values.values())}, schema_overrides=SCHEMA)
    return frame.with_columns(pl.lit(None, pl.Int64).alias(name) for name in list(SCHEMA)[2:])


def _given(items: Sequence[Item], path: Path) -> dict[str, float | None]:
    if not path.exists():
        raise OptionError(f"--popularity {path} is neither a file nor index:DIR; name one of them.")
    numbers: dict[str, float] = {}
    for where, record in read_table(path):
        try:
            number = float(record["popularity"])
            if not 0 <= number < np.inf:
                raise ValueError
            numbers[str(record["id"]).strip()] = number
        except (KeyError, TypeError, ValueError):
            raise CorpusError(
                f"{where} needs an id and a popularity, a number of 0 or more, in columns of these names."
            ) from None
    found = {item.id: numbers.get(item.id) for item in items}
    if all(value is None for value in found.values()):
        raise CorpusError(f"{path} has none of the ids of the items, such as {items[0].id!r}; compare both files.")
    return found


def _counted(items: Sequence[Item], folder: Path, config: RecallConfig, own: Encoder | None) -> pl.DataFrame:
    opened = open_any_index(folder)
    words = WordIndex(opened, index_encoder(opened, config.tokenizer, own))
    found = [_counts(words, item, config.window) for item in items]
    counts = dict(zip(("input", "output", "both"), np.array(found, np.int64).T, strict=True))
    for name, what in (("input", "inputs"), ("output", "outputs")):
        if not counts[name].any():
            raise IndexFault(
                f"None of the {len(items)} {what} occurs as a word in {folder}, such as {getattr(items[0], name)!r}; "
                "was it built from the right corpus? Give another popularity."
            )
    columns = {"item": [item.id for item in items], "popularity": counts[config.count].astype(float)}
    return pl.DataFrame(columns | {f"count_{name}": values for name, values in counts.items()}, schema=SCHEMA)


def _counts(words: WordIndex, item: Item, window: int | None) -> tuple[int, int, int]:
    first, second = words.find(item.input), words.find(item.output)
    if window is None:
        both = len(np.intersect1d(first.documents, second.documents))
    else:
        both = _pairs_within(first, second, window)
    return len(first.positions), len(second.positions), both


def _pairs_within(first: Words, second: Words, window: int) -> int:
    """Occurrences of the first with one of the second at most `window` tokens away, in the same document."""
    hits = np.zeros(len(first.positions), bool)
    if not len(second.positions):
        return 0
    following = np.searchsorted(second.positions, first.positions)
    for nearest in (following - 1, following):
        inside = (nearest >= 0) & (nearest < len(second.positions))
        place = nearest.clip(0, len(second.positions) - 1)
        near = np.abs(second.positions[place] - first.positions) <= window
        hits |= inside & near & (second.documents[place] == first.documents)
    return int(hits.sum())
