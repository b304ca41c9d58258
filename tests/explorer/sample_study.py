"""A small study for the explorer's page: two models that recite texts, some of them hostile, and a control."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import mematlas
from mematlas.study.shards import write_shard
from tests.byte_level_tokenizer import byte_level_encoder

ROWS, CONTEXT, CONTINUATION = 60, 16, 16
WIDTH = CONTEXT + CONTINUATION
#: Rows 0 to 11 are known to the smaller model, rows 4 to 39 to the bigger one: it "forgot" rows 0 to 3.
FORGOTTEN = (0, 1, 2, 3)
HOSTILE = {
    5: "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">",
    6: "left \u202egnorw\u202c right \u2066isolate\u2069 zero\u200bwidth \u00ad\ufeff end of the row",
    7: "</textarea></td></table><svg onload=alert(1)><style>*{display:none}</style>&lt;b&gt;",
    8: "\x1b[31mred\x07 bell\ttab\nnew line\r\n\u2028separator ` ${document.title='run'} {{7*7}}",
}
_WORDS = "the cat sat on a mat while rain fell over old towns and every lamp went out before the long night came"


def make(folder: Path) -> Path:
    """The folder of the study, in `folder`."""
    texts = [_text(row) for row in range(ROWS)]
    encoder = byte_level_encoder(folder / "tokenizer", tuple(texts))
    ids = encoder.encode(texts)
    rows = np.stack([np.resize(one, WIDTH) for one in ids])
    np.save(folder / "rows.npy", rows[:-10])
    np.save(folder / "control.npy", rows[-10:])
    np.save(folder / "few.npy", rows[:12])
    np.save(folder / "many.npy", rows[4:40])
    asked: dict[str, Any] = {
        "context": [8, CONTEXT],
        "continuation": [CONTINUATION],
        "signals": ["truth", "free"],
        "order": "size",
    }
    models = [str(folder / name) for name in ("few.npy", "many.npy")]
    study = folder / "study"
    corpus = {"corpus": str(folder / "rows.npy"), "control": str(folder / "control.npy")}
    asked |= {"tokenizer": str(folder / "tokenizer"), "study": study}
    mematlas.score(*(f"parrot:{model}" for model in models), **corpus, **asked)
    mematlas.make_features(study)
    _repeat(study)
    return study


def _text(row: int) -> str:
    """A text of more than WIDTH tokens; every tenth has a word that no other has."""
    random = np.random.default_rng(row)
    words = " ".join(random.choice(_WORDS.split(), 60))
    return HOSTILE.get(row, ("zanzibar " if row % 10 == 2 else "") + words)


def _repeat(study: Path) -> None:
    """Says that row r was shown r times in training, as a corpus in the order of training would."""
    for path in (study / "rows").rglob("*.parquet"):
        table = pq.read_table(path)
        place = table.schema.get_field_index("repetitions")
        rows = zip(table["row"].to_pylist(), table["role"].to_pylist(), strict=True)
        times = pa.array([row if role == "train" else None for row, role in rows], pa.int64())
        write_shard(path.parent, path.stem, table.set_column(place, table.schema.field(place), times), {})
