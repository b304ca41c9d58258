"""Figures of findings, drawn here or by several processes."""

import os
from functools import partial

import pytest

pytest.importorskip("altair")

from mematlas.errors import StudyError
from mematlas.executors.options import WorkerOptions
from mematlas.report import figures as module
from mematlas.report.figures import build_figures
from tests.report import sample_findings as sample


def test_workers_change_no_figure_and_keep_the_order():
    findings = [sample.points(), sample.in_cells(), sample.lines()]
    here, shared = list(build_figures(findings)), list(build_figures(findings, workers=WorkerOptions(workers=2)))
    assert [figure.number for figure in shared] == [*range(1, len(here) + 1)]
    assert shared == here


def end_process(palette, width, order):
    os._exit(7)


def dying_worker(palette, width, threads):
    return partial(end_process, palette, width)


def test_workers_that_die_name_the_chart(monkeypatch):
    monkeypatch.setattr(module, "_figure_worker", dying_worker)
    findings = [sample.points(), sample.in_cells()]
    with pytest.raises(StudyError, match=r"^the chart \w+ of \w+ was given up after 4 workers died .* fewer --workers"):
        list(build_figures(findings, workers=WorkerOptions(workers=2)))
