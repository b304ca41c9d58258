"""The tables of the finding `approximate`, each with its recipe."""

from typing import Final

import polars as pl

from mematlas.analyses.extraction.approximate.similarity import LEVEL_TYPE, VERBATIM, by_definition
from mematlas.analyses.frames.memorized_shares import ROLE_DESCRIPTION, in_model_order
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, with_shares
from mematlas.analyses.frames.share_differences import CLUSTERS_COLUMN, share_differences
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Table
from mematlas.stats.estimates.averages import means

Frames = dict[str, pl.DataFrame]

_KEY_COLUMNS: Final = {
    "model": "label of the model",
    "parameters": "number of weights; null where unknown",
    "latest": "whether it is the last checkpoint of its size, or a control model",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite, L",
}
_KEYS: Final = tuple(_KEY_COLUMNS)
_DEFINITION_DESCRIPTION: Final = (
    "verbatim: M = 1; BLEU: 4-grams of token ids; edit distance: Levenshtein's / L; LCS share: longest common "
    "subsequence / L; M: positions that agree / L"
)
_DEFINITION_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "definition": _DEFINITION_DESCRIPTION,
    "rows": "rows scored whose greedy text and true tokens are known",
    "memorized": "rows that the definition calls memorized",
    "share": "memorized / rows",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of it",
    **SAMPLE_COLUMNS,
}
_ADDED_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "definition": _DEFINITION_DESCRIPTION,
    "rows": "rows scored whose greedy text and true tokens are known",
    "added": "rows that the definition calls memorized though M < 1",
    "share": "added / rows",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of it",
    **SAMPLE_COLUMNS,
}
_EXCESS_COLUMNS: Final = {
    "model": "label of the model",
    "definition": _DEFINITION_DESCRIPTION,
    "rows": "training rows",
    "added": "of these, rows that the definition adds to the verbatim ones",
    "control_rows": "control rows of the same model",
    "control_added": "of these, rows that the definition adds",
    "excess": "added / rows - control_added / control_rows",
    "excess_lower": "lower end of its Newcombe 95 % interval",
    "excess_upper": "upper end of it",
    **CLUSTERS_COLUMN,
}
_MEASURES: Final = {"edit_similarity": "edit similarity", "lcs": "LCS share", "bleu": "BLEU"}
_MEAN_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "level": "score level, from M: very low [0, .2), low [.2, .4), medium [.4, .6), high [.6, .8), very high [.8, 1]",
    "measure": "edit similarity: 1 - Levenshtein distance / L; LCS share: longest common subsequence / L; BLEU",
    "rows": "rows of this level",
    "mean": "mean of the measure over them, 0 to 1",
    "mean_lower": "lower end of its 95 % interval (Student's t, cut at 0 and 1); null for one cluster or equal rows",
    "mean_upper": "upper end of it",
    "clusters": SAMPLE_COLUMNS["clusters"],
    "design_effect": "variance of the mean over that of so many independent rows; 1 for independent rows",
}
_SHIFTED_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "rows": "rows scored whose greedy text and true tokens are known",
    "missed": "rows with M < 0.6",
    "shifted": "of these, rows with edit similarity >= 0.8: nearly the true words, at other positions",
    "share": "shifted / rows",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of it",
    **SAMPLE_COLUMNS,
}
_MEAN_TYPES: Final[dict[str, pl.Enum | type[pl.DataType]]] = {
    "level": LEVEL_TYPE,
    "measure": pl.String,
    **dict.fromkeys(("rows", "clusters"), pl.Int64),
    **dict.fromkeys(("mean", "mean_lower", "mean_upper", "design_effect"), pl.Float64),
}
_COUNTS_RECIPE: Final = """\
place = ["model", "parameters", "role", "context", "continuation", "definition", "cluster"]
counts = recount.definition_lines(study).group_by(place).agg({sums})
"""
_DEFINITIONS_RECIPE: Final = (
    _COUNTS_RECIPE.format(sums='rows=pl.len(), memorized=pl.sum("holds")')
    + 'answer = recount.with_shares(counts, "memorized")'
)
_ADDED_RECIPE: Final = (
    _COUNTS_RECIPE.format(sums='rows=pl.len(), added=pl.sum("added")') + 'answer = recount.with_shares(counts, "added")'
)
_EXCESSES_RECIPE: Final = (
    _COUNTS_RECIPE.format(sums='rows=pl.len(), added=pl.sum("added")') + "answer = recount.added_excesses(counts)"
)
_MEANS_RECIPE: Final = "answer = recount.similarity_means(recount.similarity_lines(study))"
_SHIFTED_RECIPE: Final = """\
place = ["model", "parameters", "role", "context", "continuation", "cluster"]
counts = recount.similarity_lines(study).group_by(place).agg(pl.sum("missed", "shifted"), rows=pl.len())
answer = recount.with_shares(counts, "shifted", sums=["missed"])"""


