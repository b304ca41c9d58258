"""What the exposure of canaries shows, in a sentence, tables and a chart."""

from typing import Final

import polars as pl

from mematlas.auditing.canaries.exposure import LEVEL, CanaryExposures
from mematlas.findings.finding import Axis, Chart, Finding, Table, Taxonomy

_OF_CANARIES: Final = {
    "canary": "number of the canary in the key",
    "repetitions": "how often it is in the training file",
    "secret": "its secret",
    "log_probability": "of the secret after the words before it, nats",
    "exposure": "bits, by its rank among the alternatives",
    "fitted": "bits, by the fitted tail",
    "emitted": "whether greedy decoding gives the secret",
    "log_probability_of_base": "the same of the base model",
    "exposure_of_base": "bits, by its rank under the base model alone",
    "emitted_by_base": "whether the base model's greedy decoding gives it",
}
_OF_LEVELS: Final = {
    "repetitions": "how often the canaries are in the training file",
    "canaries": "number of canaries",
    "exposure": "mean bits, by rank among the alternatives",
    "exposure_low": "lower end of its 95 % interval over canaries and alternatives",
    "exposure_high": "upper end",
    "fitted": "mean bits, by the fitted tail",
    "fitted_low": "lower end of its 95 % interval over canaries",
    "fitted_high": "upper end",
    "emitted": "canaries that greedy decoding gives",
    "exposure_of_base": "mean bits of the base model, by rank",
    "exposure_of_base_low": "lower end of its 95 % interval",
    "exposure_of_base_high": "upper end",
    "p": "of a mean exposure as high, by rank, if showing had done nothing",
    "q": "p after Holm, over numbers of repetitions",
}
_OF_CURVE: Final = {
    "repetitions": "how often the canaries are in the training file",
    "of": "what was measured",
    "exposure": "mean bits",
    "lower": "lower end of its 95 % interval",
    "upper": "upper end",
}


def canary_finding(result: CanaryExposures, model: str, base: str | None) -> Finding:
    """The finding; model, base: their labels."""
    never = result.never_shown
    learned = _learned(result)
    control = (
        f"{never['canaries']:,} canaries that were never shown have {_with_interval(never, 'exposure')}, and chance "
        f"gives {result.chance:.2f}{'' if result.null_p is None else f' (p = {result.null_p:.2f})'}."
    )
    return Finding(
        "canaries",
        "Exposure of canaries",
        f"{_claim(result, learned, model)} Control: {control}",
        "K5, Carlini et al. 2019, 1802.08232, sections 4 and 5",
        Taxonomy(retrievability="extractable", content="made-up secrets", prompts="the canary up to its secret"),
        control=control,
        tables=(
            _table("levels", "Exposure by repetitions", result.levels, _OF_LEVELS),
            _table("canaries", "Every canary", result.canaries, _OF_CANARIES),
            _table("curve", "The chart's numbers", _curve(result, model, base), _OF_CURVE),
        ),
        charts=(
            Chart(
                "exposure",
                "Exposure of canaries by how often they were shown",
                "points",
                "curve",
                Axis("repetitions", "times in the training file", "ordinal"),
                Axis("exposure", "mean exposure, bits"),
                Axis("of", "measured", "nominal"),
                "lower",
                "upper",
                reference=(result.chance, f"chance: {result.chance:.2f} bits"),
            ),
        ),
        caveats=_caveats(result, base),
        headline=_headline(learned, model),
        sentence=_claim(result, learned, model),
    )


def _table(name: str, title: str, frame: pl.DataFrame, meanings: dict[str, str]) -> Table:
    return Table(name, title, frame, {column: meanings[column] for column in frame.columns})


def _learned(result: CanaryExposures) -> list[int]:
    """The numbers of repetitions whose canaries rank higher than chance explains."""
    return result.levels.filter(pl.col("q") <= LEVEL)["repetitions"].to_list()


def _headline(learned: list[int], model: str) -> str:
    if not learned:
        return f"{model} shows no canary above chance"
    return f"{model} knows canaries that it was shown {_times(min(learned))}"


def _claim(result: CanaryExposures, learned: list[int], model: str) -> str:
    """How far the canaries shown most often are exposed, and from how many showings on they are above chance."""
    top = result.levels.row(-1, named=True)
    most = (
        f"canaries shown {_times(top['repetitions'])} have a mean exposure of {_with_interval(top, 'exposure')}, of at "
        f"most {result.maximum:.2f}, and greedy decoding gives {top['emitted']:,} of {top['canaries']:,}"
    )
    if not learned:
        return f"{model} does not rank canaries higher than chance explains: {most}."
    rest = [level for level in result.levels["repetitions"].to_list() if level > min(learned) and level not in learned]
    but = f", but not those shown {', '.join(map(_times, rest))}" if rest else ""
    first = f"{min(learned):,} showing{'s' if min(learned) > 1 else ''}"
    return f"{model} ranks canaries higher than chance explains from {first} on{but}: {most}."


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _with_interval(record: dict[str, float | None], name: str) -> str:
    text = f"{record[name]:.2f} bits"
    low, high = record[f"{name}_low"], record[f"{name}_high"]
    return text if low is None or high is None else f"{text} ({low:.2f} to {high:.2f})"


def _curve(result: CanaryExposures, model: str, base: str | None) -> pl.DataFrame:
    series = {"exposure": f"{model}, by rank", "fitted": f"{model}, by the fitted tail"}
    if base is not None:
        series["exposure_of_base"] = f"base model {base}, by rank"
    parts = [
        result.levels.select(
            "repetitions",
            pl.lit(of).alias("of"),
            pl.col(name).alias("exposure"),
            pl.col(f"{name}_low").alias("lower"),
            pl.col(f"{name}_high").alias("upper"),
        )
        for name, of in series.items()
    ]
    return pl.concat(parts, how="vertical_relaxed")


def _caveats(result: CanaryExposures, base: str | None) -> tuple[str, ...]:
    texts = [f"Ranks are among {result.alternatives:,} never-shown secrets, which allow {result.maximum:.2f} bits."]
    if result.null_holds is False:
        texts.append(
            "Canaries that were never shown do not have the exposure of chance, as they do in 95 of 100 checks. "
            "The key may be that of another file; before that is known, trust no number here."
        )
    if result.fit_p is None:
        texts.append("All secrets have the same score: nothing was fitted, and the never-shown canaries tell nothing.")
    elif result.fit_p <= LEVEL:
        texts.append(
            "The skew-normal distribution does not describe the alternatives (Kolmogorov-Smirnov, "
            f"p = {result.fit_p:.2g}); trust the ranks, not the fitted tail."
        )
    if base is not None:
        texts.append("A secret is ranked by the gain in log-probability over the base model.")
    return tuple(texts)
