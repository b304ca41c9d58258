"""P7's detector on texts whose class is known, each with a negative control."""

import pytest

from mematlas.errors import CorpusError
from mematlas.matching.config import DetectorConfig
from mematlas.matching.detector import LABELS, Detector, detect
from mematlas.matching.retrieval import BM25Retriever
from mematlas.matching.sentences import splitter_name
from mematlas.matching.words import Span
from tests.matching.made_texts import Words, sentence

FAITHFUL = DetectorConfig(mode="faithful", splitter="regex")
CORRECTED = DetectorConfig(splitter="regex")
MODES = pytest.mark.parametrize("config", [FAITHFUL, CORRECTED], ids=["faithful", "corrected"])


def found(suspicious, source, config, **options):
    return detect([suspicious], [source], config, **options).outputs[0]


def around(words, run):
    """Output and source that have `run` in common, inside sentences that differ otherwise, and nothing else."""

    def text():
        return f"{words.text(2)} {words.word().capitalize()} {run} {words.word()}. {words.text(2)}"

    return text(), text()


def reworded(words, text, kept):
    """Sentences with the first `kept` words of each one of `text`, backwards, and new words in place of the others."""
    olds = [old.lower().split() for old in text.rstrip(".").split(". ")]
    return " ".join(sentence([*words.words(len(old) - kept), *old[:kept][::-1]]) for old in olds)


# ----------------------------------------------------------------------------------------------------------- verbatim


@pytest.mark.parametrize(
    ("config", "characters", "is_verbatim"),
    [(FAITHFUL, 50, False), (FAITHFUL, 51, True), (CORRECTED, 49, False), (CORRECTED, 50, True)],
)
def test_a_run_of_words_is_verbatim_from_the_threshold_on(config, characters, is_verbatim):
    words = Words(characters)
    run = words.run(characters)
    assert len(run) == characters
    suspicious, source = around(words, run)
    detection = found(suspicious, source, config)
    assert detection.label == ("verbatim" if is_verbatim else "paraphrase, not graded")
    if is_verbatim:
        (match,) = detection.matches
        assert (suspicious[slice(*match.suspicious)], source[slice(*match.source)]) == (run, run)
        assert detection.copied_characters == characters
    else:
        assert detection.copied_characters == 0


@MODES
def test_an_identical_copy_is_verbatim_and_an_unrelated_text_is_nothing(config):
    words = Words(1)
    copy = words.run(60)
    suspicious, source = around(words, copy)
    assert found(suspicious, source, config).kind == "verbatim"
    unrelated = found(words.text(5), source, config)
    assert (unrelated.label, unrelated.matches, unrelated.document) == ("none", (), None)


@MODES
def test_49_common_characters_and_other_words_are_not_verbatim(config):
    suspicious, source = around(words := Words(2), words.run(49))
    assert found(suspicious, source, config).kind == "paraphrase"


def test_a_copy_without_a_seed_is_missed_by_the_authors_rule_alone():
    text = Words(3).run(60)
    assert found(text, text, FAITHFUL).label == "none"  # one sentence each: every word weighs 0
    assert found(text, text, CORRECTED).label == "verbatim"


def always(probability):
    """A paraphrase model, and the pairs that it was asked for."""
    asked = []

    def model(pairs):
        asked.extend(pairs)
        return [probability] * len(pairs)

    return model, asked


def test_an_identical_sentence_of_40_characters_is_none_or_low_in_faithful_mode():
    words = Words(4)
    short = words.run(39).capitalize() + "."
    output, source = f"{words.text(2)} {short} {words.text(2)}", f"{words.text(2)} {short} {words.text(2)}"
    assert found(output, source, FAITHFUL, paraphrase=always(0.9)[0]).label == "none"  # a case has 50 characters
    wide = DetectorConfig(mode="faithful", splitter="regex", min_case_characters=40)
    model, asked = always(0.9)
    assert found(output, source, wide, paraphrase=model).label == "paraphrase, low"
    assert asked == []
    corrected = DetectorConfig(splitter="regex", min_case_characters=40)
    assert found(output, source, corrected, paraphrase=always(0.1)[0]).label == "paraphrase, high"


def test_spans_name_every_document_that_an_output_copies():
    words = Words(5)
    runs = [words.run(55), words.run(70)]
    sources = [f"{words.text(2)} {run} {words.text(1)}" for run in runs]
    output = f"{words.text(1)} {runs[1]}. {words.text(1)} {runs[0]}. {words.text(1)}"
    detection = detect([output], [*sources, words.text()], CORRECTED).outputs[0]
    copies = {match.document: output[slice(*match.suspicious)] for match in detection.matches}
    assert copies == dict(enumerate(runs))
    assert {match.document: sources[match.document][slice(*match.source)] for match in detection.matches} == copies
    assert detection.copied_characters == 125


