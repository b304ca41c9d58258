"""Which parts of speech models memorize: R(p), and R_mem(p) where the token itself is right.

Source: P8, on parts of speech. R(p) is the share of the positions whose true token has part of speech p at which the
token that the model names has it, too; R_mem(p) that at which it names the true token. Tokens are named after the true
ones before (teacher-forced). How tokens get their tags is our choice: `features.tags`.
"""

from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.proportions import format_interval, format_percent
from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.analyses.phrasing import by_verdict, format_count
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares
from mematlas.stats.estimates.intervals import standard_error
from mematlas.study import Study
from mematlas.study.schemas.features import POS_CLASSES

TAGS: Final = POS_CLASSES[:6]
LEFT_OUT: Final = POS_CLASSES[6:]
_NOUNS: Final = ("NUM", "PROPN", "NOUN")
_OTHERS: Final = ("VERB", "ADJ")
_TREND: Final = "nouns-and-numbers-are-memorized-first"
#: The headlines where the trend is shown, contradicted, and not clear.
_HEADLINES: Final = (
    "Numbers and nouns are predicted better than verbs and adjectives",
    "Numbers and nouns are predicted worse than verbs and adjectives",
    "Numbers and nouns do not clearly differ from verbs and adjectives",
)
_INTERVAL: Final = "of its 95 % interval (Wilson, over documents or rows)"
_REMEDY: Final = "Tag it: `mematlas features STUDY --tagger spacy:NAME`."
_SCORE: Final = "Score again with `--signals truth`, then tag: `mematlas features STUDY --tagger spacy:NAME`."
_COLUMNS: Final = {
    "model": "model",
    "parameters": "number of weights",
    "training_step": "training steps of this checkpoint",
    "role": "training rows, or control",
    "tag": "part of speech p of the true token (universal tags; other: all other tags)",
    "n": "positions whose true token has it",
    "share": "share of the tagged positions: how often a guess of always this tag is right",
    "R": "share of these n at which the named token has this part of speech",
    "R_lower": f"lower end {_INTERVAL}",
    "R_upper": f"upper end {_INTERVAL}",
    "R_mem": "share of these n at which the named token is the true one",
    "R_mem_lower": f"lower end {_INTERVAL}",
    "R_mem_upper": f"upper end {_INTERVAL}",
}
_LEFT_OUT_COLUMNS: Final = {
    "model": "model",
    "role": "training rows, or control",
    "tag": "mixed: the token has characters of two words; no word: it has none",
    "n": "positions left out",
}
_CHARTS: Final = tuple(
    Chart(
        name,
        title,
        "bars",
        "tags",
        Axis("tag", "part of speech", "nominal"),
        Axis(column, label, share=True),
        None,
        f"{column}_lower",
        f"{column}_upper",
        facet="model",
        where={"role": "train"},
    )
    for name, title, column, label in (
        ("memorized", "Exact tokens named, by part of speech", "R_mem", "tokens that are the true one (R_mem)"),
        ("tagged", "Parts of speech named", "R", "tokens of the right part of speech (R)"),
    )
)


def tagged_positions(study: Study, run: str | None = None) -> pl.DataFrame:
    """Every tagged position of every model of a run: model, row, role, cluster, tag, same_tag, exact."""
    return positions_of(read_tables(study, run))


def positions_of(tables: Tables) -> pl.DataFrame:
    """As `tagged_positions`, of tables.

    Empty if the study has no tags, or models' tokens were not recorded.
    """
    schema = {"model": pl.String, "row": pl.Int64, "tag": pl.Int8, "named": pl.Int8, "exact": pl.Boolean}
    if "tags" not in tables.features or "truth" not in tables.signals:
        positions = pl.DataFrame(schema=schema)
    else:
        tags = tables.features["tags"].collect()
        true = tags.filter(pl.col("model").is_null()).select("row", tag="tags")
        named = tags.filter(pl.col("model").is_not_null()).rename({"tags": "named"})
        signals = tables.signals["truth"].join(named.lazy(), on=["model", "row"], how="semi")
        hits = signals.select("model", "row", "context", exact="hit").collect().sort("context")
        hits = hits.unique(["model", "row"], keep="last").drop("context")
        joined = named.join(true, on="row").join(hits, on=["model", "row"])
        width = pl.min_horizontal(pl.col(name).list.len() for name in ("tag", "named", "exact"))
        lists = joined.with_columns(pl.col(name).list.head(width) for name in ("tag", "named", "exact"))
        positions = lists.explode("tag", "named", "exact").drop_nulls().select(*schema)
    rows = tables.clustered_rows.select("row", "role", *tables.cluster_key).collect()
    known = positions.join(rows, on="row", how="left")
    cluster = pl.col("cluster") if tables.cluster_key else pl.col("row").alias("cluster")
    names = pl.Series(POS_CLASSES, dtype=pl.String)
    return known.select(
        "model", "row", "role", cluster, tag=names.gather(known["tag"]), same_tag=pl.col("tag") == pl.col("named"),
        exact="exact",
    ).sort("model", "row")  # fmt: skip


