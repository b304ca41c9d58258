"""Coverage of the printed intervals, and how often verdicts appear without an effect, in simulated studies.

    python benchmarks/interval_coverage.py [--studies 1000] [--seed 0]
    python benchmarks/interval_coverage.py --picture docs/pictures/certainty-intervals.svg

Two models and two contexts score rows of documents. Every model and context has luck of its own with whole documents,
so that rows of a document are alike (intra-document correlation), but no model is better and no context brings out
more. Printed, for each design: how often the 95 % interval of a share and of mean M contains the true value (wanted:
0.93 to 0.97), and how often there is a verdict, or p < 0.05, where there is no effect (wanted: at most 0.06).
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from mematlas.analyses.family.transitions import finding as transitions
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.scores import context
from mematlas.analyses.scores.distribution import finding as distribution
from mematlas.analyses.scores.size import finding as size
from mematlas.stats.estimates.clustered import ClusteredShares, cluster_sums, clustered_shares
from mematlas.stats.estimates.intervals import wilson

LENGTH, CONTEXTS, MODELS = 10, (16, 32), ("a", "b")
#: documents, rows in each, intra-document correlation of the normal variable behind the scores, share of recited rows
DESIGNS = (
    (400, 1, 0.0, 0.3),
    (48, 1, 0.0, 0.3),
    (40, 10, 0.1, 0.3),
    (40, 10, 0.3, 0.3),
    (40, 10, 0.9, 0.3),
    (20, 20, 0.3, 0.3),
    (40, 10, 0.3, 0.05),
)


def scores(random: np.random.Generator, documents: int, rows: int, icc: float, share: float) -> NDArray[np.int64]:
    """Matches [documents, rows]: 10 of 10 in a `share` of rows, 0 to 9 in the others, alike within documents."""
    luck = np.sqrt(icc) * random.normal(size=(documents, 1)) + np.sqrt(1 - icc) * random.normal(size=(documents, rows))
    quantile = ndtr(luck)
    return np.where(quantile > 1 - share, LENGTH, np.floor(quantile / (1 - share) * LENGTH)).astype(np.int64)


def simulated_study(random: np.random.Generator, documents: int, rows: int, icc: float, share: float) -> Tables:
    count = documents * rows
    frames = [
        pl.DataFrame(
            {
                "model": model,
                "row": range(count),
                "context": context,
                "continuation": LENGTH,
                "matches": scores(random, documents, rows, icc, share).ravel(),
                "margin": 1.0,
                "reason": None,
            },
            schema_overrides=dict.fromkeys(("context", "continuation", "matches"), pl.Int32) | {"reason": pl.String},
        )
        for model in MODELS
        for context in CONTEXTS
    ]
    whole = pl.when(pl.col("matches") == LENGTH).then(LENGTH).otherwise(0).cast(pl.Int32)
    table = pl.DataFrame(
        {
            "row": range(count),
            "role": "train",
            "repetitions": None,
            "document": np.arange(count) // rows if rows > 1 else None,
            "source": "corpus",
        },
        schema_overrides={"repetitions": pl.Int64, "document": pl.Int64},
    )
    models = pl.DataFrame(
        {"model": MODELS, "parameters": [10, 100], "training_step": None, "tokenizer": "t"},
        schema_overrides={"training_step": pl.Int64},
    )
    settings: dict[str, Any] = {"context": [*CONTEXTS], "continuation": [LENGTH], "depth": "graded", "align": "start"}
    all_scores = pl.concat(frames).with_columns(whole.alias("verbatim"))
    return Tables(all_scores.lazy(), table.lazy(), models, settings)


def results_of(study: Tables, share: float) -> Iterator[tuple[str, bool | None]]:
    """Whether each interval contains the true value, and whether each verdict speaks; None where there is none."""
    found = distribution.compute(study)
    where = {"model": "a", "context": 32}
    recited = found.table("classes").filter(pl.col("class") == "M = 1", kind="part", **where).row(0, named=True)
    mean = found.table("means").filter(**where).row(0, named=True)
    for name, record, value in (("share", recited, share), ("mean", mean, true_mean(share))):
        lower, upper = record[f"{name}_lower"], record[f"{name}_upper"]
        yield f"{name} covered", None if lower is None else lower <= value <= upper
    trends = {trend.trend: trend.verdict != "cannot tell" for trend in context.compute(study).trends}
    yield "context verdict", trends["recited-rows-grow-with-context"]
    trends = {trend.trend: trend.verdict != "cannot tell" for trend in size.compute(study).trends}
    yield "size verdict", trends["recited-rows-grow-with-size"]
    yield "fastest verdict", trends["fully-memorized-rows-grow-fastest"]
    for record in transitions.compute(study).table("symmetry").iter_rows(named=True):
        yield f"{record['test'].partition(',')[0]} p < .05", None if record["p"] is None else record["p"] < 0.05


def true_mean(share: float) -> float:
    return share + (1 - share) * (LENGTH - 1) / 2 / LENGTH


def draw_picture(path: Path) -> None:
    """The intervals of 30 studies of 40 documents x 10 rows, by rows and by documents, beside the true share."""
    import altair as alt
    import vl_convert

    random, records = np.random.default_rng(5), []
    for study in range(1, 31):
        hits = random.binomial(10, random.beta(0.3 * 7 / 3, 0.7 * 7 / 3, 40))  # intra-document correlation 0.3
        rows, documents = wilson(int(hits.sum()), 400), clustered_shares(cluster_sums(hits, np.full(40, 10)))
        bounds = (("rows as independent", rows.lower, rows.upper), ("documents as the unit", *_bounds(documents)))
        for unit, lower, upper in bounds:
            result = "contains" if lower <= 0.3 <= upper else "misses"
            interval = {"share": hits.sum() / 400, "lower": lower, "upper": upper}
            records.append({"study": study, "unit": unit, **interval, "interval": result})
    color = alt.Color("interval:N", title="interval and true share").scale(
        domain=["contains", "misses"], range=["#7a8794", "#c8452e"]
    )
    base = alt.Chart(pl.DataFrame(records))
    share = alt.X("lower:Q", title="share of rows recited", axis=alt.Axis(format="%"))
    study_axis = alt.Y("study:O", title="simulated study", axis=alt.Axis(labels=False, ticks=False))
    chart = alt.layer(
        base.mark_rule(strokeWidth=2).encode(x=share, x2="upper:Q", y=study_axis, color=color),
        base.mark_point(filled=True, size=18).encode(x="share:Q", y="study:O", color=color),
        base.mark_rule(strokeDash=[4, 3], color="#1f2a33").encode(x=alt.datum(0.3)),
    ).properties(width=270, height=300)
    units = alt.Column("unit:N", title=None, sort=["rows as independent", "documents as the unit"])
    facets = chart.facet(column=units).configure(font="DejaVu Sans").configure_legend(orient="bottom")
    path.write_text(vl_convert.vegalite_to_svg(facets.to_dict()))


def _bounds(shares: ClusteredShares) -> tuple[float, float]:
    return float(shares.lower[0]), float(shares.upper[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="only draw the picture of docs/certainty.md into this file")
    options = parser.parse_args()
    if options.picture:
        draw_picture(options.picture)
        return
    for documents, rows, icc, share in DESIGNS:
        random, hits, counts = np.random.default_rng(options.seed), Counter[str](), Counter[str]()
        for _ in range(options.studies):
            for name, result in results_of(simulated_study(random, documents, rows, icc, share), share):
                if result is not None:
                    hits[name] += result
                    counts[name] += 1
        shares = ", ".join(f"{name} {hits[name] / counts[name]:.3f}" for name in counts)
        print(f"{documents} documents x {rows}, ICC {icc}, {share:.0%} recited: {shares}", flush=True)


if __name__ == "__main__":
    main()
