"""Shortest prompts: known answers on stubs and a network that has learnt some rows, and what must not be found."""

import json

import numpy as np
import polars as pl
import pytest
import torch

import mematlas
from mematlas.cli import run
from mematlas.errors import ModelError, OptionError
from mematlas.probes.compress.finding import compress_finding
from mematlas.probes.compress.search import Draws, Limits, PromptSearch
from mematlas.probes.compress.strings import read_strings
from mematlas.scoring.engines.prompting import ContinuationScores, score_prompts
from mematlas.scoring.engines.token_gradients import TokenGradients
from mematlas.types import Encoder
from tests.tiny_networks import causal_model, gpt2, neox, save_network

CONTEXT, CONTINUATION, VOCABULARY = 8, 8, 48
NOTHING = np.zeros(0, np.int64)


class Stub:
    """Gives the string after every prompt of which `gives` says so; the gradient points nowhere or to `wanted`."""

    vocabulary = 16

    def __init__(self, gives, wanted=None):
        self.gives, self.wanted = gives, wanted

    def score(self, prompts):
        hits = np.array([self.gives(prompt) for prompt in prompts])
        return ContinuationScores(np.where(hits, 0.0, -9.0), hits)

    def gradient(self, prompt):
        gradient = np.zeros((len(prompt), self.vocabulary), np.float32)
        if self.wanted is not None:
            gradient[:, self.wanted] = -1
        return gradient

    def decodes(self, prompt):
        return bool(self.gives(prompt))


def search(asked, string, *, kind="random", start="random", before=NOTHING, shortest=None, seed=0, **limits):
    limits = {"steps": 30, "total_steps": None, "seconds": np.inf, "longest": 40} | limits
    draws = Draws(kind, start, 50, 4, seed)
    found = PromptSearch(asked, np.asarray(string), before, shortest, Limits(**limits), draws)
    return found, found.run()


# -------------------------------------------------------------------------------------------------------------- search


@pytest.mark.parametrize("kind", ["random", "gcg"])
def test_a_planted_trigger_of_one_token_is_found(kind):
    found, reason = search(Stub(lambda prompt: prompt[-1] == 11, wanted=11), range(12), kind=kind)
    assert found.successes[-1].prompt.tolist() == [11]
    assert reason == "finished"
    assert 12 / len(found.successes[-1].prompt) == 12, "the ratio is the length of the string"
    assert [len(success.prompt) for success in found.successes] == [5, 4, 3, 2, 1]
    assert found.successes[0].steps <= found.successes[-1].steps <= found.steps


def test_a_model_that_always_says_the_same_has_one_prompt_for_all():
    found = [search(Stub(lambda _prompt: True), [3] * length)[0] for length in (2, 5, 9)]
    assert [success.successes[-1].prompt.tolist() for success in found] == [found[0].successes[-1].prompt.tolist()] * 3
    assert [success.steps for success in found] == [0, 0, 0]
    never, reason = search(Stub(lambda _prompt: False), [4, 4], total_steps=60)
    assert (never.successes, reason) == ([], "steps")


def test_lengths_follow_the_schedule_and_stop_at_the_longest():
    tried = []

    def never(prompt):
        tried.append(len(prompt))
        return False

    found, reason = search(Stub(never), [1, 2], steps=10, longest=16)
    assert list(dict.fromkeys(tried)) == [5, 10, 15]
    assert (reason, found.steps) == ("length", 10 + 12 + 14)
    tried.clear()
    found, reason = search(Stub(lambda prompt: never(prompt) or len(prompt) >= 8), [1, 2], steps=3)
    assert list(dict.fromkeys(tried)) == [5, 10, 9, 8, 7]
    assert (reason, len(found.successes[-1].prompt)) == ("finished", 8)


def test_limits_end_a_search_and_keep_what_was_found():
    ticks = iter(range(1000))
    asked = Stub(lambda prompt: len(prompt) >= 5)
    limits, draws = Limits(500, None, 20, 40), Draws("random", "random", 50, 4, 0)
    found = PromptSearch(asked, np.arange(9), NOTHING, None, limits, draws, lambda: next(ticks))
    assert found.run() == "budget"
    assert len(found.successes[-1].prompt) == 5
    assert found.steps < 25


def test_a_search_from_the_true_tokens_begins_below_those_that_are_enough():
    before = np.arange(8)
    asked = Stub(lambda prompt: len(prompt) >= 3 and prompt[-1] == 7)
    found, reason = search(asked, range(12), start="true", before=before, shortest=6, steps=2)
    assert found.successes[0].prompt.tolist() == [2, 3, 4, 5, 6, 7]
    assert [len(success.prompt) for success in found.successes] == [6, 5, 4, 3]
    assert reason == "finished"
    failed, reason = search(Stub(lambda _prompt: False), range(12), start="true", before=before, shortest=6, steps=2)
    assert (len(failed.successes[-1].prompt), reason) == (6, "finished")


