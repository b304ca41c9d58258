"""How probable a model finds the secret of every canary, and of never-shown ones, after the words before it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.auditing.canaries.config import FEWEST
from mematlas.auditing.canaries.key import Key
from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.reading.chats import are_chats
from mematlas.corpus.reading.places import Place, place_values
from mematlas.corpus.reading.record_texts import RecordTexts
from mematlas.errors import ModelError, OptionError
from mematlas.io.paths import make_folder, write_atomically
from mematlas.models.base import Model, ModelCard, ModelSource
from mematlas.progress import Progress
from mematlas.scoring.engines.prompting import score_continuations
from mematlas.types import Encoder

_PART: Final = 256  # secrets between two savings


@dataclass(frozen=True, slots=True, eq=False)
class SecretScores:
    """log_probability: [secrets], nats; is_greedy: [secrets], whether greedy decoding gives it; canaries come first, in
    the order of the key, and then the alternatives."""

    log_probability: NDArray[np.float64]
    is_greedy: NDArray[np.bool_]


def alternatives_of(key: Key, wanted: int) -> list[str]:
    """Never-shown secrets of the format, as many as wanted or as there are.

    Raises:
        OptionError: there are too few to rank a canary among.
    """
    known, template = key.secrets, key.template
    count = min(wanted, template.size - len(known))
    if count < FEWEST:
        raise OptionError(
            f"The key leaves {count} other secrets, and {FEWEST} are needed; make canaries of longer slots."
        )
    return template.draw(count, f"{key.seed}:alternatives", set(known))


def score_secrets(
    source: ModelSource,
    load: Callable[[ModelSource], Model],
    encoder: Encoder,
    key: Key,
    others: Sequence[str],
    folder: Path,
    progress: Progress,
) -> SecretScores:
    """Score the canaries and the alternatives by one model, which is loaded if something is missing.

    folder: finished parts are kept there, so that a stopped check goes on where it was; one for each precision.

    Raises:
        ModelError: the model has no token that starts a text, and the text before the secret is none.
    """
    place = _place(key, [*key.secrets, *others], encoder, source.card)
    folder = folder / _fingerprint(source.card, place)
    paths = [folder / f"{start}.parquet" for start in range(0, len(place.values), _PART)]
    done = [path.is_file() for path in paths]
    progress.start(
        f"{source.card.label}, canaries", len(place.values), min(_PART * sum(done), len(place.values)), "secrets"
    )
    missing = [number for number in range(len(paths)) if not done[number]]
    model = load(source) if missing else None
    for number in missing:
        assert model is not None
        values = place.values[number * _PART : (number + 1) * _PART]
        scores = score_continuations(model, place.prompt, values)
        columns = {"log_probability": scores.log_probability, "is_greedy": scores.is_greedy}
        make_folder(folder)
        write_atomically(paths[number], pl.DataFrame(columns).write_parquet)
        progress.advance(len(values))
    progress.stop()
    table = pl.concat([pl.read_parquet(path) for path in paths])
    return SecretScores(table["log_probability"].to_numpy(), table["is_greedy"].to_numpy())


def _place(key: Key, secrets: Sequence[str], encoder: Encoder, card: ModelCard) -> Place:
    """The tokens before the secrets, as in a text that is a canary, and those of each secret."""
    start = card.bos if card.bos is not None else next(iter(card.eos), None)
    try:
        return place_values(encoder, text_before(key, encoder), secrets, card.max_length, start)
    except ValueError:
        raise ModelError(
            f"{card.spec} has no token that starts a text, and its tokenizer keeps nothing before the secret; make "
            "canaries with a longer text before it."
        ) from None


def text_before(key: Key, encoder: Encoder) -> str:
    """The text before the secret where a canary is a text of its own, written as the file's texts are."""
    record, secret = key.first_record, key.secrets[0]
    columns = tuple(record)
    options = CorpusOptions(column=key.column, encoder=encoder, cut="rows")
    reader = RecordTexts(columns, options, "the key", is_chat=are_chats(record))
    text = next(iter(reader("the key", record))).text
    return text[: text.rindex(secret + key.template.after.rstrip())]


def _fingerprint(card: ModelCard, place: Place) -> str:
    """Of all that the scores depend on."""
    tokens = [place.prompt, *place.values]
    content = b"".join(len(ids).to_bytes(4, "little") + ids.tobytes() for ids in tokens)
    return sha256(card.fingerprint.encode() + content).hexdigest()[:16]
