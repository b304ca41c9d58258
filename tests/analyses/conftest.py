"""What every analysis says of every awkward study, made once a process."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest

from mematlas.analyses import ANALYSES
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Finding
from mematlas.study import Study
from tests.analyses.awkward_studies import CASES, imported
from tests.analyses.study_folders import stored

Shelf = Callable[[str], Tables]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory) -> Shelf:
    """case -> its tables, made once; each caller has them as if nobody had read them before."""

    @cache
    def made(case: str) -> Tables:
        make = CASES[case]
        kind = case.removeprefix("imported ")
        return make() if make else imported(tmp_path_factory.mktemp(kind), kind)

    def fresh(case: str) -> Tables:
        kept = made(case)
        own = {name: dict(getattr(kept, name)) for name in ("signals", "features", "facts", "states")}
        return replace(kept, models=kept.models.clone(), question=deepcopy(kept.question), _kept={}, **own)

    return fresh


@pytest.fixture(scope="session")
def answered(shelf) -> Callable[[str, str], Finding]:
    """(analysis, case) -> its finding, answered once."""

    @cache
    def answer(name: str, case: str) -> Finding:
        return ANALYSES.load(name).answer(shelf(case))

    return answer


@pytest.fixture(scope="session")
def folder_of(shelf, tmp_path_factory) -> Callable[[str], Study]:
    """case -> the study folder that its tables could have been read from, written once."""
    return cache(lambda case: stored(shelf(case), tmp_path_factory.mktemp("stored")))