def added_excesses(counts: pl.DataFrame) -> pl.DataFrame:
    """Share of training rows that a definition adds minus that of control rows, with Newcombe's 95 % interval.

    Args:
        counts: model, role, definition, rows, added; one record per model, role and definition, and per cluster if
            there is a column cluster, over which the interval is then.

    Returns:
        model, definition, rows, added, control_rows, control_added, clusters, excess, excess_lower, excess_upper; only
        models and definitions that have rows of both roles.
    """
    differences = share_differences(counts, "added", ("model", "definition"), "role", "train", "control")
    names = {"other_rows": "control_rows", "other_added": "control_added", "difference": "excess"}
    return differences.rename(names | {f"difference_{end}": f"excess_{end}" for end in ("lower", "upper")})


def similarity_means(similarities: pl.DataFrame) -> pl.DataFrame:
    """Mean of each similarity over the rows of each model, role and score level, with its interval.

    Args:
        similarities: from `similarity_lines`. Measures that no row of a level has are left out.
    """
    parts = [
        similarities.select(_KEYS)
        .clear()
        .with_columns(pl.lit(None, dtype).alias(name) for name, dtype in _MEAN_TYPES.items())
    ]
    for key, group in similarities.group_by(*_KEYS, "level", maintain_order=True):
        values = group.select(*_MEASURES).cast(pl.Float64).fill_null(float("nan")).to_numpy()
        mean = means(values, clusters=group["cluster"].to_numpy())
        numbers = {
            "rows": mean.count,
            "mean": mean.estimate,
            "mean_lower": mean.lower.clip(0),
            "mean_upper": mean.upper.clip(None, 1),
            "clusters": mean.clusters,
            "design_effect": mean.design_effect,
        }
        frame = pl.DataFrame({"measure": list(_MEASURES.values()), **numbers})
        constants = zip((*_KEYS, "level"), key, strict=True)
        parts.append(frame.with_columns(pl.lit(value).alias(name) for name, value in constants).cast(parts[0].schema))
    means_table = pl.concat([part.select(*_MEAN_COLUMNS) for part in parts]).filter(pl.col("rows") > 0)
    return means_table.with_columns(pl.col(pl.Float64).fill_nan(None))


def count_definitions(tables: Tables, similarities: pl.DataFrame) -> Frames:
    """Aggregates of one model's records: counts by definition, means by level, shifted rows.

    The counts are of clusters where rows come in clusters.
    """
    count = pl.len().cast(pl.Int64)
    sums = (pl.col("holds").sum().cast(pl.Int64).alias("memorized"), pl.col("added").sum().cast(pl.Int64))
    return {
        "definitions": by_definition(similarities)
        .group_by(*_KEYS, "definition", *tables.cluster_key)
        .agg(count.alias("rows"), *sums),
        "means": similarity_means(similarities),
        "shifted": similarities.group_by(*_KEYS, *tables.cluster_key).agg(
            count.alias("rows"), pl.col("missed", "shifted").sum().cast(pl.Int64)
        ),
    }


def approximate_frames(tables: Tables, model_counts: list[Frames]) -> Frames:
    """The data frame of each table, from the `count_definitions` of each model."""
    definitions = in_model_order(pl.concat(counts["definitions"] for counts in model_counts), tables, "definition")
    added = definitions.filter(pl.col("definition") != VERBATIM).drop("memorized")
    shifted = in_model_order(pl.concat(counts["shifted"] for counts in model_counts), tables)
    return {
        "definitions": with_shares(definitions.drop("added"), "memorized").select(*_DEFINITION_COLUMNS),
        "added": with_shares(added, "added").select(*_ADDED_COLUMNS),
        "excesses": added_excesses(added).select(*_EXCESS_COLUMNS),
        "means": in_model_order(pl.concat(counts["means"] for counts in model_counts), tables, "measure", "level"),
        "shifted": with_shares(shifted, "shifted", sums=["missed"]).select(*_SHIFTED_COLUMNS),
    }


def approximate_tables(frames: Frames) -> tuple[Table, ...]:
    """The tables that are not empty."""
    described = {
        "definitions": ("Rows that each definition calls memorized", _DEFINITION_COLUMNS, _DEFINITIONS_RECIPE),
        "added": ("Rows that each definition adds to the verbatim ones", _ADDED_COLUMNS, _ADDED_RECIPE),
        "excesses": ("Added rows beside those of the control", _EXCESS_COLUMNS, _EXCESSES_RECIPE),
        "means": ("Mean similarity of greedy text and truth by score level", _MEAN_COLUMNS, _MEANS_RECIPE),
        "shifted": ("Rows of low M whose words are nearly right", _SHIFTED_COLUMNS, _SHIFTED_RECIPE),
    }
    return tuple(
        Table(name, title, frames[name], columns, recipe)
        for name, (title, columns, recipe) in described.items()
        if frames[name].height
    )
