"""The options of `mematlas probe prior`."""

from pydantic import Field

from mematlas.probes.rows.config import RowProbeConfig, RowProbeKeywords


class PriorConfig(RowProbeConfig):
    """Options of `mematlas probe prior`; most are those of all probes of rows."""

    prefixes: int = Field(default=16, description="Prompts of other rows that a row's continuation is put after.", ge=2)
    probability: float = Field(
        default=0.001, description="Probability above which a continuation counts as extractable.", gt=0, lt=1
    )
    ratio: float | None = Field(
        default=None,
        description="Probability over its prior above which a row counts as memorized, beside the 95 % quantile of "
        "the control rows.",
        gt=0,
    )


class PriorKeywords(RowProbeKeywords, total=False):
    """The keywords of `mematlas.probe_prior` with their types, for editors."""

    prefixes: int
    probability: float
    ratio: float | None
