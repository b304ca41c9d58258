"""Resolve a model name given by the user: `[backend:]rest`, a .gguf path, a folder, or a hub id."""

from dataclasses import replace
from pathlib import Path

from mematlas.errors import ModelError
from mematlas.models import MODELS
from mematlas.models.base import ModelSource
from mematlas.models.checkpoints import is_pattern, matching_models
from mematlas.models.peft_adapters.names import with_base
from mematlas.registry import did_you_mean


def find_models(spec: str) -> list[ModelSource]:
    """Resolve the model that `spec` names, or all models that a pattern such as `run/checkpoint-*` matches.

    Returns:
        They are sorted by the training step in their names; the card of the first says what was left out.

    Raises:
        ModelError, MissingExtra: as `find_model`; a pattern matches no complete model.
    """
    backend, _, rest = spec.partition(":")
    pattern = rest if backend in ("hf", "gguf") else spec
    if backend == "api" or not is_pattern(pattern):
        return [find_model(spec)]
    pattern, base = _split_base(pattern)
    paths, remark = matching_models(pattern)
    sources = [find_model(f"{path}{base}") for path in paths]
    if remark is not None:
        first = sources[0]
        first.card = replace(first.card, remarks=(remark, *first.card.remarks))
    return sources


def _split_base(pattern: str) -> tuple[str, str]:
    """A pattern, and the base model of the adapters that it matches: run/*@base -> run/*, @base"""
    for name, base in with_base(pattern):
        if is_pattern(name) and not is_pattern(base):
            return name, f"@{base}"
    return pattern, ""


def find_model(spec: str) -> ModelSource:
    """Resolve the model that `spec` names, without loading it.

    Raises:
        ModelError: there is no such model, or its files are damaged.
        MissingExtra: the backend's library is not installed.
    """
    backend, colon, rest = spec.partition(":")
    if colon and backend in MODELS:
        return MODELS.load(backend)(rest)
    if not spec or not spec.strip():
        raise ModelError("An empty model name was given; give a folder, a hub id, a .gguf file or a stand-in.")
    if Path(spec).suffix == ".gguf":
        return MODELS.load("gguf")(spec)
    if spec in MODELS and not Path(spec).exists():
        raise ModelError(f"The stand-in or backend {spec!r} needs an argument: {MODELS.summary(spec)}.")
    if is_pattern(spec):
        raise ModelError(f"{spec!r} may match several models, but one is needed here; give the folder of one.")
    names = [spec, *(name for name, _ in with_base(spec))]
    looks_like_path = spec.startswith(("/", "./", "../", "~")) or names[-1].count("/") > 1
    if looks_like_path and not any(Path(name).expanduser().exists() for name in names):
        siblings = [path.name for path in Path(spec).expanduser().parent.glob("*")]
        raise ModelError(f"There is no model folder {spec!r}.{did_you_mean(Path(spec).name, siblings)} Check the path.")
    if colon and not any(Path(name).exists() for name in names):
        raise ModelError(f"There is no model backend {backend!r}.{did_you_mean(backend, list(MODELS))}")
    return MODELS.load("hf")(spec)
