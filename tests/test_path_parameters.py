"""Every documented function takes a path as text, too."""

import inspect
import typing
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import mematlas
from mematlas.corpus import CorpusOptions, open_corpus
from mematlas.index import build_index, export_infinigram, open_index, open_infinigram, verify_index
from mematlas.index.building import IndexOptions

#: As OTHER_MODULES of docs/generated.py, whose folder is no package.
OTHER_FUNCTIONS = {
    "mematlas.experiments": ("train_family",),
    "mematlas.findings.export": ("export_finding",),
    "mematlas.report.page": ("write_report",),
}


def documented_functions():
    """(name, function) of the packages whose names docs and README use."""
    names = {module: import_module(module).__all__ for module in ("mematlas", "mematlas.index", "mematlas.corpus")}
    for module, added in (names | OTHER_FUNCTIONS).items():
        for name in added:
            value = getattr(import_module(module), name)
            if inspect.isfunction(value):
                yield f"{module}.{name}", value


def accepts_text(annotation):
    """Whether an annotation that allows a path allows text as well; options that pydantic checks are converted."""
    if typing.get_origin(annotation) is typing.Annotated:
        return True
    members = [member for member in typing.get_args(annotation) if member is not type(None)] or [annotation]
    return Path not in members or str in members or any(map(is_annotated, members))


def is_annotated(member):
    return typing.get_origin(member) is typing.Annotated


@pytest.mark.parametrize(("name", "function"), list(documented_functions()))
def test_a_path_parameter_takes_text(name, function):
    probes = (
        mematlas.probe_layers,
        mematlas.probe_compress,
        mematlas.probe_prior,
        mematlas.probe_prompts,
        mematlas.probe_recall,
    )
    checked = (
        *probes,
        mematlas.probe_recall,
        mematlas.probe_ratios,
        mematlas.probe_style,
        mematlas.probe_tasks,
        mematlas.audit,
        mematlas.score,
        mematlas.predict_rows,
    )
    if function in (*checked, mematlas.stress, mematlas.trace_states):
        pytest.skip("its options are checked by pydantic, which converts text")
    hints = inspect.signature(function).parameters.values()
    assert [hint.name for hint in hints if not accepts_text(hint.annotation)] == [], name


def test_the_functions_of_an_index_take_text(tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(40).reshape(4, 10))
    corpus = open_corpus(str(tmp_path / "rows.npy"))
    index, copy = str(tmp_path / "index"), str(tmp_path / "copy")
    build_index(corpus, index, IndexOptions("rows.npy", 100, workers=1))
    engine, manifest = open_index(index)
    assert engine.count([[3, 4], [9, 10]]).tolist() == [1, 0]
    assert verify_index(index) == manifest
    export_infinigram(index, copy)
    assert open_infinigram(copy).count([[3, 4]]).tolist() == [1]


def test_the_cache_of_a_corpus_may_be_text(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"tokens": [1, 2, 3]}\n')
    open_corpus(tmp_path / "rows.jsonl", options=CorpusOptions(cache=str(tmp_path / "cache")))
    assert (tmp_path / "cache").is_dir()
