"""Look: does the model recite rows of its training file, more than its base does and more than rows of a control?

With a control the test is on M, the share of right tokens, which shows partial recitation too: against the control by
permuting whole documents, and paired with the base on the same rows, if there is one; both must hold. Without a control
only rows recited whole count, beside the base: fine-tuning raises M of all texts of a kind, also of those never shown.
Documents are the unit; those that are copies of each other count as one, and control documents that copy a training one
are left out.
"""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.extraction.probability.row_probabilities import FULL_DISTRIBUTION, model_rows
from mematlas.analyses.frames.study_tables import Tables
from mematlas.auditing.base import Example, Look, Material, Measure, could_not_be_judged, mean_M
from mematlas.auditing.control import FEWEST_DOCUMENTS, without_trained
from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares
from mematlas.stats.extraction import samples_needed
from mematlas.stats.hypotheses.by_document import p_of_higher_in_members, p_of_positive_mean

TITLE: Final = "Recitation"
_SAMPLES: Final = 100
_CHANCE: Final = 0.9
_SAMPLED: Final = f"rows given by {_SAMPLES} samples with a chance of {_CHANCE:.0%}"
_DAMAGED: Final = 1.0  # nats a token, our choice
_POWER: Final = 0.95
_DRAWS: Final = 40
_EXAMPLES: Final = 10
_POWER_PERMUTATIONS: Final = 999
_POWER_LEVEL: Final = 0.0125  # of one of four looks


def look(material: Material) -> Look:
    """Compare M of the training rows with the base and with the control."""
    tables = material.tables
    rows = recited_rows(tables, material.model_label, material.base_label)
    train = rows.filter("member")
    documents = train["cluster"].n_unique()
    if documents < FEWEST_DOCUMENTS:
        reason = f"only {documents} independent documents could be scored, and {FEWEST_DOCUMENTS} are needed."
        return could_not_be_judged("recitation", TITLE, reason)
    problem = material.control_check.problem
    compared = rows.filter("member") if problem else rows
    p = _p_value(compared)
    measures = recitation_measures(rows, material.model_label, material.base_label)
    recited = train.filter(pl.col("recited") & ~pl.col("base_recited").fill_null(value=False))
    count = recited["cluster"].n_unique()
    return Look(
        "recitation",
        TITLE,
        _sentence(material, compared, count, documents),
        p,
        "recites" if count else "membership",
        reason="" if p is not None else f"there is no base model, and no control to compare with: {problem}",
        measures=measures,
        examples=_examples(material, tables, recited),
        caveats=(*_caveats(material, problem), *damage(material.rows), *_copies(tables, train)),
        share=count / documents,
        power=_power(compared) if p is not None else None,
        table=rows,
    )


def _sentence(material: Material, rows: pl.DataFrame, count: int, documents: int) -> str:
    """What was found; where no row is recited whole, the share of tokens that the model gives is what was compared."""
    model, has_base = material.model_label, material.base is not None
    if count:
        where = ", where its base does not" if has_base else ""
        return f"{model} recites a row whole in {count:,} of {documents:,} documents{where}."
    of_train, of_control = (rows.filter(pl.col("member") == member)["M"].to_numpy() for member in (True, False))
    than = f", and {of_control.mean():.0%} of control rows" if len(of_control) else ""
    also = " beyond its base" if has_base else ""
    return f"{model} recites no row whole{also}; it gives {of_train.mean():.0%} of the tokens of training rows{than}."


def recited_rows(tables: Tables, model: str, base: str | None) -> pl.DataFrame:
    """One record per row: row, cluster, member, M, recited, sampled, base_M, base_recited, base_sampled.

    sampled: 100 samples at temperature 1 give the continuation with a chance of 90 % (n and p of K3), null where its
    probability is not known; base_...: the same of the base model, null without one. Control rows of a document that
    training rows belong to, too, are left out: they were trained on.
    """
    roles = tables.rows.select("row", member=pl.col("role") == "train").collect()
    rows = without_trained(_rows_of(tables, model).join(roles, on="row"))
    of_base = _rows_of(tables, model if base is None else base).drop("cluster")
    of_base = of_base.rename({name: f"base_{name}" for name in of_base.columns if name != "row"})
    return rows.join(of_base.clear() if base is None else of_base, on="row", how="left").sort("row")


def _rows_of(tables: Tables, model: str) -> pl.DataFrame:
    """row, cluster, M, recited, sampled of one model."""
    cell = tables.reference
    scored = tables.scored_rows("cluster").filter(context=cell.context, continuation=cell.continuation, model=model)
    rows = scored.select("row", "cluster", M=pl.col("matches") / cell.continuation, recited="recited").collect()
    p_z = model_rows(tables, cell, model).select("row", p_z=FULL_DISTRIBUTION)
    rows = rows.join(p_z, on="row", how="left")
    sampled = pl.Series("sampled", samples_needed(rows["p_z"].to_numpy(), _CHANCE) <= _SAMPLES)
    return rows.with_columns(pl.when(pl.col("p_z").is_not_null()).then(sampled)).drop("p_z")


def _p_value(rows: pl.DataFrame, permutations: int = 9_999) -> float | None:
    """The larger p-value of the comparisons with the base and with the control; None without either."""
    train, p_values = rows.filter("member"), []
    has_control = rows.height > train.height
    if rows["base_M"].null_count() < rows.height:
        more = train["M"] - train["base_M"]
        whole = train["recited"].cast(pl.Float64) - train["base_recited"].cast(pl.Float64)
        gain = (more if has_control else whole).to_numpy()
        p_values.append(p_of_positive_mean(gain, train["cluster"], permutations=permutations))
    if has_control:
        gain = (rows["M"] - rows["base_M"].fill_null(0.0)).to_numpy()
        p_values.append(p_of_higher_in_members(gain, rows["member"], rows["cluster"], permutations=permutations))
    return max(p_values) if p_values else None


