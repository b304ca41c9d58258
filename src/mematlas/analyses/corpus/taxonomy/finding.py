"""Recited rows as recitation, reconstruction or recollection, what sets them apart, and models that tell them.

Source: K2. The rule: analyses/copies.py; templates: features/templates.py; models: analyses/category_models.py.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.corpus.taxonomy.category_models import (
    ALL,
    COEFFICIENTS,
    MODELS,
    TAXONOMY,
    category_coefficients,
    category_models,
)
from mematlas.analyses.corpus.taxonomy.traits import MEANS, MOST_ROWS, trait_means, traits
from mematlas.analyses.frames.copies import (
    CATEGORIES,
    CATEGORY,
    THRESHOLD,
    category,
    counts_by_category,
    features,
    scopes,
)
from mematlas.analyses.frames.memorized_shares import KEYS, ROLE, beside_control, memorized_shares, nearest_cell
from mematlas.analyses.frames.proportions import share_of, with_shares
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.findings.finding import Axis, Chart, Finding, Table
from mematlas.stats.estimates.intervals import standard_error

_RULE: Final = (
    f"recitation: {THRESHOLD} copies or more; else reconstruction: a template (repeating or incrementing); else "
    "recollection"
)
_CATEGORIES: Final = {
    "model": "label of the model",
    "latest": "whether it is the last checkpoint of its size",
    "role": ROLE,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "category": _RULE,
    "rows": "recited rows (M = 1) of the category",
    "of": "recited rows whose category is known",
    "share": "rows / of; null where none is recited",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of it",
}
_QUESTION: Final = "how recited rows divide into recitation, reconstruction and recollection"
_REMEDY: Final = "Make row features: `mematlas features STUDY`."
_RECIPE: Final = """\
lines = recount.lines_with_features(study).filter("recited")
counts = lines.group_by("model", "role", "context", "continuation", "category").agg(rows=pl.len())
answer = recount.category_shares(counts)"""
_TRAITS_RECIPE: Final = """\
rows = recount.row_traits(study, {model!r}, context={cell.context}, continuation={cell.continuation})
answer = recount.{function}(rows)"""
_EXAMPLES: Final = 2
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
        counts: model, role, context, continuation, category (null, not known, is left out), rows. A category without a
            line has no rows.
    """
    kinds = pl.DataFrame({"category": pl.Series(CATEGORIES, dtype=CATEGORY)})
    known = counts.group_by(*KEYS, "category").agg(pl.sum("rows"))
    every = counts.select(KEYS).unique().join(kinds, how="cross")
    frame = every.join(known, on=(*KEYS, "category"), how="left").with_columns(pl.col("rows").fill_null(0))
    return with_shares(frame.with_columns(of=pl.col("rows").sum().over(KEYS)), "rows", "of")


def _categories(tables: Tables, counts: pl.DataFrame) -> pl.DataFrame:
    """`category_shares` of every cell with scored rows, models by size, then other checkpoints; columns _CATEGORIES."""
    cells = tables.counts().select(KEYS).unique()
    frame = category_shares(pl.concat([cells, counts.select(*KEYS, "category", "rows")], how="diagonal"))
    shown = [*tables.by_size, *tables.control_models]
    order = {model: at for at, model in enumerate(dict.fromkeys([*shown, *tables.models["model"]]))}
    place = pl.col("model").replace_strict(order, return_dtype=pl.Int64)
    frame = frame.sort(place, "role", "context", "continuation", "category")
    return frame.with_columns(pl.col("model").is_in(shown).alias("latest")).select(*_CATEGORIES)


def _largest(tables: Tables, here: pl.DataFrame) -> str | None:
    """The largest model that recites training rows whose category is known."""
    reciting = set(here.filter(pl.col("of") > 0)["model"])
    return next((model for model in reversed(tables.by_size) if model in reciting), None)


def _line(here: pl.DataFrame, model: str, name: str) -> dict[str, Any]:
    return here.filter(model=model, category=name).row(0, named=True)


