"""Traced rows: shares against transformers' own pass, twins, resumption, and what the finding and its page say."""

import json

import numpy as np
import polars as pl
import pytest
import torch

import mematlas
from mematlas.errors import CorpusError, MematlasError, ModelError, OptionError
from mematlas.probes.state_tracing.finding import row_findings, summary
from mematlas.probes.state_tracing.tables import DEPENDENCY, TOKENS
from mematlas.report.charts.matrix import draw as draw_matrix
from mematlas.report.charts.palette import Palette
from mematlas.report.plain_pages.traces import write_traces
from tests.tiny_networks import V, neox, save_network

CONTEXT, CONTINUATION, ROWS = 6, 4, 8
WIDTH = CONTEXT + CONTINUATION


def network(seed: int):
    """A random network whose states decide as those of trained ones do."""
    made = neox(seed=seed)
    for parameter in made.parameters():
        parameter.data *= 3
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models and their corpus: the first recites row 0 but for its last token, the second rows 1 and 2."""
    folder = tmp_path_factory.mktemp("traces")
    models = [network(0), network(1)]
    tokens = np.random.default_rng(0).integers(0, V, (ROWS, WIDTH))
    for row, model in ((0, models[0]), (1, models[1]), (2, models[1])):
        for position in range(CONTEXT, WIDTH):
            with torch.inference_mode():
                logits = model(input_ids=torch.from_numpy(tokens[[row], :position])).logits
            tokens[row, position] = logits[0, -1].argmax()
    tokens[0, -1] = (tokens[0, -1] + 1) % V
    np.save(folder / "rows.npy", tokens)
    for name, model in zip(("model", "twin"), models, strict=True):
        save_network(model, folder / name)
    return folder


def trace(folder, out, rows="first:3", **options):
    asked = {"context": CONTEXT, "continuation": CONTINUATION, "sources": 3, "corpus": folder / "rows.npy"} | options
    return mematlas.trace_states(folder / "model", rows=rows, out=out, **asked)


@pytest.fixture(scope="module")
def traces(folder, tmp_path_factory):
    return trace(folder, tmp_path_factory.mktemp("out"), twin=folder / "twin")


@torch.inference_mode()
def share_changed(folder, row: int, layer: int, position: int, token: int) -> float:
    """The share over all other rows, by transformers' own pass and one hook, a patch at a time."""
    model, tokens = network(0), torch.from_numpy(np.load(folder / "rows.npy"))
    block, changed, states = model.gpt_neox.layers[layer - 1], [], []
    others = [other for other in range(ROWS) if other != row]
    handle = block.register_forward_hook(lambda _m, _i, output: states.append(output.clone()))
    for other in others:
        model(input_ids=tokens[[other]])
    handle.remove()
    for state in states:

        def write(_module, _inputs, output, value=state[0, position]):
            output[:, position] = value

        handle = block.register_forward_hook(write)
        answer = model(input_ids=tokens[[row]]).logits[0, token - 1].argmax()
        handle.remove()
        changed.append(bool(answer != tokens[row, token]))
    return float(np.mean(changed))


def last_states(model, tokens) -> torch.Tensor:
    """The last block's output for one text, [length, width]."""
    states = []
    handle = model.gpt_neox.layers[-1].register_forward_hook(lambda _m, _i, output: states.append(output))
    model(input_ids=tokens)
    handle.remove()
    return states[0][0]


def test_a_share_is_that_of_patches_made_one_at_a_time(folder, tmp_path):
    table = trace(folder, tmp_path, "first:1", sources=ROWS - 1).dependency()
    assert table.schema.names() == DEPENDENCY.names
    assert set(table["n"]) == {ROWS - 1}
    assert set(table["token"]) == set(range(CONTEXT, WIDTH - 1))  # the last token is not recited
    assert (table["position"] < table["token"]).all()
    assert table.height == 2 * sum(range(CONTEXT, WIDTH - 1))  # layers, and positions before each token
    for layer, position, token in ((1, 0, 8), (1, 5, 6), (2, 5, 6), (2, 3, 8), (1, 7, 8)):
        (record,) = table.filter(layer=layer, position=position, token=token).to_dicts()
        assert record["dep"] == pytest.approx(share_changed(folder, 0, layer, position, token))
    assert table["dep"].max() > 0.5


def test_the_prompt_alone_can_be_patched(folder, traces, tmp_path):
    found = trace(folder, tmp_path, positions="prompt", twin=folder / "twin")
    assert found.folder.name != traces.folder.name
    short, whole = found.dependency(), traces.dependency()
    assert set(short["position"]) == set(range(CONTEXT))
    place = ["row", "patched", "source", "token", "layer", "position"]
    assert short.sort(place).equals(whole.filter(pl.col("position") < CONTEXT).sort(place))


