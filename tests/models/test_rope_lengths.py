"""Rows beyond the length a model was trained for: scored where RoPE scaling extends positions, refused elsewhere."""

import copy

import numpy as np
import pytest
import torch
import transformers

import mematlas
from mematlas.analyses import ANALYSES
from mematlas.analyses.frames.study_tables import read_tables
from mematlas.errors import ModelError
from mematlas.models.causal import CachedSession
from mematlas.models.prefix_session import PrefixSession
from mematlas.models.resolve import find_model
from mematlas.models.rope import LengthDependence, length_dependence, supported_lengths
from mematlas.progress import Silent
from mematlas.scoring.options import ScoringOptions
from tests import tiny_networks as networks

TRAINED, WIDTH = 16, 26
SIZES = {
    "vocab_size": 211,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
DYNAMIC = {"rope_type": "dynamic", "factor": 16.0, "rope_theta": 10_000.0}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [2.0, 4.0, 6.0, 8.0],
    "original_max_position_embeddings": TRAINED,
}


def llama(scaling=None, length=TRAINED):
    torch.manual_seed(0)
    settings = {"rope_parameters": scaling} if scaling else {}
    config = transformers.LlamaConfig(**SIZES, max_position_embeddings=length, **settings)
    return strengthened(transformers.LlamaForCausalLM(config))


def phi3():
    torch.manual_seed(0)
    config = transformers.Phi3Config(**SIZES, max_position_embeddings=64, rope_parameters=LONGROPE)
    config.original_max_position_embeddings = TRAINED
    return strengthened(transformers.Phi3ForCausalLM(config))


@torch.inference_mode()
def strengthened(network):
    """The network with larger weights than at the start of training: decisions differ from token to token."""
    for weight in network.parameters():
        if weight.dim() == 2:
            weight.mul_(4)
    return network.eval()


NETWORKS = {"dynamic": lambda: llama(DYNAMIC), "longrope": phi3}


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]()


def sample(rows=3, width=WIDTH):
    return torch.from_numpy(np.random.default_rng(2).integers(0, 211, (rows, width)))


@torch.inference_mode()
def logits_of_prefixes(network, tokens):
    """[rows, width, vocabulary]: each position's logits from one pass of a fresh network over exactly the tokens up to
    it, so that nothing is left of other passes."""
    return torch.stack(
        [
            copy.deepcopy(network)(input_ids=tokens[:, : end + 1], use_cache=False).logits[:, -1]
            for end in range(tokens.shape[1])
        ],
        dim=1,
    )


def logits(model, states):
    return model.head(states.reshape(-1, states.shape[-1])).view(*states.shape[:2], -1)


@torch.inference_mode()
def test_every_way_of_feeding_equals_a_pass_over_each_prefix(network):
    tokens, other = sample(), sample().flip(1)
    expected = logits_of_prefixes(network, tokens)
    whole = copy.deepcopy(network)(input_ids=tokens, use_cache=False).logits
    assert not torch.allclose(whole[:, 5], expected[:, 5], atol=1e-3)  # later tokens change it by their number alone
    model = networks.causal_model(copy.deepcopy(network))
    for sizes in ((WIDTH,), (1,) * WIDTH, (10, 8, 8), (17, 9)):
        session = model.start(3, WIDTH)
        assert isinstance(session, PrefixSession)
        fed = torch.cat([session.feed(part) for part in tokens.split(sizes, dim=1)], dim=1)
        assert torch.allclose(logits(model, fed), expected, atol=1e-4)
    rows = torch.tensor([2, 0])
    fork = session.fork(rows, 15)
    mixed = torch.cat([tokens[rows, :15], other[rows, 15:20]], dim=1)
    expected_mixed = logits_of_prefixes(network, mixed)
    assert torch.allclose(logits(model, fork.feed(mixed[:, 15:], 2)), expected_mixed[:, -2:], atol=1e-4)
    session.rewind(15)
    assert torch.allclose(logits(model, session.feed(tokens[:, 15:18])), expected[:, 15:18], atol=1e-4)
    short = model.start(3, TRAINED)  # after long rows, short ones are what they were before
    assert isinstance(short, CachedSession)
    pieces = [short.feed(part) for part in tokens[:, :TRAINED].split((TRAINED - 2, 2), dim=1)]
    assert torch.allclose(logits(model, torch.cat(pieces, dim=1)), expected[:, :TRAINED], atol=1e-4)


def test_passes_cover_each_position_once():
    assert list(LengthDependence(16, by_token=True).passes(13, 19)) == [(16, 3), (17, 1), (18, 1), (19, 1)]
    assert list(LengthDependence(16, by_token=False).passes(13, 19)) == [(16, 3), (19, 3)]
    assert list(LengthDependence(16, by_token=True).passes(3, 9)) == [(9, 6)]
    assert list(LengthDependence(16, by_token=False).passes(16, 19)) == [(19, 3)]