def parts_of_speech(positions: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """R and R_mem of every model, role and part of speech, from tagged positions."""
    tagged = positions.filter(pl.col("tag").is_in(TAGS))
    by = ["model", "role", "tag"]
    clusters = tagged.group_by(*by, "cluster").agg(
        n=pl.len().cast(pl.Int64), R=pl.col("same_tag").sum().cast(pl.Int64), R_mem=pl.col("exact").sum().cast(pl.Int64)
    )
    grouped = clusters.sort(*by, "cluster").group_by(by, maintain_order=True).agg("n", "R", "R_mem")
    records = [_shares(record) for record in grouped.iter_rows(named=True)]
    types = dict.fromkeys(_COLUMNS, pl.Float64) | dict.fromkeys(by, pl.String)
    names = [name for name in _COLUMNS if name not in ("parameters", "training_step", "share")]
    frame = pl.DataFrame(records, schema={name: types[name] if name != "n" else pl.Int64 for name in names})
    frame = frame.with_columns(share=pl.col("n") / pl.col("n").sum().over("model", "role"))
    parameters = pl.when(pl.col("parameters") > 0).then("parameters").alias("parameters")
    known = models.select("model", parameters, "training_step").with_row_index("order")
    order = {"tag_order": pl.col("tag").replace_strict(TAGS, range(len(TAGS)), return_dtype=pl.Int64)}
    joined = frame.join(known, on="model", how="left").with_columns(**order)
    return joined.sort("order", "role", "tag_order", descending=[False, True, False]).select(*_COLUMNS)


def tokens_left_out(positions: pl.DataFrame) -> pl.DataFrame:
    """Positions without a part of speech of their own, by model and role."""
    left_out = positions.filter(pl.col("tag").is_in(LEFT_OUT))
    return left_out.group_by("model", "role", "tag").agg(n=pl.len().cast(pl.Int64)).sort("model", "role", "tag")


def _shares(record: dict[str, Any]) -> dict[str, Any]:
    n = np.array(record["n"])
    found = {name: record[name] for name in ("model", "role", "tag")} | {"n": int(n.sum())}
    for name in ("R", "R_mem"):
        share = clustered_shares(cluster_sums(np.array(record[name]), n))
        for end, values in (("", share.estimate), ("_lower", share.lower), ("_upper", share.upper)):
            found[f"{name}{end}"] = None if np.isnan(values[0]) else float(values[0])
    return found


def compute(tables: Tables) -> Finding:
    """Compute R and R_mem of every part of speech; the claim is on the largest model."""
    question = "which parts of speech are memorized"
    if "tags" not in tables.features:
        return ANALYSIS.insufficient_data(tables, question, "parts of speech of its tokens", _REMEDY)
    positions = positions_of(tables)
    tags = parts_of_speech(positions, tables.models)
    train = tags.filter(role="train")
    if train.is_empty():
        missing = "tagged training rows whose predicted tokens were recorded"
        return ANALYSIS.insufficient_data(tables, question, missing, _SCORE)
    largest = [model for model in (*tables.family, *tables.by_size) if model in set(train["model"])]
    of_model = train.filter(model=largest[-1] if largest else train["model"][-1])
    recipe = "positions = recount.tagged_positions(study)\nanswer = "
    nouns, others = _pooled(of_model, _NOUNS), _pooled(of_model, _OTHERS)
    trend = _trend(of_model, nouns, others)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(of_model),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(nouns, others),
        control=_control(of_model, tags),
        tables=(
            Table(
                "tags", "Parts of speech", tags, _COLUMNS, f"{recipe}recount.parts_of_speech(positions, study.models())"
            ),
            Table(
                "left_out",
                "Tokens without a part of speech of their own",
                tokens_left_out(positions),
                _LEFT_OUT_COLUMNS,
                f"{recipe}recount.tokens_left_out(positions)",
            ),
        ),
        charts=_CHARTS,
        trends=(trend,),
        caveats=(
            "A sample of the rows is tagged (200 of each role), and tags are a tagger's, which errs.",
            "A named token is tagged at the end of the text before it, the true one with what follows it, too.",
        ),
        deviations=("P8 does not say how tokens are aligned with words: tokens of two words are left out here.",),
        headline=by_verdict(trend.verdict, *_HEADLINES),
        sentence=_sentence(of_model, nouns, others),
    )


