"""A .gguf file gives the same scores as the same weights in a folder; a damaged one is refused in one line."""

import os
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.convert_slow_tokenizer import bytes_to_unicode

import mematlas
from mematlas.errors import MissingExtra, ModelError
from mematlas.models.base import LoadOptions
from mematlas.models.resolve import find_model
from tests import tiny_networks as networks

HEADS = {"q_proj": 4, "k_proj": 2}
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
MERGES = ["t h", "th e"]
BYTES = list(bytes_to_unicode().values())
TOKENS = [*BYTES, "th", "the", "<bos>", "<eos>"]
TOKENS += [f"<unused{number}>" for number in range(networks.V - len(TOKENS))]
BOS, EOS = TOKENS.index("<bos>"), TOKENS.index("<eos>")
PRECISIONS = {"float32": gguf.GGMLQuantizationType.F32, "Q8_0": gguf.GGMLQuantizationType.Q8_0}
CPU = LoadOptions("cpu")


def llama() -> LlamaForCausalLM:
    """A network none of whose header values is transformers' default, so that a forgotten one is noticed."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=networks.V,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=HEADS["q_proj"],
        num_key_value_heads=HEADS["k_proj"],
        intermediate_size=64,
        max_position_embeddings=128,
        rms_norm_eps=1e-2,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0},
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    network = LlamaForCausalLM(config).eval()
    with torch.inference_mode():
        for weight in network.parameters():
            # larger matrices than at the start of training and different norms, so that every tensor affects decisions
            weight.copy_(weight * 4 if weight.dim() == 2 else 0.5 + torch.rand_like(weight))
    return network


def in_gguf_order(name: str, weight: np.ndarray) -> np.ndarray:
    """llama.cpp rotates neighbouring dimensions of a head, transformers those half a head apart."""
    heads = next((count for part, count in HEADS.items() if part in name), None)
    if heads is None:
        return weight
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def header(path: Path, config: LlamaConfig, omit: tuple[str, ...] = ()) -> gguf.GGUFWriter:
    """A writer with the metadata, except those calls that are named in `omit`."""
    writer = gguf.GGUFWriter(path, "" if "architecture" in omit else "llama")
    values = {
        "add_context_length": config.max_position_embeddings,
        "add_embedding_length": config.hidden_size,
        "add_block_count": config.num_hidden_layers,
        "add_feed_forward_length": config.intermediate_size,
        "add_head_count": config.num_attention_heads,
        "add_head_count_kv": config.num_key_value_heads,
        "add_layer_norm_rms_eps": config.rms_norm_eps,
        "add_rope_freq_base": config.rope_parameters["rope_theta"],
        "add_rope_dimension_count": config.hidden_size // config.num_attention_heads,
        "add_vocab_size": config.vocab_size,
        "add_tokenizer_model": "gpt2",
        "add_token_list": TOKENS,
        "add_token_merges": MERGES,
        "add_bos_token_id": BOS,
        "add_eos_token_id": EOS,
    }
    for call, value in values.items():
        if call not in omit:
            getattr(writer, call)(value)
    return writer


def write_gguf(network: LlamaForCausalLM, path: Path, precision: str = "float32", omit: tuple[str, ...] = ()) -> Path:
    """Write the network as llama.cpp's converter would; returns the path."""
    path.parent.mkdir(exist_ok=True)
    writer = header(path, network.config, omit)
    kind = PRECISIONS[precision]
    for name, tensor in network.state_dict().items():
        weight = np.ascontiguousarray(in_gguf_order(name, tensor.numpy()))
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        if name not in omit:
            packed = gguf.quantize(weight, kind) if weight.ndim == 2 else weight
            writer.add_tensor(name, packed, raw_dtype=kind if weight.ndim == 2 else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module", params=PRECISIONS)
def pair(request, tmp_path_factory):
    """A file and a folder with the same weights, and rows of which they recite some."""
    folder_path, network = tmp_path_factory.mktemp("pair"), llama()
    file = write_gguf(network, folder_path / "file.gguf", request.param)
    with torch.inference_mode():
        for weight in network.parameters():
            if weight.dim() == 2:  # the folder contains the dequantized blocks of the file
                kind = PRECISIONS[request.param]
                weight.copy_(torch.from_numpy(gguf.dequantize(gguf.quantize(weight.numpy(), kind), kind)))
    folder = networks.save_network(network, folder_path / "folder")
    np.save(folder_path / "rows.npy", networks.partly_recited_rows(network, networks.grid([8, 12], [12]), 60))
    return file, folder, folder_path / "rows.npy"


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory):
    return write_gguf(llama(), tmp_path_factory.mktemp("whole") / "tiny.gguf")


