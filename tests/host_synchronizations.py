"""A fake device: on a CPU, counts the operations for which a program on a GPU has to wait until the device is done.

All tensors count as the device's. What makes the host wait are values that it reads (`int(x)`, `bool(x)`,
`x.tolist()`, `x.cpu()`), results whose shape depends on values (nonzero, boolean indices, unique), and arrays made of a
program's own numbers, which are sent from memory that may not be pinned.
"""

import traceback
from collections import Counter
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_READS = {"_local_scalar_dense", "item", "is_nonzero", "equal"}
_SHAPES = {"nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive", "bincount"}
_TO_HOST = {"cpu", "tolist", "__array__"}
_SOURCE = Path(__file__).parents[1] / "src" / "mematlas"


class HostSynchronizations(TorchDispatchMode):
    """Counts them while it is entered: `places` has the number at each "file:function" of mematlas, `operations` that
    of each operation. A step that is read or a model's own pass counts where mematlas called it."""

    def __init__(self):
        super().__init__()
        self.places: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()
        self._functions = _Functions(self)

    @property
    def total(self) -> int:
        return self.places.total()

    def of(self, *files: str) -> int:
        """The number at functions of these files (names such as "batch.py")."""
        return sum(count for place, count in self.places.items() if place.split(":")[0] in files)

    def note(self, operation):
        self.operations[operation] += 1
        for frame in reversed(traceback.extract_stack()):
            if Path(frame.filename).is_relative_to(_SOURCE):
                self.places[f"{Path(frame.filename).name}:{frame.name}"] += 1
                return
        self.places["elsewhere:"] += 1

    def __enter__(self):
        self._functions.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._functions.__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        is_array = name == "lift_fresh" and args[0].dim() > 0  # a single number goes with the operation
        if name in _READS | _SHAPES or is_array:
            self.note(name)
        elif name in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index") and _has_mask(args[1]):
            is_fill = name != "index" and args[2].numel() == 1  # of one number, which torch does as masked_fill
            if not is_fill:
                self.note("boolean index")
        return function(*args, **(kwargs or {}))


class _Functions(TorchFunctionMode):
    """Copies to the host, which are no operation where everything lies in its memory anyway."""

    def __init__(self, counter):
        super().__init__()
        self._counter = counter

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in _TO_HOST or (name == "to" and "cpu" in [str(value) for value in args[1:] if isinstance(value, str)]):
            self._counter.note(name)
        return function(*args, **(kwargs or {}))


def _has_mask(indices):
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)
