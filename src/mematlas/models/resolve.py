"""Resolve a model name given by the user: `[backend:]rest`, a .gguf path, a folder, or a hub id."""

from pathlib import Path

from mematlas.errors import ModelError
from mematlas.models import MODELS
from mematlas.models.base import ModelSource
from mematlas.registry import did_you_mean


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
    looks_like_path = spec.startswith(("/", "./", "../", "~")) or spec.count("/") > 1
    if looks_like_path and not Path(spec).expanduser().exists():
        siblings = [path.name for path in Path(spec).expanduser().parent.glob("*")]
        raise ModelError(f"There is no model folder {spec!r}.{did_you_mean(Path(spec).name, siblings)} Check the path.")
    if colon and not Path(spec).exists():
        raise ModelError(f"There is no model backend {backend!r}.{did_you_mean(backend, list(MODELS))}")
    return MODELS.load("hf")(spec)
