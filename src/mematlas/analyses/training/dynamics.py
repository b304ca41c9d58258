"""How fast models memorize the rows that they are shown again and again, epoch by epoch.

Source: P8, sections 3 and 4. M is the share of tokens predicted right from the true tokens before; T(N, tau) the first
epoch after which a model of N weights has M >= tau on its training rows; overfitting begins with the first epoch after
which the loss on rows never shown is higher than after the one before.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import by_verdict, format_count
from mematlas.analyses.training.arms import block_means, split_names, with_parameters
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend

TAUS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CLAIM_TAU: Final = 0.5
_MASKED: Final = (
    "In an epoch a masked model is asked for 15 % of a row's tokens: T of masked models cannot be compared with T of "
    "causal ones."
)
_TREND: Final = "larger-models-memorize-faster"
_INTERVAL: Final = "of its 95 % interval (Student's t over blocks of rows)"
_EPOCH_COLUMNS: Final = {
    "arm": "model in training",
    "parameters": "number of weights",
    "epoch": "how often it was shown every training row",
    "step": "optimizer steps",
    "set": "train, or validation: rows never shown",
    "rows": "rows measured",
    "M": "share of tokens predicted right from the true tokens before",
    "M_lower": f"lower end {_INTERVAL}",
    "M_upper": f"upper end {_INTERVAL}",
    "loss": "nats per token",
}
_TAU_COLUMNS: Final = {
    "arm": "model in training",
    "parameters": "number of weights",
    "tau": "M to be reached on the training rows",
    "T": "first epoch after which it is; null: in none of them",
    "epochs": "epochs trained",
}
_OVERFITTING_COLUMNS: Final = {
    "arm": "model in training",
    "parameters": "number of weights",
    "overfitting": "first epoch after which the loss on validation rows is higher than before; null: none",
    "train_M": "M of the training rows after that epoch (the last one without)",
    "validation_M": "M of the validation rows then",
    "validation_loss": "their loss then, in nats per token",
    "lowest_loss": "the lowest loss on validation rows of all epochs",
}
_CHARTS: Final = (
    Chart(
        "epochs",
        "Tokens predicted right, by epoch",
        "lines",
        "epochs",
        Axis("epoch", "epochs"),
        Axis("M", "tokens predicted right (M)", share=True),
        Axis("arm", "model", "nominal"),
        "M_lower",
        "M_upper",
        dash="set",
    ),
    Chart(
        "loss",
        "Loss on rows never shown, by epoch",
        "lines",
        "epochs",
        Axis("epoch", "epochs"),
        Axis("loss", "loss, nats per token", zero=False, bounds=(0, None)),
        Axis("arm", "model", "nominal"),
        where={"set": "validation"},
    ),
    Chart(
        "tau",
        "Epochs until a share of the tokens is memorized, by model size",
        "points",
        "tau",
        Axis("parameters", "parameters", "log"),
        Axis("T", "epochs"),
        Axis("tau", "share memorized", "ordinal"),
    ),
)


def training_epochs(probes: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """M and loss after every epoch, of arms that were measured on training and on validation rows.

    Arms with a branch (GROUP--BRANCH) differ in something else than their size: `unique_ids` compares them.
    """
    is_of_epochs = pl.col("branch").is_null() & pl.col("set").is_in(["train", "validation"])
    parts = split_names(probes).filter(is_of_epochs)
    both = parts.filter(pl.col("set").n_unique().over("arm") == 2)
    by = ["arm", "step", "set"]
    scores = block_means(both.filter(metric="M").with_columns(M="value"), "M", by)
    losses = block_means(both.filter(metric="loss").with_columns(loss="value"), "loss", by).select(*by, "loss")
    shown = both.filter(set="train", metric="shown").group_by("arm", "step").agg(shown=pl.col("value").mean())
    whole = shown.filter(pl.col("shown") == pl.col("shown").round())
    epochs = whole.select("arm", "step", epoch=pl.col("shown").cast(pl.Int64))
    joined = scores.join(epochs, on=["arm", "step"]).join(losses, on=by, how="left")
    return with_parameters(joined, models, "arm").sort("parameters", "arm", "set", "step").select(*_EPOCH_COLUMNS)


def epochs_to_reach(epochs: pl.DataFrame) -> pl.DataFrame:
    """T(N, tau) of every arm and tau."""
    train = epochs.filter(set="train")
    by = ["arm", "parameters"]
    reached = [pl.col("epoch").filter(pl.col("M") >= tau).min().alias(str(tau)) for tau in TAUS]
    wide = train.group_by(by, maintain_order=True).agg(*reached, epochs=pl.col("epoch").max())
    long = wide.unpivot([str(tau) for tau in TAUS], index=[*by, "epochs"], variable_name="tau", value_name="T")
    return long.with_columns(pl.col("tau").cast(pl.Float64)).sort("parameters", "arm", "tau").select(*_TAU_COLUMNS)


def overfitting_epochs(epochs: pl.DataFrame) -> pl.DataFrame:
    """For every arm the epoch in which overfitting begins, and what it has memorized by then."""
    keys = ["arm", "parameters", "epoch"]
    train = epochs.filter(set="train").select(*keys, train_M="M")
    validation = epochs.filter(set="validation").select(*keys, validation_M="M", validation_loss="loss")
    joined = train.join(validation, on=keys, nulls_equal=True).sort("parameters", "arm", "epoch")
    rises = pl.col("validation_loss") > pl.col("validation_loss").shift().over("arm")
    first = joined.filter(rises).group_by("arm").agg(overfitting=pl.col("epoch").min())
    marked = joined.join(first, on="arm", how="left", maintain_order="left").with_columns(
        lowest_loss=pl.col("validation_loss").min().over("arm"), end=pl.col("epoch").max().over("arm")
    )
    return marked.filter(pl.col("epoch") == pl.coalesce("overfitting", "end")).select(*_OVERFITTING_COLUMNS)


def compute(tables: Tables) -> Finding:
    """Compute the curves, T(N, tau) and the marks of overfitting; the claim is on tau = 0.5."""
    question = "how fast models memorize"
    remedy = "Train models of several sizes: `mematlas experiment dynamics dynamics.yaml`."
    if tables.probes is None:
        return ANALYSIS.insufficient_data(tables, question, "probes taken in training", remedy)
    epochs = training_epochs(tables.probes.collect(), tables.models)
    if epochs.is_empty():
        missing = "probes of training and validation rows after whole epochs"
        return ANALYSIS.insufficient_data(tables, question, missing, remedy)
    tau, overfitting = epochs_to_reach(epochs), overfitting_epochs(epochs)
    trend = _trend(tau)
    recipe = "epochs = recount.training_epochs(study.scan_probes().collect(), study.models())\nanswer = "
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(tau, overfitting),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        control=_control(epochs),
        tables=(
            Table("epochs", "M and loss after every epoch", epochs, _EPOCH_COLUMNS, f"{recipe}epochs"),
            Table("tau", "Epochs to memorize a share", tau, _TAU_COLUMNS, f"{recipe}recount.epochs_to_reach(epochs)"),
            Table(
                "overfitting",
                "Where overfitting begins",
                overfitting,
                _OVERFITTING_COLUMNS,
                f"{recipe}recount.overfitting_epochs(epochs)",
            ),
        ),
        charts=tuple(chart for chart in _CHARTS if chart.name != "tau" or _has_points(tau)),
        trends=(trend,),
        caveats=(
            *((_MASKED,) if "masking" in tables.settings else ()),
            "Epochs depend on the batch size: T is comparable between models with the same one only.",
            "Validation rows are of other documents of the same collection: what both repeat is not memorized.",
        ),
        headline=_headline(tau, trend),
        sentence=_sentence(tau, overfitting),
    )


def _has_points(tau: pl.DataFrame) -> bool:
    return not tau.drop_nulls(["parameters", "T"]).is_empty()


def _ends(tau: pl.DataFrame) -> list[dict[str, Any]]:
    """The records of the smallest and of the largest model at the share that is spoken of; one of a single model."""
    at = tau.filter((pl.col("tau") - CLAIM_TAU).abs() < 1e-9).sort("parameters", maintain_order=True)
    return [at.row(0, named=True), at.row(-1, named=True)] if at.height > 1 else [at.row(0, named=True)]


def _headline(tau: pl.DataFrame, trend: Trend) -> str:
    """Whether larger models need fewer epochs; of models that are not of two known sizes, when the last gets there."""
    reached = tau.filter((pl.col("tau") - CLAIM_TAU).abs() < 1e-9).drop_nulls("T")
    if reached.is_empty():
        return "No model memorizes half of its training tokens"
    if len({end["parameters"] for end in _ends(tau)} - {None}) < 2:
        last = reached.row(-1, named=True)
        return f"{last['arm']} memorizes half of its tokens after {format_count(last['T'], 'epoch')}"
    return by_verdict(
        trend.verdict,
        "Larger models memorize in fewer epochs",
        "Larger models memorize in more epochs",
        "Size makes no clear difference to how fast models memorize",
    )


def _sentence(tau: pl.DataFrame, overfitting: pl.DataFrame) -> str:
    """The epochs until half of the tokens are memorized, and until a model overfits."""
    text = f"Half of the training tokens are memorized by {', '.join(_reached(end) for end in _ends(tau))}"
    start = overfitting.drop_nulls("overfitting")["overfitting"]
    return f"{text}; overfitting begins after epoch {_range(start, 0)}." if len(start) else f"{text}."


def _claim(tau: pl.DataFrame, overfitting: pl.DataFrame) -> str:
    text = ", ".join(_reached(end) for end in _ends(tau))
    start = overfitting.drop_nulls("overfitting")
    if start.is_empty():
        return f"Half of the training tokens are memorized by {text}; no model overfits."
    return (
        f"Half of the training tokens are memorized by {text}; the loss on rows never shown first rises after epoch "
        f"{_range(start['overfitting'], 0)}, where M is {_range(start['train_M'], 2)}."
    )


def _reached(record: dict[str, Any]) -> str:
    epochs = format_count(record["epochs"] if record["T"] is None else record["T"], "epoch")
    when = f"not within {epochs}" if record["T"] is None else f"after {epochs}"
    return f"{record['arm']} {when}"


def _control(epochs: pl.DataFrame) -> str:
    last = epochs.filter(set="validation").filter(pl.col("epoch") == pl.col("epoch").max().over("arm"))
    return f"M of rows never shown is {_range(last['M'], 2)} at the end."


def _range(values: pl.Series, digits: int) -> str:
    """The smallest and the largest of the values."""
    low, high = (f"{value:.{digits}f}" for value in (min(values.to_list()), max(values.to_list())))
    return low if low == high else f"{low} to {high}"


def _trend(tau: pl.DataFrame) -> Trend:
    """Whether the largest size needs fewer epochs than the smallest, in every seed; not reached counts as later."""
    at = tau.filter((pl.col("tau") - CLAIM_TAU).abs() < 1e-9).drop_nulls("parameters")
    if at["parameters"].n_unique() < 2 or not at["T"].is_not_null().any():
        return Trend(_TREND, "cannot tell", "there are no two known sizes of which one memorizes half of the tokens")
    at = at.with_columns(pl.col("T").cast(pl.Float64).fill_null(float("inf")))
    small = at.filter(pl.col("parameters") == pl.col("parameters").min())["T"].to_list()
    large = at.filter(pl.col("parameters") == pl.col("parameters").max())["T"].to_list()
    test = (
        f"epochs until M >= {CLAIM_TAU}: {_listed(small)} in the smallest size, {_listed(large)} in the largest. "
        "Decided if all seeds of one need fewer than all of the other"
    )
    if max(large) < min(small):
        return Trend(_TREND, "shows", test)
    return Trend(_TREND, "contradicts" if min(large) > max(small) else "cannot tell", test)


def _listed(values: list[float]) -> str:
    return " and ".join("not reached" if value == float("inf") else f"{value:.0f}" for value in sorted(values))


ANALYSIS = Analysis(
    "dynamics",
    "Training dynamics",
    "P8, sections 3 and 4",
    "probes of training and validation rows after every epoch (mematlas experiment dynamics)",
    compute,
    (_TREND,),
)