def test_tokens_say_what_each_model_recites(traces, folder):
    tokens = traces.tokens()
    assert tokens.schema.names() == TOKENS.names
    assert tokens["id"].to_list() == np.load(folder / "rows.npy")[:3].reshape(-1).tolist()
    assert tokens["text"].null_count() == tokens.height  # there is no tokenizer
    hits = tokens.filter(pl.col("position") >= CONTEXT).group_by("row", maintain_order=True)
    counts = hits.agg(pl.col("recited", "twin_recited").sum()).rows()
    assert counts[0][:2] == (0, CONTINUATION - 1)
    assert [count[2] for count in counts[1:]] == [CONTINUATION] * 2


@torch.inference_mode()
def test_states_are_interchanged_both_ways(traces, folder):
    table = traces.dependency()
    directions = set(table.select("patched", "source").unique().rows())
    assert directions == {("model", "corpus"), ("model", "twin"), ("twin", "model")}
    twin = table.filter(pl.col("source") != "corpus")
    assert set(twin["n"]) == {1}
    assert set(twin["dep"]) == {0.0, 1.0}
    assert set(twin.filter(row=0, patched="twin")["token"]) == set(range(CONTEXT, WIDTH - 1))  # recited by the model
    tokens = torch.from_numpy(np.load(folder / "rows.npy"))
    networks = {"model": network(0), "twin": network(1)}
    for row, patched, source, token, recited, dep in (
        twin.filter((pl.col("layer") == 2) & (pl.col("position") == pl.col("token") - 1))
        .select("row", "patched", "source", "token", "recited", "dep")
        .iter_rows()
    ):  # behind the last block, one model's head answers from the other's state
        states = last_states(networks[source], tokens[[row]])
        answer = (
            networks[patched]
            .get_output_embeddings()(networks[patched].gpt_neox.final_layer_norm(states[token - 1]))
            .argmax()
        )
        assert dep == ((answer == tokens[row, token]) != recited)
    elsewhere = twin.filter((pl.col("layer") == 2) & (pl.col("position") != pl.col("token") - 1))
    assert elsewhere["dep"].max() == 0


def test_a_model_is_no_other_than_itself(folder, tmp_path):
    """Negative control: states of a twin with the same weights change nothing."""
    table = trace(folder, tmp_path, "first:1", twin=folder / "model").dependency()
    assert table.filter(source="corpus")["dep"].max() > 0
    assert table.filter(pl.col("source") != "corpus")["dep"].max() == 0


# ---------------------------------------------------------------------------------------------------------- resumption


class StopsAfter:
    """A progress display that is interrupted after so many patches."""

    def __init__(self, patches: float) -> None:
        self.left, self.started, self.said = patches, (), []

    def start(self, *words) -> None:
        self.started = words

    def advance(self, patches: int) -> None:
        self.left -= patches
        if self.left < 0:
            raise KeyboardInterrupt

    def say(self, text: str) -> None:
        self.said.append(text)

    def stop(self) -> None: ...


def test_a_stopped_tracing_goes_on_at_the_first_unfinished_row(folder, traces, tmp_path):
    per_row = 2 * (WIDTH - 1) * (3 + 2)
    with pytest.raises(KeyboardInterrupt):
        trace(folder, tmp_path, twin=folder / "twin", progress=StopsAfter(1.5 * per_row))
    again = StopsAfter(np.inf)
    whole = trace(folder, tmp_path, twin=folder / "twin", progress=again, batch=5)  # which changes nothing
    assert whole.folder.name == traces.folder.name
    assert again.started == ("model", 3 * per_row, per_row, "patches")
    assert whole.dependency().equals(traces.dependency())
    assert whole.tokens().equals(traces.tokens())
    done = StopsAfter(0)
    trace(folder, tmp_path, twin=folder / "twin", progress=done)
    assert done.started == ("model", 3, 3)


def test_the_card_explains_every_column(traces):
    text = (traces.folder / "README.md").read_text()
    for field in (*DEPENDENCY, *TOKENS):
        assert f"| {field.name} | {field.type} | {field.metadata[b'is'].decode()} |" in text
    assert "mematlas trace-states" in text
    assert json.loads((traces.folder / "facts.json").read_text())["sources"] == 3


def test_short_rows_are_left_out(folder, tmp_path):
    pl.DataFrame({"tokens": [list(range(5)), *np.load(folder / "rows.npy").tolist()]}).write_parquet(
        tmp_path / "r.parquet"
    )
    found = trace(folder, tmp_path, "first:2", corpus=tmp_path / "r.parquet")
    assert set(found.tokens()["row"]) == {1}


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"sources": ROWS},
            CorpusError,
            r"^--sources 8: of 8 random rows of .* only 7 have 9 tokens and begin otherwise",
        ),
        ({"rows": "first:0"}, MematlasError, "selects no row"),
        ({"context": 0}, OptionError, r"--context: Input should be greater than 0"),
        (
            {"twin": "uniform:499"},
            ModelError,
            r"^'uniform:499' has no hidden states to replace: .*; name one that is\.$",
        ),
    ],
)
def test_a_wrong_question_is_one_line(folder, tmp_path, options, error, message):
    with pytest.raises(error, match=message) as raised:
        trace(folder, tmp_path, **({"rows": "first:1"} | options))
    assert "\n" not in str(raised.value)


