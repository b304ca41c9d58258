"""Killed anywhere and resumed, a training ends in the same bits, for every kind of model; rate 0 changes nothing."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    GemmaConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MixtralConfig,
    PretrainedConfig,
)

from mematlas.errors import MissingExtra, ModelError, OptionError, StudyError
from mematlas.experiments.design.plan import Plan, Showing
from mematlas.experiments.design.schedule import Schedule
from mematlas.experiments.training.arm import Arm, Lora
from mematlas.experiments.training.network import build_network
from mematlas.experiments.training.objectives import CausalObjective, MaskedObjective
from mematlas.experiments.training.probe_sets import ProbeSet, measure_causal, measure_masked
from mematlas.experiments.training.trainer import read_probes, train_arm
from mematlas.models.masked_lm.masks import MASKING
from mematlas.models.masked_lm.model import SpecialTokens

VOCABULARY, LENGTH = 40, 12
CPU = torch.device("cpu")
SHAPE = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SHAPE |= {"intermediate_size": 32, "max_position_embeddings": 32, "bos_token_id": 0, "eos_token_id": 0}
CONFIGS: dict[str, PretrainedConfig] = {
    "neox": GPTNeoXConfig(**SHAPE, hidden_dropout=0.1, attention_dropout=0.1),
    "llama": LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "mixtral": MixtralConfig(**SHAPE, num_key_value_heads=2, num_local_experts=2),
    "masked": BertConfig(**SHAPE),
}
HAS_PEFT = importlib.util.find_spec("peft") is not None
needs_peft = pytest.mark.skipif(not HAS_PEFT, reason="peft is not installed")
KINDS = [*CONFIGS, pytest.param("lora", marks=needs_peft)]


class StoppedError(Exception):
    """Raised by a progress callback to kill a training."""


def tokens(rows: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, VOCABULARY - 1, (rows, LENGTH)).astype(np.uint16)


def plan(steps: int = 7) -> Plan:
    order = np.random.default_rng(1).integers(0, 8, 3 * steps)
    return Plan.from_order(tokens(), order, batch=3).with_showings([Showing(7, 4)])


def arm(kind: str, **changes: object) -> Arm:
    start = CONFIGS["neox" if kind == "lora" else kind]
    is_masked = kind == "masked"
    made = Arm(
        label=kind,
        start=start,
        plan=plan(),
        schedule=Schedule(peak=1e-2, warm_up=2, final_rate=0.5),
        objective="masked" if is_masked else "causal",
        mask_token=VOCABULARY - 1 if is_masked else None,
        lora=Lora(rank=2) if kind == "lora" else None,
        checkpoints=(4,),
        probes=(ProbeSet("train", np.arange(8), (0, 3, 7), context=4),),
    )
    return replace(made, **changes)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def killed_at(step: int):
    def progress(done: int, steps: int, loss: float | None, label: str) -> None:
        if done == step:
            raise StoppedError

    return progress


@pytest.mark.parametrize("kind", KINDS)
def test_killed_anywhere_and_resumed_it_ends_in_the_same_bits(kind: str, tmp_path: Path):
    one = arm(kind, schedule=Schedule(peak=1e-2, warm_up=2, moment_steps=2))
    whole = train_arm(one, tmp_path / "whole")
    for state_every in (2, None):
        folder = tmp_path / f"killed-{state_every}"
        for step in (-1, 1, 3, 4, 6):
            with pytest.raises(StoppedError):
                train_arm(one, folder, killed_at(step), state_every=state_every)
            assert not (folder / "finished.json").exists()
        assert weights(train_arm(one, folder, state_every=state_every)) == weights(whole)
        assert weights(folder / "step-000004") == weights(whole.parent / "step-000004")
        assert read_probes(one, folder).equals(read_probes(one, whole.parent))
        assert not (folder / "training-state.safetensors").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_what_was_trained(kind: str, tmp_path: Path):
    """Loaded by transformers, the last model gives the numbers that were measured in training."""
    one = arm(kind)
    last = train_arm(one, tmp_path)
    measured = {
        (record["step"], record["metric"]): record["value"] for record in read_probes(one, tmp_path).to_pylist()
    }
    assert measured[7, "loss"] < measured[0, "loss"]
    auto = AutoModelForMaskedLM if kind == "masked" else AutoModelForCausalLM
    network, info = auto.from_pretrained(last, output_loading_info=True)
    assert not info["missing_keys"]
    if kind == "masked":
        values = measure_masked(network.eval(), tokens(), one.special_tokens, CPU)
    else:
        values = measure_causal(network.eval(), tokens(), 4, CPU)
    assert values["loss"].mean() == pytest.approx(measured[7, "loss"], abs=1e-5)
    assert values["M"].mean() == measured[7, "M"]


@pytest.mark.parametrize("kind", KINDS)
def test_moment_steps_at_rate_0_leave_the_weights_and_fill_the_moments(kind: str, tmp_path: Path):
    still = arm(kind, schedule=Schedule(peak=0.0, moment_steps=5), keeps_optimizer=True, checkpoints=(), probes=())
    last = train_arm(still, tmp_path / "still")
    before = build_network(still)
    if kind != "lora":
        before.save_pretrained(tmp_path / "before")
        assert weights(tmp_path / "before") == weights(last)
    moments = load_file(last / "optimizer.safetensors")
    assert {float(value) for name, value in moments.items() if name.startswith("step/")} == {12.0}
    assert any(value.abs().max() > 0 for name, value in moments.items() if name.startswith("exp_avg/"))
    warmed = arm(kind, schedule=Schedule(peak=1e-2, moment_steps=5), checkpoints=())
    plain = arm(kind, schedule=Schedule(peak=1e-2), checkpoints=())
    differ = weights(train_arm(warmed, tmp_path / "w")) != weights(train_arm(plain, tmp_path / "p"))
    assert differ, "Adam starts from other moments"


def test_a_run_in_two_halves_with_its_moments_is_the_whole_run(tmp_path: Path):
    constant = Schedule(peak=1e-2)
    order = np.random.default_rng(1).integers(0, 8, 18)
    whole = arm("neox", plan=Plan.from_order(tokens(), order, 3), schedule=constant, checkpoints=(), probes=())
    first = replace(whole, plan=Plan.from_order(tokens(), order[:9], 3), keeps_optimizer=True)
    half = train_arm(first, tmp_path / "first")
    second = replace(whole, plan=Plan.from_order(tokens(), order[9:], 3), start=half, optimizer_start=half)
    assert weights(train_arm(second, tmp_path / "second")) == weights(train_arm(whole, tmp_path / "whole"))
    cold = replace(second, optimizer_start=None)
    assert weights(train_arm(cold, tmp_path / "cold")) != weights(tmp_path / "whole" / "step-000006")


def test_the_gradient_in_parts_is_the_gradient_of_the_whole_network():
    one = arm("llama", start=LlamaConfig(**SHAPE))
    batch = one.plan.batch(1).repeat(3, axis=0)
    gradients = []
    for is_split in (True, False):
        network = build_network(one)
        objective = CausalObjective(network, CPU, "float32")
        assert objective._is_split
        objective._is_split = is_split
        loss = objective.backward(batch)
        gradients.append((loss, [weight.grad for weight in network.parameters()]))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    for a, b in zip(gradients[0][1], gradients[1][1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_logits_that_are_changed_after_the_output_layer_are_not_split():
    from transformers import Gemma2Config

    capped = Gemma2Config(**SHAPE, num_key_value_heads=2, head_dim=8, final_logit_softcapping=0.5)
    plain = GemmaConfig(**SHAPE, num_key_value_heads=2, head_dim=8)
    split = [
        CausalObjective(build_network(arm("llama", start=config)), CPU, "float32")._is_split
        for config in (capped, plain)
    ]
    assert split == [False, True]


def test_measuring_changes_no_weight(tmp_path: Path):
    with_probes, without = arm("neox"), arm("neox", probes=())
    assert weights(train_arm(with_probes, tmp_path / "a")) == weights(train_arm(without, tmp_path / "b"))


def test_probes_are_the_share_of_true_tokens_and_their_loss(tmp_path: Path):
    """Against a slow and obvious computation from the saved model's logits."""
    one = arm("neox")
    last = train_arm(one, tmp_path)
    ids = torch.from_numpy(tokens().astype("int64"))
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(last).eval()(ids).logits[:, :-1]
    hit = logits.argmax(-1) == ids[:, 1:]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    recited = hit[:, 3:].tolist()  # the prediction of token 4 is at position 3
    verbatim = [row.index(False) if False in row else len(row) for row in recited]
    table = read_probes(one, tmp_path).to_pylist()
    at_end = {record["metric"]: record for record in table if record["step"] == 7}
    assert at_end["M"]["value"] == pytest.approx(float(hit.float().mean()))
    assert at_end["loss"]["value"] == pytest.approx(float(loss), rel=1e-5)
    assert at_end["verbatim"]["value"] == pytest.approx(np.mean(verbatim))
    assert {record["n"] for record in table} == {8}
    assert sorted({record["step"] for record in table}) == [0, 3, 7]


