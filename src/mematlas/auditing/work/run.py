"""An audit of one work: what `mematlas audit MODEL --work book.txt` does.

OUT/verdict.json, verdict.html       the answer, to hand over
    tables/windows.parquet           every window: where it is, p_z, tokens right
    tables/parts.parquet             coverage of every chapter or file
    windows/                         finished parts, with which a stopped audit goes on
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from mematlas.auditing.config import AuditConfig
from mematlas.auditing.page import render
from mematlas.auditing.redaction import redacted
from mematlas.auditing.sources import find_sources, read_documents
from mematlas.auditing.verdict import Verdict, decide
from mematlas.auditing.work.look import WorkResult, look
from mematlas.auditing.work.scores import WorkScores, score_work
from mematlas.auditing.work.strip import OPACITY, strip
from mematlas.auditing.work.text import Work, read_work, sections
from mematlas.auditing.work.windows import (
    PREFIX,
    SUFFIX,
    TAUS,
    Windows,
    covered_characters,
    cut_windows,
    default_stride,
)
from mematlas.auditing.writing import audited, write_verdict
from mematlas.errors import MematlasError
from mematlas.models.base import LoadOptions, ModelSource
from mematlas.progress import Progress
from mematlas.types import Encoder

_PARTS_SHOWN: Final = 60
NOT_TESTED: Final = (
    "Prompts other than the text before a passage: its title, instructions, attacks, other languages.",
    "Sampling with other settings than top-k 40 at temperature 1, and passages that begin inside a word.",
    "Text that the model gives in other words.",
)


def audit_work(model: str, config: AuditConfig, progress: Progress) -> Verdict:
    """Score the work, its control and both by the base, and write the verdict."""
    source, base, encoder = find_sources(model, config.base)
    result = score_all(source, base, encoder, config, progress)
    finding = look(result)
    verdict = decide([finding if config.show_secrets else redacted(finding, [])])
    if verdict.answer == "no leak found":
        verdict = replace(verdict, sentence=f"No recitation of the text was found. {finding.sentence}")
    parts = part_table(result)
    windows = pl.concat([scores.table() for scores in result.all])
    facts = _facts(source, base, config, result)
    tables = {"windows": windows, "parts": parts}
    write_verdict(verdict, facts, tables, config, _extra(result, parts, facts["stride"]))
    return verdict


def score_all(
    source: ModelSource, base: ModelSource | None, encoder: Encoder, config: AuditConfig, progress: Progress
) -> WorkResult:
    """The numbers of the work and its control, by the model and then by its base.

    Raises:
        MematlasError: a text is too short, or a window too long for a model.
    """
    assert config.work is not None
    prefix, suffix = config.context or PREFIX, config.continuation or SUFFIX
    for card in [part.card for part in (source, base) if part is not None]:
        if card.max_length is not None and card.max_length < prefix + suffix:
            raise MematlasError(
                f"{card.label} reads at most {card.max_length} tokens, and a window has {prefix + suffix}; lower "
                "--context or --continuation."
            )
    texts = {"the work": read_work(read_documents(Path(config.work), config.column, encoder), encoder)}
    if config.control is not None:
        texts["control"] = read_work(read_documents(Path(config.control), config.column, encoder), encoder)
    stride = config.stride or default_stride(texts["the work"], suffix)
    cut = {name: _cut(work, prefix, suffix, stride) for name, work in texts.items()}
    total = texts["the work"]
    progress.say(
        f"{total.characters:,} characters, {total.token_count:,} tokens; a window of {prefix} + {suffix} tokens every "
        f"{stride} characters{'' if config.stride else ' (--stride 10 as in the paper)' if stride > 10 else ''}: "
        f"{', '.join(f'{len(windows.start):,} of {name}' for name, windows in cut.items())}."
    )
    scored: dict[tuple[bool, str], WorkScores] = {}
    for is_base, each in [(False, source), *([] if base is None else [(True, base)])]:
        loaded = each.load(LoadOptions(device=config.device, dtype=config.dtype))
        for name, work in texts.items():
            of = f"{'base model ' * is_base}{each.card.label}{', control' * (name == 'control')}"
            scored[is_base, name] = score_work(loaded, each.card, of, work, cut[name], config.out / "windows", progress)
        loaded.release()
        del loaded
    return WorkResult(
        scored[False, "the work"],
        scored.get((True, "the work")),
        scored.get((False, "control")),
        scored.get((True, "control")),
    )


def _cut(work: Work, prefix: int, suffix: int, stride: int) -> Windows:
    windows = cut_windows(work, prefix, suffix, stride)
    if not len(windows.start):
        raise MematlasError(
            f"{work.documents[0][0]} has {work.token_count:,} tokens, and one window needs {prefix + suffix}; take a "
            "longer text, or lower --context and --continuation."
        )
    return windows


def part_table(result: WorkResult) -> pl.DataFrame:
    """One record for each chapter or file: name, start, characters, coverage at every tau, and the base's."""
    parts = sections(result.model.work)
    lengths = [part.stop - part.start for part in parts]
    columns: dict[str, Any] = {
        "name": [part.name for part in parts],
        "start": [part.start for part in parts],
        "characters": lengths,
    }
    for prefix, scores in (("", result.model), ("base_", result.base)):
        for tau in TAUS if scores is not None else ():
            assert scores is not None
            columns[f"{prefix}coverage_{100 * tau:g}"] = covered_characters(scores.heat, tau, parts) / lengths
    return pl.DataFrame(columns)


def _extra(result: WorkResult, parts: pl.DataFrame, stride: int) -> str:
    """The page's sections on the work: strips, coverage, parts."""
    several_files = len(result.model.work.documents) > 1
    return render(
        "mematlas.auditing.work",
        "work.html",
        strips=[(scores.of, strip(scores, sections(scores.work))) for scores in result.all],
        legend=list(zip(TAUS, OPACITY, strict=True)),
        taus=TAUS,
        rows=result.all,
        stride=stride,
        kind="file" if several_files else "chapter",
        parts=parts.head(_PARTS_SHOWN).to_dicts() if parts.height > 1 else [],
        left_out=max(0, parts.height - _PARTS_SHOWN),
        has_base=result.base is not None,
    )


def _facts(source: ModelSource, base: ModelSource | None, config: AuditConfig, result: WorkResult) -> dict[str, Any]:
    work, windows = result.model.work, result.model.windows
    stride = config.stride or default_stride(work, windows.suffix)
    control = "no control" if config.control is None else f"control: {config.control}"
    run = result.model.run
    return {
        **audited(source, base, config),
        "work": config.work,
        "characters": work.characters,
        "tokens": work.token_count,
        "windows": len(windows.start),
        "prefix": windows.prefix,
        "suffix": windows.suffix,
        "stride": stride,
        "coverage": {scores.of: {f"{100 * tau:g} %": scores.coverage(tau) for tau in TAUS} for scores in result.all},
        "longest_run": None if run is None else {
            "tokens": run.tokens,
            "characters": run.stop - run.start,
            "place": work.place(run.start),
            "text": work.text(run.start, run.stop),
        },
        "scope": f"{config.work}: {work.characters:,} characters, {len(windows.start):,} windows of {windows.prefix} +"
        f" {windows.suffix} tokens, one every {stride} characters; {control}.",
        "footnote": "Numbers in brackets are 95 % intervals over parts of the text. p_z is the chance that sampling "
        "from the 40 most probable tokens at temperature 1 gives the passage after the tokens before it (K11).",
        "not_tested": NOT_TESTED,
        "files": "tables/windows.parquet beside this page: every window; tables/parts.parquet: every chapter or file",
    }  # fmt: skip
