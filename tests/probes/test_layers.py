"""Noise, lens and heads of rows: known answers on a network that has learnt some of them, and what must not change."""

import json

import numpy as np
import polars as pl
import pytest
import torch

import mematlas
from mematlas.cli import run
from mematlas.errors import CorpusError, ModelError, OptionError
from mematlas.models.base import LoadOptions
from mematlas.models.resolve import find_model
from mematlas.probes.layers.finding import layer_findings
from mematlas.probes.layers.heads_tables import head_drops, top_heads
from mematlas.probes.layers.trends import HEAD_TRENDS, NOISE_TRENDS, head_trends, noise_trends
from mematlas.stats.random_sets import expected_jaccard, overlap_tails
from tests.tiny_networks import V, neox, save_network

CONTEXT, CONTINUATION = 8, 6
WIDTH = CONTEXT + CONTINUATION


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that knows the first 24 rows of its corpus by heart, and none of the other 24, nor the control."""
    folder = tmp_path_factory.mktemp("layers")
    rows = np.random.default_rng(0).integers(0, V, (48, WIDTH))
    np.save(folder / "rows.npy", rows)
    np.save(folder / "control.npy", np.random.default_rng(1).integers(0, V, (24, WIDTH)))
    network = neox(hidden_size=64, num_hidden_layers=3)
    optimizer, known = torch.optim.AdamW(network.parameters(), lr=3e-3), torch.from_numpy(rows[:24])
    for _ in range(90):
        network(input_ids=known, labels=known).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    save_network(network, folder / "model")
    return folder


def probe(folder, out, **options):
    asked = {
        "corpus": folder / "rows.npy", "control": folder / "control.npy", "rows": "first:48",
        "control_rows": "first:24", "context": CONTEXT, "continuation": CONTINUATION, "strengths": [0.1, 1.0, 4.0],
    }  # fmt: skip
    return mematlas.probe_layers(folder / "model", out=out, **(asked | options))


@pytest.fixture(scope="module")
def result(folder, tmp_path_factory):
    return probe(folder, tmp_path_factory.mktemp("out"))


def test_rows_are_told_apart_by_what_is_recited(result):
    rows = result.table("rows")
    assert rows["class"].to_list() == ["recited"] * 24 + ["other"] * 24 + ["control"] * 24
    assert result.facts["rows"] == 72


def test_noise_of_strength_0_changes_nothing_and_much_noise_ends_reciting(result):
    rows, noise = result.table("rows"), result.table("noise")
    still = noise.filter(strength=0.0)
    for column in ("matches", "verbatim", "log_probability"):
        assert still[column].to_list() == rows[column].to_list()
    table = layer_findings(result)[0].table("robustness")
    recited = table.filter(pl.col("class") == "recited")["share"].to_list()
    assert recited[0] == 1 > recited[-1]
    assert recited == sorted(recited, reverse=True)
    assert recited[-1] < 0.5
    control = table.filter(pl.col("class") == "control")["share"]
    assert control.max() < 0.1, "rows never shown are not recited with noise either"
    recovery = result.table("recovery")
    assert recovery.filter(strength=0.0)["cosine"].min() == pytest.approx(1, abs=1e-6)
    by_strength = recovery.group_by("strength").agg(pl.col("cosine").mean()).sort("strength")["cosine"].to_list()
    assert by_strength == sorted(by_strength, reverse=True)


def test_states_of_as_many_rows_of_each_class_are_compared(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("mematlas.probes.layers.looks._RECOVERY_ROWS", 8)
    found = probe(folder, tmp_path, looks=["noise"], strengths=[1.0])
    classes = found.table("rows").select("row", "control", "class")
    states = found.table("recovery").filter(strength=1.0, layer=1).join(classes, on=["row", "control"])
    assert dict(states["class"].value_counts().iter_rows()) == {"recited": 8, "other": 8, "control": 8}


def test_noise_equals_that_of_the_noisy_model_scored_like_any_other(folder, result, tmp_path):
    noisy = f"noise:1/0@{folder / 'model'}"
    study = mematlas.score(
        noisy, corpus=folder / "rows.npy", context=CONTEXT, continuation=CONTINUATION, study=tmp_path / "study"
    )
    scores = study.scan_scores().collect().sort("row")
    own = result.table("noise").filter(pl.col("strength") == 1.0, ~pl.col("control")).sort("row")
    assert scores["matches"].to_list() == own["matches"].to_list()
    assert set(scores["model"]) == {"model~noise-1"}


def test_the_lens_ends_in_the_model_and_begins_in_ignorance(folder, result):
    lens = layer_findings(result)[1].table("lens")
    recited = lens.filter(pl.col("class") == "recited")["share"].to_list()
    assert recited[-1] == 1 > recited[0]
    assert lens["layer"].max() == 3
    model = find_model(str(folder / "model")).load(LoadOptions("cpu")).network
    tokens = torch.from_numpy(np.load(folder / "rows.npy"))
    logs = torch.log_softmax(model(input_ids=tokens).logits[:, CONTEXT - 1 : -1].double(), -1)
    expected = logs.gather(-1, tokens[:, CONTEXT:, None])[..., 0].detach().numpy()
    own = result.table("lens").filter(pl.col("layer") == 3, ~pl.col("control")).sort("row", "position")
    np.testing.assert_allclose(own["log_probability"].to_numpy().reshape(48, -1), expected, atol=2e-4)


def test_heads_are_those_of_the_model_and_the_whole_model_loses_nothing(result):
    heads = result.table("heads")
    assert heads.select("layer", "head").unique().height == 3 * 4 + 1
    drops = layer_findings(result)[2].table("heads")
    assert drops.height == 12 * 3
    recited = drops.filter(pl.col("class") == "recited")
    assert recited["drop"].min() >= 0, "recited rows can only lose"
    by_head = heads.filter(control=False).group_by("layer", "head").agg(pl.col("log_probability").mean())
    assert by_head["log_probability"].n_unique() == 13, "every head is another one"
    rows = result.table("rows").sort("control", "row")
    whole = heads.filter(layer=0).sort("control", "row")
    np.testing.assert_allclose(whole["log_probability"], rows["log_probability"], atol=1e-3)


def test_random_sets_have_the_analytic_overlap():
    assert expected_jaccard(16, 3) == pytest.approx(0.120, abs=5e-4)
    assert expected_jaccard(144, 29) == pytest.approx(0.1135, abs=5e-5)
    assert expected_jaccard(10_000, 2_000) == pytest.approx(0.2 * 0.2 / (0.4 - 0.04), abs=1e-4)
    assert expected_jaccard(5, 5) == 1
    random = np.random.default_rng(0)
    draws = [[set(random.choice(16, 3, replace=False).tolist()) for _ in range(2)] for _ in range(4000)]
    assert np.mean([len(a & b) / len(a | b) for a, b in draws]) == pytest.approx(0.120, abs=0.01)
    with pytest.raises(ValueError, match="size must be from 1 to 3"):
        expected_jaccard(3, 4)


def test_where_no_head_matters_none_is_named(result, monkeypatch):
    whole = result.table("heads").filter(layer=0).select("row", "control", "hits")
    read = type(result).table

    def without_drops(self, kind):
        table = read(self, kind)
        return table.drop("hits").join(whole, on=["row", "control"]) if kind == "heads" else table

    monkeypatch.setattr(type(result), "table", without_drops)
    finding = layer_findings(result)[2]
    assert finding.headline == "No single head costs recited rows a token"
    assert "Without head" not in finding.sentence


def test_drops_and_top_heads_by_hand():
    records = [
        {"row": row, "control": False, "class": kind, "cluster": row, "layer": layer, "head": head, "hits": hits}
        for kind, first in (("recited", 0), ("other", 10))
        for row in (first, first + 1)
        for layer, head, hits in [
            (0, -1, 6), *((1, head, 3 if head == (2 if kind == "recited" else 3) else 6) for head in range(5))
        ]
    ]  # fmt: skip
    drops = head_drops(pl.DataFrame(records), 6)
    assert drops.filter(pl.col("drop") > 0).select("class", "head", "drop").rows() == [
        ("recited", 2, 0.5),
        ("other", 3, 0.5),
    ]
    (overlap,) = top_heads(drops).to_dicts()
    assert (overlap["top"], overlap["jaccard"]) == (1, 0.0)
    assert overlap["expected"] == pytest.approx(1 / 5)


def noise_records(kept, gains):
    """20 recited rows and 20 others under noise of .5: how many recited ones are kept, and what cosine each regains."""
    rows = pl.DataFrame({"row": range(40), "control": False, "class": ["recited"] * 20 + ["other"] * 20})
    rows = rows.with_columns(cluster="row", strength=0.5, draw=0)
    noise = rows.with_columns(matches=pl.when(pl.col("row") < kept).then(6).otherwise(0))
    first = rows.with_columns(layer=1, cosine=0.5)
    gain = pl.when(pl.col("class") == "recited").then(gains[0]).otherwise(gains[1]) + pl.col("row") % 4 / 100
    return noise, pl.concat([rows.with_columns(layer=3, cosine=0.5 + gain), first])


@pytest.mark.parametrize(
    ("kept", "gains", "verdicts"),
    [
        (0, (0.1, 0.2), ["shows", "shows"]),
        (20, (0.2, 0.1), ["contradicts", "contradicts"]),
        (10, (0.1, 0.1), ["cannot tell", "cannot tell"]),
    ],
)
def test_the_trends_of_noise_by_hand(kept, gains, verdicts):
    trends = noise_trends(*noise_records(kept, gains), 6)
    assert [trend.verdict for trend in trends] == verdicts
    assert f"of 20 rows recited whole without noise, {kept} still are" in trends[0].test
    assert f"{gains[0] - gains[1]:+.3f} in 20 recited rows beside 20 others" in trends[1].test


def test_trends_that_cannot_be_tested_say_why():
    noise, recovery = noise_records(0, (0.1, 0.2))
    other = pl.col("class") == "other"
    for trend in noise_trends(noise.with_columns(strength=0.3), recovery.with_columns(strength=0.3), 6):
        assert (trend.verdict, trend.test) == ("cannot tell", "--strengths lacks 0.5, the noise of K7")
    reasons = [trend.test for trend in noise_trends(noise.filter(other), recovery.filter(other), 6)]
    assert reasons == ["no row is recited without noise", "the probe has no recited rows beside others of the corpus"]
    (alone,) = head_trends(pl.DataFrame())
    assert alone.test == "all rows are of one class of recited, other, control"


@pytest.mark.parametrize(
    ("shared", "verdict"),
    [(15, "shows"), (6, "cannot tell"), (0, "contradicts")],
)
def test_heads_that_overlap_more_than_random_sets_by_hand(shared, verdict):
    total, size = 144, 29
    as_many, as_few = overlap_tails(total, size, shared)
    draws = np.random.default_rng(0).permuted(np.tile(np.arange(total), (4000, 1)), axis=1)[:, :size]
    overlaps = (draws < size).sum(axis=1)  # with the first 29 heads
    assert (overlaps >= shared).mean() == pytest.approx(as_many, abs=0.02)
    assert (overlaps <= shared).mean() == pytest.approx(as_few, abs=0.02)
    top = {"first": "recited", "second": "other", "heads": total, "top": size, "jaccard": shared / (2 * size - shared)}
    (trend,) = head_trends(pl.DataFrame([top | {"expected": expected_jaccard(total, size)}]))
    assert trend.verdict == verdict
    assert f"{shared} are the same" in trend.test


def test_a_stopped_probe_goes_on_and_ends_in_the_same_tables(folder, result, tmp_path):
    batched = probe(folder, tmp_path, batch=7)
    for kind in ("rows", "noise", "heads"):
        found, expected = batched.table(kind), result.table(kind)
        assert found.drop("log_probability").equals(expected.drop("log_probability"))
        np.testing.assert_allclose(found["log_probability"], expected["log_probability"], atol=1e-3)
    (marker,) = (batched.folder / "noise").glob("shard-00002-*.done")
    marker.unlink()
    before = (batched.folder / "noise").joinpath(marker.name).with_suffix(".parquet").read_bytes()
    kept = {
        path: path.stat().st_mtime_ns for path in batched.folder.glob("*/*.parquet") if marker.stem not in path.name
    }
    again = probe(folder, tmp_path, batch=7)
    assert again.folder == batched.folder
    assert (batched.folder / "noise").joinpath(marker.name).with_suffix(".parquet").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    other = probe(folder, tmp_path, looks=["lens"], seed=3)
    assert other.folder != batched.folder
    assert not other.has("noise")


def test_the_command_writes_page_tables_and_card(folder, tmp_path, capsys):
    words = ["probe", "layers", str(folder / "model"), "--corpus", str(folder / "rows.npy"), "--rows", "first:30"]
    words += ["--context", "8", "--continuation", "6", "--out", str(tmp_path), "--quiet", "--looks", "noise,heads"]
    assert run(words) == 0
    text = capsys.readouterr().out
    assert "Recited rows" in text
    assert "The page is in" in text
    (out,) = tmp_path.iterdir()
    page = (out / "layers.html").read_text()
    assert "Tokens recited, by the noise in the residual stream" in page
    assert "What to keep in mind" in page
    assert "The fifth of the heads that different texts need most overlaps more than random sets do." in page
    assert "lacks 0.5, the noise of K7" not in page
    assert "**heads**" in (out / "README.md").read_text()
    assert json.loads((out / "facts.json").read_text())["looks"] == ["noise", "heads"]
    assert run([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["heads"]["heads"]
    assert printed["heads"]["published"][0]["jaccard"] == 0.5208
    assert [trend["trend"] for trend in printed["trends"]] == [*NOISE_TRENDS, *HEAD_TRENDS]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"strengths": [-1.0]}, OptionError, "strengths"),
        ({"looks": ["smell"]}, OptionError, "looks"),
        ({"context": 40}, CorpusError, "has 46 tokens; lower"),
        ({"control_rows": "first:0"}, OptionError, "selects no row"),
    ],
)
def test_wrong_input_is_explained(folder, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        probe(folder, tmp_path, **options)


def test_models_without_layers_are_refused(folder, tmp_path):
    with pytest.raises(ModelError, match=f"'uniform:{V}' has no hidden states"):
        mematlas.probe_layers(
            f"uniform:{V}", corpus=folder / "rows.npy", context=CONTEXT, continuation=CONTINUATION, out=tmp_path
        )