# --------------------------------------------------------------------------------------------------------------- idea


def summary(words, ratio):
    """One sentence with nine rare words, and three long sentences with three of them each, `ratio` times as long."""
    rare = words.words(9, 11)
    output = sentence(rare)
    length = round(ratio * len(output))
    parts = [[*rare[at : at + 3], *words.words(2, 13)] for at in (0, 3, 6)]
    missing = length - len(" ".join(map(sentence, parts))) - 3
    parts = [[*part, words.word(missing // 3 + (at < missing % 3))] for at, part in enumerate(parts)]
    source = " ".join(map(sentence, parts))
    assert len(source) == length
    return f"{words.text(5)} {output}", f"{words.text(6)} {source} {words.text(6)}"


@MODES
@pytest.mark.parametrize(("ratio", "kind"), [(2.9, "paraphrase"), (3.0, "idea"), (3.2, "idea")])
def test_a_source_three_times_as_long_is_a_summary(config, ratio, kind):
    output, source = summary(Words(round(10 * ratio)), ratio)
    detection = found(output, source, config)
    assert detection.kind == kind
    swapped = found(source, output, config)
    assert swapped.kind != "idea"
    assert found(source, source, config).kind == "verbatim"


def test_sentences_of_a_summary_may_be_further_apart_than_those_of_a_case():
    words = Words(20)
    rare = words.words(9, 11)
    parts = [sentence(rare[at : at + 3]) for at in (0, 3, 6)]
    between = [" ".join(sentence(words.words(3)) for _ in range(5)) for _ in range(2)]
    source = " ".join([parts[0], between[0], parts[1], between[1], parts[2], words.text(4)])
    output = f"{words.text(4)} {sentence(rare)}"
    assert found(output, source, CORRECTED).kind == "idea"
    assert found(output, source, DetectorConfig(splitter="regex", idea_gap=4)).kind != "idea"


# --------------------------------------------------------------------------------------------------------- paraphrase


@MODES
@pytest.mark.parametrize(("probability", "label"), [(0.51, "paraphrase, high"), (0.5, "paraphrase, low")])
def test_a_model_grades_paraphrases(config, probability, label):
    words = Words(6)
    source = words.text(4)
    output = f"{words.text(2)} {reworded(words, source, 6)}"
    model, asked = always(probability)
    detection = found(output, source, config, paraphrase=model)
    assert detection.label == label
    assert {match.paraphrase_p for match in detection.matches} == {probability}
    assert asked[0][0] in source
    assert asked[0][1] in output
    ungraded = found(output, source, config)
    assert (ungraded.label, ungraded.confidence) == ("paraphrase, not graded", None)
    assert {match.paraphrase_p for match in ungraded.matches} == {None}
    assert found(f"{words.text(2)} {reworded(words, source, 2)}", source, config).label == "none"


class Fixed:
    """A retriever that names the same documents for every text."""

    def __init__(self, *documents):
        self.documents = documents

    def top(self, text, count):
        return self.documents[:count]


def test_the_first_candidate_decides_in_faithful_mode_and_the_strongest_in_corrected():
    words = Words(7)
    run, passage = words.run(60), words.text(3)
    output = f"{words.text(1)} {reworded(words, passage, 6)} {words.word().capitalize()} {run} {words.word()}. {words.text(1)}"  # fmt: skip  # noqa: E501
    sources = [passage + " " + words.text(2), around(words, run)[1], words.text(3)]
    for config, order, kind in (
        (FAITHFUL, (2, 0, 1), "paraphrase"),
        (FAITHFUL, (1, 0), "verbatim"),
        (CORRECTED, (2, 0, 1), "verbatim"),
    ):
        detection = detect([output], sources, config, retriever=Fixed(*order)).outputs[0]
        assert detection.kind == kind
        assert detection.document == {"paraphrase": 0, "verbatim": 1}[kind]
        assert {match.document for match in detection.matches} == {0, 1}


# ------------------------------------------------------------------------------------------------------------- prompts


@MODES
def test_copies_of_the_prompt_are_reported_apart(config):
    words = Words(8)
    prompt, suffix = words.text(3), words.text(3)
    training_text = f"{prompt} {suffix}"
    output = f"{words.text(1)} {prompt} {words.text(2)}"
    repeats = detect([output], [training_text], config, prompts=[prompt], own=[0]).outputs[0]
    assert repeats.label == "none"
    assert [output[slice(*span)] for span in repeats.prompt_copies] == [prompt[:-1]]
    assert detect([output], [training_text], config).outputs[0].label == "verbatim"  # without the prompt it looks so
    output = f"{words.text(1)} {prompt} {suffix}"
    recites = detect([output], [training_text], config, prompts=[prompt], own=[0]).outputs[0]
    assert recites.label == "verbatim"
    assert [output[slice(*match.suspicious)] for match in recites.matches if match.kind == "verbatim"] == [suffix[:-1]]
    assert recites.prompt_copies == (Span(output.index(prompt), output.index(prompt) + len(prompt) - 1),)
    assert found(words.text(2), training_text, config, prompts=[prompt]).prompt_copies == ()


# ----------------------------------------------------------------------------------------------------------- retrieval


def planted(words):
    """(outputs, sources, own): two outputs of each class that were made from a source, and two that were not."""
    outputs, sources = [], []
    for _ in range(2):
        for output, source in (
            around(words, words.run(64)),
            summary(words, 3.3),
            around(words, words.run(45)),
            (words.text(4), words.text(4)),
        ):
            outputs.append(output)
            sources.append(source)
    return outputs, sources, list(range(len(outputs)))


EXPECTED = ["verbatim", "idea", "paraphrase, not graded", "none"] * 2


def labels(detections):
    return [output.label for output in detections.outputs]


@MODES
def test_an_index_with_ten_times_as_many_unrelated_texts_gives_the_same_classes(config):
    words = Words(9)
    outputs, sources, own = planted(words)
    small = detect(outputs, sources, config, own=own)
    large = detect(outputs, [*sources, *(words.text(5) for _ in range(9 * len(sources)))], config, own=own)
    assert labels(small) == labels(large) == EXPECTED
    assert (small.documents, large.documents) == (8, 80)
    assert [output.document for output in small.outputs] == [output.document for output in large.outputs]


class OffByOne:
    """A retriever that leaves its best document out, or returns it last of all."""

    def __init__(self, documents, *, last):
        self.retriever, self.last = BM25Retriever(documents), last

    def top(self, text, count):
        best, *rest = self.retriever.top(text, count) or [0]
        return [*rest, best] if self.last else rest


@MODES
def test_the_class_is_the_same_wherever_the_source_is_among_the_candidates_and_its_absence_is_counted(config):
    words = Words(10)
    outputs, sources, own = planted(words)
    # so that other documents are candidates as well: a word that all have
    sources = [f"{source} Common {words.sentence()}" for source in sources]
    outputs = [f"{output} Common {words.sentence()}" for output in outputs]
    last = detect(outputs, sources, config, own=own, retriever=OffByOne(sources, last=True))
    assert labels(last) == EXPECTED
    assert [output.own_retrieved for output in last.outputs] == [True] * 8
    without = detect(outputs, sources, config, own=own, retriever=OffByOne(sources, last=False))
    assert labels(without) == [label if label == "none" else "none" for label in EXPECTED]
    assert [output.own_retrieved for output in without.outputs][:3] == [False] * 3
    assert detect(outputs[:1], sources, config).outputs[0].own_retrieved is None


# ------------------------------------------------------------------------------------------------------------- results


def test_results_say_how_they_were_made_and_are_the_same_again():
    words = Words(11)
    outputs, sources, own = planted(words)
    first = detect(outputs, sources, own=own)
    assert first.splitter == splitter_name()
    assert (first.config, first.graded) == (DetectorConfig(), False)
    assert detect(outputs, sources, own=own) == first
    assert detect(outputs, sources, CORRECTED).splitter == "regex"
    one_by_one = Detector(sources)
    assert [one_by_one.detect(output, own=at) for at, output in enumerate(outputs)] == first.outputs
    assert all(output.label in LABELS for output in first.outputs)


@MODES
@pytest.mark.parametrize("text", ["", " ", "...", "\0", "a", "\ud800 \ud800"])
def test_texts_without_sentences_are_nothing(config, text):
    assert found(text, text, config).label == "none"
    assert found(text, Words(12).text(), config).label == "none"


def test_lists_of_different_lengths_and_no_sources_are_refused():
    with pytest.raises(ValueError, match="zip"):
        detect(["a", "b"], ["c"], prompts=["d"])
    with pytest.raises(CorpusError, match="There are no documents to compare with"):
        detect(["a"], [])
