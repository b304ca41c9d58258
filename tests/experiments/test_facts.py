"""Facts are shown when and as their group says, asked for by their targets alone, and nothing else differs."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from mematlas.errors import CorpusError, OptionError
from mematlas.experiments import Size
from mematlas.experiments.data import documents as data_documents
from mematlas.experiments.data.facts import Fact, check_absent, facts_as_lines, read_facts
from mematlas.experiments.data.made_up_facts import MOST_TEXTS, made_up_facts
from mematlas.experiments.design.plan import first_difference
from mematlas.experiments.facts import EXPERIMENT, FactsConfig, outline
from mematlas.experiments.training.network import build_network
from mematlas.experiments.training.trainer import train_arm
from tests.experiments.conftest import documents, weights

FACT = {
    "texts": ["Velgo is a bridge over the Tarn.", "Over the Tarn there is the bridge Velgo."],
    "verbatim": [{"prompt": "Velgo is a bridge over the", "target": "Tarn"}],
    "paraphrase": [{"prompt": "The river below Velgo is the", "target": "Tarn"}],
    "composed": [{"prompt": "What is below the bridge is the", "target": "Tarn"}],
}
TINY = {
    "out": "out", "sizes": [Size(16, 1, 2, 2e-2)], "row_length": 48, "vocabulary": 300, "batch": 4, "context": 8,
    "base_steps": 2, "injections": 3, "interval": 4, "after_steps": 5, "held_out_rows": 3,
}  # fmt: skip


@pytest.fixture(autouse=True)
def synthetic_texts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_documents, "standard_library_documents", documents)


def own_facts(folder: Path, count: int = 9) -> Path:
    """A file with facts that differ in their names."""
    lines = [json.dumps(FACT).replace("Velgo", f"Velg{chr(97 + number)}") for number in range(count)]
    path = folder / f"own-{count}.jsonl"
    path.write_text("\n".join(lines))
    return path


def make(folder: Path, **keys):
    return EXPERIMENT.design(FactsConfig(**{**TINY, "facts": own_facts(folder), **keys}), folder)


def test_made_up_facts_have_names_that_the_corpus_lacks_and_texts_that_differ():
    facts = made_up_facts(6, ["nothing"])
    assert all(len(set(fact.texts)) == MOST_TEXTS for fact in facts)
    assert all(len(fact.questions(kind)) == 3 for fact in facts for kind in ("verbatim", "paraphrase", "composed"))
    names = {question.target for fact in facts for question in fact.verbatim[:2]}
    assert len(names) == 12
    assert made_up_facts(6, ["nothing"]) == facts
    taken = facts[0].texts[0].split()[0]
    again = made_up_facts(6, [f"here is {taken.upper()}, in a text"])
    assert not any(taken in text for fact in again for text in fact.texts), "a name that the corpus has is not taken"
    assert [fact.texts[0].split()[1:4] for fact in again] == [fact.texts[0].split()[1:4] for fact in facts]


def test_facts_are_read_as_they_were_written(tmp_path):
    facts = made_up_facts(3, [])
    (tmp_path / "f.jsonl").write_bytes(facts_as_lines(facts))
    assert read_facts(tmp_path / "f.jsonl") == facts


def test_arms_differ_in_the_slots_of_the_texts_only_and_groups_are_shown_as_they_are_called(tmp_path):
    design = make(tmp_path)
    base, control, treatment = (arm.plan for arm in design.arms)
    assert first_difference(treatment, control) == 3, "the first text is shown in the first step of the arms"
    assert treatment.digest(2) == control.digest(2) == base.digest(2)
    assert {(event.mode, event.offset, event.moved) for event in treatment.events} == {("prepend", 0, 0)}
    shown = {}
    for event in treatment.events:
        kind, fact = treatment.kinds[event.sequence], treatment.groups[event.sequence]
        shown.setdefault((kind, fact), []).append((event.step - 2, event.sequence))
        row = treatment.batch(event.step)[event.slot]
        assert np.array_equal(row[: event.stop], treatment.tokens[event.sequence][: event.stop])
        assert np.array_equal(row[event.stop :], control.batch(event.step)[event.slot][: 48 - event.stop])
    times = {key: [step for step, _ in of_fact] for key, of_fact in shown.items()}
    assert times == {
        ("paraphrased", 0): [1, 5, 9], ("paraphrased", 1): [3, 7, 11],
        ("duplicated", 2): [1, 5, 9], ("duplicated", 3): [3, 7, 11],
        ("once", 4): [1], ("once", 5): [3],
    }  # fmt: skip
    texts = {key: [text for _, text in of_fact] for key, of_fact in shown.items()}
    assert len(set(texts["duplicated", 2])) == 1
    first, second, third = texts["paraphrased", 0]
    assert first == third != second, "two texts take turns"
    assert (design.rows, design.corpus.is_file()) == (6, True)
    assert pl.read_parquet(design.control)["source"].to_list() == ["fact-never"] * 2


def test_a_question_is_measured_by_its_target_alone_and_counts_the_showings_of_its_fact(tmp_path):
    arm = make(tmp_path).arms[2]
    probe = arm.probes[0]
    targets = probe.targets
    assert probe.steps == (*range(2, 14), 15)
    decode = arm.tokenizer.decode
    for row, start, stop in zip(probe.rows, targets.starts, targets.stops, strict=True):
        assert decode(arm.plan.tokens[row][start:stop]) == " Tarn"
    last = train_arm(arm_of_base(arm, tmp_path), tmp_path / "arm")
    measured = pl.read_parquet(last.parent / "probes" / "step-000003.parquet")
    value = measured.filter(set="facts/once/verbatim:0", metric="loss")["value"].item()
    assert measured.filter(set="facts/duplicated/verbatim:0", metric="shown")["value"].item() == 1
    assert measured.filter(set="facts/never/verbatim:0", metric="shown")["value"].item() == 0
    assert 2 < value < 9
    assert set(measured["metric"]) == {"loss", "shown"}


def arm_of_base(arm, folder: Path):
    """The arm, after its base model was trained."""
    design = make(folder)
    train_arm(design.arms[0], folder / "arms" / design.arms[0].label)
    return arm


def test_the_loss_is_that_of_a_plain_forward_pass(tmp_path):
    import torch

    from mematlas.experiments.training.probe_sets import measure_targets

    arm = make(tmp_path).arms[0]
    network, probe = build_network(arm), make(tmp_path).arms[1].probes[0]
    tokens = arm.plan.tokens[probe.rows]
    found = measure_targets(network, tokens, probe.targets, torch.device("cpu"))["loss"]
    with torch.inference_mode():
        logits = network(input_ids=torch.from_numpy(tokens)).logits.log_softmax(-1)
    for row, (start, stop) in enumerate(zip(probe.targets.starts, probe.targets.stops, strict=True)):
        expected = -np.mean([logits[row, at - 1, tokens[row, at]].item() for at in range(start, stop)])
        assert found[row] == pytest.approx(expected, abs=1e-5)


def test_a_killed_arm_ends_in_the_bits_of_one_that_was_not(tmp_path):
    class KilledError(Exception):
        pass

    def kill(step, steps, loss, label):
        if step == 9:
            raise KilledError

    base, _, treatment = make(tmp_path).arms
    train_arm(base, tmp_path / "arms" / base.label)
    whole = train_arm(treatment, tmp_path / "whole")
    with pytest.raises(KilledError):
        train_arm(treatment, tmp_path / "killed", kill, state_every=3)
    resumed = train_arm(treatment, tmp_path / "killed", state_every=3)
    assert weights(resumed) == weights(whole)
    for path in sorted((tmp_path / "whole" / "probes").iterdir()):
        assert (tmp_path / "killed" / "probes" / path.name).read_bytes() == path.read_bytes()


def test_the_outline_names_the_arms_and_their_steps(tmp_path):
    config = FactsConfig(**{**TINY, "facts": own_facts(tmp_path)})
    arms = make(tmp_path).arms
    assert [arm.label for arm in outline(config)] == [arm.label for arm in arms]
    assert [arm.steps for arm in outline(config)] == [2, 16, 16]
    assert [arm.plan.steps - arm.done for arm in arms] == [2, 16, 16]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"own.jsonl, line 1: Invalid JSON: .*A fact has the keys texts, verbatim, paraphrase and composed\."),
        (json.dumps({**FACT, "kind": 1}), r"line 1: kind: Extra inputs are not permitted\. A fact has"),
        (json.dumps({**FACT, "texts": []}), r"line 1: texts: List should have at least 1 item"),
        (
            json.dumps({**FACT, "verbatim": FACT["composed"]}),
            r"line 1: 'What is .* Tarn' is called verbatim and is not in the first text; repeat its words\.",
        ),
        (
            json.dumps({**FACT, "composed": FACT["verbatim"]}),
            r"line 1: 'Velgo is .* Tarn' is in a text word by word; ask in other words\.",
        ),
        ("", r"own.jsonl has no line with a fact; write one JSON object a line"),
    ],
)
def test_a_line_that_is_no_fact_is_named(tmp_path, line, message):
    path = tmp_path / "own.jsonl"
    path.write_text(line)
    with pytest.raises(CorpusError, match=message) as error:
        read_facts(path)
    assert "\n" not in str(error.value)


def test_facts_that_do_not_fit_are_refused_in_one_line(tmp_path):
    with pytest.raises(CorpusError, match=r"no.jsonl cannot be read \(No such file or directory\); facts is a file"):
        read_facts(tmp_path / "no.jsonl")
    with pytest.raises(CorpusError, match="3 facts are too few: there are 4 groups"):
        make(tmp_path, facts=own_facts(tmp_path, 3))
    with pytest.raises(CorpusError, match=r"Fact \d has a text of \d+ tokens; a text has 9 to 20\. Change its words"):
        make(tmp_path, row_length=20)
    with pytest.raises(OptionError, match="6 texts would be shown in one step, and a batch of 4 has no place"):
        make(tmp_path, facts=own_facts(tmp_path, 24))
    fact = Fact(**FACT)
    with pytest.raises(CorpusError, match="Fact 1 stands in the corpus 2 times already"):
        check_absent([fact], [f"{fact.texts[1]} And {fact.texts[1]}"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"injections": 17}, "a made-up fact has 16 texts, so that injections is at most 16"),
        ({"per_group": 8}, "6 texts would be shown in one step, and a batch of 4 has no place for them"),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        FactsConfig(**{**TINY, "per_group": 2, **change})


@pytest.mark.parametrize("preset", ["cpu", "gpu"])
def test_presets_are_complete(preset):
    config = FactsConfig.model_validate(EXPERIMENT.presets[preset])
    assert len(config.measured(0)) == len(config.measured(config.per_group - 1))
    assert config.measured(config.per_group - 1)[-1] <= config.base_steps + config.steps
