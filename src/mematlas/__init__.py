"""mematlas: what a language model knows by heart, and why.

import mematlas
study = mematlas.score("EleutherAI/pythia-70m", corpus="tokens.bin", context=[32], continuation=[32], study="study")
study.scores()                                # a polars frame, one line per (model, row, context, continuation)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mematlas.errors.libraries import missing_libraries
from mematlas.version import __version__

if TYPE_CHECKING:
    from mematlas.analyses import recount as recount
    from mematlas.auditing.run import audit
    from mematlas.auditing.stress.run import stress
    from mematlas.corpus.opening import open_corpus
    from mematlas.errors import MematlasError
    from mematlas.importers.import_exposures import import_exposures
    from mematlas.importers.import_hubble import import_hubble
    from mematlas.importers.import_scores import import_scores
    from mematlas.integrations.measuring import measure
    from mematlas.pipeline.demo import demo
    from mematlas.pipeline.experiment import experiment
    from mematlas.pipeline.run import run
    from mematlas.pipeline.steps.analyze import analyze
    from mematlas.pipeline.steps.features import make_features
    from mematlas.pipeline.steps.fit import fit_predictors
    from mematlas.pipeline.steps.score import score
    from mematlas.predictors.screening import predict_rows
    from mematlas.probes.compress.run import probe_compress
    from mematlas.probes.layers.run import probe_layers
    from mematlas.probes.prior.run import probe_prior
    from mematlas.probes.prompts.run import probe_prompts
    from mematlas.probes.ratios.run import probe_ratios
    from mematlas.probes.recall.run import probe_recall
    from mematlas.probes.state_tracing.run import trace_states
    from mematlas.probes.style.run import probe_style
    from mematlas.probes.tasks.run import probe_tasks
    from mematlas.scoring.config import ScoreConfig
    from mematlas.study import Study, open_study

_HOMES = {
    "audit": "mematlas.auditing.run",
    "MematlasError": "mematlas.errors",
    "ScoreConfig": "mematlas.scoring.config",
    "Study": "mematlas.study",
    "analyze": "mematlas.pipeline.steps.analyze",
    "demo": "mematlas.pipeline.demo",
    "experiment": "mematlas.pipeline.experiment",
    "fit_predictors": "mematlas.pipeline.steps.fit",
    "import_exposures": "mematlas.importers.import_exposures",
    "import_hubble": "mematlas.importers.import_hubble",
    "import_scores": "mematlas.importers.import_scores",
    "make_features": "mematlas.pipeline.steps.features",
    "measure": "mematlas.integrations.measuring",
    "open_corpus": "mematlas.corpus.opening",
    "open_study": "mematlas.study",
    "predict_rows": "mematlas.predictors.screening",
    "probe_recall": "mematlas.probes.recall.run",
    "probe_tasks": "mematlas.probes.tasks.run",
    "run": "mematlas.pipeline.run",
    "score": "mematlas.pipeline.steps.score",
    "probe_compress": "mematlas.probes.compress.run",
    "probe_layers": "mematlas.probes.layers.run",
    "probe_prior": "mematlas.probes.prior.run",
    "probe_prompts": "mematlas.probes.prompts.run",
    "probe_ratios": "mematlas.probes.ratios.run",
    "probe_style": "mematlas.probes.style.run",
    "stress": "mematlas.auditing.stress.run",
    "trace_states": "mematlas.probes.state_tracing.run",
}
__all__ = [
    "MematlasError",
    "ScoreConfig",
    "Study",
    "__version__",
    "analyze",
    "audit",
    "demo",
    "experiment",
    "fit_predictors",
    "import_exposures",
    "import_hubble",
    "import_scores",
    "make_features",
    "measure",
    "open_corpus",
    "open_study",
    "predict_rows",
    "probe_compress",
    "probe_layers",
    "probe_prior",
    "probe_prompts",
    "probe_ratios",
    "probe_recall",
    "probe_style",
    "probe_tasks",
    "run",
    "score",
    "stress",
    "trace_states",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import mematlas` stays light."""
    if name not in _HOMES and name != "recount":
        raise AttributeError(f"module 'mematlas' has no attribute {name!r}")
    with missing_libraries(f"mematlas.{name}"):
        if name == "recount":  # the module that the recipes of findings call
            return import_module("mematlas.analyses.recount")
        return getattr(import_module(_HOMES[name]), name)
