"""An experiment from its file to a study: the same numbers whether it was stopped or not, and none made twice."""

import json
import shutil
from collections import namedtuple
from pathlib import Path

import polars as pl
import pytest
import yaml
from transformers import AutoTokenizer

import mematlas
from mematlas.errors import CorpusError, ModelError, OptionError, StudyError, UnknownName
from mematlas.experiments import EXPERIMENTS
from mematlas.experiments.data import documents as data_documents
from mematlas.findings.finding import read_findings
from mematlas.pipeline.experiment import experiment_file_text, read_experiment
from tests.experiments.conftest import documents

TINY = {
    "out": "out", "sizes": [{"hidden": 16, "layers": 1, "heads": 2, "peak_rate": 0.02}], "row_length": 24, "batch": 4,
    "vocabulary": 300, "context": 8, "blocks": 4,
}  # fmt: skip
FORGET = {
    **TINY,
    "spacing": 0,
    "times": [0, 6],
    "plateau_steps": 4,
    "after_steps": 4,
    "special_rows": 4,
    "control_rows": 6,
}
INJECT = {
    **{key: value for key, value in TINY.items() if key != "blocks"}, "seeds": [0, 1], "sequence_length": 24,
    "prompts": [4, 8], "cap": 8, "base_steps": 4, "steps": 24, "held_out_rows": 6, "never_shown": 1,
    "events": [{"kinds": ["text", "random"], "every": [8, 32], "sequences": 2}], "check_interaction": 1,
}  # fmt: skip
INSERTIONS = {
    **{key: value for key, value in TINY.items() if key != "blocks"}, "seeds": [0, 1], "item_length": 11,
    "context": 4, "steps": 16, "levels": [0, 1, 4], "items": [4, 2, 2], "corpora": [1, 2], "windows": [[0, 50]],
    "held_out_rows": 6,
}  # fmt: skip
DYNAMICS = {**TINY, "epochs": 4, "train_rows": 12, "validation_rows": 6}


class StoppedError(Exception):
    pass


@pytest.fixture(autouse=True)
def synthetic_texts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_documents, "standard_library_documents", documents)


def write(folder: Path, values: dict) -> Path:
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_forget_is_a_study_with_probes_exposures_and_a_finding(tmp_path):
    path, calls = write(tmp_path, FORGET), []

    def stop(step, steps, loss, label):
        calls.append((label, step))
        if label.endswith("--6x") and step == 8:
            raise StoppedError

    with pytest.raises(StoppedError):
        mematlas.experiment("forget", path, training=stop)
    study = mematlas.experiment("forget", path)
    assert study.folder == tmp_path / "out" / "study"
    labels = [label.partition("-step-")[0].partition("--")[2] for label in study.models()["model"]]
    assert labels == ["0x", "6x"]
    exposures = study.scan_exposures().collect()
    assert exposures.filter(pl.col("model").str.contains("6x"))["times"].to_list() == [6] * 4
    assert exposures.filter(pl.col("model").str.contains("0x"))["times"].to_list() == [0] * 4
    assert set(exposures["model"]) == set(study.models()["model"])
    (finding,) = [f for f in read_findings(study.folder, study.run().key) if f.name == "forgetting"]
    excess = finding.table("excess")
    assert excess.filter(branch="0x-again")["excess"].to_list() == [0.0] * excess.filter(branch="0x-again").height
    assert excess.filter(branch="0x-again").height >= 4
    assert excess.filter(branch="6x", t=0)["excess"].item() > 0
    assert excess.filter(branch="6x").sort("t")["excess"][0] == 0, "before the first showing the branches are equal"
    arms = json.loads((tmp_path / "out" / "experiment.json").read_text())["arms"]
    assert {arm["label"].partition("--")[2]: arm["first_different_step"] for arm in arms} == {
        "": None, "0x": None, "6x": 5, "0x-again": None,
    }  # fmt: skip
    again: list[str] = []
    mematlas.experiment("forget", path, training=lambda step, steps, loss, label: again.append(label))
    assert set(again) == {"corpus"}, "nothing is trained twice"


def test_dynamics_is_a_study_with_probes_after_every_epoch(tmp_path):
    study = mematlas.experiment("dynamics", write(tmp_path, {**DYNAMICS, "seeds": [0, 1]}))
    (finding,) = [f for f in read_findings(study.folder, study.run().key) if f.name == "dynamics"]
    epochs = finding.table("epochs")
    assert epochs.filter(set="train")["epoch"].to_list() == [0, 1, 2, 3, 4] * 2
    assert epochs["parameters"].n_unique() == 1
    assert epochs.filter(set="validation")["rows"].unique().to_list() == [6]
    assert len(study.models()) == 2


