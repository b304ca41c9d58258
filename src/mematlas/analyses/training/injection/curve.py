"""Every injected sequence at every measured step, in the treatment and in its control; and what each arm costs."""

from typing import Any, Final

import polars as pl

from mematlas.analyses.training.arms import block_means, split_names, with_parameters

#: The arms that differ in the events only; those in which one sequence is injected alone are called alone-0, ...
TREATMENT: Final = "treatment"
CONTROL: Final = "control"
#: The control as tables and charts name it: it is a model, and no set of rows.
CONTROL_MODEL: Final = "control model"

_MODEL: Final = {"model": "size of the models, of all seeds", "parameters": "number of weights"}
CURVE_COLUMNS: Final = {
    "group": "models that go on from the same base model",
    **_MODEL,
    "sequence": "the sequence: its kind, frequency and mode, and its number among those of one seed",
    "kind": "text never shown otherwise, shuffled tokens of such text, random tokens, or canary",
    "period": "it is shown in one of so many rows; null if it is shown in given steps, or never",
    "mode": "how it gets into a row: replace, prepend or splice; null if it is never shown",
    "step": "optimizer steps of the model",
    "t": "steps since the arms began",
    "occurrences": "showings up to this step, in the treatment",
    "V_treatment": "tokens recited at most, over all prompts inside the sequence, in the treatment",
    "V_control": "the same in the control, which goes through the same batches without the sequences",
    "dV": "V_treatment - V_control",
    "copied": "whether every prompt that brings out V_treatment holds what is recited (more than 5 tokens)",
    "cap": "tokens that are asked for at most",
    "text_treatment": "the treatment's length by P3's own measure, on text (at least 1); null if not measured",
    "text_control": "the same in the control",
}
COST_COLUMNS: Final = {
    **_MODEL,
    "arm": "treatment, or control model: its twin without the sequences",
    "t": "steps since the arms began",
    "seeds": "models of this size",
    "loss": "nats per token of rows that are never shown, mean over seeds",
    "loss_lower": "lower end of its 95 % interval (Student's t over seeds)",
    "loss_upper": "upper end of the same",
    "excess": "mean of loss - loss of the control of the same seed",
    "excess_lower": "lower end of its 95 % interval (Student's t over seeds)",
    "excess_upper": "upper end of the same",
}
INTERACTION_COLUMNS: Final = {
    "group": CURVE_COLUMNS["group"],
    "sequence": CURVE_COLUMNS["sequence"],
    "t": CURVE_COLUMNS["t"],
    "dV_together": "dV at the end, injected together with all other sequences",
    "dV_alone": "the same, injected alone in the same slots",
    "difference": "dV_alone - dV_together",
}


def injection_curve(probes: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """Every sequence at every step that was measured in both arms; empty without a treatment and its control."""
    sequences = _sequences(probes)
    treatment = sequences.filter(branch=TREATMENT).drop("branch")
    joined = _with_control(treatment.rename({"V": "V_treatment", "V_text": "text_treatment"}), sequences)
    joined = joined.with_columns(dV=pl.col("V_treatment") - pl.col("V_control"))
    return _named(joined, models).select(*CURVE_COLUMNS).sort("parameters", "group", "sequence", "step")


def injection_costs(probes: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """The loss of both arms on rows that are never shown, by size and step."""
    known = split_names(probes).filter(
        pl.col("branch").is_in([TREATMENT, CONTROL]), set="held-out", metric="loss"
    )  # fmt: skip
    known = known.select("group", "step", arm="branch", loss="value").drop_nulls()
    of_control = known.filter(arm=CONTROL).select("group", "step", of_control="loss")
    paired = known.join(of_control, on=["group", "step"], maintain_order="left")
    named = {"arm": pl.col("arm").replace(CONTROL, CONTROL_MODEL), "excess": pl.col("loss") - pl.col("of_control")}
    paired = _named(paired.with_columns(**named), models)
    by = ["model", "parameters", "arm", "t"]
    records = paired.with_columns(block="group", n=pl.lit(1))
    losses, excesses = (block_means(records, value, by) for value in ("loss", "excess"))
    joined = losses.join(excesses.drop("rows"), on=by, nulls_equal=True, maintain_order="left")
    return (
        joined.rename({"rows": "seeds"})
        .select(*COST_COLUMNS)
        .sort("parameters", "model", "arm", "t", descending=[False, False, True, False])
    )


def injection_interactions(probes: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """What sequences gain when they are injected alone, beside what they gain together with others."""
    sequences = _sequences(probes)
    alone = sequences.filter(pl.col("branch").str.starts_with("alone-")).rename({"V": "V_alone"})
    paired = _with_control(alone.select("group", "set", "block", "step", "V_alone"), sequences)
    together = injection_curve(probes, models).select("group", "sequence", "step", "t", dV_together="dV")
    joined = paired.with_columns(sequence=_SEQUENCE, dV_alone=pl.col("V_alone") - pl.col("V_control"))
    joined = joined.join(together, on=["group", "sequence", "step"], maintain_order="left")
    last = joined.filter(pl.col("step") == pl.col("step").max().over("group"))
    difference = pl.col("dV_alone") - pl.col("dV_together")
    return last.with_columns(difference=difference).select(*INTERACTION_COLUMNS).sort("group", "sequence")


_SEQUENCE: Final = pl.format("{}:{}", "set", "block")


def _sequences(probes: pl.DataFrame) -> pl.DataFrame:
    """One record for every sequence, arm and step: group, branch, set, block, step, V, copied, cap, occurrences."""
    known = split_names(probes).filter(pl.col("set").str.contains("@"), pl.col("branch").is_not_null())
    keys = ["group", "branch", "set", "block", "step"]

    def value(metric: str) -> pl.Expr:
        return pl.col("value").filter(pl.col("metric") == metric).first()

    wide = known.group_by(keys, maintain_order=True).agg(
        V=value("V"),
        V_text=value("V_text"),
        copied=value("copied") > 0,
        cap=value("cap").cast(pl.Int64),
        occurrences=value("shown").round().cast(pl.Int64),
    )
    return wide.drop_nulls([column for column in wide.columns if column != "V_text"])


def _with_control(records: pl.DataFrame, sequences: pl.DataFrame) -> pl.DataFrame:
    """Records of sequences with V of the same sequence in the control at the same step."""
    keys = ["group", "set", "block", "step"]
    control = sequences.filter(branch=CONTROL).select(*keys, V_control="V", text_control="V_text")
    return records.join(control, on=keys, maintain_order="left")


def _named(records: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """Records (group, step, ...) with the model, its weights, t, and what the name of the set says, if there is one."""
    first: dict[str, Any] = {
        "model": pl.col("group").str.replace(r"-seed\d+$", ""),
        "t": pl.col("step") - pl.col("step").min().over("group"),
    }
    if "set" in records.columns:
        parts = pl.col("set").str.splitn("@", 3)
        first |= {
            "sequence": _SEQUENCE,
            "kind": parts.struct[0],
            "period": parts.struct[1].cast(pl.Int64, strict=False),
            "mode": parts.struct[2],
        }
    return with_parameters(records.with_columns(**first), models, "group")
