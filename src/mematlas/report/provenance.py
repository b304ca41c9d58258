"""Where the numbers come from, and the commands that make them again."""

import shlex
from typing import Any, Final

from mematlas.findings.finding import Table
from mematlas.report.tables import Shown, cell, show
from mematlas.study import Run, Study

Lines = list[tuple[str, str]]
_MODELS: Final = {
    "model": "label of the model",
    "parameters": "number of weights",
    "training_step": "optimizer steps it was trained for",
    "vocabulary": "tokens it knows",
    "fingerprint": "hash of its weights and configuration",
}


def asked(run: Run) -> Lines:
    """The study's question: what was compared with what, and how."""
    question = run.question
    counts = question.get("row_counts") or {}
    rows = ", ".join(f"{count:,} {role}" for role, count in counts.items())
    found = [
        (
            "Corpus",
            " ".join(str(part) for part in (question.get("corpus"), _in_brackets(question.get("corpus_format")))),
        ),
        ("Rows", f"{rows} (selection: {question.get('rows', 'all')})"),
        ("Control", str(question.get("control") or "none: shares have no floor to be compared with")),
        ("Context", f"{cell(question.get('context'))} tokens, {question.get('align', 'start')}-aligned"),
        ("Continuation", f"{cell(question.get('continuation'))} tokens, greedy decoding"),
        ("Depth", _depth(question)),
        ("End of text", str(question.get("eos", "not recorded"))),
        ("Precision", str(question.get("dtype", "not recorded"))),
        ("Signals", cell(question.get("signals") or None)),
    ]
    return [(name, value) for name, value in found if value]


def _in_brackets(text: object) -> str:
    return f"({text})" if text else ""


def _depth(question: dict[str, Any]) -> str:
    if question.get("depth") == "verbatim":
        return "verbatim: M = 1 and the verbatim length are known, M is not"
    return "graded: M is known for every row" if question.get("complete", True) else "recited rows alone"


def models(study: Study, run: Run) -> Shown:
    """The table of models, in their order."""
    frame = study.models(run.key)
    meanings = {name: meaning for name, meaning in _MODELS.items() if name in frame.columns}
    return show(Table("models", "Models, in the order they were given", frame.select(*meanings), meanings))


def made(study: Study, run: Run) -> dict[str, Lines]:
    """Configuration, versions, fingerprints and timings of the run, as the manifest has them."""
    kept = study.manifest().get("runs", {}).get(run.key, {})
    prints = [
        (f"{part.get('role', '')} {name}", str(value))
        for part in run.question.get("fingerprints") or []
        for name, value in part.items()
        if name != "role"
    ]
    timings = [(model, _timing(found)) for model, found in kept.get("timings", {}).items()]
    return {
        "Configuration": [(name, cell(value)) for name, value in kept.get("configuration", {}).items()],
        "Versions": [(name, str(value)) for name, value in kept.get("versions", {}).items()],
        "Fingerprints": [("run", run.key), ("rows", run.rows_key), *prints],
        "Timings": [*((name, str(kept[name])) for name in ("started", "finished") if name in kept), *timings],
    }


def _timing(found: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {cell(value)}" for name, value in found.items())


def commands(study: Study, run: Run) -> list[str]:
    """Commands that make the study again, as a shell takes them."""
    folder = shlex.quote(str(study.folder))
    kept = study.manifest().get("runs", {}).get(run.key, {})
    version = kept.get("versions", {}).get("mematlas")
    found = [f"pip install {shlex.quote(f'mematlas[hf,report]=={version}')}"] if version else []
    if kept.get("configuration") and kept.get("models"):
        found.append(_score(kept))
    return [*found, f"mematlas analyze {folder}", f"mematlas report {folder}"]


def _score(kept: dict[str, Any]) -> str:
    """The `mematlas score` command of a configuration: every option that has a value."""
    words = ["mematlas score", *(shlex.quote(str(card.get("spec"))) for card in kept["models"].values())]
    for name, value in kept["configuration"].items():
        option = shlex.quote("--" + name.replace("_", "-"))
        for one in value if isinstance(value, list) else [value]:
            if one is True:
                words.append(option)
            elif one is not None and one is not False:
                words.append(f"{option} {shlex.quote(str(one))}")
    return " \\\n  ".join(words)
