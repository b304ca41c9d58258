"""What one model is asked: its shards, made when they are missing; the model is loaded by the first of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, Model, ModelSource
from mematlas.probes.items.local_model import LocalModel
from mematlas.probes.rows.stages import Stage
from mematlas.probes.tasks.asking import answers, span_scores
from mematlas.probes.tasks.config import TasksConfig
from mematlas.probes.tasks.examples import Example
from mematlas.probes.tasks.ngrams import Gram
from mematlas.probes.tasks.tables import ANSWERS, SCORES, by_column
from mematlas.study import fingerprint

#: The examples of a shard with their spans, (n, n-gram of the output).
Spans = list[tuple[Example, list[tuple[int, Gram]]]]
_VERSION: Final = 1


class ModelSide:
    """A model of a task. is_control: it was not trained on the corpus; scores, answers: kinds of its tables.

    Raises:
        ModelError: it has no tokenizer.
    """

    def __init__(self, source: ModelSource, config: TasksConfig, is_control: bool) -> None:
        self.source, self.is_control, self._config = source, is_control, config
        self.label = source.card.label
        encoder = source.encoder()
        if encoder is None or encoder.decode_windows is None:
            raise ModelError(
                f"{source.card.spec} has no tokenizer, which a task's texts need; save it beside the weights."
            )
        self._encoder = encoder
        key = {"model": source.card.fingerprint, "dtype": config.dtype, "version": _VERSION}
        name = f"{self.label.replace('/', '_')}-{fingerprint(key)}"
        self.scores, self.answers = f"scores/{name}", f"answers/{name}"
        self._loaded: Model | None = None

    def stages(self, shards: Sequence[Callable[[], Spans]]) -> list[Stage]:
        """What it is asked: probabilities of spans, then answers. The last shard lets go of the weights."""
        last = len(shards) - 1

        def score(number: int) -> Mapping[str, Any]:
            records = [
                record
                for example, spans in shards[number]()
                if spans
                for record in span_scores(self._model(), self.source.card, self._encoder, example, spans)
            ]
            return by_column(records, SCORES)

        def answer(number: int) -> Mapping[str, Any]:
            model = LocalModel(self._model(), self.source.card, self._encoder)
            records = answers(model, [example for example, _ in shards[number]()])
            if number == last:
                self._loaded = None
            return by_column(records, ANSWERS)

        return [
            Stage(self.scores, SCORES, len(shards), score, 1),
            Stage(self.answers, ANSWERS, len(shards), answer, 1),
        ]

    def _model(self) -> Model:
        if self._loaded is None:
            self._loaded = self.source.load(LoadOptions.of(self._config))
        return self._loaded
