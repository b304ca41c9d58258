"""The effect of being shown rows in a real training, by difference in differences, beside rows dealt out at random.

``python benchmarks/showings.py FOLDER`` trains one small model on a background of Python's standard library, in which
four cohorts of rows are shown 8 times each, one cohort after another; a checkpoint is kept after each. `did` is
computed with the order of the training, and, as negative control, with the rows of that order exchanged at random.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl

import mematlas
from mematlas.experiments.data.documents import text_documents
from mematlas.experiments.data.subset_rows import RowKinds, SubsetRows, prepare_subset_rows
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.plan import Plan
from mematlas.experiments.design.schedule import Schedule
from mematlas.experiments.training.arm import Arm
from mematlas.experiments.training.network import checkpoint_name, neox_config
from mematlas.experiments.training.trainer import train_arm
from mematlas.findings.finding import read_findings

ROWS, LENGTH, VOCABULARY, BATCH = 480, 48, 2048, 8
COHORTS, COHORT_ROWS, SHOWINGS, NEVER = 4, 48, 8, 64
SIZE = Size(64, 2, 2, 8e-3)


def make_order(random: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """The rows in the order in which they are shown, and the steps of the checkpoints."""
    rows = random.permutation(ROWS)
    cohorts = rows[: COHORTS * COHORT_ROWS].reshape(COHORTS, -1)
    background = rows[COHORTS * COHORT_ROWS + NEVER :]
    parts = [random.choice(background, COHORT_ROWS * SHOWINGS)]
    for cohort in cohorts:
        shown = np.concatenate([np.tile(cohort, SHOWINGS), random.choice(background, 2 * COHORT_ROWS)])
        parts.append(random.permutation(shown))
    return np.concatenate(parts), (np.cumsum([len(part) for part in parts]) // BATCH).tolist()


def train(rows: SubsetRows, order: np.ndarray, steps: list[int], folder: Path) -> list[str]:
    """The folders of the checkpoints."""
    arm = Arm(
        "run",
        neox_config(SIZE, len(rows.tokenizer), LENGTH),
        Plan.from_order(rows.tokens, order, BATCH),
        Schedule(SIZE.peak_rate, warm_up=20, final_rate=1.0),
        seed=1,
        checkpoints=tuple(steps),
        tokenizer=rows.tokenizer,
    )
    train_arm(arm, folder, lambda *_: None)
    return [str(folder / checkpoint_name(step)) for step in steps]


def report(study: mematlas.Study, order: np.ndarray, folder: Path) -> None:
    """Print what `did` finds with this order."""
    path = folder / "order.csv"
    pl.DataFrame({"row": order, "step": np.arange(len(order)) // BATCH + 1}).write_csv(path)
    mematlas.import_exposures(path, study=study.folder)
    mematlas.analyze(study.folder, only=["did"])
    (finding,) = (found for found in read_findings(study.folder, study.run().key) if found.name == "did")
    print(finding.claim, finding.control, *finding.caveats, sep="\n")
    for name in ("att", "profile", "parallel"):
        print(finding.table(name))


def main(folder: Path) -> None:
    pl.Config.set_tbl_rows(40)
    pl.Config.set_tbl_cols(12)
    random = np.random.default_rng(0)
    kinds = RowKinds((1,), (ROWS,), 0, 0, 64, 16)
    rows = prepare_subset_rows(folder, kinds, LENGTH, VOCABULARY, 0, text_documents(None))
    order, steps = make_order(random)
    models = train(rows, order, steps, folder / "run")
    study = mematlas.score(
        models, corpus=rows.corpus, control=rows.control, study=folder / "study", context=[16], continuation=[32]
    )
    for title, shown in (("As trained", order), ("Rows exchanged at random", random.permutation(ROWS)[order])):
        print(f"\n== {title}")
        report(study, shown, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