def test_a_twin_of_another_shape_is_refused(folder, tmp_path):
    save_network(neox(num_hidden_layers=3), tmp_path / "deeper")
    message = (
        r"^--twin .*deeper has 3 blocks \(GPTNeoXLayer\) of width 32 and a vocabulary of 499, and .*model has 2 blocks "
        r"\(GPTNeoXLayer\) of width 32 and a vocabulary of 499; name a model of the same architecture and size\.$"
    )
    with pytest.raises(OptionError, match=message):
        trace(folder, tmp_path, twin=tmp_path / "deeper")


# ------------------------------------------------------------------------------------------------------------- finding


def planted(strong: dict[int, int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row of 4 + 3 tokens; strong: token -> the one position that it depends on, in layer 2 of 2."""
    records = [
        (9, "model", "corpus", token, True, layer, position, float(layer == 2 and position == at), 10)
        for token, at in strong.items()
        for layer in (1, 2)
        for position in range(token)
    ]
    texts = ["a", " b", "\n", "<b>", "a", "\u202e", " c"]
    recited = [None] * 4 + [token in strong for token in range(4, 7)]
    tokens = [
        (9, position, position, text, hit, None)
        for position, (text, hit) in enumerate(zip(texts, recited, strict=True))
    ]
    return (
        pl.DataFrame(records, schema=pl.Schema(DEPENDENCY), orient="row"),
        pl.DataFrame(tokens, schema=pl.Schema(TOKENS), orient="row"),
    )


def test_the_claim_counts_what_depends_on_the_prompt_and_how_far_back():
    dependency, tokens = planted({4: 0, 6: 5})
    assert summary(dependency, tokens) == [{"row": 9, "tokens": 3, "recited": 2, "depending": 1, "reach": 2.5}]
    (finding,) = row_findings(dependency, tokens, ("model", None))
    assert finding.headline == "2 of 3 tokens are recited; 1 depends on the prompt"
    assert finding.sentence == "The farthest state that a recited token depends on is 2.5 tokens back (median)."
    assert [chart.name for chart in finding.charts] == ["tokens", "states"]
    by_token = finding.table("tokens").filter(pl.col("dep") == 1).select("token", "position").rows()
    assert by_token == [("a 4", "a 0"), ("·c 6", "\ufffd 5")]
    by_state = finding.table("states").filter(pl.col("changed") > 0).rows()
    assert by_state == [("2", "a 0", 1.0), ("2", "\ufffd 5", 1.0)]
    assert finding.table("states")["layer"][0] == "2"  # the last layer is on top


def test_a_row_that_nobody_recites_is_no_finding():
    dependency, tokens = planted({})
    assert summary(dependency, tokens) == [{"row": 9, "tokens": 3, "recited": 0, "depending": 0, "reach": None}]
    assert row_findings(dependency, tokens, ("model", None)) == []


def test_the_page_shows_each_row_once_and_escapes_its_text(tmp_path):
    dependency, tokens = planted({4: 0, 6: 5})
    findings = row_findings(dependency, tokens, ("<i>", None))
    facts = {
        "model": "<i>",
        "twin": None,
        "corpus": "c",
        "selection": "first:2",
        "rows": 2,
        "context": 4,
        "continuation": 3,
    }
    write_traces(tmp_path / "page.html", facts | {"sources": 10}, findings, tokens, ["svg"])
    page = (tmp_path / "page.html").read_text()
    assert page.count("<section") == 1
    assert page.count("<img") == 2
    assert "<b>" not in page
    assert "<i>" not in page
    assert "\u202e" not in page
    assert '<span class="prompt">&lt;b&gt;</span><mark>a</mark><u>\ufffd</u><mark> c</mark>' in page
    assert sorted(path.name for path in (tmp_path / "page-figures").iterdir()) == [
        "row-9-states.svg",
        "row-9-tokens.svg",
    ]


def test_many_cells_are_a_heat_map_with_a_scale():
    dependency, tokens = planted({4: 0, 6: 5})
    chart = row_findings(dependency, tokens, ("model", None))[0].charts[0]
    frame = pl.DataFrame(
        {
            "token": [f"t {row}" for row in range(30) for _ in range(40)],
            "position": [f"p {column}" for _ in range(30) for column in range(40)],
            "dep": np.linspace(0, 1, 1200),
        }
    )
    panel = draw_matrix(chart, frame, Palette())
    assert len(panel.layers) == 2  # shades, and dashes for what was not measured
    assert (panel.min_width, panel.height) == (480, 390)
    few = draw_matrix(chart, frame.filter(pl.col("token") == "t 0").head(5), Palette())
    assert len(few.layers) == 3  # with numbers
