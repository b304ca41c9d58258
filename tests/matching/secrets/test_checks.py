"""Checksums against published numbers, and every single wrong digit."""

import random

import pytest

from mematlas.matching.secrets.checks import CHECKS, entropy, iban_repair, luhn_is_valid, luhn_repair


def test_luhn_finds_every_wrong_digit():
    for number in ("79927398713", "4111111111111111", "18"):
        assert luhn_is_valid(number)
        for at, digit in enumerate(number):
            assert not any(
                luhn_is_valid(number[:at] + wrong + number[at + 1 :]) for wrong in "0123456789" if wrong != digit
            )
    assert not luhn_is_valid("0")
    assert not luhn_is_valid("")


@pytest.mark.parametrize(
    "number", ["GB82WEST12345698765432", "DE89370400440532013000", "FR1420041010050500013M02606", "NO93 8601 1117 947"]
)
def test_iban_finds_wrong_and_swapped_characters_and_is_repaired(number):
    is_valid = CHECKS["iban"].is_valid
    assert is_valid(number)
    assert iban_repair(number) == number
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not is_valid(wrong)
    assert is_valid(iban_repair(wrong))
    assert iban_repair(wrong)[:2] == number[:2]
    assert iban_repair(wrong)[5:] == wrong[5:]


def test_repaired_numbers_are_valid_and_keep_all_other_digits():
    draw = random.Random(0)
    for _ in range(200):
        number = "-".join(str(draw.randrange(1000, 10000)) for _ in range(4))
        assert luhn_is_valid(luhn_repair(number))
        assert luhn_repair(number)[:-1] == number[:-1]


def test_entropy_in_bits():
    assert entropy("aaaa") == 0
    assert entropy("abcd") == pytest.approx(2)
    assert entropy("aab") == pytest.approx(0.9183, abs=1e-4)
