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


class Family:
    """What is asked of the models of a study.

    models: one record per model in the order given, as in `Tables`; control_models: labels of those that never saw the
    corpus.
    """

    models: pl.DataFrame
    control_models: tuple[str, ...]

    @property
    def family(self) -> tuple[str, ...]:
        """All models except the control models, in the order given."""
        return tuple(model for model in self.models["model"] if model not in self.control_models)

    @property
    def by_size(self) -> tuple[str, ...]:
        """One model per size, ascending: the latest checkpoint of each; in the order given where sizes are unknown."""
        sized = self._family_models().filter(pl.col("parameters").is_not_null())
        if sized.height < len(self.family):
            return self.family
        latest = sized.sort("training_step", nulls_last=True, maintain_order=True).group_by("parameters").last()
        return tuple(latest.sort("parameters")["model"])

    @property
    def by_step(self) -> tuple[tuple[str, ...], ...]:
        """The checkpoints of each size that has several, in ascending order of training step."""
        sized = self._family_models().filter(pl.col("parameters").is_not_null() & pl.col("training_step").is_not_null())
        series = []
        for _, checkpoints in sized.sort("parameters", "training_step").group_by("parameters", maintain_order=True):
            if checkpoints["training_step"].n_unique() > 1:
                series.append(tuple(checkpoints["model"]))
        return tuple(series)

    def _family_models(self) -> pl.DataFrame:
        return self.models.filter(pl.col("model").is_in(self.family))

    @property
    def tokenizers(self) -> tuple[str, ...]:
        """The distinct fingerprints of the family's tokenizers, where known."""
        return tuple(self._family_models()["tokenizer"].drop_nulls().unique().sort())

    def parameters(self, model: str) -> int | None:
        return self.models.filter(model=model)["parameters"][0]

    def training_step(self, model: str) -> int | None:
        return self.models.filter(model=model)["training_step"][0]
