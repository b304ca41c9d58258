"""A corpus counted in parts: tables equal to the byte, whichever worker counts which part; n-grams across parts."""

import json
from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import mematlas
from mematlas import make_features
from mematlas.cli import run
from mematlas.errors import CorpusError, OptionError, StudyError
from mematlas.executors.local import LocalExecutor
from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions
from mematlas.index.base import SCOPES
from mematlas.index.scan import Scan
from mematlas.index.stream import CorpusStream, MeteredStream
from mematlas.pipeline.steps import count as counting
from mematlas.pipeline.steps import features as featuring
from mematlas.pipeline.steps.count import CountOptions, CountTask, CountTotals, count_workers, part_count
from mematlas.progress import Silent
from mematlas.scoring.reopen import reopen_rows
from mematlas.study import Study
from mematlas.study.schemas.features import SCHEMAS
from tests import study_shelf as shelves
from tests.executors.sample_workers import killed_once
from tests.index.oracle import Oracle, Rows

ASKED = [
    CountOptions("rows"),
    CountOptions("documents", eod=3),
    CountOptions("stream", eod=3, joined=True),
    CountOptions("rows", order=Path("order.npy")),
]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Scored rows of a corpus in which n-grams, rows and cuts of rows recur; a group has three scored rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(featuring, "PASS_TOKENS", 4 * 200)
    shelves.fill(tmp_path)
    tokens = np.load("rows.npy") % 5
    tokens[7] = tokens[2]
    np.save("corpus.npy", tokens)
    np.save("order.npy", np.random.default_rng(0).permutation(np.repeat(np.arange(30), 2)))
    asked = {"corpus": "corpus.npy", "control": "control.npy", "context": [8], "continuation": [4, 12]}
    return mematlas.score("uniform:60", study="study", rows="slice:1:6", **asked)


class InTurns(LocalExecutor):
    """Runs all tasks in this process, the last first, by two workers in turn; records the number of tasks."""

    tasks = 0

    def run(self, make_worker, tasks, on_result, say):
        workers = [make_worker(1), make_worker(1)]
        for number, task in enumerate(reversed(tasks)):
            on_result(workers[number % 2](task))
        InTurns.tasks = len(tasks)
        return []


def contents(study):
    """Every Parquet file of the features, and facts.json."""
    folder = study.features_folder()
    files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: content for path, content in files.items() if path.suffix == ".parquet" or path.name == "facts.json"}


@pytest.mark.parametrize("asked", ASKED, ids=["rows", "documents", "joined", "ordered"])
@pytest.mark.parametrize("parts", [1, 7, 30])
def test_parts_in_any_order_give_the_tables_of_one_pass(study, monkeypatch, asked, parts):
    options = {"scope": asked.scope, "eod": asked.eod, "joined": asked.joined, "training_order": asked.order}
    make_features(study, **options)
    known = contents(study)
    (study.folder / "made.json").unlink()
    for path in study.features_folder().rglob("*.done"):
        path.unlink()
    monkeypatch.setattr(counting, "FEWEST_PARTS", parts)
    monkeypatch.setattr("mematlas.executors.local.LocalExecutor", InTurns)
    make_features(study, workers=2, **options)
    groups = len(list((study.features_folder() / "counts").glob("*.parquet")))
    assert groups == 3
    assert InTurns.tasks == parts * groups
    assert contents(study) == known
    assert len(known) == 4 * groups + 1


