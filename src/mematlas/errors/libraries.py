"""Missing libraries: which extra installs which, and the guard that turns a failed import into one line.

Every command and every public function runs under `missing_libraries`, so a module may import what it needs where it
needs it, without a guard of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mematlas.errors import MissingExtra

#: Name under which a library is imported -> the extra that installs it.
EXTRAS: Final = {
    "torch": "hf",
    "transformers": "hf",
    "tokenizers": "hf",
    "safetensors": "hf",
    "huggingface_hub": "hf",
    "sacrebleu": "hf",
    "sklearn": "hf",
    "numba": "compiled",
    "pydivsufsort": "compiled",
    "gguf": "gguf",
    "accelerate": "multi-gpu",
    "peft": "peft",
    "datasets": "datasets",
    "umap": "umap",
    "vllm": "vllm",
    "ray": "ray",
    "s3fs": "s3",
    "altair": "report",
    "vl_convert": "report",
    "jinja2": "report",
    "markupsafe": "report",
    "marimo": "notebooks",
    "spacy": "pos",
    "bm25s": "audit",
    "blingfire": "audit",
}
#: Names of the libraries that every installation has.
CORE: Final = ("cyclopts", "numpy", "polars", "pyarrow", "pydantic", "yaml", "rapidfuzz", "rich", "scipy", "upath")


@contextmanager
def missing_libraries(user: str, extra: str | None = None) -> Iterator[None]:
    """Turn the error of a library that cannot be imported into a MissingExtra.

    Args:
        user: what needs the library, the subject of the message: "`mematlas score`", "mematlas.score()".
        extra: see `missing_library`.

    Raises:
        MissingExtra: a third-party library is absent, or is not of a version that mematlas can use.
    """
    try:
        yield
    except ImportError as error:
        if is_own_module(error):
            raise
        raise MissingExtra(f"{user} {missing_library(error, extra)}") from error


def is_own_module(error: ImportError) -> bool:
    """Whether a module of mematlas itself could not be imported, which is a fault of ours."""
    return library_of(error) == "mematlas"


def library_of(error: ImportError) -> str:
    """The name of the library that could not be imported; "" if the error does not say."""
    if error.name:
        return error.name.partition(".")[0]
    text = str(error).lower()  # transformers raises errors without a name, whose text has one
    return next((name for name in EXTRAS if name in text), "torch" if "pytorch" in text else "")


def missing_library(error: ImportError, extra: str | None = None) -> str:
    """The predicate of a sentence: which library is needed, and how to install it.

    Args:
        extra: the extra that installs all that is needed; by default the smallest one that has the library.
    """
    name = library_of(error)
    reason = next(iter(str(error).splitlines()), "").rstrip(".")
    is_absent = isinstance(error, ModuleNotFoundError)
    if name in EXTRAS:
        requirement = f'"mematlas[{extra or EXTRAS[name]}]"'
    elif name in CORE:
        requirement = "--force-reinstall mematlas"
    elif is_absent:
        return f"needs the library {name!r}, which is not installed; install it and run the same command again."
    else:
        return f"needs a library that cannot be imported ({reason}); install it again."
    if is_absent:
        return f"needs the library {name!r}, which is not installed; run: pip install {requirement}"
    return f"needs another version of the library {name!r} ({reason}); run: pip install --upgrade {requirement}"
