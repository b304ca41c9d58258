"""Row features of a study, made and kept: what `mematlas features` and the second step of `mematlas run` do.

The corpus is read as one stream; once to see how long it is, then once for every group of scored rows, whose n-grams
are all looked for in the same pass. Each group is a shard of each table (`mematlas.features.schema`). What is there is
kept: features are made again only if rows, grid, corpus, tokenizer or what was asked changed.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mematlas.corpus.order import read_order
from mematlas.errors import IndexFault
from mematlas.index.base import Scope
from mematlas.made import features_name, forget_made, is_made, note_made
from mematlas.placing import write_places
from mematlas.records import Encoder, Grid
from mematlas.reopening import ScoredRows, reopen
from mematlas.store import Study, fingerprint, open_study, shard_is_done, shard_name, telling, write_json, write_shard
from mematlas.study import Progress, Silent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mematlas.features.texts import Decode
    from mematlas.index.stream import CorpusStream, RowSource
    from mematlas.scoring.shards import ShardPlan

#: Part of the fingerprint of features; raised when a change of the code can change a number.
VERSION: Final = 2
#: Our choice: n-grams of so many tokens in all are looked for in one pass, which bounds its memory (below 1.5 GB on
#: two cores). That is 36,000 rows a pass for one cell of 32 + 32 tokens, and 14,000 for the demo's eight cells.
PASS_TOKENS: Final = 1 << 24
KINDS: Final = ("texts", "tokens", "counts", "copies")


@dataclass(frozen=True, slots=True)
class Counting:
    """How the corpus is counted.

    scope: of the n-gram counts (copies are counted in every scope); eod: id of the token that ends a document, None
    where documents end with rows; joined: rows are consecutive cuts of one text; order: .npy of the positions of rows
    as training showed them, None to count every row of the corpus once.
    """

    scope: Scope = "documents"
    eod: int | None = None
    joined: bool = False
    order: Path | None = None


def make_features(
    study: Study | str | Path,
    *,
    scope: Scope = "documents",
    eod: int | None = None,
    joined: bool = False,
    training_order: str | Path | None = None,
    run: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Make the row features of a finished run and return their folder; the Python twin of `mematlas features`.

    Args:
        study: an open study or its folder.
        scope: within what 1- to 3-grams are counted: "rows", "documents" or "stream".
        eod: id of the token that ends a document within a row.
        joined: a document may go on in the next row; needs `eod`.
        training_order: .npy of row positions, as training showed them: counts are of that stream.
        run: the run whose key starts so; the latest by default.
        progress: watcher; silent by default.

    Raises:
        StudyError, CorpusError: see `mematlas.reopening.reopen`.
        IndexFault: `eod` stands nowhere in the corpus, or `joined` lacks it.
    """
    opened = study if isinstance(study, Study) else open_study(study)
    order = None if training_order is None else Path(training_order)
    scored, watcher = reopen(opened, run), progress or Silent()
    folder = write_features(opened, scored, Counting(scope, eod, joined, order), watcher)
    write_places(opened, scored, watcher)
    return folder


def write_features(study: Study, scored: ScoredRows, counting: Counting, watcher: Progress) -> Path:
    """Make what is missing of a run's features; returns their folder. Finished shards are kept; facts.json is last."""
    from mematlas.index.stream import CorpusStream

    work = _Work.of(study, scored, counting)
    if work.is_done():
        watcher.say(f"Row features are there already: {work.folder}")
        return work.folder
    stream = CorpusStream(work.corpus, None, counting.eod, counting.joined)
    try:
        facts = _measured(work, stream, watcher)
        with telling(study.folder):
            work.begin()
        _write_shards(work, stream, facts["tokens"], watcher)
    finally:
        watcher.stop()
    write_json(work.folder / "facts.json", facts)
    note_made(study.folder, features_name(scored.run), work.source)
    return work.folder


def passes_left(study: Study, scored: ScoredRows, counting: Counting) -> int:
    """How often the rows of the corpus would be read by `write_features`; 0 if all is there."""
    work = _Work.of(study, scored, counting)
    return 0 if work.is_done() else 1 + len(work.missing())


# ------------------------------------------------------------------------------------------------ what there is to do


