"""Figures of the source tree, and what breaks its rules: `python tools/structure.py [SOURCE]`; exit code 1 if any.

Rooms are the packages and modules directly under src/mematlas; LAYERS puts them in order. Every import counts: at the
top of a module, inside a function, and under TYPE_CHECKING.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "mematlas"

#: A room may import rooms of the layers above it in this list, never one of its own layer or below.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("types", "registry", "progress", "version", "display"),
    ("io", "stats", "literature"),
    ("study", "executors", "metrics"),
    ("corpus", "models", "findings"),
    ("index", "interventions", "scoring", "importers"),
    ("features", "rows", "probes", "matching", "predictors", "verification", "experiments"),
    ("analyses", "report", "explorer"),
    ("pipeline",),
    ("auditing",),
    ("cli", "integrations"),
)
#: The modules that may import any room: the package itself and `python -m mematlas`.
ENTRY_POINTS = ("__init__", "__main__")

#: Library -> the only rooms, or folders of a room, that may import it.
ZONES: dict[str, tuple[str, ...]] = {
    "torch": ("models", "interventions", "scoring.engines", "scoring.records", "experiments", "predictors"),
    "transformers": ("models", "interventions", "experiments", "predictors", "integrations.transformers"),
    "tokenizers": ("models", "experiments", "predictors"),
    "altair": ("report",),
    "vl_convert": ("report",),
    "jinja2": ("report", "auditing.page"),
    "ray": ("executors.ray",),
    "vllm": ("models",),
    "numba": ("index.compiled",),
    "pydivsufsort": ("index",),
    "rapidfuzz": ("metrics",),
    "bm25s": ("matching.retrieval",),
    "blingfire": ("matching.sentences",),
    "sacrebleu": ("metrics",),
    "sklearn": ("stats", "predictors"),
    "umap": ("stats",),
    "spacy": ("features.taggers.spacy",),
    "axolotl": ("integrations.axolotl",),
    "upath": ("io",),
    "fsspec": ("io",),
}
#: Libraries that `import mematlas` and `mematlas --help` must not load: the only reason for an import in a function.
HEAVY = frozenset(
    (
        *(
            "torch",
            "transformers",
            "tokenizers",
            "safetensors",
            "huggingface_hub",
            "datasets",
            "gguf",
            "accelerate",
            "vllm",
        ),
        *("polars", "pyarrow", "altair", "vl_convert", "jinja2", "ray", "numba", "pydivsufsort", "rapidfuzz"),
        *("vllm", "sacrebleu", "sklearn", "scipy", "umap", "upath", "fsspec", "bm25s", "blingfire"),
        "spacy",
    )
)

LOOSE_MODULES = 5
FILES_PER_FOLDER = 20
LINES_PER_FILE = 400
LINES_PER_FUNCTION = 50
#: Files that are one long table of data, and may be longer.
TABLES_OF_DATA = ("literature/published.py",)


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement's target. when: "start" (of the module), "call" (inside a function) or "types"."""

    target: str
    when: str
    line: int


def imports(node: ast.AST, when: str = "start") -> Iterator[Import]:
    """Every import under `node`."""
    for child in ast.iter_child_nodes(node):
        inside = when
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            inside = "types"
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and when == "start":
            inside = "call"
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, inside, child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            prefix = "." * child.level + (child.module or "")
            yield from (Import(f"{prefix}.{alias.name}", inside, child.lineno) for alias in child.names)
        yield from imports(child, inside)


Modules = Mapping[str, list[Import]]


def modules(source: Path) -> Modules:
    """Dotted module name, without the package's own, -> its imports; a package goes by its folder's name."""
    found: dict[str, list[Import]] = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts
        found[".".join(parts)] = list(imports(ast.parse(path.read_text(encoding="utf-8"))))
    return found


def module_of(target: str, known: Modules) -> str | None:
    """The module of this package that an import's target names, or names something in; None for any other."""
    parts = target.split(".")[1:] if target.startswith("mematlas.") else []
    while parts and ".".join(parts) not in known:
        parts = parts[:-1]
    return ".".join(parts) or None


# ------------------------------------------------------------------------------------------------------------ imports


def forbidden_imports(known: Modules) -> list[str]:
    """Imports that LAYERS or ZONES do not allow, and relative ones."""
    layer = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
    wrong = []
    for name, imported in known.items():
        room = name.partition(".")[0]
        if room not in layer and room not in ENTRY_POINTS:
            wrong.append(f"{name}: the room {room} is in no layer")
            continue
        for found in imported:
            library = found.target.partition(".")[0]
            if found.target.startswith("."):
                wrong.append(f"{name}:{found.line} imports {found.target} relatively")
            elif library in ZONES and not any(f"{name}.".startswith(f"{zone}.") for zone in ZONES[library]):
                wrong.append(f"{name}:{found.line} imports {library}, which is for {', '.join(ZONES[library])}")
            other = (module_of(found.target, known) or room).partition(".")[0]
            if room not in ENTRY_POINTS and other != room and layer.get(other, len(LAYERS)) >= layer[room]:
                wrong.append(f"{name}:{found.line} imports {other}, which is not below {room}")
    return wrong


