"""Hand-written findings of every chart shape, a study folder that contains them, and a gallery."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl

from mematlas.findings.finding import Axis, Chart, Finding, Table, Taxonomy, Trend, findings_folder, write_finding
from mematlas.study import Study, open_study, write_json

RUN = "0123456789abcdef0123"
LEVELS = ("very low", "low", "medium", "high", "very high")
MODELS = ("neox-0.14m-step-000765", "neox-0.29m-step-000765", "neox-0.67m-step-000765", "neox-1.84m-step-000765")
HOSTILE = "<script>alert('x')</script>&\"</textarea><img src=x onerror=alert(1)>"


def finding(name: str, frame: pl.DataFrame, chart: Chart | None, **changed) -> Finding:
    """A finding with one table "numbers" and one chart of it."""
    table = Table(
        "numbers",
        "The numbers behind it",
        frame,
        {column: f"meaning of {column}" for column in frame.columns},
        "answer = 1",
    )
    return Finding(
        **{
            "name": name,
            "title": name.capitalize(),
            "claim": f"What {name} shows is 12.5 % (10.1 to 15.2 %).",
            "source": "P1, Figure 2 (a)",
            "taxonomy": Taxonomy(k=(16, 32)),
            "strength": 3.0,
            "control": "Rows no model was trained on: 0.0 % at most.",
            "tables": (table,),
            "charts": (chart,) if chart else (),
            "caveats": ("One seed.",),
            "deviations": ("The paper has sizes from 70M.",),
        }
        | changed
    )


def series_frame(facets: tuple[int, ...] = (16, 32)) -> pl.DataFrame:
    """Memorized share by size: four sizes, four continuations, one facet per context, rows of both roles."""
    records = []
    for context in facets:
        for role in ("control", "train"):
            for length in (16, 32, 48, 64):
                for i, size in enumerate((137_664, 287_616, 674_368, 1_841_920)):
                    share = 0.002 if role == "control" else 0.04 + 0.11 * i * 16 / length + context / 800
                    records.append(
                        {
                            "model": MODELS[i],
                            "parameters": size,
                            "role": role,
                            "context": context,
                            "continuation": length,
                            "share": share,
                            "lower": max(0, share - 0.03),
                            "upper": share + 0.04,
                            "rows": 384,
                        }
                    )
    return pl.DataFrame(records)


SIZE = Axis("parameters", "parameters", "log")
SHARE = Axis("share", "rows with M = 1", share=True)
LENGTH = Axis("continuation", "continuation, tokens", "ordinal")


def lines() -> Finding:
    chart = Chart(
        "grid",
        "Memorized share by model size",
        "lines",
        "numbers",
        SIZE,
        SHARE,
        LENGTH,
        "lower",
        "upper",
        "context",
        "role",
    )
    return finding("size", series_frame(), chart, strength=9.0)


def in_cells() -> Finding:
    """Bars of one model in one cell, with other models and cells in the same table."""
    records = [
        {
            "model": model,
            "context": context,
            "continuation": continuation,
            "part": part,
            "share": share + 0.02 * number + context / 200 + continuation / 400,
        }
        for number, model in enumerate(MODELS)
        for context, continuation in ((16, 16), (16, 32), (32, 16))
        for part, share in (("recited", 0.2), ("missed", 0.4))
    ]
    where = {"model": MODELS[0], "context": 16, "continuation": 16}
    title = f"Rows of {MODELS[0]} at 16 + 16 tokens"
    part = Axis("part", "part of the rows", "nominal")
    chart = Chart("grid", title, "bars", "numbers", part, Axis("share", "rows", share=True), where=where)
    return finding("cells", pl.DataFrame(records), chart)


def steps() -> Finding:
    depth = list(range(0, 65, 2))
    frame = pl.DataFrame(
        [
            {
                "model": model,
                "tokens": tokens,
                "share": (0.9 - 0.15 * number) * 0.97**tokens,
                "lower": 0.85 * (0.9 - 0.15 * number) * 0.97**tokens,
                "upper": min(1, 1.15 * (0.9 - 0.15 * number) * 0.97**tokens),
                "rows": 384,
            }
            for number, model in enumerate(MODELS)
            for tokens in depth
        ]
    )
    chart = Chart(
        "survival",
        "Rows recited for at least so many tokens",
        "steps",
        "numbers",
        Axis("tokens", "tokens recited"),
        Axis("share", "rows", share=True),
        Axis("model", "model", "nominal"),
        "lower",
        "upper",
    )
    return finding("distribution", frame, chart, strength=7.0)


def points() -> Finding:
    frame = pl.DataFrame(
        {
            "law": ["model size", "repetitions of the row", "context length in tokens"] * 2,
            "role": ["train"] * 3 + ["control"] * 3,
            "slope": [0.19, 0.31, 0.07, 0.0, 0.01, None],
            "lower": [0.15, 0.27, 0.02, -0.01, -0.01, None],
            "upper": [0.23, 0.35, 0.12, 0.01, 0.03, None],
            "rows": [384] * 6,
        }
    )
    chart = Chart(
        "slopes",
        "Slope of the memorized share per tenfold",
        "points",
        "numbers",
        Axis("law", "factor", "nominal"),
        Axis("slope", "points per tenfold", share=True),
        None,
        "lower",
        "upper",
        None,
        "role",
        reference=(0.0, "no effect"),
    )
    return finding("scaling", frame, chart, strength=None)


def bars() -> Finding:
    frame = pl.DataFrame(
        {
            "model": [model for model in MODELS for _ in range(2)],
            "measure": ["precision", "recall"] * 4,
            "share": [0.95, 0.2, 0.93, 0.4, 0.92, 0.66, None, None],
            "lower": [0.9, 0.15, 0.9, 0.33, 0.88, 0.6, None, None],
            "upper": [0.97, 0.26, 0.95, 0.47, 0.95, 0.72, None, None],
            "rows": [100] * 8,
        }
    )
    chart = Chart(
        "bars",
        "Smaller models as predictors",
        "bars",
        "numbers",
        Axis("model", "predictor", "nominal"),
        Axis("share", "precision or recall", share=True),
        Axis("measure", "measure", "nominal"),
        "lower",
        "upper",
    )
    return finding("forecast", frame, chart, strength=8.0)


def stacked() -> Finding:
    shares = [
        (0.7, 0.15, 0.05, 0.05, 0.05),
        (0.6, 0.15, 0.1, 0.05, 0.1),
        (0.45, 0.15, 0.1, 0.1, 0.2),
        (0.3, 0.1, 0.1, 0.1, 0.4),
    ]
    frame = pl.DataFrame(
        [
            {"model": model, "level": level, "share": share, "rows": round(384 * share)}
            for model, level_shares in zip(MODELS, shares, strict=True)
            for level, share in zip(LEVELS, level_shares, strict=True)
        ]
    )
    chart = Chart(
        "levels",
        "Rows by score level",
        "stacked",
        "numbers",
        Axis("model", "model", "nominal"),
        Axis("share", "rows", share=True),
        Axis("level", "score level", "ordinal"),
    )
    return finding("levels", frame, chart, strength=2.0)


def matrix() -> Finding:
    records = []
    for pair in ("0.14m → 0.29m", "0.29m → 0.67m"):
        for i, smaller in enumerate(LEVELS):
            for j, larger in enumerate(LEVELS):
                share = None if i == 3 else (0.6 if i == j else 0.1)
                records.append(
                    {
                        "pair": pair,
                        "smaller": smaller,
                        "larger": larger,
                        "share": share,
                        "rows": 77,
                        "lower": None,
                        "upper": None,
                    }
                )
    chart = Chart(
        "matrix",
        "Where rows of a level go",
        "matrix",
        "numbers",
        Axis("larger", "level in the larger model", "ordinal"),
        Axis("smaller", "level in the smaller model", "ordinal"),
        Axis("share", "share of rows", share=True),
        facet="pair",
    )
    return finding("transitions", pl.DataFrame(records, infer_schema_length=None), chart, strength=6.0)


def flow() -> Finding:
    records = []
    transitions = {0: (70, 20, 10), 1: (8, 30, 22), 2: (2, 6, 90)}
    for step, model in enumerate(MODELS):
        for source, targets in transitions.items():
            for target, rows in enumerate(targets):
                last = step == len(MODELS) - 1
                records.append(
                    {
                        "model": model,
                        "level": LEVELS[2 * source],
                        "next": None if last else LEVELS[2 * target],
                        "rows": rows,
                    }
                )
    chart = Chart(
        "flow",
        "Rows through the family",
        "flow",
        "numbers",
        Axis("model", "model, by size", "ordinal"),
        Axis("rows", "rows"),
        Axis("level", "score level", "ordinal"),
        target="next",
    )
    return finding("passage", pl.DataFrame(records), chart, strength=1.0)


def lacking() -> Finding:
    return finding(
        "overlap",
        pl.DataFrame({"a": [1]}),
        None,
        claim="Which rows are shared cannot be said: the study lacks two models.",
        missing="Score more models together: `mematlas score MODEL MODEL`.",
        strength=99.0,
        tables=(),
        control=None,
        caveats=(),
        deviations=(),
        trends=(Trend("recited-rows-grow-with-size", "cannot tell", "the study lacks two models"),),
    )


def hostile() -> Finding:
    """Names and numbers from models and corpora that try to break out of the page."""
    frame = pl.DataFrame({"model": [HOSTILE, "plain"], "share": [0.25, None], "rows": [40, 0]})
    chart = Chart(
        "hostile",
        f"Share {HOSTILE}",
        "bars",
        "numbers",
        Axis("model", "model", "nominal"),
        Axis("share", "rows", share=True),
    )
    return finding("hostile", frame, chart, claim=f"{HOSTILE} recites 25 %.", caveats=(HOSTILE,), strength=0.5)


ALL = (lines, steps, points, bars, stacked, matrix, flow, lacking, hostile)


def all_findings() -> list[Finding]:
    """Every shape once, a finding that lacks data and a hostile one; `size` gives a verdict on a published trend."""
    first, *others = (factory() for factory in ALL)
    trend = Trend("recited-rows-grow-with-size", "shows", "4.0 % in the smallest, 37.0 % in the largest")
    return [finding_with(first, trends=(trend,)), *others]


def finding_with(original: Finding, **changed) -> Finding:
    return replace(original, **changed)


def study(folder: Path, findings: list[Finding] | None = None, *, gallery: bool = True) -> Study:
    """A study folder with one run, its models and manifest, findings and a gallery, but without scores."""
    question = {
        "corpus": HOSTILE,
        "corpus_format": "npy",
        "rows": "all",
        "row_counts": {"train": 384, "control": 400},
        "control": "control.npy",
        "context": [16, 32],
        "continuation": [16, 32, 48, 64],
        "align": "start",
        "depth": "graded",
        "eos": "ignore",
        "bos": False,
        "dtype": "float32",
        "signals": ["truth"],
        "fingerprints": [{"role": "train", "corpus": "d3c92b4e", "rows": "17378f62"}],
    }
    names = {model: model for model in MODELS}
    write_json(
        folder / "runs" / f"{RUN}.json",
        {"key": RUN, "rows_key": "r", "shards": 1, "models": names, "question": question, "asked": 1.0},
    )
    sizes = (137_664, 287_616, 674_368, None)
    (folder / "models").mkdir()
    for model, size in zip(MODELS, sizes, strict=True):
        record = {"model": model, "spec": f"models/{model}", "parameters": size, "training_step": 765, "tokenizer": "t"}
        record |= {"vocabulary": 4096, "fingerprint": "fc34ca99"}
        pl.DataFrame([record]).write_parquet(folder / "models" / f"{model}.parquet")
    run = {
        "configuration": {
            "corpus": HOSTILE,
            "study": "study",
            "context": [16, 32],
            "rows": "all",
            "settle": False,
            "cache": None,
        },
        "question": question,
        "models": {model: {"spec": f"models/{model}", "fingerprint": "fc34ca99"} for model in MODELS},
        "versions": {"mematlas": "0.1", "python": "3.11"},
        "started": "2026-11-21T06:35:22Z",
        "finished": "2026-11-21T06:36:26Z",
        "timings": {MODELS[0]: {"load_seconds": 0.04, "seconds": 3.512, "rows": 784}},
    }
    write_json(folder / "manifest.json", {"current": RUN, "runs": {RUN: run}})
    for finding in all_findings() if findings is None else findings:
        write_finding(findings_folder(folder, RUN) / finding.name, finding)
    if gallery:
        (folder / "gallery").mkdir()
        gallery_frame().write_parquet(folder / "gallery" / "gallery.parquet")
    return open_study(folder)


def gallery_frame() -> pl.DataFrame:
    """Two rows: one with hostile tokens and a miss, one with invisible characters and unknown repetitions."""
    true = [HOSTILE, " is", "\n", " known"]
    return pl.DataFrame(
        {
            "row": [7, 300],
            "why": ["recited by all models", "forgotten by the largest"],
            "source": ["os.py", None],
            "repetitions": [32, None],
            "model": [MODELS[0], MODELS[3]],
            "context": [2, 2],
            "continuation": [4, 4],
            "matches": [3, 4],
            "verbatim": [2, 4],
            "context_tokens": [["def", " f"], ["\u202eevil", "\x00"]],
            "true_tokens": [true, ["a", "b", "c", "d"]],
            "generated_tokens": [[HOSTILE, " is", "\t", " known"], ["a", "b", "c", "d"]],
            "hit": [[True, True, False, True], [True] * 4],
            "log_probability": [[-0.01, -0.7, -6.0, None], [-0.1, -0.2, -0.3, -0.4]],
        },
        schema_overrides={
            "repetitions": pl.Int64,
            "context": pl.Int32,
            "continuation": pl.Int32,
            "matches": pl.Int32,
            "verbatim": pl.Int32,
            "log_probability": pl.List(pl.Float32),
        },
    )


def index(folder: Path, names: list[str]) -> None:
    (findings_folder(folder, RUN) / "index.json").write_text(json.dumps(names))
