"""Recited rows by category (recitation, reconstruction, recollection), their covariates, and models that predict them.

Source: K2. The rule is in analyses/frames/copies.py, templates in features/templates.py, models in category_models.py.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import LONGER_ROWS, MORE_RECITED_ROWS, Analysis
from mematlas.analyses.corpus.taxonomy.category_models import (
    ALL_ROWS,
    COEFFICIENT_COLUMNS,
    MODEL_COLUMNS,
    TAXONOMY,
    category_coefficients,
    category_models,
)
from mematlas.analyses.corpus.taxonomy.covariates import MAX_ROWS, MEAN_COLUMNS, covariates, trait_means
from mematlas.analyses.corpus.taxonomy.near_copies import near_category_table, near_caveats
from mematlas.analyses.frames.copies import (
    CATEGORIES,
    CATEGORY_TYPE,
    RECITATION_COPIES,
    category,
    counts_by_category,
    known_scopes,
    window_features,
)
from mematlas.analyses.frames.memorized_shares import (
    KEYS,
    ROLE_DESCRIPTION,
    control_sentence,
    memorized_shares,
    nearest_cell,
)
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, format_percent, format_share, with_shares
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_interval, format_count
from mematlas.findings.finding import Axis, Chart, Finding, Table
from mematlas.stats.estimates.intervals import standard_error

_CATEGORY_RULE: Final = (
    f"recitation: {RECITATION_COPIES} copies or more; else reconstruction: a template (repeating or incrementing); "
    "else recollection"
)
_CATEGORY_COLUMNS: Final = {
    "model": "label of the model",
    "latest": "whether it is the last checkpoint of its size",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "category": _CATEGORY_RULE,
    "rows": "recited rows (M = 1) of the category",
    "of": "recited rows whose category is known",
    "share": "rows / of; null where none is recited",
    "share_lower": "lower end of its 95 % interval (Wilson's; clustered where rows come in clusters)",
    "share_upper": "upper end of it",
    **SAMPLE_COLUMNS,
}
_QUESTION: Final = "how recited rows divide into recitation, reconstruction and recollection"
_REMEDY: Final = "Make row features: `mematlas features STUDY`."
_CATEGORIES_RECIPE: Final = """\
lines = recount.lines_with_features(study).filter("recited")
counts = lines.group_by("model", "role", "context", "continuation", "category", "cluster").agg(rows=pl.len())
answer = recount.category_shares(counts)"""
_TRAITS_RECIPE: Final = """\
rows = recount.row_traits(study, {model!r}, context={cell.context}, continuation={cell.continuation})
answer = recount.{function}(rows)"""
_MOST: Final = dict(
    zip(
        CATEGORIES,
        (
            "Most recited rows have many copies in the corpus (recitation)",
            "Most recited rows follow a template (reconstruction)",
            "Most recited rows have few copies and no template (recollection)",
        ),
        strict=True,
    )
)
_EXAMPLES_PER_CATEGORY: Final = 2
_DEVIATIONS: Final = (
    "Repeating is as in K2's code: when fewer than half of the tokens at the start and at most two at the end are left "
    "out, the rest is one template at least twice.",
    "Incrementing: six numbers or more, in a twentieth of the characters, that form (interleaved) arithmetic "
    "progressions; K2's test of three numbers lacks an absolute value, so that all that bend downwards pass it.",
    "K2's Huffman length is a Shannon code (the mean of ceil(-log2 p)); here the bytes after zlib stand for it.",
    "Perplexities, entropies, and K2's counts of similar texts (templates, snowclones) are not among the features; the "
    "search for a better taxonomy is left out.",
    "A category's model is fitted to all rows that the rule puts there, recited or not; K2's released code gives the "
    "model for all rows one more feature, whether the row is of the category.",
    "K2 tests likelihood ratios and Wald statistics on held-out rows of weighted, penalised models; here they stand on "
    "the rows fitted, without weights and penalty (corrected form alone).",
)


# ------------------------------------------------------------------------------------------------------- the numbers


def category_shares(counts: pl.DataFrame) -> pl.DataFrame:
    """Each category's share of the recited rows: the columns of `counts`, of (rows of all three) and share.

    Args:
        counts: model, role, context, continuation, category (rows with null, unknown, are left out), rows, and maybe
            cluster (then the intervals are clustered). A missing category has no rows.
    """
    keys = [*KEYS, *(["cluster"] if "cluster" in counts.columns else [])]
    categories = pl.DataFrame({"category": pl.Series(CATEGORIES, dtype=CATEGORY_TYPE)})
    category_counts = counts.group_by(*keys, "category").agg(pl.sum("rows"))
    all_categories = counts.select(keys).unique().join(categories, how="cross")
    frame = all_categories.join(category_counts, on=(*keys, "category"), how="left").with_columns(
        pl.col("rows").fill_null(0)
    )
    return with_shares(frame.with_columns(of=pl.col("rows").sum().over(keys)), "rows", "of")


def _category_table(tables: Tables, counts: pl.DataFrame) -> pl.DataFrame:
    """`category_shares` of every cell with scored rows: models by size, then other checkpoints."""
    cells = tables.counts().select(KEYS).unique()
    frame = category_shares(
        pl.concat([cells, counts.select(*KEYS, *tables.cluster_key, "category", "rows")], how="diagonal")
    )
    latest = [*tables.by_size, *tables.control_models]
    position = {model: index for index, model in enumerate(dict.fromkeys([*latest, *tables.models["model"]]))}
    model_order = pl.col("model").replace_strict(position, return_dtype=pl.Int64)
    frame = frame.sort(model_order, "role", "context", "continuation", "category")
    return frame.with_columns(pl.col("model").is_in(latest).alias("latest")).select(*_CATEGORY_COLUMNS)


def _headline_model(tables: Tables, categories: pl.DataFrame) -> str | None:
    """The largest model that recites training rows whose category is known."""
    reciting = set(categories.filter(pl.col("of") > 0)["model"])
    return next((model for model in reversed(tables.by_size) if model in reciting), None)


def _category_record(categories: pl.DataFrame, model: str, category: str) -> dict[str, Any]:
    return categories.filter(model=model, category=category).row(0, named=True)


def _examples(tables: Tables, model: str, cell: Cell, scope: str) -> dict[int, str]:
    """Two recited training rows of each category, with their copies."""
    recited_rows = tables.side_by_side((model,), cell, "recited").filter(pl.col(model)).select("row")
    recited = tables.one_per_text(recited_rows, cell).lazy()
    cell_features = window_features(tables).filter(context=cell.context, continuation=cell.continuation)
    recited_features = (
        recited.join(cell_features, on="row").with_columns(category(scope)).drop_nulls("category").sort("row")
    )
    examples = recited_features.group_by("category", maintain_order=True).head(_EXAMPLES_PER_CATEGORY).collect()
    return {
        example["row"]: f"{example['category']} (K2); copies in the corpus: {example[f'window_{scope}']:,}"
        for example in examples.sort("category", "row").iter_rows(named=True)
    }


# ------------------------------------------------------------------------------------------------------- the finding


def _claim(tables: Tables, cell: Cell, scope: str, categories: pl.DataFrame, model: str) -> str:
    shares = [f"{format_share(_category_record(categories, model, name), 'share')} are {name}" for name in CATEGORIES]
    shares[0] += f" ({RECITATION_COPIES} copies or more within {scope})"
    shares[1] += " (a template)"
    recited = _category_record(categories, model, CATEGORIES[0])["of"]
    start = f"At {cell} tokens, of the {recited:,} rows that {model} recites, {shares[0]}, {shares[1]} and {shares[2]}"
    smallest = next((name for name in tables.by_size if categories.filter(pl.col("of") > 0, model=name).height), model)
    if smallest == model:
        return f"{start}."
    smallest_record = _category_record(categories, smallest, CATEGORIES[2])
    return (
        f"{start}; of the {smallest_record['of']:,} that {smallest} recites, {format_share(smallest_record, 'share')} "
        "are recollection."
    )


def _by_share(categories: pl.DataFrame, model: str) -> list[dict[str, Any]]:
    """The records of the three categories, the largest first."""
    records = [_category_record(categories, model, name) for name in CATEGORIES]
    return sorted(records, key=lambda record: -record["share"])


def _headline(categories: pl.DataFrame, model: str) -> str:
    """The category that holds most recited rows, if the interval of its share says so."""
    largest = _by_share(categories, model)[0]
    unclear = "No category clearly holds most of the recited rows"
    return by_interval(
        largest["share_lower"], largest["share_upper"], _MOST[largest["category"]], unclear, unclear, value=0.5
    )


def _sentence(categories: pl.DataFrame, model: str) -> str:
    """The shares of the categories, the largest with its interval."""
    largest, *others = _by_share(categories, model)
    rows = f"{format_count(largest['of'])} that {model} recites"
    rest = " and ".join(f"{format_percent(record['share'])} {record['category']}" for record in others)
    be = "is" if largest["of"] == 1 else "are"
    return f"Of {rows}, {format_share(largest, 'share')} {be} {largest['category']}, {rest}."


def _strength(tables: Tables, categories: pl.DataFrame, model: str) -> float | None:
    """Difference in the share of recollection between the largest and the smallest model, in standard errors."""
    smallest = next((name for name in tables.by_size if categories.filter(pl.col("of") > 0, model=name).height), model)
    records = [_category_record(categories, name, CATEGORIES[2]) for name in (smallest, model)]
    if smallest == model or any(record["share_lower"] is None for record in records):
        return None
    errors = [standard_error(record["share_lower"], record["share_upper"]) for record in records]
    return abs(records[1]["share"] - records[0]["share"]) / (errors[0] ** 2 + errors[1] ** 2) ** 0.5


def _models_sentence(models: pl.DataFrame) -> str:
    """The results of the models in the corrected form as a sentence, or the reason why there are none."""
    single_model, by_category = (
        models.filter(form="corrected", fitted_to=name).row(0, named=True) for name in (ALL_ROWS, TAXONOMY)
    )
    if single_model["roc_auc"] is None:
        return f"No model tells recited rows from others by these features: {single_model['reason']}."
    areas = [
        f"{record['roc_auc']:.3f}"
        + (
            ""
            if record["roc_auc_lower"] is None
            else f" ({record['roc_auc_lower']:.3f} to {record['roc_auc_upper']:.3f})"
        )
        for record in (single_model, by_category)
        if record["roc_auc"] is not None
    ]
    test = f"{single_model['test_recited']:,} recited of {single_model['test_rows']:,} held-out rows"
    verdict = "told" if (single_model["roc_auc_lower"] or 0) > 0.5 else "hardly told"
    start = f"Recited rows are {verdict} from others by these features: the area under the ROC curve is {areas[0]}"
    if len(areas) == 1:
        return f"{start} ({test}); {by_category['reason']}."
    gain = (
        by_category["reason"]
        if by_category["p"] is None
        else f"likelihood ratio of the two: p = {by_category['p']:.2g}"
    )
    return f"{start} by one model and {areas[1]} by one a category ({test}; corrected form; {gain})."


def _caveats(tables: Tables, cell: Cell, scope: str, counts: pl.DataFrame, model: str) -> tuple[str, ...]:
    recited_counts = counts.filter(model=model, role="train", context=cell.context, continuation=cell.continuation)
    unknown = recited_counts.filter(pl.col("category").is_null())["rows"].sum()
    textless = recited_counts.filter("textless")["rows"].sum()
    copies = window_features(tables).filter(context=cell.context, continuation=cell.continuation)
    max_copies = (
        copies.join(tables.rows.filter(role="train"), on="row").select(pl.max(f"window_{scope}")).collect().item() or 0
    )
    caveats = {
        f"{unknown:,} rows that {model} recites have no count of copies and are left out.": unknown,
        f"{textless:,} rows that {model} recites have no text: those that count are taken for recollection.": (
            textless
        ),
        f"No row has {RECITATION_COPIES} copies in the corpus (at most {max_copies:,}), so that there is no "
        "recitation; where the corpus was deduplicated, or rows were shown several times in training, copies in it say "
        "little.": (max_copies < RECITATION_COPIES),
        "Models recite many of the same rows, so that their shares are not independent.": len(tables.family) > 1,
    }
    return tuple(text for text, applies in caveats.items() if applies)


def _model_caveats(tables: Tables, rows: pl.DataFrame, models: pl.DataFrame | None) -> tuple[str, ...]:
    if models is None:
        return ("Only recited rows are known: nothing tells them from others.",)
    caveats = {
        _models_sentence(models): True,
        f"Traits and models stand on {MAX_ROWS:,} rows drawn from all.": rows.height == MAX_ROWS,
        "The rows' documents are unknown: parts of one text may stand on both sides of the split.": (
            rows["document"].is_null().all()
        ),
        "The corpus counts of tokens are not known: token frequencies are not among the features.": (
            rows["frequency_mean"].is_null().all()
        ),
    }
    return tuple(text for text, applies in caveats.items() if applies)


def _chart(cell: Cell) -> Chart:
    return Chart(
        "categories",
        f"Recited rows by category at {cell} tokens",
        "stacked",
        "categories",
        Axis("model", "model", "nominal"),
        Axis("share", "share of recited rows", share=True),
        Axis("category", "category", "nominal"),
        where={"context": cell.context, "continuation": cell.continuation, "role": "train", "latest": True},
    )


def _tables(
    categories: pl.DataFrame, rows: pl.DataFrame, models: pl.DataFrame | None, model: str, cell: Cell
) -> tuple[Table, ...]:
    title = f"Recited rows by category ({_CATEGORY_RULE})"
    tables = [Table("categories", title, categories, _CATEGORY_COLUMNS, _CATEGORIES_RECIPE)]
    if models is not None:
        model_tables = (
            ("traits", "Traits of the rows", trait_means(rows), MEAN_COLUMNS, "trait_means"),
            ("models", "Models that tell recited rows from others", models, MODEL_COLUMNS, "category_models"),
            ("coefficients", "Coefficients", category_coefficients(rows), COEFFICIENT_COLUMNS, "category_coefficients"),
        )
        for name, heading, table, columns, function in model_tables:
            recipe = _TRAITS_RECIPE.format(model=model, cell=cell, function=function)
            tables.append(Table(name, f"{heading}: {model} at {cell} tokens", table, columns, recipe))
    return tuple(table for table in tables if table.frame.height)


def _insufficient_data(tables: Tables, cell: Cell | None, counts: pl.DataFrame) -> Finding:
    if cell is None:
        return ANALYSIS.insufficient_data(tables, _QUESTION, "scored training rows", LONGER_ROWS)
    filters = {"role": "train", "context": cell.context, "continuation": cell.continuation}
    if counts.filter(**filters)["rows"].sum():
        return ANALYSIS.insufficient_data(
            tables, _QUESTION, "a count of the copies of the rows that are recited", _REMEDY
        )
    scored = tables.counts().filter(**filters).group_by("model").agg(pl.sum("rows"))["rows"]
    missing = f"memorized rows (none of {format_count(max(scored))} is recited by any model at {cell} tokens)"
    return ANALYSIS.insufficient_data(tables, _QUESTION, missing, MORE_RECITED_ROWS)


def compute(tables: Tables) -> Finding:
    """Categories of every model, role and cell; covariates and models for the largest model in the reference cell."""
    cell, scopes = nearest_cell(tables), known_scopes(tables)
    if not scopes:
        return ANALYSIS.insufficient_data(tables, _QUESTION, "a count of each row's copies in the corpus", _REMEDY)
    counts = counts_by_category(tables, scopes[0])
    category_table = _category_table(tables, counts)
    categories = (
        category_table.clear()
        if cell is None
        else category_table.filter(role="train", context=cell.context, continuation=cell.continuation)
    )
    model = _headline_model(tables, categories)
    if cell is None or model is None:
        return _insufficient_data(tables, cell, counts)
    rows = covariates(tables, model, cell) if tables.complete else pl.DataFrame()
    models = category_models(rows) if tables.complete else None
    near = near_category_table(tables, scopes[0])
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(tables, cell, scopes[0], categories, model),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(tables, categories, model),
        control=control_sentence(memorized_shares(tables), cell) if tables.complete else None,
        tables=(*_tables(category_table, rows, models, model, cell), *([] if near is None else [near])),
        charts=(_chart(cell),),
        caveats=(
            *_model_caveats(tables, rows, models),
            *_caveats(tables, cell, scopes[0], counts, model),
            *near_caveats(near, model, cell),
        ),
        deviations=_DEVIATIONS,
        rows=_examples(tables, model, cell, scopes[0]),
        headline=_headline(categories, model),
        sentence=_sentence(categories, model),
    )


ANALYSIS = Analysis(
    "taxonomy",
    "Recite, reconstruct, recollect",
    "K2",
    "row features (copies in the corpus, templates); recited rows, and all others for the models",
    compute,
)
