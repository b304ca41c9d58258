"""`MemorizationCallback` for transformers' Trainer and TRL's trainers; `measure` for any other training loop.

    trainer = SFTTrainer(...)
    trainer.add_callback(MemorizationCallback(trainer, control="eval", study="leak"))

It measures the same rows before the first step, whenever the trainer evaluates (or every N steps) and at the end, logs
`memorization/recited` and so on, and adds `eval_memorization_recited` and so on to the metrics of the evaluation.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mematlas.errors import OptionError
from mematlas.integrations.measuring import BATCH, check_numbers, measure, score_sets
from mematlas.integrations.token_rows import ChosenRows, choose_rows
from mematlas.integrations.training_study import TrainingStudy
from mematlas.models.loaded import LoadedModel, causal_network, model_name
from mematlas.progress import LOGGER
from mematlas.types import Grid

__all__ = ["MemorizationCallback", "measure"]


class _Measured(NamedTuple):
    step: int
    values: dict[str, float]


class MemorizationCallback(TrainerCallback):
    """Measures during a training how much the model recites of what it is trained on. It changes nothing: the final
    weights are the same, bit for bit, with it and without it.

    Args:
        trainer: the trainer that it is added to, whose `log` reaches wandb, TensorBoard and so on; without it, the
            measurements go to `state.log_history` and to the study only.
        rows: "train" or "eval", the trainer's dataset of this name, as it is tokenized; or what `measure` takes.
        control: the same of text that the model is not trained on; without it no number can be told from chance.
        context, continuation: tokens that prompt the model, and tokens that it should recite.
        max_rows: so many of the rows, and of the control, are measured; drawn with seed 0.
        every: "evaluate", whenever the trainer evaluates; or a number of steps.
        study: folder of a study that `mematlas analyze` and `mematlas report` read: its models are the measured steps.
        prefix: of the names of the measurements.
        batch: rows at a time.

    Raises:
        OptionError: an argument breaks a rule; from the start of training on, also what `measure` raises.
    """

    def __init__(
        self,
        trainer: Trainer | None = None,
        rows: Any = "train",
        control: Any = None,
        context: int = 32,
        continuation: int = 32,
        max_rows: int | None = 256,
        every: Literal["evaluate"] | int = "evaluate",
        study: str | Path | None = None,
        prefix: str = "memorization",
        batch: int = BATCH,
    ) -> None:
        check_numbers(context=context, continuation=continuation, batch=batch, max_rows=max_rows)
        if every != "evaluate" and (not isinstance(every, int) or isinstance(every, bool) or every < 1):
            raise OptionError(f"every={every!r} must be 'evaluate' or a positive number of steps.")
        self._trainer, self._given = trainer, {"rows": rows, "control": control}
        self._grid, self._max_rows, self._batch = Grid((context,), (continuation,)), max_rows, batch
        self._every, self._folder, self._prefix = every, study, prefix
        self._sets: dict[str, ChosenRows] = {}
        self._study: TrainingStudy | None = None
        self._latest: _Measured | None = None
        self._is_training = False

    # ---------------------------------------------------------------------------------------------------- hooks

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Find the rows and measure the model before the first step."""
        self._move_to_front()
        self._sets = self._choose(kwargs)
        self._latest, self._is_training = None, True
        if self._folder is not None and state.is_world_process_zero:
            tokenizer = kwargs.get("processing_class")
            self._study = TrainingStudy(self._folder, self._sets, self._grid, self._batch, tokenizer)
        if state.is_world_process_zero:
            self._say_what_to_expect(args)
        self._measure_and_log(state, control, kwargs["model"], is_first=state.global_step == 0)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Measure every N steps, if N was given."""
        if self._every != "evaluate" and state.global_step % self._every == 0:
            self._measure_and_log(state, control, kwargs["model"])

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Measure, and add the measurements to the metrics of the evaluation."""
        self._sets = self._sets or self._choose(kwargs)  # an evaluation without a training
        values = self._measure_and_log(state, control, kwargs["model"])
        metrics = kwargs.get("metrics")
        if metrics is not None:
            metrics.update({f"eval_{self._prefix}_{name}": value for name, value in values.items()})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the last step, unless the trainer has gone back to the weights of its best one."""
        if not args.load_best_model_at_end:
            self._measure_and_log(state, control, kwargs["model"])
        self._is_training = False

    # -------------------------------------------------------------------------------------------------- measuring

    def _measure_and_log(
        self, state: TrainerState, control: TrainerControl, model: Any, *, is_first: bool = False
    ) -> dict[str, float]:
        """Measure, once a step, and log; every process measures, and has the same metrics."""
        step = state.global_step
        if self._is_training and self._latest is not None and self._latest.step == step:
            return self._latest.values
        source = LoadedModel(model, f"{model_name(causal_network(model))}-step-{step:06d}", step)
        scored = score_sets(source, self._sets, self._grid, self._batch)
        if self._study is not None and self._is_training:
            self._study.record(source, scored, extend=not is_first)
        values = scored.means()
        self._latest = _Measured(step, values)
        self._log(state, control, {f"{self._prefix}/{name}": value for name, value in values.items()})
        return values

    def _log(self, state: TrainerState, control: TrainerControl, logs: dict[str, float]) -> None:
        if self._trainer is None:
            epoch = {} if state.epoch is None else {"epoch": state.epoch}
            state.log_history.append({**logs, **epoch, "step": state.global_step})
            return
        should_log = control.should_log  # the trainer would take this log for its own of this step
        # the method of the class: TRL's own would move the averages it has collected for its next log into this one
        Trainer.log(self._trainer, logs)
        control.should_log = self._trainer.control.should_log = should_log

    # ------------------------------------------------------------------------------------------------------- rows

    def _choose(self, kwargs: dict[str, Any]) -> dict[str, ChosenRows]:
        """The rows to measure, by role, and a message on those that are too short."""
        sets = {}
        for role, name in (("train", "rows"), ("control", "control")):
            given = self._given[name]
            if isinstance(given, str):
                given = self._dataset(given, name, kwargs)
            if given is not None:
                sets[role] = choose_rows(given, self._grid.width, self._max_rows, name)
                if sets[role].short:
                    LOGGER.warning("%s: %s", name, sets[role].short_rows_line(self._grid.width))
        return sets

    def _dataset(self, name: str, argument: str, kwargs: dict[str, Any]) -> Any:
        """The trainer's dataset called `name`."""
        if name not in ("train", "eval"):
            raise OptionError(f"{argument}={name!r} must be 'train', 'eval', or rows of token ids.")
        if self._trainer is not None:
            dataset, remedy = getattr(self._trainer, f"{name}_dataset", None), "the trainer has no such dataset;"
        else:
            dataset, remedy = getattr(kwargs.get(f"{name}_dataloader"), "dataset", None), "give the trainer, or"
        if dataset is None:
            raise OptionError(f"{argument}={name!r}: {remedy} give rows of token ids: {argument}=[[12, 7, ...], ...].")
        if isinstance(dataset, dict) and "input_ids" not in dataset:
            raise OptionError(
                f"{argument}={name!r}: the trainer has several datasets ({', '.join(dataset)}); give one of them as "
                f"{argument}=."
            )
        return dataset

    # --------------------------------------------------------------------------------------------------- messages

    def _move_to_front(self) -> None:
        """Come before callbacks that read the metrics of an evaluation, such as EarlyStoppingCallback."""
        callbacks = [] if self._trainer is None else self._trainer.callback_handler.callbacks
        if self in callbacks:
            callbacks.remove(self)
            callbacks.insert(0, self)

    def _say_what_to_expect(self, args: TrainingArguments) -> None:
        if self._trainer is None or args.report_to in ([], ["none"], "none"):
            reason = "no trainer was given" if self._trainer is None else "report_to is 'none', as by default"
            LOGGER.warning("%s/... stands in the trainer's log_history only: %s.", self._prefix, reason)
        if self._every == "evaluate" and str(getattr(args.eval_strategy, "value", args.eval_strategy)) == "no":
            LOGGER.warning(
                "The trainer never evaluates (eval_strategy='no'), so memorization is measured before and after "
                "training only; give every=N for every N steps."
            )