def test_the_same_seed_finds_the_same_prompt_and_another_one_another():
    def rare(prompt):
        return prompt.sum() % 7 == 0 and prompt[0] > 9

    one, again, other = (search(Stub(rare), range(9), seed=seed)[0] for seed in (0, 0, 1))
    prompts = [[success.prompt.tolist() for success in found.successes] for found in (one, again, other)]
    assert prompts[0] == prompts[1] != prompts[2]


# ------------------------------------------------------------------------------------------------------ the network


@pytest.mark.parametrize("network", [lambda: neox(VOCABULARY, num_hidden_layers=1), gpt2])
def test_the_gradient_of_one_hot_tokens_equals_finite_differences(network):
    network = network().double()
    model, table = causal_model(network), network.get_input_embeddings().weight.detach()
    prompt, string = np.array([3, 9, 1]), np.array([4, 4, 20, 7])
    found = TokenGradients(model, "m")(prompt, string)
    assert found.shape == (3, len(table))

    def loss(one_hot):
        tail = table[torch.from_numpy(string[:-1])]
        logits = network(inputs_embeds=torch.cat([one_hot @ table, tail])[None]).logits[0, len(prompt) - 1 :]
        return torch.nn.functional.cross_entropy(logits, torch.from_numpy(string)).item()

    with torch.no_grad():
        one_hot = torch.nn.functional.one_hot(torch.from_numpy(prompt), len(table)).double()
        for position, token in [(0, 0), (1, 5), (2, 31), (2, 1)]:
            step = torch.zeros_like(one_hot)
            step[position, token] = 1e-5
            expected = (loss(one_hot + step) - loss(one_hot - step)) / 2e-5
            assert found[position, token] == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_prompts_are_scored_as_the_network_says_in_batches_of_any_size():
    network = neox(VOCABULARY)
    prompts = np.random.default_rng(0).integers(0, VOCABULARY, (7, 4))
    string = np.array([5, 6, 7])
    scores = score_prompts(causal_model(network), prompts, string, 3)
    with torch.no_grad():
        tokens = torch.from_numpy(np.concatenate([prompts, np.tile(string, (7, 1))], axis=1))
        logs = network(input_ids=tokens).logits.log_softmax(-1)[:, 3:-1]
    expected = logs.gather(-1, tokens[:, 4:, None])[..., 0].sum(1)
    np.testing.assert_allclose(scores.log_probability, expected, atol=1e-4)
    assert scores.is_greedy.tolist() == (logs.argmax(-1) == tokens[:, 4:]).all(1).tolist()
    greedy = network.generate(torch.from_numpy(prompts[:1]), max_new_tokens=3, do_sample=False, pad_token_id=0)[0, 4:]
    assert score_prompts(causal_model(network), prompts, greedy.numpy(), 128).is_greedy[0]


# --------------------------------------------------------------------------------------------------------------- probe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that knows the first 4 rows of its corpus by heart; one that was not trained at all."""
    folder = tmp_path_factory.mktemp("compress")
    rows = np.random.default_rng(0).integers(0, VOCABULARY, (8, CONTEXT + CONTINUATION))
    np.save(folder / "rows.npy", rows)
    np.save(folder / "control.npy", np.random.default_rng(1).integers(0, VOCABULARY, (4, CONTEXT + CONTINUATION)))
    network = neox(VOCABULARY)
    save_network(network, folder / "untrained")
    optimizer, known = torch.optim.AdamW(network.parameters(), lr=1e-2), torch.from_numpy(rows[:4])
    for _ in range(80):
        network(input_ids=known, labels=known).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    save_network(network, folder / "model")
    (folder / "given.txt").write_text(f"{rows[0, CONTEXT:].tolist()}\n\n[1, 2, 3, 4]\n")
    return folder


def probe(folder, out, model="model", **options):
    asked = {
        "corpus": folder / "rows.npy", "control": folder / "control.npy", "context": CONTEXT,
        "continuation": CONTINUATION, "each": 2, "budget": 600, "steps": 12, "total_steps": 30, "candidates": 24,
        "top_k": 12, "longest": 12, "strings": folder / "given.txt",
    }  # fmt: skip
    return mematlas.probe_compress(folder / model, out=out, **(asked | options))


@pytest.fixture(scope="module")
def result(folder, tmp_path_factory):
    return probe(folder, tmp_path_factory.mktemp("out"))


def test_known_rows_compress_and_others_do_not(folder, result):
    strings = result.table("strings")
    assert strings["class"].to_list() == [
        name for name in ("recited", "other", "control", "random", "given") for _ in "ab"
    ]
    known = strings.filter(pl.col("class") == "recited")
    assert known["success"].all()
    assert known["ratio"].min() > 1
    assert known["context_tokens"].null_count() == 0
    others = strings.filter(pl.col("class").is_in(["control", "random"]))
    assert others["ratio"].fill_null(0).max() <= 1
    for record in strings.drop_nulls("ratio").to_dicts():
        assert record["ratio"] == record["tokens"] / record["prompt_tokens"] <= record["tokens"]
        assert len(record["prompt_ids"]) == record["prompt_tokens"] == record["found_tokens"][-1]
    given = strings.filter(pl.col("class") == "given")
    assert given["tokens"].to_list() == [8, 4]
    assert given["row"].null_count() == 2


