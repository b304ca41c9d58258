"""Caveats of findings that compare classes of rows around the border: which classes and rows the study lacks."""

import polars as pl

from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.positions.boundary_step import SLOPES_CAVEAT
from mematlas.analyses.positions.profiles import BOUNDARY, DIVERGENCE
from mematlas.analyses.positions.token_windows import CLASSES


def class_caveats(
    tables: Tables, cell: Cell, class_records: pl.DataFrame, frames: dict[str, pl.DataFrame]
) -> list[str]:
    """The caveats that apply.

    Args:
        class_records: the table with a record for each role, class and alignment that has rows.
        frames: "curves" by alignment, and "slopes" with model size.
    """
    known = set(class_records.filter(role="train", alignment=BOUNDARY)["class"])
    missing_classes = [name for name in CLASSES if name not in known]
    caveats = {
        f"No training row of any model is {' or '.join(missing_classes)}.": tables.graded and missing_classes,
        "M was not graded: half-memorized and unmemorized rows are unknown.": not tables.graded,
        f"A continuation of {cell.continuation} tokens has no half: no row can have M = 1/2.": cell.continuation % 2,
        "How many tokens each row recites before its first miss is unknown: no curve around divergence points.": (
            not frames["curves"]["alignment"].eq(DIVERGENCE).any()
        ),
        SLOPES_CAVEAT: frames["slopes"].height,
        "The study has no control rows: only shuffled labels stand beside.": not tables.has_control,
    }
    return [text for text, applies in caveats.items() if applies]
