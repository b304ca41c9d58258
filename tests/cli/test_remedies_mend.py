"""A finding that cannot be said names what to run; once that was run, it can be said.

Of a study that has next to nothing, every analysis is computed, its remedies are run as they are printed, and it is
computed again. Where a command leaves something out ("..."), the user's own words are repeated.
"""

import re
import shlex

import numpy as np
import pytest

import mematlas
from mematlas.analyses import ANALYSES
from mematlas.cli import run

ROWS, LENGTH, V = 120, 100, 60
MODELS = ("parrot:half.npy", "parrot:rows.npy", "parrot:few.npy")
PATHS = {"--corpus": "rows.npy", "--control": "control.npy", "--study": "study"}
#: Analyses that a study of one model, cell and corpus is enough for, and one whose remedy, fitting predictors, takes
#: minutes: that signals of its remedy are what `mematlas fit` needs is tested below.
NOT_RUN = {"distribution", "predict"}
#: What these need is models that an experiment trains, which are a study of their own: tests/experiments.
NOT_RUN |= {"capacity", "counterfactual", "dynamics", "facts", "forgetting", "injection", "insertions", "unique_ids"}
#: What this needs is a second model that never saw the rows: tests/analyses/extraction/test_bits.py.
NOT_RUN |= {"bits"}
#: Needs spaCy and one of its models: tests/pipeline/test_tags.py.
NOT_RUN |= {"parts_of_speech"}
#: What this needs is the order of a training, which only the user has: tests/analyses/training/test_did.py.
NOT_RUN |= {"did"}


@pytest.fixture(scope="module")
def poor(tmp_path_factory):
    """Rows of which the first model recites half, and a control that no model saw."""
    folder = tmp_path_factory.mktemp("poor")
    random = np.random.default_rng(5)
    rows = random.integers(1, V - 2, (ROWS, LENGTH))
    rows[0, 0] = V - 3  # all parrots then have one vocabulary
    np.save(folder / "rows.npy", rows)
    np.save(folder / "half.npy", rows[: ROWS // 2])
    np.save(folder / "few.npy", rows[: ROWS // 10])
    np.save(folder / "control.npy", random.integers(1, V - 3, (60, LENGTH)))
    return folder


class User:
    """Someone who runs commands and repeats the words of the last `mematlas score` where a remedy leaves them out."""

    def __init__(self, study):
        self.models = [MODELS[0]]
        self.options = {**PATHS, "--study": study, "--context": "16", "--continuation": "16"}
        del self.options["--control"]

    def score(self, words):
        self.models = list(MODELS[: max(len(self.models), words.count("MODEL"))])
        for option, value in options(words):
            known = {**PATHS, "--study": self.options["--study"]}
            self.options[option] = known.get(option, value)
        written = [word for pair in self.options.items() for word in pair if word]
        return run(["score", *self.models, *written])

    def do(self, remedy):
        """Run what a remedy names: its commands, and the options of `mematlas score` that stand alone."""
        quoted = re.findall(r"`([^`]+)`", remedy)
        assert quoted, f"names nothing to run: {remedy}"
        for text in quoted:
            words = shlex.split(text)
            if words[0].startswith("--"):
                assert self.score(words) == 0, remedy
            elif words[:2] == ["mematlas", "score"]:
                assert self.score(words[2:]) == 0, remedy
            else:
                study = self.options["--study"]
                assert run([study if word == "STUDY" else word for word in words[1:]]) == 0, remedy


def options(words):
    """The options of a command, each with its values; those of one option are joined by commas."""
    found = {}
    for position, word in enumerate(words):
        if word.startswith("--"):
            value = words[position + 1] if position + 1 < len(words) else ""
            found[word] = ",".join(filter(None, [found.get(word), value]))
    return found.items()


def said(study, name, capsys):
    """None if the analysis says something; else its remedy."""
    capsys.readouterr()
    assert run(["analyze", study, "--only", name]) == 0
    _, remedy, *_ = capsys.readouterr().out.splitlines()
    return remedy.strip() if remedy.startswith("  ") else None


@pytest.mark.parametrize("name", sorted(set(ANALYSES) - NOT_RUN))
def test_what_cannot_be_said_can_be_said_once_the_remedies_were_run(poor, monkeypatch, capsys, name):
    monkeypatch.chdir(poor)
    user, done = User(f"study-{name}"), []
    assert user.score([]) == 0
    while (remedy := said(user.options["--study"], name, capsys)) is not None:
        assert remedy not in done, f"was run, and mended nothing: {remedy}"
        user.do(remedy)
        done.append(remedy)
    assert done, "nothing had to be mended"


def test_states_are_recorded_with_what_predictors_are_fitted_to(poor, monkeypatch, capsys):
    """Hidden states alone were named, of which `mematlas fit` says that it needs entropies, too."""
    monkeypatch.chdir(poor)
    user = User("study-predict")
    user.score([])
    remedy = said("study-predict", "predict", capsys)
    assert shlex.split(re.findall(r"`([^`]+)`", remedy)[1]) == ["mematlas", "fit", "STUDY"]
    user.do(remedy.partition(", then")[0])
    signals = mematlas.open_study("study-predict").run().settings["signals"]
    assert set(signals) == {"hidden", "free", "truth"}
