"""The number of a document, from a corpus' column `document`, which has whole numbers or names, such as "mail-17".

Whole numbers stay as they are. A name becomes a number by hashing it, so that the number depends on nothing else: rows
of a table are read where they are needed, by several workers in any order, and numbers in the order of appearance would
need a pass over all rows before the first one, and all names in memory. Numbers of names are 2^62 or more, apart from
those that a corpus counts itself; that any two of 146 million names share one has a probability of 0.2 %.
"""

import hashlib
import math
from typing import Final

from mematlas.corpus.reading.json_records import shortened
from mematlas.errors import CorpusError

DOCUMENT: Final = "document"
_LIMIT: Final = 1 << 63  # of the numbers that the table of rows can store
_RULE: Final = "text or a whole number"


def document_number(value: object, where: object) -> int | None:
    """The number of the document that `value` names; None if it is missing, blank, or of a kind that names none.

    Args:
        where: the file, perhaps with its line, for the message.

    Raises:
        CorpusError: `value` is a fraction.
    """
    if isinstance(value, float) and not math.isnan(value):
        if not value.is_integer():
            raise CorpusError(
                f"{where}: the {DOCUMENT} {value} is a fraction, but a document is named by {_RULE}; write the column "
                "as text, or give it another name if it is something else."
            )
        value = int(value)  # what writes whole numbers beside missing ones as 16.0
    if type(value) is int:
        return value if abs(value) < _LIMIT else _number_of_name(str(value))
    return _number_of_name(value) if isinstance(value, str) and value.strip() else None


def _number_of_name(name: str) -> int:
    """A number from 2^62 to 2^63 - 1."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, person=b"document").digest()
    return int.from_bytes(digest) >> 2 | _LIMIT >> 1


def names_no_document(value: object) -> bool:
    """Whether `value` is there, but of a kind that names no document: true, false, a list or an object."""
    return isinstance(value, bool) or not (value is None or isinstance(value, str | int | float))


def unread_documents(count: int, example: object) -> dict[str, object]:
    """What `Corpus.details` say of rows whose column `document` has a value that names none; {} if there are none.

    count: of such rows; example: the first such value, or its type.
    """
    if not count:
        return {}
    text = example if isinstance(example, str) else shortened(example)
    reason = f"such as {text}: a name is {_RULE}; without one a row counts as a document of its own"
    return {"unread_documents": count, "unread_documents_reason": reason}
