"""The plan of `--dry-run`: its counts equal those of the run that follows, and it does not change the study."""

import pytest

import mematlas
from mematlas.models.standins.standin import HistorySession
from mematlas.pipeline.plan import ModelPlan, Probe, _seconds, plan_study
from mematlas.pipeline.steps.score import models_of_unknown_width
from mematlas.pipeline.study_file import read_study_file
from mematlas.scoring.job import resolve_job
from tests import study_shelf as shelves
from tests import tiny_networks as networks


@pytest.fixture
def shelf(tmp_path):
    return shelves.fill(tmp_path)


def plan(shelf, **changed):
    return plan_study(read_study_file(shelves.study_file(shelf, **changed)))


@pytest.fixture
def fed(monkeypatch):
    """Counts the tokens that stand-ins are fed."""
    feed, tokens = HistorySession.feed, [0]

    def counting(self, given, last=None):
        tokens[0] += given.numel()
        return feed(self, given, last)

    monkeypatch.setattr(HistorySession, "feed", counting)
    return tokens


GRID = {"context": "[3, 8]", "continuation": "[4, 12]", "gallery": "false", "analyses": "size"}


@pytest.mark.parametrize(
    ("changed", "a_row"),
    [
        ({}, 8 + 2 * 11),
        ({"signals": "truth"}, 8 + 11 + 2 * 11),
        ({"signals": "free"}, 8 + 2 * 11),
        ({"align": "end"}, 3 + 11 + 8 + 11),
        ({"align": "end", "signals": "truth"}, 3 + 22 + 8 + 22),
    ],
)
def test_token_forwards_are_those_of_a_model_that_recites_nothing(shelf, fed, changed, a_row):
    keys = GRID | {"models": "uniform:60"} | changed
    planned = plan(shelf, **keys)
    assert planned.fed_tokens_per_row == a_row
    assert planned.models[0].remaining_fed_tokens == 40 * a_row
    assert planned.models[0].remaining_flop is None  # a stand-in has no weights
    fed[0] = 0
    mematlas.run(shelves.study_file(shelf, **keys))
    assert fed[0] == 40 * a_row


@pytest.mark.parametrize("changed", [{}, {"depth": "verbatim"}, {"align": "end", "depth": "verbatim"}])
def test_token_forwards_are_an_upper_bound_for_one_that_recites(shelf, fed, changed):
    keys = GRID | {"models": "parrot:rows.npy"} | changed
    bound = plan(shelf, **keys).models[0].remaining_fed_tokens
    fed[0] = 0
    mematlas.run(shelves.study_file(shelf, **keys))
    assert 0 < fed[0] <= bound


def test_the_study_is_left_as_it_is(shelf):
    planned = plan(shelf)
    assert not (shelf / "study").exists()
    assert planned.row_counts == {"train": 30, "control": 10}
    assert [model.label for model in planned.models] == ["parrot-22", "parrot-23", "parrot"]
    assert planned.steps["scoring"] == "3 of 3 models to score"
    assert planned.steps["features"] == "to do, reads the whole corpus 2 times"
    assert planned.steps["occurrences"] == "to do"
    assert planned.steps["gallery"] == "to do"
    assert planned.steps["report"] == "off"
    assert [probe.model for probe in planned.probes] == ["parrot-22", "parrot-23"]
    assert planned.seconds > 0


def test_what_is_there_is_not_counted_again(shelf):
    mematlas.run(shelves.study_file(shelf))
    done = plan(shelf)
    assert done.seconds is None
    assert done.probes == ()
    steps = {"scoring": "done", "features": "done", "occurrences": "done", "predictors": "off"}
    steps |= {"analyses": "done", "gallery": "done", "report": "off"}
    assert done.steps == steps
    more = plan(shelf, models="[parrot:rows.npy, parrot:few.npy:22, uniform:60]", order="given")
    assert [model.remaining_rows for model in more.models] == [0, 0, 40]
    assert more.steps["scoring"] == "1 of 3 models to score"
    assert plan(shelf, gallery_rows="3").steps["gallery"] == "to do"
    assert plan(shelf, features="false").steps == steps | {"features": "off", "occurrences": "off"}
    other = plan(shelf, scope="rows").steps
    assert other["features"] == "to do, reads the whole corpus 2 times"
    assert other["analyses"].endswith(" to do")


