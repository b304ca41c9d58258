"""Seeds, extension and filter on texts whose passages are known."""

import pytest

from mematlas.errors import OptionError
from mematlas.matching import alignment
from mematlas.matching.alignment import Seed, align, cluster, find_seeds, pair_up, prepare
from mematlas.matching.config import DetectorConfig
from mematlas.matching.words import Span
from tests.matching.made_texts import Words, sentence

CONFIG = DetectorConfig(splitter="regex")


def seeds(*pairs):
    return [Seed(*pair) for pair in pairs]


def reworded(words, source, kept):
    """A sentence with the first `kept` words of another one and as many new ones as that has beside them."""
    old = source.lower().rstrip(".").split()
    return sentence([*words.words(len(old) - kept), *old[:kept][::-1]])


def test_seeds_are_pairs_beyond_both_thresholds():
    words = Words(1)
    source = [words.sentence(8) for _ in range(3)]
    suspicious = [words.sentence(8), reworded(words, source[2], 6)]
    pair = pair_up(prepare(" ".join(suspicious), CONFIG), prepare(" ".join(source), CONFIG))
    assert find_seeds(pair, CONFIG) == seeds((1, 2))
    # dice = 2 * 6 / 16 = .75; N = 5 and df = 2 or 1, so cosine = 6 ln(5/2)^2 / (6 ln(5/2)^2 + 2 ln(5)^2) = .493
    assert find_seeds(pair, DetectorConfig(splitter="regex", min_seed_dice=0.74)) == seeds((1, 2))
    assert find_seeds(pair, DetectorConfig(splitter="regex", min_seed_dice=0.76)) == []
    assert find_seeds(pair, DetectorConfig(splitter="regex", min_seed_cosine=0.49)) == seeds((1, 2))
    assert find_seeds(pair, DetectorConfig(splitter="regex", min_seed_cosine=0.50)) == []


def test_seeds_are_grouped_on_both_sides_in_turn():
    near = seeds((0, 0), (5, 5))
    assert cluster(near, 4) == [near]
    assert cluster(near, 3) == [near[:1], near[1:]]
    far_in_the_source = seeds((0, 0), (1, 9))
    assert cluster(far_in_the_source, 4) == [far_in_the_source[:1], far_in_the_source[1:]]
    # the source divides (0,0) (12,1) from (6,20), and only then the other side divides the first two
    assert cluster(seeds((0, 0), (6, 20), (12, 1)), 5) == [seeds((0, 0)), seeds((12, 1)), seeds((6, 20))]
    assert cluster(seeds((0, 0), (6, 2), (12, 1)), 5) == [seeds((0, 0), (12, 1), (6, 2))]


def test_a_passage_is_found_with_its_characters():
    words = Words(2)
    passage = [words.sentence() for _ in range(3)]
    source = " ".join([words.text(6), *passage, words.text(6)])
    suspicious = " ".join([words.text(2), *[reworded(words, text, 6) for text in passage], words.text(2)])
    (case,) = align(suspicious, source, CONFIG)
    assert source[slice(*case.source)] == " ".join(passage)
    assert len(case.suspicious_sentences) == 3
    assert suspicious[slice(*case.suspicious)].startswith(reworded_start(suspicious, 2))
    assert case.dice == pytest.approx(0.75)


def reworded_start(text, at):
    return text.split(". ")[at]


def test_distant_passages_are_cases_of_their_own_and_near_ones_are_one():
    words = Words(3)
    passages = [words.sentence(), words.sentence()]
    suspicious = " ".join([words.text(2), *[reworded(words, text, 6) for text in passages], words.text(2)])

    def cases(between):
        source = " ".join([passages[0], *[words.sentence() for _ in range(between)], passages[1], words.text(3)])
        return [case.source_sentences for case in align(suspicious, source, CONFIG)]

    assert cases(5) == [range(0, 1), range(6, 7)]
    assert cases(0) == [range(0, 2)]


