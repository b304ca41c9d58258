"""What the searches for shortest prompts show (K4)."""

from typing import TYPE_CHECKING, Any, Final

from mematlas.findings.finding import Finding, Table, Taxonomy
from mematlas.probes.compress.charts import COMPRESSION
from mematlas.probes.compress.strings import STRING_CLASSES
from mematlas.probes.rows.estimates import class_means
from mematlas.probes.rows.stages import ProbeResult
from mematlas.stats.estimates.intervals import wilson

if TYPE_CHECKING:
    import polars as pl

_CLASS: Final = "recited, other (rows of the corpus), control, random (tokens), or given"
_INTERVAL: Final = "95 % interval (Student's t over strings)"
_COMPRESSION_COLUMNS: Final = {
    "class": _CLASS,
    "strings": "strings that were searched for; no two of a class share 13 tokens",
    "found": "of these, with any prompt that makes the model recite them",
    "compressed": "of these, with a prompt shorter than the string (ACR > 1)",
    "share": "compressed over strings",
    "share_lower": "lower end of its 95 % interval (Wilson)",
    "share_upper": "upper end of the same",
    "mean_found": "mean ratio (ACR) of the strings that were found",
    "mean_found_lower": f"lower end of its {_INTERVAL}",
    "mean_found_upper": "upper end of the same",
    "mean_all": "mean ratio with those not found at their floor: string over the longest prompt that may be tried",
    "mean_all_lower": f"lower end of its {_INTERVAL}",
    "mean_all_upper": "upper end of the same",
    "with_context": "strings that some number of true tokens before them is enough for",
    "mean_bound": "mean ratio that these true tokens alone give; null if there are no such strings",
    "unfinished": "searches that a limit of steps or seconds ended",
}
_PROGRESS_COLUMNS: Final = {
    "class": _CLASS,
    "steps": "steps of a string's search",
    "strings": "strings that were searched for",
    "compressed": "of these, with a prompt shorter than the string after so many steps",
    "share": "compressed over strings: a lower bound, as searches end",
}
_STRING_COLUMNS: Final = {
    "class": _CLASS,
    "row": "id of the row whose continuation it is; null of random and given ones",
    "tokens": "length of the string",
    "prompt_tokens": "length of the shortest prompt that was found",
    "ratio": "tokens / prompt_tokens; null where none was found",
    "context_tokens": "fewest true tokens before it that are enough",
    "bound": "tokens / context_tokens",
    "reason": "why the search ended: finished, length (none found up to the longest), steps or budget",
    "steps": "steps of the search",
    "seconds": "that it took",
    "string_text": "text of the string, where a tokenizer is known",
    "prompt_text": "text of the shortest prompt, likewise",
}
_NAMES: Final = {
    "recited": "recited rows",
    "other": "rows not recited",
    "control": "control rows",
    "random": "random strings",
    "given": "given strings",
}


def compress_finding(result: ProbeResult) -> Finding:
    """The finding of a finished probe."""
    strings = result.table("strings")
    compression = _compression(strings)
    headline, sentence = _texts(compression)
    tables = (
        Table("compression", "Ratios by class of strings", compression, _COMPRESSION_COLUMNS),
        Table("progress", "Strings compressed over the search", _progress(strings), _PROGRESS_COLUMNS),
        Table("strings", "The strings", strings.select(*_STRING_COLUMNS), _STRING_COLUMNS),
    )
    taxonomy = Taxonomy(
        retrievability="extractable", content="continuations of the probed rows", prompts="searched for, of any tokens"
    )
    return Finding(
        "compression",
        "Adversarial compression",
        sentence,
        "K4",
        taxonomy,
        control="Control rows, if there are any, and random tokens, searched for in the same way.",
        tables=tables,
        charts=COMPRESSION,
        caveats=_caveats(result.facts, compression),
        deviations=(
            "A string without a prompt has no ratio here; the authors enter it into all means at its floor "
            "(`mean_all`), so that their mean of random strings is little more than that floor.",
            "After a success the search goes on from the found prompt without one token, not from new random ones.",
        ),
        headline=headline,
        sentence=sentence,
    )


