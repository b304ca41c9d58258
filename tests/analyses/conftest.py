"""Every analysis' finding of every awkward study, computed once per process."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest

from mematlas.analyses import ANALYSES
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Finding
from mematlas.study import Study
from tests.analyses.awkward_studies import CASES, imported_study
from tests.analyses.study_folders import write_study

TablesOfCase = Callable[[str], Tables]


@pytest.fixture(scope="session")
def tables_of(tmp_path_factory) -> TablesOfCase:
    """case -> its tables, created once; each caller gets a copy that shares no mutable state."""

    @cache
    def cached_tables(case: str) -> Tables:
        create = CASES[case]
        kind = case.removeprefix("imported ")
        return create() if create else imported_study(tmp_path_factory.mktemp(kind), kind)

    def copied_tables(case: str) -> Tables:
        tables = cached_tables(case)
        copies = {name: dict(getattr(tables, name)) for name in ("signals", "features", "facts", "states")}
        return replace(tables, models=tables.models.clone(), settings=deepcopy(tables.settings), **copies)

    return copied_tables


@pytest.fixture(scope="session")
def finding_of(tables_of) -> Callable[[str, str], Finding]:
    """(analysis, case) -> its finding, computed once."""

    @cache
    def compute(name: str, case: str) -> Finding:
        return ANALYSES.load(name).compute(tables_of(case))

    return compute


@pytest.fixture(scope="session")
def study_of(tables_of, tmp_path_factory) -> Callable[[str], Study]:
    """case -> the study folder that its tables could have been read from, written once."""
    return cache(lambda case: write_study(tables_of(case), tmp_path_factory.mktemp("stored")))
