"""Templates of canaries: what they allow, what is drawn from them, and what is wrong with one."""

from collections import Counter

import pytest

from mematlas.auditing.canaries.template import parse_template
from mematlas.errors import OptionError


def test_a_template_has_text_before_its_secret_the_secret_and_text_after_it():
    template = parse_template("Code {digits:2}-{hex:1}, {{ok}}.")
    assert (template.before, template.after) == ("Code ", ", {ok}.")
    assert template.choices == ("0123456789", "0123456789", "-", "0123456789abcdef")
    assert template.size == 1_600
    assert template.text("12-f") == "Code 12-f, {ok}."


def test_all_secrets_are_drawn_once_and_none_that_is_known():
    template = parse_template("A {digits:2}.")
    known = {"00", "99"}
    drawn = template.draw(98, "any", known)
    assert sorted([*drawn, *known]) == [f"{number:02d}" for number in range(100)]
    with pytest.raises(OptionError, match="has 100 different secrets, and 101 are needed; give it longer slots"):
        template.draw(99, "any", known)


def test_draws_are_uniform_and_depend_on_the_seed_alone():
    template = parse_template("A {letters:1}{digits:3}.")
    drawn = template.draw(10_000, "0")
    assert drawn == template.draw(10_000, "0") != template.draw(10_000, "1")
    for place, count in enumerate((26, 10, 10, 10)):
        shares = Counter(secret[place] for secret in drawn)
        assert len(shares) == count
        expected = 10_000 / count
        assert sum((n - expected) ** 2 / expected for n in shares.values()) < 60  # chi square; p < .001 at 52.6 of 26


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("no slot", "has no slot for a secret"),
        ("{digits:4} is my code", "begins with its secret"),
        ("Code {digit:4}", "has a slot 'digit'. Did you mean 'digits'? The slots are digits, letters, capitals, hex"),
        ("Code {digits}", "the slot 'digits' has the length ''; write a number from 1 to 1,000"),
        ("Code {digits:0}", "has the length '0'"),
        ("Code {digits:-3}", "has the length '-3'"),
        ("Code {digits:5000}", "has the length '5000'"),
        ("Code {digits:4", "cannot be read ("),
        ("Code } {digits:4}", "and braces of the text twice: {{ and }}"),
        ("Code {}", "has a slot ''"),
    ],
)
def test_a_wrong_template_is_refused_with_its_rule(text, part):
    with pytest.raises(OptionError) as raised:
        parse_template(text)
    assert part in str(raised.value)
    assert str(raised.value).startswith("--template ")
