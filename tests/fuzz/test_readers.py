"""Damaged inputs of every reader: forty per format, the same in every run; ``benchmarks/fuzz.py`` has ten thousand."""

import itertools
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("datasets")
from mematlas.corpus.formats import FORMATS
from mematlas.errors import CorpusError
from tests.fuzz import outcome
from tests.fuzz.inputs import ROWS, TEXTS, Files, Input, inputs
from tests.fuzz.mutations import KINDS, NUMBERS, TOKENS, Edit, apply_edits

with tempfile.TemporaryDirectory() as _folder:
    INPUTS = {source.name: source for source in inputs(Path(_folder))}

MEMORY_LIMIT_BYTES = 3 << 30
EDITS = st.lists(
    st.builds(
        Edit,
        kind=st.sampled_from(KINDS),
        at=st.one_of(st.integers(0, 63), st.integers(0, 1 << 16)),
        size=st.sampled_from((1, 2, 3, 4, 8, 9, 50)),
        data=st.one_of(st.sampled_from(TOKENS), st.binary(min_size=1, max_size=8)),
        number=st.sampled_from(NUMBERS),
    ),
    min_size=1,
    max_size=3,
)
forty_examples = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(autouse=True)
def memory_limit() -> Iterator[None]:
    """Limits memory, so that an array of length 2^40 cannot be allocated."""
    if sys.platform != "linux":
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_LIMIT_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def corpus_outcome(source: Input, files: Files) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return outcome.corpus_outcome(source, files, Path(folder))


def study_file_outcome(content: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return outcome.study_file_outcome(content, Path(folder))


def test_every_format_is_damaged() -> None:
    assert {source.format for source in INPUTS.values()} == set(FORMATS)


@pytest.mark.parametrize("name", INPUTS)
def test_an_undamaged_input_gives_its_rows(name: str) -> None:
    source = INPUTS[name]
    assert source.rows(source.files) in (ROWS, TEXTS)
    assert corpus_outcome(source, source.files) == "rows"


@pytest.mark.filterwarnings("ignore:Reading `.npy`")  # of Python 2, whose numbers end with L
@pytest.mark.parametrize("name", INPUTS)
@forty_examples
@given(edits=EDITS, which=st.integers(0, 9), inside=st.booleans())
def test_damage_gives_rows_of_the_format_or_one_line(name: str, edits: list[Edit], which: int, inside: bool) -> None:
    source = INPUTS[name]
    file = source.mutable_files[which % len(source.mutable_files)]
    assert corpus_outcome(source, source.damage(file, edits, inside=inside)) in (
        "rows",
        "rows, oracle fails",
        "refused",
    )


@forty_examples
@given(edits=EDITS)
def test_a_damaged_study_file_is_read_as_yaml_or_refused_in_one_line(edits: list[Edit]) -> None:
    assert study_file_outcome(apply_edits(outcome.STUDY.encode(), edits)) in ("read", "refused")


def test_a_study_file_may_have_other_blanks_and_comments() -> None:
    plain = outcome.STUDY.encode()
    for content in (plain, plain.replace(b"\n", b"\r\n"), plain.replace(b"\n", b"  # comment\n\n"), b"---\n" + plain):
        assert study_file_outcome(content) == "read"


class TestOutcomeChecks:
    """Faults that the checks of outcomes must detect."""

    def test_rows_that_the_oracle_does_not_have(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = INPUTS["memmap"]
        changed = {"a.bin": source.files["a.bin"][2:] + b"aa"}
        monkeypatch.setattr(outcome, "_write", lambda files, folder: (folder / "a.bin").write_bytes(changed["a.bin"]))
        with pytest.raises(AssertionError, match="ours, oracle"):
            corpus_outcome(source, source.files)

    def test_an_exception_of_another_kind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(outcome, "open_corpus", lambda *_, **__: {}["nothing"])
        with pytest.raises(KeyError):
            corpus_outcome(INPUTS["npy"], INPUTS["npy"].files)

    def test_a_reader_that_hangs(self) -> None:
        with pytest.raises(outcome.TimedOut), outcome.time_limit(0.05):
            sum(1 for _ in itertools.count())

    @pytest.mark.parametrize("text", ["", "two\nlines", "a\u2028b", "\x1b[2J", "long" * 2000])
    def test_a_message_that_is_not_one_line(self, text: str) -> None:
        with pytest.raises(AssertionError):
            outcome._check_message(text)

    def test_the_message_of_an_error_is_one_line(self) -> None:
        assert str(CorpusError("a.npy is empty; é, 日本 and — stay.")) == "a.npy is empty; é, 日本 and — stay."
        assert str(CorpusError("two\nlines\u2028 \x1b[2J \u202e")) == "two lines  \\x1b[2J \\u202e"
        message = str(CorpusError("first " + "x" * 10_000 + " last"))
        assert message.startswith("first x")
        assert message.endswith("x last")
        assert len(message) < 2010
