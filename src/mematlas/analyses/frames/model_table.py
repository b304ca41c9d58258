"""The table of a run's models, as analyses read it."""

import polars as pl

from mematlas.errors import StudyError
from mematlas.study import Study


def read_models(study: Study, run: str | None) -> pl.DataFrame:
    """The table of models, with what the manifest alone records of them; studies of older versions lack it."""
    models = study.models(run)
    try:
        cards = study.manifest()["runs"][study.run(run).key]["models"]
    except (StudyError, KeyError):  # not finished, imported, or damaged: then the tables alone are known
        return models
    records = [cards.get(label, {}) for label in models["model"]]
    rules = [record.get("tokenizer_rules") for record in records]
    if all(rule or not name for rule, name in zip(rules, models["tokenizer"], strict=True)):
        # tokenizers with equal rules give equal ids, though their files differ
        models = models.with_columns(pl.Series("tokenizer", rules, pl.String))
    lengths = [record.get("trained_length") for record in records]
    return models if not any(lengths) else models.with_columns(pl.Series("trained_length", lengths, pl.Int64))