def test_a_masked_model_learns_what_it_is_shown(tmp_path: Path):
    rows = tokens(4)
    shown = Plan.from_order(rows, np.tile(np.arange(4), 300), batch=4)
    probe = ProbeSet("train", np.arange(4), (0, 300))
    one = arm("masked", plan=shown, schedule=Schedule(peak=5e-3), checkpoints=(), probes=(probe,))
    train_arm(one, tmp_path)
    m = [record["value"] for record in read_probes(one, tmp_path).to_pylist() if record["metric"] == "M"]
    assert m[0] < 0.2 < 0.6 < m[1]


def test_m_and_loss_of_a_masked_model_are_over_the_evaluation_masks():
    """Against a slow and obvious computation."""
    one = arm("masked")
    network, rows = build_network(one), tokens().astype(np.int64)
    values = measure_masked(network, rows, one.special_tokens, CPU)
    for number, row in enumerate(rows):
        hits, losses = [], []
        for mask in MASKING.positions(row, np.array([one.mask_token])):
            read = torch.from_numpy(row.copy())[None]
            read[0, mask] = one.mask_token
            with torch.no_grad():
                log_probability = network(input_ids=read).logits[0].log_softmax(-1)
            hits += [int(log_probability[place].argmax()) == row[place] for place in mask]
            losses += [-float(log_probability[place, row[place]]) for place in mask]
        assert values["M"][number] == pytest.approx(np.mean(hits))
        assert values["loss"][number] == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_masks_of_training_change_with_step_and_seed_and_hide_no_special_token():
    one, seen = arm("masked"), []

    class Spy:
        def __call__(self, input_ids, attention_mask):
            seen.append(input_ids)
            return build_network(one)(input_ids=input_ids, attention_mask=attention_mask)

    special = SpecialTokens(VOCABULARY - 1, (3,), (4,), (3, 4, VOCABULARY - 1, 7))
    objective, batch = MaskedObjective(Spy(), CPU, "float32", special), tokens().astype(np.int64)
    batch[:, :6] = 7
    batch[0] = 7  # nothing to hide: no loss
    for seed, step in ((0, 1), (0, 1), (0, 2), (1, 1)):
        objective.backward(batch, seed, step)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[3])
    for read in seen:
        assert read.shape == (8, LENGTH + 2)
        assert (read[:, 0] == 3).all()
        assert (read[:, -1] == 4).all()
        assert (read[1:, 1:7] == 7).all()
        assert ((read == VOCABULARY - 1).sum(1) == round(0.15 * LENGTH)).all()
    assert objective.backward(batch[:1], 0, 1) == 0.0
    whole, others = objective.backward(batch, 0, 1), objective.backward(batch[1:], 0, 1)
    assert whole == pytest.approx(others * 7 / 8, rel=1e-5)


