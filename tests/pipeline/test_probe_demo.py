"""The demonstration of recall, in small: a planted table, its counts, and a model that is asked for it."""

import polars as pl
import pytest

from mematlas.experiments.data.code_table import CodeTableConfig, write_code_table
from mematlas.experiments.design.config import Size
from mematlas.pipeline.probe_demo import ProbeDemoConfig, probe_demo
from mematlas.progress import Silent

TABLE = CodeTableConfig(repetitions=(0, 1, 24), per_level=4, vocabulary=300, row_length=64)
SMALL = ProbeDemoConfig(
    TABLE, Size(hidden=32, layers=2, heads=2, peak_rate=1e-2), epochs=6, batch=4, axes=("templates",)
)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return probe_demo(tmp_path_factory.mktemp("demo"), SMALL, None, Silent())


def test_the_index_counts_what_was_planted(result):
    shown = pl.read_csv(result.items).with_columns(pl.col("id").cast(pl.String))
    counted = result.recall.table("popularity").join(shown, left_on="item", right_on="id")
    for name in ("count_input", "count_output", "count_both"):
        assert counted[name].to_list() == counted["shown"].to_list()
    assert sorted(set(counted["shown"])) == [0, 1, 24]


def test_every_item_is_asked_with_every_template(result):
    items = result.recall.table("items")
    assert items.height == 3 * 12
    assert set(items["template"]) == {"template 1", "template 2", "template 3"}
    never = items.filter(popularity=0)
    assert never["hit"].sum() == 0  # nobody can know them
    often, seldom = (items.filter(template="template 1", popularity=n)["logp"].mean() for n in (24, 0))
    assert often > seldom + 2  # nats


def test_a_second_time_nothing_is_done(result, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("work was done twice")

    monkeypatch.setattr("mematlas.probes.recall.run.ask_items", refuse)
    monkeypatch.setattr("mematlas.experiments.training.trainer._train", refuse)
    again = probe_demo(result.items.parent, SMALL, None, Silent())
    assert again.recall.table("items").equals(result.recall.table("items"))


def test_the_table_is_that_of_its_seed(tmp_path):
    first, again = (write_code_table(tmp_path / name, TABLE) for name in ("a", "b"))
    assert (first.tokens == again.tokens).all()
    assert first.items.read_bytes() == again.items.read_bytes()
    frame = pl.read_csv(first.items)
    assert frame["output"].n_unique() == frame.height == 12
    sentences = first.tokenizer.decode(first.tokens.reshape(-1))
    name, code, times = frame.filter(shown=24).select("input", "output", "shown").row(0)
    assert sentences.count(f"The code of {name} is {code}.") == times * 3 // 4
    assert sentences.count(f"{name} has the code {code}.") == times // 4
