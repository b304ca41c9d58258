"""What a task shows: Mem over models and similarities beside its control, and performance by coverage (P4)."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import polars as pl

from mematlas.findings.finding import Axis, Chart, Finding, Table, Taxonomy
from mematlas.probes.rows.stages import ProbeResult
from mematlas.probes.tasks.memorization import ALL, PAIRS
from mematlas.probes.tasks.tables import COVERAGE_COLUMNS, MEM_COLUMNS

_WANTED_N: Final = 3  # words of the n-grams that sentences are about, or the nearest n
_FEW_PAIRS: Final = 50
_RHO: Final = Axis("rho", "Mem (Spearman)", bounds=(-1, 1))
_TAXONOMY: Final = Taxonomy(
    "content", "discoverable", content="a task's inputs and outputs", prompts="prompts of the task"
)
_OVERLAP_COLUMNS: Final = {
    "words": "words in a row of input and output that are looked for in the corpus",
    "examples": "examples that have so many",
    "found": "examples of which some are in the corpus",
}


def task_findings(result: ProbeResult) -> list[Finding]:
    """Both findings of a finished probe: Mem, and performance by coverage."""
    tables = {name: pl.read_parquet(result.folder / f"{name}.parquet") for name in ("mem", "coverage")}
    return [_memorization(tables["mem"], result.facts), _coverage(tables["coverage"], result.facts)]


def headline_mem(mem: pl.DataFrame, facts: "dict[str, Any]") -> pl.DataFrame:
    """Mem over pairs of all examples with the lowest gamma: one record for each model and n."""
    return mem.filter(measure=PAIRS, kept=ALL).filter(pl.col("gamma") == facts["gamma"][0])


def _memorization(mem: pl.DataFrame, facts: "dict[str, Any]") -> Finding:
    first = headline_mem(mem, facts)
    sensitivity = mem.filter(measure=PAIRS, kept=ALL)
    n = min(facts["n"], key=lambda each: (abs(each - _WANTED_N), each))
    leading = first.filter(n=n, model=facts["models"][0]).row(0, named=True)
    headline, sentence = _texts(leading)
    overlap = pl.DataFrame(
        [{"words": int(words), **counts} for words, counts in facts["overlap"].items()],
        schema=dict.fromkeys(_OVERLAP_COLUMNS, pl.Int64),
    )
    return Finding(
        "memorization",
        "Distributional memorization",
        sentence,
        "P4, section 3",
        _TAXONOMY,
        control="Examples permuted within the task (middle 95 %)"
        + (f", and {', '.join(facts['control'])}, not trained on the corpus." if facts["control"] else "."),
        tables=(
            Table("headline", f"Mem at similarities above {facts['gamma'][0]:g}", first, MEM_COLUMNS),
            Table("sizes", "Mem of the models, without controls", first.filter(~pl.col("control")), MEM_COLUMNS),
            Table("sensitivity", "Mem by the similarity that pairs exceed", sensitivity, MEM_COLUMNS),
            Table("mem", "All measures, and examples without overlap with the corpus", mem, MEM_COLUMNS),
            Table("overlap", "Examples that are in the corpus", overlap, _OVERLAP_COLUMNS),
        ),
        charts=tuple(_charts(first, sensitivity)),
        caveats=tuple(_caveats(first, facts)),
        deviations=(
            "P_n divides documents by documents, so that it is a share; the authors divide by occurrences of s_x.",
            "Pairs of no document are left out and counted; no error of the index is read as 0.",
        ),
        headline=headline,
        sentence=sentence,
    )


def _charts(first: pl.DataFrame, sensitivity: pl.DataFrame) -> Iterator[Chart]:
    null, name, ends = (0.0, "no correlation"), Axis("model", "model", "nominal"), ("low", "high")
    yield Chart("mem", "Mem by model", "bars", "headline", name, _RHO, None, *ends, "n", reference=null, count="pairs")
    known = first.filter(~pl.col("control"))
    if known["parameters"].null_count() == 0 and known["parameters"].n_unique() > 1:
        size, words = Axis("parameters", "weights of the model", "log"), Axis("n", "words", "nominal")
        title = "Mem by model size"
        yield Chart("size", title, "lines", "sizes", size, _RHO, words, *ends, reference=null, count="pairs")
    if sensitivity["gamma"].n_unique() > 1:
        gamma, title = Axis("gamma", "similarity that pairs exceed"), "Mem by the similarity that pairs exceed"
        yield Chart(
            "sensitivity", title, "lines", "sensitivity", gamma, _RHO, name, *ends, "n", reference=null, count="pairs"
        )


def _texts(record: "dict[str, Any]") -> tuple[str, str]:
    """Headline and sentence of one model and n."""
    name, n = record["model"], record["n"]
    if record["rho"] is None:
        return (
            f"Mem of {name} is not defined",
            f"Of {record['pairs']} pairs of {n} words from {record['examples']} examples: {record['reason']}.",
        )
    inside = record["null_low"] <= record["rho"] <= record["null_high"]
    verb = "does not follow" if inside or record["rho"] <= 0 else "follows"
    headline = f"{name} {verb} its corpus: Mem = {record['rho']:.2f}"
    sentence = (
        f"{name}, {n} words: Mem {record['rho']:.2f} ({record['low']:.2f} to {record['high']:.2f}), p = "
        f"{record['p']:.3f}, {record['pairs']:,} pairs of {record['examples']} examples; permuted "
        f"{record['null_low']:.2f} to {record['null_high']:.2f}."
    )
    return headline, sentence


def _caveats(first: pl.DataFrame, facts: "dict[str, Any]") -> Sequence[str]:
    caveats = [
        "A correlation may show that frequent knowledge is needed, and not that it was memorized.",
        f"Pairs are made by a similarity of texts ({facts['similarity']}); see how Mem changes with it.",
    ]
    if facts["similarity"] == "exact":
        caveats.append("Equal n-grams are a null: every document with the one has the other, so that nothing varies.")
    zero = facts["pairs_of_no_document"]
    if zero:
        caveats.append(f"{zero:,} of {facts['pairs']:,} pairs are in no document, and not in Mem.")
    missing = facts["examples"] - facts["examples_with_pairs"]
    if missing:
        caveats.append(f"{missing:,} of {facts['examples']:,} examples have no pair.")
    if first["pairs"].max() is not None and int(first["pairs"].max()) < _FEW_PAIRS:  # type: ignore[arg-type]
        caveats.append(f"Fewer than {_FEW_PAIRS} pairs say little; lower --gamma, or give more examples.")
    for words, counts in facts["overlap"].items():
        if counts["found"]:
            caveats.append(
                f"{counts['found']:,} examples have {words} words in a row in the corpus; Mem without them is given."
            )
    if not facts["control"]:
        caveats.append("No model that was not trained on the corpus stands beside; name one with --control.")
    return caveats


def _coverage(coverage: pl.DataFrame, facts: "dict[str, Any]") -> Finding:
    n = min(facts["n"], key=lambda each: (abs(each - _WANTED_N), each))
    own = coverage.filter(n=n, scheme="equal", model=facts["models"][0]).sort("bin").to_dicts()
    equal = coverage.filter(scheme="equal")
    low, high = own[0], own[-1]
    sentence = (
        f"{facts['models'][0]}, {n} words: {100 * low['right']:.0f} % right where the corpus has {low['least']:,} to "
        f"{low['most']:,} pairs, {100 * high['right']:.0f} % at {high['least']:,} to {high['most']:,}."
    )
    headline = (
        "Answers are no better where the corpus has more"
        if high["right"] <= low["right"]
        else f"Answers get {100 * (high['right'] - low['right']):.0f} points better with the corpus' coverage"
    )
    chart = Chart(
        "coverage",
        "Right answers by how often the corpus has the example's pairs together",
        "lines",
        "coverage",
        Axis("bin", "bin of examples, by their sum of pair counts"),
        Axis("right", "right answers", share=True, bounds=(0, 1)),
        Axis("model", "model", "nominal"),
        "low",
        "high",
        facet="n",
        count="examples",
    )
    return Finding(
        "coverage",
        "Performance by coverage",
        sentence,
        "P4, section 4",
        _TAXONOMY,
        control="The share of all examples, which bins of shuffled examples have on average.",
        tables=(
            Table("coverage", "Performance in bins of as many examples", equal, COVERAGE_COLUMNS),
            Table("all", "Both kinds of bins", coverage, COVERAGE_COLUMNS),
        ),
        charts=(chart,) if equal["bin"].n_unique() > 1 else (),
        caveats=("Longer inputs and outputs have more pairs, and larger sums.",),
        headline=headline,
        sentence=sentence,
    )
