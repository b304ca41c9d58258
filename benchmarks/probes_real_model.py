"""The probes of rows on the demo's family and on a real model with licence texts, timed.

    python benchmarks/probes_real_model.py OUT [--demo DEMO] [--model MODEL --licences FILE]

DEMO is a folder of `mematlas demo`: its largest model is probed on the demo's corpus, of which many rows are recited,
beside held-out rows. MODEL, such as models/smollm2-135m of `benchmarks/real_inputs.py`, is probed on licence headers of
source files (texts/licence-headers.jsonl of that script), some of which models know by heart, beside the pages of this
project's documentation, which are younger than the model.

Wanted: lens, noise, heads, and the compression of 10 recited and 10 random strings, in 15 minutes on 2 cores in all.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

DOCUMENTATION = Path(__file__).parents[1] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--demo", type=Path, help="folder made by `mematlas demo`")
    parser.add_argument("--model", type=Path, help="folder of a real model")
    parser.add_argument("--licences", type=Path, help="texts for MODEL that it may know")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if options.demo is not None:
        of_demo(options.demo, options.out / "demo")
    if options.model is not None:
        of_real_model(options.model, options.licences, options.out)
    print(f"in all {time.monotonic() - started:.0f} s", flush=True)


def of_demo(demo: Path, out: Path) -> None:
    """All probes on the largest of the demo's models."""
    model = max((demo / "models").glob("neox-*m"), key=lambda path: float(path.name[5:-1]))
    corpus = words(corpus=demo / "corpus" / "train.parquet", out=out)
    shared = [*corpus, *words(control=demo / "corpus" / "control.parquet")]
    for probe in ("layers", "prompts", "prior"):
        timed(probe, model, shared)
    timed("compress", model, [*corpus, *words(continuation=16, each=10, budget=12)])


def of_real_model(model: Path, licences: Path, out: Path) -> None:
    """Lens and noise on many rows, heads on few, and the shortest true prompts."""
    young = out / "young.jsonl"
    texts = {path.name: path.read_text("utf-8") for path in sorted(DOCUMENTATION.glob("*.md"))}
    lines = (json.dumps({"text": text, "source": name}) + "\n" for name, text in texts.items())
    young.write_text("".join(lines), encoding="utf-8")
    shared = words(corpus=licences, control=young, out=out / "real", row_length=48, continuation=16)
    many = [*shared, *words(rows="sample:100", control_rows="sample:40")]
    timed("layers", model, [*many, *words(looks="noise,lens", strengths="0.1,0.3,0.5")])
    few = [*shared, *words(rows=f"ids:{some_rows(out)}", control_rows="sample:2")]
    timed("layers", model, [*few, *words(looks="heads")])
    timed("prompts", model, [*few, *words(looks="shortest")])


def some_rows(out: Path) -> Path:
    """A file with ids of up to eight of the rows that were probed, the recited ones first."""
    (folder,) = (out / "real").glob("*-layers-*/rows")
    rows = pl.read_parquet(folder / "*.parquet").filter(~pl.col("control")).sort("class", descending=True)
    path = out / "some-rows.txt"
    path.write_text("".join(f"{row}\n" for row in sorted(rows["row"].head(8))), encoding="utf-8")
    return path


def words(**options: object) -> list[str]:
    """Options as the command line has them."""
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def timed(probe: str, model: Path, options: list[str]) -> None:
    """Run a probe, which prints what it found; print its time."""
    started = time.monotonic()
    command = [sys.executable, "-m", "mematlas", "probe", probe, str(model), *options, "--pictures", "svg", "--quiet"]
    subprocess.run(command, check=True)
    print(f"{probe}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
