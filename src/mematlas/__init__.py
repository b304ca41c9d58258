"""mematlas: what a language model knows by heart, and why.

import mematlas
study = mematlas.score("EleutherAI/pythia-70m", corpus="tokens.bin", context=[32], continuation=[32], study="study")
study.scores()                                # a polars frame, one line a (model, row, context, continuation)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mematlas.analyzing import analyze
    from mematlas.configuration import ScoreConfig
    from mematlas.corpus import open_corpus
    from mematlas.demonstration import demo
    from mematlas.errors import MematlasError
    from mematlas.featuring import make_features
    from mematlas.fitting import fit_predictors
    from mematlas.importing import import_scores
    from mematlas.predicting import predict_rows
    from mematlas.running import run
    from mematlas.store import Study, open_study
    from mematlas.study import score

__version__ = "0.1.0.dev0"

_HOMES = {
    "MematlasError": "mematlas.errors",
    "ScoreConfig": "mematlas.configuration",
    "Study": "mematlas.store",
    "analyze": "mematlas.analyzing",
    "demo": "mematlas.demonstration",
    "fit_predictors": "mematlas.fitting",
    "import_scores": "mematlas.importing",
    "make_features": "mematlas.featuring",
    "open_corpus": "mematlas.corpus",
    "open_study": "mematlas.store",
    "predict_rows": "mematlas.predicting",
    "run": "mematlas.running",
    "score": "mematlas.study",
}
__all__ = [
    "MematlasError",
    "ScoreConfig",
    "Study",
    "__version__",
    "analyze",
    "demo",
    "fit_predictors",
    "import_scores",
    "make_features",
    "open_corpus",
    "open_study",
    "predict_rows",
    "run",
    "score",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import mematlas` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mematlas' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