def test_prompts_decode_their_strings(folder, result):
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(folder / "model")
    for record in result.table("strings").drop_nulls("prompt_ids").to_dicts():
        prompt = torch.tensor([record["prompt_ids"]])
        decoded = network.generate(prompt, max_new_tokens=record["tokens"], do_sample=False, pad_token_id=0)
        assert decoded[0, prompt.shape[1] :].tolist() == record["string_ids"]


def test_an_untrained_model_compresses_nothing(folder, tmp_path):
    strings = probe(folder, tmp_path, "untrained", each=1, total_steps=12).table("strings")
    assert set(strings["class"]) == {"other", "control", "random", "given"}
    assert strings["ratio"].fill_null(0).max() <= 1


def test_the_finding_counts_failures_as_censored(result):
    finding = compress_finding(result)
    table = {record["class"]: record for record in finding.table("compression").to_dicts()}
    assert table["recited"]["compressed"] == table["recited"]["found"] == 2
    random = table["random"]
    assert (random["found"], random["mean_found"]) == (0, None)
    assert random["mean_all"] == pytest.approx(CONTINUATION / 12), "the floor: string over the longest prompt"
    assert random["mean_bound"] is None
    assert "2 of 2 recited rows have a shorter prompt" in finding.headline
    assert len(finding.headline.split()) <= 12
    progress = finding.table("progress").filter(pl.col("class") == "recited")
    assert progress["share"].to_list() == sorted(progress["share"].to_list())
    assert progress["share"].to_list()[-1] == 1
    assert any("censored" in text for text in finding.caveats)


def test_a_stopped_probe_goes_on_and_ends_in_the_same_prompts(folder, result, tmp_path):
    one = probe(folder, tmp_path)
    unlike = [name for name in result.table("strings").columns if "seconds" not in name]
    assert one.table("strings").select(unlike).equals(result.table("strings").select(unlike)), "same seed, same prompts"
    (marker,) = (one.folder / "strings").glob("shard-00001-*.done")
    marker.unlink()
    kept = {path: path.stat().st_mtime_ns for path in one.folder.glob("*/*.parquet") if marker.stem not in path.name}
    again = probe(folder, tmp_path)
    assert again.table("strings").select(unlike).equals(one.table("strings").select(unlike))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert probe(folder, tmp_path, seed=3, each=1, total_steps=1).folder != one.folder


def test_a_random_search_from_true_tokens_takes_models_without_gradients(folder, tmp_path):
    options = {"corpus": folder / "rows.npy", "context": CONTEXT, "continuation": CONTINUATION, "each": 1}
    parrot = f"parrot:{folder / 'rows.npy'}"
    found = mematlas.probe_compress(
        parrot, **options, out=tmp_path, search="random", start="true", steps=3, total_steps=5
    )
    recited = found.table("strings").filter(pl.col("class") == "recited")
    assert recited["start"].to_list() == ["true"]
    assert recited["success"].all()
    assert recited["ratio"][0] >= recited["bound"][0]
    with pytest.raises(ModelError, match=r"has no gradients: .*--search random"):
        mematlas.probe_compress(parrot, **options, out=tmp_path)


def test_the_command_writes_page_tables_and_card(folder, tmp_path, capsys):
    words = ["probe", "compress", str(folder / "model"), "--corpus", str(folder / "rows.npy"), "--context", "8"]
    words += ["--continuation", "8", "--each", "1", "--total-steps", "4", "--candidates", "8", "--out", str(tmp_path)]
    assert run(words) == 0
    text = capsys.readouterr()
    assert "3 strings are to be searched for, 60 s each at most: 3 minutes in all (--budget)." in text.err
    assert "have a shorter prompt" in text.out
    (out,) = tmp_path.iterdir()
    page = (out / "compress.html").read_text()
    assert "Tokens of a string over those of its shortest prompt" in page
    assert "lower bound" in (out / "README.md").read_text()
    assert run([*words, "--quiet", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["compression"]["strings"]) == 3


def test_strings_of_a_file_are_texts_or_ids(tmp_path):
    path = tmp_path / "strings.txt"
    path.write_text("two words\n[3, 4]\n\n")
    encoder = Encoder("e", "e", 9, lambda texts: [[len(word) for word in text.split()] for text in texts])
    assert [tokens.tolist() for tokens in read_strings(path, encoder, 9)] == [[3, 5], [3, 4]]
    with pytest.raises(OptionError, match="line 1 is a text, and the model has no tokenizer; write token ids"):
        read_strings(path, None, 9)
    with pytest.raises(OptionError, match="are no ids of the model, which are 0 to 3"):
        read_strings(path, encoder, 4)
    path.write_text("\n")
    with pytest.raises(OptionError, match="has no string; write one a line"):
        read_strings(path, encoder, 9)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(OptionError, match="is no text in UTF-8; name a file with one string a line"):
        read_strings(path, encoder, 9)
