"""Keywords of the public functions: complete for editors, wide in what they accept, and checked when misspelt."""

import inspect
import types
import typing
from pathlib import Path

import numpy as np
import pytest

import mematlas
from mematlas.auditing.config import AuditConfig
from mematlas.auditing.keywords import AuditKeywords
from mematlas.auditing.stress.config import StressConfig
from mematlas.auditing.stress.keywords import StressKeywords
from mematlas.errors import OptionError
from mematlas.executors.options import WorkerKeywords, WorkerOptions
from mematlas.predictors.keywords import FitKeywords, PredictKeywords
from mematlas.predictors.options import PredictorConfig
from mematlas.predictors.screening_config import PredictConfig
from mematlas.probes.compress.config import CompressConfig, CompressKeywords
from mematlas.probes.layers.config import LayersConfig, LayersKeywords
from mematlas.probes.prior.config import PriorConfig, PriorKeywords
from mematlas.probes.prompts.config import PromptsConfig, PromptsKeywords
from mematlas.probes.ratios.config import RatiosConfig, RatiosKeywords
from mematlas.probes.recall.config import RecallConfig
from mematlas.probes.recall.keywords import RecallKeywords
from mematlas.probes.state_tracing.config import TraceConfig
from mematlas.probes.state_tracing.keywords import TraceKeywords
from mematlas.probes.style.config import StyleConfig, StyleKeywords
from mematlas.probes.tasks.config import TasksConfig, TasksKeywords
from mematlas.scoring.config import ScoreConfig, resolve_config
from mematlas.scoring.keywords import ScoreKeywords
from tests import tiny_networks as networks

