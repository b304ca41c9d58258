"""A predictor on disk, and its predictions after loading."""

from dataclasses import replace

import numpy as np
import pytest

from mematlas.errors import ModelError
from mematlas.predictors.cards import build_card, readme, write_readme
from mematlas.predictors.fitting import fit_once
from mematlas.predictors.predictor import Predictor, load_predictors, mean_probabilities, save_predictor
from mematlas.study.schemas.predictions import BASELINES, PREDICTOR, SHUFFLED
from tests.predictors.synthetic_examples import CONTEXT, LENGTH, POSITIONS, WIDTH, examples, quick_config


def fitted(sees="context", seed=0, **fields):
    data = examples(80, control=10, **fields)
    config = quick_config(epochs=2)
    fit = fit_once(data, config, sees, seed, shuffled=seed == 0)
    held_out = data.take(fit.parts.test | ~data.train)
    card = build_card(fit, data, held_out, ("a model", "f00", "run7"), (sees, seed), config, {"mematlas": "1"})
    return data, fit, Predictor(fit.trained.network, fit.scaling, card)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Predictors of seeds 0 and 1, and the folder that they are saved in."""
    folder = tmp_path_factory.mktemp("predictors")
    fits = [fitted(seed=seed) for seed in (0, 1)]
    for *_, predictor in fits:
        save_predictor(predictor, folder)
    write_readme(folder)
    return fits, folder


def test_loaded_predictors_give_the_same_probabilities(saved):
    fits, folder = saved
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "seed-0.safetensors",
        "seed-1.safetensors",
    ]
    loaded = load_predictors(folder)
    for (data, fit, predictor), again in zip(fits, loaded, strict=True):
        before = fit.probabilities(PREDICTOR, data)
        assert np.array_equal(predictor.probabilities(data.states, data.inputs), before)
        assert np.array_equal(again.probabilities(data.states, data.inputs), before)
        assert again.card == predictor.card
    data = fits[0][0]
    mean = mean_probabilities(loaded, data.states, data.inputs)
    each = [predictor.probabilities(data.states, data.inputs) for predictor in loaded]
    assert not np.allclose(*each)
    assert mean == pytest.approx((each[0] + each[1]) / 2, abs=1e-6)
    (alone,) = load_predictors(folder / "seed-1.safetensors")
    assert alone.card.seed == 1


def test_more_than_nine_seeds_are_in_their_order(saved, tmp_path):
    (_, _, predictor), *_ = saved[0]
    for seed in (10, 2):
        save_predictor(replace(predictor, card=replace(predictor.card, seed=seed)), tmp_path)
    assert [predictor.card.seed for predictor in load_predictors(tmp_path)] == [2, 10]


def test_it_needs_the_context_alone_and_ignores_later_positions(saved):
    (data, _, predictor), *_ = saved[0]
    full = predictor.probabilities(data.states, data.inputs)
    assert np.array_equal(predictor.probabilities(data.states[:, :CONTEXT], data.inputs[:, :CONTEXT]), full)
    longer = [np.concatenate([part, part], axis=1) for part in (data.states, data.inputs)]
    assert np.array_equal(predictor.probabilities(*longer), full)
    *_, other = fitted("generated")
    assert np.array_equal(other.probabilities(*longer), other.probabilities(data.states, data.inputs))


def test_states_that_it_cannot_read_are_refused(saved):
    (data, _, predictor), *_ = saved[0]
    wider = np.zeros((2, POSITIONS, WIDTH + 4), "f2")
    expected = (
        r"^This predictor reads states of 3 numbers, as a model has them; these have 7\. Fit one to this model: "
        r"`mematlas fit STUDY`\.$"
    )
    with pytest.raises(ModelError, match=expected):
        predictor.probabilities(wider, data.inputs[:2])
    with pytest.raises(ModelError, match=r"^This predictor reads the states of 4 tokens per row; these rows have 3\.$"):
        predictor.probabilities(data.states[:, : CONTEXT - 1], data.inputs[:, : CONTEXT - 1])
    *_, other = fitted("generated")
    with pytest.raises(ModelError, match=r"^This predictor reads the states of 8 tokens per row; these rows have 7\.$"):
        other.probabilities(data.states[:, :-1], data.inputs[:, :-1])


def test_missing_and_damaged_files_give_errors_of_one_line(saved, tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(
            ModelError, match=r"contains no predictor; `mematlas fit STUDY` writes them to STUDY/predic"
        ):
            load_predictors(path)
    valid = (saved[1] / "seed-0.safetensors").read_bytes()
    for content in (b"", b"not one", valid[: len(valid) // 2], valid.replace(b'\\"width\\": 3', b'\\"width\\": 4', 1)):
        (tmp_path / "seed-0.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match=r"is not a predictor, or is damaged \(") as error:
            load_predictors(tmp_path)
        assert "\n" not in str(error.value)
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(2)}, tmp_path / "seed-0.safetensors")
    with pytest.raises(ModelError, match=r"is not a predictor, or is damaged"):
        load_predictors(tmp_path)


# ------------------------------------------------------------------------------------------------------ the model card


def test_the_card_describes_the_data_it_was_fitted_to(saved):
    (data, fit, predictor), *_ = saved[0]
    card = predictor.card
    assert card.rows == {"fit": 42, "validation": 14, "test": 14}
    assert (card.documents, card.width, card.context, card.continuation) == (70, WIDTH, CONTEXT, LENGTH)
    assert card.recited == pytest.approx((data.hits[fit.parts.fit] == 1).mean())
    assert set(card.scores) == {PREDICTOR, SHUFFLED, *BASELINES}
    assert card.scores["always the majority"] == 0.5


def test_the_share_of_recited_tokens_leaves_out_missing_ones():
    hits = np.tile(np.array([1, 0, 0, 0, -1], np.int8), (80, 1))
    *_, predictor = fitted(hits=hits)
    assert predictor.card.recited == 0.25


def test_test_rows_of_one_class_have_no_auroc():
    """The control's rows are no test rows, although they are held out as well."""
    parts = fit_once(examples(80, control=10), quick_config(epochs=1), "context", 1, shuffled=False).parts
    hits = examples(80).hits
    hits[parts.test] = 0
    *_, predictor = fitted(seed=1, hits=hits)
    assert set(predictor.card.scores.values()) == {None}
    assert "| predictor | not measured |" in readme([predictor.card])


def test_the_readme_has_one_row_per_method(saved):
    fits, folder = saved
    text = (folder / "README.md").read_text(encoding="utf-8")
    cards = [predictor.card for *_, predictor in fits]
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


def test_the_readme_says_that_rows_are_held_out_where_the_corpus_names_no_documents():
    *_, predictor = fitted("context", documents_known=False)
    assert predictor.card.held_out == "rows"
    text = readme([predictor.card])
    assert "tested on 14 other rows, as the corpus names no documents\n  (70 groups of rows in all;" in text
    assert "AUROC on the rows held out, by seed" in text
    assert "documents held out" not in text


def test_the_card_says_that_generated_states_are_read():
    *_, predictor = fitted("generated", inputs=np.zeros((80, POSITIONS, 0), "f4"), names=())
    text = readme([predictor.card])
    assert (
        "while the model generates, at each token from all states up to the one that the token is chosen from." in text
    )
    assert "and beside them: nothing.\n" in text
    assert "entropy threshold" not in text
