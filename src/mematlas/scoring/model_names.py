"""The models that a user names, on the command line or in Python."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mematlas.errors import OptionError


def model_names(models: Iterable[object]) -> list[str]:
    """The names of models given as text or paths, or as lists of them.

    Raises:
        OptionError: a model was passed as an object instead of its name, or is a number that belongs to an option.
    """
    names: list[str] = []
    for model in models:
        if isinstance(model, (list, tuple)):
            names += model_names(model)
        elif isinstance(model, (str, Path)):
            names.append(str(model))
        else:
            raise OptionError(
                f"A model is named by its folder or hub id, not passed as an object ({type(model).__name__}): save it "
                "and its tokenizer with save_pretrained(FOLDER), and name FOLDER; or mematlas.measure(model, rows)."
            )
    _refuse_numbers(names)
    return names


def _refuse_numbers(names: Sequence[str]) -> None:
    """Refuse what was meant as a second value of an option: `--context 16 32` leaves 32 to the models."""
    for name in names:
        if name.isdigit() and not Path(name).exists():
            raise OptionError(
                f"There is no model {name!r}; several values of an option are separated by commas: --context 16,32."
            )
