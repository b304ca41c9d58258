"""What is found by each pattern, and what looks much like it and is not."""

import random
import string
import time

import pytest

from mematlas.matching.secrets.finding import Occurrence, find_secrets
from mematlas.matching.secrets.patterns import PATTERNS

#: No key of anybody: each is put together here, so that the file itself holds none.
RANDOM = random.Random(5)


def token(length, alphabet=string.ascii_letters + string.digits):
    return "".join(RANDOM.choices(alphabet, k=length))


FOUND = {
    "email": ["jane.doe@example.com", "a+b_c@mail.example.co.uk", "x@a-b.org", "O_1@EXAMPLE.ORG"],
    "phone": [
        "+49 30 1234567",
        "+49 (0)30 1234567",
        "+1-555-234-5678",
        "+442079460958",
        "(555) 234-5678",
        "555-234-5678",
        "555.234.5678",
        "1-555-234-5678",
        "030 12345678",
        "0171/1234567",
    ],
    "payment_card": [
        "4111111111111111",
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "3400 000000 00009",
        "6011000000000004",
        "2223003122003222",
        "4222222222222",
    ],
    "iban": ["DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "NO9386011117947",
             "FR1420041010050500013M02606", "GB29 NWBK 6016 1331 9268 19"],
    "ipv4": ["192.168.0.1", "8.8.8.8", "255.255.255.255"],
    "ipv6": ["2001:db8:85a3::8a2e:370:7334", "fe80::1", "2001:DB8:0:0:8:800:200C:417A", "::ffff:192.0.2.128"],
    "aws_access_key_id": ["AKIA" + token(16, string.ascii_uppercase + string.digits)],
    "github_token": ["ghp_" + token(36), "github_pat_" + token(22) + "_" + token(59)],
    "gitlab_token": ["glpat-" + token(20)],
    "slack_token": ["xoxb-" + token(11, string.digits) + "-" + token(24)],
    "google_api_key": ["AIza" + token(35)],
    "stripe_key": ["sk_live_" + token(24)],
    "anthropic_or_openai_key": ["sk-" + token(48), "sk-proj-" + token(40), "sk-ant-api03-" + token(40)],
    "huggingface_token": ["hf_" + token(34)],
    "npm_token": ["npm_" + token(36)],
    "json_web_token": ["eyJ" + token(20) + ".eyJ" + token(30) + "." + token(43)],
    "private_key": [f"-----BEGIN RSA PRIVATE KEY-----\n{token(64)}\n{token(64)}\n-----END RSA PRIVATE KEY-----"],
    "random_hex": [token(32, "0123456789abcdef"), token(64, "0123456789ABCDEF")],
    "random_token": [token(40), token(43) + "="],
}  # fmt: skip

NEAR_MISSES = {
    "email": ["user@localhost", "@handle", "user@", "user@.com", "a@b..com", "icon@2x.png", "me@example.c",
              "x at example.com"],
    "phone": ["2024-01-15", "01.02.2024", "01-02-2024", "1.2.3.4.5", "1939-1945", "10:30:45", "+5 to +10",
              "123-45-6789", "978-3-16-148410-0", "0-306-40615-2", "+12345", "155-234-5678", "5552345678",
              "3.14159265358979"],
    "payment_card": ["4111111111111112", "4111 1111 1111 1112", "4111 1111-1111 1111", "0000000000000000",
                     "41111111111111111111", "9111111111111111", "1234567890123456", "x4111111111111111"],
    "iban": ["DE89370400440532013001", "DE8937040044053201300", "ZZ89370400440532013000", "DE00370400440532013000",
             "de89370400440532013000"],
    "ipv4": ["1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.04", "v1.2.3.4", "version 1.2.3.4", "10.0.0"],
    "ipv6": ["10:30:45", "00:1a:2b:3c:4d:5e", "std::vector", "a::b", "add::face", "::", "::1", "C::D",
             "1:2:3:4:5:6:7:8:9"],
    "keys": ["AKIA1234", "ghp_short", "sk-toggleable__content-arrow-and-more", "sk-learn-contributors-list-2024",
             "hf_hub_download", "xoxb-", "eyJhbGciOi", "npm_config_registry", "AIza" + "x" * 10,
             "-----BEGIN PUBLIC KEY-----"],
    "random": ["0" * 32, "f" * 40, "1234567890" * 4, "deadbeef" * 2, "a" * 64,
               "getHttp2ServerConnectionFactoryBuilder1Instance",
               "src/main/java/com/Example2/ServiceImplementation/Test",
               "/2024/05/How-To-Build-Great-Products-In-30-Days", "THE_LONGEST_CONSTANT_NAME_OF_THE_WHOLE_FILE_2",
               "========================================", "antidisestablishmentarianism_and_other_long_words"],
}  # fmt: skip


def cases(table):
    return [(name, value) for name, values in table.items() for value in values]


@pytest.mark.parametrize(("name", "value"), cases(FOUND))
@pytest.mark.parametrize(
    "template", ["{}", "It is {}, as I said.", "line\n{}\nline", '{{"key": "{}"}}', "({})", "to: {}."]
)
def test_secrets_are_found_with_their_characters(name, value, template):
    text = template.format(value)
    assert list(find_secrets(["nothing", text])) == [
        Occurrence(1, text.index(value), text.index(value) + len(value), value, name)
    ]


@pytest.mark.parametrize(("name", "value"), cases(NEAR_MISSES))
@pytest.mark.parametrize("template", ["{}", "It is {}, as I said.", "({})"])
def test_near_misses_are_not_found(name, value, template):
    assert [found.value for found in find_secrets([template.format(value)])] == []


def test_all_patterns_have_examples():
    assert set(FOUND) == set(PATTERNS)


def test_all_occurrences_are_listed_in_order():
    text = "a@b.org, 8.8.8.8, a@b.org"
    assert [(found.document, found.start, found.value) for found in find_secrets([text, "", text])] == [
        (document, start, value)
        for document in (0, 2)
        for start, value in ((0, "a@b.org"), (9, "8.8.8.8"), (18, "a@b.org"))
    ]


def test_general_patterns_do_not_repeat_special_ones():
    key = FOUND["github_token"][0]
    assert [found.pattern for found in find_secrets([key])] == ["github_token"]
    only = {"random_token": PATTERNS["random_token"]}
    general = PATTERNS["random_token"].regex.search(key)
    assert general is not None
    assert [found.pattern for found in find_secrets([token(40)], only)] == ["random_token"]


@pytest.mark.parametrize(
    ("name", "alphabet", "length"),
    [
        ("random_token", string.ascii_letters + string.digits, 40),
        ("random_token", string.ascii_letters + string.digits + "+/", 44),
        ("random_hex", "0123456789abcdef", 32),
    ],
)
def test_nearly_all_random_tokens_are_found(name, alphabet, length):
    draw = random.Random(1)
    texts = ["".join(draw.choices(alphabet, k=length)) for _ in range(1000)]
    found = [secret for secret in find_secrets(texts) if secret.pattern == name]
    assert len(found) >= 980


@pytest.mark.parametrize(
    "text",
    ["a" * 100_000, "1" * 100_000, "1 " * 50_000, "a@" * 50_000, "a." * 50_000, "::" * 50_000, "+1" * 50_000,
     "A1" * 50_000, "-----BEGIN PRIVATE KEY-----" * 2_000, "eyJ" * 30_000, "0-" * 50_000, "DE89 " * 20_000],
)  # fmt: skip
def test_hostile_texts_take_no_time(text):
    begun = time.perf_counter()
    list(find_secrets([text]))
    assert time.perf_counter() - begun < 5
