"""Masked language models: M against one row and one mask at a time, whatever the batch, the shards and the order."""

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

import mematlas
from mematlas.cli import run as command
from mematlas.errors import MematlasError, ModelError, OptionError
from mematlas.models.masked_lm.masks import MASKING
from mematlas.models.masked_lm.model import MaskedModel, SpecialTokens
from mematlas.pipeline.steps.features import make_features
from mematlas.scoring.config import grid_of, resolve_config
from mematlas.scoring.engines.masked import MaskedEngine
from mematlas.scoring.options import ScoringOptions
from mematlas.scoring.records.tables import score_table
from mematlas.types import Grid, TokenRows
from tests import tiny_masked as tiny
from tests import tiny_networks as networks

LENGTH = 24  # 4 tokens are hidden at a time, 16 over four masks
SPECIAL = np.arange(5)


@pytest.fixture(scope="module")
def known():
    return tiny.rows(24, LENGTH)


@pytest.fixture(scope="module")
def trained(known):
    """A BERT that knows the first 8 rows."""
    return tiny.train(tiny.bert(), known[:8])


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    return tiny.save(trained, tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def corpus(known, tmp_path):
    np.save(tmp_path / "rows.npy", known.astype(np.uint16))
    return tmp_path / "rows.npy"


@torch.inference_mode()
def oracle(network, row, before=(tiny.CLS,), after=(tiny.SEP,)):
    """The hits of a row: one mask, one forward pass and one position at a time, by transformers alone."""
    hits = 0
    for hidden in MASKING.positions(row, SPECIAL):
        text = [*before, *row.tolist(), *after]
        for position in hidden:
            text[len(before) + position] = tiny.MASK
        logits = network(input_ids=torch.tensor([text])).logits[0]
        hits += sum(int(logits[len(before) + position].argmax()) == row[position] for position in hidden)
    return hits


def score(folder, corpus, study, **options):
    """The scores of a run on rows of 24 tokens, sorted by row."""
    opened = mematlas.score(
        folder, corpus=corpus, study=study, objective="masked", context=12, continuation=12, **options
    )
    return opened.scores().sort("row")


def test_m_is_what_one_row_and_one_mask_at_a_time_give(trained, folder, known, corpus, tmp_path):
    scores = score(folder, corpus, tmp_path / "study")
    assert scores["matches"].to_list() == [oracle(trained, row) for row in known]
    assert scores.select("context", "continuation").unique().rows() == [(LENGTH, 16)]
    assert scores["verbatim"].null_count() == len(known)
    assert scores["reason"].unique().to_list() == ["masked"]
    share = (scores["matches"] / 16).to_numpy()
    assert share[:8].mean() > 0.9  # known rows
    assert share[8:].mean() < 0.2  # never shown, the negative control


def test_batches_shards_order_and_resumption_change_nothing(folder, known, corpus, tmp_path):
    expected = score(folder, corpus, tmp_path / "a").drop("margin")
    for number, options in enumerate(({"batch": 1}, {"batch": 5, "shards": 3}, {"shards": 24})):
        assert score(folder, corpus, tmp_path / f"b{number}", **options).drop("margin").equals(expected)
    study = mematlas.open_study(tmp_path / "b1")
    run = study.run()
    for path in (tmp_path / "b1" / "scores" / run.key).glob("*/shard-00001*"):
        path.unlink()
    assert score(folder, corpus, tmp_path / "b1", batch=5, shards=3).drop("margin").equals(expected)
    np.save(tmp_path / "reversed.npy", known[::-1].astype(np.uint16))
    backwards = score(folder, tmp_path / "reversed.npy", tmp_path / "c")
    assert backwards["matches"].to_list() == expected["matches"].to_list()[::-1]


def test_the_tokens_around_a_row_are_those_of_the_tokenizer_and_are_recorded(trained, corpus, known, tmp_path):
    bare = tiny.save(trained, tmp_path / "bare", around=False)
    scores = score(bare, corpus, tmp_path / "study")
    assert scores["matches"].to_list() == [oracle(trained, row, (), ()) for row in known]
    framed = tiny.save(trained, tmp_path / "framed")
    score(framed, corpus, tmp_path / "framed-study")
    for study, around in (("study", (b"[]", b"[]")), ("framed-study", (b"[2]", b"[3]"))):
        metadata = pq.read_schema(next((tmp_path / study / "scores").rglob("*.parquet"))).metadata
        values = [value for name, value in metadata.items() if name.endswith((b"before", b"after"))]
        assert sorted(values) == sorted(around)


def test_a_run_says_what_was_hidden(folder, corpus, tmp_path, capsys):
    score(folder, corpus, tmp_path / "study")
    settings = mematlas.open_study(tmp_path / "study").run().settings
    assert settings["objective"] == "masked"
    assert settings["masking"] == {"share": 0.15, "masks": 4, "seed": 0}
    assert (settings["context"], settings["continuation"], settings["align"]) == ([24], [16], "masked")
    command(["show", str(tmp_path / "study")])
    assert "masked: rows of 24 tokens, 16 hidden ones asked for (15% of a row at a time, 4 masks" in (
        capsys.readouterr().out
    )


def test_masks_are_the_same_in_every_study_and_hide_no_special_token():
    row = tiny.rows(1, LENGTH)[0]
    row[[0, 7, 23]] = tiny.CLS, tiny.UNK, tiny.SEP
    hidden = MASKING.positions(row, SPECIAL)
    # these are in users' studies: they must never change
    assert hidden.tolist() == MASKING.positions(row.astype(np.int64).copy(), SPECIAL).tolist()
    assert hidden.shape == (4, 4)
    assert all(len(set(mask)) == 4 and not {0, 7, 23} & set(mask) for mask in hidden.tolist())
    assert len({tuple(mask) for mask in hidden.tolist()}) > 1
    few = np.full(LENGTH, tiny.SEP)
    few[:3] = 9
    assert MASKING.positions(few, SPECIAL) is None


def test_every_position_is_hidden_equally_often():
    rows = tiny.rows(4000, 20, seed=1)
    counts = np.zeros(20)
    for row in rows:
        np.add.at(counts, MASKING.positions(row, SPECIAL).ravel(), 1)
    expected = 4000 * 4 * 3 / 20
    assert abs(counts - expected).max() < 4.5 * np.sqrt(expected)


class CopiesTheLeftNeighbour:
    """Names the token left of a hidden one, or, where that is hidden, token 5."""

    vocabulary, device, max_length = tiny.VOCABULARY, torch.device("cpu"), None
    tokens = SpecialTokens(tiny.MASK, special=tuple(range(5)))

    def states(self, rows, hidden):
        read = rows.scatter(1, hidden, tiny.MASK)
        left = torch.where(hidden > 0, read.gather(1, (hidden - 1).clamp(min=0)), tiny.MASK)
        named = torch.where(left == tiny.MASK, 5, left)
        return torch.nn.functional.one_hot(named.flatten(), tiny.VOCABULARY).float()

    def head(self, states):
        return states


def test_a_model_that_copies_its_neighbour_gets_exactly_the_positions_that_repeat_it():
    row = np.repeat([10, 11, 12, 13, 14, 15, 16, 17], 3)  # two in three tokens equal their left neighbour
    expected = sum(
        position > 0 and row[position] == row[position - 1] and position - 1 not in mask
        for mask in MASKING.positions(row, SPECIAL).tolist()
        for position in mask
    )
    options = ScoringOptions(Grid((24,), (16,), "masked"))
    engine = MaskedEngine(CopiesTheLeftNeighbour(), networks.card(tiny.VOCABULARY), options)
    ids = np.array([3, 8, 9])
    rows = TokenRows(np.stack([row, row, np.where(np.arange(24) < 9, row, 0)]), np.array([24, 24, 9]))
    table = pl.from_arrow(score_table("m", ids, engine.score(rows, ids), options))
    assert 0 < expected < 16
    assert table["matches"].to_list() == [expected, expected, None]
    assert table["reason"].to_list() == ["masked", "masked", "short"]


def test_memory_that_runs_out_halves_the_batch_and_changes_nothing(trained, known):
    class Small(MaskedModel):
        def states(self, rows, hidden):
            if len(rows) > 3:
                raise torch.OutOfMemoryError
            return super().states(rows, hidden)

    card, options = networks.card(tiny.VOCABULARY), ScoringOptions(Grid((LENGTH,), (16,), "masked"))
    special = SpecialTokens(tiny.MASK, (tiny.CLS,), (tiny.SEP,), tuple(range(5)))
    rows = TokenRows(known, np.full(len(known), LENGTH))
    ids = np.arange(len(known))
    said = []
    small = MaskedEngine(Small(trained, card, special, torch.device("cpu")), card, options, said.append)
    tables = [
        score_table("m", ids, engine.score(rows, ids), options).drop(["margin"])
        for engine in (small, MaskedEngine(MaskedModel(trained, card, special, torch.device("cpu")), card, options))
    ]
    assert tables[0].equals(tables[1])
    assert small.batch == 3
    assert "continuing with 3" in said[-1]


def test_a_causal_model_is_refused_in_one_line(tmp_path, corpus):
    for name, network in (("gpt2", networks.gpt2()), ("bert-decoder", tiny.bert(is_decoder=True))):
        model = tiny.save(network, tmp_path / name)
        with pytest.raises(ModelError, match=r"leave out --objective masked\.$"):
            score(model, corpus, tmp_path / "study")
    with pytest.raises(OptionError, match="'uniform:60' is neither; it is a causal model: leave the option out"):
        score("uniform:60", corpus, tmp_path / "study")


def test_an_encoder_without_the_option_is_refused_with_its_name(folder, corpus, tmp_path, capsys):
    arguments = ["--corpus", str(corpus), "--context", "12", "--continuation", "12", "--study", str(tmp_path / "s")]
    assert command(["score", str(folder), *arguments]) == 1
    error = capsys.readouterr().err
    assert "cannot be asked to recite a text" in error
    assert "--objective masked" in error
    assert "Traceback" not in error


def test_a_model_without_a_mask_token_is_refused(trained, corpus, tmp_path):
    trained.save_pretrained(tmp_path / "bare")
    with pytest.raises(ModelError, match="its mask token is unknown; put the tokenizer into the model's folder"):
        score(tmp_path / "bare", corpus, tmp_path / "study")
    named = tiny.save(trained, tmp_path / "named")
    assert score(tmp_path / "bare", corpus, tmp_path / "study", tokenizer=named).height == 24


def test_rows_longer_than_the_model_reads_are_refused(corpus, tmp_path):
    np.save(tmp_path / "long.npy", tiny.rows(4, 40).astype(np.uint16))
    options = {"corpus": tmp_path / "long.npy", "study": tmp_path / "s", "objective": "masked", "context": 15}
    for network, longest in ((tiny.bert(), 38), (tiny.roberta(), 30)):
        folder = tiny.save(network, tmp_path / str(longest))
        mematlas.score(folder, continuation=longest - 15, **options | {"study": tmp_path / f"s{longest}"})
        with pytest.raises(
            ModelError, match=f"reads at most {longest + 2} tokens, of which its tokenizer puts 2 around"
        ):
            mematlas.score(folder, continuation=longest - 14, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": [8, 12]}, "rows of one length, --context plus --continuation, but --context has 2 values"),
        ({"depth": "verbatim"}, "--depth verbatim asks what a causal model recites"),
        ({"signals": ["truth"]}, "--signals truth asks"),
        ({"align": "end"}, "--align end asks"),
        ({"bos": True}, "--bos asks"),
        ({"eos": "stop"}, "--eos stop asks"),
        ({"backend": "vllm"}, "--backend vllm asks"),
        ({"batch": "auto"}, "--batch auto is for causal models only"),
    ],
)
def test_options_of_causal_models_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        resolve_config(corpus="c", study="s", objective="masked", **options)


def test_the_cell_of_a_row_of_64_tokens():
    config = resolve_config(corpus="c", study="s", objective="masked")
    assert grid_of(config) == Grid((64,), (40,), "masked")  # 10 of 64 at a time, four times
    assert grid_of(config).width == 64
    assert grid_of(config).span(64, 40) == (0, 64)
    assert grid_of(resolve_config(**dict(config))) == grid_of(config)


def test_16_bit_rows_in_doubt_are_settled(trained, folder, corpus, known, tmp_path):
    scores = score(folder, corpus, tmp_path / "study", dtype="bfloat16", settle=True)
    assert scores["matches"].to_list() == [oracle(trained, row) for row in known]


def test_verification_scores_masked_rows_again(folder, corpus, tmp_path, capsys):
    score(folder, corpus, tmp_path / "study")
    assert command(["verify", str(tmp_path / "study"), "--rows", "8"]) == 0
    assert "8 rows scored again, 8 cells compared, 8 equal" in capsys.readouterr().out


def test_row_features_are_refused(folder, corpus, tmp_path):
    score(folder, corpus, tmp_path / "study")
    with pytest.raises(MematlasError, match="is masked; analyse it without"):
        make_features(tmp_path / "study")
