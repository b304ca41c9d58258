"""Never-seen values of a secret's format."""

from collections import Counter

import pytest

from mematlas.errors import OptionError
from mematlas.matching.secrets.alternatives import alternatives
from mematlas.matching.secrets.checks import compact, iban_remainder, luhn_is_valid
from mematlas.matching.secrets.finding import find_secrets
from mematlas.matching.secrets.patterns import PATTERNS
from tests.matching.secrets.test_finding import FOUND


def shape(text):
    """The kind of each character."""
    return ["A" if at.isupper() else "a" if at.islower() else "1" if at.isdigit() else at for at in text]


#: Nearly all of these is fixed: nine others differ in the last digit.
NARROW = ("fe80::1",)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in FOUND.items() for value in values if value not in NARROW]
)
def test_alternatives_have_the_format_of_the_value(name, value):
    made = alternatives(value, PATTERNS[name], 20, seed=1)
    assert len({compact(each).casefold() for each in [value, *made]}) == 21
    for each in made:
        assert shape(each) == shape(value)
        assert [found.pattern for found in find_secrets([each])] == [name]


def test_checksums_are_right_and_fixed_parts_stay():
    cards = alternatives("4111 1111 1111 1111", PATTERNS["payment_card"], 50, 0)
    assert all(map(luhn_is_valid, cards))
    assert {card[:7] for card in cards} == {"4111 11"}
    accounts = alternatives("GB29 NWBK 6016 1331 9268 19", PATTERNS["iban"], 50, 0)
    assert {account[:2] for account in accounts} == {"GB"}
    assert {iban_remainder(account) for account in accounts} == {1}
    assert len({account[5:9] for account in accounts}) > 40
    addresses = alternatives("jane.doe@example.com", PATTERNS["email"], 50, 0)
    assert {address[4] + address[8:] for address in addresses} == {".@example.com"}
    phones = alternatives("+49 (0)30 1234567", PATTERNS["phone"], 50, 0)
    assert {phone[:5] for phone in phones} == {"+49 ("}


def test_the_draws_depend_on_value_and_seed_alone():
    pattern = PATTERNS["ipv4"]
    first = alternatives("192.168.0.1", pattern, 10, seed=3)
    assert alternatives("192.168.0.1", pattern, 10, seed=3) == first
    assert alternatives("192.168.0.1", pattern, 5, seed=3) == first[:5]
    assert alternatives("192.168.0.1", pattern, 10, seed=4) != first
    assert alternatives("192.168.0.1", pattern, 0, seed=3) == []


def test_no_value_of_the_file_is_an_alternative():
    pattern = PATTERNS["ipv4"]
    free = alternatives("10.1.1.1", pattern, 200, seed=0)
    known = free[:100]
    other = alternatives("10.1.1.1", pattern, 200, seed=0, known=known)
    assert not set(known) & set(other)
    assert set(free[100:]) <= set(other)


def test_digits_are_drawn_uniformly():
    made = alternatives("+49 30 1234567", PATTERNS["phone"], 4000, seed=0)
    for at in (4, 7, 13):
        counts = Counter(each[at] for each in made)
        # 4000 draws of 10 digits: 400 each, standard deviation 19
        assert len(counts) == 10
        assert all(abs(count - 400) < 5 * 19 for count in counts.values())


def test_a_format_without_enough_values_is_refused_without_telling_the_secret():
    # one letter before a domain that stays: 25 others
    assert len(alternatives("a@example.com", PATTERNS["email"], 25, 0)) == 25
    with pytest.raises(OptionError) as raised:
        alternatives("a@example.com", PATTERNS["email"], 26, 0)
    assert str(raised.value) == (
        "Only 25 other values have the format of this email, fewer than the 26 asked for; ask for fewer."
    )


def test_values_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="the value is no payment_card"):
        alternatives("4111111111111112", PATTERNS["payment_card"], 1, 0)
    with pytest.raises(ValueError, match="n must not be negative"):
        alternatives("8.8.8.8", PATTERNS["ipv4"], -1, 0)
