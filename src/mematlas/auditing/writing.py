"""What every audit writes: the tables, the page, and verdict.json with the checksums of both."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mematlas.auditing.checksums import write_checked
from mematlas.auditing.config import AuditConfig, audit_command
from mematlas.auditing.page import write_page
from mematlas.auditing.verdict import Verdict
from mematlas.models.base import ModelSource
from mematlas.study import write_table


def audited(source: ModelSource, base: ModelSource | None, config: AuditConfig) -> dict[str, Any]:
    """What the page and verdict.json say of every audit: model, base, control, options and command."""
    return {
        "model": source.card.spec,
        "model_fingerprint": source.card.fingerprint,
        "base": None if base is None else base.card.spec,
        "control": config.control,
        "options": config.model_dump(mode="json"),
        "command": audit_command(source.card.spec, config),
    }


def write_verdict(
    verdict: Verdict,
    facts: Mapping[str, Any],
    tables: Mapping[str, pl.DataFrame],
    config: AuditConfig,
    extra: str = "",
) -> None:
    """Write OUT/tables/NAME.parquet, verdict.html and, last, verdict.json; extra: as for `write_page`."""
    for name, table in tables.items():
        write_table(config.out / "tables" / f"{name}.parquet", table.to_arrow())
    write_page(config.out / "verdict.html", verdict, facts, extra)
    names = ["verdict.html", *(f"tables/{name}.parquet" for name in tables)]
    write_checked(config.out, verdict.as_json() | {"audited": dict(facts)}, names)
