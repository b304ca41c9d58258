"""Resolve the name of a Hugging Face model: a folder, a training run, an adapter, or a hub id."""

from pathlib import Path

from mematlas.errors import ModelError
from mematlas.models.checkpoints import latest_checkpoint
from mematlas.models.huggingface import FolderSource, download
from mematlas.models.peft_adapters.folder import is_adapter
from mematlas.models.peft_adapters.names import with_base
from mematlas.models.peft_adapters.source import AdapterSource
from mematlas.models.weight_files import step_of_name


def resolve(rest: str) -> FolderSource | AdapterSource:
    """Resolve a local folder, of a training run its latest checkpoint; or a hub id with an optional @revision.

    A folder with an adapter may be followed by its base model: adapter@base, adapter@owner/name@revision.
    """
    folder = Path(rest).expanduser()
    if folder.is_dir():
        return _in_folder(folder, rest)
    if folder.exists():
        raise ModelError(f"{rest!r} is a file; give the model's folder, a hub id, or a .gguf file.")
    for name, base in with_base(rest):
        if Path(name).expanduser().is_dir():
            return _in_folder(Path(name).expanduser(), name, base)
    repository, _, revision = rest.partition("@")
    label = repository.split("/")[-1] + (f"@{revision}" if revision else "")
    folder = download(repository, revision or None)
    return AdapterSource(folder, rest, label) if is_adapter(folder) else FolderSource(folder, rest, label)


def _in_folder(folder: Path, name: str, base: str | None = None) -> FolderSource | AdapterSource:
    """The model in `folder`, which the user calls `name`; a run of checkpoints stands for its latest."""
    checkpoint = latest_checkpoint(folder)
    remarks: tuple[str, ...] = ()
    if checkpoint is not None:
        folder, remark = checkpoint
        name, remarks = str(folder), (remark,)
    label = _label(folder.resolve())
    if is_adapter(folder):
        return AdapterSource(folder, f"{name}@{base}" if base else name, label, base, remarks)
    if base is not None:
        raise ModelError(f"{folder} is a whole model, not an adapter, so it has no base model: leave out '@{base}'.")
    return FolderSource(folder, name, label, remarks)


def _label(folder: Path) -> str:
    """The folder's name, prefixed with its parent's if it only names a checkpoint, such as step1000."""
    return f"{folder.parent.name}-{folder.name}" if step_of_name(folder.name) is not None else folder.name
