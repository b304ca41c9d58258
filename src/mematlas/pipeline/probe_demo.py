"""A demonstration of `mematlas probe recall`: a small model learns a table of codes, and is asked for them.

FOLDER/items.csv, train.parquet, tokenizer/     see experiments/data/code_table.py
       models/neox-...m/                        the trained model
       index/                                   counts of names and codes in the corpus
       templates.txt                            both sentences of the corpus, and one that it does not have
       recall/                                  see probes/recall/run.py
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mematlas.corpus.opening import open_corpus
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.schedule import Schedule
from mematlas.index.building import IndexOptions, build_index
from mematlas.models.huggingface import tokenizer_encoder
from mematlas.probes.recall.config import INDEX, resolve_recall
from mematlas.probes.recall.run import Recall, run_recall
from mematlas.progress import Progress
from mematlas.study import write_text

if TYPE_CHECKING:
    from mematlas.experiments.data.code_table import CodeTable, CodeTableConfig

Training = Callable[[int, int, float | None, str], None]
#: A sentence that the corpus does not have: who recites, does not answer it.
_OTHER_WORDS: Final = "Which code has {input}? It is {output}."


@dataclass(frozen=True, slots=True)
class ProbeDemoConfig:
    """The training: every row `epochs` times, `batch` rows a step. table, size: None for those built in."""

    table: "CodeTableConfig | None" = None
    size: Size | None = None
    epochs: int = 12
    batch: int = 16
    seed: int = 0
    axes: tuple[str, ...] = field(default=("templates", "temperatures"))


@dataclass(frozen=True, slots=True)
class ProbeDemo:
    """model: folder of the trained model; templates: file of them; recall: what it was asked."""

    model: Path
    items: Path
    templates: Path
    index: Path
    recall: Recall


def probe_demo(folder: Path, config: ProbeDemoConfig, training: Training | None, progress: Progress) -> ProbeDemo:
    """Train a model on the table in `folder`, and ask it for the codes; what is done already is kept.

    Args:
        training: called as training(step, steps, loss, label) while the model trains.

    Raises:
        MematlasError: the folder cannot be written.
    """
    table, model = _train(folder, config, training)
    encoder = tokenizer_encoder(str(table.tokenizer_folder), len(table.tokenizer))
    end = table.tokenizer.eos_token_id
    named = IndexOptions(
        str(table.corpus), encoder.vocabulary, end, False, str(table.tokenizer_folder), encoder.fingerprint, workers=1
    )
    build_index(open_corpus(table.corpus), folder / "index", named, progress)
    templates = folder / "templates.txt"
    write_text(templates, _templates())
    options = resolve_recall(
        items=table.items,
        template=[templates],
        out=folder / "recall",
        shots=0,
        popularity=f"{INDEX}{folder / 'index'}",
        invariance=list(config.axes),
    )
    recall = run_recall(str(model), options, progress)
    return ProbeDemo(model, table.items, templates, folder / "index", recall)


def _train(folder: Path, config: ProbeDemoConfig, training: Training | None) -> "tuple[CodeTable, Path]":
    import numpy as np

    from mematlas.experiments.data.code_table import CodeTableConfig, write_code_table
    from mematlas.experiments.design.plan import Plan
    from mematlas.experiments.training.arm import Arm
    from mematlas.experiments.training.network import neox_config
    from mematlas.experiments.training.trainer import train_arm

    table = write_code_table(folder, config.table or CodeTableConfig())
    size = config.size or Size(hidden=96, layers=3, heads=4, peak_rate=4e-3)
    random = np.random.default_rng([config.seed, 41])
    order = np.concatenate([random.permutation(len(table.tokens)) for _ in range(config.epochs)])
    plan = Plan.from_order(table.tokens, order, config.batch)
    vocabulary = len(table.tokenizer)
    arm = Arm(
        label=size.label(vocabulary),
        start=neox_config(size, vocabulary, plan.row_length),
        plan=plan,
        schedule=Schedule(size.peak_rate, warm_up=30, final_rate=0.1),
        seed=config.seed,
        tokenizer=table.tokenizer,
    )
    return table, train_arm(arm, folder / "models" / arm.label, training)


def _templates() -> str:
    from mematlas.experiments.data.code_table import SENTENCES

    return "".join(f"{sentence}\n" for sentence in (*SENTENCES, _OTHER_WORDS))