def test_scores_and_signals_take_at_most_the_disk_that_is_planned(shelf):
    keys = {"context": "[3, 8]", "signals": "[truth, free]", "gallery": "false", "shards": "1"}
    planned = plan(shelf, **keys)
    # 28 bytes per score; truth: 33 per position, of 20; free: 16 per decoded token
    assert planned.disk == 3 * 40 * (28 * 4 + 33 * 20 + 16 * 2 * 12)
    mematlas.run(shelves.study_file(shelf, analyses="size", **keys))
    files = [path for table in ("scores", "signals") for path in (shelf / "study" / table).rglob("*.parquet")]
    assert len(files) == 9
    assert sum(path.stat().st_size for path in files) < planned.disk + len(files) * 8000  # file headers


@pytest.mark.parametrize(("shards", "signals", "without"), [("1", "[hidden]", "[]"), ("3", "[hidden, truth]", "truth")])
@pytest.mark.parametrize("rows", ["200", "7"])
def test_hidden_states_take_the_disk_that_is_planned_and_no_more(shelf, shards, signals, without, rows):
    networks.save_network(networks.neox(60), shelf / "neox")
    networks.save_network(networks.gpt2(), shelf / "gpt")
    keys = {"models": "[neox, gpt, uniform:60]", "order": "given", "features": "false", "gallery": "false"}
    keys |= {"shards": shards, "analyses": "size", "hidden_rows": rows}
    planned = plan(shelf, **keys, signals=signals)
    assert planned.steps["scoring"] == "3 of 3 models to score"
    announced = planned.disk - plan(shelf, **keys, signals=without).disk
    mematlas.run(shelves.study_file(shelf, **keys, signals=signals))
    kept = sum(path.stat().st_size for path in (shelf / "study" / "states").rglob("*.*"))
    assert 0 < kept <= announced
    assert announced < 1.1 * kept or rows == "7"  # 200: all 40 rows are kept; 7: only rows of the levels that occur


def test_states_of_unknown_width_are_said_to_be_left_out(shelf):
    networks.save_network(networks.neox(60), shelf / "net")
    config = shelf / "net" / "config.json"
    config.write_text(config.read_text().replace('"hidden_size"', '"breadth"'))
    file = read_study_file(shelves.study_file(shelf, signals="hidden"))
    question = resolve_job([str(shelf / "net"), "uniform:60"], file.config)
    assert models_of_unknown_width(question) == " (disk without the hidden states of net, of unknown width)"
    assert models_of_unknown_width(resolve_job(["uniform:60"], question.config)) == ""
    assert (
        models_of_unknown_width(resolve_job([str(shelf / "net")], question.config.model_copy(update={"signals": []})))
        == ""
    )


@pytest.mark.parametrize(
    ("near", "far", "expected"),
    [
        ((10, 100.0), (20, 50.0), 0.05 * 200),  # 1/100 s and 1/50 s per token: proportional, 100 weights take 1/10 s
        ((10, 100.0), (30, 50.0), None),
        ((10, 50.0), (20, 100.0), 1 / 100 * 5 * 100),  # the larger one was faster: in proportion to it
        ((10, 100.0), (10, 100.0), 1 / 100 * 10 * 100),
        ((0, 100.0), (0, 100.0), 1 / 100 * 100),
        ((None, 100.0), (None, 100.0), 1 / 100 * 100),
    ],
)
def test_time_is_a_line_through_two_probes(near, far, expected):
    model = ModelPlan("m", 100, None, False, 1, 100, None)
    probes = [Probe("a", near[0], 8, near[1]), Probe("b", far[0], 8, far[1])]
    line = 100 * (0.005 + 0.0005 * 100)  # through (10, 0.01) and (30, 0.02)
    assert _seconds(model, probes) == pytest.approx(line if expected is None else expected)