def test_inject_is_a_study_of_twins_with_a_finding(tmp_path):
    study = mematlas.experiment("inject", write(tmp_path, INJECT))
    labels = [label.partition("-step-")[0].partition("-seed")[2] for label in study.models()["model"]]
    assert labels == ["0--control", "0--treatment", "1--control", "1--treatment"]
    (finding,) = [f for f in read_findings(study.folder, study.run().key) if f.name == "injection"]
    curve = finding.table("curve")
    assert curve["parameters"].unique().to_list() == study.models()["parameters"].unique().to_list()
    assert curve.filter(t=0)["dV"].to_list() == [0.0] * 20, "before the first event the arms are one model"
    assert curve.filter(period=8, t=24)["occurrences"].to_list() == [12] * 8
    assert finding.table("interaction").height == 2
    assert finding.table("cost").filter(t=0)["excess"].to_list() == [0.0, 0.0]
    assert finding.table("cost").filter(t=24, arm="treatment")["excess"].item() != 0
    exposures = study.scan_exposures().collect().filter(pl.col("model").str.contains("seed1--treatment"))
    assert exposures["times"].to_list() == [0] * 10 + [12, 12, 3, 3, 12, 12, 3, 3, 0, 0], "those of its own seed"
    arms = json.loads((tmp_path / "out" / "experiment.json").read_text())["arms"]
    assert all(arm["first_different_step"] > 4 for arm in arms if "treatment" in arm["label"])


def test_insertions_is_a_study_of_levels_with_a_finding(tmp_path):
    study = mematlas.experiment("insertions", write(tmp_path, INSERTIONS))
    arms = ["1x-epoch", "1x-steps", "2x-epoch", "standard", "window-0-50"]
    assert sorted({label.partition("--")[2].partition("-step-")[0] for label in study.models()["model"]}) == arms
    (finding,) = [f for f in read_findings(study.folder, study.run().key) if f.name == "insertions"]
    levels = finding.table("level")
    assert levels.select("arm", "level", "n").rows() == [
        (arm, level, count) for arm in arms for level, count in ((0, 8), (1, 4), (4, 4))
    ]
    assert finding.table("dilution").select("comparison", "corpus", "level").rows() == [
        (comparison, corpus, level)
        for comparison in ("equal epochs", "equal steps") for corpus in (1, 2) for level in (1, 4)
    ]  # fmt: skip
    assert finding.table("window")["window"].unique().sort().to_list() == ["0-100", "0-50"]
    times = study.scan_exposures().collect().group_by("model").agg(pl.col("times").sum())
    assert sorted(times["times"].to_list()) == [0] * 2 + [10] * 8


def test_masked_dynamics_measures_in_training_what_the_study_scores(tmp_path):
    study = mematlas.experiment("dynamics", write(tmp_path, {**DYNAMICS, "objective": "masked", "seeds": [0, 1]}))
    assert set(study.scores()["reason"]) == {"masked"}
    assert [label.partition("-seed")[0] for label in study.models()["model"]] == ["bert-0.01m"] * 2
    (finding,) = [f for f in read_findings(study.folder, study.run().key) if f.name == "dynamics"]
    last = finding.table("epochs").filter(pl.col("epoch") == 4).sort("arm", "set")
    scored = (
        study.scores()
        .with_columns(
            arm=pl.col("model").str.replace(r"-step-\d+$", ""),
            set=pl.when(pl.col("row") < 12).then(pl.lit("train")).otherwise(pl.lit("validation")),
        )
        .group_by("arm", "set")
        .agg(M=pl.col("matches").sum() / pl.col("continuation").sum())
        .sort("arm", "set")
    )
    assert last["M"].to_list() == pytest.approx(scored["M"].to_list()), "the same masks, the same engine"
    assert last["parameters"].unique().to_list() == study.models()["parameters"].unique().to_list()
    assert all(trend.verdict == "cannot tell" for trend in finding.trends)
    assert any("T of masked models cannot be compared with T of causal ones" in text for text in finding.caveats)


def test_ids_is_a_study_of_the_models_without_ids(tmp_path):
    study = mematlas.experiment("ids", write(tmp_path, {**DYNAMICS, "epochs": 3, "seeds": [0]}))
    (finding,) = [f for f in read_findings(study.folder, study.run().key) if f.name == "unique_ids"]
    gains = finding.table("gains")
    assert gains.select("branch", "over").unique(maintain_order=True).rows() == [
        ("enlarged", "baseline"), ("ids", "baseline"), ("ids", "enlarged"),
    ]  # fmt: skip
    assert gains["parameters"].null_count() == 0
    curves = finding.table("curves")
    assert curves["rows"].unique().sort().to_list() == [6, 12]
    assert curves.filter(branch="ids", set="train")["epoch"].to_list() == [0, 1, 2, 3]
    assert [label.partition("-step-")[0].partition("--")[2] for label in study.models()["model"]] == [
        "baseline", "enlarged",
    ]  # fmt: skip