def test_rows_without_anything_to_measure_are_null(tmp_path: Path):
    """Rows of padding alone have no M: null, and not counted."""
    rows = tokens()
    rows[:4] = VOCABULARY - 1  # the only special token of this arm
    shown = Plan.from_order(rows, np.arange(8), batch=4)
    one = arm("masked", plan=shown, checkpoints=(), probes=(ProbeSet("train", np.arange(8), (2,), blocks=2),))
    train_arm(one, tmp_path)
    found = {(r["set"], r["metric"]): (r["value"], r["n"]) for r in read_probes(one, tmp_path).to_pylist()}
    assert found["train:0", "M"] == found["train:0", "loss"] == (None, 0)
    assert found["train:1", "M"][1] == 4
    assert found["train:1", "loss"][0] > 0


def test_an_arm_that_changed_reuses_nothing_and_a_finished_one_trains_no_step(tmp_path: Path):
    train_arm(arm("neox"), tmp_path)
    train_arm(arm("neox"), tmp_path, killed_at(1))
    with pytest.raises(StoppedError):
        train_arm(arm("neox", seed=1), tmp_path, killed_at(1))
    assert not list(tmp_path.glob("step-*"))


def test_a_state_that_is_damaged_is_named(tmp_path: Path):
    with pytest.raises(StoppedError):
        train_arm(arm("neox"), tmp_path, killed_at(5))
    path = tmp_path / "training-state.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(StudyError, match=r"training-state\.safetensors cannot be read .* delete it"):
        train_arm(arm("neox"), tmp_path)


