"""What must be known of the rows before they are scored: what is left out, and what the control shares with the corpus.

Both are recorded in the run's settings, said wherever a number of rows stands, and refused where they leave nothing to
conclude.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mematlas.corpus.left_out import (
    LeftOut,
    left_out_line,
    left_out_to_json,
    read_left_out,
    recorded_left_out,
    short_rows,
)
from mematlas.errors import CorpusError, OptionError
from mematlas.scoring.config import ScoreConfig
from mematlas.types import Grid

if TYPE_CHECKING:
    from mematlas.corpus.row_sets import RowSet


def describe_rows(
    sets: "Sequence[RowSet]", grid: Grid, recorded: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """What the settings of a run say about its rows, besides which rows they are.

    Args:
        recorded: the settings of the same run (with the same key, hence of the same rows) from an earlier command, None
            if there is none. Rows that they have counted are not read again. Where an older version wrote them, they
            stay as they are unless there is something to tell.

    Returns:
        readings: by role, how records became rows, if in one of several ways; left_out: by role, what is not scored;
        shared_rows: control rows that are rows of the corpus, of how many.
    """
    from mematlas.corpus.row_counts import count_shared_rows

    described: dict[str, dict[str, Any]] = {}
    read = _readings(sets)
    if read:
        described["readings"] = read
    earlier = recorded_left_out(recorded) if recorded is not None and "left_out" in recorded else None
    parts = {rows.role: _left_out_of(rows, smallest_cell(grid), earlier) for rows in sets}
    left_out = {role: left_out_to_json(of_role) for role, of_role in parts.items() if of_role}
    if left_out or earlier is not None or recorded is None:
        described["left_out"] = left_out
    if recorded is not None and "shared_rows" in recorded:
        described["shared_rows"] = recorded["shared_rows"]
    elif len(sets) > 1:
        train, control = sets
        shared, total = count_shared_rows(train, control, grid.width), len(control.positions)
        described |= {"shared_rows": {"count": shared, "total": total}} if shared or recorded is None else {}
    return described


def _readings(sets: "Sequence[RowSet]") -> dict[str, str]:
    """By role a sentence on how records became rows, where there are several ways."""
    details = {rows.role: rows.corpus.details for rows in sets}
    read = {role: f"{of['reading']}{_cut_prompts(of)}" for role, of in details.items() if "reading" in of}
    answered = {rows.role for rows in sets if rows.corpus.details.get("cut") == "answers"}
    if len(answered) == 1 < len(sets):
        only = "corpus" if "train" in answered else "control"
        unlike = f"the rows of the {only} alone are answers, so that the two are not alike; give both in the same form"
        read["control"] = f"{read['control']}; {unlike}" if "control" in read else unlike
    return read


def _cut_prompts(details: Mapping[str, Any]) -> str:
    """A clause if most answers stand after more tokens than the context has; "" otherwise."""
    median, context = details.get("prompt_tokens_median"), details.get("context")
    if median is None or context is None or median <= context:
        return ""
    return (
        f"; half of the answers have {median:,} tokens or more before them, so that a longer --context is closer to "
        "what the model was trained on"
    )


def _left_out_of(rows: "RowSet", needed: int, earlier: Mapping[str, Sequence[LeftOut]] | None) -> list[LeftOut]:
    """What of a corpus and its selected rows is not scored.

    Args:
        needed: tokens of the smallest cell; earlier: what an earlier command recorded by role, None if nothing; short
            rows are then not counted again.
    """
    from mematlas.corpus.row_counts import count_short_rows

    parts = read_left_out(rows.corpus.details, len(rows.corpus))
    if earlier is not None:
        return [*parts, *(part for part in earlier.get(rows.role, ()) if part.unit == "rows")]
    count = count_short_rows(rows, needed)
    return [*parts, short_rows(count, len(rows.positions), needed)] if count else parts


def check_answers_fit(path: str, details: Mapping[str, Any], grid: Grid) -> None:
    """Check that every continuation of the grid begins where the answer of a row does.

    Raises:
        OptionError: rows are answers after the longest context, but shorter contexts end before it.
    """
    if details.get("cut") == "answers" and grid.align == "start" and len(grid.contexts) > 1:
        raise OptionError(
            f"The rows of {path} are answers, each after the last {max(grid.contexts):,} tokens before it; with "
            "several contexts add --align end, so that all end where the answer begins, or cut whole texts: --cut rows."
        )


def smallest_cell(grid: Grid) -> int:
    """How many tokens a row needs for at least one score."""
    return grid.span(min(grid.contexts), min(grid.continuations))[1]


def check_control(config: ScoreConfig, sets: "Sequence[RowSet]") -> None:
    """Refuse a control that is the corpus.

    Raises:
        OptionError: it is.
    """
    if len(sets) > 1 and sets[0].corpus.fingerprint == sets[1].corpus.fingerprint:
        raise OptionError(
            f"--control {config.control} is the corpus itself (fingerprint {sets[1].corpus.fingerprint}), so it is no "
            "baseline; give text that no model was trained on, or leave --control out."
        )


def check_rows(config: ScoreConfig, described: Mapping[str, Any]) -> None:
    """Refuse rows from which nothing can be concluded.

    Raises:
        OptionError: all control rows are rows of the corpus.
        CorpusError: more than half of the documents or rows are left out, and the options do not allow it.
    """
    shared = described.get("shared_rows", {"count": 0, "total": 0})
    if shared["count"] and shared["count"] == shared["total"]:
        raise OptionError(
            f"All {shared['total']:,} rows of --control {config.control} are also scored rows of {config.corpus}, so "
            "it is no baseline; give text that no model was trained on, or leave --control out."
        )
    if config.allow_short:
        return
    for role, parts in recorded_left_out(described).items():
        for part in parts:
            if part.is_over_half:
                raise CorpusError(_refusal(part, config, config.corpus if role == "train" else str(config.control)))


def _refusal(part: LeftOut, config: ScoreConfig, path: str) -> str:
    is_of_row_length = part.unit == "documents" and config.row_length is not None
    options = "--row-length" if is_of_row_length else "--context or --continuation"
    return (
        f"{path}: {part}, are left out: over half. Choose a shorter {options}, or accept that scores stand for the "
        "others only: --allow-short (in a study file: allow_short: true)."
    )


def row_remarks(settings: Mapping[str, Any]) -> list[str]:
    """Lines that belong to the number of rows of a run: how records were read, if in one of several ways, what is left
    out, and what the control shares with the corpus.

    Args:
        settings: of the run.
    """
    lines = [
        reading if role == "train" else f"{role}: {reading}" for role, reading in settings.get("readings", {}).items()
    ]
    lines += [left_out_line(parts, role) for role, parts in recorded_left_out(settings).items()]
    return [line for line in (*lines, shared_rows_line(settings)) if line is not None]


def shared_rows_line(settings: Mapping[str, Any]) -> str | None:
    """A line that says how many control rows are rows of the corpus; None if there are none."""
    shared = settings.get("shared_rows", {"count": 0, "total": 0})
    if not shared["count"]:
        return None
    return (
        f"no clean control: {shared['count']:,} of {shared['total']:,} control rows "
        f"({100 * shared['count'] / shared['total']:.3g} %) are also scored rows of the corpus"
    )
