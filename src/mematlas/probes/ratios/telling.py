"""Which label each text seems to have: by the pattern, or by a classifier fitted to the training texts.

All texts are told in the same way, so that an error of the classifier moves all shares alike: from the part after the
start, cut to the median length of the model's texts, because a longer text has a pattern more often and is told more
surely. Training texts are told by classifiers that saw none of their copies. All of it is our choice.
"""

from collections.abc import Sequence
from statistics import median
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.probes.ratios.config import RatiosConfig
from mematlas.probes.ratios.texts import Texts, pattern_teller
from mematlas.stats.classification.authorship import NOBODY, attribute, deal_folds, fit_authors

TRAINING: Final = "training texts"
MODEL: Final = "model's texts"
CONTROL: Final = "control texts"
BASE: Final = "base model's texts"
TOLD_COLUMNS: Final = {
    "source": "who wrote it: training texts, model's texts, control texts or base model's texts",
    "cluster": "number of the cluster, permuted and drawn as a whole: copies of one text, or texts from one start",
    "label": "label in the table, or by the pattern in the whole text; null for what models write",
    "told": "label told from the text cut to one length; null for a text without a character",
    "shuffled": "label told by a classifier fitted to shuffled labels, a control; null for a pattern",
}
_SCHEMA: Final = {
    "source": pl.String,
    "cluster": pl.Int64,
    "label": pl.String,
    "told": pl.String,
    "shuffled": pl.String,
}
Ids = NDArray[np.int64]


def common_length(written: pl.DataFrame) -> int:
    """Characters that all texts are cut to: the median of what the model wrote, texts without a character aside."""
    lengths = [len(text.strip()) for text in written["generation"] if text.strip()]
    return int(median(lengths)) if lengths else 0


def told_table(texts: Texts, written: dict[str, pl.DataFrame], config: RatiosConfig) -> pl.DataFrame:
    """Every text with its label: TOLD_COLUMNS. written: by source, as `run.WRITTEN`; the model's must be there."""
    length = common_length(written[MODEL])
    own = {TRAINING: texts.training, CONTROL: texts.control}
    cut = {name: [text.rest.strip()[:length] for text in part] for name, part in own.items() if part}
    cut |= {name: [text.strip()[:length] for text in part["generation"]] for name, part in written.items()}
    told = _told_by_pattern(config.pattern, cut) if config.pattern else _told_by_classifier(texts, cut, config)
    frames = []
    for name in (TRAINING, MODEL, *(each for each in (CONTROL, BASE) if each in cut)):
        given: list[str | None]
        if name in own:
            clusters, given = _numbered([text.rest for text in own[name]]), [text.label for text in own[name]]
        else:
            starts = written[name]["start"].to_list()
            clusters = _numbered(starts) if config.start_words else np.arange(len(starts))
            given = [None] * len(starts)
        labels, shuffled = told[name]
        columns = ([name] * len(given), clusters, given, labels, shuffled)
        frames.append(pl.DataFrame(dict(zip(_SCHEMA, columns, strict=True)), _SCHEMA))
    return pl.concat(frames)


Told = dict[str, tuple[list[str | None], list[str | None]]]


def _told_by_pattern(pattern: str, cut: dict[str, list[str]]) -> Told:
    _, tell = pattern_teller(pattern)
    return {name: ([tell(text) if text else None for text in part], [None] * len(part)) for name, part in cut.items()}


def _told_by_classifier(texts: Texts, cut: dict[str, list[str]], config: RatiosConfig) -> Told:
    numbers = {name: number for number, name in enumerate(texts.labels)}
    labels = np.array([numbers[text.label] for text in texts.training])
    copies = _numbered([text.rest for text in texts.training])
    _, first = np.unique(copies, return_index=True)
    random = np.random.default_rng([config.seed, 12])
    true, shuffled = (
        _tell(cut, each, copies, first, config) for each in (labels, random.permutation(labels[first])[copies])
    )
    named = np.array([*texts.labels, None], object)  # the last for NOBODY
    assert NOBODY == -1
    return {name: (named[true[name]].tolist(), named[shuffled[name]].tolist()) for name in cut}


def _tell(cut: dict[str, list[str]], labels: Ids, copies: Ids, first: Ids, config: RatiosConfig) -> dict[str, Ids]:
    """The label of each text of each source. labels, copies: of training texts; first: of each text its first copy."""
    fewest = int(np.bincount(labels[first]).min())
    folds = deal_folds(labels[first], min(config.folds, fewest), config.seed)[copies]
    found = attribute(cut[TRAINING], labels, folds, {TRAINING: cut[TRAINING]})
    tell = fit_authors(cut[TRAINING], labels)
    return found | {name: tell(part) for name, part in cut.items() if name != TRAINING}


def _numbered(texts: Sequence[str]) -> Ids:
    """The number of each text, equal ones alike, in the order of their first places."""
    places = dict[str, int]()
    return np.array([places.setdefault(text, len(places)) for text in texts], np.int64)
