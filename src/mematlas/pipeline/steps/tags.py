"""Parts of speech of a study's rows, and of the tokens that its models name: what `mematlas features --tagger` adds.

Tagging what models name takes about as many texts as there are wrong tokens, so that a sample of the rows is tagged.
"""

from typing import TYPE_CHECKING, Final

from mematlas.errors import StudyError
from mematlas.features.taggers import Tagger
from mematlas.io.paths import translate_os_errors
from mematlas.progress import Progress
from mematlas.study import Study, fingerprint, missing_shards, shard_name, write_shard
from mematlas.study.build_stamps import is_current, record, tags_name
from mematlas.types import Encoder

if TYPE_CHECKING:
    import polars as pl

    from mematlas.features.tags import TokenTexts

#: Rows of each role (train, control) that are tagged, evenly spaced among the scored ones (our choice).
ROWS: Final = 200
_VERSION: Final = 1


def make_tags(study: Study, key: str | None, encoder: Encoder | None, tagger: Tagger, progress: Progress) -> None:
    """Tag a sample of a run's rows, and what its models name in them if the run has teacher-forced signals.

    Args:
        study: with row features of the run; key: of the run, the latest by default; encoder: the models' tokenizer.

    Raises:
        StudyError: the models have no tokenizer, so that tokens have no text; or the study cannot be written.
    """
    import pyarrow as pa

    from mematlas.features.tags import TokenTexts
    from mematlas.study.schemas.features import TAGS

    run = study.run(key)
    if encoder is None or encoder.decode is None or encoder.decode_windows is None:
        raise StudyError(
            f"The models of run {run.key} have no tokenizer, so its tokens have no text to tag; leave out --tagger."
        )
    folder = study.features_folder(run.key) / "tags"
    source = fingerprint([run.key, list(run.models.items()), tagger.name, encoder.fingerprint, ROWS, _VERSION])
    if is_current(study.folder, tags_name(run), source) and not missing_shards(folder, 1):
        return
    texts = TokenTexts(encoder.decode, encoder.decode_windows)
    records = _tag_study(study, run.key, texts, tagger, progress)
    with translate_os_errors(study.folder):
        table = pa.Table.from_pylist(records, schema=TAGS)
        write_shard(folder, shard_name(0, 1), table, {"run": run.key, "tagger": tagger.name})
    record(study.folder, tags_name(run), source)


def _tag_study(
    study: Study, key: str, texts: "TokenTexts", tagger: Tagger, progress: Progress
) -> list[dict[str, object]]:
    import polars as pl

    from mematlas.features.tags import tag_named, tag_rows

    ids = _sample(study.rows(key))
    rows = {
        int(row): list(tokens)
        for row, tokens in study.scan_features("tokens", key).filter(pl.col("row").is_in(ids)).collect().iter_rows()
    }
    classes = dict(zip(rows, tag_rows(list(rows.values()), texts, tagger), strict=True))
    records: list[dict[str, object]] = [{"model": None, "row": row, "tags": tags} for row, tags in classes.items()]
    named = _named_tokens(study, key, ids)
    progress.start("tagging", len(named), 0, "rows")
    for model, row, tokens in named:
        if row in rows and len(tokens) <= len(rows[row]):
            tags = tag_named(rows[row], classes[row], tokens, texts, tagger)
            records.append({"model": model, "row": row, "tags": tags})
        progress.advance(1)
    return records


def _sample(rows: "pl.DataFrame") -> list[int]:
    """Ids of at most ROWS rows of each role, evenly spaced."""
    ids = []
    for _, part in rows.sort("row").group_by("role", maintain_order=True):
        every = max(1, -(-part.height // ROWS))
        ids += part.gather_every(every)["row"].to_list()
    return ids


def _named_tokens(study: Study, key: str, ids: list[int]) -> list[tuple[str, int, list[int | None]]]:
    """What every model names at the positions of these rows, where that was recorded: (model, row, tokens)."""
    import polars as pl

    if "truth" not in study.run(key).settings["signals"]:
        return []
    signals = study.scan_signals("truth", key)
    if "token" not in signals.collect_schema().names():  # recorded by an older version
        return []
    recorded = signals.filter(pl.col("row").is_in(ids)).select("model", "row", "context", "token").collect()
    longest = recorded.sort("context").unique(["model", "row"], keep="last").drop("context")
    return longest.sort("model", "row").rows()