_Pooled = tuple[float, float, float] | None


def _pooled(of_model: pl.DataFrame, tags: tuple[str, ...]) -> _Pooled:
    """R_mem over several parts of speech, with the interval of their mean as if they were independent."""
    known = of_model.filter(pl.col("tag").is_in(tags)).drop_nulls("R_mem_lower")
    if known.is_empty():
        return None
    weights = known["n"].to_numpy() / known["n"].sum()
    value = float(weights @ known["R_mem"].to_numpy())
    halves = [weights * np.abs((known[f"R_mem_{end}"] - known["R_mem"]).to_numpy()) for end in ("lower", "upper")]
    return value, value - float(np.sqrt(np.square(halves[0]).sum())), value + float(np.sqrt(np.square(halves[1]).sum()))


def _strength(nouns: _Pooled, others: _Pooled) -> float | None:
    if nouns is None or others is None:
        return None
    error = sum(standard_error(lower, upper) ** 2 for _, lower, upper in (nouns, others)) ** 0.5
    return abs(nouns[0] - others[0]) / error if error else None


def _claim(of_model: pl.DataFrame) -> str:
    texts = [
        f"{record['tag']} {100 * record['R_mem']:.0f} % ({100 * record['R']:.0f} % by part of speech)"
        for record in of_model.iter_rows(named=True)
    ]
    return (
        f"After the true tokens before, {of_model['model'][0]} names the true one at these shares of training tokens: "
        f"{', '.join(texts)}."
    )


def _sentence(of_model: pl.DataFrame, nouns: _Pooled, others: _Pooled) -> str:
    """The share of tokens named right in both groups, or over all parts of speech."""
    tokens = format_count(int(of_model["n"].sum()), "token")
    if nouns is None or others is None:
        share = format_percent(float(np.average(of_model["R_mem"].to_numpy(), weights=of_model["n"].to_numpy())))
        return f"{of_model['model'][0]} names {share} of {tokens} right."
    shares = [f"{format_percent(value)} ({format_interval(low, high)})" for value, low, high in (nouns, others)]
    start = f"Named right by {of_model['model'][0]}: numbers and nouns {shares[0]}, verbs and adjectives {shares[1]}"
    return f"{start}, of {tokens}."


def _control(of_model: pl.DataFrame, tags: pl.DataFrame) -> str:
    most = of_model.sort("n", descending=True, maintain_order=True).row(0, named=True)
    majority = f"Always naming the most frequent part of speech, {most['tag']}, is right at {100 * most['share']:.0f} %"
    control = tags.filter(model=of_model["model"][0], role="control")
    if control.is_empty():
        return f"{majority}; there are no control rows."
    total = float(np.average(control["R_mem"].to_numpy(), weights=control["n"].to_numpy()))
    return f"{majority}. Of control rows the model names {100 * total:.0f} % of the tagged tokens."


def _trend(of_model: pl.DataFrame, nouns: _Pooled, others: _Pooled) -> Trend:
    if nouns is None or others is None:
        return Trend(_TREND, "cannot tell", "there are no tagged nouns, or no verbs and adjectives, with an interval")
    shown = [f"{100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]" for value, low, high in (nouns, others)]
    test = (
        f"R_mem of {of_model['model'][0]}: numbers and nouns {shown[0]}, verbs and adjectives {shown[1]}. Decided if "
        "the 95 % intervals are apart"
    )
    if nouns[1] > others[2]:
        return Trend(_TREND, "shows", test)
    return Trend(_TREND, "contradicts" if nouns[2] < others[1] else "cannot tell", test)


ANALYSIS = Analysis(
    "parts_of_speech",
    "Parts of speech",
    "P8, on parts of speech",
    "row features with parts of speech (mematlas features --tagger), signals: truth",
    compute,
    (_TREND,),
)
