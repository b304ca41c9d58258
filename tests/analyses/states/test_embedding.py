"""The finding `embedding` on hidden states planted by hand."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.states.embedding import finding as embedding
from mematlas.analyses.states.embedding import maps as state_maps
from mematlas.analyses.states.embedding.distances import HIGHEST, LOWEST, LOWEST_TO_HIGHEST, MIN_ROWS, state_distances
from mematlas.analyses.states.embedding.finding import ANALYSIS
from mematlas.analyses.states.embedding.maps import state_axes, state_map
from mematlas.analyses.states.embedding.samples import CONTROL, GROUPS, MAX_ROWS, max_rows_per_group, table_samples
from tests.analyses.synthetic_tables import in_documents, tables, with_states

CELL = (4, 5)
COUNT = 80
ROLES = ["control" if row % 4 == 0 else "train" for row in range(COUNT)]
#: 15 training rows recited, 30 missed, 15 with three of five tokens
MATCHES = [(5, 0, 3, 0)[(row // 4 + row) % 4] if row % 4 else 0 for row in range(COUNT)]
TRAIN = {
    name: [row for row in range(COUNT) if row % 4 and MATCHES[row] == matches]
    for name, matches in ((LOWEST, 0), (HIGHEST, 5))
}


def planted(models=("small", "large"), matches=MATCHES, roles=ROLES, states=None, options=None, **given):
    study_tables = tables({model: {CELL: list(matches)} for model in models}, roles=roles, **(options or {}))
    return with_states(study_tables, **({} if states is None else {"given": states}), **given)


def compute(study_tables):
    return ANALYSIS.compute(study_tables)


def record(finding, between, table="distances", **where):
    where = {"model": "large", "kind": "free", "step": 0, "role": "train", "between": between} | where
    conditions = [pl.col(name).eq_missing(value) for name, value in where.items()]
    return finding.table(table).filter(*conditions).row(0, named=True)


def in_clusters(model, kind):
    """Recited rows at (1, 3, 4) in the context and at five times that distance after it; all others at (1, 0, 0)."""
    states = np.zeros((COUNT, 8, 3))
    states[..., 0] = 1
    states[TRAIN[HIGHEST], :4, 1:] = [3, 4]
    states[TRAIN[HIGHEST], 4:, 1:] = [15, 20]
    return states


# -------------------------------------------------------------------------------------------------------- the numbers


def test_planted_clusters_have_the_planted_distance_at_each_step():
    finding = compute(planted(states=in_clusters))
    for step, distance in ((-3, 5), (0, 5), (1, 25), (4, 25)):
        assert record(finding, LOWEST_TO_HIGHEST, step=step)["distance"] == pytest.approx(distance)
        assert record(finding, LOWEST, step=step)["distance"] == pytest.approx(0)
        assert record(finding, HIGHEST, step=step)["distance"] == pytest.approx(0)
    assert record(finding, LOWEST_TO_HIGHEST)["cosine"] == pytest.approx(26**-0.5, abs=1e-6)
    assert record(finding, LOWEST_TO_HIGHEST, step=None, over="all decoding steps")["distance"] == pytest.approx(
        (5 + 4 * 25) / 5
    )
    assert record(finding, LOWEST_TO_HIGHEST, role="shuffled")["distance"] < 4
    result = record(finding, LOWEST_TO_HIGHEST)
    assert (result["first_rows"], result["second_rows"]) == (len(TRAIN[LOWEST]), len(TRAIN[HIGHEST]))
    assert result["pairs"] == len(TRAIN[LOWEST]) * len(TRAIN[HIGHEST])


def test_scaled_distances_do_not_grow_with_width_and_raw_ones_do():
    finding = compute(planted(apart=0.0, width=32))
    small, large = (record(finding, LOWEST, model=model) for model in ("small", "large"))
    assert large["distance"] / small["distance"] == pytest.approx(2**0.5, rel=0.05)
    assert large["scaled_distance"] == pytest.approx(1, abs=0.02)
    assert small["scaled_distance"] == pytest.approx(1, abs=0.02)


def test_control_rows_are_a_group_of_their_own():
    finding = compute(planted())
    assert record(finding, CONTROL, role="control")["first_rows"] == 20
    trained = finding.table("distances").filter(role="train", between="all levels", step=0, model="large", kind="free")
    assert trained["first_rows"].to_list() == [60]


def test_rows_that_ended_early_are_left_out_of_later_steps_alone():
    ended = TRAIN[HIGHEST][:3]
    finding = compute(planted(ended=ended))
    counts = {step: record(finding, HIGHEST, step=step)["first_rows"] for step in (0, 1, 2, 4)}
    assert counts == {0: 15, 1: 15, 2: 12, 4: 12}
    assert record(finding, HIGHEST, step=None, over="all decoding steps")["first_rows"] == 12


def test_kinds_are_never_mixed():
    finding = compute(planted(states=lambda model, kind: in_clusters(model, kind) * (1 if kind == "free" else 2)))
    assert record(finding, LOWEST_TO_HIGHEST, kind="truth")["distance"] == pytest.approx(10)
    assert record(finding, LOWEST_TO_HIGHEST, kind="free")["distance"] == pytest.approx(5)
    assert all(chart.where["kind"] == "free" for chart in finding.charts)


def test_separable_levels_are_seen_and_others_are_not():
    def silhouette(apart):
        separation = compute(planted(apart=apart)).table("separation")
        return separation.filter(model="large", kind="free", state="first", measure="silhouette").to_dicts()

    observed, null = silhouette(2.0)
    assert (observed["role"], null["role"], observed["rows"], observed["levels"]) == ("train", "shuffled", 60, 3)
    assert observed["value"] > 0.3 > null["value_upper"]
    assert observed["p"] == pytest.approx(1 / 500)
    observed, null = silhouette(0.0)
    assert observed["p"] > 0.05
    assert null["value_lower"] < observed["value"] < null["value_upper"]


def test_levels_of_few_rows_do_not_count_for_separability():
    few = [
        matches if matches != 5 or row in TRAIN[HIGHEST][: MIN_ROWS - 1] else 0 for row, matches in enumerate(MATCHES)
    ]
    separation = compute(planted(matches=few)).table("separation")
    assert separation["levels"].unique().to_list() == [2]


def test_shuffled_levels_are_the_mean_and_the_middle_of_many_shuffles():
    """Levels that differ in nothing: shuffled ones have the distance of all rows, and an interval that holds it."""
    finding = compute(planted())
    overall = record(finding, "all levels")
    for name in (LOWEST, HIGHEST, LOWEST_TO_HIGHEST):
        shuffled, own = record(finding, name, role="shuffled"), record(finding, name)
        assert shuffled["distance_lower"] < overall["distance"] < shuffled["distance_upper"]
        assert shuffled["distance"] == pytest.approx(overall["distance"], rel=0.02)
        assert [shuffled[key] for key in ("first_rows", "second_rows", "pairs", "clusters")] == [
            own[key] for key in ("first_rows", "second_rows", "pairs", "clusters")
        ]
    assert "200 times, numbers are means, with intervals of 95 % of the shuffles" in finding.control


def test_rows_of_a_document_count_as_one():
    """Every row four times, in a document: distances between levels are as certain as those of one row each."""
    rng = np.random.default_rng(0)
    matches = [(5, 0)[row % 2] for row in range(40)]
    states = rng.normal(size=(40, 8, 3))

    def copied(times, documents=True):
        labels = np.repeat(matches, times).tolist()
        found = tables({"large": {CELL: labels}}, roles=["train"] * len(labels))
        found = in_documents(found, times) if documents else found
        return compute(with_states(found, given=lambda model, kind: np.repeat(states, times, axis=0)))

    single, documents, rows = copied(1), copied(4), copied(4, documents=False)
    widths = []
    for finding in (single, documents, rows):
        found = record(finding, LOWEST_TO_HIGHEST)
        assert found["distance"] == pytest.approx(record(single, LOWEST_TO_HIGHEST)["distance"])
        widths.append(found["distance_upper"] - found["distance_lower"])
    assert widths[1] == pytest.approx(widths[0])
    assert widths[2] < 0.55 * widths[0]
    assert record(documents, LOWEST_TO_HIGHEST)["clusters"] == 40
    shuffled = [record(finding, LOWEST_TO_HIGHEST, role="shuffled") for finding in (single, documents, rows)]
    spans = [found["distance_upper"] - found["distance_lower"] for found in shuffled]
    assert spans[1] == pytest.approx(spans[0], rel=0.35)
    assert spans[2] < 0.8 * spans[1]
    separated = {
        name: finding.table("separation").filter(state="first", kind="free", measure="purity", role="train")
        for name, finding in (("documents", documents), ("rows", rows))
    }
    assert separated["rows"]["p"][0] < 0.01 < 0.05 < separated["documents"]["p"][0]
    assert separated["documents"]["clusters"][0] == 40


def test_the_map_shows_rows_of_the_largest_model():
    study_tables = planted()
    finding = compute(study_tables)
    points, axes = finding.table("map"), finding.table("axes")
    assert points["model"].unique().to_list() == ["large"]
    first = points.filter(kind="free", method="PCA", state="first")
    assert first["row"].to_list() == list(range(COUNT))
    assert first.filter(row=TRAIN[HIGHEST][0])["level"].item() == "very high"
    assert first.filter(row=0)["level"].item() == "control"
    assert axes.filter(kind="free", state="first")["explained"].is_between(0, 1).all()
    line_like = replace_states(study_tables, lambda values: values[..., :1] * np.ones(4))
    explained = state_axes(table_samples(line_like)).filter(axis=1)["explained"]
    assert explained.to_list() == pytest.approx([1] * 4)


def replace_states(study_tables, change):
    def read(kind):
        return lambda model: replace(
            study_tables.states[kind](model),
            states=change(study_tables.states[kind](model).states.astype(float)).astype(np.float16),
        )

    return replace(study_tables, states={kind: read(kind) for kind in study_tables.states})


# -------------------------------------------------------------------------------------------------------- the sample


def test_a_large_record_is_cut_to_a_balanced_sample_that_is_always_the_same():
    matches = [0] * 900 + [5] * 40 + [0] * 500
    roles = ["train"] * 940 + ["control"] * 500
    study_tables = planted(("m",), matches, roles, kinds=("free",), width=2)
    samples = [next(table_samples(study_tables)) for _ in range(2)]
    sizes = np.bincount(samples[0].group, minlength=len(GROUPS))
    assert sizes.tolist() == [280, 0, 0, 0, 40, 280]
    assert len(samples[0].rows) == MAX_ROWS
    assert samples[0].rows.tolist() == samples[1].rows.tolist() == sorted(samples[0].rows.tolist())
    assert samples[0].states_at(0)[3].tolist() == samples[0].hidden.states[samples[0].rows[3], 3].tolist()


@pytest.mark.parametrize(
    ("sizes", "total", "expected"), [([5, 100, 100], 105, 50), ([1, 2, 3], 99, 3), ([10, 10], 10, 5), ([], 5, 0)]
)
def test_small_groups_stay_whole(sizes, total, expected):
    assert max_rows_per_group(sizes, total) == expected


def test_the_order_of_the_record_does_not_matter():
    study_tables = planted()

    def reversed_states(model):
        hidden = study_tables.states["free"](model)
        return replace(hidden, **{name: getattr(hidden, name)[::-1] for name in ("rows", "levels", "hits", "states")})

    reversed_tables = replace(study_tables, states={"free": reversed_states})
    distances = state_distances(table_samples(replace(study_tables, states={"free": study_tables.states["free"]})))
    assert state_distances(table_samples(reversed_tables)).equals(distances)


def test_long_continuations_are_thinned_to_64_steps_including_the_headline_ones():
    study_tables = planted(("m",), tokens=300, kinds=("free",), width=1)
    steps = next(table_samples(study_tables)).steps
    assert len([step for step in steps if step >= 0]) <= 67
    assert {0, 2, 4, 299} <= set(steps)


# --------------------------------------------------------------------------------------------------------- the words


def test_the_claim_names_both_ends_at_the_first_and_the_last_step():
    finding = compute(planted(apart=2.0))
    high, low, between = (record(finding, name)["scaled_distance"] for name in (HIGHEST, LOWEST, LOWEST_TO_HIGHEST))
    assert finding.claim.startswith(f"In large 15 rows with M >= 0.8 lie {high:.3f} (")
    assert f"30 with M < 0.2 {low:.3f} (" in finding.claim
    assert f"the two {between:.3f} (" in finding.claim
    assert "; after 4 tokens" in finding.claim
    assert between > max(high, low)
    assert len(finding.claim) <= 350
    assert "With the levels shuffled among the training rows of large" in finding.control
    assert "20 control rows, which no model was trained on" in finding.control
    assert finding.strength > 3


def test_too_few_recited_rows_are_not_cited():
    few = [
        matches if matches != 5 or row in TRAIN[HIGHEST][: MIN_ROWS - 1] else 0 for row, matches in enumerate(MATCHES)
    ]
    finding = compute(planted(matches=few))
    assert "cannot be said: no model has 10 rows of both; 36 rows with M < 0.2 of large lie" in finding.claim
    assert any(text.startswith("Fewer than 10 rows with M >= 0.8 have states") for text in finding.caveats)
    assert finding.missing is None


def test_a_study_without_states_says_how_to_record_them():
    finding = compute(tables({"m": {CELL: list(MATCHES)}}, roles=ROLES))
    assert finding.claim.endswith("cannot be said: the study lacks hidden states.")
    assert "--signals free,hidden" in finding.missing


@pytest.mark.parametrize(
    ("growth", "verdicts"), [(1.0, ("shows", "cannot tell")), (-1.0, ("contradicts", "cannot tell"))]
)
def test_raw_distances_that_change_with_size_are_judged(growth, verdicts):
    """States whose unit grows (or shrinks) with model size, which does not affect cosines and scaled distances."""
    models = ("a", "b", "c", "d")

    def states(model, kind):
        rng = np.random.default_rng(models.index(model))
        return rng.normal(size=(COUNT, 8, 16)) * (3 + growth * models.index(model) / 2)

    finding = compute(planted(models, states=states, kinds=("free",)))
    assert tuple(trend.verdict for trend in finding.trends) == verdicts
    assert "After centring and scaling" in finding.trends[0].test
    slope = finding.table("slopes").filter(between="all levels", role="train", measure="distance")
    assert slope["slope"].item() == pytest.approx(growth * (2 * 16) ** 0.5 / 2, rel=0.05)


def test_one_model_shows_no_trend():
    finding = compute(planted(("m",)))
    assert {trend.verdict for trend in finding.trends} == {"cannot tell"}
    assert any(text.startswith("One model") for text in finding.caveats)


def test_a_control_model_is_a_role_of_its_own():
    finding = compute(planted(options={"control_models": ("small",)}))
    roles = finding.table("distances").filter(model="small")["role"].unique().sort().to_list()
    assert roles == ["control", "control model"]
    assert "slopes" not in [table.name for table in finding.tables]


def test_without_umap_a_caveat_says_how_to_get_it(monkeypatch):
    for module in (embedding, state_maps):
        monkeypatch.setattr(module, "umap_is_installed", lambda: False)
    finding = compute(planted())
    assert finding.table("map")["method"].unique().to_list() == ["PCA"]
    assert 'No UMAP: it needs the extra `pip install "mematlas[umap]"`.' in finding.caveats
    assert [chart.name for chart in finding.charts if chart.name.startswith("map")] == ["map-pca"]


def test_states_of_another_layer_are_reported():
    study_tables = planted()
    finding = compute(replace(study_tables, settings={**study_tables.settings, "hidden_layer": "3"}))
    assert "These are states of layer 3, not of the last as in P1." in finding.caveats


def test_constant_states_have_no_scaled_distances():
    finding = compute(planted(states=lambda *_: np.ones((COUNT, 8, 3))))
    assert record(finding, LOWEST_TO_HIGHEST)["scaled_distance"] is None
    assert record(finding, LOWEST_TO_HIGHEST)["distance"] == 0
    assert any(text.startswith("States vary in no dimension") for text in finding.caveats)
    assert not state_map(table_samples(planted(states=lambda *_: np.ones((COUNT, 8, 3))))).height