@pytest.mark.parametrize("asked", ASKED, ids=["rows", "documents", "joined", "ordered"])
def test_what_parts_hold_adds_up_to_what_a_list_holds(study, asked):
    """Every bigram of the corpus, counted by hand in the scope."""
    scored = reopen_rows(study)
    corpus = asked.corpus(scored)
    rows = np.load("corpus.npy")[np.load("order.npy") if asked.order else slice(None)].tolist()
    starts = {24 * row for row in range(len(rows))}
    stream = [token for row in rows for token in row]
    after = {place + 1 for place, token in enumerate(stream) if token == asked.eod}
    documents = {0} | after if asked.joined else starts | after
    borders = {"rows": starts, "documents": documents, "stream": set()}
    bigrams = sorted(set(pairwise(stream)))
    sums, tokens, begun = np.zeros((3, len(bigrams)), int), 0, 0
    for number in range(7):
        part = MeteredStream(asked.stream(corpus, (number, 7)))
        scan = Scan(part, 1, chunk_tokens=50)
        found = scan.prepare(bigrams)
        sums += found.expand(scan.count_distinct(found))
        tokens, begun = tokens + part.tokens, begun + part.documents
    for line, scope in enumerate(SCOPES):
        known = Counter(pair for at, pair in enumerate(pairwise(stream)) if at + 1 not in borders[scope])
        assert sums[line].tolist() == [known[pair] for pair in bigrams], scope
    assert (tokens, begun) == (len(stream), len(documents - {len(stream)}))


def test_two_processes_of_which_one_is_killed_count_the_same_in_one_bar(study, monkeypatch, tmp_path):
    make_features(study, scope="rows")
    known = contents(study)
    monkeypatch.setattr(featuring, "count_workers", partial(killed_once, tmp_path / "killed", count_workers))
    for path in study.features_folder().rglob("*.done"):
        path.unlink()
    watcher = Watching()
    make_features(study, scope="rows", workers=2, progress=watcher)
    assert (tmp_path / "killed").is_file()
    assert contents(study) == known
    assert [text.partition(" (")[0] for text in watcher.said] == ["A worker died"]
    assert "another takes over part " in watcher.said[0]
    groups = len(list((study.features_folder() / "counts").glob("*.parquet")))
    assert watcher.started == [("counting n-grams, 2 workers", 30 * groups, 0, "rows")]
    assert watcher.done == 30 * groups


class Watching(Silent):
    def __init__(self):
        self.said, self.started, self.done = [], [], 0

    def say(self, text):
        self.said.append(text)

    def start(self, label, total, done, unit="rows"):
        self.started.append((label, total, done, unit))

    def advance(self, rows):
        self.done += rows


def test_only_groups_that_are_missing_are_counted(study, monkeypatch):
    make_features(study)
    known = contents(study)
    gone = sorted((study.features_folder() / "copies").glob("*.done"))[1]
    gone.unlink()
    monkeypatch.setattr("mematlas.executors.local.LocalExecutor", InTurns)
    make_features(study, workers=2)
    assert InTurns.tasks == counting.FEWEST_PARTS
    assert contents(study) == known


def test_workers_read_the_corpus_once_less(study):
    scored = reopen_rows(study)
    assert featuring.FeaturesStep(study, scored, CountOptions(), SINGLE_PROCESS).passes_left() == 4
    assert featuring.FeaturesStep(study, scored, CountOptions(), WorkerOptions(workers=2)).passes_left() == 3


def test_how_a_corpus_is_cut_depends_on_it_alone():
    class OfLength:
        def __init__(self, count, **details):
            self.count, self.details = count, details

        def __len__(self):
            return self.count

    assert [part_count(OfLength(count, row_length=64)) for count in (1, 5, 10**6, 2**25)] == [1, 5, 16, 32]
    assert part_count(OfLength(2**24)) == 16  # rows of unknown length are assumed to have 64 tokens


def test_a_worker_that_finds_another_order_counts_nothing(study):
    order = CountOptions("rows", order=Path("order.npy"))
    scored = reopen_rows(study)
    corpus = order.corpus(scored).fingerprint
    np.save("order.npy", np.arange(30))
    with pytest.raises(CorpusError, match=r"A worker found another training order in order\.npy than the command did"):
        count_workers(study, scored, order, corpus, 4)(1)


