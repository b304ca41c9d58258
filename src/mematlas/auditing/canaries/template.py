"""What canaries look like: a sentence with slots for random characters, such as "My code is {digits:9}."

My code is 483-221 .            template   "My code is {digits:3}-{digits:3}."
before     secret  after        secret     from the first slot to the last, with what stands between
"""

import math
import random
import string
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from mematlas.errors import OptionError, did_you_mean

#: Slot -> the characters that are drawn in it, each with the same chance.
SLOTS: Final = {
    "digits": string.digits,
    "letters": string.ascii_lowercase,
    "capitals": string.ascii_uppercase,
    "hex": string.digits + "abcdef",
}
_EXAMPLE: Final = '"My code is {digits:9}."'
_MOST: Final = 1_000  # characters of one slot


@dataclass(frozen=True, slots=True)
class Template:
    """before, after: the text around the secret; choices: the characters that each character of a secret may be."""

    before: str
    choices: tuple[str, ...]
    after: str

    @property
    def size(self) -> int:
        """How many different secrets there are."""
        return math.prod(map(len, self.choices))

    def text(self, secret: str) -> str:
        """The whole sentence."""
        return f"{self.before}{secret}{self.after}"

    def draw(self, count: int, seed: str, known: Collection[str] = ()) -> list[str]:
        """`count` different secrets, each with the same chance, none of which is in `known`.

        Raises:
            OptionError: there are not so many.
        """
        if count > self.size - len(known):
            raise OptionError(
                f"The template has {self.size:,} different secrets, and {count + len(known):,} are needed; give it "
                "longer slots, or ask for fewer."
            )
        generator, drawn, used = random.Random(seed), list[str](), set(known)
        while len(drawn) < count:
            secret = self._secret(generator.randrange(self.size))
            if secret not in used:
                used.add(secret)
                drawn.append(secret)
        return drawn

    def _secret(self, number: int) -> str:
        characters = []
        for choices in self.choices:
            number, place = divmod(number, len(choices))
            characters.append(choices[place])
        return "".join(characters)


def parse_template(text: str) -> Template:
    """Read a template; {{ and }} are braces.

    Raises:
        OptionError: it has no slot, an unknown one, or nothing before the first one.
    """
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise OptionError(
            f"--template {text!r} cannot be read ({error}); write it as {_EXAMPLE}, and braces of the text twice: "
            "{{ and }}."
        ) from None
    before, after, choices = "", "", list[str]()
    for literal, name, length, _ in parts:
        if choices:
            after += literal
        else:
            before += literal
        if name is not None:
            choices += [*after, *_slot(text, name, length or "")]
            after = ""
    if not choices:
        raise OptionError(f"--template {text!r} has no slot for a secret; write it as {_EXAMPLE}.")
    if not before.strip():
        raise OptionError(
            f"--template {text!r} begins with its secret, so nothing could prompt a model for it; write words before "
            f"it, as in {_EXAMPLE}."
        )
    return Template(before, tuple(choices), after)


def _slot(text: str, name: str, length: str) -> list[str]:
    """The choices of each character of a slot."""
    if name not in SLOTS:
        raise OptionError(
            f"--template {text!r} has a slot {name!r}.{did_you_mean(name, SLOTS)} The slots are "
            f"{', '.join(SLOTS)}, with a number of characters, as in {_EXAMPLE}."
        )
    if not (length.isascii() and length.isdecimal() and 1 <= int(length) <= _MOST):
        raise OptionError(
            f"--template {text!r}: the slot {name!r} has the length {length!r}; write a number from 1 to {_MOST:,}, as "
            f"in {_EXAMPLE}."
        )
    return [SLOTS[name]] * int(length)