#: Public function -> (keywords for editors, configuration that they are the fields of).
KEYWORDS = {
    "audit": (AuditKeywords, AuditConfig),
    "score": (ScoreKeywords, ScoreConfig),
    "predict_rows": (PredictKeywords, PredictConfig),
    "stress": (StressKeywords, StressConfig),
    "probe_recall": (RecallKeywords, RecallConfig),
    "trace_states": (TraceKeywords, TraceConfig),
    "probe_tasks": (TasksKeywords, TasksConfig),
    "probe_layers": (LayersKeywords, LayersConfig),
    "probe_prior": (PriorKeywords, PriorConfig),
    "probe_prompts": (PromptsKeywords, PromptsConfig),
    "probe_compress": (CompressKeywords, CompressConfig),
    "probe_ratios": (RatiosKeywords, RatiosConfig),
    "probe_style": (StyleKeywords, StyleConfig),
    "fit_predictors": (FitKeywords, PredictorConfig),
    "analyze": (WorkerKeywords, WorkerOptions),
    "make_features": (WorkerKeywords, WorkerOptions),
    "experiment": (WorkerKeywords, WorkerOptions),
}
FUNCTIONS = [name for name in mematlas.__all__ if inspect.isfunction(getattr(mematlas, name))]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).integers(1, 57, (30, 40)))
    np.save(tmp_path / "control.npy", np.random.default_rng(1).integers(1, 57, (30, 40)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", KEYWORDS)
def test_the_typed_keywords_are_the_fields_of_the_configuration(name):
    keywords, configuration = KEYWORDS[name]
    fields = configuration.model_fields
    assert list(keywords.__annotations__) == list(fields)
    assert keywords.__required_keys__ == {field for field in fields if fields[field].is_required()}
    for field, hint in typing.get_type_hints(keywords).items():
        assert choices(hint) == choices(fields[field].annotation), field
        assert accepts_none(hint) == accepts_none(fields[field].annotation), field


def choices(hint: object) -> set[object]:
    """The values of all Literals in a type."""
    if typing.get_origin(hint) is typing.Literal:
        return set(typing.get_args(hint))
    return {value for part in typing.get_args(hint) for value in choices(part)}


def accepts_none(hint: object) -> bool:
    return types.NoneType in typing.get_args(hint)


@pytest.mark.parametrize("name", KEYWORDS)
def test_the_signature_shows_every_keyword_with_its_default(name):
    _, configuration = KEYWORDS[name]
    parameters = inspect.signature(getattr(mematlas, name)).parameters
    assert all(parameter.kind != inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    for field, details in configuration.model_fields.items():
        default = inspect.Parameter.empty if details.is_required() else details.default
        assert parameters[field].default == default


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_misspelt_keyword_is_answered_with_the_right_one(name):
    function = getattr(mematlas, name)
    named = [parameter.name for parameter in inspect.signature(function).parameters.values() if can_be_named(parameter)]
    keyword = max(named, key=len)
    with pytest.raises(OptionError) as raised:
        function(**{keyword[:-1]: 1})
    assert str(raised.value) == (
        f"mematlas.{name}() has no option {keyword[:-1]!r}. Did you mean {keyword!r}? help(mematlas.{name}) lists them "
        "all."
    )
    with pytest.raises(OptionError, match=rf"^mematlas\.{name}\(\) has no option 'qqqqqq'\. help\("):
        function(qqqqqq=1)


def can_be_named(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def test_paths_single_numbers_and_texts_are_accepted(folder):
    study = mematlas.score(
        "uniform:60",
        "parrot:rows.npy",
        corpus=folder / "rows.npy",
        control=Path("control.npy"),
        study=Path("study"),
        context=8,
        continuation=4,
        signals="truth",
        temperature=0.5,
    )
    settings = study.run().settings
    assert (settings["context"], settings["continuation"], settings["signals"]) == ([8], [4], ["truth"])
    assert settings["temperature"] == [0.5]
    assert [finding.name for finding in mematlas.analyze(Path("study"), only="size")] == ["size"]
    assert [finding.name for finding in mematlas.analyze(study, only=["size", "overlap"])] == ["size", "overlap"]
    settings = mematlas.run(study_file(folder)).run().settings
    assert (settings["context"], settings["continuation"]) == ([8, 16], [4])
    assert (settings["signals"], settings["temperature"]) == (["free", "truth"], [0.5, 2.0])


def study_file(folder: Path) -> Path:
    """A study file with commas and single values where lists are natural."""
    path = folder / "study.yaml"
    path.write_text(
        "models: uniform:60\ncorpus: rows.npy\nstudy: study2\ncontext: 8, 16\ncontinuation: 4\n"
        "analyses: size, context\nsignals: truth, free\ntemperature: 0.5, 2\n"
        "features: false\ngallery: false\nreport: false\n"
    )
    return path


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (16, [16]),
        ([64, 16], [16, 64]),
        ((16, 16), [16]),
        ("16,32", [16, 32]),
        (["16, 32", "64"], [16, 32, 64]),
        (range(8, 24, 8), [8, 16]),
        (np.array([8, 16]), [8, 16]),
    ],
)
def test_lengths_are_one_or_several(values, expected):
    assert resolve_config(corpus="c", study="s", context=values).context == expected


def test_a_comma_in_a_path_separates_nothing():
    config = resolve_config(corpus="a,b.npy", study="s", control_models=["parrot:a,b.npy:3", Path("c,d")])
    assert config.control_models == ["parrot:a,b.npy:3", "c,d"]
    assert resolve_config(corpus="c", study="s", control_models="one").control_models == ["one"]


def test_a_folder_may_be_a_path_and_several_models_a_list(folder):
    networks.save_network(networks.neox(), folder / "tiny")
    options = {"corpus": "rows.npy", "context": 8, "continuation": 4}
    study = mematlas.score(folder / "tiny", study="one", **options)
    assert list(study.run().models) == ["tiny"]
    study = mematlas.score(["tiny", "uniform:60"], study="two", **options)
    assert list(study.run().models) == ["tiny", "uniform-60"]


@pytest.mark.parametrize("as_list", [False, True])
def test_a_loaded_model_is_refused_in_one_line(folder, as_list):
    network = networks.neox()
    with pytest.raises(OptionError) as raised:
        mematlas.score([network] if as_list else network, corpus="rows.npy", study="study", context=8)
    assert str(raised.value) == (
        "A model is named by its folder or hub id, not passed as an object (GPTNeoXForCausalLM): save it and its "
        "tokenizer with save_pretrained(FOLDER), and name FOLDER; or mematlas.measure(model, rows)."
    )
    with pytest.raises(OptionError, match="not passed as an object"):
        mematlas.predict_rows(network, corpus="rows.npy", predictor="predictor")


def test_functions_keep_their_names_docstrings_and_positions():
    assert mematlas.score.__name__ == "score"
    assert "Score `models` on a corpus" in str(mematlas.score.__doc__)
    assert list(inspect.signature(mematlas.open_study).parameters) == ["folder"]
