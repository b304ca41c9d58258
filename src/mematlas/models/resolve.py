"""From what the user wrote to a model source: `[backend:]rest`, a .gguf path, a folder, or a hub id."""

from pathlib import Path

from mematlas.errors import ModelError
from mematlas.models import MODELS
from mematlas.models.base import ModelSource
from mematlas.registry import nearest


def find_model(spec: str) -> ModelSource:
    """The model that `spec` names, found but not loaded.

    Raises:
        ModelError: nothing is found under this name, or what is found is damaged.
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
        raise ModelError(f"The stand-in or backend {spec!r} needs more: {MODELS.summary(spec)}.")
    looks_like_path = spec.startswith(("/", "./", "../", "~")) or spec.count("/") > 1
    if looks_like_path and not Path(spec).expanduser().exists():
        siblings = [path.name for path in Path(spec).expanduser().parent.glob("*")]
        raise ModelError(f"No model folder at {spec!r}.{nearest(Path(spec).name, siblings)} Check the path.")
    if colon and not Path(spec).exists():
        raise ModelError(f"No model backend is called {backend!r}.{nearest(backend, list(MODELS))}")
    return MODELS.load("hf")(spec)
