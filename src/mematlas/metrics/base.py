"""The declaration of a metric."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Metric:
    """A number per row: an expression over the columns of a score table that it `needs`, null where it is undefined.

    unit: of the number; more_memorized: which direction means more memorization; source: the paper, or "our choice".
    """

    name: str
    needs: tuple[str, ...]
    unit: str
    more_memorized: Literal["higher", "lower"]
    source: str
    expression: "Callable[[], pl.Expr]"
