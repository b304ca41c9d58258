"""A tuned lens from a folder as the package tuned-lens saves it: the formula, the identity, and what is refused."""

import json
from collections import OrderedDict

import numpy as np
import pytest
import torch

import mematlas
from mematlas.errors import OptionError
from mematlas.interventions.blocks import patchable
from mematlas.interventions.lens import final_norm, logit_lens
from mematlas.interventions.tuned_lens import lens_facts, read_tuned_lens
from tests.tiny_networks import V, causal_model, gpt2, llama, neox, save_network

CONTEXT, LENGTH = 6, 10


def save_lens(folder, maps, *, bias=True, **changes):
    """The two files of a lens with these maps, pairs of weight [width, width] and bias [width]."""
    folder.mkdir(exist_ok=True)
    config = {
        "base_model_name_or_path": "toy", "d_model": len(maps[0][1]), "num_hidden_layers": len(maps), "bias": bias,
        "base_model_revision": None, "unembed_hash": "0" * 64, "lens_type": "linear_tuned_lens",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config | changes))
    state = OrderedDict()
    for layer, (weight, offset) in enumerate(maps):
        state[f"{layer}.weight"] = weight
        if bias:
            state[f"{layer}.bias"] = offset
    torch.save(state, folder / "params.pt")
    return folder


def maps_of(layers, width, scale=0.0):
    generator = torch.Generator().manual_seed(3)
    return [
        (scale * torch.randn(width, width, generator=generator), scale * torch.randn(width, generator=generator))
        for _ in range(layers)
    ]


@pytest.fixture(params=[neox, llama, gpt2])
def found(request):
    return patchable(causal_model(request.param()), "it")


def width_of(found):
    return found.model.network.config.hidden_size


def rows_of(count=3):
    return np.random.default_rng(0).integers(0, V, (count, LENGTH))


@pytest.mark.parametrize("bias", [True, False])
def test_the_identity_is_the_logit_lens_to_the_bit(found, tmp_path, bias):
    lens = read_tuned_lens(save_lens(tmp_path / "lens", maps_of(found.layers, width_of(found)), bias=bias), found)
    norm = final_norm(found, "it")
    plain, tuned = (logit_lens(found, norm, rows_of(), CONTEXT, translate) for translate in (None, lens))
    for name in ("hit", "rank", "log_probability", "entropy"):
        assert np.array_equal(getattr(plain, name), getattr(tuned, name)), name


def test_the_maps_are_what_the_formula_says_and_the_last_layer_is_the_model(found, tmp_path):
    """Against states that transformers returns: layer l of hidden_states, through the map l, norm and head."""
    maps = maps_of(found.layers, width_of(found), scale=0.3)
    lens = read_tuned_lens(save_lens(tmp_path / "lens", maps), found)
    norm, rows = final_norm(found, "it"), rows_of()
    tuned = logit_lens(found, norm, rows, CONTEXT, lens)
    tokens = torch.from_numpy(rows)
    with torch.inference_mode():
        output = found.model.network(input_ids=tokens[:, :-1], output_hidden_states=True)
        for layer, (weight, bias) in enumerate(maps):
            states = output.hidden_states[layer][:, CONTEXT - 1 :].double()
            moved = states + states @ weight.double().T + bias.double()
            logits = found.model.network.get_output_embeddings()(norm(moved.float()))
            logs = torch.log_softmax(logits.double(), -1).gather(-1, tokens[:, CONTEXT:, None])[..., 0]
            np.testing.assert_allclose(tuned.log_probability[layer], logs.numpy(), atol=2e-4)
    plain = logit_lens(found, norm, rows, CONTEXT)
    assert np.array_equal(tuned.log_probability[-1], plain.log_probability[-1])
    assert np.abs(tuned.log_probability[:-1] - plain.log_probability[:-1]).min(axis=(1, 2)).max() > 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lens")
    np.save(folder / "rows.npy", rows_of(4))
    network = neox(num_hidden_layers=2)
    save_network(network, folder / "model")
    width = network.config.hidden_size
    save_lens(folder / "identity", maps_of(2, width))
    save_lens(folder / "other", maps_of(2, width, 0.3))
    return folder


def probe(folder, out, lens=None, **options):
    asked = {"corpus": folder / "rows.npy", "context": CONTEXT, "continuation": LENGTH - CONTEXT, "looks": ["lens"]}
    return mematlas.probe_layers(folder / "model", lens=lens, out=out, **(asked | options))


def test_the_probe_reads_through_the_lens_and_keeps_what_was_read_without(folder, tmp_path):
    from mematlas.probes.layers.finding import layer_findings

    plain, same, other = (probe(folder, tmp_path, lens) for lens in (None, folder / "identity", folder / "other"))
    assert len({plain.folder, same.folder, other.folder}) == 3, "another lens is another question"
    assert same.table("lens").equals(plain.table("lens"))
    assert not other.table("lens").equals(plain.table("lens"))
    assert other.table("rows").equals(plain.table("rows"))
    moved = folder / "moved"
    moved.mkdir()
    for path in (folder / "other").iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    assert probe(folder, tmp_path, moved).folder == other.folder, "what counts is the content, not the path"
    assert [layer_findings(result)[0].title for result in (plain, other)] == ["Logit lens", "Tuned lens"]
    assert "after the maps of the tuned lens" in (other.folder / "README.md").read_text()
    assert lens_facts(folder / "other")[1] == "toy"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda lens: (lens / "config.json").unlink(), "has no config.json that can be read; name a folder"),
        (lambda lens: (lens / "config.json").write_text("[]"), "is none of a linear tuned lens"),
        (lambda lens: save_lens(lens, maps_of(2, 8), lens_type="sparse"), "is none of a linear tuned lens"),
        (lambda lens: (lens / "params.pt").unlink(), "has no params.pt; name a folder"),
        (lambda lens: (lens / "params.pt").write_bytes(b"no archive"), "params.pt is no file of tensors"),
        (lambda lens: torch.save({"0.weight": print}, lens / "params.pt"), "params.pt is no file of tensors"),
        (lambda lens: save_lens(lens, maps_of(2, 8)), "of 2 layers and width 8, but this one has 2 layers"),
        (lambda lens: torch.save({"0.weight": torch.zeros(2, 2)}, lens / "params.pt"), "has a tensor of 2 x 2 as"),
    ],
)  # fmt: skip
def test_what_is_no_lens_of_the_model_is_refused(folder, tmp_path, spoil, message):
    lens = tmp_path / "lens"
    lens.mkdir()
    for path in (folder / "identity").iterdir():
        (lens / path.name).write_bytes(path.read_bytes())
    spoil(lens)
    with pytest.raises(OptionError) as error:
        probe(folder, tmp_path / "out", lens)
    assert message in str(error.value)
    assert str(lens) in str(error.value)


def test_a_lens_without_its_look_is_refused(folder, tmp_path):
    with pytest.raises(OptionError, match="add lens to --looks, or leave --lens out"):
        probe(folder, tmp_path, folder / "identity", looks=["heads"])