def logits(path: Path) -> torch.Tensor:
    with torch.inference_mode():
        return find_model(str(path)).load(CPU).network(torch.arange(40)[None]).logits


def test_a_file_scores_as_the_same_weights_in_a_folder(pair, tmp_path):
    file, folder, rows = pair
    study = mematlas.score(
        str(file), str(folder), corpus=str(rows), context=[8, 12], continuation=[4, 12], study=tmp_path / "s"
    )
    key = ["row", "context", "continuation"]
    ours, theirs = (study.scores().filter(model=name).drop("model").sort(key) for name in (file.stem, folder.name))
    assert len(ours) == 60 * 4
    assert ours.drop("margin").equals(theirs.drop("margin"))
    np.testing.assert_allclose(ours["margin"], theirs["margin"], rtol=0, atol=1e-4)
    whole_rows = ours.filter(context=8, continuation=12)["matches"]
    assert (whole_rows == 12).sum() >= 3
    assert (whole_rows < 6).sum() >= 3


def test_the_card_equals_that_of_the_folder(pair):
    file, folder = (find_model(str(path)).card for path in pair[:2])
    for name in ("vocabulary", "parameters", "max_length", "bos", "eos", "width"):
        assert getattr(file, name) == getattr(folder, name) is not None, name
    assert (file.label, file.vocabulary, file.parameters) == ("file", networks.V, 50_528)


def test_a_file_that_states_no_size_has_the_vocabulary_of_its_tokens(gguf_file, tmp_path):
    silent = write_gguf(llama(), tmp_path / "silent.gguf", omit=("add_vocab_size",))
    assert find_model(str(silent)).card.vocabulary == networks.V


def test_the_file_is_tokenized_by_its_own_tokens_even_beside_a_tokenizer_file(gguf_file, tmp_path):
    shutil.copy(gguf_file, tmp_path / "tiny.gguf")
    other_tokenizer = Tokenizer(WordLevel({"the": 0, "cat": 1, "?": 2}, unk_token="?"))
    other_tokenizer.save(str(tmp_path / "tokenizer.json"))
    encoder = find_model(str(tmp_path / "tiny.gguf")).encoder()
    assert encoder is not None
    texts = {"the cat": ["the", "Ġ", "c", "a", "t"], "th<bos>": ["th", "<bos>"], "<|": ["<", "|"]}
    assert encoder.encode(list(texts)) == [[TOKENS.index(token) for token in tokens] for tokens in texts.values()]
    assert encoder.vocabulary == networks.V


def test_a_token_that_only_transformers_adds_is_never_used(gguf_file):
    assert "<|endoftext|>" not in TOKENS
    ids = find_model(str(gguf_file)).encoder().encode(["a<|endoftext|>"])[0]
    assert ids == [TOKENS.index(character) for character in "a<|endoftext|>"]


def test_precisions_of_one_model_share_their_tokenizer_and_other_tokens_do_not(gguf_file, tmp_path, monkeypatch):
    packed = write_gguf(llama(), tmp_path / "packed.gguf", "Q8_0")
    monkeypatch.setitem(globals(), "MERGES", ["t h", "h e"])
    other = write_gguf(llama(), tmp_path / "other.gguf")
    cards = [find_model(str(path)).card for path in (gguf_file, packed, other)]
    assert cards[0].tokenizer == cards[1].tokenizer != cards[2].tokenizer
    assert cards[0].tokenizer_rules == cards[1].tokenizer_rules != cards[2].tokenizer_rules
    assert len({card.fingerprint for card in cards}) == 3


def test_special_tokens_at_the_ends_of_a_text_make_no_other_tokenizer(gguf_file, tmp_path):
    omitted = write_gguf(llama(), tmp_path / "omitted.gguf", omit=("add_bos_token_id",))
    cards = [find_model(str(path)).card for path in (gguf_file, omitted)]
    assert cards[0].tokenizer != cards[1].tokenizer
    assert cards[0].tokenizer_rules == cards[1].tokenizer_rules


