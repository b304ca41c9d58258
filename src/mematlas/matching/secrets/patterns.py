"""The table of patterns: what a secret of each kind looks like."""

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mematlas.matching.secrets.checks import CHECKS, Check


@dataclass(frozen=True, slots=True)
class Pattern:
    """A kind of secret.

    regex: finds it; a group named "value", if there is one, is the secret, else the whole match. check: what a match
    must pass as well. fixed: the parts of a value that other values of its format share, such as an address's domain.
    letters: small letters that a value may contain.
    """

    name: str
    regex: re.Pattern[str]
    check: Check | None = None
    fixed: re.Pattern[str] | None = None
    letters: str = string.ascii_lowercase

    @property
    def group(self) -> str | int:
        """The group of `regex` that is the secret."""
        return "value" if "value" in self.regex.groupindex else 0

    def accepts(self, value: str) -> bool:
        """Whether `value` alone is a secret of this kind; of expressions with surroundings only the check is asked."""
        is_match = self.group != 0 or self.regex.fullmatch(value) is not None
        return is_match and (self.check is None or self.check.is_valid(value))


#: Characters of an account number by country (ISO 13616 registry).
_IBAN_LENGTHS: Final = {
    15: "NO", 16: "BE", 18: "DK FI FO GL NL", 19: "MK SI", 20: "AT BA EE KZ LT LU XK", 21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST",
    26: "IS TR", 27: "FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU",
    31: "MT SC", 32: "LC",
}  # fmt: skip
_IBAN: Final = "|".join(
    rf"(?:{'|'.join(countries.split())})\d\d(?: ?[A-Z0-9]){{{length - 4}}}"
    for length, countries in _IBAN_LENGTHS.items()
)
_COUNTRY_CODE: Final = r"\+(?:[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|\d{3})"
_PHONE: Final = (
    r"(?:\+[1-9](?:[ .()/-]{0,2}\d){7,14}"  # +49 (0)30 1234567
    r"|(?:1[ .-])?\([2-9]\d\d\) ?[2-9]\d\d[ .-]\d{4}|(?:1[.-])?[2-9]\d\d([.-])[2-9]\d\d\1\d{4}"  # (555) 234-5678
    r"|0\d{1,4}[ /-]\d{3,8}(?:[ -]\d{2,6})*)"  # 030 1234567
)
_KEY_BLOCK: Final = r"(?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"

#: name -> (expression, name of a check or None, expression of fixed parts or None); where two overlap, the first stays.
_TABLE: Final[Mapping[str, tuple[str, str | None, str | None]]] = {
    "private_key": (rf"-----BEGIN {_KEY_BLOCK}[\s\S]{{40,10000}}?-----END {_KEY_BLOCK}", None, r"-----[^-]+-----"),
    "json_web_token": (r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}", None, r"^[^.]+\.eyJ"),
    "aws_access_key_id": (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", None, r"^.{4}"),
    "github_token": (r"\b(?:gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_\w{50,251})\b", None, r"^(?:gh._|github_pat_)"),
    "gitlab_token": (r"\bglpat-[\w-]{20,}", None, r"^glpat-"),
    "slack_token": (r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}", None, r"^xox.-"),
    "google_api_key": (r"\bAIza[\w-]{35}(?![\w-])", None, r"^AIza"),
    "stripe_key": (r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}\b", None, r"^.k_(?:live|test)_"),
    "anthropic_or_openai_key": (r"\bsk-[\w-]{20,}", "mixed_characters", r"^sk-(?:proj-|ant-[a-z0-9]+-)?"),
    "huggingface_token": (r"\bhf_[A-Za-z0-9]{30,}\b", None, r"^hf_"),
    "npm_token": (r"\bnpm_[A-Za-z0-9]{36}\b", None, r"^npm_"),
    "email": (
        r"(?<![\w.+%-])[A-Za-z0-9_+%-]+(?:\.[A-Za-z0-9_+%-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+"
        r"[A-Za-z]{2,24}(?![\w-]|\.\w)",
        "email",
        r"@.*",
    ),
    "iban": (rf"(?=[A-Z]{{2}}\d\d)(?<![A-Za-z0-9])(?:{_IBAN})(?![A-Za-z0-9])", "iban", r"^[A-Z]{2}"),
    "payment_card": (
        r"(?=\d{4})(?<![\w.-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5})(?!\w|[.-]\d)",
        "payment_card",
        r"^\d(?:[ -]?\d){5}",
    ),
    "ipv6": (
        r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{0,4})(?![\w:]|\.\d)",
        "ipv6",
        r"^[0-9A-Fa-f]+",
    ),
    "ipv4": (r"(?=\d)(?<![\w.])(?<![Vv]ersion )(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)", "ipv4", r"^\d+"),
    "phone": (rf"(?=[\d(+])(?<![\w.+/-]){_PHONE}(?!\w|[.-]\d)", "phone", rf"^(?:{_COUNTRY_CODE}|0)"),
    "random_hex": (r"\b(?:[0-9a-f]{32,}|[0-9A-F]{32,})\b", "random_hex", None),
    "random_token": (r"(?<![\w+/=-])[\w+/-]{32,}={0,2}(?![\w+/=-])", "random_token", None),
}
_HEX: Final = frozenset(("ipv6", "random_hex"))

PATTERNS: Final[Mapping[str, Pattern]] = {
    name: Pattern(
        name,
        re.compile(regex, re.ASCII),
        CHECKS[check] if check else None,
        re.compile(fixed, re.ASCII | re.DOTALL) if fixed else None,
        "abcdef" if name in _HEX else string.ascii_lowercase,
    )
    for name, (regex, check, fixed) in _TABLE.items()
}
