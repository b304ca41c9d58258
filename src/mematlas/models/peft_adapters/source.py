"""An adapter with its base model: one more model, resolved but not loaded."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, Model
from mematlas.models.huggingface import FolderSource, download, folder_encoder, tokenizer_fingerprint
from mematlas.models.peft_adapters.folder import AdapterFolder, added_parameters, is_adapter, read_adapter
from mematlas.models.tokenizer_rules import tokenizer_rules
from mematlas.models.weight_files import digest_files, training_step, weight_files
from mematlas.types import Encoder


class AdapterSource:
    """The adapter in `folder` on its base model; a tokenizer saved with the adapter is the model's.

    Args:
        base: the base model's folder or hub id; None: the one that the adapter names.

    Raises:
        ModelError: either is incomplete, the base model cannot be found, or the two do not fit together.
        ModuleNotFoundError: peft is not installed, which loading would need.
    """

    def __init__(
        self, folder: Path, spec: str, label: str, base: str | None = None, remarks: tuple[str, ...] = ()
    ) -> None:
        self._adapter = read_adapter(folder)
        if find_spec("peft") is None:  # said before the base model is fetched
            raise ModuleNotFoundError("No module named 'peft'", name="peft")
        self._base = _find_base(self._adapter, base)
        card = self._base.card
        vocabulary = self._adapter.vocabulary(card.width) or card.vocabulary
        tokenizer = tokenizer_fingerprint(folder)
        self._tokenizer_folder = self._base.folder if tokenizer is None else folder
        added = added_parameters(weight_files(self._base.folder), vocabulary, card.width)
        self.card = replace(
            card,
            label=label,
            spec=spec,
            fingerprint=digest_files(self._adapter.files, first=card.fingerprint),
            vocabulary=vocabulary,
            parameters=None if card.parameters is None else card.parameters + added,
            training_step=training_step(folder, str(folder)),
            tokenizer=tokenizer or card.tokenizer,
            tokenizer_rules=tokenizer_rules(self._tokenizer_folder, tokenizer or card.tokenizer),
            adapter=self._adapter.kind,
            base=card.spec,
            remarks=(
                *remarks,
                f"{label} is an adapter ({self._adapter.kind}) on the base model {card.spec}",
                *card.remarks,
            ),
        )

    def encoder(self) -> Encoder | None:
        return folder_encoder(self._tokenizer_folder, self.card)

    def load(self, options: LoadOptions) -> Model:
        from mematlas.models.peft_adapters.loading import load_adapted

        return load_adapted(self._adapter.folder, self._base, self.card, options)


def _find_base(adapter: AdapterFolder, given: str | None) -> FolderSource:
    """The base model: the one that is given, else the one that the adapter names."""
    name = given or adapter.base
    if name is None:
        raise ModelError(
            f"{adapter.folder} is an adapter ({adapter.kind}) that does not name its base model; name it: "
            f"'{adapter.folder}@BASE', where BASE is a folder or a hub id."
        )
    path = Path(name).expanduser()
    if path.is_dir():
        return _base_source(path, name, adapter)
    repository, _, revision = name.partition("@")
    revision = revision or ("" if given else adapter.revision or "")
    spec = f"{repository}@{revision}" if revision else repository
    try:
        if repository.startswith((".", "/", "~")) or repository.count("/") > 1:
            raise ModelError("there is no such folder")
        return _base_source(download(repository, revision or None), spec, adapter)
    except ModelError as error:
        raise ModelError(
            f"{adapter.folder} is an adapter ({adapter.kind}) for the base model {name!r}, which cannot be read "
            f"({str(error).rstrip('.')}); if it is elsewhere, name its place: '{adapter.folder}@BASE', where BASE is a "
            "folder or a hub id."
        ) from error


def _base_source(folder: Path, spec: str, adapter: AdapterFolder) -> FolderSource:
    if is_adapter(folder):
        raise ModelError(
            f"The base model {spec!r} of {adapter.folder} is an adapter itself; merge that one first (peft: "
            "merge_and_unload, save_pretrained), and name the merged folder as the base."
        )
    return FolderSource(folder, spec, folder.resolve().name)