def test_a_part_that_kills_every_worker_is_named_and_finished_groups_stay(study, monkeypatch):
    class Losing(InTurns):
        def run(self, make_worker, tasks, on_result, say):
            from mematlas.executors.base import FailedTask

            super().run(make_worker, [task for task in tasks if task.group < 2], on_result, say)
            return [FailedTask(task, 4, "signal 9") for task in tasks if task.group == 2]

    monkeypatch.setattr("mematlas.executors.local.LocalExecutor", Losing)
    with pytest.raises(StudyError) as caught:
        make_features(study, workers=2)
    assert str(caught.value) == (
        "part 1 of 16 of the corpus, counted for the rows of shard-00002-of-00003 was given up after 4 workers died "
        "while running it (the last one: signal 9) and 15 more parts were given up; tables of rows that were counted "
        "in all parts are kept. Use fewer --workers, and run the same command again."
    )
    assert len(list((study.features_folder() / "copies").glob("*.done"))) == 2
    assert study.feature_facts() is None


def test_older_features_stay_until_a_worker_has_answered(study, monkeypatch):
    class Nowhere(LocalExecutor):
        def run(self, make_worker, tasks, on_result, say):
            raise StudyError("No Ray cluster answers")

    make_features(study, scope="rows")
    known = contents(study)
    monkeypatch.setattr("mematlas.executors.local.LocalExecutor", Nowhere)
    with pytest.raises(StudyError, match="No Ray cluster answers"):
        make_features(study, scope="stream", workers=2)
    assert contents(study) == known


def test_sums_are_given_once_the_last_part_has_come():
    sums = CountTotals()
    counted = [
        counting.PartCounts(CountTask(0, 1, n, 2), 5, 10 + n, 1, [np.array([[n], [255], [1]], np.uint8)])
        for n in (1, 0)
    ]
    assert sums.add(counted[0]) is None
    (total,) = sums.add(counted[1])
    assert total.tolist() == [[1], [510], [2]]
    assert (sums.tokens, sums.documents) == (21, 2)


def test_the_command_line_refuses_what_means_nothing_in_one_line(study, capsys):
    assert run(["features", "study", "--address", "auto"]) == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("--address auto is an option of Ray clusters only: add --executor ray, or leave it out.")
    )
    with pytest.raises(
        OptionError, match=r"--workers: Input should be greater than 0 \(given: 0\)\. See `mematlas features --help`"
    ):
        make_features(study, workers=0)
    assert run(["features", "study", "--scope", "rows", "--workers", "1"]) == 0
    assert json.loads((study.features_folder() / "facts.json").read_text())["scope"] == "rows"
    assert set(SCHEMAS) <= set(Study("study").feature_kinds())


@pytest.mark.parametrize("lengths", [[4, 0, 4, 4], [4, 0, 4, 0, 4, 0], [0, 0, 3], [2, 3, 0, 0, 5], [0]])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_rows_without_tokens_begin_no_document_wherever_a_part_or_a_chunk_ends(lengths, size):
    documents = [1, 2, 2, 3, 3, 4][: len(lengths)]
    stream = iter(range(1, 100))
    rows = Rows([[next(stream) for _ in range(length)] for length in lengths], documents)
    oracle = Oracle(rows)
    numbers = oracle.document_of
    within = sum(numbers[at] == numbers[at + 2] for at in range(len(numbers) - 2))
    trigrams = [tuple(oracle.tokens[at : at + 3]) for at in range(len(oracle.tokens) - 2)]
    for parts in range(1, len(lengths) + 1):
        counted = begun = 0
        for part in range(parts):
            measured = MeteredStream(CorpusStream(rows, part=(part, parts)))
            scan = Scan(measured, 1, chunk_tokens=size)
            if trigrams:
                found = scan.prepare(trigrams)
                counted += int(found.expand(scan.count_distinct(found))[SCOPES.index("documents")].sum())
                begun += measured.documents
        assert (counted, begun) == (within, len(set(numbers)) if trigrams else 0), parts
