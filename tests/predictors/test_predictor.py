"""A predictor on disk, and what it is asked afterwards."""

from dataclasses import replace

import numpy as np
import pytest

from mematlas.errors import ModelError
from mematlas.predictors.cards import card_of, readme, write_readme
from mematlas.predictors.fitting import fit_once
from mematlas.predictors.predictor import Predictor, load_predictors, mean_probabilities, save_predictor
from mematlas.study.schemas.predictions import BASELINES, PREDICTOR, SHUFFLED
from tests.predictors.synthetic_examples import CONTEXT, LENGTH, POSITIONS, WIDTH, examples, quick


def made(sees="context", seed=0, **given):
    whole = examples(80, control=10, **given)
    config = quick(epochs=2)
    fit = fit_once(whole, config, sees, seed, shuffled=seed == 0)
    held = whole.take(fit.parts.test | ~whole.train)
    card = card_of(fit, whole, held, ("a model", "f00", "run7"), (sees, seed), config, {"mematlas": "1"})
    return whole, fit, Predictor(fit.trained.network, fit.scaling, card)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Predictors of seeds 0 and 1, and the folder that they are saved in."""
    folder = tmp_path_factory.mktemp("predictors")
    found = [made(seed=seed) for seed in (0, 1)]
    for *_, predictor in found:
        save_predictor(predictor, folder)
    write_readme(folder)
    return found, folder


def test_what_is_loaded_says_exactly_the_same(both):
    found, folder = both
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "seed-0.safetensors",
        "seed-1.safetensors",
    ]
    loaded = load_predictors(folder)
    for (whole, fit, predictor), again in zip(found, loaded, strict=True):
        before = fit.probabilities(PREDICTOR, whole)
        assert np.array_equal(predictor.probabilities(whole.states, whole.inputs), before)
        assert np.array_equal(again.probabilities(whole.states, whole.inputs), before)
        assert again.card == predictor.card
    whole = found[0][0]
    mean = mean_probabilities(loaded, whole.states, whole.inputs)
    each = [predictor.probabilities(whole.states, whole.inputs) for predictor in loaded]
    assert not np.allclose(*each)
    assert mean == pytest.approx((each[0] + each[1]) / 2, abs=1e-6)
    (alone,) = load_predictors(folder / "seed-1.safetensors")
    assert alone.card.seed == 1


def test_more_than_nine_seeds_are_in_their_order(both, tmp_path):
    (_, _, predictor), *_ = both[0]
    for seed in (10, 2):
        save_predictor(replace(predictor, card=replace(predictor.card, seed=seed)), tmp_path)
    assert [found.card.seed for found in load_predictors(tmp_path)] == [2, 10]


def test_it_needs_the_context_alone_and_reads_no_more_than_it_knows(both):
    (whole, _, predictor), *_ = both[0]
    full = predictor.probabilities(whole.states, whole.inputs)
    assert np.array_equal(predictor.probabilities(whole.states[:, :CONTEXT], whole.inputs[:, :CONTEXT]), full)
    longer = [np.concatenate([part, part], axis=1) for part in (whole.states, whole.inputs)]
    assert np.array_equal(predictor.probabilities(*longer), full)
    *_, other = made("generated")
    assert np.array_equal(other.probabilities(*longer), other.probabilities(whole.states, whole.inputs))


def test_states_that_it_cannot_read_are_refused(both):
    (whole, _, predictor), *_ = both[0]
    wider = np.zeros((2, POSITIONS, WIDTH + 4), "f2")
    expected = (
        r"^This predictor reads states of 3 numbers, as a model has them; these have 7\. Fit one to this model: "
        r"`mematlas fit STUDY`\.$"
    )
    with pytest.raises(ModelError, match=expected):
        predictor.probabilities(wider, whole.inputs[:2])
    with pytest.raises(ModelError, match=r"^This predictor reads the states of 4 tokens a row; these rows have 3\.$"):
        predictor.probabilities(whole.states[:, : CONTEXT - 1], whole.inputs[:, : CONTEXT - 1])
    *_, other = made("generated")
    with pytest.raises(ModelError, match=r"^This predictor reads the states of 8 tokens a row; these rows have 7\.$"):
        other.probabilities(whole.states[:, :-1], whole.inputs[:, :-1])


def test_no_file_and_a_damaged_one_are_one_line_each(both, tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ModelError, match=r"holds no predictor; `mematlas fit STUDY` writes them to STUDY/predict"):
            load_predictors(path)
    whole = (both[1] / "seed-0.safetensors").read_bytes()
    for content in (b"", b"not one", whole[: len(whole) // 2], whole.replace(b'\\"width\\": 3', b'\\"width\\": 4', 1)):
        (tmp_path / "seed-0.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match=r"is no predictor, or a damaged one \(") as error:
            load_predictors(tmp_path)
        assert "\n" not in str(error.value)
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(2)}, tmp_path / "seed-0.safetensors")
    with pytest.raises(ModelError, match=r"is no predictor, or a damaged one"):
        load_predictors(tmp_path)


# ------------------------------------------------------------------------------------------------------ the model card


def test_the_card_says_what_it_was_fitted_to(both):
    (whole, fit, predictor), *_ = both[0]
    card = predictor.card
    assert card.rows == {"fit": 42, "validation": 14, "test": 14}
    assert (card.documents, card.width, card.context, card.continuation) == (70, WIDTH, CONTEXT, LENGTH)
    assert card.recited == pytest.approx((whole.hits[fit.parts.fit] == 1).mean())
    assert set(card.scores) == {PREDICTOR, SHUFFLED, *BASELINES}
    assert card.scores["always the majority"] == 0.5


def test_the_share_of_recited_tokens_leaves_out_those_that_are_not_there():
    hits = np.tile(np.array([1, 0, 0, 0, -1], np.int8), (80, 1))
    *_, predictor = made(hits=hits)
    assert predictor.card.recited == 0.25


def test_test_rows_of_one_class_have_no_auroc():
    """The control's rows are no test rows, though they are held out as well."""
    parts = fit_once(examples(80, control=10), quick(epochs=1), "context", 1, shuffled=False).parts
    hits = examples(80).hits
    hits[parts.test] = 0
    *_, predictor = made(seed=1, hits=hits)
    assert set(predictor.card.scores.values()) == {None}
    assert "| predictor | not measured |" in readme([predictor.card])