@dataclass(frozen=True, slots=True)
class _Work:
    """corpus: what is counted; plan: the scored rows, a shard a pass; source: of what the features are made."""

    study: Path
    scored: ScoredRows
    counting: Counting
    corpus: "RowSource"
    plan: "ShardPlan"
    folder: Path
    source: str

    @classmethod
    def of(cls, study: Study, scored: ScoredRows, counting: Counting) -> "_Work":
        from mematlas.scoring.shards import ShardPlan

        train = next(rows.corpus for rows in scored.sets if rows.role == "train")
        corpus: RowSource = train if counting.order is None else read_order(counting.order, train)
        total = sum(len(rows.positions) for rows in scored.sets)
        plan = ShardPlan(scored.sets, -(-total // rows_a_pass(scored.grid)))
        encoder, grid = scored.encoder, scored.grid
        made_from = {
            "rows": scored.run.question["fingerprints"],
            "grid": [grid.contexts, grid.continuations, grid.align],
            "corpus": corpus.fingerprint,
            "tokenizer": encoder and [encoder.fingerprint, encoder.vocabulary],
            "counting": [counting.scope, counting.eod, counting.joined],
            "shards": plan.count,
            "version": VERSION,
        }
        folder = study.folder / "features" / scored.run.key
        return cls(study.folder, scored, counting, corpus, plan, folder, fingerprint(made_from))

    def missing(self) -> list[int]:
        """The shards that are not finished, for all tables."""
        if _begun(self.folder) != self.source:
            return list(range(self.plan.count))
        names = [shard_name(index, self.plan.count) for index in range(self.plan.count)]
        return [at for at, name in enumerate(names) if not all(shard_is_done(self.folder / k, name) for k in KINDS)]

    def is_done(self) -> bool:
        made = is_made(self.study, features_name(self.scored.run), self.source)
        return made and (self.folder / "facts.json").is_file() and not self.missing()

    def begin(self) -> None:
        """Make room: features that were made of something else go, for their shards are no part of these."""
        forget_made(self.study, features_name(self.scored.run))
        (self.folder / "facts.json").unlink(missing_ok=True)
        if _begun(self.folder) != self.source:
            shutil.rmtree(self.folder, ignore_errors=True)
            write_json(self.folder / "begun.json", {"source": self.source})


def _begun(folder: Path) -> str | None:
    """The source of the shards in `folder`."""
    try:
        found = json.loads((folder / "begun.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found.get("source") if isinstance(found, dict) else None


def rows_a_pass(grid: Grid) -> int:
    """How many rows' n-grams are looked for in one pass."""
    from mematlas.features.counts import counted_spans

    return max(1, PASS_TOKENS // sum(stop - start for start, stop in counted_spans(grid)))


# ------------------------------------------------------------------------------------------------------------ passes


def _measured(work: _Work, stream: "CorpusStream", watcher: Progress) -> dict[str, Any]:
    """The facts, found by a first pass over the corpus.

    Raises:
        IndexFault: the end-of-document token stands nowhere.
    """
    counting, tokens, documents, ends = work.counting, 0, 0, 0
    watcher.start("reading the corpus", len(work.corpus), 0)
    for piece in stream.pieces(0):
        tokens, documents = tokens + piece.own, documents + len(piece.documents.starts)
        ends += 0 if counting.eod is None else int(np.count_nonzero(piece.tokens == counting.eod))
        watcher.advance(len(piece.rows.starts))
    if counting.eod is not None and not ends:
        raise IndexFault(
            f"The end-of-document token --eod {counting.eod} stands nowhere in the corpus ({tokens:,} tokens); name "
            "the id that ends its documents, or leave --eod out."
        )
    return {
        "scope": counting.scope,
        "tokens": tokens,
        "corpus": work.corpus.fingerprint,
        "eod": counting.eod,
        "joined": counting.joined,
        "ordered": counting.order is not None,
        "rows": len(work.corpus),
        "documents": documents,
        "version": VERSION,
    }


def _write_shards(work: _Work, stream: "CorpusStream", tokens: int, watcher: Progress) -> None:
    """One pass over the corpus for every missing shard."""
    from mematlas.features.counts import count_tables
    from mematlas.features.texts import texts_table
    from mematlas.features.tokens import tokens_table
    from mematlas.index.scan import Scan

    grid, missing = work.scored.grid, work.missing()
    decode, kinds = _reader(work.scored.encoder)
    done = (work.plan.count - len(missing)) * tokens
    watcher.start("counting n-grams", work.plan.count * tokens, done, "tokens")
    scan = Scan(stream, on_tokens=watcher.advance)
    with telling(work.study):
        for index in missing:
            name = shard_name(index, work.plan.count)
            rows, ids = work.plan.read(index, grid.width)
            metadata = {"run": work.scored.run.key, "scope": work.counting.scope, "source": work.source}
            write_shard(work.folder / "texts", name, texts_table(rows.ids, rows.lengths, ids, grid, decode), metadata)
            write_shard(work.folder / "tokens", name, tokens_table(rows, ids), metadata)
            tables = count_tables(rows, ids, grid, scan, tokens, work.counting.scope, kinds)
            for kind, table in zip(("counts", "copies"), tables, strict=True):
                write_shard(work.folder / kind, name, table, metadata)


def _reader(encoder: Encoder | None) -> "tuple[Decode | None, NDArray[np.int8] | None]":
    """What reads token ids as text, and the kind of each token; None where the models have no tokenizer."""
    from mematlas.features.texts import remembering, token_kinds

    if encoder is None or encoder.decode is None:
        return None, None
    decode: Callable[[list[int]], list[str]] = remembering(encoder.decode)
    return decode, token_kinds(encoder.vocabulary, decode)