def test_moments_of_another_network_are_refused(tmp_path: Path):
    other = train_arm(arm("llama", keeps_optimizer=True), tmp_path / "other")
    with pytest.raises(StudyError, match="which the model does not train"):
        train_arm(arm("neox", optimizer_start=other), tmp_path / "arm")


def test_a_start_without_weights_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"no \*\.safetensors weights"):
        train_arm(arm("neox", start=tmp_path / "empty"), tmp_path / "a")


@pytest.mark.skipif(HAS_PEFT, reason="peft is installed")
def test_an_adapter_without_peft_says_what_to_install(tmp_path: Path):
    with pytest.raises(MissingExtra, match="pip install peft"):
        train_arm(arm("lora"), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "a/b"}, "names a folder"),
        ({"checkpoints": (8,)}, r"from 1 to 7, not \[8\]"),
        ({"done": 7}, "7 steps are done; a plan of 7 steps"),
        ({"mask_token": 3}, "needs the id of the mask token"),
        ({"plan": Plan.from_order(tokens(), np.array([], dtype=np.int64), 3)}, "has no step"),
    ],
)
def test_an_arm_that_breaks_a_rule_is_refused(changes: dict, message: str):
    with pytest.raises(OptionError, match=message):
        arm("neox", **changes)


def test_blocks_of_a_set_are_recorded_one_by_one(tmp_path: Path):
    in_blocks = ProbeSet("train", np.arange(8), (7,), context=4, blocks=3)
    train_arm(arm("neox", probes=(in_blocks,)), tmp_path / "blocks")
    train_arm(arm("neox"), tmp_path / "whole")
    blocks = [r for r in read_probes(arm("neox"), tmp_path / "blocks").to_pylist() if r["metric"] == "verbatim"]
    assert [(r["set"], r["n"]) for r in blocks] == [("train:0", 3), ("train:1", 3), ("train:2", 2)]
    whole = read_probes(arm("neox"), tmp_path / "whole").to_pylist()
    expected = next(r["value"] for r in whole if (r["step"], r["metric"]) == (7, "verbatim"))
    assert sum(r["value"] * r["n"] for r in blocks) / 8 == pytest.approx(expected)
    with pytest.raises(OptionError, match="The 8 rows of the set train cannot be divided into 9 blocks"):
        replace(in_blocks, blocks=9)


def test_shown_counts_the_showings_up_to_the_step(tmp_path: Path):
    one = arm("neox")
    train_arm(one, tmp_path)
    shown = {r["step"]: r["value"] for r in read_probes(one, tmp_path).to_pylist() if r["metric"] == "shown"}
    assert shown == {0: 0.0, 3: 9 / 8, 7: 21 / 8}, "three rows a step, of eight"


def test_branches_of_one_model_are_the_uninterrupted_runs(tmp_path: Path):
    """An arm that goes on after another one's steps ends in the bits of an arm that took all of them itself."""
    whole = arm("neox", schedule=Schedule(peak=1e-2), checkpoints=(), probes=())
    trunk_plan = Plan(whole.plan.tokens, whole.plan.rows[:9], whole.plan.starts[:4], whole.plan.events)
    trunk = train_arm(replace(whole, plan=trunk_plan, keeps_optimizer=True), tmp_path / "trunk")
    branch = replace(whole, start=trunk, optimizer_start=trunk, done=3)
    for step in (4, 6):
        with pytest.raises(StoppedError):
            train_arm(branch, tmp_path / "branch", killed_at(step), state_every=1)
    last = train_arm(branch, tmp_path / "branch")
    assert weights(last) == weights(train_arm(whole, tmp_path / "whole"))
    assert (last / "mematlas.json").read_text() == (tmp_path / "whole" / last.name / "mematlas.json").read_text()
    other = replace(branch, plan=whole.plan.with_showings([Showing(6, 1)]))
    with pytest.raises(StudyError, match="was not trained on the first 3 steps of the plan of neox"):
        train_arm(other, tmp_path / "other")


def test_probes_have_the_columns_of_their_schema(tmp_path: Path):
    train_arm(arm("neox"), tmp_path)
    table = pq.read_table(tmp_path / "probes" / "step-000003.parquet")
    assert table.schema.names == ["arm", "step", "set", "metric", "value", "n"]
    assert table["metric"].to_pylist() == ["M", "loss", "verbatim", "shown"]