def test_a_case_that_is_not_similar_as_a_whole_is_clustered_again_with_a_smaller_gap():
    words = Words(4)
    passages = [words.sentence(6), words.sentence(6)]
    suspicious = " ".join([words.text(2), *[reworded(words, text, 4) for text in passages], words.text(2)])
    source = " ".join([passages[0], *[words.sentence(30) for _ in range(4)], passages[1], words.text(3)])
    pair = pair_up(prepare(suspicious, CONFIG), prepare(source, CONFIG))
    found = find_seeds(pair, CONFIG)
    assert found == seeds((2, 0), (3, 5))
    whole = alignment.extend(pair, found, 4, min_cosine=0.0)
    assert [case.source_sentences for case in whole] == [range(0, 6)]
    assert whole[0].cosine < 0.34
    assert [case.source_sentences for case in alignment.extend(pair, found, 4, 0.34)] == [range(0, 1), range(5, 6)]
    assert alignment.extend(pair, found, 4, 0.99) == []


def test_of_cases_that_overlap_the_more_similar_one_stays():
    words = Words(5)
    original = words.sentence(10)
    suspicious = " ".join([words.text(3), original])
    source = " ".join([reworded(words, original, 6), words.text(8), original, words.text(3)])
    (case,) = align(suspicious, source, CONFIG)
    assert source[slice(*case.source)] == original


def test_of_equally_similar_cases_that_overlap_the_longer_one_stays():
    words = Words(7)
    first, second = words.sentence(10), words.sentence(10)
    suspicious = " ".join([words.text(3), first, second])
    source = " ".join([first, words.text(8), first, second, words.text(3)])
    (case,) = align(suspicious, source, CONFIG)
    assert source[slice(*case.source)] == f"{first} {second}"


def test_sentences_beside_the_overlap_count_for_a_case():
    words = Words(8)
    first, second = words.sentence(10), words.sentence(10)
    suspicious = " ".join([words.text(3), first, second])
    better, worse = reworded(words, first, 8), reworded(words, first, 7)
    source = " ".join([better, words.text(8), worse, second, words.text(3)])
    (case,) = align(suspicious, source, CONFIG)
    assert source[slice(*case.source)] == f"{worse} {second}"
    (case,) = align(suspicious, " ".join([better, words.text(8), worse, words.text(3)]), CONFIG)
    assert case.source == Span(0, len(better))


def test_short_cases_are_dropped():
    words = Words(6)
    source, suspicious = [words.sentence(9) for _ in range(4)], [words.sentence(9) for _ in range(4)]
    short = sentence(words.words(6, 6))  # 42 characters
    texts = " ".join([*suspicious, short]), " ".join([*source, short])
    assert align(*texts, CONFIG) == []
    (case,) = align(*texts, DetectorConfig(splitter="regex", min_case_characters=42))
    assert case.suspicious == Span(len(texts[0]) - 42, len(texts[0]))


def test_masked_characters_are_in_no_sentence():
    text = prepare("First one is here. Second two is there.", CONFIG, [Span(0, 18)])
    assert [text.text[slice(*span)] for span in text.sentences] == ["Second two is there."]
    assert text.counts == [{"second": 1, "two": 1, "there": 1}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_seed_cosine": 1.0}, "min_seed_cosine must be at least 0 and below 1 (given: 1.0)"),
        ({"candidates": 0}, "candidates must be at least 1 (given: 0)"),
        ({"max_gap": -1}, "max_gap must be at least 0 (given: -1)"),
        ({"idea_gap": 3}, "idea_gap must be at least max_gap, which is 4 (given: 3)"),
        ({"min_idea_ratio": 0.5}, "min_idea_ratio must be at least 1 (given: 0.5)"),
        ({"mode": "loose"}, "mode must be faithful or corrected (given: 'loose')"),
        ({"splitter": "nltk"}, "splitter must be auto, blingfire or regex (given: 'nltk')"),
    ],
)
def test_a_wrong_threshold_is_refused_in_one_line(options, message):
    with pytest.raises(OptionError) as raised:
        DetectorConfig(**options)
    assert str(raised.value) == f"{message}; leave it out to take the authors' value."