def test_a_file_of_the_same_name_in_the_working_directory_is_not_used(gguf_file, tmp_path, monkeypatch):
    network = llama()
    with torch.inference_mode():
        network.lm_head.weight.mul_(-1)
    write_gguf(network, tmp_path / gguf_file.name)
    expected = logits(gguf_file)
    monkeypatch.chdir(tmp_path)
    assert torch.equal(logits(gguf_file), expected)
    assert torch.equal(logits(Path(gguf_file.name)), -expected)


def test_blocks_become_plain_matrices(pair):
    network = find_model(str(pair[0])).load(CPU).network
    # transformers removes this attribute when nothing is quantized; a kernel would keep it and the blocks
    assert not hasattr(network.config, "quantization_config")
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}


def test_loading_prints_nothing_and_leaves_the_librarys_bar_in_place(gguf_file, capfd):
    from transformers import modeling_gguf_pytorch_utils as conversion

    before = conversion.tqdm
    find_model(str(gguf_file)).load(CPU)
    assert capfd.readouterr() == ("", "")
    assert conversion.tqdm is before


def damaged(gguf_file: Path, target: Path, size: int | None = None, at: int = 0, byte: bytes = b"") -> Path:
    data = gguf_file.read_bytes()
    target.write_bytes((data[:at] + byte + data[at + len(byte) :])[:size])
    return target


@pytest.mark.parametrize(
    ("damage", "size"),
    [
        ({"size": 0}, "0"),
        ({"size": 20}, "20"),
        ({"size": 300}, "300"),  # within the metadata
        ({"size": 6700}, "6,700"),  # within the table of tensors
        ({"size": -100}, None),  # within the last tensor
        ({"at": 0, "byte": b"GGML"}, None),
        ({"at": 4, "byte": b"\x63"}, None),  # a version that does not exist
        ({"at": 60, "byte": b"\xff\xff"}, None),  # the length of the architecture's name
        ({"at": 65, "byte": b"\xff"}, None),  # no UTF-8
    ],
)
def test_a_damaged_file_is_refused_in_one_line(gguf_file, tmp_path, damage, size):
    path = damaged(gguf_file, tmp_path / "hurt.gguf", **damage)
    with pytest.raises(ModelError) as caught:
        find_model(str(path))
    message = str(caught.value)
    assert message.startswith(f"{path} cannot be read as a GGUF file: its {size or f'{os.stat(path).st_size:,}'} bytes")
    assert message.endswith("; fetch it again.")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("omit", "message"),
    [
        (("architecture",), "states no general.architecture.*; convert or fetch it again"),
        (("add_vocab_size", "add_token_list"), "states neither llama.vocab_size nor tokenizer.*; convert it again"),
    ],
)
def test_a_header_that_lacks_what_scoring_needs_is_refused(tmp_path, omit, message):
    with pytest.raises(ModelError, match=message):
        find_model(str(write_gguf(llama(), tmp_path / "lacking.gguf", omit=omit)))


def test_a_missing_weight_is_refused_and_not_random(tmp_path):
    path = write_gguf(llama(), tmp_path / "lacking.gguf", omit=("blk.1.ffn_up.weight",))
    with pytest.raises(
        ModelError, match=r"lacking.gguf' lacks 1 of its weights .*model\.layers\.1\.mlp\.up_proj\.weight"
    ):
        find_model(str(path)).load(CPU)


def test_a_weight_of_another_shape_is_refused(tmp_path):
    network = llama()
    network.config.intermediate_size = 96
    path = write_gguf(network, tmp_path / "wide.gguf")
    with pytest.raises(
        ModelError, match=r"lacks 6 of its weights .*first: model\.layers\.0\.mlp\.down_proj\.weight"
    ) as error:
        find_model(str(path)).load(CPU)
    assert "\n" not in str(error.value)


def test_an_impossible_configuration_is_refused_in_one_line(tmp_path):
    network = llama()
    network.config.num_attention_heads = 5
    path = write_gguf(network, tmp_path / "odd.gguf")
    with pytest.raises(ModelError, match=r"cannot be loaded as a causal language model: .*hidden size") as error:
        find_model(str(path)).load(CPU)
    assert "\n" not in str(error.value)


def test_without_the_gguf_package_the_error_says_what_to_install(gguf_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    monkeypatch.delitem(sys.modules, "mematlas.models.gguf")
    with pytest.raises(MissingExtra, match=r'needs the library .gguf.*run: pip install "mematlas\[gguf\]"'):
        find_model(str(gguf_file))
