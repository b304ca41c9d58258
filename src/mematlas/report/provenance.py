"""Where the numbers come from: settings, models, versions, and the commands that reproduce them."""

import shlex
from typing import Any, Final

from mematlas.corpus.left_out import recorded_left_out
from mematlas.errors.remedies import command_line
from mematlas.findings.finding import Table
from mematlas.models.masked_lm.masks import masking_line
from mematlas.report.tables import TextTable, format_value, text_table
from mematlas.scoring.row_checks import shared_rows_line
from mematlas.study import Run, Study

NamedValues = list[tuple[str, str]]
_MODEL_COLUMNS: Final = {
    "model": "label of the model",
    "parameters": "number of weights",
    "training_step": "optimizer steps it was trained for",
    "vocabulary": "number of tokens in its vocabulary",
    "fingerprint": "hash of its weights and configuration",
}


def settings(run: Run) -> NamedValues:
    """The settings of the run: which rows were scored, against which control, and how."""
    options = run.settings
    counts = options.get("row_counts") or {}
    rows = ", ".join(f"{count:,} {role}" for role, count in counts.items())
    corpus_format = f" ({options['corpus_format']})" if options.get("corpus_format") else ""
    named_values = [
        ("Corpus", f"{options.get('corpus')}{corpus_format}"),
        ("Rows", f"{rows} (selection: {options.get('rows', 'all')})"),
        *_left_out(options),
        ("Control", _control(options)),
        *_asked(options),
        ("Precision", str(options.get("dtype", "not recorded"))),
        ("Signals", format_value(options.get("signals") or None)),
    ]
    return [(name, value) for name, value in named_values if value]


def _asked(options: dict[str, Any]) -> NamedValues:
    """What the models were asked for."""
    if "masking" in options:
        return [("Objective", f"masked: {masking_line(options)}")]
    return [
        ("Context", f"{format_value(options.get('context'))} tokens, {options.get('align', 'start')}-aligned"),
        ("Continuation", f"{format_value(options.get('continuation'))} tokens, greedy decoding"),
        ("Depth", _depth(options)),
        ("End of text", str(options.get("eos", "not recorded"))),
    ]


def _left_out(options: dict[str, Any]) -> NamedValues:
    """What is not among the rows, beside their number."""
    names = {"train": "Left out", "control": "Left out of the control"}
    recorded = recorded_left_out(options).items()
    return [(names[role], "; ".join(map(str, parts))) for role, parts in recorded if parts]


def _control(options: dict[str, Any]) -> str:
    if not options.get("control"):
        return "none: shares have no baseline to be compared with"
    return "; ".join(text for text in (str(options["control"]), shared_rows_line(options)) if text)


def _depth(options: dict[str, Any]) -> str:
    if options.get("depth") == "verbatim":
        return "verbatim: M = 1 and the verbatim length are known, M is not"
    return "graded: M is known for every row" if options.get("complete", True) else "recited rows only"


def models_table(study: Study, run: Run) -> TextTable:
    """The table of models, in their order."""
    frame = study.models(run.key)
    meanings = {name: meaning for name, meaning in _MODEL_COLUMNS.items() if name in frame.columns}
    return text_table(Table("models", "Models, in the order they were given", frame.select(*meanings), meanings))


def provenance(study: Study, run: Run) -> dict[str, NamedValues]:
    """Configuration, versions, fingerprints and timings of the run, from the manifest."""
    recorded = _recorded(study, run)
    fingerprints = [
        (f"{part.get('role', '')} {name}", str(value))
        for part in run.settings.get("fingerprints") or []
        for name, value in part.items()
        if name != "role"
    ]
    timings = [(model, _timing(durations)) for model, durations in recorded.get("timings", {}).items()]
    return {
        "Configuration": [(name, format_value(value)) for name, value in recorded.get("configuration", {}).items()],
        "Versions": [(name, str(value)) for name, value in recorded.get("versions", {}).items()],
        "Fingerprints": [("run", run.key), ("rows", run.rows_key), *fingerprints],
        "Timings": [*((name, str(recorded[name])) for name in ("started", "finished") if name in recorded), *timings],
    }


def finish_date(study: Study, run: Run) -> str:
    """The date on which the run finished, as YYYY-MM-DD; "" if the manifest has none."""
    return _recorded(study, run).get("finished", "")[:10]


def _recorded(study: Study, run: Run) -> dict[str, Any]:
    """What the manifest records of the run; {} if nothing."""
    return study.manifest().get("runs", {}).get(run.key, {})


def _timing(durations: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {format_value(value)}" for name, value in durations.items())


def reproduction_commands(study: Study, run: Run) -> list[str]:
    """Shell commands that reproduce the study."""
    recorded = _recorded(study, run)
    version = recorded.get("versions", {}).get("mematlas")
    commands = [f"pip install {shlex.quote(f'mematlas[hf,report]=={version}')}"] if version else []
    if recorded.get("configuration") and recorded.get("models"):
        commands.append(_score_command(recorded))
    return [*commands, command_line("analyze", study.folder), command_line("report", study.folder)]


def _score_command(recorded: dict[str, Any]) -> str:
    """The `mematlas score` command of a configuration, with every option that has a value."""
    configuration = recorded["configuration"]
    controls = configuration.get("control_models", [])  # these are options below
    specs = [str(card.get("spec")) for card in recorded["models"].values() if card.get("spec") not in controls]
    words = ["mematlas score", *map(shlex.quote, specs)]
    for name, setting in configuration.items():
        option = shlex.quote("--" + name.replace("_", "-"))
        for value in setting if isinstance(setting, list) else [setting]:
            if value is True:
                words.append(option)
            elif value is not None and value is not False:
                separator = "=" if str(value).startswith("-") else " "
                words.append(f"{option}{separator}{shlex.quote(str(value))}")
    return " \\\n  ".join(words)
