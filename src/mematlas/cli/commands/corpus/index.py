"""`mematlas index`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from mematlas.cli.numbers import NotNegative, Positive
from mematlas.cli.progress import Quiet, progress_display
from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.left_out import left_out_line, read_left_out
from mematlas.corpus.opening import open_corpus
from mematlas.errors.remedies import command_line
from mematlas.models.huggingface import tokenizer_encoder
from mematlas.progress import Progress
from mematlas.types import Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexCommandOptions:
    """The options of `mematlas index`.

    Parameters
    ----------
    out
        Folder for the index, which takes about three times the size of the tokens.
    tokenizer
        Folder or hub id of a tokenizer for a text corpus and for text queries.
    eod
        Id of the token that ends a document; without it, documents end where the corpus says, or with rows.
    joined
        Rows are consecutive cuts of one text, so documents continue from row to row; needs --eod.
    format
        Corpus format; see `mematlas list formats`.
    row_length
        Tokens per row, for headerless files and text.
    token_dtype
        Data type of headerless token files.
    column
        Name of the text or token column.
    cut
        How text is cut: into consecutive rows of a document (auto is the same here), or one window per document.
    vocabulary
        Number of token ids, if there is no tokenizer.
    workers
        Processes that sort; each takes about 0.9 GB. By default one per processor.
    tables
        Also write tables of the counts of every token and every pair of tokens in the corpus.
    infini_gram
        Folder in which to also write the index as an infini-gram v4 directory.
    verify
        Read the whole index again after building, and check it.
    """

    out: Path
    tokenizer: str | None = None
    eod: NotNegative | None = None
    joined: Annotated[bool, Parameter(negative=())] = False
    format: str | None = None
    row_length: Positive | None = None
    token_dtype: Literal["uint16", "uint32"] | None = None
    column: str | None = None
    cut: Literal["auto", "rows", "window"] = "auto"
    vocabulary: Positive | None = None
    workers: Positive | None = None
    tables: Annotated[bool, Parameter(negative=())] = False
    infini_gram: Path | None = None
    verify: Annotated[bool, Parameter(negative=())] = False


def index(corpus: str, *, options: Annotated[IndexCommandOptions, Parameter(name="*")], quiet: Quiet = False) -> None:
    """Index a corpus, so that any n-gram can be counted immediately.

    Example: mematlas index tokens.bin --format memmap --row-length 2049 --token-dtype uint16 --eod 0 --out index

    Running the same command again completes an interrupted build, and does nothing if the index is complete.

    Parameters
    ----------
    corpus
        File, folder, prefix, or hub dataset, as for `mematlas score --corpus`.
    """
    _build(corpus, options, progress_display(quiet))
    if options.verify:
        from mematlas.index.folder import verify_index

        verify_index(options.out)
        print("Verified: every file is unchanged, every suffix is in order.")
    if options.tables:
        from mematlas.index.folder import StoredStream
        from mematlas.index.frequencies import write_ngram_tables

        tables = write_ngram_tables(StoredStream(options.out), options.out, "documents")
        print("Tables: " + ", ".join(map(str, tables)))
    if options.infini_gram is not None:
        from mematlas.index.infinigram import export_infinigram

        export_infinigram(options.out, options.infini_gram)
        print(f"An infini-gram v4 directory is in {options.infini_gram}.")
    query = ["some text"] if options.tokenizer else ["--ids", "1,2,3"]
    print(f"Query it: {command_line('count', options.out, *query)}")


def _build(corpus: str, options: IndexCommandOptions, progress: Progress) -> None:
    from mematlas.index.building import IndexOptions, build_index

    encoder = _encoder(options.tokenizer)
    corpus_options = CorpusOptions(options.row_length, options.token_dtype, options.column, options.cut, encoder)
    index_options = IndexOptions(
        corpus,
        options.vocabulary or (encoder.vocabulary if encoder else None),
        options.eod,
        options.joined,
        options.tokenizer,
        encoder.fingerprint if encoder else None,
        workers=options.workers,
    )
    opened = open_corpus(corpus, format=options.format, options=corpus_options)
    try:
        facts = build_index(opened, options.out, index_options, progress)
    finally:
        progress.stop()
    print(
        f"The index of {facts.tokens:,} tokens, {facts.rows:,} rows and {facts.documents:,} documents is in "
        f"{options.out}."
    )
    left_out = left_out_line(read_left_out(opened.details, len(opened)))
    if left_out is not None:
        print(left_out)
    if facts.documents == facts.rows and options.eod is None:
        print(
            "Documents are taken to end with rows, because nothing marks their ends; --eod names the token that ends a "
            "document."
        )


def _encoder(tokenizer: str | None) -> Encoder | None:
    if tokenizer is None:
        return None

    return tokenizer_encoder(tokenizer, None)