def _examples(tables: Tables, model: str, cell: Cell, scope: str) -> dict[int, str]:
    """Two recited training rows of each category, with their copies."""
    recited = tables.side_by_side((model,), cell, "recited").filter(pl.col(model)).select("row").lazy()
    here = features(tables).filter(context=cell.context, continuation=cell.continuation)
    known = recited.join(here, on="row").with_columns(category(scope)).drop_nulls("category").sort("row")
    first = known.group_by("category", maintain_order=True).head(_EXAMPLES).collect()
    return {
        line["row"]: f"{line['category']} (K2); copies in the corpus: {line[f'window_{scope}']:,}"
        for line in first.sort("category", "row").iter_rows(named=True)
    }


# ------------------------------------------------------------------------------------------------------- the finding


def _claim(tables: Tables, cell: Cell, scope: str, here: pl.DataFrame, model: str) -> str:
    shares = [f"{share_of(_line(here, model, name), 'share')} are {name}" for name in CATEGORIES]
    shares[0] += f" ({THRESHOLD} copies or more within {scope})"
    shares[1] += " (a template)"
    of = _line(here, model, CATEGORIES[0])["of"]
    start = f"At {cell} tokens, of the {of:,} rows that {model} recites, {shares[0]}, {shares[1]} and {shares[2]}"
    smallest = next((name for name in tables.by_size if here.filter(pl.col("of") > 0, model=name).height), model)
    if smallest == model:
        return f"{start}."
    other = _line(here, smallest, CATEGORIES[2])
    return f"{start}; of the {other['of']:,} that {smallest} recites, {share_of(other, 'share')} are recollection."


def _strength(tables: Tables, here: pl.DataFrame, model: str) -> float | None:
    """How far the share of recollection in the largest model is from that in the smallest, in standard errors."""
    smallest = next((name for name in tables.by_size if here.filter(pl.col("of") > 0, model=name).height), model)
    ends = [_line(here, name, CATEGORIES[2]) for name in (smallest, model)]
    errors = [standard_error(line["share_lower"], line["share_upper"]) for line in ends]
    return (
        None
        if smallest == model
        else abs(ends[1]["share"] - ends[0]["share"]) / (errors[0] ** 2 + errors[1] ** 2) ** 0.5
    )


def _told(models: pl.DataFrame) -> str:
    """What the models say, as a sentence of the corrected form, or why they say nothing."""
    one, sorted_by = (models.filter(form="corrected", fitted_to=name).row(0, named=True) for name in (ALL, TAXONOMY))
    if one["roc_auc"] is None:
        return f"No model tells recited rows from others by these features: {one['reason']}."
    areas = [
        f"{line['roc_auc']:.3f}"
        + ("" if line["roc_auc_lower"] is None else f" ({line['roc_auc_lower']:.3f} to {line['roc_auc_upper']:.3f})")
        for line in (one, sorted_by)
        if line["roc_auc"] is not None
    ]
    test = f"{one['test_recited']:,} recited of {one['test_rows']:,} held-out rows"
    told = "told" if (one["roc_auc_lower"] or 0) > 0.5 else "hardly told"
    start = f"Recited rows are {told} from others by these features: the area under the ROC curve is {areas[0]}"
    if len(areas) == 1:
        return f"{start} ({test}); {sorted_by['reason']}."
    gain = sorted_by["reason"] if sorted_by["p"] is None else f"likelihood ratio of the two: p = {sorted_by['p']:.2g}"
    return f"{start} by one model and {areas[1]} by one a category ({test}; corrected form; {gain})."


def _caveats(tables: Tables, cell: Cell, scope: str, counts: pl.DataFrame, model: str) -> tuple[str, ...]:
    here = counts.filter(model=model, role="train", context=cell.context, continuation=cell.continuation)
    unknown = here.filter(pl.col("category").is_null())["rows"].sum()
    textless = here.filter("textless")["rows"].sum()
    copies = features(tables).filter(context=cell.context, continuation=cell.continuation)
    most = (
        copies.join(tables.rows.filter(role="train"), on="row").select(pl.max(f"window_{scope}")).collect().item() or 0
    )
    said = {
        f"{unknown:,} rows that {model} recites have no count of copies and are left out.": unknown,
        f"{textless:,} rows that {model} recites have no text: those that count are taken for recollection.": (
            textless
        ),
        f"No row has {THRESHOLD} copies in the corpus (at most {most:,}), so that there is no recitation; where the "
        "corpus was deduplicated, or rows were shown several times in training, copies in it say little.": (
            most < THRESHOLD
        ),
        "Models recite many of the same rows, so that their shares are not independent.": len(tables.family) > 1,
    }
    return tuple(words for words, holds in said.items() if holds)