def _caveats(material: Material, problem: str) -> tuple[str, ...]:
    texts = []
    if material.base is None:
        texts.append("There is no base model: texts that every model knows count as recited.")
    if problem:
        texts.append(f"There is no comparison with a control, so set phrases count as recited: {problem}")
    return tuple(texts)


def damage(rows: pl.DataFrame) -> list[str]:
    """A sentence if the model predicts held-out text much worse than its base: a damaged model recites nothing.

    Args:
        rows: member and reference (mean log-probability minus the base's, in nats) of each row; null without a base.
    """
    loss = rows.filter(~pl.col("member"))["reference"].drop_nulls().mean()
    if not isinstance(loss, float) or loss > -_DAMAGED:
        return []
    return [
        f"Tokens of the control are {-loss:.1f} nats less likely than under the base model: the audited model may be "
        "damaged, and says little of what training of this kind leaks."
    ]


def _copies(tables: Tables, train: pl.DataFrame) -> list[str]:
    """A sentence on training texts that are copies of others, if there are any."""
    document = pl.struct("source", "document").rank("dense").cast(pl.Int64)
    text = pl.when(pl.col("document").is_null()).then(-1 - pl.col("row")).otherwise(document)
    texts = tables.rows.select("row", text=text).collect().join(train.select("row"), on="row")["text"].n_unique()
    copies = texts - train["cluster"].n_unique()
    if not copies:
        return []
    return [f"{copies:,} of {texts:,} training texts are copies of others, and count as one with these."]


def recitation_measures(rows: pl.DataFrame, model: str, base: str | None) -> tuple[Measure, ...]:
    """Of `recited_rows` the share of rows recited whole and the mean M, with intervals over documents.

    Args:
        rows: as `recited_rows` gives them; model, base: the models' names.
    """
    train, control = rows.filter("member"), rows.filter(~pl.col("member"))
    parts = [(train, "", model)]
    if base is not None:
        parts.append((train, "base_", f"base model {base}"))
    if control.height:
        parts.append((control, "", f"{model}, control rows"))
    return (
        *(_share("rows recited whole", frame, f"{prefix}recited", of) for frame, prefix, of in parts),
        *(_share(_SAMPLED, frame, f"{prefix}sampled", of) for frame, prefix, of in parts),
        *(_mean(frame.drop_nulls(f"{prefix}M"), f"{prefix}M", of) for frame, prefix, of in parts),
    )


def _mean(frame: pl.DataFrame, column: str, of: str) -> Measure:
    return mean_M(frame[column], of, frame["cluster"])


def _share(name: str, frame: pl.DataFrame, column: str, of: str) -> Measure:
    known = frame.drop_nulls(column)
    grouped = known.group_by("cluster").agg(pl.col(column).sum().alias("hits"), pl.len().alias("rows"))
    shares = clustered_shares(cluster_sums(grouped["hits"].to_numpy(), grouped["rows"].to_numpy()))
    value, lower, upper = (
        None if np.isnan(part[0]) else float(part[0]) for part in (shares.estimate, shares.lower, shares.upper)
    )
    return Measure(name, of, value, lower, upper, grouped.height)


def _power(rows: pl.DataFrame) -> float | None:
    """The smallest share of training documents that, were they recited whole, would give p <= .0125 in 95 %."""
    clusters = rows.filter("member")["cluster"].unique(maintain_order=True).to_numpy()
    low, high = 0, len(clusters)
    if not _is_found(rows, clusters, high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_found(rows, clusters, middle) else (middle, high)
    return high / len(clusters)


def _is_found(rows: pl.DataFrame, clusters: NDArray[np.int64], count: int) -> bool:
    generator, found = np.random.default_rng(0), 0
    for _ in range(_DRAWS):
        planted = generator.choice(clusters, count, replace=False)
        is_planted = pl.col("member") & pl.col("cluster").is_in(planted.tolist())
        changed = rows.with_columns(
            M=pl.when(is_planted).then(1.0).otherwise("M"), recited=pl.col("recited") | is_planted
        )
        p = _p_value(changed, _POWER_PERMUTATIONS)
        found += p is not None and p <= _POWER_LEVEL
    return found >= _POWER * _DRAWS


def _examples(material: Material, tables: Tables, recited: pl.DataFrame) -> tuple[Example, ...]:
    """The texts of recited rows, one a document, longest first; the whole continuation is copied."""
    if "tokens" not in tables.features or recited.is_empty():
        return ()
    chosen = recited.unique("cluster", keep="first", maintain_order=True).head(_EXAMPLES)
    cell = tables.reference
    tokens = tables.features["tokens"].filter(pl.col("row").is_in(chosen["row"].implode())).collect()
    sources = dict(tables.rows.select("row", pl.coalesce("source", pl.lit(""))).collect().iter_rows())
    examples = []
    for row, ids in tokens.sort("row").select("row", "tokens").iter_rows():
        start, stop = cell.context, cell.context + cell.continuation
        prompt, text = material.decode([ids[:start], ids[start:stop]])
        source = f"row {row}" + (f" of {sources[row]}" if sources[row] else "")
        examples.append(Example(source, prompt, text, ((0, len(text)),)))
    return tuple(examples)
