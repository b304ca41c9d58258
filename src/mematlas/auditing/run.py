"""An audit from its options to the verdict: what `mematlas audit` and `mematlas.audit()` do.

OUT/verdict.json, verdict.html     the answer, to hand over
    study.yaml, study/             an ordinary study of the model, its base and the control
    tables/<look>.parquet          the records behind every look; checksums are in verdict.json (`mematlas verify OUT`)
"""

from pathlib import Path
from typing import Any, Final, Unpack

import numpy as np

from mematlas.auditing import LOOKS
from mematlas.auditing.base import Document, Look, Material, could_not_be_judged
from mematlas.auditing.canaries.key import read_key
from mematlas.auditing.config import AuditConfig, resolve_audit
from mematlas.auditing.keywords import AuditKeywords
from mematlas.auditing.redaction import redacted
from mematlas.auditing.sources import find_sources, read_documents
from mematlas.auditing.verdict import Verdict, decide
from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.errors import MematlasError
from mematlas.errors.functions import public_function
from mematlas.models.base import ModelSource
from mematlas.models.peft_adapters.names import with_base
from mematlas.pipeline.run import run_file
from mematlas.pipeline.study_file import parse_study_file
from mematlas.pipeline.study_file_template import study_file_text
from mematlas.progress import Progress, Silent
from mematlas.study import Study, write_text
from mematlas.types import Encoder

_USUAL: Final = 32  # tokens of context and of continuation, as in P1
_SHORTEST: Final = 8
_MEASURED_TEXTS: Final = 2_000  # texts whose lengths choose these


@public_function(AuditConfig)
def audit(model: str | Path, progress: Progress | None = None, **options: Unpack[AuditKeywords]) -> Verdict:
    """Whether a fine-tuned model leaks its training texts; the Python counterpart of `mematlas audit`.

    Args:
        model: a model folder, an adapter's folder, or a hub id.
        options: the fields of `mematlas.auditing.config.AuditConfig`; `train`, `work` or `benchmark` is needed.

    Raises:
        MematlasError: one line with value, rule and remedy; what is finished is kept.
    """
    return run_audit(str(model), resolve_audit(**options), progress or Silent())


def run_audit(model: str, config: AuditConfig, progress: Progress) -> Verdict:
    """Score, take every look, and write the verdict.

    Raises:
        MematlasError: as for `audit`.
    """
    from mematlas.auditing.benchmark.run import audit_benchmark
    from mematlas.auditing.work.run import audit_work
    from mematlas.auditing.writing import write_verdict

    if config.subject == "work":
        return audit_work(model, config, progress)
    if config.subject == "benchmark":
        return audit_benchmark(model, config, progress)
    secrets = config.listed_secrets()
    if config.canaries is not None:
        read_key(Path(config.canaries))  # a wrong path is said before anything is scored
    material = _prepare(model, config, progress)
    looks = [_take(name, material) for name in LOOKS if name != "canaries" or config.canaries is not None]
    if not config.show_secrets:
        looks = [redacted(look, secrets) for look in looks]
    verdict = decide(looks)
    write_verdict(verdict, _facts(material), verdict.tables, config)
    return verdict


def _prepare(model: str, config: AuditConfig, progress: Progress) -> Material:
    source, base, encoder = find_sources(model, config.base)
    documents = read_documents(Path(_train(config)), config.column, encoder)
    control = [] if config.control is None else read_documents(Path(config.control), config.column, encoder)
    context, continuation = _lengths(config, encoder, documents)
    progress.say(
        f"{len(documents):,} training texts{f', {len(control):,} of the control' if control else ''}; rows of "
        f"{context} + {continuation} tokens."
    )
    study = _score(source, base, config, (context, continuation), progress)
    return Material(config, study, source, base, encoder, documents, control, progress)


def _train(config: AuditConfig) -> str:
    assert config.train is not None  # checked by `subject`
    return config.train


def _lengths(config: AuditConfig, encoder: Encoder, documents: list[Document]) -> tuple[int, int]:
    """Tokens of context and continuation: 32 each, or halves of the middle text's length if that is shorter.

    Raises:
        MematlasError: texts are too short for both.
    """
    texts = [text for _, text in documents[:_MEASURED_TEXTS]]
    middle = int(np.median([len(ids) for ids in encoder.encode(texts)]))
    half = min(_USUAL, middle // 2)
    lengths = config.context or half, config.continuation or half
    if half < _SHORTEST and not (config.context and config.continuation):
        raise MematlasError(
            f"Half of the texts have {middle} tokens or fewer, and a row needs {2 * _SHORTEST}; give --context and "
            "--continuation, or join the texts."
        )
    return lengths


def _score(
    source: ModelSource, base: ModelSource | None, config: AuditConfig, lengths: tuple[int, int], progress: Progress
) -> Study:
    """The ordinary study of the model, its base and the control."""
    path = config.out / "study.yaml"
    settings = {
        "models": [_absolute(source.card.spec)],
        "control_models": [] if base is None else [_absolute(base.card.spec)],
        "corpus": _absolute(_train(config)),
        "control": None if config.control is None else _absolute(config.control),
        "study": "study",
        "rows": _selection(_train(config), config, source, lengths),
        "control_rows": "all" if config.control is None else _selection(config.control, config, source, lengths),
        "context": [lengths[0]],
        "continuation": [lengths[1]],
        "column": config.column,
        "signals": ["truth"],
        "analyses": ["distribution", "probability", "inference", "repetition"],
        "predictors": "none",
        "device": config.device,
        "dtype": config.dtype,
    }
    text = study_file_text({name: value for name, value in settings.items() if value is not None}, path.name)
    write_text(path, text)
    outcome = run_file(parse_study_file(text, path), progress)
    return outcome.study


def _selection(path: str, config: AuditConfig, source: ModelSource, lengths: tuple[int, int]) -> str:
    """All rows of a corpus, or a sample where there are more than are scored."""
    context, row_length = lengths[0], sum(lengths)
    options = CorpusOptions(column=config.column, encoder=source.encoder(), text_row_length=row_length, context=context)
    rows = len(open_corpus(path, options=options))
    return "all" if rows <= config.rows else f"sample:{config.rows}:{config.seed}"


def _take(name: str, material: Material) -> Look:
    """One look; a user's error in it leaves the others."""
    material.progress.say(f"Looking: {LOOKS.summary(name)}.")
    try:
        return LOOKS.load(name)(material)
    except MematlasError as error:
        return could_not_be_judged(name, name.capitalize(), str(error))


def _absolute(spec: str) -> str:
    """The name of a model or a corpus with its paths made absolute, also those of an adapter@base."""
    path = Path(spec).expanduser()
    for adapter, base in with_base(spec):
        if not path.exists() and Path(adapter).expanduser().is_dir():
            return f"{_absolute(adapter)}@{_absolute(base)}"
    return str(path.resolve()) if path.exists() else spec


def _facts(material: Material) -> dict[str, Any]:
    from mematlas.auditing.writing import audited

    return {
        **audited(material.model, material.base, material.config),
        "train": material.config.train,
        "training_texts": len(material.documents),
        "control_texts": len(material.control_documents),
    }
