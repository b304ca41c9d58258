"""Score the real models on the real texts of ``benchmarks/real_inputs.py`` and print the tables of docs/real-models.md.

``python benchmarks/real_models.py REAL STUDIES`` runs ``mematlas score`` once for each model and text, inside REAL (the
folder that real_inputs.py wrote), with one study per model and text in STUDIES; finished studies are only read.
``--dry-run`` prints the commands; ``--tables-only`` prints the tables of existing studies.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import polars as pl

from mematlas.errors import StudyError
from mematlas.stats.estimates.intervals import wilson
from mematlas.study import open_study

MODELS = ("smollm2-135m", "gemma3-270m", "qwen2.5-coder-0.5b")
CONTROLS = ("sotu-2026", "shuffled-kjv")
TEXTS = ("licence-headers", *CONTROLS, "kjv-famous", "apache-2.0", "spdx", "kjv-random", "brown")
NEEDS_BOS = ("gemma3-270m",)  # without it, Gemma's predictions are meaningless
GRID = "licence-headers-grid"
CONTEXTS, CONTINUATIONS = (8, 16, 32, 64), (16, 32, 64)


def command(model: str, text: str, studies: Path, rows: int) -> list[str]:
    """The ``mematlas score`` command for one cell of the tables."""
    corpus = f"texts/{text.removesuffix('-grid')}.jsonl"
    words = ["mematlas", "score", f"models/{model}", "--corpus", corpus]
    if text == GRID:
        words += [word for length in CONTEXTS for word in ("--context", str(length))]
        words += [word for length in CONTINUATIONS for word in ("--continuation", str(length))]
        words += ["--align", "end", "--row-length", "128", "--cut", "window"]
    else:
        words += ["--context", "32", "--continuation", "32", "--row-length", "64"]
        words += ["--cut", "rows" if text == "apache-2.0" else "window"]
    words += ["--rows", f"first:{rows}"]
    words += ["--bos"] if model in NEEDS_BOS else []
    return [*words, "--study", str(studies / model / text)]


def cells(model: str, text: str, studies: Path) -> pl.DataFrame | None:
    """n, mean M, recited rows and mean verbatim length by cell; None if no shard is finished."""
    try:
        scores = open_study(studies / model / text).scores(partial=True)
    except StudyError:
        return None
    graded = scores.filter(pl.col("matches").is_not_null())
    return (
        graded.group_by("context", "continuation")
        .agg(
            pl.len().alias("n"),
            (pl.col("matches") / pl.col("continuation")).mean().alias("mean"),
            (pl.col("matches") == pl.col("continuation")).sum().alias("whole"),
            pl.col("verbatim").mean().alias("verbatim"),
        )
        .sort("context", "continuation")
    )


def three_digits(value: float, signed: bool = False) -> str:
    """Three digits without the leading zero: .743, +.052, -.004."""
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def text_table(model: str, texts: list[str], studies: Path) -> str:
    found = {text: cells(model, text, studies) for text in texts}
    rows = {text: table.row(0, named=True) for text, table in found.items() if table is not None}
    controls = [text for text in CONTROLS if text in rows]
    lines = [
        "| text | n | mean M | share M = 1 (Wilson 95 %) | verbatim | "
        + " | ".join(f"excess over {text}: M, share, verbatim" for text in controls)
        + " |",
        "|---|---|---|---|---|" + "---|" * len(controls),
    ]
    for text, row in rows.items():
        share = wilson(row["whole"], row["n"])
        line = [text, str(row["n"]), three_digits(row["mean"])]
        line += [
            f"{three_digits(share.estimate)} ({three_digits(share.lower)} to {three_digits(share.upper)})",
            f"{row['verbatim']:.1f}",
        ]
        for other in controls:
            base = rows[other]
            excess = [
                three_digits(row["mean"] - base["mean"], True),
                three_digits(share.estimate - base["whole"] / base["n"], True),
            ]
            line.append("" if text == other else ", ".join([*excess, f"{row['verbatim'] - base['verbatim']:+.1f}"]))
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines)


def grid_table(models: list[str], studies: Path) -> str:
    found = {model: table for model in models if (table := cells(model, GRID, studies)) is not None}
    counts = {model: table["n"].max() for model, table in found.items()}
    head = [f"{model} (n = {counts[model]}): " + " / ".join(map(str, CONTINUATIONS)) for model in found]
    lines = ["| context | " + " | ".join(head) + " |", "|---|" + "---|" * len(found)]
    for context in CONTEXTS:
        line = [str(context)]
        for table in found.values():
            row = table.filter(pl.col("context") == context).sort("continuation").rows(named=True)
            line.append(" / ".join(f"{three_digits(cell['mean'])} ({cell['whole'] / cell['n']:.2f})" for cell in row))
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines)


def time_table(models: list[str], studies: Path) -> str:
    lines = ["| model | parameters | precision | load, s | s/row |", "|---|---|---|---|---|"]
    for model in models:
        folder = studies / model / TEXTS[0]
        manifest = open_study(folder).manifest() if (folder / "manifest.json").is_file() else {"runs": {}}
        for run in manifest["runs"].values():
            time = run["timings"].get(model)
            if time is not None:
                size, dtype = run["models"][model]["parameters"] / 1e6, run["configuration"]["dtype"]
                rate = time["seconds"] / time["rows"]
                lines.append(f"| {model} | {size:.0f} M | {dtype} | {time['load_seconds']:.1f} | {rate:.2f} |")
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Score the real models on the real texts and print Markdown tables.")
    parser.add_argument("real", type=Path, metavar="REAL", help="folder that benchmarks/real_inputs.py wrote")
    parser.add_argument("studies", type=Path, metavar="STUDIES", help="folder for the studies")
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated (%(default)s)")
    parser.add_argument("--texts", default=",".join(TEXTS), help="comma-separated (%(default)s)")
    parser.add_argument("--rows", type=int, default=60, help="rows of licence-headers and the controls (%(default)s)")
    parser.add_argument("--other-rows", type=int, default=30, help="rows of the other texts (%(default)s)")
    parser.add_argument("--grid-rows", type=int, default=24, help="rows of the grid, 0 for no grid (%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands only")
    parser.add_argument("--tables-only", action="store_true", help="print the tables of finished studies only")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    models, texts = options.models.split(","), options.texts.split(",")
    studies = options.studies if options.dry_run else options.studies.resolve()
    mematlas = str(Path(sys.executable).with_name("mematlas"))
    for model in [] if options.tables_only else models:
        for text in [*texts, *([GRID] if options.grid_rows else [])]:
            rows = options.rows if text in (TEXTS[0], *CONTROLS) else options.other_rows
            rows = options.grid_rows if text == GRID else rows
            words = command(model, text, studies, rows)
            if options.dry_run:
                print(" ".join(words))
                continue
            passive = {**os.environ, "OMP_WAIT_POLICY": "passive"}
            result = subprocess.run([mematlas, *words[1:]], cwd=options.real, env=passive, stdout=sys.stderr)
            if result.returncode:
                print(f"{' '.join(words)} ended with {result.returncode}; its row stays empty.", file=sys.stderr)
    if not options.dry_run:
        for model in models:
            print(f"\n### {model}\n\n{text_table(model, texts, studies)}")
        print(f"\n### Context and continuation\n\n{grid_table(models, studies)}")
        print(f"\n### Time\n\n{time_table(models, studies)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
