"""Row features of whole studies: what is counted, kept, recomputed and refused."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas import make_features
from mematlas.errors import CorpusError, IndexFault, MematlasError, OptionError, StudyError
from mematlas.pipeline.steps import features as featuring
from mematlas.pipeline.study_file import parse_study_file
from mematlas.progress import Silent
from mematlas.study.build_stamps import combined_fingerprint, features_name, record
from mematlas.study.schemas.features import SCHEMAS
from mematlas.study.shards import write_shard
from mematlas.types import Grid
from tests import study_shelf as shelves
from tests.analyses.published_files import write_memorized_evals
from tests.byte_level_tokenizer import CHINESE, byte_level_encoder

KINDS = tuple(SCHEMAS)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shelves.fill(tmp_path)


def score(shelf, study="study", **options):
    """A study of a corpus in which n-grams and rows recur; row 7 is a copy of row 2."""
    tokens = np.load(shelf / "rows.npy") % 5
    tokens[7] = tokens[2]
    np.save(shelf / "few_kinds.npy", tokens)
    asked = {"corpus": "few_kinds.npy", "control": "control.npy", "context": [8], "continuation": [4, 12]}
    return mematlas.score("uniform:60", **(asked | {"study": study, "rows": "slice:1:6"} | options))


def tables(study):
    return {kind: study.features(kind) for kind in KINDS}


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


class Listening(Silent):
    def __init__(self):
        self.said, self.started, self.done = [], [], []

    def say(self, text):
        self.said.append(text)

    def start(self, label, total, done, unit="rows"):
        self.started.append((label, total, done, unit))
        self.done.append(0)

    def advance(self, rows):
        self.done[-1] += rows


def grams(rows, n):
    return Counter(tuple(row[at : at + n]) for row in rows for at in range(len(row) - n + 1))


# ------------------------------------------------------------------------------------------------------ what is counted


def test_counts_are_of_all_rows_of_the_training_corpus_for_scored_rows_and_control(shelf):
    study = score(shelf)
    make_features(study, scope="rows")
    corpus, control = np.load("few_kinds.npy").tolist(), np.load("control.npy").tolist()
    rows = dict(enumerate(corpus)) | {30 + number: row for number, row in enumerate(control)}
    counts = study.features("counts")
    assert counts["row"].to_list() == [1, 2, 3, 4, 5, *range(30, 40)]
    for n, name in ((1, "unigrams"), (2, "bigrams"), (3, "trigrams")):
        known = grams(corpus, n)
        for row, found in counts.select("row", name).iter_rows():
            tokens = rows[row][:20]
            assert found == [None] * (n - 1) + [known[tuple(tokens[at : at + n])] for at in range(21 - n)]
    copies = study.features("copies").filter(continuation=12)
    known = grams(corpus, 20)
    assert dict(copies.select("row", "window_rows").rows()) == {
        row: known[tuple(rows[row][:20])] for row in copies["row"]
    }
    assert copies.filter(row=2)["window_rows"].item() == 2
    assert set(copies.filter(pl.col("row") >= 30)["window_stream"]) == {0}
    assert study.features("counts")["kinds"].null_count() == 15  # the stand-in has no tokenizer
    assert dict(study.features("tokens").rows()) == {row: rows[row][:20] for row in counts["row"]}
    texts = study.features("texts")
    assert (
        texts.select("row", "context", "continuation").rows()
        == study.features("copies").select("row", "context", "continuation").rows()
    )


def test_the_facts_say_what_was_counted(shelf):
    study = score(shelf)
    folder = make_features(study, scope="stream", eod=3, joined=True)
    tokens = np.load("few_kinds.npy").reshape(-1)
    assert study.feature_facts() == {
        "scope": "stream",
        "tokens": 30 * 24,
        "corpus": study.run().settings["fingerprints"][0]["corpus"],
        "eod": 3,
        "joined": True,
        "ordered": False,
        "rows": 30,
        "documents": 1 + int((tokens[:-1] == 3).sum()),
        "version": featuring.VERSION,
    }
    assert folder == study.features_folder()


def test_a_training_order_counts_rows_as_often_as_they_were_shown(shelf):
    study = score(shelf)
    order = np.repeat(np.arange(30), [3 if row == 4 else row % 2 for row in range(30)])
    np.save("order.npy", np.random.default_rng(0).permutation(order))
    make_features(study, scope="rows", training_order="order.npy")
    copies = study.features("copies").filter(continuation=12)
    shown = dict(copies.select("row", "window_rows").rows())
    assert [shown[row] for row in range(1, 6)] == [1, 1, 1, 3, 1]  # row 7, a copy of row 2, was shown once
    facts = study.feature_facts()
    assert (facts["ordered"], facts["rows"], facts["tokens"]) == (True, len(order), len(order) * 24)
    assert facts["corpus"] != study.run().settings["fingerprints"][0]["corpus"]


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (None, "There is no training order order.npy; check the path"),
        (np.array([0, 30]), "names the positions 0 to 30, but the corpus has the rows 0 to 29"),
        (np.array([0.5]), "must be one array of integers"),
        (np.zeros((2, 2), int), "must be one array of integers"),
        (np.zeros(0, int), "must be one array of integers"),
        ("text", "is not a readable .npy file"),
    ],
)
def test_a_wrong_training_order_is_refused_in_one_line(shelf, values, part):
    study = score(shelf)
    if isinstance(values, str):
        Path("order.npy").write_text(values)
    elif values is not None:
        np.save("order.npy", values)
    with pytest.raises(CorpusError) as caught:
        make_features(study, training_order="order.npy")
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert study.feature_facts() is None


# --------------------------------------------------------------------------------------------------------- what is kept


def test_nothing_is_made_twice(shelf, monkeypatch):
    study = score(shelf)
    make_features(study)
    before = times(study.folder)
    monkeypatch.setattr(featuring.FeaturesStep, "_measure", None)
    listening = Listening()
    make_features(study, progress=listening)
    assert times(study.folder) == before
    assert listening.said == [f"Row features exist already: {study.features_folder()}"]


@pytest.mark.parametrize(
    "changed", [{"scope": "rows"}, {"eod": 3}, {"eod": 3, "joined": True}, {"training_order": "order.npy"}]
)
def test_features_of_another_kind_replace_those_that_are_there(shelf, changed):
    study = score(shelf)
    np.save("order.npy", np.arange(30)[::-1])
    make_features(study)
    before, made = times(study.features_folder()), combined_fingerprint(study.folder, [features_name(study.run())])
    make_features(study, **changed)
    after = times(study.features_folder())
    assert set(after) == set(before)
    assert all(before[path] != after[path] for path in before)
    assert combined_fingerprint(study.folder, [features_name(study.run())]) != made


def test_a_shard_that_is_gone_is_made_again_and_no_other(shelf, monkeypatch):
    monkeypatch.setattr(featuring, "PASS_TOKENS", 2 * 200)
    study = score(shelf)
    make_features(study)
    known, before = tables(study), times(study.features_folder())
    gone = sorted((study.features_folder() / "copies").glob("*.done"))[1]
    gone.unlink()
    make_features(study)
    changed = {path.stem for path, time in times(study.features_folder()).items() if before[path] != time}
    assert changed == {gone.stem, "facts"}
    assert all(known[kind].equals(study.features(kind)) for kind in KINDS)


def test_what_was_interrupted_goes_on_and_is_not_read_before(shelf, monkeypatch):
    study, other = score(shelf), score(shelf, "other")
    make_features(other)
    monkeypatch.setattr(featuring, "PASS_TOKENS", 2 * 200)
    write, calls = featuring.write_shard, []

    def stopped(*arguments):
        calls.append(arguments[:2])
        if len(calls) == 11:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(featuring, "write_shard", stopped)
    with pytest.raises(KeyboardInterrupt):
        make_features(study)
    with pytest.raises(StudyError, match="no row features yet; `mematlas features study` computes them"):
        study.features("counts")
    kept = times(study.features_folder() / "texts")
    calls.clear()
    monkeypatch.setattr(featuring, "write_shard", lambda *arguments: (calls.append(1), write(*arguments)))
    make_features(study)
    shards = -(-15 // featuring.rows_per_pass(featuring.reopen_rows(study).grid))
    assert shards > 3
    assert len(calls) == len(KINDS) * (shards - 2)  # two groups were complete
    after = times(study.features_folder() / "texts")
    assert sum(kept[path] == after[path] for path in kept) == 4
    keys = ("row", "context", "continuation")
    for kind in KINDS:  # one group, or many: the same numbers
        sort = [key for key in keys if key in SCHEMAS[kind].names]
        assert study.features(kind).sort(sort).equals(other.features(kind).sort(sort))


def test_progress_is_told_in_rows_and_in_tokens(shelf, monkeypatch):
    monkeypatch.setattr(featuring, "PASS_TOKENS", 2 * 200)
    study, listening = score(shelf), Listening()
    make_features(study, progress=listening)
    passes = -(-15 // featuring.rows_per_pass(featuring.reopen_rows(study).grid))
    tokens = 30 * 24 * passes
    assert listening.started == [("reading the corpus", 30, 0, "rows"), ("counting n-grams", tokens, 0, "tokens")]
    assert listening.done == [30, tokens]


def test_a_pass_takes_fewer_rows_where_a_row_has_more_to_look_for():
    small, large = Grid((8,), (4,)), Grid((8, 16), (16, 32))
    assert 250_000 > featuring.rows_per_pass(small) > 4 * featuring.rows_per_pass(large) > 40_000


# ------------------------------------------------------------------------------------------------------ what is refused


def refused(study, error, **options):
    with pytest.raises(error) as caught:
        make_features(study, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_corpus_than_was_scored_is_refused_with_both_fingerprints(shelf):
    study = score(shelf)
    old = study.run().settings["fingerprints"][0]["corpus"]
    np.save("few_kinds.npy", np.load("few_kinds.npy")[::-1])
    new = mematlas.open_corpus("few_kinds.npy").fingerprint
    said = refused(study, CorpusError)
    assert (
        f"few_kinds.npy is not the corpus that was scored: its fingerprint is {new}, the scored one's was {old}."
        in said
    )
    assert "Restore that corpus, or score this one" in said


def test_other_rows_and_another_control_are_refused(shelf):
    Path("ids.txt").write_text("1\n2\n3\n")
    study = score(shelf, rows="ids:ids.txt")
    Path("ids.txt").write_text("1\n2\n4\n")
    assert "--rows ids:ids.txt selects other rows of few_kinds.npy than were scored" in refused(study, CorpusError)
    study = score(shelf, "other")
    np.save("control.npy", np.load("control.npy")[::-1])
    assert "control.npy is not the corpus that was scored" in refused(study, CorpusError)


def test_a_corpus_that_is_gone_is_told(shelf):
    study = score(shelf)
    Path("few_kinds.npy").unlink()
    assert "There is no file or folder few_kinds.npy" in refused(study, CorpusError)


def test_published_scores_have_no_corpus_to_count_in(shelf):
    write_memorized_evals(shelf / "deduped.70m.parquet", [1, 2])
    study = mematlas.import_scores(shelf / "deduped.70m.parquet", study=shelf / "published")
    said = refused(study, StudyError)
    assert "contains published scores but no corpus" in said
    assert "`mematlas score MODEL --corpus PATH --study FOLDER`" in said


def test_a_run_that_is_not_finished_has_to_be_finished_first(shelf):
    study = score(shelf)
    (study.folder / "manifest.json").unlink()
    assert "is not finished" in refused(study, StudyError)
    score(shelf)
    make_features(study)
    assert study.feature_facts() is not None


def test_an_end_of_document_token_that_is_nowhere_is_refused_and_leaves_what_is_there(shelf):
    study = score(shelf)
    make_features(study)
    before = times(study.folder)
    said = refused(study, IndexFault, eod=59)
    assert "--eod 59 does not occur in the corpus (720 tokens); name the id that ends its documents" in said
    assert times(study.folder) == before
    assert "--eod ID" in refused(study, IndexFault, joined=True)


def test_a_folder_that_is_no_study_is_told(shelf):
    assert "is not a study" in refused("nowhere", StudyError)
    assert "has no run abc" in refused(score(shelf), StudyError, run="abc")


# --------------------------------------------------------------------------------------------------- moved and reopened


def test_a_study_is_found_from_elsewhere_with_what_lies_beside_it(shelf, tmp_path, monkeypatch):
    (shelf / "here").mkdir()
    study = score(shelf, "here/study", rows="slice:1:6")
    known = tables(make_and_open(study.folder))
    shutil.copytree(shelf, tmp_path / "moved" / "shelf")
    shutil.rmtree(tmp_path / "moved" / "shelf" / "here" / "study" / "features")
    for name in ("few_kinds.npy", "control.npy"):
        (shelf / name).unlink()
    monkeypatch.chdir(tmp_path / "moved")
    found = tables(make_and_open(Path("shelf/here/study")))
    assert all(known[kind].equals(found[kind]) for kind in KINDS)


def test_the_models_are_found_where_the_last_command_named_them(tmp_path, monkeypatch):
    from mematlas.experiments.data.tokenizer import train_tokenizer
    from tests.tiny_networks import neox, save_network

    (tmp_path / "below").mkdir()
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).integers(0, 200, (6, 16)))
    save_network(neox(300), tmp_path / "tiny")
    train_tokenizer(["the cat sat on the mat. " * 20], 270, 64).save_pretrained(tmp_path / "tiny")
    for folder, lead in (("below", "../"), (".", "./")):
        monkeypatch.chdir(tmp_path / folder)
        options = {"corpus": f"{lead}rows.npy", "context": [4], "continuation": [4], "study": f"{lead}s"}
        study = mematlas.score(f"{lead}tiny", **options)
    assert study.models()["spec"].to_list() == ["../tiny"]
    make_features("s")
    assert study.features("counts")["kinds"].null_count() == 0
    monkeypatch.chdir(tmp_path / "below")
    make_features("../s", scope="rows")


def make_and_open(folder):
    make_features(folder)
    return mematlas.open_study(folder)


def test_a_corpus_of_text_is_opened_as_it_was_scored(tmp_path, monkeypatch):
    from mematlas.experiments.data.tokenizer import train_tokenizer

    monkeypatch.chdir(tmp_path)
    text = "the cat sat on the mat, the cat sat on 12 hats. "
    train_tokenizer([text * 20], 270, 64).save_pretrained("tokenizer")
    Path("corpus.txt").write_text(text * 30)
    options = {"context": [4], "continuation": [4], "row_length": 12, "tokenizer": "tokenizer", "cache": "cache"}
    study = mematlas.score("uniform:300", corpus="corpus.txt", study="s", **options)
    make_features(study, scope="rows")
    assert study.run().settings["corpus_details"]["row_length"] == 12
    counts = study.features("counts")
    assert counts["kinds"].null_count() == 0
    assert counts["unigrams"].list.len().unique().to_list() == [8]
    assert study.features("texts")["bytes"].null_count() == 0
    assert study.features("copies")["window_rows"].max() > 1


def make_older(study, before_texts):
    """Make features look like those from before texts had a version: one fingerprint, and other texts."""
    folder = study.features_folder()
    begun = json.loads((folder / "begun.json").read_text())
    (folder / "begun.json").write_text(json.dumps({"source": begun["source"]}))
    record(study.folder, features_name(study.run()), begun["source"])
    for path in (folder / "texts").glob("*.parquet"):
        write_shard(path.parent, path.stem, before_texts, {})


def test_texts_of_an_older_version_are_made_again_and_nothing_is_counted_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    byte_level_encoder(Path("tokenizer"))
    Path("corpus.txt").write_text(CHINESE * 5, encoding="utf-8")
    options = {"context": [32], "continuation": [32], "tokenizer": "tokenizer", "cache": "cache"}
    study = mematlas.score("uniform:300", corpus="corpus.txt", study="s", **options)
    make_features(study)
    known, facts, before = tables(study), study.feature_facts(), times(study.features_folder())
    assert known["texts"]["bytes"].max() <= 70  # not 64 times the three bytes of a replacement character
    make_older(study, known["texts"].with_columns(bytes=pl.lit(192, pl.Int32)).to_arrow())
    assert study.features("texts")["bytes"].unique().to_list() == [192]
    monkeypatch.setattr(featuring.FeaturesStep, "run_here", None)
    monkeypatch.setattr(featuring.FeaturesStep, "_measure", None)
    make_features(study)
    assert all(known[kind].equals(study.features(kind)) for kind in KINDS)
    assert study.feature_facts() == facts
    changed = {path.parent.name for path, time in times(study.features_folder()).items() if before[path] != time}
    assert changed == {study.run().key, "texts"}
    made = times(study.folder)
    make_features(study)
    assert times(study.folder) == made


def test_features_of_an_older_version_stay_where_no_tokenizer_decodes(shelf):
    study = score(shelf)
    make_features(study)
    begun = study.features_folder() / "begun.json"
    begun.write_text(json.dumps({"source": json.loads(begun.read_text())["source"]}))
    before = times(study.folder)
    make_features(study)
    assert times(study.folder) == before


def test_a_lost_text_takes_no_pass_over_the_corpus(shelf, monkeypatch):
    study = score(shelf)
    make_features(study)
    known = study.features("texts")
    next((study.features_folder() / "texts").glob("*.done")).unlink()
    monkeypatch.setattr(featuring.FeaturesStep, "run_here", None)
    make_features(study)
    assert study.features("texts").equals(known)


# ----------------------------------------------------------------------------------------------------- in a study file


def test_a_study_file_makes_features_before_its_analyses_and_none_twice(shelf):
    path = shelves.study_file(shelf, scope="rows", eod="7", analyses="size")
    listening = Listening()
    study = mematlas.run(path, listening)
    said = listening.said
    assert said.index("Row features: what the corpus contains of the rows") < said.index("analysis size ...")
    facts = study.feature_facts()
    assert (facts["scope"], facts["eod"], facts["tokens"]) == ("rows", 7, 720)
    before = times(study.folder)
    mematlas.run(path)
    assert {path.name for path, time in times(study.folder).items() if before.get(path) != time} <= {"index.json"}


def test_other_features_make_the_findings_again(shelf):
    study = mematlas.run(shelves.study_file(shelf, gallery="false", analyses="size"))
    finding = study.folder / "findings" / study.run().key / "size" / "finding.json"
    before = times(study.folder / "scores"), finding.stat().st_mtime_ns
    mematlas.run(shelves.study_file(shelf, gallery="false", analyses="size", scope="rows"))
    assert times(study.folder / "scores") == before[0]
    assert finding.stat().st_mtime_ns != before[1]


def test_features_that_are_off_are_not_made(shelf):
    study = mematlas.run(shelves.study_file(shelf, features="false", analyses="size", gallery="false"))
    assert study.feature_facts() is None
    assert not (study.folder / "features").exists()


def test_the_keys_of_the_features_have_defaults_and_places():
    file = parse_study_file("models: uniform:60\ncorpus: c.npy\nstudy: s\n", Path("folder/study.yaml"))
    assert (file.features, file.scope, file.eod, file.joined, file.training_order) == (
        True,
        "documents",
        None,
        False,
        None,
    )
    text = "models: uniform:60\ncorpus: c.npy\nstudy: s\ntraining_order: o.npy\neod: 0\njoined: true\n"
    file = parse_study_file(text, Path("folder/study.yaml"))
    assert (file.eod, file.joined, file.training_order) == (0, True, Path("folder/o.npy"))


@pytest.mark.parametrize(
    ("added", "parts"),
    [
        ("scope: row", ["line 4", "scope", "'rows', 'documents' or 'stream'", "'row'"]),
        ("eod: -1", ["line 4", "eod", "greater than or equal to 0"]),
        ("joined: true", ["line 4", "joined", "need the key eod"]),
    ],
)
def test_a_wrong_key_is_one_line_with_its_place(added, parts):
    text = f"models: uniform:60\ncorpus: c.npy\nstudy: s\n{added}\n"
    with pytest.raises((OptionError, MematlasError)) as caught:
        parse_study_file(text, Path("folder/study.yaml"))
    said = str(caught.value)
    assert "\n" not in said
    for part in parts:
        assert part in said


def test_features_without_shards_of_this_source_are_no_features(shelf):
    study = score(shelf)
    make_features(study)
    begun = study.features_folder() / "begun.json"
    begun.write_text(json.dumps({"source": "another"}))
    before = times(study.features_folder() / "counts")
    make_features(study)
    after = times(study.features_folder() / "counts")
    assert all(before[path] != after[path] for path in before)


# ------------------------------------------------------------------------------------------- from the corpus to a claim


def test_counts_planted_in_a_corpus_are_the_step_at_the_border(shelf):
    """P1's known answer: the tokens at 31 and 32 of memorized rows occur a and b times; the step is b - a."""
    last, first, lengths = 400, 401, (17, 53)  # a = 17, b = 53
    corpus = np.arange(60 * 64)[::-1].reshape(60, 64) + 1000  # the highest id is in a row that is recited
    corpus[:10, 31], corpus[:10, 32] = last, first
    corpus[20, : lengths[0] - 10] = last
    corpus[21, : lengths[1] - 10] = first
    np.save(shelf / "planted.npy", corpus)
    np.save(shelf / "ten.npy", corpus[:10])
    study = mematlas.score("parrot:ten.npy", corpus="planted.npy", context=[32], continuation=[32], study="planted")
    make_features(study, scope="rows")
    (finding,) = mematlas.analyze(study, only=["boundary_input"])
    steps = finding.table("differences").filter(pl.col("class") == "memorized", role="train", alignment="border")
    step = steps.filter(ngram=1, scale="count", form="one step")
    assert step.select("rows", "difference").row(0) == (10, lengths[1] - lengths[0])
    pair = steps.filter(ngram=2, scale="count", form="one step")
    assert pair["difference"][0] == 10 - 1  # (31, 32) is the same pair in the ten rows; (30, 31) is each row's own