def _of_models(tables: Tables, rows: pl.DataFrame, models: pl.DataFrame | None) -> tuple[str, ...]:
    if models is None:
        return ("Only recited rows are known: nothing tells them from others.",)
    said = {
        _told(models): True,
        f"Traits and models stand on {MOST_ROWS:,} rows drawn from all.": rows.height == MOST_ROWS,
        "The rows' documents are unknown: parts of one text may stand on both sides of the split.": (
            rows["document"].is_null().all()
        ),
        "The corpus counts of tokens are not known: token frequencies are not among the features.": (
            rows["frequency_mean"].is_null().all()
        ),
    }
    return tuple(words for words, holds in said.items() if holds)


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
    frame: pl.DataFrame, rows: pl.DataFrame, models: pl.DataFrame | None, model: str, cell: Cell
) -> tuple[Table, ...]:
    title = f"Recited rows by category ({_RULE})"
    tables = [Table("categories", title, frame, _CATEGORIES, _RECIPE)]
    if models is not None:
        found = (
            ("traits", "Traits of the rows", trait_means(rows), MEANS, "trait_means"),
            ("models", "Models that tell recited rows from others", models, MODELS, "category_models"),
            ("coefficients", "Coefficients", category_coefficients(rows), COEFFICIENTS, "category_coefficients"),
        )
        for name, words, numbers, columns, function in found:
            recipe = _TRAITS_RECIPE.format(model=model, cell=cell, function=function)
            tables.append(Table(name, f"{words}: {model} at {cell} tokens", numbers, columns, recipe))
    return tuple(table for table in tables if table.frame.height)


def _lacking(tables: Tables, cell: Cell | None, counts: pl.DataFrame) -> Finding:
    if cell is None:
        remedy = "Score rows of the corpus that are long enough for context and continuation."
        return ANALYSIS.lacking(tables, _QUESTION, "scored training rows", remedy)
    place = {"role": "train", "context": cell.context, "continuation": cell.continuation}
    if counts.filter(**place)["rows"].sum():
        return ANALYSIS.lacking(tables, _QUESTION, "a count of the copies of the rows that are recited", _REMEDY)
    scored = tables.counts().filter(**place).group_by("model").agg(pl.sum("rows"))["rows"]
    what = f"memorized rows (none of {max(scored):,} rows is recited by any model at {cell} tokens)"
    remedy = "Score larger models, rows that occur more often, or shorter continuations."
    return ANALYSIS.lacking(tables, _QUESTION, what, remedy)


def answer(tables: Tables) -> Finding:
    """Categories of every model, role and cell; traits and models of the largest model in the reference cell."""
    cell, known = nearest_cell(tables), scopes(tables)
    if not known:
        return ANALYSIS.lacking(tables, _QUESTION, "a count of each row's copies in the corpus", _REMEDY)
    counts = counts_by_category(tables, known[0])
    frame = _categories(tables, counts)
    here = (
        frame.clear()
        if cell is None
        else frame.filter(role="train", context=cell.context, continuation=cell.continuation)
    )
    model = _largest(tables, here)
    if cell is None or model is None:
        return _lacking(tables, cell, counts)
    rows = traits(tables, model, cell) if tables.complete else pl.DataFrame()
    models = category_models(rows) if tables.complete else None
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(tables, cell, known[0], here, model),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(tables, here, model),
        control=beside_control(memorized_shares(tables), cell) if tables.complete else None,
        tables=_tables(frame, rows, models, model, cell),
        charts=(_chart(cell),),
        caveats=(*_of_models(tables, rows, models), *_caveats(tables, cell, known[0], counts, model)),
        deviations=_DEVIATIONS,
        rows=_examples(tables, model, cell, known[0]),
    )


ANALYSIS = Analysis(
    "taxonomy",
    "Recite, reconstruct, recollect",
    "K2",
    "row features (copies in the corpus, templates); recited rows, and all others for the models",
    answer,
)