def test_a_preset_gives_what_the_file_does_not_have(tmp_path):
    path = tmp_path / "d.yaml"
    path.write_text("# nothing\n")
    assert read_experiment("dynamics", path).seeds == [0, 1]
    assert read_experiment("dynamics", path, "gpu").batch == 64
    path.write_text("batch: 8\nout: there")
    config = read_experiment("dynamics", path, "gpu", {"epochs": 2})
    assert (config.batch, config.epochs, config.device) == (8, 2, "cuda")
    assert config.out == tmp_path / "there"


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_the_commented_file_shows_every_key_and_changes_nothing(name, tmp_path):
    text, path = experiment_file_text(name), tmp_path / "e.yaml"
    path.write_text(text)
    assert read_experiment(name, path) == read_experiment(name, None).model_copy(
        update={"out": tmp_path / read_experiment(name, None).out}
    )
    uncommented = "\n".join(
        line[1:] if line.startswith("#") and not line.startswith("# ") else "" for line in text.splitlines()
    )
    path.write_text(uncommented)
    assert list(yaml.safe_load(uncommented)) == list(type(read_experiment(name, None)).model_fields)
    assert read_experiment(name, path).sizes == read_experiment(name, None).sizes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batc": 3}, r"line 1: a forget file has no key 'batc'. Did you mean 'batch'\?"),
        ({"batch": 0}, r"line 1: batch: Input should be greater than 0 \(given: 0\)"),
        ({"times": [0]}, "line 1: times: rows are shown 0 times or more, and in one branch at least once"),
        ({"context": 48}, "a context of 48 tokens leaves nothing of rows of 48"),
        ({"sizes": [{"hidden": 8}]}, "line 2: an entry of sizes lacks the key 'layers'"),
        ({"blocks": 7}, "special_rows is a multiple of blocks, not 64 and 7. `mematlas init --experiment forget`"),
    ],
)
def test_a_wrong_key_is_named_with_its_line(tmp_path, values, message):
    with pytest.raises(OptionError, match=message):
        read_experiment("forget", write(tmp_path, values))


def test_a_wrong_key_of_an_entry_is_named(tmp_path):
    with pytest.raises(OptionError, match=r"experiment.yaml, line 2: an entry of events has no key 'kind'\. `mematlas"):
        read_experiment("inject", write(tmp_path, {"events": [{"kind": "text", "every": [4]}]}))


def test_a_wrong_name_preset_or_path_is_named(tmp_path):
    with pytest.raises(UnknownName, match=r"No experiment is called 'forgot'\. Did you mean 'forget'"):
        read_experiment("forgot", None)
    with pytest.raises(OptionError, match="No preset is called 'tpu'; there are cpu and gpu"):
        read_experiment("forget", None, "tpu")
    with pytest.raises(StudyError, match=r"`mematlas init .*no.yaml --experiment forget` writes one"):
        read_experiment("forget", tmp_path / "no.yaml")


def test_a_missing_device_and_a_full_disk_are_said_before_anything_is_written(tmp_path, monkeypatch):
    path = write(tmp_path, FORGET)
    with pytest.raises(ModelError, match="Device 'cuda:99' is not on this machine"):
        mematlas.experiment("forget", path, keys={"device": "cuda:99"})
    assert not (tmp_path / "out").exists()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(StudyError, match=r"has 1 MB free and the models need \d+ MB"):
        mematlas.experiment("forget", path)
    assert not list((tmp_path / "out").iterdir())


def test_texts_of_ones_own_are_found_beside_the_file(tmp_path):
    path = write(tmp_path, {**DYNAMICS, "corpus": "texts"})
    assert read_experiment("dynamics", path).corpus == tmp_path / "texts"
    with pytest.raises(CorpusError, match=f"There is no file or folder {tmp_path}/texts"):
        mematlas.experiment("dynamics", path)
    (tmp_path / "texts").mkdir()
    for document in documents():
        (tmp_path / "texts" / f"{document.source.replace('/', '-')}.txt").write_text(document.text)
    study = mematlas.experiment("dynamics", path)
    texts = " ".join(document.text for document in documents())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "tokenizer")
    rows = pl.read_parquet(tmp_path / "out" / "rows" / "train.parquet")["tokens"].to_list()
    assert all(tokenizer.decode(row[1:-1]) in texts for row in rows)
    assert study.rows()["row"].len() > 0