@pytest.mark.parametrize("depth", ["graded", "verbatim"])
def test_scores_equal_greedy_decoding_by_passes_over_each_prefix(network, depth):
    shape = networks.grid([6, 12], [4, 12])
    rows = sample(12, shape.width).numpy()
    for context in (6, 12):  # rows that the network recites, some with one other token
        part = slice(0, 6) if context == 6 else slice(6, 12)
        for position in range(context, shape.width):
            rows[part, position] = greedy(network, rows[part, :position])
    rows[[1, 7], 15] ^= 1
    rows[[2, 8], 20] ^= 1
    records = networks.score_cells(
        networks.causal_model(copy.deepcopy(network)), rows, ScoringOptions(shape, depth, batch=5)
    )
    for (row, context, length), record in records.items():
        text = rows[row : row + 1, :context]
        for _ in range(length):
            text = np.concatenate([text, greedy(network, text)[:, None]], axis=1)
        hits = text[0, context:] == rows[row, context : context + length]
        verbatim = length if hits.all() else int(hits.argmin())
        expected = int(hits.sum()) if depth == "graded" or verbatim == length else None
        assert (record["matches"], record["verbatim"]) == (expected, verbatim), (row, context, length)
    assert sum(record["verbatim"] == 12 for record in records.values()) >= 4


def greedy(network, rows):
    with torch.inference_mode():
        return (
            copy.deepcopy(network)(input_ids=torch.from_numpy(rows), use_cache=False).logits[:, -1].argmax(-1).numpy()
        )


@pytest.mark.parametrize(
    ("config", "lengths"),
    [
        ({"max_position_embeddings": 16, "rope_scaling": {"type": "dynamic", "factor": 2.0}}, (None, 16)),
        ({"max_position_embeddings": 16, "rope_parameters": DYNAMIC}, (None, 16)),
        ({"max_position_embeddings": 16, "rope_scaling": {"type": "linear", "factor": 4.0}}, (64, 16)),
        ({"max_position_embeddings": 32768, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, (131072, 32768)),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
            },
            (131072, None),
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
            },
            (131072, None),
        ),
        (
            {
                "max_position_embeddings": 16,
                "rope_parameters": {
                    "full_attention": {"rope_type": "dynamic"},
                    "sliding_attention": {"type": "default"},
                },
            },
            (None, 16),
        ),
        ({"max_position_embeddings": 16, "rope_parameters": {"rope_type": "default"}}, (16, None)),
        ({"max_position_embeddings": 16, "rope_scaling": None}, (16, None)),
        ({"n_positions": 1024}, (1024, None)),
        ({}, (None, None)),
    ],
)
def test_lengths_are_read_from_the_configuration(config, lengths):
    assert supported_lengths(config) == lengths


def test_only_dynamic_and_longrope_depend_on_the_number_of_tokens():
    assert length_dependence(llama(DYNAMIC).config.to_dict()) == LengthDependence(TRAINED, by_token=True)
    assert length_dependence(phi3().config.to_dict()) == LengthDependence(TRAINED, by_token=False)
    assert length_dependence(llama().config.to_dict()) is None
    assert length_dependence({"max_position_embeddings": 16, "rope_scaling": {"type": "yarn", "factor": 2.0}}) is None


@pytest.fixture
def study(tmp_path):
    """A function that scores a network on rows of 26 tokens; returns the study and what was said."""
    np.save(tmp_path / "rows.npy", sample(20).numpy())

    def score(network, **options):
        networks.save_network(network, tmp_path / "tiny")
        said = Messages()
        options = {"context": [16], "continuation": [10], "corpus": str(tmp_path / "rows.npy"), **options}
        study = mematlas.score(str(tmp_path / "tiny"), study=str(tmp_path / "s"), progress=said, **options)
        return study, said.lines

    return score


class Messages(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


WARNING = (
    "tiny was trained for 16 tokens, and rows of 26 are read: its positions beyond are extrapolated (RoPE scaling), so "
    "that low scores there may come from the length."
)


def test_a_model_with_dynamic_scaling_is_scored_with_a_warning_and_a_caveat(study):
    scored, said = study(llama(DYNAMIC))
    assert said.count(WARNING) == 1
    card = scored.manifest()["runs"][scored.run().key]["models"]["tiny"]
    assert (card["max_length"], card["trained_length"]) == (None, 16)
    tables = read_tables(scored)
    assert tables.beyond_trained_length == {"tiny": 16}
    finding = ANALYSES.load("distribution").find(tables)
    assert finding.caveats[0].startswith("Rows are longer than these models were trained for: tiny (16 tokens).")


def test_within_the_trained_length_nothing_is_said(study):
    scored, said = study(llama(DYNAMIC), continuation=[4], context=[12])
    assert WARNING not in said
    assert read_tables(scored).beyond_trained_length == {}


@pytest.mark.parametrize("kind", ["learned", "rotary"])
def test_positions_that_do_not_extend_stay_refused(study, kind):
    torch.manual_seed(0)
    sizes = {"vocab_size": 211, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": TRAINED}
    learned = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
    with pytest.raises(ModelError, match=r"tiny was built for 16 tokens, but the grid needs 26; choose a shorter"):
        study(learned if kind == "learned" else llama())


def test_a_factor_ends_where_it_ends(study):
    scaling = {"rope_type": "linear", "factor": 1.5, "rope_theta": 10_000.0}
    with pytest.raises(ModelError, match=r"tiny was built for 24 tokens, but the grid needs 26"):
        study(llama(scaling))


def test_a_card_states_both_lengths(tmp_path):
    networks.save_network(llama({"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}), tmp_path / "tiny")
    card = find_model(str(tmp_path / "tiny")).card
    assert (card.max_length, card.trained_length) == (32, 16)
    assert card.beyond_trained_length(16) is None
    assert "was trained for 16 tokens, and rows of 17 are read" in card.beyond_trained_length(17)
