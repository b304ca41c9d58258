"""The user's own patterns, and what each wrong one is answered."""

import json

import pytest

from mematlas.errors import OptionError
from mematlas.matching.secrets.alternatives import alternatives
from mematlas.matching.secrets.finding import find_secrets
from mematlas.matching.secrets.pattern_file import read_patterns
from mematlas.matching.secrets.patterns import PATTERNS

TABLE = {
    "customer": r"\bCUST-\d{6}\b",
    "member": {"regex": r"member (?P<value>\d{11})\b", "check": "luhn"},
    "colour": {"regex": "#[0-9a-f]{6}", "letters": "abcdef", "fixed": "^#.."},
}
TEXT = "CUST-123456 and member 79927398713, not member 79927398714, #a1b2c3, a@b.org"


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_own_patterns_stand_before_the_others(tmp_path, suffix):
    path = tmp_path / f"own.{suffix}"
    lines = [
        r"customer: '\bCUST-\d{6}\b'",
        r"member: {regex: 'member (?P<value>\d{11})\b', check: luhn}",
        "colour: {regex: '#[0-9a-f]{6}', letters: abcdef, fixed: '^#..'}",
    ]
    path.write_text(json.dumps(TABLE) if suffix == "json" else "\n".join(lines))
    patterns = read_patterns(str(path))
    assert list(patterns) == ["customer", "member", "colour", *PATTERNS]
    found = [
        (secret.pattern, secret.value, TEXT[secret.start : secret.end]) for secret in find_secrets([TEXT], patterns)
    ]
    assert found == [
        (name, value, value)
        for name, value in (
            ("customer", "CUST-123456"), ("member", "79927398713"), ("colour", "#a1b2c3"), ("email", "a@b.org"),
        )
    ]  # fmt: skip
    assert all(each[:3] == "#a1" for each in alternatives("#a1b2c3", patterns["colour"], 50, 0))
    assert all(set(each[1:]) <= set("0123456789abcdef") for each in alternatives("#a1b2c3", patterns["colour"], 50, 0))
    assert len(alternatives("79927398713", patterns["member"], 50, 0)) == 50


def test_a_name_of_a_built_in_pattern_takes_its_place(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("email: 'nobody'")
    patterns = read_patterns(path)
    assert len(patterns) == len(PATTERNS)
    assert list(find_secrets(["a@b.org"], patterns)) == []


NO_EXPRESSION = "is no regular expression of Python"
WRONG = {
    "a: '('": f"regex {NO_EXPRESSION} (missing ), unterminated subpattern at position 0; given: '('); correct it.",
    "a: 'x*'": "the regex matches an empty text, and so everywhere; write what must be there.",
    "a: {check: luhn}": "there is no regex; add `regex: ...` to it.",
    "a: {regex: x, chek: luhn}": (
        "there is no key 'chek'. Did you mean 'check'? The keys are regex, check, fixed, letters."
    ),
    "a: {regex: x, letters: AB}": "letters is 'AB'; name the small letters a to z that values may contain.",
    "a: {regex: 5}": "regex is 5, which is no text; put it in quotes.",
    "a: {regex: x, fixed: '['}": (
        f"fixed {NO_EXPRESSION} (unterminated character set at position 0; given: '['); correct it."
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_wrong_patterns_are_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(OptionError) as raised:
        read_patterns(path)
    assert str(raised.value) == f"{path}: pattern 'a': {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: {regex: x, check: lun}",
            "has no check 'lun'. Did you mean 'luhn'? The checks are luhn, payment_card, iban,",
        ),
        ("a: [x]", "pattern 'a' is ['x']; write a line such as `customer: 'CUST-"),
        ("1: x", "pattern 1 is 'x'; write a line such as"),
        ("", "has no patterns (its content: None); write a line such as"),
        ("[a, b]", "has no patterns (its content: ['a', 'b']); write a line such as"),
        ("a: 'x", "is no valid YAML or JSON (while scanning a quoted scalar"),
        ("\x00", "is no valid YAML or JSON"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(OptionError) as raised:
        read_patterns(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(OptionError) as raised:
        read_patterns(tmp_path / "none.yaml")
    assert str(raised.value) == (
        f"{tmp_path / 'none.yaml'} cannot be read (No such file or directory); name a YAML or JSON file of patterns."
    )
    (tmp_path / "own.json").write_text("{")
    with pytest.raises(OptionError, match="is no valid YAML or JSON"):
        read_patterns(tmp_path / "own.json")
