"""The engine over vLLM, which decodes every context of every row greedily, in batches that vLLM forms itself.

It suits long contexts and large models. It never checks the truth, so the depth `verbatim` saves no work here, and it
returns neither signals nor states. Its numbers are those of decoding, as in `engines/batch.py`, with other rounding.
"""

from typing import Final

from mematlas.models.base import LoadOptions, ModelSource
from mematlas.models.huggingface import FolderSource
from mematlas.models.vllm import VllmModel
from mematlas.scoring.engines.greedy import GreedyEngine
from mematlas.scoring.engines.rows import check_fit
from mematlas.scoring.options import ScoringOptions

#: What users must know about numbers from vLLM (sources: docs/gpu.md).
VLLM_CAVEAT: Final = (
    "vLLM: rounding depends on which rows are computed together, so greedy tokens with a small margin may differ from "
    "those of --backend torch and between two runs; check the margins, and see docs/gpu.md."
)


class VllmEngine(GreedyEngine):
    """Scores token rows with a model in vLLM."""

    batch = "chosen by vLLM"


def load_vllm_engine(source: ModelSource, load: LoadOptions, options: ScoringOptions) -> VllmEngine:
    """Load a model into vLLM and return the engine over it.

    Raises:
        MissingExtra: vLLM is not installed.
        ModelError: the model does not fit the options, or vLLM cannot load it.
    """
    card = source.card
    assert isinstance(source, FolderSource)  # resolve_job refuses other sources
    check_fit(card, options)
    width = options.grid.width + options.bos
    return VllmEngine(VllmModel(source.folder, card, load, width, options.eos, card.eos), card, options)
