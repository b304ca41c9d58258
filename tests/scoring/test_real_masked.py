"""Real masked models, where they are at hand: M as measured from outside with another program (15 % hidden)."""

import os
from pathlib import Path

import pytest
from masked_models import measure

FOLDER = os.environ.get("MEMATLAS_MASKED_MODELS")


@pytest.mark.skipif(FOLDER is None, reason="set MEMATLAS_MASKED_MODELS to the folder of benchmarks/masked_models.py")
@pytest.mark.slow
def test_real_masked_models_name_hidden_tokens_of_real_texts_only():
    measured = {title: (real, shuffled) for title, real, shuffled, _ in measure(Path(FOLDER or ""))}
    # elsewhere .956 and .114 were measured; for antibodies .853 and .107, of chains that were not recorded
    assert measured["rxnmapper, reactions"] == (pytest.approx(0.956, abs=0.01), pytest.approx(0.114, abs=0.01))
    assert measured["antiberty, trastuzumab"] == (pytest.approx(0.853, abs=0.03), pytest.approx(0.107, abs=0.03))
    assert measured["antiberty, chains"][0] > 0.8
    assert measured["antiberty, chains"][1] < 0.15
