"""A study with findings of every chart shape, and its report."""

import pytest

from tests.report import sample_findings as sample


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    pytest.importorskip("altair")
    folder = tmp_path_factory.mktemp("report") / "study"
    folder.mkdir()
    return sample.study(folder)


@pytest.fixture(scope="session")
def report(study):
    from mematlas.report.page import write_report

    return write_report(study)