def cycles(known: Modules) -> list[str]:
    """Chains of imports of any kind that end where they began."""
    edges = {
        name: sorted({other for found in imported if (other := module_of(found.target, known)) not in (None, name)})
        for name, imported in known.items()
    }
    state, chains = dict.fromkeys(edges, "new"), []

    def visit(name: str, path: list[str]) -> None:
        state[name] = "open"
        for other in edges[name]:
            if state[other] == "open":
                chains.append(" -> ".join([*path[path.index(other) :], other]))
            elif state[other] == "new":
                visit(other, [*path, other])
        state[name] = "done"

    for name in edges:
        if state[name] == "new":
            visit(name, [name])
    return chains


def needless_late_imports(known: Modules) -> list[str]:
    """Imports inside functions that keep no heavy library out of start-up: they belong at the top of the module."""
    heavy: dict[str, bool] = {}

    def is_heavy(name: str) -> bool:
        """Whether importing a module of ours, with the packages it lies in, loads a heavy library."""
        if name not in heavy:
            heavy[name] = False  # until shown otherwise
            parts = name.split(".")
            names = [".".join(parts[: n + 1]) for n in range(len(parts))]
            heavy[name] = any(
                found.target.partition(".")[0] in HEAVY
                or ((other := module_of(found.target, known)) is not None and is_heavy(other))
                for part in names
                for found in known.get(part, ())
                if found.when == "start"
            )
        return heavy[name]

    return [
        f"{name}:{found.line} imports {found.target} inside a function, though it loads no heavy library"
        for name, imported in known.items()
        for found in imported
        if found.when == "call" and ((other := module_of(found.target, known)) is not None) and not is_heavy(other)
    ]


# -------------------------------------------------------------------------------------------------------------- sizes


def loose_modules(source: Path) -> list[str]:
    """Modules directly under `source`, beside the entry points."""
    return sorted(path.stem for path in source.glob("*.py") if path.stem not in ENTRY_POINTS)


def folder_sizes(source: Path) -> dict[str, int]:
    """Files of every folder that holds any, caches left out."""
    folders = [source, *(path for path in sorted(source.rglob("*")) if path.is_dir() and path.name != "__pycache__")]
    return {
        folder.relative_to(source).as_posix(): sum(path.is_file() for path in folder.iterdir()) for folder in folders
    }


def file_lengths(source: Path) -> dict[str, int]:
    """Lines of every module but tables of data."""
    paths = {path.relative_to(source).as_posix(): path for path in sorted(source.rglob("*.py"))}
    return {
        name: len(path.read_text(encoding="utf-8").splitlines())
        for name, path in paths.items()
        if name not in TABLES_OF_DATA
    }


def function_lengths(source: Path) -> dict[str, int]:
    """Lines of every function, from its `def` to its end, docstring included."""
    return {
        f"{path.relative_to(source).as_posix()}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in sorted(source.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def over(sizes: Mapping[str, int], limit: int, what: str) -> list[str]:
    return [f"{name} has {size} {what}, more than {limit}" for name, size in sizes.items() if size > limit]


def complaints(source: Path) -> list[str]:
    """Everything under `source` that breaks a rule, in words."""
    known, loose = modules(source), loose_modules(source)
    found = [f"{len(loose)} loose modules, more than {LOOSE_MODULES}: {', '.join(loose)}"]
    return [
        *(found if len(loose) > LOOSE_MODULES else []),
        *over(folder_sizes(source), FILES_PER_FOLDER, "files"),
        *over(file_lengths(source), LINES_PER_FILE, "lines"),
        *over(function_lengths(source), LINES_PER_FUNCTION, "lines"),
        *(f"import cycle: {chain}" for chain in cycles(known)),
        *forbidden_imports(known),
        *needless_late_imports(known),
    ]


def figures(source: Path) -> str:
    """The figures, a line each, with the largest of their kind."""
    known = modules(source)
    rooms = {name.partition(".")[0] for name in known} - {*ENTRY_POINTS}
    lines = [
        f"modules: {len(known)} in {len(rooms)} rooms on {len(LAYERS)} layers",
        f"loose modules: {len(loose_modules(source))} (at most {LOOSE_MODULES}): {', '.join(loose_modules(source))}",
    ]
    for title, sizes, limit in (
        ("fullest folder, in files", folder_sizes(source), FILES_PER_FOLDER),
        ("longest file, in lines", file_lengths(source), LINES_PER_FILE),
        ("longest function, in lines", function_lengths(source), LINES_PER_FUNCTION),
    ):
        name = max(sizes, key=lambda key: sizes[key], default="none")
        lines.append(f"{title}: {sizes.get(name, 0)} (at most {limit}): {name}")
    lines.append(f"import cycles: {len(cycles(known))}")
    return "\n".join(lines)


def main(source: Path) -> int:
    print(figures(source))
    found = complaints(source)
    print(*found, sep="\n", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE))
