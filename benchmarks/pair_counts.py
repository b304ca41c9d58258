"""Time and memory of counting documents with pairs of n-grams, beside infini-gram's own query of co-occurrences.

    python benchmarks/pair_counts.py [--tokens 50_000_000] [--pairs 100_000] [--theirs 2_000]

Documents of 500 tokens are drawn at random, ids by a Zipf law. Pairs are of
two n-grams of 2 or 3 tokens that stand in one document, or in two. The index is built once and not timed with queries.

infini-gram (if it is installed) is asked for the first `--theirs` pairs that both count in the same way: each n-gram at
most once in a document, so that places are documents; its window is as long as a document, its limit of occurrences
(max_clause_freq) above all. Memory is the largest resident size of the process, less that before the query.
"""

import argparse
import importlib.util
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.index.building import IndexOptions, build_index
from mematlas.index.cooccurrence import pair_counts
from mematlas.index.folder import open_index
from mematlas.index.infinigram import export_infinigram

LENGTH, VOCABULARY, EOD = 500, 20_000, 0


def write_tokens(path: Path, tokens: int, random: np.random.Generator) -> np.ndarray:
    """Documents of LENGTH tokens, the last of which is EOD, [documents, LENGTH] uint16."""
    documents = tokens // LENGTH
    weights = 1 / np.arange(1, VOCABULARY) ** 1.1
    borders = np.cumsum(weights / weights.sum())
    drawn = np.searchsorted(borders, random.random((documents, LENGTH))).clip(0, VOCABULARY - 2) + 1
    table = drawn.astype(np.uint16)
    table[:, -1] = EOD
    table.tofile(path)
    return table


def draw_ngrams(table: np.ndarray, count: int, random: np.random.Generator) -> tuple[list[list[int]], np.ndarray]:
    """Distinct n-grams of 2 or 3 tokens, and pairs of them: every other one from one document."""
    wanted: dict[tuple[int, ...], int] = {}
    pairs = np.empty((count, 2), np.int64)
    for number in range(count):
        documents = random.integers(0, len(table), 2)
        if number % 2:
            documents[1] = documents[0]
        for side, document in enumerate(documents.tolist()):
            n = int(random.integers(2, 4))
            place = int(random.integers(0, LENGTH - n - 1))
            ngram = tuple(table[document, place : place + n].tolist())
            pairs[number, side] = wanted.setdefault(ngram, len(wanted))
    return [list(ngram) for ngram in wanted], pairs


def memory() -> float:
    """Largest resident size so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=50_000_000)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--theirs", type=int, default=2_000)
    asked = parser.parse_args()
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        table = write_tokens(folder / "tokens.bin", asked.tokens, random)
        ngrams, pairs = draw_ngrams(table, asked.pairs, random)
        corpus = open_corpus(folder / "tokens.bin", format="memmap", options=CorpusOptions(LENGTH, "uint16"))
        start = time.perf_counter()
        build_index(corpus, folder / "index", IndexOptions("drawn", VOCABULARY, EOD, workers=1))
        print(f"index of {table.size:,} tokens, {len(table):,} documents: {time.perf_counter() - start:.1f} s")
        engine, _ = open_index(folder / "index")
        pair_counts(engine, ngrams[:2], [[0, 1]])  # compiled loops
        before, start, processor = memory(), time.perf_counter(), time.process_time()
        found = pair_counts(engine, ngrams, pairs)
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
        print(
            f"mematlas: {asked.pairs:,} pairs of {len(ngrams):,} n-grams in {seconds:.1f} s ({processor:.1f} s of the "
            f"processor), {memory() - before:.0f} MB; {np.mean(found.both > 0):.1%} of pairs in some document"
        )
        check(table, ngrams, pairs, found.both, random)
        if importlib.util.find_spec("infini_gram") is None:
            print("infini-gram is not installed")
            return
        compare(folder, engine.count(ngrams), found.single, ngrams, pairs, found.both, asked.theirs)


def check(table: np.ndarray, ngrams: list[list[int]], pairs: np.ndarray, both: np.ndarray, random) -> None:
    """Compare some counts with a search through all documents."""
    for number in random.integers(0, len(pairs), 10).tolist():
        inside = [has(table, ngrams[side]) for side in pairs[number].tolist()]
        assert int((inside[0] & inside[1]).sum()) == both[number], number
    print("10 pairs searched in all documents: equal")


def has(table: np.ndarray, ngram: list[int]) -> np.ndarray:
    """Which documents have an n-gram."""
    n = len(ngram)
    equal = np.ones((len(table), LENGTH - n + 1), bool)
    for offset, token in enumerate(ngram):
        equal &= table[:, offset : LENGTH - n + 1 + offset] == token
    return equal.any(1)


def compare(
    folder: Path,
    occurrences: np.ndarray,
    documents: np.ndarray,
    ngrams: list[list[int]],
    pairs: np.ndarray,
    both: np.ndarray,
    count: int,
) -> None:
    """Ask infini-gram for pairs of which both definitions are the same."""
    from infini_gram.engine import InfiniGramEngine

    export_infinigram(folder / "index", folder / "theirs")
    engine = InfiniGramEngine(str(folder / "theirs"), eos_token_id=EOD, vocab_size=65535, version=4, token_dtype="u16")
    once = occurrences == documents
    chosen = np.flatnonzero(once[pairs].all(1) & (pairs[:, 0] != pairs[:, 1]))[:count]
    start, differing, answered = time.perf_counter(), 0, 0
    for number in chosen.tolist():
        first, second = (ngrams[side] for side in pairs[number].tolist())
        answer = engine.count_cnf(cnf=[[first], [second]], max_clause_freq=500_000, max_diff_tokens=LENGTH)
        answered += "count" in answer
        differing += answer.get("count") != both[number]
    seconds = time.perf_counter() - start
    print(
        f"infini-gram: {len(chosen):,} pairs in {seconds:.1f} s ({1e3 * seconds / max(1, len(chosen)):.2f} ms a pair), "
        f"{answered:,} answered, {differing:,} with another count ({int((both[chosen] > 0).sum()):,} are not 0)"
    )


if __name__ == "__main__":
    main()
