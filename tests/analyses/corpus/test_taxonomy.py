"""K2's categories planted row by row, the models of both forms on planted features, and insufficient data."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.corpus.taxonomy.category_models import ALL_ROWS, TAXONOMY, category_coefficients, category_models
from mematlas.analyses.corpus.taxonomy.covariates import COVARIATES, covariates, trait_means
from mematlas.analyses.corpus.taxonomy.finding import compute
from mematlas.analyses.frames.copies import CATEGORIES
from mematlas.analyses.frames.study_tables import Cell
from mematlas.stats.estimates.intervals import wilson
from tests.analyses.synthetic_tables import tables, with_documents, with_features

CELL = (32, 32)


def study(recited, copies, repeating, incrementing, models=("m0", "m1"), roles=None, **features):
    study_tables = tables({model: {CELL: [32 if hit else 0 for hit in recited]} for model in models}, roles=roles)
    copy_counts = {"window_rows": copies, "window_documents": None, "window_stream": None}
    return with_features(study_tables, **copy_counts, repeating=repeating, incrementing=incrementing, **features)


def planted(count=60):
    """Recited rows: 10 with 6 copies, of which 5 are templates, and 20 with 5: 4 repeat, 3 increment, 13 do neither."""
    copies = [6] * 10 + [5] * 20
    repeating = [True] * 5 + [False] * 5 + [True] * 4 + [False] * 16
    incrementing = [False] * 10 + [False] * 4 + [True] * 3 + [False] * 13
    others = count - 30
    return study([True] * 30 + [False] * others, copies + [9] * others, repeating + [True] * others,
                 incrementing + [False] * others)  # fmt: skip


def shares(finding, **where):
    categories = finding.table("categories").filter(role="train", **where)
    return dict(categories.select("category", "rows").rows())


def test_five_and_six_copies_split_exactly_and_templates_come_second():
    finding = compute(planted())
    assert shares(finding, model="m1") == {"recitation": 10, "reconstruction": 7, "recollection": 13}
    assert finding.table("categories")["of"].unique().to_list() == [30]
    assert finding.claim == (
        "At 32 + 32 tokens, of the 30 rows that m1 recites, 33.3 % (19.2 to 51.2 %) are recitation (6 copies or more "
        "within rows), 23.3 % (11.8 to 40.9 %) are reconstruction (a template) and 43.3 % (27.4 to 60.8 %) are "
        "recollection; of the 30 that m0 recites, 43.3 % (27.4 to 60.8 %) are recollection."
    )
    assert finding.rows[0] == "recitation (K2); copies in the corpus: 6"
    assert set(finding.rows) == {0, 1, 10, 11, 17, 18}


def test_categories_are_drawn_by_size_and_change_with_it():
    scored = tables(
        {"big": {CELL: [32] * 40}, "small": {CELL: [32] * 10 + [0] * 30}}, parameters={"big": 9, "small": 5}
    )
    study_tables = with_features(
        scored, window_rows=[7] * 10 + [1] * 30, window_documents=None, window_stream=None,
        repeating=[False] * 40, incrementing=None,
    )  # fmt: skip
    finding = compute(study_tables)
    assert finding.table("categories")["model"].unique(maintain_order=True).to_list() == ["small", "big"]
    assert shares(finding, model="small") == {"recitation": 10, "reconstruction": 0, "recollection": 0}
    assert shares(finding, model="big") == {"recitation": 10, "reconstruction": 0, "recollection": 30}
    assert finding.strength > 3
    assert "30 rows that big recites have no text: those that count are taken for recollection." in finding.caveats
    assert finding.charts[0].where == {"context": 32, "continuation": 32, "role": "train", "latest": True}


def test_rows_without_a_count_of_copies_are_left_out_and_reported():
    finding = compute(study([True] * 8, [None] * 3 + [1] * 5, [False] * 8, [False] * 8))
    assert shares(finding, model="m0") == {"recitation": 0, "reconstruction": 0, "recollection": 5}
    assert "3 rows that m1 recites have no count of copies and are left out." in finding.caveats
    assert any(caveat.startswith("No row has 6 copies in the corpus (at most 1)") for caveat in finding.caveats)


def test_control_rows_are_not_training_rows():
    roles = ["train"] * 20 + ["control"] * 20
    finding = compute(
        study([True] * 15 + [False] * 15 + [True] * 10, [9] * 40, [False] * 40, [False] * 40, roles=roles)
    )
    assert shares(finding, model="m0")["recitation"] == 15
    assert finding.table("categories").filter(role="control", model="m0")["rows"].sum() == 10
    assert "50.0 % memorized at most" in finding.control


@pytest.mark.parametrize(
    ("study_tables", "missing"),
    [
        (tables({"m": {CELL: [32] * 9}}), "a count of each row's copies in the corpus"),
        (study([True] * 9, None, [False] * 9, [False] * 9), "a count of each row's copies in the corpus"),
        (study([True] * 3 + [False] * 6, [None] * 3 + [1] * 6, [False] * 9, [False] * 9),
         "a count of the copies of the rows that are recited"),
        (study([False] * 9, [1] * 9, [False] * 9, [False] * 9),
         "memorized rows (none of 9 rows is recited by any model at 32 + 32 tokens)"),
        (study([True] * 9, [1] * 9, [False] * 9, [False] * 9, roles=["control"] * 9), "scored training rows"),
    ],
)  # fmt: skip
def test_missing_data_is_reported(study_tables, missing):
    finding = compute(study_tables)
    start = "How recited rows divide into recitation, reconstruction and recollection cannot be said: the study lacks "
    assert finding.claim == f"{start}{missing}."
    assert finding.missing
    assert finding.tables == finding.charts == ()


def test_of_recited_rows_alone_categories_are_known_and_models_are_not():
    study_tables = tables({"m": {CELL: [32] * 30}}, complete=False)
    finding = compute(
        with_features(study_tables, window_rows=[6] * 10 + [1] * 20, repeating=[False] * 30, incrementing=None)
    )
    assert shares(finding, model="m")["recitation"] == 10
    assert [table.name for table in finding.tables] == ["categories"]
    assert finding.caveats[0] == "Only recited rows are known: nothing tells them from others."


# ------------------------------------------------------------------------------------------------------------- models


def random_rows(count=3000, seed=0, effect=1.5, **columns) -> pl.DataFrame:
    """Independent rows whose log odds of being recited depend only on log10(1 + copies), in every category."""
    rng = np.random.default_rng(seed)
    copies = np.floor(10 ** rng.uniform(0, 3, count))
    template = rng.uniform(size=count) < 0.3
    odds = effect * (np.log10(1 + copies) - 1.5) / 0.8 - 0.5
    values = {
        "row": np.arange(count),
        "document": np.arange(count),
        "cluster": np.arange(count),
        "recited": rng.uniform(size=count) < 1 / (1 + np.exp(-odds)),
        "category": np.where(copies >= 6, CATEGORIES[0], np.where(template, CATEGORIES[1], CATEGORIES[2])),
        **{name: np.ceil(10 ** rng.uniform(0, 5, count)) for name in COVARIATES if name.startswith("frequency")},
        "copies": copies,
        "template": template.astype(float),
        **{name: rng.uniform(0.1, 1, count) for name in ("distinct_2", "compressed_bytes", "compression_ratio")},
    }
    return pl.DataFrame({**values, **columns}).with_columns(pl.col("category").cast(pl.Enum(CATEGORIES)))


def record(frame, **where):
    return frame.filter(**where).row(0, named=True)


def test_planted_coefficients_are_recovered_by_the_corrected_form():
    rows = random_rows()
    coefficients = category_coefficients(rows)
    copies = record(coefficients, form="corrected", fitted_to=ALL_ROWS, feature="log10 copies")
    deviation = np.log10(1 + rows["copies"].to_numpy()).std()
    assert copies["coefficient_lower"] < 1.5 / 0.8 * deviation < copies["coefficient_upper"]
    assert copies["p"] < 1e-10
    unrelated = coefficients.filter(
        pl.col("form") == "corrected", ~pl.col("feature").is_in(["log10 copies", "intercept"])
    )
    assert (unrelated["p"] < 0.01).mean() < 0.15
    assert coefficients.filter(form="faithful")["p"].null_count() == coefficients.filter(form="faithful").height


def test_the_faithful_form_is_worse_for_taking_counts_as_they_are_and_for_its_weights():
    models = category_models(random_rows(effect=2.5))
    faithful, corrected = (record(models, form=form, fitted_to=ALL_ROWS) for form in ("faithful", "corrected"))
    assert corrected["roc_auc"] > faithful["roc_auc_lower"]
    assert corrected["roc_auc"] > 0.85
    assert faithful["ece"] > 2 * corrected["ece"]
    assert (faithful["test_rows"], faithful["p"]) == (600, None)


def test_weights_that_make_both_classes_count_the_same_spoil_probabilities():
    rows = random_rows(effect=0)
    rare = rows.filter(~pl.col("recited") | (pl.col("row") % 5 == 0))
    assert rare["recited"].mean() < 0.15
    faithful, corrected = (
        record(category_models(rare), form=form, fitted_to=ALL_ROWS) for form in ("faithful", "corrected")
    )
    assert faithful["ece"] > max(0.3, faithful["ece_by_chance_upper"])
    assert corrected["ece"] < corrected["ece_by_chance_upper"] < 0.05


def test_uninformative_features_do_not_discriminate():
    models = category_models(random_rows(effect=0))
    for form in ("faithful", "corrected"):
        all_rows = record(models, form=form, fitted_to=ALL_ROWS)
        assert all_rows["roc_auc_lower"] < 0.5 < all_rows["roc_auc_upper"]
    assert record(models, form="corrected", fitted_to=ALL_ROWS)["p"] > 0.05
    assert record(models, form="corrected", fitted_to=TAXONOMY)["p"] > 0.05


def test_a_model_a_category_gains_where_the_categories_differ():
    rows = random_rows(effect=0)
    sign = pl.when(pl.col("category") == CATEGORIES[0]).then(1).otherwise(-1)
    odds = 3 * sign * (pl.col("distinct_2") - 0.55)
    luck = pl.Series(np.random.default_rng(1).uniform(size=rows.height))
    models = category_models(rows.with_columns(recited=luck < 1 / (1 + (-odds).exp())))
    single, by_category = (record(models, form="corrected", fitted_to=name) for name in (ALL_ROWS, TAXONOMY))
    assert by_category["p"] < 1e-6
    assert by_category["roc_auc"] > single["roc_auc"]
    assert by_category["reason"] is None


def test_too_few_rows_of_a_class_give_no_model_and_a_reason():
    rows = random_rows()
    few = rows.filter(~pl.col("recited") | (pl.col("row") < 30))
    models = category_models(few)
    assert few.filter("recited").height < 20
    model = record(models, form="corrected", fitted_to=ALL_ROWS)
    assert model["roc_auc"] is None
    assert model["reason"] == f"{few.filter('recited').height} recited rows of 20 that a model takes"
    assert category_coefficients(few).is_empty()


def test_a_category_without_a_model_goes_by_the_one_for_all_rows():
    rows = random_rows()
    remaining = rows.filter((pl.col("category") != CATEGORIES[1]) | ~pl.col("recited"))
    model = record(category_models(remaining), form="corrected", fitted_to=TAXONOMY)
    assert model["reason"] == "rows of reconstruction go by the model for all rows: no ratio"
    assert model["roc_auc"] is not None
    assert model["ratio"] is None


def test_a_template_of_few_rows_does_not_undo_the_model():
    rows = random_rows(template=np.arange(3000) < 3)
    model = record(category_models(rows), form="corrected", fitted_to=ALL_ROWS)
    assert model["reason"] is None
    assert "template" not in category_coefficients(rows).filter(form="corrected")["feature"].to_list()


def test_documents_are_on_one_side_of_the_corrected_split():
    copied = random_rows(count=100, effect=0)
    document = pl.int_range(2000) % 100
    rows = pl.concat([copied] * 20).with_columns(row=pl.int_range(2000), document=document, cluster=document)
    models = category_models(rows)
    leaking, clean = (record(models, form=form, fitted_to=ALL_ROWS)["roc_auc"] for form in ("faithful", "corrected"))
    assert leaking > clean + 0.05


def test_models_of_rows_in_clusters_are_tested_over_clusters():
    """Every row stands four times in its document: intervals stay about those of the documents."""
    once = random_rows(count=1500)
    rows = pl.concat([once] * 4).with_columns(row=pl.int_range(6000))
    alone = rows.with_columns(document=pl.col("row"), cluster=pl.col("row"))
    expected, found, narrow = (
        record(category_coefficients(frame), form="corrected", fitted_to=ALL_ROWS, feature="log10 copies")
        for frame in (once, rows, alone)
    )
    assert (found["rows"], found["clusters"]) == (4 * expected["rows"], expected["rows"])
    widths = [coefficient["coefficient_upper"] - coefficient["coefficient_lower"] for coefficient in (expected, found)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert narrow["coefficient_upper"] - narrow["coefficient_lower"] == pytest.approx(widths[0] / 2, rel=0.1)
    models = category_models(rows)
    for name in (ALL_ROWS, TAXONOMY):
        model = record(models, form="corrected", fitted_to=name)
        assert (model["ratio"], model["freedom"], model["p"]) == (None, None, None)
        assert model["reason"] == "rows come in clusters: no likelihood ratio"
        assert model["test_rows"] == 4 * model["test_clusters"]
    expected, found = (record(category_models(frame), form="corrected", fitted_to=ALL_ROWS) for frame in (once, rows))
    assert expected["p"] < 1e-10
    assert expected["clusters"] == expected["rows"]
    for end in ("roc_auc_lower", "roc_auc_upper", "pr_auc_lower", "pr_auc_upper"):
        assert found[end] == pytest.approx(expected[end], abs=0.04)
    assert found["ece_by_chance"] == pytest.approx(expected["ece_by_chance"], rel=0.35)


def test_copies_without_known_documents_are_on_one_side_of_the_split_too():
    rows = pl.concat([random_rows(count=300)] * 3).with_columns(row=pl.int_range(900), document=pl.lit(None, pl.Int64))
    model = record(category_models(rows), form="corrected", fitted_to=ALL_ROWS)
    assert model["clusters"] + model["test_clusters"] == 300
    assert model["rows"] == 3 * model["clusters"]


# ------------------------------------------------------------------------------------------------------------- traits


def test_traits_are_those_of_the_window():
    scored = tables({"m": {(2, 3): [3, 0], (4, 3): [3, 0]}})
    counts = [[1, 2, 3, 4, 5, 60, 70], [10] * 7]
    study_tables = with_features(
        scored,
        unigrams=counts,
        window_rows=[8, 2],
        repeating=[False, True],
        incrementing=[False] * 2,
        bytes=[100, 50],
        compressed_bytes=[40, 50],
    )
    rows = covariates(study_tables, "m", Cell(2, 3))
    first = rows.row(0, named=True)
    assert (first["frequency_mean"], first["frequency_max"], first["frequency_min"]) == (3.0, 5.0, 1.0)
    assert (first["frequency_p25"], first["frequency_median"], first["frequency_p75"]) == (2.0, 3.0, 4.0)
    assert (first["copies"], first["compression_ratio"], first["recited"]) == (8.0, 0.4, True)
    assert rows["template"].to_list() == [0.0, 1.0]
    assert rows["category"].to_list() == ["recitation", "reconstruction"]
    end_aligned = replace(study_tables, settings={**study_tables.settings, "align": "end"})
    assert covariates(end_aligned, "m", Cell(2, 3))["frequency_mean"][0] == pytest.approx((3 + 4 + 5 + 60 + 70) / 5)
    assert covariates(end_aligned, "m", Cell(4, 3))["frequency_min"][0] == 1.0


def test_what_was_not_measured_is_null():
    study_tables = with_features(tables({"m": {CELL: [32, 0, 0]}}), unigrams=[[5] * 64, [5] * 60, None], bytes=None)
    rows = covariates(study_tables, "m", Cell(*CELL))
    assert rows["frequency_mean"].to_list() == [5.0, None, None]
    assert rows["compression_ratio"].to_list() == [None] * 3
    assert "compression_ratio" not in trait_means(rows)["trait"].to_list()


def test_more_rows_than_needed_are_drawn_the_same_each_time(monkeypatch):
    monkeypatch.setattr("mematlas.analyses.corpus.taxonomy.covariates.MAX_ROWS", 40)
    study_tables = with_features(tables({"m": {CELL: [32, 0] * 50}}))
    rows = covariates(study_tables, "m", Cell(*CELL))
    assert rows.height == 40
    assert rows["row"].is_sorted()
    assert rows.equals(covariates(study_tables, "m", Cell(*CELL)))


def test_means_include_the_rows_that_are_not_recited():
    rows = random_rows(count=200)
    table = trait_means(rows)
    assert table["group"].unique(maintain_order=True).to_list() == [*CATEGORIES, "not recited"]
    others = rows.filter(~pl.col("recited"))
    copies = record(table, group="not recited", trait="copies")
    assert copies["mean"] == pytest.approx(others["copies"].mean())
    assert copies["median"] == pytest.approx(others["copies"].median())
    share = record(table, group="not recited", trait="template")
    assert 0 <= share["mean_lower"] < share["mean"] < share["mean_upper"]


def test_alike_rows_of_a_document_count_as_one():
    """Every row stands four times in its document: means, medians and shares have the documents' intervals."""
    once = random_rows(count=1000)
    rows = pl.concat([once] * 4)
    expected, found = (record(trait_means(frame), group="not recited", trait="distinct_2") for frame in (once, rows))
    assert (found["rows"], found["clusters"]) == (4 * expected["rows"], expected["rows"])
    for name in ("mean", "median"):
        assert found[f"{name}_design_effect"] == pytest.approx(4, rel=0.02)
        assert expected[f"{name}_design_effect"] == 1
        for end in ("", "_lower", "_upper"):
            assert found[name + end] == pytest.approx(expected[name + end], abs=0.01)
    expected, found = (record(trait_means(frame), group="not recited", trait="template") for frame in (once, rows))
    assert found["mean_design_effect"] == pytest.approx(4, rel=0.02)
    assert found["mean_lower"] == pytest.approx(expected["mean_lower"], abs=0.002)


def test_categories_of_rows_of_documents_have_clustered_intervals():
    copied = study([True] * 150, [6] * 50 + [5] * 100, [False] * 150, [False] * 150)
    finding = compute(with_documents(copied, [row // 5 for row in range(150)]))
    recited = record(finding.table("categories"), model="m1", category="recitation")
    expected = wilson(10, 30)
    assert (recited["rows"], recited["of"], recited["clusters"]) == (50, 150, 30)
    assert recited["design_effect"] == pytest.approx(5, rel=0.1)
    assert recited["share_lower"] == pytest.approx(expected.lower, abs=0.02)
    assert recited["share_upper"] == pytest.approx(expected.upper, abs=0.02)
    single = compute(with_documents(copied, [0] * 150))
    assert "33.3 % (no interval) are recitation" in single.claim
    assert single.strength is None
