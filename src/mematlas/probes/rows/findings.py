"""What the findings of all probes of rows have in common."""

from typing import TYPE_CHECKING, Any, Final

from mematlas.findings.finding import Finding, Taxonomy
from mematlas.probes.rows.opening import CLASSES
from mematlas.probes.rows.stages import ProbeResult

if TYPE_CHECKING:
    import polars as pl

#: What a class of rows is, for the tables' columns.
CLASS: Final = "rows recited whole without an intervention (recited), other rows of the corpus, rows of the control"
#: What sentences call a class.
NAMES: Final = {"recited": "Recited rows", "other": "Rows not recited", "control": "Control rows"}
ROWS_CAVEAT: Final = (
    "Recited rows are chosen for having no miss, so that they can only fall; read their fall beside that of others."
)


def probed_rows(result: ProbeResult) -> "pl.DataFrame":
    """The rows of a probe with their class and cluster."""
    return result.table("rows").select("row", "control", "class", "cluster")


def with_class(records: "pl.DataFrame", rows: "pl.DataFrame") -> "pl.DataFrame":
    """Records of rows with the class and the cluster of each."""
    return records.join(rows, on=["row", "control"], maintain_order="left")


def leading(frame: "pl.DataFrame") -> str:
    """The class that sentences are about: recited rows if there are any."""
    present = frame["class"].unique().to_list()
    return next(name for name in CLASSES if name in present)


def probe_finding(
    result: ProbeResult, name: str, title: str, texts: tuple[str, str], source: str, **parts: Any
) -> Finding:
    """A finding with what all of a probe share; texts: headline and sentence."""
    facts = result.facts
    control = None if facts["control"] is None else f"The same rows' classes beside rows of {facts['control']}."
    taxonomy = Taxonomy(k=(facts["context"],), content="the probed rows")
    shared = {"taxonomy": taxonomy, "control": control, "headline": texts[0], "sentence": texts[1]}
    return Finding(name, title, texts[1], source, **(shared | parts))
