"""The command that scores other rows of a run's corpus with the same models and settings."""

from pathlib import Path
from typing import Final

from mematlas.errors.remedies import command_line
from mematlas.scoring.config import ScoreConfig
from mematlas.scoring.reopen import recorded_run
from mematlas.study import Study

#: Options that say which rows are scored and on which machine, not what is measured; or that a user must repeat.
_LEFT_OUT: Final = frozenset(
    (
        *("corpus", "study", "rows", "control", "control_rows", "control_models", "order", "shards", "executor"),
        *("workers", "address", "gpus_per_worker", "device", "device_map", "batch", "graphs", "trust_remote_code"),
    )
)


def scoring_command(study: Study, key: str | None, rows: str, folder: str | Path) -> str:
    """`mematlas score ... --rows ROWS --study FOLDER`, with the models, corpus and settings of a finished run.

    Raises:
        StudyError: the run is not finished, or was imported, so that its corpus is unknown.
    """
    recorded = recorded_run(study, study.run(key))
    words: list[object] = [card["spec"] for card in recorded.models.values()]
    words += ["--corpus", recorded.config.corpus, "--rows", rows]
    for name, field in ScoreConfig.model_fields.items():
        value = getattr(recorded.config, name)
        if name in _LEFT_OUT or value == field.default:
            continue
        option = f"--{name.replace('_', '-')}"
        words += (
            [option] if value is True else [option, ",".join(map(str, value)) if isinstance(value, list) else value]
        )
    return command_line("score", *words, "--study", folder)