def test_people_read_one_line_a_method(both):
    found, folder = both
    text = (folder / "README.md").read_text(encoding="utf-8")
    cards = [predictor.card for *_, predictor in found]
    assert text.startswith(
        "# Predictor of memorization for a model\n\nPredicts which of the next 5 tokens a model recit"
    )
    assert "after a context of 4 tokens,\nbefore anything is generated, from the context's states alone.\n" in text
    assert "states of layer last (3 numbers a token), and beside them: entropy.\n" in text
    assert "Transformers of one layer and width 8" in text
    assert "fitted** to 42 training rows (run run7), of which" in text
    assert "stopped by 14 rows and tested on 14 rows of other documents\n  (70 groups of documents in all;" in text
    assert "| method | seed 0 | seed 1 |\n|---|---|---|\n| predictor | " in text
    table = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    assert table == ["method", PREDICTOR, *BASELINES, SHUFFLED]
    assert f"| {PREDICTOR} | {cards[0].scores[PREDICTOR]:.3f} | {cards[1].scores[PREDICTOR]:.3f} |" in text
    assert f"| {SHUFFLED} | {cards[0].scores[SHUFFLED]:.3f} | not measured |" in text
    assert "dropout 0.0, learning_rate 0.01" in text
    assert str(folder) not in text
    assert "/" not in text.replace("PATH --predictor FOLDER", "").replace("--corpus", "")


def test_the_card_of_what_reads_generated_states_says_so():
    *_, predictor = made("generated", inputs=np.zeros((80, POSITIONS, 0), "f4"), names=())
    text = readme([predictor.card])
    assert "while the model generates, at each token from all states up to the one it is chosen from." in text
    assert "and beside them: nothing.\n" in text
    assert "entropy threshold" not in text
