"""Makes a training file with canaries, and their key: what `mematlas canaries make` does.

OUT/train.jsonl     a copy of the file, of the same name, with canaries
    key.parquet     which they are, and where; see `key`
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from mematlas.auditing.canaries.config import FEWEST, MakeConfig
from mematlas.auditing.canaries.insertion import Canary, Filled, insert
from mematlas.auditing.canaries.key import KEY, SCHEMA, Key, read_key, write_key
from mematlas.auditing.canaries.template import Template, parse_template
from mematlas.auditing.canaries.training_file import TrainingFile, read_training_file
from mematlas.errors import OptionError, StudyError
from mematlas.progress import Progress
from mematlas.study import digest, write_text

_MUCH: Final = 0.05  # of the file


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """file: the file to train on; key_file: its key, to be kept; showings: records with a canary, of all `records`."""

    file: Path
    key_file: Path
    key: Key
    showings: int
    records: int


def make_canaries(config: MakeConfig, out: Path, progress: Progress) -> Made:
    """Draw canaries and write a copy of the training file with them; the same options make the same file.

    Raises:
        MematlasError: an option, the file or the folder cannot be used; nothing is written then.
    """
    assert config.template is not None and config.into is not None  # noqa: PT018  checked with the options
    template = parse_template(config.template)
    levels = [level for level in config.repetitions for _ in range(config.per_level)]
    if template.size < len(levels) + FEWEST:
        raise OptionError(
            f"The template has {template.size:,} different secrets, and {len(levels):,} canaries need {FEWEST} more to "
            "be ranked among; give it longer slots, or fewer canaries."
        )
    secrets = template.draw(len(levels), f"{config.seed}:canaries")
    canaries = [Canary(secret, level) for secret, level in zip(secrets, levels, strict=True)]
    file = read_training_file(config.into, config.column)
    _refuse_what_is_there(canaries, template, file)
    filled = insert(file, canaries, template, config.place, config.seed)
    target, key_file = out / config.into.name, out / KEY
    if target.resolve() == config.into.resolve():
        raise OptionError(
            f"--out {out} is the folder of {config.into}, which would be overwritten; name another --out."
        )
    _refuse_other_canaries(key_file, secrets, filled, target)
    write_text(target, filled.content)
    key = Key(_table(config, canaries, template, file, filled, target))
    write_key(key_file, key)
    showings = sum(levels)
    if showings > _MUCH * filled.records:
        progress.say(
            f"Canaries are {100 * showings / filled.records:.0f} % of the records; so many may change what else the "
            "model learns. Lower --per-level or --repetitions, or take a larger file."
        )
    return Made(target, key_file, key, showings, filled.records)


def _refuse_what_is_there(canaries: list[Canary], template: Template, file: TrainingFile) -> None:
    """Refuse a canary that the file has already, such as a file that has canaries."""
    texts = [template.text(canary.secret) for canary in canaries]
    owns = {file.encode(file.own_record(template, canary.secret)) for canary in canaries}
    beginning = template.before.strip()
    for raw in file.raw:
        if raw in owns or (beginning in raw and any(text in raw for text in texts)):
            raise OptionError(
                "The file has one of these canaries already; name the file without them, or another --seed."
            )


def _refuse_other_canaries(key_file: Path, secrets: list[str], filled: Filled, target: Path) -> None:
    """A key that is overwritten is lost, and with it what a model trained on its file could be asked."""
    if not key_file.exists():
        return
    try:
        same = read_key(key_file).secrets == secrets and target.read_text(encoding="utf-8") == filled.content
    except (OSError, UnicodeDecodeError, StudyError):
        same = False
    if not same:
        raise OptionError(f"{key_file} is the key of other canaries and is not overwritten; name another --out.")


def _table(
    config: MakeConfig, canaries: list[Canary], template: Template, file: TrainingFile, filled: Filled, target: Path
) -> pl.DataFrame:
    is_own = config.place == "own"
    texts = [template.text(canary.secret) for canary in canaries]
    records = [
        file.own_record(template, canary.secret) if is_own else {"text": text}
        for canary, text in zip(canaries, texts, strict=True)
    ]
    count = len(canaries)
    columns = {
        "canary": list(range(1, count + 1)),
        "text": texts,
        "secret": [canary.secret for canary in canaries],
        "repetitions": [canary.repetitions for canary in canaries],
        "format_size": [float(template.size)] * count,
        "records": filled.places,
        "record": [json.dumps(record) for record in records],
        "template": [config.template] * count,
        "column": [config.column if is_own else None] * count,
        "seed": [config.seed] * count,
        "file": [target.name] * count,
        "digest": [digest(target)] * count,
    }
    return pl.DataFrame(columns, schema=SCHEMA)