def _compression(strings: "pl.DataFrame") -> "pl.DataFrame":
    """The table `compression`; a prompt exists only where one was found, so that nulls are not zeros."""
    import polars as pl

    counts = strings.group_by("class", maintain_order=True).agg(
        strings=pl.len().cast(pl.Int64),
        found=pl.col("success").sum().cast(pl.Int64),
        compressed=(pl.col("ratio") > 1).sum().cast(pl.Int64),
        with_context=pl.col("context_tokens").is_not_null().sum().cast(pl.Int64),
        mean_bound=pl.col("bound").mean(),
        unfinished=pl.col("reason").is_in(["steps", "budget"]).sum().cast(pl.Int64),
    )
    shares = [wilson(record["compressed"], record["strings"]) for record in counts.to_dicts()]
    counts = counts.with_columns(
        pl.Series("share", [share.estimate for share in shares], pl.Float64),
        pl.Series("share_lower", [share.lower for share in shares], pl.Float64),
        pl.Series("share_upper", [share.upper for share in shares], pl.Float64),
    )
    values = strings.select(
        "class",
        cluster="string",
        mean_found="ratio",
        mean_all=pl.col("ratio").fill_null(pl.col("tokens") / pl.col("longest")),
    )
    frame = counts.with_columns(pl.col("class").cast(pl.Enum(STRING_CLASSES)))
    for name in ("mean_found", "mean_all"):
        means = class_means(values.drop_nulls(name), name, [], STRING_CLASSES).drop("rows")
        frame = frame.join(means, on="class", how="left", maintain_order="left")
    return frame.sort("class").select(*_COMPRESSION_COLUMNS)


def _progress(strings: "pl.DataFrame") -> "pl.DataFrame":
    """The table `progress`: at the steps at which a string became shorter than itself, and at both ends."""
    import polars as pl

    events = (
        strings.select("string", "class", "tokens", "found_tokens", "found_steps")
        .explode("found_tokens", "found_steps")
        .filter(pl.col("found_tokens") < pl.col("tokens"))
        .group_by("string", "class")
        .agg(steps=pl.col("found_steps").min())
    )
    grid = sorted({0, int(strings["steps"].max() or 0), *events["steps"].to_list()})  # type: ignore[arg-type]
    records: list[dict[str, Any]] = []
    for (name,), own in strings.group_by("class", maintain_order=True):
        taken = events.filter(pl.col("class") == name)["steps"]
        for steps in grid:
            compressed = int((taken <= steps).sum())
            share = compressed / own.height
            records.append(
                {"class": name, "steps": steps, "strings": own.height, "compressed": compressed, "share": share}
            )
    schema: dict[str, Any] = {
        "class": pl.Enum(STRING_CLASSES),
        "steps": pl.Int64,
        "strings": pl.Int64,
        "compressed": pl.Int64,
    }
    return pl.DataFrame(records, schema=schema | {"share": pl.Float64}).sort("class", "steps")


def _texts(compression: "pl.DataFrame") -> tuple[str, str]:
    """Headline and sentence, of the first class and those it is compared with."""
    first, *others = compression.to_dicts()
    headline = f"{first['compressed']} of {first['strings']} {_NAMES[first['class']]} have a shorter prompt"
    mean = "none was found" if first["mean_found"] is None else f"mean ratio {first['mean_found']:.2f} where found"
    beside = ", ".join(f"{_NAMES[other['class']]} {other['compressed']} of {other['strings']}" for other in others)
    sentence = f"{_NAMES[first['class']].capitalize()}: {mean}. With a prompt shorter than themselves: {beside}."
    return headline, sentence


def _caveats(facts: dict[str, Any], compression: "pl.DataFrame") -> tuple[str, ...]:
    unfinished, strings = int(compression["unfinished"].sum()), int(compression["strings"].sum())
    caveats = [
        "Ratios are lower bounds: a shorter prompt may exist that was not found. A string that was not found is "
        "censored, not shown to have no prompt.",
    ]
    if unfinished:
        caveats.append(
            f"A limit of steps or seconds ended {unfinished} of {strings} searches. Seconds differ between machines; "
            "with a limit of steps (--total-steps) the same command finds the same."
        )
    if facts["start"] == "true":
        caveats.append("Prompts that start at true tokens carry the row's own text, so that they compress less of it.")
    if facts["control"] is None:
        caveats.append("There is no control: only random tokens stand beside the rows (--control).")
    return tuple(caveats)
