"""`mematlas index`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from mematlas.cli.progress import Bar
from mematlas.corpus.base import Corpus, CorpusOptions, Cut
from mematlas.types import Encoder


def index(
    corpus: str,
    *,
    out: Path,
    tokenizer: str | None = None,
    eod: int | None = None,
    joined: Annotated[bool, Parameter(negative=())] = False,
    format: str | None = None,
    row_length: int | None = None,
    token_dtype: Literal["uint16", "uint32"] | None = None,
    column: str | None = None,
    cut: Cut = "rows",
    vocabulary: int | None = None,
    workers: int | None = None,
    tables: Annotated[bool, Parameter(negative=())] = False,
    infini_gram: Path | None = None,
    verify: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Index a corpus, so that any n-gram of it is counted at once.

    Example: mematlas index tokens.bin --format memmap --row-length 2049 --token-dtype uint16 --eod 0 --out index

    The same command run again finishes an interrupted build, and does nothing when all is there.

    Parameters
    ----------
    corpus
        File, folder, prefix, or hub dataset, as for `mematlas score`.
    out
        Folder in which the index is kept: about three times the size of the tokens.
    tokenizer
        Folder or hub id: makes tokens of a corpus of text, and of the texts that are asked for.
    eod
        Id of the token that ends a document; without it documents end where the corpus says, or where rows do.
    joined
        Rows are consecutive cuts of one text, so that documents go on from row to row; needs --eod.
    format
        Corpus format; see `mematlas list formats`.
    row_length
        Tokens a row, for headerless files and text.
    token_dtype
        Of headerless token files.
    column
        Name of the text or token column.
    cut
        Text: consecutive rows of a document, or one window each.
    vocabulary
        Number of token ids, where no tokenizer says it.
    workers
        Processes that sort; each takes about 0.9 GB. Default: one a processor.
    tables
        Also keep how often every token and every pair of tokens stands in the corpus.
    infini_gram
        Also write the index as an infini-gram v4 directory here.
    verify
        Read the whole index again and check it.
    """
    from mematlas.index.building import IndexOptions, build_index
    from mematlas.index.folder import StoredStream, verify_index

    encoder = _encoder(tokenizer)
    opened = _open(corpus, format, CorpusOptions(row_length, token_dtype, column, cut, encoder))
    options = IndexOptions(
        corpus,
        vocabulary or (encoder.vocabulary if encoder else None),
        eod,
        joined,
        tokenizer,
        encoder.fingerprint if encoder else None,
        workers=workers,
    )
    bar = Bar()
    try:
        facts = build_index(opened, out, options, bar)
    finally:
        bar.stop()
    print(f"The index of {facts.tokens:,} tokens, {facts.rows:,} rows and {facts.documents:,} documents is in {out}.")
    if facts.documents == facts.rows and eod is None:
        print("Documents end where rows do, since nothing else says where; --eod names the token that ends them.")
    if verify:
        verify_index(out)
        print("Verified: every file is as it was written, every suffix in its order.")
    if tables:
        from mematlas.index.tables import write_ngram_tables

        print("Tables: " + ", ".join(str(path) for path in write_ngram_tables(StoredStream(out), out, "documents")))
    if infini_gram is not None:
        from mematlas.index.infinigram import export_infinigram

        export_infinigram(out, infini_gram)
        print(f"An infini-gram v4 directory is in {infini_gram}.")
    query = '"some text"' if tokenizer else "--ids 1,2,3"
    print(f"Ask it: mematlas count {out} {query}")


def _encoder(tokenizer: str | None) -> Encoder | None:
    if tokenizer is None:
        return None
    from mematlas.models.huggingface import tokenizer_encoder

    return tokenizer_encoder(tokenizer, None)


def _open(corpus: str, format: str | None, options: CorpusOptions) -> Corpus:
    from mematlas.corpus import open_corpus

    return open_corpus(corpus, format=format, options=options)
